"""Which code runs here, and why."""

from __future__ import annotations

import platform

import numpy as np

from . import native


def show_config() -> None:
    """Print xent's version, which kernels run and why, the threads of a pass, and the versions below."""
    from .. import __version__

    path = "native" if native.HAS_NATIVE else "reference"
    print(f"xent     {__version__}")
    print(f"kernels  {path} ({native.REASON})")
    print(f"threads  {native.max_threads()}")
    print(f"numpy    {np.__version__}")
    print(f"python   {platform.python_version()}, {platform.machine()}")
