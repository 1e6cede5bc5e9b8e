"""xent: softmax regression and its cross-entropy loss, exact and fast.

`import xent` loads NumPy and nothing heavier; the estimators bring scikit-learn when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import reference
from .kernels.config import show_config
from .losses import cross_entropy, log_softmax, softmax

if TYPE_CHECKING:
    from .cv import SoftmaxRegressionCV
    from .estimators import SoftmaxRegression
    from .path import SoftmaxPath, l1_min_c, softmax_path

__version__ = "0.1.0"

__all__ = [
    "SoftmaxPath",
    "SoftmaxRegression",
    "SoftmaxRegressionCV",
    "__version__",
    "cross_entropy",
    "l1_min_c",
    "log_softmax",
    "reference",
    "show_config",
    "softmax",
    "softmax_path",
]

# Where each lives. A pickle and a skops file name a class by its module: these stay.
_LATER = {
    "SoftmaxPath": ".path",
    "SoftmaxRegression": ".estimators",
    "SoftmaxRegressionCV": ".cv",
    "l1_min_c": ".path",
    "softmax_path": ".path",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(importlib.import_module(_LATER[name], __name__), name)
    raise AttributeError(f"module 'xent' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
