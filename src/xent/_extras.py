"""What xent works without: which package is missing, and the command that installs it."""

from __future__ import annotations

import importlib.metadata
import shlex
import sys


def needs(what: str, module: str, extra: str) -> str:
    """One line for an error: `what` needs `module`, of xent's extra `extra`, and how to install that here.

    It names the packages themselves: an installer would look for 'xent[cli]' on an index, where xent need not
    be.
    """
    try:
        required = importlib.metadata.requires("xent") or []
    except importlib.metadata.PackageNotFoundError:  # a source tree that nobody installed
        required = []
    parts = [line.partition(";") for line in required]
    packages = [name.strip() for name, _, marker in parts if extra in marker.replace('"', "'").split("'")]
    python = shlex.quote(sys.executable)
    # uv's environments have none. Not by find_spec, which makes setuptools touch distutils, with a warning.
    with_pip = any(importlib.metadata.distributions(name="pip"))
    install = f"{python} -m pip install" if with_pip else f"uv pip install --python {python}"
    return f"{what} needs {module}, which is not installed: {install} {shlex.join(packages or [module])}"
