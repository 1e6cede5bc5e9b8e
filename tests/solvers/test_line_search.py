"""Where the line search looks next."""

from types import SimpleNamespace

import numpy as np
import pytest

from xent.solvers.line_search import weak_wolfe


def trials(value, slope):
    """The step lengths at which a function of one variable is evaluated, from 0 in direction 1."""
    asked = []

    def evaluate(theta):
        asked.append(t := float(theta[0]))
        return SimpleNamespace(theta=theta, value=value(t), gradient=np.array([slope(t)]), exact=True)

    run = SimpleNamespace(at=evaluate(np.zeros(1)), evaluate=evaluate, objective=SimpleNamespace(n_rows=100))
    assert weak_wolfe(run, np.ones(1)).theta[0] == asked[-1]
    return asked[1:]


def test_a_cubic_that_rises_is_met_at_its_least_point():
    asked = trials(lambda t: t**3 / 3 + 0.35 * t**2 - 0.3 * t, lambda t: (t - 0.3) * (t + 1))
    assert asked == pytest.approx([1, 0.3])


def test_a_parabola_is_met_at_its_least_point():
    asked = trials(lambda t: (t - 0.2) ** 2, lambda t: 2 * (t - 0.2))
    assert asked == pytest.approx([1, 0.2])


def test_a_slope_that_grows_is_not_taken_for_a_secants():
    """A quartic whose slope at 1 is 31 times the one at 0: the secant would go to 0.03, the tenth to 0.1."""
    asked = trials(lambda t: 8 * t**4 - t, lambda t: 32 * t**3 - 1)
    assert asked[0] == 1
    assert 0.2 < asked[1] < 0.4  # its least point is 0.31


def test_a_step_that_is_too_short_is_made_longer():
    asked = trials(lambda t: (t / 5 - 1) ** 2, lambda t: 0.4 * (t / 5 - 1))
    assert asked == pytest.approx([1])
    asked = trials(lambda t: (t / 20 - 1) ** 2, lambda t: 0.1 * (t / 20 - 1))
    assert asked == pytest.approx([1, 10])


def test_a_value_that_is_no_number_halves_the_step():
    asked = trials(lambda t: t**2 - t if t < 1 else np.inf, lambda t: 2 * t - 1 if t < 1 else np.nan)
    assert asked == pytest.approx([1, 0.5])
