"""Problems whose optimum Newton's method finds to the last digits."""

import itertools

import numpy as np
from scipy import sparse

from xent.data import Batch, InMemory
from xent.objective.ridge import Objective
from xent.solvers import Newton, Settings, short

NAMES = [
    "plain",
    "weighted",
    "rare class",
    "scales",
    "no intercept",
    "soft",
    "offset",
    "unpenalised",
    "float32",
]


def problem(name, rng, n=3000, d=6, K=4):
    X, options, ridge = rng.normal(size=(n, d)) + rng.normal(size=d), {}, 1 / n
    logits = X @ rng.normal(size=(d, K))
    if name == "rare class":
        logits -= [0, 0, 0, 6]
    y = (logits + rng.gumbel(size=(n, K))).argmax(axis=1)
    if name == "weighted":
        options["weight"] = rng.choice([0.0, 0.3, 5.0], n)
    if name == "scales":
        X *= 10.0 ** np.linspace(-2, 2, d)
    if name == "soft":
        y = rng.dirichlet(np.full(K, 0.3), n)
    if name == "offset":
        options["offset"] = rng.normal(size=(n, K))
    if name == "unpenalised":
        ridge = 0.0
    X = X.astype(np.float32) if name == "float32" else X
    batch = Batch(X, y, **options)
    return Objective.of(InMemory(batch), K, ridge, fit_intercept=name != "no intercept")


def optimum(objective):
    return Newton(Settings(tol=1e-15, max_iter=60)).solve(objective)


def share_of(objective, rows):
    """A share of the rows and its Hessian, at its own optimum."""
    part = objective.sample(rows)
    at = part.evaluate(optimum(part).theta)
    return short.Inverse(objective, part, at, part.newton_step(at))


def formula(inverse, rows, gradient, stretch=1.0):
    """u = cν and the second certificate's bound, nats, by M⁻¹ (K·D, K·D), with every pair of classes and row
    x̃ (n, D); ν² and c² `stretch` times M's."""
    K, D = gradient.shape
    ways = [
        np.einsum("k,ia->ika", one - other, rows).reshape(len(rows), K * D)
        for one, other in itertools.combinations(np.eye(K), 2)
    ]
    reach = np.sqrt(stretch * max(np.einsum("ia,ab,ib->i", way, inverse, way).max() for way in ways))
    u = reach * np.sqrt(stretch * gradient.ravel() @ inverse @ gradient.ravel())
    return u, (u + (1 - u) * np.log1p(-u)) / reach**2 if u < 1 else np.inf


def random_problem(rng):
    """Weights, soft labels, offsets, factors, scales, CSR, an intercept or none, any C."""
    n, d, K = int(rng.integers(20, 400)), int(rng.integers(1, 6)), int(rng.integers(2, 7))
    X = rng.normal(size=(n, d)) * 10.0 ** rng.uniform(-3, 3, d)
    y = np.r_[np.arange(K), rng.integers(0, K, n - K)]
    options, factors = {}, {}
    if rng.random() < 0.5:
        z = X / X.std(axis=0) @ rng.normal(size=(d, K)) * rng.choice([0.3, 1.0, 3.0])
        y[K:] = (z + rng.gumbel(size=(n, K))).argmax(axis=1)[K:]
    if rng.random() < 0.3:
        y = rng.dirichlet(np.full(K, rng.choice([0.1, 1.0])), n)
    if rng.random() < 0.3:
        options["weight"] = rng.choice([0.5, 1.0, 7.0], n)
    if rng.random() < 0.3:
        options["offset"] = rng.normal(size=(n, K))
    if rng.random() < 0.3:
        X = sparse.csr_array(X * (rng.random((n, d)) < 0.5))
    if rng.random() < 0.4:
        features = rng.choice([0.0, 1.0, 4.0], d)
        factors = {"class_factors": rng.uniform(0.1, 3, K), "feature_factors": features}
    ridge = 10.0 ** rng.uniform(-6, 0) if rng.random() < 0.8 else 0.0
    source, intercept = InMemory(Batch(X, y, **options)), rng.random() < 0.8
    return Objective.of(source, K, ridge, fit_intercept=intercept, **factors)


def points(objective, best, rng, count=6):
    """Evaluations at distances of 1e-7 to 1 of θ's size."""
    for distance in 10.0 ** rng.uniform(-7, 0, count):
        theta = best * (1 + distance * rng.normal(size=best.shape))
        yield objective.evaluate(objective.without_shift(theta))
