"""`xent` and `python -m xent`."""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """Run the command, or say which extra is missing."""
    try:
        from .cli import app
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "xent":
            raise
        sys.exit(f"xent: the command needs {error.name}, which is not installed: pip install 'xent[cli]'")
    # SIGTERM, like Ctrl-C, unwinds: a half-written temporary file goes with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    app()


if __name__ == "__main__":
    main()
