"""Every certificate on random problems whose optimum is known to 1e-14: `make certificates`. No test of
pytest's.

    python -m tests.programs.many_certificates [--problems N] [--seed S]

At six points each the dual bound, the Hessian's, that of a Kronecker product below it and that of a share of
the rows must not lie below the true gap, but for rounding of 1e-13 (1 + F). Prints how often each proved
1e-4 nats, and the median of bound / true gap where it did. Exit status 1: a bound was below the true gap.
"""

import argparse
import sys
import time
from collections import defaultdict

import numpy as np

from tests.objective.problems import optimum, points, random_problem, share_of
from xent.objective import certificate, minorant


def bounds(objective, part, at):
    """The bounds on F − F*, by name."""
    yield "dual", certificate.gap(at.value, at.lower_bound)
    yield "Hessian", objective.self_concordant_gap(objective.newton_step(at))
    if minorant.suits(objective):
        yield "Kronecker product", minorant.gap(objective, at)[1]
    if part is not None:
        yield "share of the rows", part.gap(at)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start, solved, below = time.perf_counter(), 0, 0
    ratios, asked = defaultdict(list), defaultdict(int)
    for number in range(options.problems):
        rng = np.random.default_rng([options.seed, number])
        objective = random_problem(rng)
        best = optimum(objective)
        if not best.value - best.lower_bound < 1e-11:
            continue  # separated, or singular: its optimum is not known
        solved += 1
        # Half of the rows; class factors leave no such share.
        part = share_of(objective, objective.n_rows // 2) if objective.class_factors is None else None
        for at in points(objective, best.theta, rng):
            true = at.value - best.value
            for name, bound in bounds(objective, part, at):
                asked[name] += 1
                if bound < true - 1e-13 * (1 + best.value):
                    below += 1
                    print(f"problem {number}, {name}: {bound:.3e} is below the true gap {true:.3e}")
                if bound < 1e-4 and true > 1e-11:
                    ratios[name].append(bound / true)
    seconds = time.perf_counter() - start
    print(f"{solved:,} of {options.problems:,} problems with a known optimum, {seconds:.0f} s")
    for name, count in asked.items():
        found = ratios[name]
        median = np.median(found) if found else np.nan
        print(f"{name:20} {count:7,} points, {len(found):7,} proven to 1e-4, median bound / gap {median:.2f}")
    print(f"{below} bounds below the true gap")
    sys.exit(below > 0)


if __name__ == "__main__":
    main()
