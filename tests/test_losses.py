"""The public functions: PyTorch's figures, reductions, and every error in words."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

import xent


@pytest.mark.parametrize("n", [1, 2, 17])
@pytest.mark.parametrize("K", [1, 2, 7])
def test_agrees_with_pytorch_and_the_estimators_kernel(rng, n, K):
    z, y, w = rng.normal(size=(n, K)) * 3, rng.integers(0, K, n), rng.uniform(0.1, 2, n)
    each = torch.nn.CrossEntropyLoss(reduction="none")(torch.from_numpy(z), torch.from_numpy(y)).numpy()
    assert_allclose(xent.cross_entropy(z, y, reduction="none"), each, atol=1e-14)
    assert xent.cross_entropy(z, y) == pytest.approx(each.mean(), abs=1e-14)
    assert xent.cross_entropy(z, y, sample_weight=w, reduction="sum") == pytest.approx(w @ each, abs=1e-13)
    assert xent.cross_entropy(z, y, sample_weight=w) == pytest.approx(w @ each / w.sum(), abs=1e-14)
    q = rng.dirichlet(np.ones(K), n)
    soft = torch.nn.CrossEntropyLoss()(torch.from_numpy(z), torch.from_numpy(q)).item()
    assert xent.cross_entropy(z, q) == pytest.approx(soft, abs=1e-14)
    assert_allclose(xent.softmax(z), torch.softmax(torch.from_numpy(z), 1).numpy(), atol=1e-15)
    assert_allclose(xent.log_softmax(z), torch.log_softmax(torch.from_numpy(z), 1).numpy(), atol=1e-14)


def test_float32_stays_float32_and_keeps_what_pytorch_loses():
    z, y = np.array([[17.0, 0.0]], np.float32), np.array([0])
    ours = xent.cross_entropy(z, y, reduction="none")
    assert ours.dtype == np.float32
    assert ours[0] == pytest.approx(4.1399376e-8, rel=1e-6)
    assert torch.nn.CrossEntropyLoss()(torch.from_numpy(z), torch.from_numpy(y)).item() == 0.0
    assert xent.softmax([[1, 2]]).dtype == np.float64


def test_an_ignored_row_counts_exactly_zero():
    z = np.array([[1.0, 2.0], [np.nan, np.nan]])
    losses = xent.cross_entropy(z, [0, 99], sample_weight=[1.0, 0.0], reduction="none")
    assert losses[1] == 0
    assert xent.cross_entropy(z, [0, 99], sample_weight=[1.0, 0.0]) == losses[0]


GOOD = np.zeros((3, 4))


@pytest.mark.parametrize(
    ("logits", "targets", "kwargs", "message"),
    [
        (np.zeros(3), [0], {}, r"logits: expected shape \(n_samples, n_classes\).*got \(3,\)"),
        (np.zeros((3, 0)), [0, 0, 0], {}, "at least one class"),
        ([["a", "b"]], [0], {}, "expected real numbers"),
        (GOOD, [0, 1], {}, "targets: expected 3 rows, one a row of logits, got 2"),
        (GOOD, [0, 4, 9], {}, r"targets\[1\] = 4 is outside \[0, 4\); to leave a row out"),
        (GOOD, [0, 1, -100], {}, r"targets\[2\] = -100 is outside"),
        (GOOD, [0.0, 1.0, 2.0], {}, "expected integers"),
        (GOOD, np.full((3, 3), 1 / 3), {}, "expected 4 columns, one a class of logits, got 3"),
        (GOOD, [[1, 0, 0, 0], [0.5, 0.4, 0, 0], [1, 0, 0, 0]], {}, "targets: row 1 sums to 0.9"),
        (GOOD, [[1, 0, 0, 0], [1.5, -0.5, 0, 0], [1, 0, 0, 0]], {}, "targets: row 1 has a negative"),
        (GOOD, [0, 1, 2], {"sample_weight": [1, 1]}, r"sample_weight: expected shape \(3,\), got \(2,\)"),
        (GOOD, [0, 1, 2], {"sample_weight": [1, -2, 1]}, r"sample_weight\[1\] = -2: .* finite and ≥ 0"),
        (GOOD, [0, 1, 2], {"sample_weight": [1, 1, np.nan]}, r"sample_weight\[2\] = nan"),
        (GOOD, [0, 1, 2], {"sample_weight": [0, 0, 0]}, "at least one row of positive weight"),
        (GOOD, [0, 1, 2], {"reduction": "max"}, "expected 'mean', 'sum' or 'none', got 'max'"),
    ],
)
def test_errors_name_the_argument_the_row_and_the_remedy(logits, targets, kwargs, message):
    with pytest.raises(ValueError, match=message):
        xent.cross_entropy(logits, targets, **kwargs)
