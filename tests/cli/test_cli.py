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
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

import xent
from xent.cli import tables, terminal
from xent.export import model_file


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
    out = run("fit", "digits", "-o", "digits.xent", cwd=folder)
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
        "features     64",
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
    predictions = pd.read_csv(folder / "p.csv", float_precision="round_trip")  # pandas 2 rounds otherwise
    X, y = load_digits(return_X_y=True, as_frame=True)
    model, figures = model_file.load(folder / "digits.xent")
    assert (predictions["prediction"] == y).mean() > 0.98
    probabilities = predictions.drop(columns="prediction").to_numpy()
    np.testing.assert_allclose(probabilities, model.predict_proba(X), rtol=1e-14)
    assert figures["suboptimality"] <= 1e-6
    shown = run("inspect", "digits.xent", cwd=folder).stdout
    assert "class labels   0, 1, 2, 3, 4, 5, 6, 7, 8, 9" in shown
    assert "pixel_0_0" in shown
    assert "none: all features are numbers" in shown
    piped = run("predict", "digits.xent", "digits", cwd=folder).stdout
    assert piped == (folder / "p.csv").read_text()


@pytest.mark.parametrize("options", [[], ["--cv", "2"]])
def test_a_model_that_is_not_saved_is_said(tmp_path, options):
    shown = run("fit", "iris", *options, cwd=tmp_path).stdout
    assert shown.endswith("model not saved; add -o FILE.xent to keep it\n")
    assert not list(tmp_path.iterdir())


def test_the_figures_are_the_estimators(tmp_path):
    run("fit", "wine", "--holdout", "0", "-o", "wine.xent", cwd=tmp_path)
    model, figures = model_file.load(tmp_path / "wine.xent")
    ours = xent.SoftmaxRegression().fit(*load_wine(return_X_y=True))
    assert figures["objective"] == ours.objective_ == pytest.approx(0.06223572, abs=3e-8)
    np.testing.assert_array_equal(model.coef_, ours.coef_)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_mixed_table(tmp_path, mixed, suffix):
    path = tmp_path / f"t.{suffix}"
    mixed.to_csv(path, index=False) if suffix == "csv" else mixed.to_parquet(path)
    out = run("fit", path, "--target", "kind", "--C", "2", "-o", "m.xent", cwd=tmp_path)
    assert "at C = 2" in out.stdout
    accuracy = float(out.stdout.partition("accuracy ")[2].partition(",")[0])
    assert accuracy > 0.75
    # Columns in another order, one too many, and no target: the model knows its own.
    other = mixed.drop(columns="kind").iloc[:, ::-1].assign(extra=1)
    other.to_csv(tmp_path / "new.csv", index=False)
    run("predict", "m.xent", "new.csv", "-o", "p.parquet", cwd=tmp_path)
    predictions = pd.read_parquet(tmp_path / "p.parquet")
    assert list(predictions.columns) == ["prediction", "p_no", "p_yes"]
    assert (predictions["prediction"] == mixed["kind"]).mean() > 0.75
    shown = run("inspect", "m.xent", cwd=tmp_path).stdout
    assert "tablevectorizer → simpleimputer → squashingscaler" in shown


def test_npz(tmp_path):
    X, y = load_wine(return_X_y=True)
    np.savez(tmp_path / "w.npz", X=X.astype(np.float32), label=y)
    run("fit", "w.npz", "--target", "label", "-o", "m.xent", cwd=tmp_path)
    run("predict", "m.xent", "w.npz", "-o", "p.csv", cwd=tmp_path)
    assert (pd.read_csv(tmp_path / "p.csv")["prediction"].to_numpy() == y).mean() > 0.95


def test_the_same_seed_gives_the_same_bits(tmp_path, mixed):
    mixed.to_csv(tmp_path / "t.csv", index=False)
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        run("fit", "t.csv", "--target", "kind", "--seed", seed, "-o", f"{name}.xent", cwd=tmp_path)
    a, b, c = ((tmp_path / f"{name}.xent").read_bytes() for name in "abc")
    assert a == b
    assert a != c


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit", "nowhere.csv", "--target", "y"], "nowhere.csv: no such file"),
        (["fit", "table.xlsx"], "expected a .csv, .parquet, .npz file or one of breast_cancer, digits"),
        (["fit", "t.csv"], "say which column holds the classes, with --target COLUMN"),
        (["fit", "t.csv", "--target", "q"], "no column 'q'; it has a, y"),
        (["fit", "t.csv", "--target", "a", "--holdout", "0"], "column 'a' has no class in row 2 (1 rows"),
        (["fit", "empty.csv", "--target", "y"], "cannot be read as .csv: No columns to parse"),
        (["fit", "broken.parquet", "--target", "y"], "cannot be read as .parquet"),
        (["fit", "broken.npz", "--target", "y"], "cannot be read as .npz"),
        (["fit", "pickled.npz", "--target", "y"], "cannot be read as .npz: Object arrays cannot be loaded"),
        (["fit", "iris", "--holdout", "1"], "--holdout must be in [0, 1), got 1"),
        (["fit", "iris", "--holdout", "0.001"], "--holdout 0 fits on all rows"),
        (["fit", "iris", "--C", "0"], "The 'C' parameter of SoftmaxRegression must be a float in the range"),
        (["fit", "iris", "-o", "no/such/m.xent"], "no such directory: no/such"),
        (["fit", "one.csv", "--target", "y", "--holdout", "0"], "the data contains only one class"),
        (["predict", "nowhere.xent", "iris"], "nowhere.xent: cannot be read: No such file or directory"),
        (["predict", "t.csv", "iris"], "t.csv: not a xent model, or cut short"),
        (["predict", "digits.xent", "iris"], "64 of the model's columns are missing: pixel_0_0"),
        (["fit", "twice.csv", "--target", "y"], "columns y appear twice"),
        (["fit", "ragged.csv", "--target", "y"], "cannot be read as .csv: Length of header"),
        (["fit", "inf.csv", "--target", "y"], "column 'a' is infinite in row 1"),
        (["fit", "holes.csv", "--target", "y"], "every feature is missing in every row"),
        (["fit", "nested.parquet", "--target", "y"], "column 'a' holds a ndarray in each row"),
        (
            ["fit", "single.npz", "--target", "y"],
            "an .npz archive with an array X, got a single array",
        ),
        (["fit", "iris", "--target", "sepal length (cm)"], "Unknown label type: continuous"),
        (["fit", "one.csv", "--target", "a"], "class '1' has a single row, which cannot be both"),
        (["fit", "iris", "--seed", "-1"], "--seed must be ≥ 0, got -1"),
        (["fit", "iris", "--cv", "1"], "--cv must be ≥ 2 folds, got 1"),
        (["fit", "iris", "--cv", "5", "--C", "2"], "--cv picks C itself; leave out --C, or --cv"),
        (["fit", "iris", "--l1-ratio", "2"], "must be a float in the range [0.0, 1.0]. Got 2.0 instead"),
        (
            ["fit", "t.csv", "--target", "y", "--cv", "9", "--holdout", "0"],
            "greater than the number of samples: n_samples=4",
        ),
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
        (["predict", "digits.xent", "gaps.csv"], "column 'pixel_0_0' has no value in row 1; the model was"),
        (["predict", "digits.xent", "digits", "-o", "p.txt"], "expected a .csv or .parquet file"),
        (["inspect", "other.zip"], "not a xent model: a zip archive without a model's schema"),
    ],
)
def test_errors_are_one_clear_line_and_write_nothing(tmp_path, fitted, arguments, message):
    (tmp_path / "t.csv").write_text("a,y\n1,u\n2,v\n,u\n4,v\n")
    (tmp_path / "one.csv").write_text("a,y\n1,u\n2,u\n")
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
    gaps = load_digits(as_frame=True).data.head(3)
    gaps.iloc[1, 0] = np.nan
    gaps.to_csv(tmp_path / "gaps.csv", index=False)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("hello.txt", "hello")
    (tmp_path / "digits.xent").write_bytes((fitted[0] / "digits.xent").read_bytes())
    before = sorted(tmp_path.iterdir())
    out = run(*arguments, cwd=tmp_path, ok=False)
    assert message in out.stderr.replace("\n", " ")
    assert out.returncode == 1
    assert len(out.stderr.strip().splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == before


def test_a_damaged_or_foreign_model_is_refused(tmp_path, fitted):
    good = (fitted[0] / "digits.xent").read_bytes()
    path = tmp_path / "m.xent"
    for cut in (0, 10, len(good) // 2, len(good) - 1):
        path.write_bytes(good[:cut])
        with pytest.raises(model_file.ModelFileError, match=r"m\.xent: "):
            model_file.load(path)
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(200):
        data = bytearray(good)
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        path.write_bytes(data)
        try:
            model, _ = model_file.load(path)
        except model_file.ModelFileError:
            refused += 1
        else:  # a bit of the zip's own bookkeeping: what was read is whole
            np.testing.assert_array_equal(model.coef_, model_file.load(fitted[0] / "digits.xent")[0].coef_)
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

    assert "writing" in on_a_terminal("predict", "m.xent", "big.npz", "-o", "shown.csv")


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
    command = f"{sys.executable} -m xent predict m.xent big.npz | head -2"
    out = subprocess.run(command, shell=True, cwd=big, capture_output=True, text=True, check=True)
    assert out.stdout.splitlines()[0] == "prediction,p_0,p_1"
    assert out.stderr == ""


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


def test_pipelines_only_where_needed(mixed):
    classifier = xent.SoftmaxRegression()
    X, _ = load_wine(return_X_y=True, as_frame=True)
    assert tables.pipeline(X, classifier, 0) is classifier
    X.iloc[3, 2] = np.nan
    assert tables.pipeline(X, classifier, 0) is not classifier
    assert tables.pipeline(mixed, classifier, 0) is not classifier


def test_columns_are_read_as_what_they_were(tmp_path):
    """A blank cell must not turn the codes 1, 2 into the numbers 1.0, 2.0, which the model never saw."""
    rng = np.random.default_rng(0)
    code = rng.choice(["1", "2", "x"], 300)
    pd.DataFrame({"code": code, "z": rng.normal(size=300), "k": code}).to_csv(tmp_path / "t.csv", index=False)
    run("fit", "t.csv", "--target", "k", "-o", "m.xent", cwd=tmp_path)
    (tmp_path / "new.csv").write_text("code,z\n1,0\n2,0\n,0\n")
    out = run("predict", "m.xent", "new.csv", cwd=tmp_path).stdout
    assert [line.split(",")[0] for line in out.splitlines()[1:3]] == ["1", "2"]
    (tmp_path / "new.csv").write_text("code,z\n1,0\n2,abc\n")
    out = run("predict", "m.xent", "new.csv", cwd=tmp_path, ok=False)
    assert "column 'z' was a number when the model was fitted; now row 1 has 'abc'" in out.stderr


def test_an_unknown_category_is_said_once_and_by_name(tmp_path):
    (tmp_path / "t.csv").write_text("a,y\n" + "red,u\ngreen,v\nblue,v\n" * 20)
    run("fit", "t.csv", "--target", "y", "-o", "m.xent", cwd=tmp_path)
    (tmp_path / "n.csv").write_text("a\nred\nmauve\n")
    said = run("predict", "m.xent", "n.csv", cwd=tmp_path).stderr
    assert said.splitlines() == [
        "xent: column 'a': row 1 has 'mauve', which no fitted row had (1 such rows); it is encoded as zeros"
    ]


def test_a_date_that_cannot_be_read_is_an_error(tmp_path):
    """It used to be a missing value, unsaid, which turned a perfect model into a coin."""
    days = pd.date_range("2021-01-01", periods=300)
    frame = pd.DataFrame({"when": days.strftime("%Y-%m-%d"), "y": np.where(days.month < 7, "a", "b")})
    frame.to_csv(tmp_path / "t.csv", index=False)
    run("fit", "t.csv", "--target", "y", "-o", "m.xent", cwd=tmp_path)
    frame.assign(when=days.strftime("%d.%m.%Y")).to_csv(tmp_path / "n.csv", index=False)
    said = run("predict", "m.xent", "n.csv", cwd=tmp_path, ok=False).stderr
    assert "n.csv: column 'when' was a date when the model was fitted; now row 0 has '01.01.2021'" in said
    assert "write it as 2021-03-31 or as it was then, %Y-%m-%d" in said


def test_parquet_names_and_index(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(np.column_stack([rng.normal(size=(60, 3)), np.arange(60) % 2]))
    frame.to_parquet(tmp_path / "numbers.parquet")  # columns 0, 1, 2, 3
    run("fit", "numbers.parquet", "--target", "3", cwd=tmp_path)
    frame = frame.rename(columns=lambda c: f"c{c}").rename_axis(index="id")
    frame.to_parquet(tmp_path / "index.parquet")
    assert "features     4" in run("fit", "index.parquet", "--target", "c3", cwd=tmp_path).stdout
    frame.rename_axis(index="c0").to_parquet(tmp_path / "twice.parquet")
    assert "features     3" in run("fit", "twice.parquet", "--target", "c3", cwd=tmp_path).stdout


def test_labels_stay_what_they_are(tmp_path):
    """01 and 1 are two classes, NA is one, and 3 is a number."""
    for labels, classes in ((["01", "1", "NA"], ["01", "1", "NA"]), (["3", "4"], [3, 4])):
        rows = "".join(f"{i % 7},{labels[i % len(labels)]}\n" for i in range(60))
        (tmp_path / "t.csv").write_text("a,y\n" + rows)
        run("fit", "t.csv", "--target", "y", "-o", "m.xent", cwd=tmp_path)
        assert model_file.load(tmp_path / "m.xent")[0].classes_.tolist() == classes


def test_dates_with_a_zone(tmp_path):
    """Of each kind one column: UTC, a place's with its summer time, and text with an offset."""
    hours = np.arange(120) * 7 % 24
    frame = pd.DataFrame({"y": np.where(hours < 12, "am", "pm")})
    for zone in ("UTC", "Europe/Zurich"):
        frame[zone] = pd.date_range("2024-01-01", periods=120, freq="7h", tz=zone)
    frame["offset"] = pd.date_range("2024-01-01", periods=120, freq="7h").astype(str) + "+02:00"
    frame.to_parquet(tmp_path / "t.parquet")
    run("fit", "t.parquet", "--target", "y", "-o", "m.xent", cwd=tmp_path)
    run("predict", "m.xent", "t.parquet", "-o", "p.csv", cwd=tmp_path)
    assert len(pd.read_csv(tmp_path / "p.csv")) == 120


def test_markup_and_escapes_in_data_are_shown_not_obeyed(tmp_path):
    (tmp_path / "t.csv").write_text("a,[/bad]\n" + "1,[red]\n2,\x1b[31mx\n" * 10)
    out = run("fit", "t.csv", "--target", "[/bad]", "-o", "m.xent", cwd=tmp_path).stdout
    assert "target '[/bad]'" in out
    out = run("inspect", "m.xent", cwd=tmp_path).stdout
    assert "[red]" in out
    assert "\x1b" not in out
    assert "\\x1b[31mx" in out


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
    start = next(i for i, words in enumerate(lines) if words and words[0] == "C")
    rows = lines[start + 1 :]
    return rows[: next((i for i, words in enumerate(rows) if not words or not words[0][0].isdigit()), None)]


def test_c_by_cross_validation(tmp_path):
    """The table is the estimator's, the least loss is taken, and the model is a fit at that C."""
    out = run("fit", "wine", "--cv", "4", "--holdout", "0", "-o", "w.xent", cwd=tmp_path).stdout
    X, y = load_wine(return_X_y=True)
    search = xent.SoftmaxRegressionCV(cv=4).fit(X, y)
    losses = -search.scores_.mean(axis=(0, 1))
    rows = table_in(out)
    assert [row[0] for row in rows] == [f"{C:.4g}" for C in np.logspace(-4, 4, 10)]
    assert [row[1] for row in rows] == [f"{loss:.6f}" for loss in losses]
    (taken,) = [i for i, row in enumerate(rows) if row[2:] == ["←", "taken"]]
    assert taken == np.argmin(losses)
    model, figures = model_file.load(tmp_path / "w.xent")
    assert model.C == figures["C"] == search.C_
    np.testing.assert_array_equal(model.coef_, xent.SoftmaxRegression(C=search.C_).fit(X, y).coef_)
    assert figures["cv"] == {"folds": 4, "Cs": search.Cs_.tolist(), "losses": losses.tolist()}
    shown = run("inspect", "w.xent", cwd=tmp_path).stdout
    assert f"at C = {search.C_:g}, the best of 10 in 4-fold cross-validation" in " ".join(shown.split())


def test_a_path_and_its_picture(tmp_path):
    out = run("path", "wine", "--Cs", "6", "-o", "p.svg", cwd=tmp_path).stdout
    X, y = load_wine(return_X_y=True, as_frame=True)
    X, X_test, y, y_test = tables.split(X, y.to_numpy(), 0.2, 0)
    path = xent.softmax_path(X, y, Cs=6)
    losses = path.loss(X_test, y_test)
    rows = table_in(out)
    assert [row[0] for row in rows] == [f"{C:.4g}" for C in np.logspace(-4, 4, 6)]
    assert [row[1] for row in rows] == [f"{value:.8g}" for value in path.objective]
    assert [row[3] for row in rows] == [f"{loss:.6f}" for loss in losses]
    assert [i for i, row in enumerate(rows) if row[4:] == ["←", "least"]] == [np.argmin(losses)]
    assert "picture written to p.svg" in out
    assert (tmp_path / "p.svg").read_text().rstrip().endswith("</svg>")
    out = run("path", "wine", "--Cs", "3", "--holdout", "0", "-o", "p.png", cwd=tmp_path).stdout
    assert "log-loss" not in out
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    assert {file.name for file in tmp_path.iterdir()} == {"p.svg", "p.png"}


def test_a_path_of_a_mixed_table(tmp_path, mixed):
    """Encoded on the rows that are fitted, and the held-out ones likewise."""
    mixed.to_parquet(tmp_path / "t.parquet")
    out = run("path", "t.parquet", "--target", "kind", "--Cs", "5", cwd=tmp_path).stdout
    losses = [float(row[3]) for row in table_in(out)]
    assert min(losses) < 0.5 < losses[0]
    table = tables.read(str(tmp_path / "t.parquet"), "kind", need_target=True)
    X, X_test, y, y_test = tables.split(table.features, table.target, 0.2, 0)
    model = tables.pipeline(X, xent.SoftmaxRegression(C=1.0), 0).fit(X, y)
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
