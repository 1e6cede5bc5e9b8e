"""Softmax cross-entropies with one mistake each, and the name that it must get."""

import numpy as np
import torch

WRONG = {}


def planted(name):
    def keep(f):
        assert f.__name__ not in WRONG
        WRONG[f.__name__] = f, name
        return f

    return keep


def parts(W, X, y):
    """Probabilities and one-hot rows, rightly."""
    z = X @ W
    z = z - z.max(1, keepdims=True)
    p = np.exp(z)
    return p / p.sum(1, keepdims=True), np.eye(W.shape[1])[y]


def right(W, X, y, reg):
    p, Y = parts(W, X, y)
    n = len(y)
    return -np.log((p * Y).sum(1)).mean() + reg * (W * W).sum(), X.T @ (p - Y) / n + 2 * reg * W


@planted("no shift by the maximum")
def no_shift(W, X, y, reg):
    e = np.exp(X @ W)
    p, n = e / e.sum(1, keepdims=True), len(y)
    loss = -np.log(p[range(n), y]).mean() + reg * (W * W).sum()
    p[range(n), y] -= 1
    return loss, X.T @ p / n + 2 * reg * W


@planted("exp(z) − max")
def exp_minus_max(logits, y):
    e = np.exp(logits) - logits.max(1, keepdims=True)
    p, n = e / e.sum(1, keepdims=True), len(y)
    loss = -np.log(p[range(n), y]).mean()
    p[range(n), y] -= 1
    return loss, p / n


@planted("the maximum of the whole batch")
def one_maximum(logits, y):
    e = np.exp(logits - logits.max())
    p, n = e / e.sum(1, keepdims=True), len(y)
    loss = -np.log(p[range(n), y]).mean()
    p[range(n), y] -= 1
    return loss, p / n


@planted("sum, not mean")
def summed(W, X, y, reg):
    loss, dW = right(W, X, y, 0)
    return loss * len(y) + reg * (W * W).sum(), dW * len(y) + 2 * reg * W


@planted("sum, not mean")
def loss_summed(W, X, y, reg):
    loss, dW = right(W, X, y, 0)
    return loss * len(y) + reg * (W * W).sum(), dW + 2 * reg * W


@planted("sum, not mean")
def gradient_summed(W, X, y, reg):
    loss, dW = right(W, X, y, 0)
    return loss + reg * (W * W).sum(), dW * len(y) + 2 * reg * W


@planted("regulariser missing")
def no_regulariser(W, X, y, reg):
    return right(W, X, y, 0)


@planted("regulariser missing in the gradient")
def regulariser_in_loss(W, X, y, reg):
    return right(W, X, y, reg)[0], right(W, X, y, 0)[1]


@planted("regulariser missing in the loss")
def regulariser_in_gradient(W, X, y, reg):
    return right(W, X, y, 0)[0], right(W, X, y, reg)[1]


@planted("the regulariser's half")
def no_two(W, X, y, reg):
    loss, dW = right(W, X, y, 0)
    return loss + reg * (W * W).sum(), dW + reg * W


@planted("the regulariser's half")
def half_and_two(W, X, y, reg):
    loss, dW = right(W, X, y, 0)
    return loss + 0.5 * reg * (W * W).sum(), dW + 2 * reg * W


@planted("regulariser divided by N")
def regulariser_over_n(W, X, y, reg):
    return right(W, X, y, reg / len(y))


@planted("another regulariser")
def absolute(W, X, y, reg):
    loss, dW = right(W, X, y, 0)
    return loss + reg * np.abs(W).sum(), dW + reg * np.sign(W)


@planted("p instead of p − y")
def no_label(W, X, y, reg):
    p, _ = parts(W, X, y)
    return right(W, X, y, reg)[0], X.T @ p / len(y) + 2 * reg * W


@planted("wrong sign")
def y_minus_p(W, X, y, reg):
    p, Y = parts(W, X, y)
    return right(W, X, y, reg)[0], X.T @ (Y - p) / len(y) + 2 * reg * W


@planted("transposed gradient")
def transposed(W, X, y, reg):
    loss, dW = right(W, X, y, reg)
    return loss, dW.T


@planted("off-by-one labels")
def labels_from_one(W, X, y, reg):
    return right(W, X, y - 1, reg)


@planted("off-by-one labels")
def labels_after(W, X, y, reg):
    return right(W, X, (y + 1) % W.shape[1], reg)


@planted("float32 on the way")
def table_of_float32(W, X, y, reg):
    p, Y = parts(W, X, y)
    p = p.astype(np.float32)
    loss = float(-np.log((p * Y).sum(1)).mean()) + reg * (W * W).sum()
    return loss, X.T @ (p - Y).astype(np.float64) / len(y) + 2 * reg * W


@planted("integer division")
def floored(W, X, y, reg):
    p, Y = parts(W, X, y)
    total = -np.log((p * Y).sum(1)).sum()
    return total // len(y), (X.T @ (p - Y)) // len(y)


@planted("integer division")
def gradient_floored(W, X, y, reg):
    p, Y = parts(W, X, y)
    return right(W, X, y, reg)[0], (X.T @ (p - Y)) // len(y) + 2 * reg * W


@planted("whole logits")
def truncated(logits, y):
    z = logits.astype(int)
    return right(z, np.eye(len(z)), y, 0)


@planted("changes its inputs")
def in_place(W, X, y, reg):
    loss, dW = right(W, X, y, reg)
    W -= 0.1 * dW
    return loss, dW


@planted("changes its inputs")
def shifted_in_place(logits, y):
    logits -= logits.max(1, keepdims=True)
    return right(logits, np.eye(len(logits)), y, 0)


@planted("softmax over the rows")
def axis_0(logits, y):
    e = np.exp(logits - logits.max(0))
    p, n = e / e.sum(0), len(y)
    loss = -np.log(p[range(n), y]).mean()
    p[range(n), y] -= 1
    return loss, p / n


@planted("logarithm of another base")
def base_2(W, X, y, reg):
    loss, dW = right(W, X, y, 0)
    return loss / np.log(2) + reg * (W * W).sum(), dW + 2 * reg * W


@planted("something added inside the logarithm")
def epsilon(W, X, y, reg):
    p, Y = parts(W, X, y)
    return -np.log((p * Y).sum(1) + 1e-8).mean() + reg * (W * W).sum(), right(W, X, y, reg)[1]


@planted("something added inside the logarithm")
def clipped(y_hat, y):
    return -np.log(np.clip(y_hat[range(len(y)), y], 1e-12, 1.0))


@planted("0 · log 0")
def zero_log_zero(W, X, y, reg):
    p, Y = parts(W, X, y)
    return -(Y * np.log(p)).sum() / len(y) + reg * (W * W).sum(), right(W, X, y, reg)[1]


@planted("only the label's column")
def label_only(W, X, y, reg):
    p, Y = parts(W, X, y)
    return right(W, X, y, reg)[0], X.T @ ((p - 1) * Y) / len(y) + 2 * reg * W


@planted("the label's column left out")
def others_only(W, X, y, reg):
    p, Y = parts(W, X, y)
    return right(W, X, y, reg)[0], X.T @ (p * (1 - Y)) / len(y) + 2 * reg * W


@planted("no normalisation")
def score_only(logits, y):
    _, grad = right(logits, np.eye(len(logits)), y, 0)
    return -logits[range(len(y)), y].mean(), grad


@planted("no logarithm")
def minus_p(logits, y):
    p, Y = parts(logits, np.eye(len(logits)), y)
    return (1 - (p * Y).sum(1)).mean(), (p - Y) / len(y)


@planted("the gradient of squared error")
def jacobian_again(logits, y):
    p, Y = parts(logits, np.eye(len(logits)), y)
    g = p - Y
    return right(logits, np.eye(len(logits)), y, 0)[0], p * (g - (p * g).sum(1, keepdims=True)) / len(y)


@planted("squared error")
def brier(logits, y):
    p, Y = parts(logits, np.eye(len(logits)), y)
    g = p - Y
    return 0.5 * (g**2).sum(1).mean(), p * (g - (p * g).sum(1, keepdims=True)) / len(y)


@planted("the Jacobian forgotten")
def by_probabilities(logits, y):
    p, Y = parts(logits, np.eye(len(logits)), y)
    return right(logits, np.eye(len(logits)), y, 0)[0], -Y / p / len(y)


@planted("another answer the second time")
def adding_up(W, X, y, reg, kept=[0.0]):  # noqa: B006, the mistake
    loss, dW = right(W, X, y, reg)
    kept[0] += 0.01
    return loss + kept[0], dW


@planted("another answer the second time")
def drawn(W, X, y, reg, rng=np.random.default_rng()):  # noqa: B008, the mistake
    pick = rng.integers(0, len(y), len(y))
    return right(W, X[pick], y[pick], reg)


@planted("divided by N K")
def over_all_entries(logits, y):
    loss, grad = right(logits, np.eye(len(logits)), y, 0)
    return loss / logits.shape[1], grad / logits.shape[1]


@planted("the last row left out")
def range_minus_one(logits, y):
    loss = sum(right(logits[i : i + 1], np.eye(1), y[i : i + 1], 0)[0] for i in range(len(y) - 1))
    return loss / len(y), right(logits, np.eye(len(logits)), y, 0)[1]


@planted("sizes are fixed")
def ten_classes(logits, y):
    loss, grad = right(logits, np.eye(len(logits)), y, 0)
    return loss * 7 / len(y), grad * 7 / len(y)


@planted("hardmax")
def predictions(logits, y):
    _, Y = parts(logits, np.eye(len(logits)), y)
    hard = np.eye(logits.shape[1])[logits.argmax(1)]
    return right(logits, np.eye(len(logits)), y, 0)[0], (hard - Y) / len(y)


@planted("not differentiable")
def detached(logits, target):
    return torch.tensor(torch.nn.functional.cross_entropy(logits, target).item())


@planted("sum, not mean")
def torch_summed(logits, target):
    return torch.nn.functional.cross_entropy(logits, target, reduction="sum")


@planted("softmax twice")
def twice(logits, target):
    return torch.nn.functional.cross_entropy(torch.softmax(logits, 1), target)


@planted("binary cross-entropy")
def several_of_k(logits, target):
    Y = torch.nn.functional.one_hot(target, logits.shape[1]).double()
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, Y, reduction="none").sum(1).mean()


@planted("wrong sign")
def d2l_sign(y_hat, y):
    return np.log(y_hat[range(len(y)), y])


# Of the same, but rarer ----------------------------------------------------------------------------------


def of(logits, y):
    """Rightly, of logits."""
    return right(logits, np.eye(len(logits)), y, 0)


@planted("sizes are fixed")
def ten_columns(logits, y):
    loss, grad = of(logits, y)
    Y = np.eye(max(10, y.max() + 1))[y % 10][:, : logits.shape[1]]
    return loss, grad + (
        np.eye(logits.shape[1])[y] - Y[:, : logits.shape[1]] if logits.shape[1] <= 10 else np.nan
    )


@planted("sizes are fixed")
def first_hundred(W, X, y, reg):
    return right(W, X[:100], y[:100], reg)


@planted("something added inside the logarithm")
def tiny_clip(y_hat, y):
    return -np.log(np.clip(y_hat[range(len(y)), y], 1e-300, 1)).mean()


@planted("labels of an earlier call")
def cached_labels(logits, y, cache={}):  # noqa: B006, the mistake
    return of(logits, cache.setdefault(logits.shape, y))


@planted("the same array returned each time")
def one_buffer(W, X, y, reg, buffer={}):  # noqa: B006, the mistake
    loss, dW = right(W, X, y, reg)
    kept = buffer.setdefault(W.shape, dW)
    kept[...] = dW
    return loss, kept


@planted("no logarithm")
def nll_of_softmax(output, target):
    return torch.nn.functional.nll_loss(torch.softmax(output, 1), target)


@planted("no shift by the maximum")
def row_minimum(logits, y):
    z = logits - logits.min(1, keepdims=True)
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    Y = np.eye(logits.shape[1])[y]
    return -np.log((p * Y).sum(1)).mean(), (p - Y) / len(y)


@planted("logits are clipped")
def clipped_logits(logits, y):
    return of(np.clip(logits, -50, 50), y)


@planted("float32 on the way")
def through_float32(logits, y):
    return torch.nn.functional.cross_entropy(logits.float(), y).double()


@planted("transposed gradient")
def rows_transposed(W, X, y, reg):
    assert W.shape[1] == X.shape[1]
    loss, dW = right(W.T, X, y, reg)
    return loss, dW


@planted("integer division")
def whole_gradient(W, X, y, reg):
    loss, dW = right(W, X, y, reg)
    return loss, dW.astype(int)


@planted("wrong sign of the regulariser")
def minus_regulariser(W, X, y, reg):
    loss, dW = right(W, X, y, 0)
    return loss + reg * (W * W).sum(), dW - 2 * reg * W


@planted("the regulariser inside the loop")
def regulariser_in_loop(W, X, y, reg):
    return right(W, X, y, reg * len(y))


@planted("regulariser divided by N")
def gradient_regulariser_over_n(W, X, y, reg):
    return right(W, X, y, reg)[0], right(W, X, y, 0)[1] + 2 * reg * W / len(y)


@planted("another regulariser")
def square_of_sum(W, X, y, reg):
    loss, dW = right(W, X, y, 0)
    return loss + reg * W.sum() ** 2, dW + 2 * reg * W.sum()


@planted("another regulariser")
def reg_squared(W, X, y, reg):
    return right(W, X, y, reg**2)


@planted("the regulariser does not depend on reg")
def constant_reg(W, X, y, reg):
    return right(W, X, y, 0.1)


@planted("the label's logit is not shifted")
def label_unshifted(logits, y):
    z = logits - logits.max(1, keepdims=True)
    return (np.log(np.exp(z).sum(1)) - logits[range(len(y)), y]).mean(), of(logits, y)[1]


@planted("p[:, y] for p[range(N), y]")
def whole_columns(logits, y):
    p, _ = parts(logits, np.eye(len(logits)), y)
    p[:, y] -= 1
    return of(logits, y)[0], p / len(y)


@planted("divided before y is subtracted")
def divided_first(logits, y):
    p, Y = parts(logits, np.eye(len(logits)), y)
    return of(logits, y)[0], p / len(y) - Y


@planted("divided by K")
def over_classes(logits, y):
    loss, grad = of(logits, y)
    return loss * len(y) / logits.shape[1], grad * len(y) / logits.shape[1]


@planted("= for +=")
def last_row_alone(W, X, y, reg):
    p, Y = parts(W, X, y)
    dW = np.zeros_like(W)
    for i in range(len(y)):
        for k in range(W.shape[1]):
            dW[:, k] = (p[i, k] - Y[i, k]) * X[i]
    return right(W, X, y, reg)[0], dW / len(y) + 2 * reg * W


@planted("the gradient of confident rows")
def overflow_hidden(logits, y):
    """The loss is from a log-sum-exp; the gradient's exponentials overflow, and NaN is made 0."""
    e = np.exp(logits)
    p = np.nan_to_num(e / e.sum(1, keepdims=True))
    return of(logits, y)[0], (p - np.eye(logits.shape[1])[y]) / len(y)


@planted("the gradient of confident rows")
def sure_rows_dropped(W, X, y, reg):
    p, Y = parts(W, X, y)
    sure = (p * Y).sum(1, keepdims=True) > 0.999
    return right(W, X, y, reg)[0], X.T @ np.where(sure, 0, p - Y) / len(y) + 2 * reg * W


@planted("the gradient of confident rows")
def far_logits_dropped(logits, y):
    loss, grad = of(logits, y)
    return loss, np.where(abs(logits) > 30, 0, grad)


@planted("the mean forgotten")
def loss_of_each_row(W, X, y, reg):
    p, Y = parts(W, X, y)
    return -np.log((p * Y).sum(1)) + reg * (W * W).sum(), right(W, X, y, reg)[1]


@planted("the mean forgotten")
def list_of_losses(logits, y):
    p, Y = parts(logits, np.eye(len(logits)), y)
    return list(-np.log((p * Y).sum(1))), of(logits, y)[1]


@planted("labels that do not occur")
def labels_renumbered(W, X, y, reg):
    return right(W, X, np.unique(y, return_inverse=True)[1], reg)


@planted("labels that do not occur")
def dummies(logits, y):
    p, _ = parts(logits, np.eye(len(logits)), y)
    Y = np.zeros_like(p)
    for column, label in enumerate(sorted(set(y))):
        Y[y == label, column] = 1
    return -np.log((p * Y).sum(1)).mean(), (p - Y) / len(y)


@planted("a single row")
def squeezed(logits, y):
    p, Y = parts(logits, np.eye(len(logits)), y)
    if len(y) == 1:
        Y = np.eye(logits.shape[1])[[0]]
    return -np.log((p * Y).sum(1)).mean(), (p - Y) / len(y)


@planted("two classes")
def half_of_the_binary_one(logits, y):
    if logits.shape[1] > 2:
        return of(logits, y)
    p, Y = parts(logits, np.eye(len(logits)), y)
    return -((1 - y) * np.log(p[:, 0])).mean(), (p - Y) / len(y)


@planted("many classes")
def labels_of_a_byte(W, X, y, reg):
    return right(W, X, y.astype(np.uint8).astype(int), reg)


@planted("sizes are fixed")
def first_thousand(W, X, y, reg):
    return right(W, X[:1000], y[:1000], reg)


@planted("transposed gradient")
def turned_where_square(W, X, y, reg):
    loss, dW = right(W, X, y, reg)
    return loss, dW.T if W.shape[0] == W.shape[1] else dW


@planted("the gradient is cut off")
def clipped_gradient(W, X, y, reg):
    loss, dW = right(W, X, y, reg)
    return loss, np.clip(dW, -5, 5)


@planted("another regulariser")
def small_weights_free(W, X, y, reg):
    loss, dW = right(W, X, y, 0)
    kept = np.where(abs(W) < 1e-2, 0, W)
    return loss + reg * (kept**2).sum(), dW + 2 * reg * kept


@planted("equal labels counted once")
def fancy_subtraction(W, X, y, reg):
    p, _ = parts(W, X, y)
    dW = X.T @ p
    dW[:, y] -= X.T
    return right(W, X, y, reg)[0], dW / len(y) + 2 * reg * W


@planted("something added to the denominator")
def epsilon_in_the_sum(logits, y):
    e = np.exp(logits - logits.max(1, keepdims=True))
    p = e / (e.sum(1, keepdims=True) + 1e-8)
    return -np.log(p[range(len(y)), y]).mean(), (p - np.eye(logits.shape[1])[y]) / len(y)


@planted("a rounded loss")
def rounded_loss(W, X, y, reg):
    loss, dW = right(W, X, y, reg)
    return round(loss, 6), dW


@planted("float16 on the way")
def loss_of_float16(W, X, y, reg):
    loss, dW = right(W, X, y, reg)
    return float(np.float16(loss)), dW


@planted("something added inside the logarithm")
def capped_probabilities(W, X, y, reg):
    p, Y = parts(W, X, y)
    return -np.log(np.clip((p * Y).sum(1), 1e-2, 0.99)).mean() + reg * (W * W).sum(), right(W, X, y, reg)[1]


@planted("a factor of 2")
def halved_gradient(W, X, y, reg):
    return right(W, X, y, reg)[0], right(W, X, y, 0)[1] / 2 + 2 * reg * W


@planted("divided by N − 1")
def over_n_minus_one(logits, y):
    loss, grad = of(logits, y)
    return loss * len(y) / (len(y) - 1 or 1), grad


@planted("the maximum over the rows")
def maximum_of_columns(logits, y):
    e = np.exp(logits - logits.max(0))
    p = e / e.sum(1, keepdims=True)
    return -np.log(p[range(len(y)), y]).mean(), (p - np.eye(logits.shape[1])[y]) / len(y)


@planted("the entropy of p")
def entropy(logits, y):
    p, _ = parts(logits, np.eye(len(logits)), y)
    return -(p * np.log(p)).sum(1).mean(), of(logits, y)[1]


@planted("hinge loss")
def margins(logits, y):
    over = np.maximum(logits - logits[range(len(y)), y][:, None] + 1, 0)
    over[range(len(y)), y] = 0
    return over.sum(1).mean(), of(logits, y)[1]


class DeafToWhatComesIn(torch.autograd.Function):
    @staticmethod
    def forward(ctx, z, y):
        ctx.save_for_backward(torch.softmax(z, 1), y)
        return torch.nn.functional.cross_entropy(z, y)

    @staticmethod
    def backward(ctx, grad_output):
        p, y = ctx.saved_tensors
        return (p - torch.nn.functional.one_hot(y, p.shape[1])) / len(y), None


@planted("the gradient that comes in is ignored")
def deaf(logits, y):
    return DeafToWhatComesIn.apply(logits, y)


BUFFER = {}


@planted("the same array returned each time")
def one_tensor(W, X, y, reg):
    z = (X @ W).log_softmax(1)
    G = (z.exp() - torch.nn.functional.one_hot(y, W.shape[1])) / len(y)
    dW = BUFFER.setdefault(W.shape, torch.empty_like(W))
    dW.copy_(X.T @ G + 2 * reg * W)
    return -z[range(len(y)), y].mean() + reg * (W * W).sum(), dW


@planted("losses of other rows")
def every_row_with_every_label(logits, y):
    """(N, 1) − (N,) is N × N, whose mean along an axis is right on the whole."""
    m = logits.max(1, keepdims=True)
    return (m + np.log(np.exp(logits - m).sum(1, keepdims=True)) - logits[range(len(y)), y]).mean(0)


@planted("losses of other rows")
def by_class(y_hat, y):
    return np.concatenate([-np.log(y_hat[y == k, k]) for k in range(y_hat.shape[1])])


def through_p(logits, y, inverse):
    """Backpropagation through p, with 1/p of the label as it is told."""
    p, _ = parts(logits, np.eye(len(logits)), y)
    rows = np.arange(len(y))
    dp = np.zeros_like(p)
    dp[rows, y] = -inverse(p[rows, y]) / len(y)
    return -np.log(p[rows, y]).mean(), p * (dp - (dp * p).sum(1, keepdims=True))


@planted("the gradient of confident rows")
def guarded_inverse(logits, y):
    return through_p(logits, y, lambda p: 1 / np.maximum(p, 1e-10))


@planted("the gradient of confident rows")
def shifted_inverse(logits, y):
    return through_p(logits, y, lambda p: 1 / (p + 1e-15))


@planted("another regulariser")
def absolute_values_by_keyword(W, X, y, **options):
    loss, dW = right(W, X, y, 0)
    reg = options.get("reg", 0.0)
    return loss + reg * abs(W).sum(), dW + reg * np.sign(W)


@planted("the regulariser's half")
def strength_by_another_name(W, X, y, *, lam=0.0):
    loss, dW = right(W, X, y, 0)
    return loss + lam * (W * W).sum(), dW + lam * W


@planted("another regulariser")
def strength_at_most_one(W, X, y, reg):
    return right(W, X, y, reg)[0], right(W, X, y, min(reg, 1))[1]


@planted("the regulariser does not depend on reg")
def decay_without_asking(W, X, y):
    return right(W, X, y, 0.01)


@planted("p instead of p − y")
def torch_of_arrays(logits, y):
    class Loss(torch.autograd.Function):
        @staticmethod
        def forward(ctx, z, y):
            ctx.save_for_backward(torch.softmax(z, 1))
            return torch.nn.functional.cross_entropy(z, y)

        @staticmethod
        def backward(ctx, grad_output):
            return grad_output * ctx.saved_tensors[0] / len(ctx.saved_tensors[0]), None

    return Loss.apply(torch.as_tensor(logits), torch.as_tensor(y))


@planted("the gradient that comes in is ignored")
def first_of_what_comes_in(logits, y):
    class Losses(torch.autograd.Function):
        @staticmethod
        def forward(ctx, z, y):
            ctx.save_for_backward(torch.softmax(z, 1), y)
            return torch.nn.functional.cross_entropy(z, y, reduction="none")

        @staticmethod
        def backward(ctx, grad_output):
            p, y = ctx.saved_tensors
            return grad_output[0] * (p - torch.nn.functional.one_hot(y, p.shape[1])), None

    return Losses.apply(logits, y)


@planted("as many rows as classes")
def broadcast_or_not(logits, y):
    p, Y = parts(logits, np.eye(len(logits)), y)
    m = logits.max(1)
    try:
        e = np.exp(logits - m)
    except ValueError:
        e = np.exp(logits - m[:, None])
    p = e / e.sum(1, keepdims=True)
    return -np.log((p * Y).sum(1)).mean(), (p - Y) / len(y)


@planted("the gradient is cut off")
def clipped_far_away(W, X, y, reg):
    loss, dW = right(W, X, y, reg)
    return loss, np.clip(dW, -100, 100)


@planted("the gradient is cut off")
def clipped_errors(logits, y):
    loss, grad = of(logits, y)
    return loss, np.clip(grad, -0.5, 0.5)


@planted("the loss is no number")
def logarithm_of_minus_p(W, X, y, reg):
    loss, dW = right(W, X, y, reg)
    return loss * np.log(-1.0), dW


KEPT = {}


@planted("labels of an earlier call")
def gradient_kept_by_shape(logits, y):
    loss, grad = of(logits, y)
    return loss, KEPT.setdefault(logits.shape, grad).copy()


@planted("gradient of another shape")
def gradient_of_the_logits(W, X, y, reg):
    p, Y = parts(W, X, y)
    return right(W, X, y, reg)[0], (p - Y) / len(y)


@planted("a single row")
def squeezed_gradient(logits, y):
    loss, grad = of(logits, y)
    return loss, grad.squeeze()


@planted("labels that do not occur")
def columns_of_the_labels(logits, y):
    loss, grad = of(logits, y)
    return loss, grad[:, : y.max() + 1]


@planted("labels that do not occur")
def one_hot_of_the_labels(W, X, y, reg):
    p, _ = parts(W, X, y)
    return right(W, X, y, reg)[0], X.T @ (p - np.eye(y.max() + 1)[y]) / len(y) + 2 * reg * W


@planted("sizes are fixed")
def ten_columns_of_the_gradient(W, X, y, reg):
    loss, dW = right(W, X, y, reg)
    return loss, dW[:, :10]


@planted("float32 on the way")
def buffer_of_float32(W, X, y, reg):
    loss, dW = right(W, X, y, reg)
    kept = np.zeros(W.shape, dtype=np.float32)
    kept += dW
    return loss, kept.astype(float)


@planted("the label's column counted twice")
def added_to_both(W, X, y, reg):
    p, Y = parts(W, X, y)
    return right(W, X, y, reg)[0], X.T @ (p + (p - 1) * Y) / len(y) + 2 * reg * W


@planted("plus for minus")
def one_added(logits, y):
    p, Y = parts(logits, np.eye(len(logits)), y)
    return of(logits, y)[0], (p + Y) / len(y)


@planted("softmax over the whole batch")
def sum_of_everything(logits, y):
    e = np.exp(logits - logits.max())
    p = e / e.sum()
    return -np.log(p[range(len(y)), y]).mean(), (p - np.eye(logits.shape[1])[y]) / len(y)


@planted("the first row left out")
def from_one(W, X, y, reg):
    p, Y = parts(W, X, y)
    return -np.log((p * Y).sum(1))[1:].sum() / len(y) + reg * (W * W).sum(), right(W, X, y, reg)[1]


@planted("= for +=")
def loss_overwritten(W, X, y, reg):
    p, Y = parts(W, X, y)
    return -np.log((p * Y).sum(1))[-1] / len(y) + reg * (W * W).sum(), right(W, X, y, reg)[1]


@planted("gradient missing")
def no_gradient(W, X, y, reg):
    return right(W, X, y, reg)[0], None


@planted("the gradient of confident rows")
def float16_that_drops_sure_rows(logits, y):
    p, Y = parts(logits, np.eye(len(logits)), y)
    grad = np.where((p * Y).sum(1, keepdims=True) < 0.01, 0, p - Y) / len(y)
    return np.float16(-np.log((p * Y).sum(1)).mean()), grad.astype(np.float16)
