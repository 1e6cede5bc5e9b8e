"""Is my softmax cross-entropy right? Checks of a function that someone wrote, and names for what is wrong.

    from xent.check import softmax_loss, assert_softmax_loss

    print(softmax_loss(my_function))        # a table
    assert_softmax_loss(my_function)        # for pytest

`xent check FILE.py:FUNCTION` does the same from a shell, in a process of its own with a time limit.
"""

from __future__ import annotations

from collections.abc import Callable

from .report import Check, Report
from .subject import CONVENTIONS, Refused

__all__ = ["CONVENTIONS", "Check", "Refused", "Report", "assert_softmax_loss", "softmax_loss"]


def softmax_loss(
    f: Callable[..., object],
    *,
    convention: str | None = None,
    begin: Callable[[str], None] | None = None,
) -> Report:
    """Check a function that computes the softmax cross-entropy, in nats.

    f : one of
        f(W, X, y, reg) → (loss, dW), W (D, K) as in CS231n, or (K, D); reg may be left out
        f(logits, y) → (loss, gradient), or a loss alone; of NumPy arrays or PyTorch tensors
        f(y_hat, y) → losses (N,) or their mean, of probabilities, as in D2L
    convention : one of `CONVENTIONS`
        By default found out from the parameters and by trying.
    begin : called with each check's name before it runs

    Loss and gradient are compared with `xent.reference` at random points, at 0, where logits are all large
    and where one is far ahead; the gradient with centred differences of f's own loss, over steps from 0.1 to
    1e-12 (the V-curve); and L-BFGS with f must reach the optimum that `SoftmaxRegression` certifies. float64
    is asked for; the tolerance is that of the coarsest dtype that comes back. Arguments are copies.

    Returns a `Report`: `passed`, `mistakes` by name, `checks` with what to look at, `to_html()`.
    Raises Refused where f is none of the above; and what f raises when it is first called.
    Source: `xent.reference.softmax_loss`; Nocedal, Wright (2006), section 8.1, for the differences.
    """
    import inspect

    from .examiner import Examiner, line_in
    from .recognise import recognise

    try:
        file = inspect.getsourcefile(inspect.unwrap(f)) or ""
    except TypeError:
        file = ""
    if not callable(f):
        raise TypeError(f"f must be a function, got {type(f).__name__}")
    name = getattr(f, "__name__", type(f).__name__)
    subject = recognise(f, convention)
    return Examiner(subject, name, begin or (lambda _: None), line_in(file)).run()


def assert_softmax_loss(f: Callable[..., object], *, convention: str | None = None) -> None:
    """`softmax_loss`, as an assertion: AssertionError with the report if anything failed."""
    __tracebackhide__ = True
    report = softmax_loss(f, convention=convention)
    assert report.passed, f"\n{report}"
