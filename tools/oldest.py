"""The fast tests with the oldest versions that pyproject.toml allows, and with the newest there are."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .environment import FAST, ROOT, environment, run, run_tests, uv

SHOWN = ("numpy", "scipy", "scikit-learn", "pandas", "pyarrow", "matplotlib", "skops", "skrub", "torch")
VERSIONS = f"from importlib.metadata import version; print({{name: version(name) for name in {SHOWN}}})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wheel", type=Path, help="one of this Python that is built already")
    wheel = parser.parse_args().wheel
    if wheel is None:
        folder = ROOT / "build" / "oldest-wheel"
        uv("build", "--wheel", "--python", sys.executable, "--clear", "--out-dir", folder)
        (wheel,) = folder.glob("*.whl")
    for name, resolution in (("oldest", "lowest-direct"), ("newest", "highest")):
        python = environment(name, sys.executable)
        uv("pip", "install", "--python", python, "--resolution", resolution, f"{wheel}[cli,plot]")
        uv("pip", "install", "--python", python, "--group", "test")
        # As in the Makefile. No older PyTorch comes without CUDA from the index, nor a newer one.
        run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "torch==2.13.0")
        run(python, "-c", VERSIONS)
        run_tests(python, (*FAST, "array_api"))


if __name__ == "__main__":
    main()
