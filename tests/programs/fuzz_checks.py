"""The calls of `fuzz_kernels.py`, and what a right answer is: the reference's, in float64, with a bound on
what rounding in the compute dtype may do to every entry."""

from __future__ import annotations

import numpy as np

from xent import reference
from xent.kernels import linear

# What is right -----------------------------------------------------------------------------------------


class Truth:
    """The case in float64, only rows that count, and bounds on what rounding may do to a row.

    A logit is a sum of d + 2 terms of total size A, so it is off by (d + 2) u A at most, u the rounding
    of the compute dtype; the softmax of K logits adds K u. A probability, and with it the residual, moves
    by no more than twice what its logits do. Everything is doubled again, to be no test of the bound.
    """

    def __init__(self, case, live=None):
        X = csr_to_dense(case.X) if case.X_is_sparse else case.X
        compute = np.result_type(case.X.dtype if case.X.dtype.itemsize > 2 else np.float32, case.W.dtype)
        self.live = np.ones(case.n, bool) if live is None else live
        self.X = np.asarray(X, np.float64)[self.live]
        self.W = np.asarray(case.W, np.float64)
        self.b = np.asarray(case.b, np.float64)
        n, (K, d) = len(self.X), self.W.shape
        offsets = [self.b] if case.offset is None else [self.b, case.offset.astype(np.float64)[self.live]]
        added = sum(offsets)
        self.Z = self.X @ self.W.T + added
        size = sum(np.abs(a, where=np.isfinite(a), out=np.zeros(a.shape)) for a in offsets)
        A = (np.abs(self.X) @ np.abs(self.W).T + size).max(axis=1, initial=0)
        info = np.finfo(compute)
        self.u = float(info.eps) / 2
        self.n_u = (n + 80) * self.u
        self.logit = 4 * self.u * ((d + K + 4) * A + K + 8)
        self.residual = np.minimum(2, 2 * self.logit) + self.n_u
        self.tiny = 64 * float(info.smallest_subnormal) * (n + 1)
        self.safe = bool(
            np.isfinite(self.W).all()
            and not np.isnan(added).any()
            and not np.isposinf(added).any()
            and (np.isfinite(added + np.zeros((n, K))).any(axis=1).all())
            and np.isfinite(self.X).all()
            and A.max(initial=0) < info.max / 8
        )
        self.limit = float(info.max) / 8
        self.nan = bool(np.isnan(self.X).any())

    def adds_up(self, s, size):
        """Whether sums over the rows of residuals up to `size` stay far from overflow."""
        sums = np.append(s * size @ np.abs(self.X), (s * size).sum())
        return self.safe and bool((sums < self.limit).all())


def csr_to_dense(X):
    """Without scipy, whose toarray wants dtypes of its own."""
    A = np.zeros(X.shape)
    np.add.at(A, (np.repeat(np.arange(X.shape[0]), np.diff(X.indptr)), X.indices), X.data.astype(np.float64))
    return A


def near(what, got, want, bound):
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    assert got.shape == want.shape, f"{what}: shape {got.shape} for {want.shape}"
    with np.errstate(invalid="ignore"):
        ok = (np.abs(got - want) <= bound) | (got == want) | (np.isnan(got) & np.isnan(want))
    assert ok.all(), (
        f"{what}: {got[~ok][:3]} for {want[~ok][:3]}, bound {np.broadcast_to(bound, ok.shape)[~ok][:3]}"
    )


def rows_that_count(case):
    """Which rows have weight, and the weights."""
    s = np.ones(case.n) if case.weight is None else np.asarray(case.weight, np.float64)
    live = s != 0
    if case.options.get("ignore_index") is not None:
        live &= case.y != case.options["ignore_index"]
    return live, s


def targets_of(case):
    """The rows (n, K) that y stands for."""
    K, y, e = case.K, case.y, case.options.get("label_smoothing", 0.0)
    if not isinstance(y, np.ndarray):
        Y = np.zeros((case.n, K))
        np.put_along_axis(Y, y.indices, y.values, axis=1)
        return Y
    if y.ndim == 2:
        return np.asarray(y, np.float64)
    live = np.broadcast_to(case.b > -np.inf, (case.n, K))  # a masked class takes no share
    live = live if case.offset is None else live & (case.offset > -np.inf)
    share = e * live / np.maximum(live.sum(axis=1, keepdims=True), 1) if e else 0
    return (1 - e) * (y[:, None] == np.arange(K)) + share


def expectation(case, run):
    """What may come of this call: "answer", "error" or "either"."""
    n, K, y = case.n, case.K, case.y
    if n and case.W.shape != (len(case.b), case.d):
        return "error"
    if run in (predict, predict_proba, predict_log_proba, logits):
        return case.expect
    if case.weight is not None and case.weight.shape != (n,):
        return "error"
    if not isinstance(y, np.ndarray) or (y.shape == (n, K) and y.dtype.kind == "f"):
        return case.expect
    if y.shape == (n, K):  # whole numbers as rows: one-hot, or a column where there is one class
        return "either"
    if y.shape != (n,):
        return "error"
    if case.exact and ((y < 0) | (y >= K))[rows_that_count(case)[0]].any():
        return "error" if run in (sums, sums_without_gradient) else "either"
    return case.expect


# Calls, and their checks, True where every number was compared and none escaped to overflow -------------


def batch_of(case):
    return linear.Batch(case.X, case.y, case.weight, **case.options)


def offset_of(case):
    return {} if case.offset is None else {"offset": case.offset}


def sums(case):
    return linear.sums(batch_of(case), case.W, case.b, n_threads=case.n_threads)


def sums_without_gradient(case):
    return linear.sums(batch_of(case), case.W, case.b, gradient=False, n_threads=case.n_threads)


def check_sums(case, got, gradient=True):
    live, s = rows_that_count(case)
    truth, Y, s = Truth(case, live), targets_of(case)[live], s[live]
    near("weight", got.weight, s.sum(), 1e-12 * s.sum())
    if truth.nan:
        assert np.isnan(got.loss), f"loss {got.loss} of a row that holds NaN"
    if not truth.adds_up(s, 1.0):
        return False
    losses = reference.cross_entropy(truth.Z, Y)
    bound = 2 * truth.logit + truth.n_u * np.where(np.isfinite(losses), losses, 0)
    near("loss", got.loss, s @ losses, s @ bound + truth.tiny)
    G = reference.cross_entropy_gradient(truth.Z, Y) * s[:, None]
    error = s * truth.residual
    tiny = truth.tiny * (1 + np.abs(truth.X).max(initial=0))
    if gradient:
        near("grad_b", got.grad_b, G.sum(axis=0), error.sum() + tiny)
        near("grad_W", got.grad_W, G.T @ truth.X, error @ np.abs(truth.X) + tiny)
    if isinstance(case.y, np.ndarray) and case.y.ndim == 1:
        y = case.y[live]
        others = np.where(np.arange(case.K) == y[:, None], -np.inf, truth.Z).max(axis=1, initial=-np.inf)
        margin = truth.Z[np.arange(len(y)), y] - others
        low, high = s @ (margin > 2 * truth.logit), s @ ~(margin < -2 * truth.logit)
        slack = 1e-12 * s.sum()
        assert low - slack <= got.hits <= high + slack, f"hits {got.hits} not in [{low}, {high}]"
    return True


def check_sums_without_gradient(case, got):
    return check_sums(case, got, gradient=False)


def hessian_vector(case):
    return linear.hessian_vector(batch_of(case), case.W, case.b, case.V, case.c, n_threads=case.n_threads)


def check_hessian_vector(case, got):
    live, s = rows_that_count(case)
    truth, s = Truth(case, live), s[live]
    V, c = (np.asarray(a, np.float64) for a in (case.V, case.c))
    size = (np.abs(truth.X) @ np.abs(V).T + np.abs(c)).max(axis=1, initial=0)
    if not truth.adds_up(s, size):
        return False
    U = reference.softmax_jacobian_product(reference.softmax(truth.Z), truth.X @ V.T + c) * s[:, None]
    error = s * size * (4 * truth.residual + 8 * (case.d + case.K + 8) * truth.u)
    tiny = truth.tiny * (1 + np.abs(truth.X).max(initial=0)) * (1 + size.max(initial=0))
    near("HV", got[0], U.T @ truth.X, error @ np.abs(truth.X) + tiny)
    near("Hc", got[1], U.sum(axis=0), error.sum() + tiny)
    return True


def predict(case):
    return linear.predict(case.X, case.W, case.b, **offset_of(case))


def check_predict(case, got):
    truth = Truth(case)
    assert got.shape == (case.n,)
    assert not case.n or (got.min() >= 0 and got.max() < case.K)
    if truth.safe:
        Z = truth.Z
        chosen, best = Z[np.arange(case.n), got], Z.max(axis=1, initial=-np.inf)
        near("the logit predicted", chosen, best, 2 * truth.logit + truth.tiny)
    return truth.safe


def predict_proba(case):
    return linear.predict_proba(case.X, case.W, case.b, **offset_of(case))


def check_predict_proba(case, got):
    truth = Truth(case)
    if truth.safe:
        bound = 2 * np.minimum(1, truth.residual)[:, None] + truth.tiny
        near("probabilities", got, reference.softmax(truth.Z), bound)
    return truth.safe


def predict_log_proba(case):
    return linear.predict_log_proba(case.X, case.W, case.b, **offset_of(case))


def check_predict_log_proba(case, got):
    truth = Truth(case)
    if truth.safe:
        want = reference.log_softmax(truth.Z)
        size = np.where(np.isfinite(want), np.abs(want), 0)
        near("log-probabilities", got, want, 2 * truth.logit[:, None] + 4 * truth.u * size + truth.tiny)
    return truth.safe


def logits(case):
    return linear.logits(case.X, case.W, case.b, **offset_of(case))


def check_logits(case, got):
    truth = Truth(case)
    if truth.safe:
        near("logits", got, truth.Z, truth.logit[:, None] + truth.tiny)
    return truth.safe


CALLS = {
    "sums": (6, (sums, check_sums)),
    "sums, loss only": (2, (sums_without_gradient, check_sums_without_gradient)),
    "hessian_vector": (3, (hessian_vector, check_hessian_vector)),
    "predict": (1, (predict, check_predict)),
    "predict_proba": (1, (predict_proba, check_predict_proba)),
    "predict_log_proba": (1, (predict_log_proba, check_predict_log_proba)),
    "logits": (1, (logits, check_logits)),
}
