"""xent: softmax regression and its cross-entropy loss, exact and fast.

`import xent` loads NumPy and nothing heavier; `SoftmaxRegression` brings scikit-learn when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import reference
from ._config import show_config
from .losses import cross_entropy, log_softmax, softmax

if TYPE_CHECKING:
    from .estimators import SoftmaxRegression

__version__ = "0.1.0"

__all__ = [
    "SoftmaxRegression",
    "__version__",
    "cross_entropy",
    "log_softmax",
    "reference",
    "show_config",
    "softmax",
]


def __getattr__(name: str) -> Any:
    if name == "SoftmaxRegression":
        from .estimators import SoftmaxRegression

        return SoftmaxRegression
    raise AttributeError(f"module 'xent' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
