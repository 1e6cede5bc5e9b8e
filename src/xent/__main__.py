"""`xent` and `python -m xent`."""

from __future__ import annotations

import signal
import sys

from ._extras import needs


def main() -> None:
    """Run the command, or say which extra is missing."""
    # SIGTERM, like Ctrl-C, unwinds: a half-written temporary file goes with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        from .cli.app import app

        app()  # loads pandas and others when it gets to them
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing == "xent":
            raise
        sys.exit(f"xent: {needs('the command', missing, 'cli')}")


if __name__ == "__main__":
    main()
