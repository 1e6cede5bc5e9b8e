"""Imports go one way, and `import xent` is light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import xent

SOURCE = Path(xent.__file__).parent

# The house, floor by floor (docs/design/0010): a room at the root may import those on lower floors.
FLOORS = [
    {"_types"},
    {"_checks", "_extras", "reference", "data"},
    {"kernels", "export"},
    {"losses", "objective", "torch"},
    {"solvers", "inference"},
    {"estimators"},
    {"check", "cv", "path"},
    {"tables"},
    {"cli"},
    {"__main__"},
]

# The same of the files of each package; its __init__, its front door, may import them all.
FILES: dict[str, list[set[str]]] = {
    "data": [{"batch"}, {"source"}],
    "kernels": [{"plain", "threads"}, {"native"}, {"config", "descent", "functions", "tiled"}, {"linear"}],
    "export": [{"files", "plots"}, {"model_file"}],
    "objective": [
        {"certificate", "evaluation", "null_space", "penalty"},
        {"loss"},
        {"ridge"},
        {"composite", "minorant", "rounding"},
    ],
    "solvers": [
        {"base", "faces", "rows"},
        {"blocks", "line_search", "older", "short"},
        {"low_rank", "newton", "quadratic"},
        {"chord", "metric", "proximal"},
        {"memory", "working_set"},
        {"lbfgs"},
        {"sweep"},
    ],
    "inference": [{"margins"}, {"separation"}],
    "estimators": [
        {"sklearn"},
        {"arrays", "control", "frames", "parameters"},
        {"targets"},
        {"problem"},
        {"input", "outcome"},
        {"classifier", "sweeps"},
        {"folds"},
        {"table"},
    ],
    "torch": [
        {"inputs", "threads", "tiles"},
        {"gradient"},
        {"native_tiles", "second"},
        {"native_logits", "whole"},
        {"operations"},
        {"formula"},
        {"autograd"},
        {"asked", "door"},
        {"functional", "parallel"},
        {"modules"},
    ],
    "check": [
        {"mistakes", "report", "subject"},
        {"given", "process", "recognise", "training"},
        {"loss_checks"},
        {"gradient_checks"},
        {"examiner"},
        {"child"},
    ],
    "tables": [
        {"errors"},
        {"cells", "columns", "frames", "sources", "strength", "targets"},
        {"dialect", "formats", "misfits", "preparing"},
        {"dates", "delimited", "durations", "numbers", "words"},
        {"reading", "values"},
        {"kinds"},
        {"table"},
    ],
    "cli": [
        {"terminal"},
        {"grids", "options"},
        {"check", "explore", "fit", "inspect", "path"},
        {"predict"},
        {"app"},
    ],
}

# Who may load what is not NumPy's: packages, or single files of them.
LIBRARIES = {
    "sklearn": {"estimators", "path", "cv", "tables", "cli.fit"},
    "scipy": {
        "data.source",
        "objective.minorant",
        "objective.null_space",
        "objective.ridge",
        "solvers.blocks",
        "solvers.older",
        "solvers.faces",
        "inference",
        "estimators",
        "path",
        "tables",
        "export.plots",
        "check.training",
    },
    "array_api_compat": {"reference", "estimators.arrays"},
    "threadpoolctl": {"kernels.threads"},
    "torch": {"torch", "check.subject"},
    "pandas": {"cli", "tables"},
    "pyarrow": {"tables", "cli.predict"},
    "skops": {"export.model_file"},
    "matplotlib": {"export.plots", "check.report", "cli.path"},
    "rich": {"cli"},
    "cyclopts": {"cli"},
}


def numbered(floors):
    return {name: floor for floor, names in enumerate(floors) for name in names}


FLOOR = numbered(FLOORS)
FILE = {package: numbered(files) for package, files in FILES.items()}


def imports_of(source, inside):
    """What a file at `inside`, as ("solvers", "lbfgs"), imports at run time or for types.

    Of xent as paths of names, of other libraries by their first name.
    """
    ours, others = set(), set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level:
            where = (*inside[: len(inside) - node.level], *(node.module.split(".") if node.module else ()))
            ours |= {(*where, alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            first, *rest = node.module.split(".")
            if first == "xent":
                ours |= {(*rest, alias.name) for alias in node.names}
            else:
                others.add(first)
        elif isinstance(node, ast.Import):
            for first, *rest in (alias.name.split(".") for alias in node.names):
                if first == "xent":
                    ours.add(tuple(rest))
                else:
                    others.add(first)
    return ours, others


def breaches(source, inside):
    """What a file may not import and does."""
    ours, others = imports_of(source, inside)
    room, *rest = inside
    assert room in FLOOR, f"{room} has no floor: give it one in FLOORS"
    own = {path[1] for path in ours if path[:1] == (room,) and len(path) > 1} & FILE.get(room, {}).keys()
    found = {path[0] for path in ours if path} & FLOOR.keys() - {room}
    wrong = {name for name in found if FLOOR[name] >= FLOOR[room]}
    if rest and rest != ["__init__"]:
        file = FILE[room]
        assert rest[0] in file, f"{room}/{rest[0]}.py has no floor: give it one in FILES"
        wrong |= {f"{room}.{name}" for name in own - {rest[0]} if file[name] >= file[rest[0]]}
    allowed = {name for name, rooms in LIBRARIES.items() if rooms & {room, ".".join(inside)}}
    return wrong | (others & LIBRARIES.keys()) - allowed


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_go_one_way(path):
    inside = path.relative_to(SOURCE).with_suffix("").parts
    if inside == ("__init__",):
        return  # the front door names what is public
    wrong = breaches(path.read_text(), inside)
    assert not wrong, f"{'/'.join(inside)}.py imports {sorted(wrong)} from its floor or above, or not its own"


@pytest.mark.parametrize("room", sorted(FILES))
def test_an_import_planted_the_wrong_way_is_seen(room):
    """In the lowest file of each package: of a higher package, of a higher file, and of a library."""
    lowest = min(FILE[room], key=FILE[room].get)
    path = SOURCE / room / f"{lowest}.py"
    source, inside = path.read_text(), (room, lowest)
    assert not breaches(source, inside)
    assert breaches(f"{source}\nfrom ..__main__ import main\n", inside) == {"__main__"}
    assert breaches(f"{source}\nfrom ..__main__ import main\n", (room, max(FILE[room], key=FILE[room].get)))
    for line in (
        "from xent import __main__",
        "import xent.__main__",
        "def late():\n    from .. import __main__",
    ):
        assert breaches(f"{source}\n{line}\n", inside) == {"__main__"}
    higher = {name for name, floor in FILE[room].items() if floor > 0}
    for name in higher:
        assert breaches(f"{source}\nfrom .{name} import x\n", inside) == {f"{room}.{name}"}
        assert breaches(f"{source}\nfrom . import {name}\n", inside) == {f"{room}.{name}"}
    if room != "export":
        assert breaches(f"{source}\nimport skops.io\n", inside) == {"skops"}


def test_packages_lie_on_eight_floors_at_most():
    assert sum(any((SOURCE / name).is_dir() for name in floor) for floor in FLOORS) <= 8
    assert all((SOURCE / name).is_dir() or (SOURCE / f"{name}.py").is_file() for name in FLOOR)
    assert all((SOURCE / room / f"{name}.py").is_file() for room, files in FILE.items() for name in files)


def test_no_file_inside_a_package_hides_its_name():
    hidden = [p for p in SOURCE.rglob("_*.py") if p.parent != SOURCE and not p.name.startswith("__")]
    assert not hidden


def private_parts(source):
    """What a file imports of scikit-learn's that may differ between versions."""
    names = [
        f"{node.module}.{alias.name}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and node.module and not node.level
        for alias in node.names
    ]
    return [n for n in names if n.startswith("sklearn.") and ("._" in n or n.startswith("sklearn.callback"))]


def test_one_file_has_what_differs_between_versions_of_scikit_learn():
    found = {path.relative_to(SOURCE) for path in SOURCE.rglob("*.py") if private_parts(path.read_text())}
    assert found == {Path("estimators/sklearn.py")}


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
