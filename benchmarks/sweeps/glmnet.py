"""R's glmnet, for benchmarks/sweeps: data go there and paths come back in binary files.

Debian has it as r-cran-glmnet. Its multinomial objective is F of `sweep_problems` with λ = 1/(C n), its alpha
our l1_ratio, its type.multinomial "grouped" our grouped. X is not standardised. It runs on one thread.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csc_array, csr_array, vstack

from benchmarks.race.problems import Data

SCRIPT = Path(__file__).with_name("glmnet.R")
STARTING = 30.0  # seconds for R to start and to read the data


def missing() -> str | None:
    """Why it cannot run here, if it cannot."""
    if shutil.which("Rscript") is None:
        return "Rscript is not installed (Debian: apt install r-cran-glmnet)"
    found = subprocess.run(["Rscript", "-e", "library(glmnet)"], capture_output=True, text=True)
    return None if found.returncode == 0 else "R has no glmnet (Debian: apt install r-cran-glmnet)"


def version() -> str:
    """'R 4.2.2, glmnet 4.1.6'."""
    text = 'cat("R ", format(getRversion()), ", glmnet ", format(packageVersion("glmnet")), sep = "")'
    return subprocess.run(["Rscript", "-e", text], capture_output=True, text=True, check=True).stdout


def write(data: Data, folder: Path) -> None:
    """X by columns in float64, or its CSC parts, and y, for the script."""
    X, y = data
    folder.mkdir(exist_ok=True)
    if hasattr(X, "tocsc"):
        columns = X.tocsc()
        columns.sort_indices()
        columns.indices.astype(np.int32).tofile(folder / "i")
        columns.indptr.astype(np.int32).tofile(folder / "p")
        columns.data.astype(np.float64).tofile(folder / "x")
    else:
        X.astype(np.float64).T.tofile(folder / "x")
    stored = columns.nnz if hasattr(X, "tocsc") else 0
    np.array([*X.shape, stored], np.int32).tofile(folder / "dims")
    y.astype(np.int32).tofile(folder / "y")


def path(folder: Path, out: Path, settings: dict[str, Any], limit: float) -> dict[str, Any]:
    """A path for what `write` left in `folder`.

    settings: alpha, thresh, grouped, and either nlambda or lambdas. Returns {"seconds", "lambdas", "said",
    "values": [(coef (K, d) CSR, intercept (K,)), …]}, {"killed": limit} or {"error": …}.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    if (lambdas := settings.get("lambdas")) is not None:
        np.array(lambdas, np.float64).tofile(out / "lambda")
    kind = "grouped" if settings["grouped"] else "ungrouped"
    command = ["Rscript", SCRIPT, folder, out, str(settings["alpha"]), str(settings["thresh"]), kind]
    command.append(str(settings.get("nlambda", 100)))
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit + STARTING)
    except subprocess.TimeoutExpired:
        return {"killed": limit}
    if done.returncode != 0:
        return {"error": (done.stderr.strip().splitlines() or ["no word"])[-1][:200]}
    seconds, n_passes, code = np.fromfile(out / "said")
    if seconds > limit:
        return {"killed": limit}
    return {
        "seconds": float(seconds),
        "lambdas": np.fromfile(out / "lambda").tolist(),
        "said": {"npasses": int(n_passes), "jerr": int(code)},
        "values": _values(folder, out),
    }


def _values(folder: Path, out: Path) -> list[tuple[Any, Any]]:
    """(coef, intercept) of each λ."""
    d = int(np.fromfile(folder / "dims", np.int32)[1])
    m = (out / "lambda").stat().st_size // 8
    intercepts = np.fromfile(out / "a0").reshape(m, -1)
    of_class = []
    for k in range(1, intercepts.shape[1] + 1):
        parts = np.fromfile(out / f"x{k}"), *(np.fromfile(out / f"{name}{k}", np.int32) for name in "ip")
        of_class.append(csc_array(parts, shape=(d, m)))
    return [
        (csr_array(vstack([csr_array(beta[:, [j]].T) for beta in of_class])), intercepts[j]) for j in range(m)
    ]
