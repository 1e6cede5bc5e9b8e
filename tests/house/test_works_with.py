"""docs/works-with.md does what it says: its blocks run as they stand, and check themselves."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "works-with.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"^## ([^\n]*)\n(?:(?!^## ).)*?^```python\n(.*?)^```$", PAGE, re.M | re.S))
# Not among what the tests install: `make works-with` brings them.
GUESTS = {"polars": "polars", "mlflow": "MLflow", "skl2onnx": "ONNX", "shap": "shap"}
HERE = [name for guest, name in GUESTS.items() if importlib.util.find_spec(guest)]
ABSENT = set(GUESTS.values()) - set(HERE)


def test_every_block_is_found():
    assert len(BLOCKS) == PAGE.count("```python\n") == PAGE.count("\n## ")
    assert set(GUESTS.values()) < set(BLOCKS)
    assert all("assert " in block for block in BLOCKS.values())


@pytest.mark.parametrize("name", BLOCKS)
def test_block(name, tmp_path, monkeypatch):
    if name in ABSENT:
        pytest.skip(f"{name} is not among what the tests install; make works-with runs this block")
    if name in HERE:  # in a process of its own: MLflow patches scikit-learn, and their warnings are theirs
        subprocess.run([sys.executable, "-c", BLOCKS[name]], cwd=tmp_path, check=True)
        return
    monkeypatch.chdir(tmp_path)
    exec(compile(BLOCKS[name], f"docs/works-with.md, {name}", "exec"), {"__name__": "works_with"})
