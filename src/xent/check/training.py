"""Training with a student's gradient, against the certified optimum."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import minimize

from .. import reference
from .._types import Float
from .subject import Subject

_REG = 0.05


class _Stuck(Exception):
    """No finite loss, or no gradient, to go on with."""


def distance(subject: Subject, half: float) -> float:
    """Nats between the objective that L-BFGS reaches with the function's loss and gradient, and the optimum;
    of noisy labels, so that there is one; inf if it does not get on. `half`: ½ reg ‖W‖² or 1 reg ‖W‖²."""
    from ..estimators import SoftmaxRegression

    rng = np.random.default_rng(5)
    X = np.column_stack([rng.normal(size=(80, 3)), np.ones(80)])
    y = (X @ rng.normal(size=(4, 3)) + rng.gumbel(size=(80, 3))).argmax(axis=1)
    reg = _REG if subject.regularised else 0.0
    penalty = 2 * half * reg

    def objective(flat: Float) -> tuple[float, Float]:
        """Loss and gradient as SciPy wants them."""
        W = flat.reshape(4, 3)
        if subject.is_linear:
            found = subject.linear(W, X, y, reg)
            gradient = found.gradient
        else:
            found = subject.loss(X @ W, y)
            gradient = None if found.gradient is None else X.T @ found.gradient
        if gradient is None or not math.isfinite(found.loss):
            raise _Stuck
        return found.loss, np.asarray(gradient, np.float64).ravel()

    options = {"ftol": 0, "gtol": 1e-9, "maxiter": 500}
    try:
        reached = minimize(objective, np.zeros(12), jac=True, method="L-BFGS-B", options=options)
    except _Stuck:
        return math.inf
    C = 1 / (penalty * len(y)) if penalty else math.inf
    best = SoftmaxRegression(C=C, fit_intercept=False).fit(X, y)
    at = [float(reference.softmax_loss(W, X, y, penalty)[0]) for W in (reached.x.reshape(4, 3).T, best.coef_)]
    return at[0] - at[1]
