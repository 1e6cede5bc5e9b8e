"""The command called as a function: a hundred files take seconds, where as many processes take minutes."""

import contextlib
import io
import warnings
from typing import NamedTuple

from xent.cli.app import app


class Said(NamedTuple):
    code: int
    out: str
    err: str


def call(*arguments):
    """What `xent` with these arguments prints, and its exit code."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("default")  # as outside of tests
        try:
            app([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code or 0
    return Said(code, out.getvalue(), err.getvalue())
