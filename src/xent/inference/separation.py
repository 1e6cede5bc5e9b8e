"""Whether classes can be separated without error, which leaves F no optimum where λ = 0.

F(θ) = (1/S) Σ s_i ℓ_i falls for ever along a Δ (K, D) whose margins

    m_ik = (Δ_{y_i} − Δ_k)·x̃_i ≥ 0 for all rows i and classes k, and > 0 for one (i, k):

complete separation if one Δ has all > 0, quasi-complete if not. Without such a Δ, overlap, F has an optimum.
For a soft row every class with q_ik > 0 is a label, so Δ must keep their logits equal. Weights above 0 and
offsets play no part.

Method
 a. θ, where a solver ran off to: does it get every row right?
 b. max Σ m_ik over −1 ≤ Δ ≤ 1, m ≥ 0, a linear programme. The sum is over all rows, the constraints are
    those of a working set, so its optimum is an upper bound whatever the set leaves out: 0 proves overlap.
 c. max min m_ik over the same. What its Δ gets wrong in a pass over all rows joins the set, and again; if
    nothing, separation is complete.
 d. If c ends at 0, b with new rows in the same way until its Δ gets nothing wrong, then with the sum over
    those margins that are 0 along Δ. The sum of the directions found has a margin > 0 wherever any
    direction has, so the pairs of classes named are all there are.

Tolerances. Features in units of their deviation, rows of length 1, max |Δ| = 1: a margin counts as > 0 above
1e-6, as < 0 below −1e-9, and overlap means that no such Δ has one above 1e-6.

Sources: A. Albert, J. A. Anderson, "On the existence of maximum likelihood estimates in logistic regression
models", Biometrika 71 (1984); K. Konis, "Linear programming algorithms for detecting separated data in binary
logistic regression models", thesis, Oxford (2007); C. J. Geyer, "Likelihood inference in exponential families
and directions of recession", Electron. J. Stat. 3 (2009).
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_array, hstack

from .._checks import shown
from .._types import Array, Float
from ..data import Source
from .margins import STRICT, WRONG, Constraints, Scan, Table, deviations

# K·D of a linear programme, and K: 550 variables took 1 s, 1360 took 18 s; pairs go with K².
MAX_VARIABLES, MAX_CLASSES = 1500, 1000
_MOST_PROGRAMMES, _SECONDS = 60, 60.0
_SIMPLEX_BEST = 300


class Status(enum.Enum):
    SEPARATED = "separated"
    OVERLAPPING = "overlapping"
    UNKNOWN = "unknown"


class Pair(NamedTuple):
    """Two classes a < b; how many of their rows have a margin > 0 towards the other, and how many rows there
    are of the two."""

    a: int
    b: int
    strict: int
    rows: int

    @property
    def complete(self) -> bool:
        return self.strict == self.rows


@dataclass(frozen=True)
class Separation:
    """A direction along which F falls for ever.

    direction (K, D): in θ's coordinates, of mean 0 over classes; its largest entry is ±1 once features are
    divided by `deviations` (d,) (0 marks a constant one). complete: all margins are > 0. pairs: the classes
    with a margin > 0 between them. rows: how many rows have one. maximal: proven that no other direction has
    more.
    """

    direction: Float
    deviations: Float
    complete: bool
    pairs: tuple[Pair, ...]
    rows: int
    maximal: bool

    def describe(self, classes: Sequence[object] | Array, feature_names: Sequence[str] | None = None) -> str:
        """A text that names up to three pairs of classes, how far they are separated and along which
        features; completely separated pairs come first.

        classes (K,) names; feature_names (d,), by default x0, x1, ….
        """
        names = [f"x{j}" for j in range(len(self.deviations))] if feature_names is None else feature_names
        ordered = sorted(self.pairs, key=lambda pair: (not pair.complete, -pair.strict))
        sentences = []
        for pair in ordered[:3]:
            a, b = (shown(classes[k]) for k in pair[:2])
            how = "completely separated" if pair.complete else "separated"
            far = "" if pair.complete else f" in {pair.strict} of {pair.rows} rows, and touch in the others"
            sentences.append(f"classes {a} and {b} are {how} along {self._along(pair, names)}{far}")
        if len(ordered) > 3:
            sentences.append(f"and so on for {len(ordered) - 3} more pairs")
        return "; ".join(sentences)

    def as_dict(
        self, classes: Sequence[object] | Array, feature_names: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """The separation in plain types, for an attribute that goes into files: its description, direction of
        the features (K, d), whether it is complete, and pairs (m, 4)."""
        return {
            "description": self.describe(classes, feature_names),
            "direction": self.direction[:, : len(self.deviations)],
            "complete": self.complete,
            "pairs": np.array(self.pairs, np.int64).reshape(-1, 4),
        }

    def _along(self, pair: Pair, names: Sequence[str]) -> str:
        """The names of up to three features: those that weigh at least a tenth of the heaviest."""
        difference = self.direction[pair.a] - self.direction[pair.b]
        size = np.abs(difference[: len(self.deviations)] * self.deviations)
        largest = np.argsort(-size, kind="stable")[:3]
        chosen = [names[j] for j in largest if size[j] > max(0.1 * size.max(), STRICT)]
        return ", ".join(chosen) or "the intercept"


class Verdict(NamedTuple):
    """The result of `find_separation` and how many passes it took; `reason` says why a status is UNKNOWN."""

    status: Status
    separation: Separation | None
    n_passes: int
    reason: str = ""


def find_separation(
    source: Source,
    n_classes: int,
    centre: Float,
    fit_intercept: bool,
    theta: Float | None = None,
    null: Float | None = None,
) -> Verdict:
    """Whether F without a penalty has an optimum on the rows of a source; the module describes the method.

    centre (d,): x̄, or 0 without an intercept, as in `Objective`. theta (K, D): where a solver ended, a hint.
    null (m, d): directions without effect (`MeanLoss.null_directions`), taken out of what is named.

    SEPARATED and OVERLAPPING are both proven, to the tolerances above. UNKNOWN: K·D is above MAX_VARIABLES
    and θ does not separate all rows itself; the programmes did not finish; or a feature is not finite.
    """
    if n_classes > MAX_CLASSES:
        return Verdict(Status.UNKNOWN, None, 0, f"{n_classes} classes are more than {MAX_CLASSES}")
    units = deviations(source, centre)
    if np.isnan(units).any():
        return Verdict(Status.UNKNOWN, None, 2, "a feature is not finite, or too small")
    table = Table(source, n_classes, centre, fit_intercept, units, n_passes=2)
    zero = np.zeros((n_classes, len(centre) + fit_intercept))
    small, rng = zero.size <= MAX_VARIABLES, np.random.default_rng(0)
    most = 2 * zero.size + 100
    hint = zero if theta is None else table.scaled(theta)
    at_hint = table.scan(hint, most if small else 0, rng)
    if at_hint.complete:
        return _proof(table, hint, at_hint, True)
    if not small:
        return Verdict(
            Status.UNKNOWN, None, table.n_passes, f"K·D = {zero.size} is more than {MAX_VARIABLES}"
        )
    start = table.scan(zero, 0) if hint.any() else at_hint
    separating, scan, reason = _search(table, start, at_hint.working, most)
    if separating is not None and null is not None and len(null):
        plain = table.without(null, separating)
        again = table.scan(plain, 0)
        if again.lowest >= -WRONG and again.n_left <= scan.n_left:
            separating, scan = plain, again
    if separating is not None:
        return _proof(table, separating, scan, not reason)
    status = Status.UNKNOWN if reason else Status.OVERLAPPING
    return Verdict(status, None, table.n_passes, reason)


def _search(table: Table, scan: Scan, working: Constraints, most: int) -> tuple[Float | None, Scan, str]:
    """Steps b to d of the method, from a scan at Δ = 0. Returns the sum of the directions with margins > 0
    (None if there is none), its scan, and "" if no direction has more such margins, else why that is not
    known."""
    # `widest` tells step c, which maximises the least margin, from b and d, which maximise a sum.
    separating, widest = None, False
    for count in range(_MOST_PROGRAMMES):
        if scan.n_left == 0 or scan.complete:
            return separating, scan, ""
        gain = None if widest else scan.left / scan.n_left
        direction, bound, message = _programme(gain, working, scan.left.shape)
        if not widest and bound * scan.n_left <= STRICT:
            return separating, scan, ""
        if direction is None:
            return separating, scan, message
        direction = table.normalised(direction)
        new = table.scan(direction, most, below=bound / 2 if widest else 0.0)
        if widest and not new.complete:
            # Else no direction is right about the whole working set, or only ties are left.
            widest = bound > STRICT and new.lowest < -WRONG
            working = working.joined(new.working)
            continue
        widest = count == 0
        if new.lowest < -WRONG:
            working = working.joined(new.working)
            continue
        if separating is not None:
            direction = table.normalised(separating + direction)
            new = table.scan(direction, 0)
        if new.lowest < -WRONG or new.n_left >= scan.n_left:
            return separating, scan, "what margins are left are within rounding of 0"
        separating, scan = direction, new
    return separating, scan, f"{_MOST_PROGRAMMES} linear programmes came to no end"


def _programme(
    gain: Float | None, working: Constraints, shape: tuple[int, ...]
) -> tuple[Float | None, float, str]:
    """max gain·Δ over the box and the working set, or without a gain its least margin: Δ (K, D), an upper
    bound on the maximum, HiGHS's message.

    With A Δ ≥ 0 the constraints and any multipliers λ ≥ 0 (free where "="), gain·Δ ≤ (gain + Aᵀλ)·Δ
    ≤ ‖gain + Aᵀλ‖₁: computed here, whatever HiGHS's own tolerances.
    """
    K, D = shape
    A, equal = working.matrix(K), working.equal
    if gain is None:  # one more variable, the last: m ≥ t
        A = csr_array(hstack([A, csr_array(equal[:, None] - 1.0)]))
        c = np.append(np.zeros((K - 1) * D), 1.0)
    else:
        c = gain[:-1].ravel()
    size = float(np.abs(c).max(initial=0.0))
    if size == 0:
        return None, 0.0, ""
    # 586 variables, 3500 margins: 0.8 s by interior points, 3 s by the simplex. But those once went on for
    # ever at 2 variables, so the simplex has the small ones, and both a limit.
    methods = ["highs-ipm", "highs-ds"] if len(c) > _SIMPLEX_BEST else ["highs-ds"]
    for method in methods:
        result = linprog(
            -c / size,
            A_ub=-A[~equal],
            b_ub=np.zeros(len(equal) - equal.sum()),
            A_eq=A[equal],
            b_eq=np.zeros(equal.sum()),
            bounds=(-1, 1),
            method=method,
            # The least that HiGHS takes: a row in a million is to be seen.
            options={
                "primal_feasibility_tolerance": 1e-10,
                "dual_feasibility_tolerance": 1e-10,
                "time_limit": _SECONDS,
            },
        )
        if result.status == 0:
            break
    if result.status != 0:
        return None, np.inf, result.message
    multipliers = np.empty(len(equal))
    multipliers[~equal] = np.maximum(-result.ineqlin.marginals, 0.0)
    multipliers[equal] = result.eqlin.marginals
    bound = size * float(np.abs(c / size + A.T @ multipliers).sum())
    direction = result.x[: (K - 1) * D].reshape(K - 1, D)
    return np.vstack([direction, np.zeros(D)]), bound, ""


def _proof(table: Table, direction: Float, scan: Scan, maximal: bool) -> Verdict:
    """The verdict SEPARATED, for a direction along which no margin is negative."""
    complete = scan.complete
    strict = scan.rows if complete else scan.strict
    pairs = tuple(
        Pair(a, b, int(strict[a, b] + strict[b, a]), int(scan.rows[a, b] + scan.rows[b, a]))
        for a in range(table.K)
        for b in range(a + 1, table.K)
        if strict[a, b] + strict[b, a]
    )
    units = np.append(table.units, np.ones(int(table.intercept)))
    deviations = np.where(np.isfinite(table.units), table.units, 0.0)
    n_strict = scan.n_rows if complete else scan.n_strict
    separation = Separation(direction / units, deviations, complete, pairs, n_strict, maximal)
    return Verdict(Status.SEPARATED, separation, table.n_passes)
