"""Imports go one way, and `import xent` is light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import xent

SOURCE = Path(xent.__file__).parent

# Each module may import those on lower levels only; modules of one level do not know each other.
LEVELS = [
    {"_extras"},
    {"reference", "_arrays", "_files", "_batch", "_threads", "_plots", "_terminal"},
    {"_plain", "_checks", "certificate", "_evaluation"},
    {"_kernels", "_frames"},
    {"_tiled", "_functions", "_descent", "_config"},
    {"linear", "torch", "losses"},
    {"null_space", "penalty"},
    {"_margins"},
    {"objective"},
    {"composite", "rounding"},
    {"separation"},
    {"solvers"},
    {"_control", "_targets", "_parameters"},
    {"_problem"},
    {"_classifier"},
    {"estimators"},
    {"path", "check"},
    {"_folds"},
    {"cv"},
    {"model_file", "tables"},
    {"cli_path", "cli_check", "cli_explore"},
    {"cli"},
    {"__main__"},
]
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}


def imports_of(path):
    """The xent modules (top level names) that a file imports, at run time or for types."""
    inside = path.relative_to(SOURCE).with_suffix("").parts
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            package = inside[: len(inside) - node.level]
            where = (*package, *(node.module.split(".") if node.module else ()))
            found |= {where[0]} if where else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {name.name.split(".")[1] for name in node.names if name.name.startswith("xent.")}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("xent."):
            found.add(node.module.split(".")[1])
    return found & LEVEL.keys()


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_go_one_way(path):
    name = path.relative_to(SOURCE).with_suffix("").parts[0]
    if name == "__init__":
        return  # the front door names what is public
    assert name in LEVEL, f"{name} has no level: give it one in LEVELS"
    above = {other for other in imports_of(path) - {name} if LEVEL[other] >= LEVEL[name]}
    assert not above, f"{name} (level {LEVEL[name]}) imports {sorted(above)} from its level or above"


def test_the_rule_sees_a_breach(tmp_path):
    assert imports_of(SOURCE / "estimators.py") >= {"solvers", "_problem", "objective"}
    assert imports_of(SOURCE / "solvers" / "lbfgs.py") >= {"objective", "solvers"}
    assert imports_of(SOURCE / "cli.py") >= {"tables", "model_file"}


def modules_after(statement):
    out = subprocess.run(
        [sys.executable, "-c", f"import sys; {statement}; print(*sorted(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.partition(".")[0] for name in out.stdout.split()}


def test_import_xent_loads_numpy_and_nothing_heavier():
    loaded = modules_after("import xent")
    heavy = {"sklearn", "scipy", "torch", "pandas", "pyarrow", "skrub", "skops", "dask", "matplotlib", "rich"}
    assert "numpy" in loaded
    assert not loaded & (heavy | {"cyclopts", "joblib"})
    assert "sklearn" in modules_after("import xent; xent.SoftmaxRegression")


def test_the_commands_help_waits_for_nothing_heavy():
    loaded = modules_after("import xent.cli")
    assert not loaded & {"sklearn", "scipy", "pandas", "skrub", "skops", "pyarrow"}
