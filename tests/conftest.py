"""Shared by all tests. Three settings are read when the libraries load, so they come first."""

import os

os.environ["SCIPY_ARRAY_API"] = "1"  # scikit-learn's array-API check skips itself without it
# Two test workers on two cores: BLAS threads would only wait for each other (45 s against 9 s).
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # and OpenMP's (103 s against 84 s)

import mpmath
import numpy as np
import pytest

from xent.kernels import native as kernels

mpmath.mp.dps = 50


@pytest.fixture
def rng():
    return np.random.default_rng(20261120)


@pytest.fixture
def on(monkeypatch):
    """Has the kernels run as an instruction set of `runnable_isas`, or as the plain 'reference'."""

    def choose(backend):
        if backend == "reference":
            monkeypatch.setattr(kernels, "HAS_NATIVE", False)
        else:
            monkeypatch.setattr(kernels, "_isa", backend)

    return choose


@pytest.fixture(params=["native", "tiles"])
def engine(request, monkeypatch):
    """Of xent.torch: the native kernels, and PyTorch's own operations in their place."""
    if request.param == "tiles":
        from xent.torch import native_logits, whole
        from xent.torch import native_tiles as kernels

        for native in (whole, kernels, native_logits):
            monkeypatch.setattr(native, "serves", lambda *a: False)
    return request.param


def exact_row(z, y):
    """Loss and gradient of one row of logits at label y, to 50 digits, rounded to float64 at the end."""
    logits = [mpmath.mpf(float(v)) for v in z]
    total = mpmath.fsum(mpmath.exp(v) for v in logits)
    rest = mpmath.fsum(mpmath.exp(v) for k, v in enumerate(logits) if k != y)
    gradient = [mpmath.exp(v) / total for v in logits]
    gradient[y] = -rest / total
    # log(total) − z_y by log1p of the rest: 50 digits would not reach a gap of 1e4.
    loss = mpmath.log1p(mpmath.fsum(mpmath.exp(v - logits[y]) for k, v in enumerate(logits) if k != y))
    return float(loss), np.array([float(g) for g in gradient])


def pytest_configure(config):
    config.addinivalue_line("markers", "thread_unsafe: a mark in scikit-learn's own tests")
