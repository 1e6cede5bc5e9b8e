"""What benchmarks/race fits: seeded problems, and their objective in float64.

Real tables raw, and generated ones after what makes optimisers slow: scales of features, correlation, many
classes, many rows, rare classes, sparse text, more columns than rows; linear probes of several spectra and
noises, two of them float16; one without a penalty. None was chosen by how an entrant does on it.
"""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

Float = NDArray[np.float64]
Data = tuple[Any, NDArray[np.int64]]  # X dense or CSR (n, d); y (n,), codes 0 … K − 1, all of them present
_BLOCK = 1 << 22  # numbers held at once in evaluating


@dataclass(frozen=True)
class Problem:
    """A data set and the C at which it is fitted; `make(scale)` takes that share of the rows."""

    name: str
    C: float
    make: Callable[[float], Data]


def objective(X: Any, y: NDArray[np.int64], C: float, coef: Float, intercept: Float) -> float:
    """F = (1/n) Σ ℓ_i + ‖coef‖² / (2 C n) in nats, in float64 from the numbers as stored.

    coef (K, d), or (1, d) with the logit of class 1 of two. Plain NumPy, a block of rows at a time; shares no
    code with any entrant.
    """
    W, b = np.asarray(coef, np.float64), np.asarray(intercept, np.float64)
    penalty = float(np.sum(W * W)) / (2 * C * len(y))
    if len(W) == 1:
        W, b = np.vstack((np.zeros_like(W), W)), np.append(0.0, b)
    loss = 0.0
    step = max(_BLOCK // (len(W) + (0 if hasattr(X, "tocsr") else W.shape[1])), 1)
    for start in range(0, len(y), step):
        labels = y[start : start + step]
        Z = X[start : start + step].astype(np.float64) @ W.T + b
        Z -= Z.max(axis=1, keepdims=True)
        of_label = Z[np.arange(len(labels)), labels]
        loss += float(np.sum(np.log(np.exp(Z, out=Z).sum(axis=1)) - of_label))
    return loss / len(y) + penalty


def load(problem: Problem, scale: float, cache: Path) -> Data:
    """X and y, made once a run and then read from `cache`, by every process the same."""
    path = cache / f"{problem.name} {scale:g}.npz".replace("/", "-")
    if not path.exists():
        X, y = problem.make(scale)
        arrays = {"X": X} if isinstance(X, np.ndarray) else _parts(X)
        temporary = path.with_suffix(".part")
        with open(temporary, "wb") as file:
            np.savez(file, y=y, **arrays)
        os.replace(temporary, path)
    with np.load(path) as file:
        if "X" in file:
            return file["X"], file["y"]
        parts = file["data"], file["indices"], file["indptr"]
        return csr_array(parts, shape=tuple(file["shape"])), file["y"]


def _parts(X: Any) -> dict[str, Any]:
    """CSR as arrays, with the int32 indices that every entrant takes."""
    indices, indptr = X.indices.astype(np.int32), X.indptr.astype(np.int32)
    return {"data": X.data, "indices": indices, "indptr": indptr, "shape": X.shape}


def _rows(n: int, scale: float) -> int:
    return max(int(n * scale), 200)


def _codes(labels: NDArray[Any]) -> NDArray[np.int64]:
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def _sampled(logits: Float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Labels drawn from softmax(logits), by Gumbel noise."""
    return _codes(np.argmax(logits + rng.gumbel(size=logits.shape), axis=1))


def raw(loader: str, scale: float) -> Data:
    """A table of scikit-learn's, as it is."""
    from sklearn import datasets

    X, y = getattr(datasets, f"load_{loader}")(return_X_y=True)
    return np.ascontiguousarray(X, np.float64), _codes(y)


def scales(scale: float, n: int = 5000, d: int = 100, K: int = 10) -> Data:
    """Standard normal features in units from 1e-3 to 1e3; labels linear in the features before that."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((_rows(n, scale), d))
    y = _sampled(X @ rng.normal(scale=2 / np.sqrt(d), size=(d, K)), rng)
    return X * 10 ** np.linspace(-3, 3, d), y


def power_law(scale: float, n: int = 20_000, d: int = 200, K: int = 10) -> Data:
    """Correlated features: covariance of eigenvalues j⁻² in a random basis; labels linear in white ones."""
    rng = np.random.default_rng(2)
    white = rng.standard_normal((_rows(n, scale), d))
    y = _sampled(white @ rng.normal(scale=2 / np.sqrt(d), size=(d, K)), rng)
    basis = np.linalg.qr(rng.standard_normal((d, d)))[0]
    return np.ascontiguousarray((white / np.arange(1, d + 1)) @ basis), y


def probe(n: int, d: int, K: int, scale: float) -> Data:
    """Like embeddings under a linear probe, float32: noisy class centres, spectrum j^-0.5, rows of norm 4.

    A tenth of the labels is wrong.
    """
    rng = np.random.default_rng(3)
    n = _rows(n, scale)
    y = rng.permutation(np.arange(n) % K)
    spectrum = np.arange(1, d + 1) ** -0.5
    basis = np.linalg.qr(rng.standard_normal((d, d)))[0]
    centres = rng.standard_normal((K, d))
    X = np.empty((n, d), np.float32)
    for start in range(0, n, 4096):
        part = y[start : start + 4096]
        latent = centres[part] + 2 * rng.standard_normal((len(part), d))
        rows = (latent * spectrum) @ basis
        X[start : start + 4096] = rows * (4 / np.linalg.norm(rows, axis=1, keepdims=True))
    wrong = rng.random(n) < 0.1
    y[wrong] = rng.integers(K, size=np.count_nonzero(wrong))
    return X, _codes(y)


def embeddings(n: int, d: int, K: int, power: float, noise: float, dtype: str, scale: float) -> Data:
    """Centres and rows of spectrum j^-power, turned by a random rotation; neither scaled nor mislabelled.

    `noise`: the spread of rows about their centre over that of the centres, the same in every direction.
    """
    rng = np.random.default_rng(8)
    n = _rows(n, scale)
    y = rng.permutation(np.arange(n) % K)
    basis = np.linalg.qr(rng.standard_normal((d, d)))[0]
    turned = np.arange(1, d + 1)[:, None] ** -power * basis
    centres = rng.standard_normal((K, d))
    X = np.empty((n, d), dtype)
    for start in range(0, n, 4096):
        part = y[start : start + 4096]
        X[start : start + 4096] = (centres[part] + noise * rng.standard_normal((len(part), d))) @ turned
    return X, _codes(y)


def wide(n: int, K: int, scale: float, d: int = 5000) -> Data:
    """Like gisette, with fewer rows than columns: whole numbers from 0 to 999, five in six of them 0.

    Columns are correlated: behind each half of them are 50 factors of variance ∝ 1/j², which differ between
    classes for the first half and tell nothing in the second.
    """
    rng = np.random.default_rng(9)
    n = _rows(n, scale)
    y = rng.permutation(np.arange(n) % K)
    level = rng.normal(scale=0.5, size=(n, d))
    shift = rng.normal(scale=0.5, size=(K, 50))[y]
    sizes = 1 / np.arange(1, 51)
    sizes /= np.linalg.norm(sizes)
    for columns, mean in ((slice(None, d // 2), shift), (slice(d // 2, None), 0)):
        factors = rng.standard_normal((n, 50)) + mean
        level[:, columns] += factors * sizes @ rng.standard_normal((50, d // 2))
    return np.clip(np.rint(400 * (level - 1.1)), 0, 999), _codes(y)


def overlapping(scale: float, n: int = 20_000, d: int = 20, K: int = 4) -> Data:
    """An ordinary table in one unit, features correlated by 0.5; classes overlap: C = inf has an optimum."""
    rng = np.random.default_rng(10)
    n = max(_rows(n, scale), 1000)  # fewer rows may be separable
    X = (rng.standard_normal((n, d)) + rng.standard_normal((n, 1))) / np.sqrt(2)
    return X, _sampled(X @ rng.normal(scale=1.5 / np.sqrt(d), size=(d, K)), rng)


def tall(dtype: str, scale: float, n: int = 500_000, K: int = 7) -> Data:
    """Like a survey of land: 10 measurements in units from 1 to 1000, off centre; 4 + 40 indicators."""
    rng = np.random.default_rng(4)
    n = _rows(n, scale)
    measured = rng.standard_normal((n, 10))
    white = [measured]
    for levels in (4, 40):
        share = 1 / np.arange(1, levels + 1)
        white.append(np.eye(levels)[rng.choice(levels, size=n, p=share / share.sum())])
    stacked = np.hstack(white)
    logits = stacked @ rng.normal(size=(stacked.shape[1], K)) - np.arange(K) / 2
    y = _sampled(logits, rng)
    stacked[:, :10] = (stacked[:, :10] + rng.uniform(-1, 5, size=10)) * 10 ** np.linspace(0, 3, 10)
    return stacked.astype(dtype), y


def imbalanced(scale: float, n: int = 100_000, d: int = 30) -> Data:
    """Three overlapping classes, 1000 : 30 : 1."""
    rng = np.random.default_rng(5)
    n = _rows(n, scale)
    counts = np.maximum(np.array([0, 30, 1]) * n // 1031, 5)
    counts[0] = n - counts[1:].sum()
    y = rng.permutation(np.repeat(np.arange(3), counts))
    return rng.standard_normal((n, d)) + rng.normal(scale=0.4, size=(3, d))[y], y


def text_like(scale: float, n: int = 20_000, d: int = 100_000, K: int = 20) -> Data:
    """CSR: some 100 words a document, Zipf's law tilted by topic, tf-idf, rows of norm 1; 5 % wrong."""
    rng = np.random.default_rng(6)
    n, d = _rows(n, scale), max(int(d * min(scale, 1)), 2000)
    topic = rng.permutation(np.arange(n) % K)
    zipf = 1 / (np.arange(d) + 10.0)
    words = np.empty((n, 140), np.int64)
    for k in range(K):
        total = np.cumsum(zipf * np.exp(rng.standard_normal(d)))
        draws = rng.random((np.count_nonzero(topic == k), words.shape[1]))
        words[topic == k] = np.minimum(np.searchsorted(total, draws * total[-1]), d - 1)
    where = np.repeat(np.arange(n), words.shape[1]), words.ravel()
    X = csr_array(coo_array((np.ones(words.size), where), shape=(n, d)))
    X.sum_duplicates()
    idf = np.log((1 + n) / (1 + np.bincount(X.indices, minlength=d))) + 1
    X.data = (1 + np.log(X.data)) * idf[X.indices]
    norms = np.sqrt(np.add.reduceat(X.data**2, X.indptr[:-1]))
    X.data /= np.repeat(norms, np.diff(X.indptr))
    wrong = rng.random(n) < 0.05
    topic[wrong] = rng.integers(K, size=np.count_nonzero(wrong))
    return X, _codes(topic)


def stdlib(scale: float, n: int = 20_000, K: int = 20) -> Data:
    """Which of the largest packages of this Python's standard library is the line from? CSR, float64.

    Lines of 20 characters and more, without tests; tf-idf of character 2- to 4-grams within words.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    root = Path(sysconfig.get_path("stdlib"))
    lines: dict[str, list[str]] = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).parts
        if {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}.isdisjoint(parts):
            found = (line.strip() for line in path.read_text("utf-8", "replace").splitlines())
            lines.setdefault(parts[0], []).extend(line for line in found if len(line) >= 20)
    largest = sorted(lines, key=lambda name: (-len(lines[name]), name))[:K]
    pairs = [(line, name) for name in largest for line in lines[name]]
    rng = np.random.default_rng(7)
    chosen = [pairs[i] for i in rng.permutation(len(pairs))[: _rows(n, scale)]]
    grams = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), min_df=3)
    X = csr_array(grams.fit_transform([line for line, _ in chosen]))
    return X, _codes(np.array([name for _, name in chosen]))


PROBLEMS = [
    *(
        Problem(f"{name} C={C:g}", C, partial(raw, loader))
        for name, loader in (
            ("digits", "digits"),
            ("wine", "wine"),
            ("breast cancer", "breast_cancer"),
            ("iris", "iris"),
        )
        for C in (1e-2, 1.0, 1e4)
    ),
    Problem("scales", 1.0, scales),
    Problem("power law", 1.0, power_law),
    Problem("probe K=100", 1.0, partial(probe, 20_000, 384, 100)),
    Problem("probe K=1000", 1.0, partial(probe, 30_000, 512, 1000)),
    Problem("tall float32", 1.0, partial(tall, "float32")),
    Problem("tall float64", 1.0, partial(tall, "float64")),
    Problem("imbalanced", 1.0, imbalanced),
    Problem("text-like", 1.0, text_like),
    Problem("stdlib", 1.0, stdlib),
    *(
        Problem(name, 1.0, partial(embeddings, *sizes, power, noise, dtype))
        for name, sizes, power, noise, dtype in (
            ("probe k^-0.7 noise 2.5", (20_000, 384, 100), 0.7, 2.5, "float32"),
            ("probe k^-0.7 noise 0.5", (30_000, 768, 200), 0.7, 0.5, "float32"),
            ("probe k^-0.7 noise 4 float16", (40_000, 256, 500), 0.7, 4.0, "float16"),
            ("probe flat noise 1", (5000, 1024, 20), 0.0, 1.0, "float32"),
            ("probe flat noise 8", (60_000, 128, 50), 0.0, 8.0, "float32"),
            ("probe flat noise 4 float16", (10_000, 512, 1000), 0.0, 4.0, "float16"),
        )
    ),
    Problem("wide K=2", 1.0, partial(wide, 2000, 2)),
    Problem("wide K=5 C=1e-06", 1e-6, partial(wide, 1500, 5)),  # C = 1 for values from 0 to 1
    Problem("no penalty", np.inf, overlapping),
]
