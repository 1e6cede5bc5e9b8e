"""The command as a user types it, and its files under the knife."""

import contextlib
import io
import os
import shlex
import signal
import subprocess
import sys
import time
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from packaging.requirements import Requirement
from rich.console import Console
from sklearn.datasets import load_digits, load_wine
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import xent
from xent.cli import terminal
from xent.export import model_file
from xent.tables.preparing import preparation
from xent.tables.sources import Options
from xent.tables.table import load
from xent.tables.targets import split

from .command import call


def run(*arguments, cwd, ok=True):
    out = subprocess.run(
        [sys.executable, "-m", "xent", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env=os.environ | {"COLUMNS": "100"},
    )
    assert (out.returncode == 0) is ok, out.stdout + out.stderr
    assert "Traceback" not in out.stderr
    return out


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fitted")
    out = run("fit", "digits", "--C", "1", "-o", "digits.xent", cwd=folder)
    return folder, out.stdout


@pytest.fixture
def mixed():
    """Numbers with holes, categories, text, dates and truth values."""
    rng = np.random.default_rng(0)
    n = 300
    size = rng.normal(size=n)
    colour = rng.choice(["red", "green", "blue"], n)
    frame = pd.DataFrame(
        {
            "size": np.where(rng.random(n) < 0.1, np.nan, size),
            "colour": np.where(rng.random(n) < 0.1, None, colour),
            "note": [f"lot {i} of {colour[i]} things" for i in range(n)],
            "seen": pd.date_range("2024-01-01", periods=n, freq="7h"),
            "new": rng.random(n) < 0.5,
        }
    )
    frame["kind"] = np.where(size + (colour == "red") + 0.3 * rng.normal(size=n) > 0, "yes", "no")
    return frame


def test_fit_predict_inspect(fitted):
    folder, shown = fitted
    for expected in (
        "rows         1,437",
        "features     61",
        "classes      10",
        "within",
        "nats of the optimum",
    ):
        assert expected in shown
    assert "passes" in shown
    assert "seconds" in shown
    assert "accuracy 0.9" in shown
    assert "log-loss 0." in shown
    assert shown.endswith("model written to digits.xent\n")
    run("predict", "digits.xent", "digits", "-o", "p.csv", cwd=folder)
    predictions = pd.read_csv(folder / "p.csv", dtype=str).astype(float)  # pandas 2 reads to an ulp or so
    X, y = load_digits(return_X_y=True, as_frame=True)
    model, figures = model_file.load(folder / "digits.xent")
    assert (predictions["prediction"] == y).mean() > 0.98
    probabilities = predictions.drop(columns="prediction").to_numpy()
    np.testing.assert_allclose(probabilities, model.predict_proba(X), rtol=1e-13)
    assert figures["suboptimality"] <= 1e-6
    shown = run("inspect", "digits.xent", cwd=folder).stdout
    assert "class labels  0, 1, 2, 3, 4, 5, 6, 7, 8, 9" in shown
    assert "pixel_0_0  constant" in shown
    assert "61 number, 3 constant" in shown
    piped = run("predict", "digits.xent", "digits", cwd=folder).stdout
    assert piped == (folder / "p.csv").read_text()


def test_the_picture_of_make_demo(fitted, tmp_path):
    folder, _ = fitted
    picture = tmp_path / "digits.png"
    example = Path(__file__).parents[2] / "examples" / "plot_digits.py"
    subprocess.run([sys.executable, example, folder / "digits.xent", picture], check=True)
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("options", [[], ["--cv", "2"]])
def test_a_model_that_is_not_saved_is_said(tmp_path, options):
    shown = run("fit", "iris", *options, cwd=tmp_path).stdout
    assert shown.endswith("model not saved; add -o FILE.xent to keep it\n")
    assert not list(tmp_path.iterdir())


def test_the_figures_are_the_estimators(tmp_path):
    run("fit", "wine", "--holdout", "0", "--C", "1", "-o", "wine.xent", cwd=tmp_path)
    model, figures = model_file.load(tmp_path / "wine.xent")
    X, y = load_wine(return_X_y=True)
    theirs = LogisticRegression(C=1, tol=1e-10, max_iter=10_000).fit(StandardScaler().fit_transform(X), y)
    ours = xent.SoftmaxRegression().fit(StandardScaler().fit_transform(X), y)
    assert figures["objective"] == pytest.approx(ours.objective_, rel=1e-12)
    np.testing.assert_allclose(model[-1].coef_, ours.coef_, rtol=1e-9)
    np.testing.assert_allclose(model[-1].coef_, theirs.coef_, atol=2e-3)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_mixed_table(tmp_path, mixed, suffix, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"t.{suffix}"
    mixed.to_csv(path, index=False) if suffix == "csv" else mixed.to_parquet(path)
    out = call("fit", path, "--target", "kind", "--C", "2", "-o", "m.xent")
    assert "at C = 2" in out.out
    accuracy = float(out.out.partition("accuracy ")[2].partition(",")[0])
    assert accuracy > 0.75
    # Columns in another order, one too many, and no target: the model knows its own.
    other = mixed.drop(columns="kind").iloc[:, ::-1].assign(extra=1)
    other.to_csv(tmp_path / "new.csv", index=False)
    call("predict", "m.xent", "new.csv", "-o", "p.parquet")
    predictions = pd.read_parquet(tmp_path / "p.parquet")
    assert list(predictions.columns) == ["prediction", "p_no", "p_yes"]
    assert (predictions["prediction"] == mixed["kind"]).mean() > 0.75
    shown = call("inspect", "m.xent").out
    kinds = dict(line.split()[:2] for line in shown.splitlines()[1:6])
    assert kinds == {
        "size": "number",
        "colour": "category",
        "note": "text",
        "seen": "date",
        "new": "category",
    }


def test_npz(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X, y = load_wine(return_X_y=True)
    np.savez(tmp_path / "w.npz", X=X.astype(np.float32), label=y)
    assert call("fit", "w.npz", "--target", "label", "-o", "m.xent").code == 0
    assert call("predict", "m.xent", "w.npz", "-o", "p.csv").code == 0
    assert (pd.read_csv(tmp_path / "p.csv")["prediction"].to_numpy() == y).mean() > 0.95


def test_the_same_seed_gives_the_same_bits(tmp_path, mixed, monkeypatch):
    """Also in a process of its own, where hashes differ."""
    monkeypatch.chdir(tmp_path)
    mixed.to_csv("t.csv", index=False)
    fit = ("fit", "t.csv", "--target", "kind", "--C", "2")
    assert call(*fit, "--seed", 3, "-o", "a.xent").code == 0
    run(*fit, "--seed", 3, "-o", "b.xent", cwd=tmp_path)
    assert call(*fit, "--seed", 4, "-o", "c.xent").code == 0
    a, b, c = (Path(f"{name}.xent").read_bytes() for name in "abc")
    assert a == b
    assert a != c


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit", "nowhere.csv", "--target", "y"], "nowhere.csv: no such file"),
        (["fit", "table.xlsx"], "table.xlsx: no such file"),
        (["fit", "t.csv"], "which column holds the classes, with --target COLUMN; it has 'a', 'y'"),
        (["fit", "t.csv", "--target", "q"], "no column 'q'; it has 'a', 'y'"),
        (
            ["fit", "t.csv", "--target", "a", "--holdout", "0"],
            "column 'a' has nothing in 1 of its rows, first in row 3",
        ),
        (["fit", "empty.csv", "--target", "y"], "empty.csv: the file is empty; expected a table"),
        (["fit", "broken.parquet", "--target", "y"], "broken.parquet: the file has no rows below the header"),
        (["fit", "broken.npz", "--target", "y"], "broken.npz: the file has no rows below the header"),
        (["fit", "pickled.npz", "--target", "y"], "cannot be read as npz: Object arrays cannot be loaded"),
        (["fit", "iris", "--holdout", "1"], "--holdout must be in [0, 1), got 1"),
        (["fit", "iris", "--holdout", "0.001"], "--holdout 0 fits on all rows"),
        (["fit", "iris", "--C", "0"], "--C must be > 0, or inf for no penalty, got 0"),
        (["fit", "iris", "-o", "no/such/m.xent"], "no such directory: no/such"),
        (
            ["fit", "one.csv", "--target", "y", "--holdout", "0"],
            "column 'y' has only one class, 'u' in all 2 rows",
        ),
        (["predict", "nowhere.xent", "iris"], "nowhere.xent: cannot be read: No such file or directory"),
        (["predict", "t.csv", "iris"], "t.csv: not a xent model, or cut short"),
        (["predict", "digits.xent", "iris"], "61 of the model's columns are missing: 'pixel_0_1'"),
        (["fit", "twice.csv", "--target", "y"], "names of several columns were made different: 'y' (now"),
        (
            ["fit", "ragged.csv", "--target", "y"],
            "rows have one cell more than the header: the first is taken for a name",
        ),
        (
            ["fit", "inf.csv", "--target", "y"],
            "column 'a' is taken as a number, but row 2 has an infinite number",
        ),
        (
            ["fit", "holes.csv", "--target", "y"],
            "no column is left to learn from: 'a': it has no value in any row",
        ),
        (
            ["fit", "nested.parquet", "--target", "y"],
            "column 'a' holds a list<element: int64> in each row; split it",
        ),
        (["fit", "single.npz", "--target", "y"], "single.npz: no column 'y'; it has 'x0', 'x1', 'x2'"),
        (
            ["fit", "iris", "--target", "sepal length (cm)"],
            "holds 35 different numbers in 150 rows, with decimals: a quantity",
        ),
        (["fit", "once.csv", "--target", "y"], "class 'w' has a single row, which cannot be both"),
        (["fit", "iris", "--seed", "-1"], "--seed must be ≥ 0, got -1"),
        (["fit", "iris", "--cv", "1"], "--cv must be ≥ 2 folds, got 1"),
        (["fit", "iris", "--cv", "5", "--C", "2"], "--cv picks C itself; leave out --C, or --cv"),
        (["fit", "iris", "--l1-ratio", "2"], "--l1-ratio must be in [0, 1], got 2"),
        (["path", "iris", "-o", "p.pdf"], "--output p.pdf: expected a .png or .svg file"),
        (["path", "iris", "-o", "no/such/p.png"], "no such directory: no/such"),
        (
            ["path", "iris", "--Cs", "0"],
            "The 'Cs' parameter of xent path must be an int in the range [1, inf)",
        ),
        (["path", "iris", "--l1-ratio", "-1"], "'l1_ratio' parameter of xent path must be a float in the"),
        (["path", "iris", "--holdout", "-1"], "--holdout must be in [0, 1), got -1"),
        (["path", "iris", "--seed", "-1"], "--seed must be ≥ 0, got -1"),
        (["path", "t.csv"], "say which column holds the classes, with --target COLUMN"),
        (
            ["predict", "digits.xent", "gaps.csv"],
            "column 'pixel_0_2' was a number when the model was fitted; now row 2 has 'soon'",
        ),
        (["predict", "digits.xent", "digits", "-o", "p.txt"], "expected a .csv or .parquet file"),
        (["inspect", "other.zip"], "not a xent model: a zip archive without a model's schema"),
    ],
)
def test_errors_are_one_clear_line_and_write_nothing(tmp_path, fitted, arguments, message, monkeypatch):
    (tmp_path / "t.csv").write_text("a,y\n1,u\n2,v\n,u\n4,v\n")
    (tmp_path / "one.csv").write_text("a,y\n1,u\n2,u\n")
    (tmp_path / "once.csv").write_text("a,y\n1,u\n2,u\n2,v\n1,v\n3,w\n")
    (tmp_path / "empty.csv").write_text("")
    for name in ("broken.parquet", "broken.npz"):
        (tmp_path / name).write_bytes(b"PK but not really")
    np.savez(tmp_path / "pickled.npz", X=np.eye(3), y=np.array([1, "a", None], dtype=object))
    (tmp_path / "twice.csv").write_text("a,y,y\n1,u,u\n2,v,v\n")
    (tmp_path / "ragged.csv").write_text("a,y\n" + "1,u,9\n2,v,9\n" * 10)
    (tmp_path / "inf.csv").write_text("a,y\n1,u\ninf,v\n" + "1,u\n2,v\n" * 10)
    (tmp_path / "holes.csv").write_text("a,y\n" + ",u\n,v\n" * 10)
    pd.DataFrame({"a": [[1, 2]] * 20, "y": ["u", "v"] * 10}).to_parquet(tmp_path / "nested.parquet")
    np.save(tmp_path / "single.npy", np.eye(3))
    (tmp_path / "single.npy").rename(tmp_path / "single.npz")
    gaps = load_digits(as_frame=True).data.head(3).astype({"pixel_0_2": object})
    gaps.loc[1, "pixel_0_2"] = "soon"
    gaps.to_csv(tmp_path / "gaps.csv", index=False)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("hello.txt", "hello")
    (tmp_path / "digits.xent").write_bytes((fitted[0] / "digits.xent").read_bytes())
    before = sorted(tmp_path.iterdir())
    monkeypatch.chdir(tmp_path)
    said = call(*arguments)
    assert message in said.err
    assert said.code == 1
    assert said.err.startswith("xent: ")
    assert len(said.err.splitlines()) == 1
    assert said.out == ""
    assert sorted(tmp_path.iterdir()) == before


def test_a_damaged_or_foreign_model_is_refused(tmp_path, fitted):
    good = (fitted[0] / "digits.xent").read_bytes()
    path = tmp_path / "m.xent"
    for cut in (0, 10, len(good) // 2, len(good) - 1):
        path.write_bytes(good[:cut])
        with pytest.raises(model_file.ModelFileError, match=r"m\.xent: "):
            model_file.load(path)
    rng = np.random.default_rng(0)
    refused, coef = 0, model_file.load(fitted[0] / "digits.xent")[0][-1].coef_
    for _ in range(200):
        data = bytearray(good)
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        path.write_bytes(data)
        try:
            model, _ = model_file.load(path)
        except model_file.ModelFileError:
            refused += 1
        else:  # a bit of the zip's own bookkeeping: what was read is whole
            np.testing.assert_array_equal(model[-1].coef_, coef)
    assert refused > 150


def test_a_model_file_cannot_run_code(tmp_path):
    import skops.io

    path = tmp_path / "evil.xent"
    path.write_bytes(skops.io.dumps({"format": model_file.FORMAT, "model": os.system, "figures": {}}))
    with pytest.raises(model_file.ModelFileError, match=r"refused: it asks for what no xent .*system"):
        model_file.load(path)
    path.write_bytes(skops.io.dumps({"format": "something else"}))
    with pytest.raises(model_file.ModelFileError, match="its format is 'something else'"):
        model_file.load(path)
    # skops itself would open any of scikit-learn's estimators; some of those open files.
    other = {"format": model_file.FORMAT, "model": KNeighborsClassifier(), "figures": {}}
    path.write_bytes(skops.io.dumps(other))
    with pytest.raises(model_file.ModelFileError, match="KNeighborsClassifier"):
        model_file.load(path)
    reader = make_pipeline(TfidfVectorizer(input="filename"), xent.SoftmaxRegression())
    reader[-1].fit(*load_wine(return_X_y=True))
    path.write_bytes(skops.io.dumps(other | {"model": reader}))
    with pytest.raises(model_file.ModelFileError, match=r"would open files|no xent model has"):
        model_file.load(path)
    for damaged in ({"model": {}}, {"model": "text"}, {"model": xent.SoftmaxRegression()}):
        path.write_bytes(skops.io.dumps(other | damaged))
        with pytest.raises(model_file.ModelFileError, match="expected a fitted SoftmaxRegression"):
            model_file.load(path)
    with pytest.raises(model_file.ModelFileError, match="could not be read back"):
        model_file.save(tmp_path / "no.xent", {"f": os.system}, {})
    assert not (tmp_path / "no.xent").exists()


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    """A model, and a table whose predictions take seconds to write."""
    folder = tmp_path_factory.mktemp("big")
    X = np.random.default_rng(0).normal(size=(400_000, 3)).astype(np.float32)
    np.savez(folder / "big.npz", X=X, y=(X[:, 0] > 0).astype(int))
    run("fit", "big.npz", "--target", "y", "-o", "m.xent", cwd=folder)
    return folder


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are a POSIX thing")
def test_a_progress_bar_after_a_second(big):
    import pty

    def on_a_terminal(*arguments):
        parent, child = pty.openpty()
        command = [sys.executable, "-m", "xent", *arguments]
        process = subprocess.Popen(
            command, cwd=big, stdout=subprocess.DEVNULL, stderr=child, env=os.environ | {"TERM": "xterm"}
        )
        os.close(child)
        shown = b""
        with contextlib.suppress(OSError):  # how a pseudo-terminal says that the other side has gone
            while chunk := os.read(parent, 65536):
                shown += chunk
        os.close(parent)
        assert process.wait() == 0
        return shown.decode()

    assert "predicting, row 1" in on_a_terminal("predict", "m.xent", "big.npz", "-o", "shown.csv")


def test_no_progress_bar_for_what_is_quick(monkeypatch):
    shown = io.StringIO()
    monkeypatch.setattr(terminal, "err", Console(file=shown, force_terminal=True))
    with terminal.working() as stage:
        stage("fitting", 0.5)
    assert shown.getvalue() == ""


def size(path):
    """In bytes; 0 once it is gone (the command first tries whether it may write, and removes that)."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def test_killed_while_writing_nothing_is_half_written(big):
    """SIGKILL while the temporary file grows: the old file is whole, or there is none; then to the end."""
    command = [sys.executable, "-m", "xent", "predict", "m.xent", "big.npz", "-o", "p.csv"]
    output = big / "p.csv"
    for old in (None, "the old file"):
        if old is not None:
            output.write_text(old)
        process = subprocess.Popen(command, cwd=big, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            growing = [p for p in big.glob(".p.csv.*.tmp") if size(p) > 100_000]
            if growing or process.poll() is not None:
                break
            time.sleep(0.001)
        assert growing, "the command ended before it could be killed"
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert growing[0].exists()  # it was in the middle of writing
        assert output.exists() == (old is not None)
        if old is not None:
            assert output.read_text() == old
    run("predict", "m.xent", "big.npz", "-o", "p.csv", cwd=big)
    assert len(pd.read_csv(output)) == 400_000


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "m.xent"
    model = xent.SoftmaxRegression().fit(*load_wine(return_X_y=True))
    model_file.save(path, model, {"a": 1})
    before = path.read_bytes()

    def full(self, data):
        with self.open("wb") as out:
            out.write(data[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        model_file.save(path, model, {"a": 2})
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_that_leaves_is_no_error(big):
    command = [sys.executable, "-m", "xent", "predict", "m.xent", "big.npz"]
    with subprocess.Popen(command, cwd=big, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout.readline() == "prediction,p_0,p_1\n"
        run.stdout.close()  # as `head` does
        assert run.stderr.read() == ""


def asks_for(said, what, extra):
    """The error's command works here: this Python's pip, and what pyproject.toml has for the extra."""
    needs, _, command = said.partition(", which is not installed: ")
    assert needs == what
    python_pip_install, packages = shlex.split(command)[:4], shlex.split(command)[4:]
    assert python_pip_install == [sys.executable, "-m", "pip", "install"]
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    asked = project["optional-dependencies"][extra]
    assert {Requirement(line) for line in packages} == {Requirement(line) for line in asked}


def test_missing_extra_is_said(tmp_path):
    code = "import sys; sys.modules['cyclopts'] = None; import xent.__main__ as m; m.main()"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert out.returncode == 1
    asks_for(out.stderr, "xent: the command needs cyclopts", "cli")


@pytest.mark.parametrize("module", ["pandas", "rich"])
def test_a_missing_part_of_the_extra_is_said(tmp_path, fitted, module):
    """Also when the command is well under way and only then loads it."""
    code = f"import sys; sys.modules[{module!r}] = None; import xent.__main__ as m; m.main()"
    (tmp_path / "t.csv").write_text("a,y\nu,u\nv,v\n,u\nx,v\n")
    arguments = ["fit", "t.csv", "--target", "y", "--holdout", "0", "-o", "m.xent"]
    command = [sys.executable, "-c", code, *arguments]
    out = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert out.returncode == 1
    assert out.stderr.startswith(
        f"xent: the command needs {module}, which is not installed: {sys.executable}"
    )
    assert not (tmp_path / "m.xent").exists()


def test_columns_are_read_as_what_they_were(tmp_path, monkeypatch):
    """A blank cell must not turn the codes 1, 2 into the numbers 1.0, 2.0, which the model never saw."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    code = rng.choice(["1", "2", "x"], 300)
    kind = np.where(rng.random(300) < 0.05, "x", code)
    frame = pd.DataFrame({"code": code, "z": rng.normal(size=300), "k": kind})
    frame.to_csv(tmp_path / "t.csv", index=False)
    assert call("fit", "t.csv", "--target", "k", "--C", "1", "-o", "m.xent").code == 0
    (tmp_path / "new.csv").write_text("code,z\n1,0\n2,0\n,0\n")
    out = call("predict", "m.xent", "new.csv").out
    assert [line.split(",")[0] for line in out.splitlines()[1:3]] == ["1", "2"]
    (tmp_path / "new.csv").write_text("code,z\n1,0\n2,abc\n")
    out = call("predict", "m.xent", "new.csv")
    assert "column 'z' was a number when the model was fitted; now row 2 has 'abc'" in out.err


def test_an_unknown_category_is_said_once_and_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [f"{colour},{size}" for size in range(5) for colour in ("red,u", "green,v", "blue,v", "blue,u")]
    Path("t.csv").write_text("a,y,size\n" + "\n".join(rows) + "\n")
    assert call("fit", "t.csv", "--target", "y", "--C", "1", "-o", "m.xent").code == 0
    Path("n.csv").write_text("a,size\nred,1\nmauve,2\n,3\nmauve,\n")
    assert call("predict", "m.xent", "n.csv").err.splitlines() == [
        "xent: column 'a': row 2 has 'mauve', which no fitted row had; such a row gets zeros for this column"
        " (3 such rows)",
        "xent: column 'size': row 4 has no value, where all fitted rows had one; the mean takes its place"
        " (1 such rows)",
    ]


def test_a_date_that_cannot_be_read_is_an_error(tmp_path, monkeypatch):
    """It used to be a missing value, unsaid, which turned a perfect model into a coin."""
    monkeypatch.chdir(tmp_path)
    days = pd.date_range("2021-01-01", periods=300)
    frame = pd.DataFrame({"when": days.strftime("%Y-%m-%d"), "y": np.where(days.month < 7, "a", "b")})
    frame.to_csv("t.csv", index=False)
    assert call("fit", "t.csv", "--target", "y", "-o", "m.xent").code == 0
    for other in ("%Y/%m/%d", "%Y-%m-%d 00:00:00", "%d %b %Y"):  # of one meaning: read
        frame.assign(when=days.strftime(other)).to_csv("n.csv", index=False)
        said = call("predict", "m.xent", "n.csv", "-o", "p.csv")
        assert said.code == 0
        assert (pd.read_csv("p.csv")["prediction"] == frame["y"]).mean() > 0.97
    for text in ("2021-13-45", "soon", "03/04/2021", "03.04.2021"):
        frame.assign(when=[*frame["when"][:6], text, *frame["when"][7:]]).to_csv("n.csv", index=False)
        said = call("predict", "m.xent", "n.csv")
        assert said.code == 1
        wanted = f"n.csv: column 'when' was a date when the model was fitted; now row 7 has {text!r}"
        assert wanted in said.err
        assert "leave it empty if it is unknown, or write it as 2021-03-31" in said.err


def test_parquet_names_and_index(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(np.column_stack([rng.normal(size=(60, 3)), np.arange(60) % 2]))
    frame.to_parquet("numbers.parquet")  # columns 0, 1, 2, 3
    assert "features     3" in call("fit", "numbers.parquet", "--target", "3", "--C", "1").out
    frame = frame.rename(columns=lambda c: f"c{c}").set_index(pd.Index(rng.normal(size=60), name="id"))
    frame.to_parquet("index.parquet")
    assert "features     4" in call("fit", "index.parquet", "--target", "c3", "--C", "1").out
    frame.rename_axis(index="c0").to_parquet("twice.parquet")
    assert "features     3" in call("fit", "twice.parquet", "--target", "c3", "--C", "1").out
    frame.set_index(pd.RangeIndex(60, name="row")).to_parquet("rows.parquet")
    assert "features     3" in call("fit", "rows.parquet", "--target", "c3", "--C", "1").out


def test_labels_stay_what_they_are(tmp_path, monkeypatch):
    """01 and 1 are two classes, 3 is a number, and NA is a class only for who says so."""
    monkeypatch.chdir(tmp_path)
    for labels, classes in ((["01", "1", "x"], ["01", "1", "x"]), (["3", "4"], [3, 4])):
        rows = "".join(f"{i % 7},{labels[i % len(labels)]}\n" for i in range(60))
        Path("t.csv").write_text("a,y\n" + rows)
        assert call("fit", "t.csv", "--target", "y", "--C", "1", "-o", "m.xent").code == 0
        assert model_file.load(Path("m.xent"))[0].classes_.tolist() == classes
    Path("t.csv").write_text("a,y\n" + "".join(f"{i % 7},{['NA', 'u', 'v'][i % 3]}\n" for i in range(60)))
    said = call("fit", "t.csv", "--target", "y", "-o", "n.xent")
    assert said.code == 1
    assert "column 'y' has 'NA' in 20 of its rows, first in row 1; --missing-target drop" in said.err
    assert not Path("n.xent").exists()
    for choice, classes in (("drop", ["u", "v"]), ("class", ["NA", "u", "v"])):
        said = call("fit", "t.csv", "--target", "y", "--missing-target", choice, "-o", "n.xent")
        assert "column 'y' has 'NA' in 20 of its rows, first in row 1; the" in said.err
        assert model_file.load(Path("n.xent"))[0].classes_.tolist() == classes


def test_dates_with_a_zone(tmp_path, monkeypatch):
    """Of each kind one column: UTC, a place's with its summer time, and text with an offset."""
    monkeypatch.chdir(tmp_path)
    hours = np.arange(120) * 7 % 24
    frame = pd.DataFrame({"y": np.where(hours < 12, "am", "pm")})
    for zone in ("UTC", "Europe/Zurich"):
        frame[zone] = pd.date_range("2024-01-01", periods=120, freq="7h", tz=zone)
    frame["offset"] = pd.date_range("2024-01-01", periods=120, freq="7h").astype(str) + "+02:00"
    frame.to_parquet("t.parquet")
    assert call("fit", "t.parquet", "--target", "y", "-o", "m.xent").code == 0
    said = call("predict", "m.xent", "t.parquet", "-o", "p.csv")
    assert said.code == 0
    predictions = pd.read_csv("p.csv")
    right = (predictions["prediction"] == frame["y"]).mean()
    assert right > 0.95
    logs = np.log(np.where(frame["y"] == "am", predictions["p_am"], predictions["p_pm"]))
    assert f"accuracy {right:.4f}, log-loss {-logs.mean():.4f} nats on the 120 rows" in said.err


def test_markup_and_escapes_in_data_are_shown_not_obeyed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame({"a": [1.0, 2.0] * 10, "[b]": ["x", "y", "z", "x\x1b[1m"] * 5})
    frame["[/bad]"] = ["[red]", "\x1b[31mx", "\x1b[31mx", "[red]"] * 5
    frame.to_parquet("t.parquet")
    said = call("fit", "t.parquet", "--target", "[/bad]", "--C", "1", "-o", "m.xent")
    assert "target '[/bad]'" in said.out
    shown = call("inspect", "m.xent", "--coefficients").out
    assert "[red]" in shown
    assert "\x1b" not in shown + said.out + said.err
    assert "\\x1b[31mx" in shown
    assert "[b] = x\\x1b[1m" in shown


def test_output_never_costs_an_input_a_device_or_a_link(tmp_path):
    (tmp_path / "t.csv").write_text("a,y\n" + "1,u\n2,v\n" * 10)
    before = (tmp_path / "t.csv").read_text()
    assert (
        "is the input itself"
        in run("fit", "t.csv", "--target", "y", "-o", "t.csv", cwd=tmp_path, ok=False).stderr
    )
    assert (tmp_path / "t.csv").read_text() == before
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in run("fit", "iris", "-o", "pipe", cwd=tmp_path, ok=False).stderr
    assert (tmp_path / "pipe").is_fifo()
    assert "cannot be written" in run("fit", "iris", "-o", "n" * 250, cwd=tmp_path, ok=False).stderr
    (tmp_path / "link.xent").symlink_to("real.xent")
    run("fit", "iris", "-o", "link.xent", cwd=tmp_path)
    assert (tmp_path / "link.xent").is_symlink()
    assert (tmp_path / "real.xent").is_file()
    out = run("predict", "link.xent", "iris", "-o", "real.xent", cwd=tmp_path, ok=False)
    assert "expected a .csv or .parquet file" in out.stderr


def test_sigterm_leaves_nothing_behind(big):
    command = [sys.executable, "-m", "xent", "predict", "m.xent", "big.npz", "-o", "term.csv"]
    for _ in range(5):  # on a busy machine it may have written all before it is seen to write
        process = subprocess.Popen(command, cwd=big, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while (
            not list(big.glob(".term.csv.*.tmp")) and process.poll() is None and time.monotonic() < deadline
        ):
            time.sleep(0.001)
        process.terminate()
        if process.wait() != 0:
            break
        (big / "term.csv").unlink()
    assert process.returncode in (143, -signal.SIGTERM)
    assert not list(big.glob("*term.csv*"))


def table_in(text):
    """The rows under a header that begins with C, as lists of words."""
    lines = [line.split() for line in text.splitlines()]
    heads = (["C", "log-loss"], ["C", "objective"])
    start = next(i for i, words in enumerate(lines) if words[:2] in heads)
    rows = lines[start + 1 :]
    return rows[: next((i for i, words in enumerate(rows) if not words or not words[0][0].isdigit()), None)]


def test_c_by_cross_validation(tmp_path, monkeypatch):
    """The table is the estimator's on the same folds, the model a fit at the C taken; for the rule see
    tests/tables/test_strength.py."""
    monkeypatch.chdir(tmp_path)
    said = call("fit", "wine", "--cv", "4", "--holdout", "0", "--seed", "2", "-o", "w.xent")
    X, y = load_wine(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    folds = RepeatedStratifiedKFold(n_splits=4, n_repeats=3, random_state=2)
    search = xent.SoftmaxRegressionCV(Cs=np.logspace(-4, 4, 9), cv=folds).fit(X, y)
    losses = -search.scores_.mean(axis=(0, 1))
    rows = table_in(said.out)
    assert [row[0] for row in rows] == [f"{C:g}" for C in np.logspace(-4, 4, 9)]
    assert [row[1] for row in rows] == [f"{loss:.4f}" for loss in losses]
    assert [row[2] for row in rows if row[0] not in ("1",)] == [
        f"{loss - losses[4]:+.4f}" for loss in np.delete(losses, 4)
    ]
    (taken,) = [float(row[0]) for row in rows if row[-2:] == ["←", "taken"]]
    model, figures = model_file.load(Path("w.xent"))
    assert model[-1].C == figures["C"] == figures["cv"]["C"] == taken
    ours = xent.SoftmaxRegression(C=taken).fit(X, y)
    np.testing.assert_allclose(model[-1].coef_, ours.coef_, rtol=1e-9)
    assert (figures["cv"]["folds"], figures["cv"]["rows"]) == (4, 178)
    np.testing.assert_allclose(figures["cv"]["losses"], losses, rtol=1e-9)
    shown = call("inspect", "w.xent").out
    assert f"at C = {taken:g}" in shown
    assert table_in(shown) == rows


def test_folds_that_a_small_class_allows_are_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [f"{i / 7},{'abc'[i % 3]}\n" for i in range(20)]
    for n, expected in (
        (1, "xent: C is 1, without cross-validation: a class has a single row among those looked at"),
        (3, "xent: 3 folds instead of 5: a class has no more rows among those looked at"),
    ):
        Path("t.csv").write_text("x,y\n" + "".join(rows + [f"{-i},rare\n" for i in range(n)]))
        said = call("fit", "t.csv", "--target", "y", "--holdout", "0")
        assert said.code == 0
        assert expected in said.err.splitlines()
        assert ("column 'y': 'rare' has a single row" in said.err) is (n == 1)
        assert expected not in call("fit", "t.csv", "--target", "y", "--holdout", "0", "--C", "1").err


def interrupt(monkeypatch, what, times=1):
    """Ctrl-C when the command says that it is `what`, and how far it is with that."""
    left = [times]

    @contextlib.contextmanager
    def working():
        def stage(now, fraction=None):
            if now.startswith(what) and (fraction is not None or not what.startswith(("f", "c"))) and left[0]:
                left[0] -= 1
                signal.raise_signal(signal.SIGINT)

        yield stage

    for command in ("fit", "path", "predict"):
        monkeypatch.setattr(sys.modules[f"xent.cli.{command}"], "working", working)


@pytest.mark.parametrize("keep", [False, True])
def test_an_interrupted_fit_writes_no_model_unless_asked(tmp_path, monkeypatch, keep):
    monkeypatch.chdir(tmp_path)
    interrupt(monkeypatch, "fitting")
    said = call("fit", "digits", "--C", "1", "-o", "m.xent", *["--keep-partial"] * keep)
    assert said.code == 130
    assert Path("m.xent").exists() is keep
    if keep:
        assert said.out.endswith("model written to m.xent\n")
        model, figures = model_file.load(Path("m.xent"))
        assert not figures["converged"]
        assert not model[-1].converged_
    else:
        assert said.out.endswith("no model was written; --keep-partial writes it as far as it is fitted\n")
    assert "warm_start" not in said.err + said.out  # which the command has not
    assert {file.name for file in tmp_path.iterdir()} <= {"m.xent"}


@pytest.mark.parametrize(
    ("arguments", "what", "times"),
    [
        (["fit", "digits", "--C", "1", "-o", "m.xent"], "reading", 1),
        (["fit", "digits", "--C", "1", "--keep-partial", "-o", "m.xent"], "preparing", 1),
        (["fit", "digits", "--keep-partial", "-o", "m.xent"], "cross-validating", 1),
        (["fit", "digits", "--C", "1", "-o", "m.xent"], "writing", 1),
        (["path", "digits", "--Cs", "3", "-o", "p.svg"], "fitting", 1),
        (["predict", "digits.xent", "digits", "-o", "p.csv"], "predicting", 1),
    ],
)
def test_ctrl_c_anywhere_else_writes_nothing(tmp_path, monkeypatch, fitted, arguments, what, times):
    monkeypatch.chdir(tmp_path)
    Path("digits.xent").write_bytes((fitted[0] / "digits.xent").read_bytes())
    interrupt(monkeypatch, what, times)
    said = call(*arguments)
    assert said.code == 130
    assert [file.name for file in tmp_path.iterdir()] == ["digits.xent"]


def test_a_path_and_its_picture(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = call("path", "wine", "--Cs", "6", "-o", "p.svg").out
    X, y = load_wine(return_X_y=True, as_frame=True)
    X, X_test, y, y_test = split(X, y.to_numpy(), 0.2, 0)
    scaler = StandardScaler().fit(X)
    path = xent.softmax_path(scaler.transform(X), y, Cs=6)
    losses = path.loss(scaler.transform(X_test), y_test)
    rows = table_in(out)
    assert [row[0] for row in rows] == [f"{C:.4g}" for C in np.logspace(-4, 4, 6)]
    assert [row[1] for row in rows] == [f"{value:.8g}" for value in path.objective]
    assert [row[3] for row in rows] == [f"{loss:.6f}" for loss in losses]
    assert [i for i, row in enumerate(rows) if row[4:] == ["←", "least"]] == [np.argmin(losses)]
    assert "picture written to p.svg" in out
    assert Path("p.svg").read_text().rstrip().endswith("</svg>")
    out = call("path", "wine", "--Cs", "3", "--holdout", "0", "-o", "p.png").out
    assert "log-loss" not in out
    assert Path("p.png").read_bytes().startswith(b"\x89PNG")
    assert {file.name for file in tmp_path.iterdir()} == {"p.svg", "p.png"}


def test_a_path_of_a_mixed_table(tmp_path, mixed, monkeypatch):
    """Prepared on the rows that are fitted, and the held-out ones likewise."""
    monkeypatch.chdir(tmp_path)
    mixed.to_parquet("t.parquet")
    losses = [
        float(row[3]) for row in table_in(call("path", "t.parquet", "--target", "kind", "--Cs", "5").out)
    ]
    assert min(losses) < 0.5 < losses[0]
    table = load("t.parquet", "kind", Options(), kinds={})
    X, X_test, y, y_test = split(table.features, table.labels, 0.2, 0)
    model = make_pipeline(preparation(table.columns), xent.SoftmaxRegression(C=1.0)).fit(X, y)
    truth = -np.mean(model.predict_log_proba(X_test)[np.arange(60), np.searchsorted(["no", "yes"], y_test)])
    assert losses[2] == pytest.approx(truth, abs=1e-3)  # the third of five is C = 1


def test_a_picture_needs_matplotlib(tmp_path):
    code = (
        "import sys, importlib.util as u; find = u.find_spec;"
        "u.find_spec = lambda name, *rest: None if name == 'matplotlib' else find(name, *rest);"
        "from xent.cli import app; app(['path', 'iris', '-o', 'p.png'])"
    )
    command = [sys.executable, "-c", code]
    out = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert out.returncode == 1
    asks_for(out.stderr, "xent: --output needs matplotlib", "plot")
    assert not list(tmp_path.iterdir())


def test_a_picture_that_fails_leaves_the_old_one(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    from xent.cli import path as command

    picture = tmp_path / "p.png"
    picture.write_text("the old picture")

    def full(self, path, **_):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", full)
    found = xent.softmax_path(*load_wine(return_X_y=True), Cs=2)
    with pytest.raises(OSError, match="No space left"):
        command._draw(found, None, picture)
    assert picture.read_text() == "the old picture"
    assert list(tmp_path.iterdir()) == [picture]
