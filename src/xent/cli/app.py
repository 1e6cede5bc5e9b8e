"""The command: `xent fit`, `predict`, `inspect`, `path`, `check`, `explore`, each in a file of its own.

pandas, scikit-learn and skops load inside the commands: `xent --help` waits for none of them.
"""

from __future__ import annotations

from cyclopts import App

from .. import __version__
from .check import check
from .explore import explore
from .fit import fit
from .inspect import inspect
from .path import path
from .predict import predict

app = App(
    name="xent",
    version=__version__,
    help="Softmax regression, fitted to its certified optimum.",
)

for command in (fit, path, check, explore, predict, inspect):
    app.command(command)
