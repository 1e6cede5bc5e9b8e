"""xent.check: every right implementation passes, every planted mistake is found and called by its name."""

import re

import numpy as np
import pytest
import torch

from tests.check import right
from tests.check import wrong as check_wrong
from xent.check import CONVENTIONS, Refused, Report, assert_softmax_loss, softmax_loss

RIGHT = (*right.FUNCTIONS, *right.MODULES)
EXPECTED = {
    "classes_first": "rows",
    "of_logits": "logits",
    "jacobian_of_each_row": "logits",
    "losses_of_logits": "loss",
    "d2l_numpy": "d2l",
    "d2l_torch": "d2l",
    "d2l_with_an_assertion": "d2l",
    "d2l_of_python": "d2l",
    "with_reduction": "loss",
    "long_double": "logits",
    "a_column": "d2l",
}
OF_LOGITS = [
    "torch_functional",
    "torch_by_hand",
    "CrossEntropyLoss",
    "Layer",
    "named_as_probabilities",
    "d2l_averaged",
    "log_of_softmax",
    "bfloat16",
    "torch_of_arrays",
    "detached_value",
]


def name_of(f):
    return getattr(f, "__name__", type(f).__name__)


@pytest.mark.parametrize("f", RIGHT, ids=name_of)
def test_right_ones_pass(f):
    report = softmax_loss(f)
    assert report.passed, str(report)
    assert report.mistakes == []
    usual = "loss" if name_of(f) in OF_LOGITS else "cs231n"
    assert report.convention == CONVENTIONS[EXPECTED.get(name_of(f), usual)]
    assert_softmax_loss(f)


@pytest.mark.parametrize("name", check_wrong.WRONG)
def test_planted_mistakes_are_named(name):
    f, mistake = check_wrong.WRONG[name]
    report = softmax_loss(f)
    assert not report.passed
    assert mistake in report.mistakes[:3], str(report)
    with pytest.raises(AssertionError, match=re.escape(mistake)):
        assert_softmax_loss(f)


@pytest.mark.parametrize(
    "name",
    [
        "no_label",
        "buffer_of_float32",
        "guarded_inverse",
        "squeezed_gradient",
        "capped_probabilities",
    ],
)
def test_the_first_name_is_the_right_one(name):
    f, mistake = check_wrong.WRONG[name]
    assert softmax_loss(f).mistakes[0] == mistake


def test_every_row_with_every_label_is_said():
    with pytest.raises(Refused, match=r"p\[np.arange\(6\), y\]"):
        softmax_loss(lambda y_hat, y: -np.log(y_hat[:, y]))


def test_there_are_enough_of_both():
    assert len(RIGHT) >= 10
    assert len(check_wrong.WRONG) >= 25


def test_the_v_curve():
    """Falls as h², then rises as 1/h: and its lowest is where theory says, near the cube root of rounding."""
    curve = softmax_loss(right.log_sum_exp).curve
    errors = dict(curve)
    assert errors[1e-1] > 50 * errors[1e-2] > 50 * 50 * errors[1e-3]
    best = min(errors, key=errors.get)
    assert 1e-6 <= best <= 1e-4
    assert errors[1e-12] > 1e4 * errors[best]
    wrong = dict(softmax_loss(check_wrong.no_label).curve)
    assert min(wrong.values()) > 0.1


def test_arguments_stay_as_they_were(rng):
    """Whatever the function does: it gets copies."""
    W = rng.normal(size=(3, 2))
    kept = []

    def spoils(W, X, y, reg):
        kept.append(W)
        W[...] = np.nan
        return 0.0, W

    softmax_loss(spoils)
    assert all(np.isnan(a).all() for a in kept)
    assert np.isfinite(W).all()


def test_what_cannot_be_checked():
    with pytest.raises(Refused, match="expected a pair"):
        softmax_loss(lambda W, X, y, reg: 3.0)
    with pytest.raises(Refused, match=r"shape \(6, 4\)"):
        softmax_loss(lambda logits, y: (logits, logits))
    with pytest.raises(Refused, match="no convention 'keras'"):
        softmax_loss(right.of_logits, convention="keras")
    with pytest.raises(ZeroDivisionError):
        softmax_loss(lambda W, X, y, reg: 1 / 0)
    told = softmax_loss(torch.nn.functional.cross_entropy, convention="torch")
    assert told.passed


def test_an_error_in_one_check_names_its_line():
    def fussy(logits, y):
        if len(y) == 1:
            raise ValueError("one row is too few")
        return right.of_logits(logits, y)

    report = softmax_loss(fussy)
    (check,) = [check for check in report.checks if check.status == "fail"]
    assert check.name == "any N and K"
    assert "one row is too few" in check.found
    assert 'raise ValueError("one row is too few")' in check.found


def test_reports_as_dictionary_and_page():
    report = softmax_loss(check_wrong.no_two)
    again = Report.from_dict(report.to_dict())
    assert str(again) == str(report)
    page = report.to_html()
    assert page.startswith("<!doctype html>")
    assert "the regulariser&#x27;s half" in page
    assert "<svg" in page
    assert "http" not in page.replace("http://www.w3.org", "")
