"""The front door: names, docstrings, show_config, and the README's own code."""

import doctest
import importlib
import inspect
import os
import re
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import xent
from xent import reference

ROOT = Path(__file__).parents[2]


def test_names_are_listed_sorted_and_there():
    for module in (xent, reference):
        assert module.__all__ == sorted(module.__all__)
        for name in module.__all__:
            assert getattr(module, name) is not None
    assert set(xent.__all__) <= set(dir(xent))
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        xent.nonsense  # noqa: B018


@pytest.mark.parametrize("name", reference.__all__)
def test_every_formula_is_documented(name):
    doc = inspect.getdoc(getattr(reference, name))
    assert doc
    assert re.search(r"Source: .+\.$", doc), "no source"
    assert re.search(r"\(.*(K|D|N|\.\.\.).*\)|elementwise|any shape|step", doc), "no shapes"


def test_version_is_one():
    text = (ROOT / "pyproject.toml").read_text()
    assert f'version = "{xent.__version__}"' in text


def config(**environment):
    out = subprocess.run(
        [sys.executable, "-c", "import xent; xent.show_config()"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return out.stdout


def test_show_config_says_which_path_runs_and_why():
    assert "kernels  native (compiled extension," in config(XENT_NATIVE="1")
    assert "kernels  reference (switched off by XENT_NATIVE=0)" in config(XENT_NATIVE="0")
    assert "compiled extension, baseline kernels" in config(XENT_NATIVE="1", XENT_ISA="baseline")


def test_an_instruction_set_that_is_not_there_is_refused():
    out = subprocess.run(
        [sys.executable, "-c", "import xent"],
        env=os.environ | {"XENT_ISA": "neon9", "XENT_NATIVE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "cannot run the kernels for 'neon9'" in out.stderr


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S))
def test_readme_code_runs(block):
    if "sklearn.callback" in block:
        pytest.importorskip("sklearn.callback", reason="scikit-learn has callbacks from 1.9 on")
    exec(compile(block, "README.md", "exec"), {})


def test_docs_name_no_machine():
    """No path of a machine in the tree: what is written here is read elsewhere."""
    files = list(ROOT.glob("*.md")) + list((ROOT / "docs").rglob("*.md"))
    for path in files:
        assert not re.search(r"/(home|root|tmp|work)/", path.read_text()), path


def public_objects():
    """Every public class and function of xent, and every public method that is xent's own."""
    things = {name: getattr(xent, name) for name in xent.__all__}
    things |= {f"reference.{name}": getattr(reference, name) for name in reference.__all__}
    found = {
        name: thing for name, thing in things.items() if inspect.isclass(thing) or inspect.isfunction(thing)
    }
    for name, thing in list(found.items()):
        if inspect.isclass(thing):
            own = inspect.getmembers(thing, inspect.isfunction)
            found |= {f"{name}.{key}": member for key, member in own if not key.startswith("_")}
            if "<string>" not in thing.__init__.__code__.co_filename:  # a dataclass's is written by nobody
                found[f"{name}.__init__"] = thing.__init__
    return found


PUBLIC = public_objects()


def test_all_that_is_public_is_looked_at():
    methods = {
        "SoftmaxRegression.fit",
        "SoftmaxRegressionCV.score",
        "SoftmaxPath.plot",
        "SoftmaxRegression.__init__",
    }
    assert methods | {"SoftmaxPath", "softmax_path", "cross_entropy", "reference.softmax"} <= PUBLIC.keys()


@pytest.mark.parametrize("name", PUBLIC)
def test_source_and_types_are_found(name):
    """As editors, notebooks and documentation find them: by a class's module and a function's globals."""
    thing = PUBLIC[name]
    assert inspect.getsource(thing).lstrip().startswith(("class ", "def ", "@"))
    hints = typing.get_type_hints(thing)
    if thing.__module__.startswith("xent") and inspect.isfunction(thing):
        parameters = inspect.signature(thing).parameters.keys() - {"self", "args", "kwargs"}
        assert parameters <= hints.keys()


@pytest.mark.parametrize(
    "name", sorted({thing.__module__ for thing in PUBLIC.values() if inspect.isclass(thing)})
)
def test_examples_in_docstrings_run(name):
    outcome = doctest.testmod(importlib.import_module(name))
    assert outcome.attempted > 0
    assert outcome.failed == 0
