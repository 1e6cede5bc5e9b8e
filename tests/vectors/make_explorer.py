"""Writes explorer.json, which explorer/ is held to: `.venv/bin/python -m tests.vectors.make_explorer`.

A section is a list of cases, written by a function of `explorer_*.py` from definitions, with mpmath, and
rounded once. Add a section there and name it in SECTIONS.
"""

import json
from pathlib import Path

from tests.vectors import explorer_batch, explorer_models, explorer_rounding, explorer_softmax

FILE = Path(__file__).parent / "explorer.json"
SECTIONS = {
    **explorer_models.SECTIONS,
    **explorer_softmax.SECTIONS,
    **explorer_rounding.SECTIONS,
    **explorer_batch.SECTIONS,
}


def text():
    def lines(cases):
        return ",\n".join(json.dumps(case, ensure_ascii=False, allow_nan=False) for case in cases)

    sections = (f'"{name}": [\n{lines(cases())}\n]' for name, cases in SECTIONS.items())
    return '{"format": "tests/vectors/README.md",\n' + ",\n".join(sections) + "}\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
