"""Cross-entropy for PyTorch, without holding a layer's logits; differentiable to any order.

Needs PyTorch, `pip install torch`; `import xent` alone does not load it.
"""

from __future__ import annotations

from .._extras import needs as _needs

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise ImportError(_needs("xent.torch", "PyTorch", "torch")) from error

from .asked import CrossEntropyOutput
from .functional import cross_entropy, linear_cross_entropy
from .modules import CrossEntropyLoss, LinearCrossEntropyLoss
from .parallel import vocab_parallel_linear_cross_entropy

__all__ = [
    "CrossEntropyLoss",
    "CrossEntropyOutput",
    "LinearCrossEntropyLoss",
    "cross_entropy",
    "linear_cross_entropy",
    "vocab_parallel_linear_cross_entropy",
]
