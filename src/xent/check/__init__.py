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

    Parameters
    ----------
    f : callable
        One of

        - f(W, X, y, reg) → (loss, dW), W (D, K) as in CS231n, or (K, D); reg may be left out;
        - f(logits, y) → (loss, gradient), or a loss alone; of NumPy arrays or PyTorch tensors;
        - f(y_hat, y) → losses (N,) or their mean, of probabilities, as in D2L.
    convention : one of `CONVENTIONS`, optional
        By default it is recognised by the parameters and by trying.
    begin : callable, optional
        Called with the name of each check before that runs.

    Returns
    -------
    Report
        `passed`, `mistakes` by name, `checks` with what to look at, `to_html()`.

    Raises
    ------
    Refused
        Where f follows none of the conventions.
    TypeError
        Where f cannot be called.
    Exception
        Whatever f raises when it is first called.

    Notes
    -----
    Loss and gradient are compared with `xent.reference` at random points, at 0, where logits are all large
    and where one is far ahead; the gradient with centred differences of f's own loss, over steps from 0.1 to
    1e-12 (the V-curve); and L-BFGS with f must reach the optimum that `SoftmaxRegression` certifies. f gets
    copies, in float64; the tolerance is that of the coarsest dtype that it returns.

    Source: `xent.reference.softmax_loss`; Nocedal, Wright (2006), section 8.1, for the differences.

    Examples
    --------
    >>> import numpy as np
    >>> from xent.check import softmax_loss
    >>> def mine(logits, y):
    ...     p = np.exp(logits - logits.max(axis=1, keepdims=True))
    ...     p /= p.sum(axis=1, keepdims=True)
    ...     loss = -np.log(p[np.arange(len(y)), y]).mean()
    ...     return loss, p - np.eye(p.shape[1])[y]
    >>> report = softmax_loss(mine)
    >>> report.passed, report.mistakes
    (False, ['sum, not mean'])
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
    """Assert, in a test, that `softmax_loss` finds nothing wrong with a function.

    Parameters
    ----------
    f : callable
    convention : one of `CONVENTIONS`, optional
        Both as `softmax_loss` has them.

    Raises
    ------
    AssertionError
        With the report as its text, if a check failed.
    Refused, TypeError, Exception
        As `softmax_loss` does.
    """
    __tracebackhide__ = True
    report = softmax_loss(f, convention=convention)
    assert report.passed, f"\n{report}"
