"""What was checked and what came of it; as text and as HTML."""

from __future__ import annotations

import html
import importlib.util
import io
import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Status = Literal["pass", "fail", "note", "skip"]
MARKS = {"pass": "✓", "fail": "✗", "note": "·", "skip": "–"}


@dataclass
class Check:
    """One check and its result.

    Attributes
    ----------
    name : str
    status : "pass", "fail", "note" or "skip"
        A note is no failure, but worth a look.
    found, expected : str
        What came and what should have come.
    mistake, advice : str
        Of a check that failed: the mistake's name, and what to look at.
    """

    name: str
    status: Status
    found: str = ""
    expected: str = ""
    mistake: str = ""
    advice: str = ""


@dataclass
class Report:
    """What `softmax_loss` found.

    Attributes
    ----------
    function : str
        The function's name.
    convention : str
        The convention that it was taken for, in words.
    checks : list of Check
        In the order in which they ran.
    curve : list of (float, float)
        The V-curve: steps h, and the largest error of centred differences with each, relative to the largest
        entry of the gradient. Empty where there is no gradient.
    pace : float
        The function's time over that of `xent.reference`'s vectorised form; NaN if it was not timed.
    """

    function: str
    convention: str
    checks: list[Check] = field(default_factory=list)
    curve: list[tuple[float, float]] = field(default_factory=list)
    pace: float = math.nan

    @property
    def passed(self) -> bool:
        """Whether there are checks and none failed."""
        return bool(self.checks) and all(check.status != "fail" for check in self.checks)

    @property
    def mistakes(self) -> list[str]:
        """The names of the mistakes, each once, those that explain the others first."""
        return list(dict.fromkeys(check.mistake for check in self.checks if check.mistake))

    def __str__(self) -> str:
        """One line per check, and what to look at where it failed."""
        lines = [f"{self.function}: {self.convention}"]
        for check in self.checks:
            expected = f", expected {check.expected}" if check.status == "fail" and check.expected else ""
            lines.append(f"{MARKS[check.status]} {check.name}: {check.found}{expected}")
            lines += [f"    {why}" for why in [self.why(check)] if why]
        return "\n".join(lines)

    def why(self, check: Check) -> str:
        """The mistake's name, and what to look at where it is first named."""
        if not check.mistake:
            return check.advice
        first = next((c for c in self.checks if c.mistake == check.mistake), check)
        parts = [check.mistake, check.advice if first is check else ""]
        return ". ".join(part for part in parts if part)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Report:
        """The report that `to_dict` made these values of; KeyError, TypeError or ValueError if none did."""
        checks = [Check(**check) for check in values["checks"]]
        if not all(
            check.status in MARKS and all(isinstance(v, str) for v in asdict(check).values())
            for check in checks
        ):
            raise ValueError("no report")
        curve = [(float(h), float(error)) for h, error in values["curve"]]
        return cls(values["function"], values["convention"], checks, curve, values["pace"])

    def to_html(self) -> str:
        """The report as one HTML page that loads nothing else."""
        return page([self])


_STYLE = """
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%}
td,th{padding:.4rem .8rem .4rem 0;text-align:left;vertical-align:top;
border-bottom:1px solid #8884}.fail{color:#b3261e}.pass{color:#00695c}@media(prefers-color-scheme:dark){
.fail{color:#f2b8b5}.pass{color:#80cbc4}}small{opacity:.75}svg{max-width:100%;height:auto}
"""


def page(reports: list[Report], troubles: list[str] | None = None) -> str:
    """Reports as one HTML page, and a line on each function that could not be checked."""
    body = "".join(f'<h1 class="fail">{html.escape(line)}</h1>' for line in troubles or [])
    body += "".join(_section(report) for report in reports)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>xent check</title><style>{_STYLE}</style><body>{body}</body></html>\n"
    )


def _section(report: Report) -> str:
    """A report's part of the page."""
    verdict = "passes" if report.passed else f"{sum(c.status == 'fail' for c in report.checks)} checks failed"
    rows = "".join(_row(check, report.why(check)) for check in report.checks)
    return (
        f"<h1>{html.escape(report.function)}: {verdict}</h1><p>{html.escape(report.convention)}</p>"
        f"<table><thead><tr><th>check<th>found<th>expected</thead><tbody>{rows}</tbody></table>{_curve(report.curve)}"
    )


def _row(check: Check, why: str) -> str:
    """A check's row of the table."""
    name, found, expected = (html.escape(text) for text in (check.name, check.found, check.expected))
    more = f"<br><small>{html.escape(why)}</small>" if why else ""
    mark = f'<span class="{check.status}">{MARKS[check.status]} {check.status}</span>'
    return f"<tr><td>{mark} {name}{more}<td>{found}<td>{expected}"


def _curve(curve: list[tuple[float, float]]) -> str:
    """The V-curve, drawn by matplotlib where it is installed."""
    shown = [(h, error) for h, error in curve if error > 0 and math.isfinite(error)]
    if not shown or importlib.util.find_spec("matplotlib") is None:
        return ""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.2), layout="constrained")
    ax = figure.add_subplot()
    ax.loglog(*zip(*shown, strict=True), marker="o", color="#0072b2")
    ax.set(xlabel="step h of centred differences", ylabel="largest relative error", ylim=(1e-13, 1e2))
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return drawn.getvalue()[drawn.getvalue().index("<svg") :]
