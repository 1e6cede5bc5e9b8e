"""Coordinate descent on a quadratic model plus a penalty: native against plain, and both against cvxpy."""

import itertools
import warnings

import cvxpy
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tests.kernels.test_kernels import native, runnable_isas
from xent.kernels import native as kernels
from xent.kernels import plain

BACKENDS = [*runnable_isas(), "reference"]


class Model:
    """A random model of so many coordinates a block, with its penalty: the arguments of `descend`."""

    def __init__(self, rng, widths, *, rank=8, dtype=np.float64, grouped=False, box=None, l2=0.3, l1=0.7):
        self.start = np.cumsum([0, *widths]).astype(np.int64)
        size = int(self.start[-1])
        squares = [rng.normal(size=(m, m + 3)) for m in widths]
        squares = [
            (A @ A.T / (m + 3) + 0.2 * np.eye(m) + 4.0 * (grouped == "inside")).astype(dtype)
            for A, m in zip(squares, widths, strict=True)
        ]
        self.blocks = np.concatenate([B.ravel() for B in squares] or [np.empty(0, dtype)])
        self.B = np.zeros((size, size))
        for a, b, square in zip(self.start[:-1], self.start[1:], squares, strict=True):
            self.B[a:b, a:b] = square
        # B − Ψ M Ψᵀ with some of M's signs negative, and curvature left everywhere.
        self.psi = rng.normal(size=(size, rank)) / np.sqrt(max(size * rank, 1))
        signs = rng.choice([-1.0, 0.1], rank)
        self.dual = self.psi * signs
        self.H = self.B - self.psi @ self.dual.T
        self.gradient, self.w = rng.normal(size=(2, size))
        self.w *= rng.random(size) < 0.5
        self.parts = np.zeros((4, size))
        self.parts[0], self.parts[1] = l2 * rng.uniform(0.5, 1.5, size), l1 * rng.uniform(0, 1.5, size)
        low, high = (-np.inf, np.inf) if box is None else box
        self.parts[2], self.parts[3] = low, high
        if box is not None:
            self.parts[2, ::3], self.parts[3, 1::3] = -np.inf, np.inf
        self.w = np.clip(self.w, self.parts[2], self.parts[3])
        self.groups = self._groups(grouped) if grouped else None

    def _groups(self, grouped):
        """The i-th coordinates of all blocks together, and the last of each alone and without l1; or every
        other coordinate together, members of one block among them."""
        if grouped == "inside":
            size = len(self.w)
            self.parts[:2] = self.parts[:2, :1]
            order = np.append(np.arange(0, size, 2), np.arange(1, size, 2))
            return np.array([0, (size + 1) // 2, size]), order
        widths = np.diff(self.start)
        inside = np.concatenate([np.arange(m) for m in widths])
        alone = np.concatenate([np.arange(m) == m - 1 for m in widths])
        label = np.where(alone, len(inside) + np.arange(len(inside)), inside)
        order = np.argsort(label, kind="stable").astype(np.int64)
        starts = np.append(np.flatnonzero(np.diff(label[order], prepend=-1)), len(order))
        self.parts[:2] = self.parts[:2, 0][:, None]
        self.parts[1, alone] = 0
        return starts.astype(np.int64), order

    def descend(self, tolerance, most):
        """w after it, and how many sweeps it took."""
        w = self.w.copy()
        arguments = (self.start, self.blocks, self.psi, self.dual, self.parts, self.gradient)
        before = [a.copy() for a in arguments]
        sweeps = kernels.descend(*arguments, w, self.groups, tolerance, most)
        for a, b in zip(arguments, before, strict=True):
            assert_array_equal(a, b)
        return w, sweeps

    def value(self, w):
        l2, l1, low, high = self.parts
        assert (w >= low).all()
        assert (w <= high).all()
        v = w - self.w
        corners = l1 @ np.abs(w)
        if self.groups is not None:
            starts, member = self.groups
            corners = sum(
                l1[member[a]] * np.linalg.norm(w[member[a:b]]) for a, b in itertools.pairwise(starts)
            )
        return self.gradient @ v + v @ self.H @ v / 2 + l2 @ (w * w) / 2 + corners

    def optimum(self):
        """By cvxpy."""
        l2, l1, low, high = self.parts
        w = cvxpy.Variable(len(self.w))
        H = cvxpy.psd_wrap((self.H + self.H.T) / 2)
        smooth = cvxpy.quad_form(w - self.w, H) / 2 + self.gradient @ (w - self.w) + l2 @ cvxpy.square(w) / 2
        if self.groups is None:
            corners = l1 @ cvxpy.abs(w)
        else:
            starts, member = self.groups
            pairs = itertools.pairwise(starts)
            corners = sum(l1[member[a]] * cvxpy.norm(w[member[a:b]]) for a, b in pairs)
        within = [w[i] >= low[i] for i in np.flatnonzero(np.isfinite(low))]
        within += [w[i] <= high[i] for i in np.flatnonzero(np.isfinite(high))]
        with warnings.catch_warnings():  # that it fell short of 1e-10
            warnings.simplefilter("ignore", UserWarning)
            cvxpy.Problem(cvxpy.Minimize(smooth + corners), within).solve(
                solver="CLARABEL", tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10
            )
        return np.clip(w.value, low, high)


CASES = {
    "lasso": {"l2": 0.0},
    "elastic net": {},
    "smooth": {"l1": 0.0},
    "bounds": {"box": (-0.2, 0.3)},
    "positive": {"box": (0.0, np.inf), "l1": 0.0},
    "no room": {"box": (0.1, 0.1)},
    "groups": {"grouped": True},
    "group lasso": {"grouped": True, "l2": 0.0},
    "groups inside blocks": {"grouped": "inside", "l2": 0.0, "l1": 0.1},
    "no low rank": {"rank": 0},
    "wide low rank": {"rank": 24},
}
WIDTHS = [[5], [4, 4, 4], [1, 9, 17], [0, 6, 0, 3], [33, 31]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_the_least_point_is_cvxpys(rng, on, case, dtype):
    """Run to where nothing moves, every backend is where the interior point is, or lower."""
    models = [Model(rng, widths, dtype=dtype, **CASES[case]) for widths in ([4, 4, 4], [0, 6, 0, 3])]
    best = [model.value(model.optimum()) for model in models]
    for backend in BACKENDS[-2:]:
        on(backend)
        for model, least in zip(models, best, strict=True):
            w, _ = model.descend(1e-24, 3000)
            assert model.value(w) == pytest.approx(least, abs=1e-8)
            for _ in range(50):
                near = np.clip(w + 1e-3 * rng.normal(size=len(w)), *model.parts[2:])
                assert model.value(near) >= model.value(w) - 1e-12


@native
@pytest.mark.parametrize("isa", runnable_isas())
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_native_is_plain(rng, on, monkeypatch, case, dtype, isa):
    """The same sweeps and the same point to rounding, wherever it stops."""
    for widths in WIDTHS:
        model = Model(rng, widths, dtype=dtype, **CASES[case])
        for tolerance, most in ((0.05, 30), (1e-6, 200), (0.0, 1), (0.0, 7), (0.5, 2)):
            monkeypatch.setattr(kernels, "HAS_NATIVE", True)
            on(isa)
            w, sweeps = model.descend(tolerance, most)
            on("reference")
            want, took = model.descend(tolerance, most)
            assert sweeps == took
            assert 1 <= sweeps <= most
            assert_allclose(w, want, atol=1e-11)
            assert_array_equal(w == 0, want == 0)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", CASES)
def test_no_sweep_goes_up(rng, on, case, backend):
    on(backend)
    model = Model(rng, [6, 0, 5, 6], **CASES[case])
    at = model.value(model.w)
    for most in range(1, 12):
        w, sweeps = model.descend(0.0, most)
        assert sweeps <= most
        assert model.value(w) <= at + 1e-12
        at = model.value(w)


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_to_move(on, backend):
    """No coordinate, no block, no curvature, none that bounds let move."""
    on(backend)
    none, empty = np.empty(0), np.zeros((0, 8))
    for start in ([0], [0, 0], [0, 0, 0]):
        arguments = (np.array(start), none, empty, empty, np.zeros((4, 0)), none, none)
        assert kernels.descend(*arguments, None, 0.05, 30) == 1
        assert kernels.descend(*arguments, (np.array([0, 0]), np.empty(0, np.int64)), 0.05, 30) == 1
    w, parts = np.array([0.3, -2.0]), np.array([[0.0] * 2, [0.0] * 2, [-1, -2.0], [1, -2.0]])
    low_rank = np.zeros((2, 8))
    arguments = (np.array([0, 1, 2]), np.array([0.0, 1.0]), low_rank, low_rank, parts, np.array([0.5, 9.0]))
    kernels.descend(*arguments, w, None, 0.05, 30)
    assert_array_equal(w[1], -2.0)
    assert -1 <= w[0] <= 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_curvature_that_pairs_take_away_is_replaced(rng, on, backend):
    """Where B − Ψ M Ψᵀ bends down, a thousandth of B stays, so that a step is finite."""
    on(backend)
    model = Model(rng, [4, 3], rank=8)
    model.dual = 100 * model.psi
    w, sweeps = model.descend(0.0, 5)
    assert sweeps == 5
    assert np.isfinite(w).all()


def bad_arguments():
    """(name, what is changed): shapes and dtypes that must be refused before anything is read."""
    i64, f64 = np.int64, np.float64
    yield "start too long", {"start": np.array([0, 3, 8])}
    yield "start too short", {"start": np.array([0, 3, 6])}
    yield "start from one", {"start": np.array([1, 3, 7])}
    yield "start falls", {"start": np.array([0, 9, 7])}
    yield "start below zero", {"start": np.array([0, -1, 7])}
    yield "start empty", {"start": np.empty(0, i64)}
    yield "start int32", {"start": np.array([0, 3, 7], np.int32)}
    yield "blocks short", {"blocks": np.ones(24)}
    yield "blocks long", {"blocks": np.ones(26)}
    yield "blocks float16", {"blocks": np.ones(25, np.float16)}
    yield "blocks strided", {"blocks": np.ones(50)[::2]}
    yield "psi rank 7", {"psi": np.zeros((7, 7)), "dual": np.zeros((7, 7))}
    yield "psi short", {"psi": np.zeros((6, 8))}
    yield "dual short", {"dual": np.zeros((6, 8))}
    yield "dual of another rank", {"dual": np.zeros((7, 16))}
    yield "psi by columns", {"psi": np.zeros((7, 8), order="F")}
    yield "psi float32", {"psi": np.zeros((7, 8), np.float32)}
    yield "penalty of three", {"penalty": np.zeros((3, 7))}
    yield "penalty narrow", {"penalty": np.zeros((4, 6))}
    yield "penalty transposed", {"penalty": np.zeros((7, 4)).T}
    yield "gradient short", {"gradient": np.zeros(6)}
    yield "gradient long", {"gradient": np.zeros(8)}
    yield "w short", {"w": np.zeros(6)}
    yield "w float32", {"w": np.zeros(7, np.float32)}
    yield "w strided", {"w": np.zeros(14)[::2]}
    whole = np.arange(7)
    yield "members short", {"groups": (np.array([0, 7]), whole[:6])}
    yield "member outside", {"groups": (np.array([0, 7]), np.append(whole[:6], 7))}
    yield "member below zero", {"groups": (np.array([0, 7]), np.append(whole[:6], -1))}
    yield "groups end early", {"groups": (np.array([0, 6]), whole)}
    yield "groups end late", {"groups": (np.array([0, 8]), whole)}
    yield "groups fall", {"groups": (np.array([0, 9, 7]), whole)}
    yield "no group", {"groups": (np.empty(0, i64), whole)}
    yield "starts without members", {"groups": (np.array([0, 7]), None)}
    yield "members of floats", {"groups": (np.array([0, 7]), whole.astype(f64))}


@native
@pytest.mark.parametrize(
    ("name", "bad"), [*bad_arguments()], ids=lambda value: value if isinstance(value, str) else ""
)
def test_wrong_shapes_are_refused_before_any_reading(name, bad):
    given = {
        "start": np.array([0, 3, 7]),
        "blocks": np.ones(25),
        "psi": np.zeros((7, 8)),
        "dual": np.zeros((7, 8)),
        "penalty": np.ones((4, 7)),
        "gradient": np.zeros(7),
        "w": np.full(7, 0.5),
        "groups": None,
    }
    given["penalty"][2] = -1
    assert kernels.descend(**given, tolerance=0.05, most=3) >= 1
    given |= bad
    before = given["w"].copy()
    with pytest.raises((ValueError, TypeError)) as caught:
        kernels.descend(**given, tolerance=0.05, most=3)
    assert len(str(caught.value)) > 10
    assert_array_equal(given["w"], before)


@native
def test_a_point_that_may_not_be_written_is_refused(rng):
    model = Model(rng, [3])
    model.w.flags.writeable = False
    arguments = (model.start, model.blocks, model.psi, model.dual, model.parts, model.gradient, model.w)
    with pytest.raises(TypeError):
        kernels.descend(*arguments, None, 0.05, 30)


def test_empty_groups_and_a_group_of_all(rng, on):
    """Groups without members are no groups; the plain twin agrees."""
    model = Model(rng, [3, 3], l1=0.5)
    model.parts[:2] = model.parts[:2, :1]
    order = np.arange(6)
    found = []
    for starts in ([0, 6], [0, 0, 6, 6, 6], [0, 0, 0, 0, 0, 0, 0, 0, 6, 6]):
        model.groups = np.array(starts), order
        found.append(model.descend(1e-24, 500)[0])
    for w in found[1:]:
        assert_array_equal(w, found[0])
    on("reference")
    assert_allclose(model.descend(1e-24, 500)[0], found[0], atol=1e-11)
    model.groups = np.array([0, 6]), order
    assert model.value(found[0]) == pytest.approx(model.value(model.optimum()), abs=1e-8)
    assert plain.descend is not kernels.descend
