"""F, the mean loss and its penalty: values, derivatives, and what is proven of its optimum."""

from __future__ import annotations

from .composite import Composite
from .loss import MeanLoss
from .penalty import Penalty
from .ridge import Objective

__all__ = ["Composite", "MeanLoss", "Objective", "Penalty"]
