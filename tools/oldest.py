"""The fast tests with the oldest versions that pyproject.toml allows, and with the newest there are."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .environment import FAST, ROOT, environment, install, run, run_tests, uv

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
    contemporary = "pyparsing>=3.2,<3.3"  # later ones warn while matplotlib 3.9 is imported
    for name, resolution, *more in (("oldest", "lowest-direct", contemporary), ("newest", "highest")):
        python = environment(name, sys.executable)
        # What the wheel needs is named here, since uv takes the oldest of what is named alone.
        named = ("-r", "pyproject.toml", "--extra", "cli", "--extra", "plot", "--group", "test", *more)
        install(python, "--resolution", resolution, *named)
        install(python, "--no-deps", wheel)
        # As in the Makefile. No older PyTorch comes without CUDA from the index, nor a newer one.
        run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "torch==2.13.0")
        run(python, "-c", VERSIONS)
        run_tests(python, (*FAST, "array_api"))


if __name__ == "__main__":
    main()
