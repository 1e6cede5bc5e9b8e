"""Empty environments with an installed xent, and its fast tests in them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent

# By name, wherever they lie: what a user's first hours meet. The rest of the suite asks for PyTorch, other
# processes or minutes.
FAST = (
    *("absent_classes", "cli", "control", "cv", "drop_in", "estimators", "explore", "frames", "linear"),
    *("path", "prediction", "public", "table", "targets"),
)


def run(*command: Any, **options: Any) -> None:
    """A command whose failure is ours."""
    subprocess.run([str(part) for part in command], check=True, **options)


def uv(*arguments: Any) -> None:
    run(BIN / "uv", *arguments, "--quiet", cwd=ROOT)


def environment(name: str, python: Any) -> Path:
    """The interpreter of a new environment in build/`name`, empty but for pip."""
    folder = ROOT / "build" / name
    uv("venv", "--clear", "--seed", "--python", python, folder)
    return folder / "bin" / "python"


def install(python: Path, *arguments: Any) -> None:
    """What uv's arguments name, into the environment of this interpreter."""
    uv("pip", "install", "--compile-bytecode", "--python", python, *arguments)


def run_tests(python: Path, names: tuple[str, ...] = FAST) -> None:
    """The tests of these names by an environment's own xent, where no compiler can be found."""
    found = {name: list(ROOT.glob(f"tests/**/test_{name}.py")) for name in names}
    assert all(found.values()), f"no tests of {[name for name in names if not found[name]]}"
    files = [file for some in found.values() for file in some]
    run(python, "-m", "pytest", "--quiet", "-p", "tools.installed", *files, cwd=ROOT, env=bare(python))


def bare(python: Path) -> dict[str, str]:
    """The environment variables of a machine that has this Python and no compiler."""
    return os.environ | {"PATH": str(python.parent), "CC": "/bin/false", "CXX": "/bin/false"}
