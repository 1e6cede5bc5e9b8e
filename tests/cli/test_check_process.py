"""`xent check`: files in a process of their own, hostile ones too; what it prints and how it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from xent.check import process
from xent.cli.app import app

HERE = Path(__file__).parents[1] / "check"
HOSTILE = """
import os
import sys
import threading
import time
import numpy as np

def right(W, X, y, reg):
    z = X @ W
    z -= z.max(1, keepdims=True)
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    n = len(y)
    loss = -np.log(p[range(n), y]).mean() + reg * (W * W).sum()
    p[range(n), y] -= 1
    return loss, X.T @ p / n + 2 * reg * W

def forever(W, X, y, reg):
    while True:
        pass

def sleeps(W, X, y, reg):
    time.sleep(1000)

def leaves(W, X, y, reg):
    sys.exit(3)

def dies(W, X, y, reg):
    os._exit(7)

def huge(W, X, y, reg):
    return np.zeros(10**13), W

def greedy(W, X, y, reg):
    kept = []
    while True:
        kept.append(np.ones(10**7))

def chatty(W, X, y, reg):
    for i in range(1_000_000):
        print("loss", i)
    return right(W, X, y, reg)

def talks(W, X, y, reg):
    print("loss")
    print("loss", file=sys.stderr)
    os.write(1, b"loss")
    return right(W, X, y, reg)

def asks(W, X, y, reg):
    return float(input("loss? ")), W

def deep(W, X, y, reg):
    return deep(W, X, y, reg)

def wrecks(W, X, y, reg):
    found = right(W, X, y, reg)
    W[...] = X[...] = np.nan
    y[...] = -1
    return found

def stays(W, X, y, reg):
    threading.Thread(target=time.sleep, args=(1000,)).start()
    return right(W, X, y, reg)

value = 3

class Net:
    @staticmethod
    def loss(W, X, y, reg):
        return right(W, X, y, reg)
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("homework") / "hw.py"
    path.write_text(HOSTILE)
    return path


def run(file, name, seconds=60.0, gigabytes=4.0):
    start = time.monotonic()
    found = process.check_file(file, name, None, seconds, gigabytes)
    assert time.monotonic() - start < seconds + 10
    return found


TROUBLE = {
    "forever": "did not finish within 6 s, during: recognising the convention, in line 1",  # 18 or 19
    "sleeps": "did not finish within 6 s, during: recognising the convention, in line 22",
    "chatty": "did not finish within 6 s",
    "leaves": "it called sys.exit: 3 (line 25: sys.exit(3))",
    "dies": "ended the process with exit code 7, during: recognising the convention",
    "huge": "Unable to allocate",
    "asks": "EOFError",
    "deep": "RecursionError: maximum recursion depth exceeded",
    "value": "value is a int, not a function",
    "nothing": "there is no nothing; there are right, forever",
}


@pytest.mark.skipif(not hasattr(__import__("signal"), "SIGUSR1"), reason="lines of a hanging file need POSIX")
@pytest.mark.parametrize("name", TROUBLE)
def test_hostile_files_end_in_one_line(file, name):
    found = run(file, name, 6.0 if name in ("forever", "sleeps", "chatty") else 60.0)
    assert found.report is None
    assert TROUBLE[name] in found.trouble
    assert str(file) in found.trouble
    assert "\n" not in found.trouble


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory that the system keeps")
def test_memory_has_a_limit(file):
    found = run(file, "greedy", 60.0, 1.0)
    text = found.trouble or "\n".join(check.found for check in found.report.checks)
    assert "memory" in text.lower()


def test_what_is_printed_is_counted(file):
    found = run(file, "talks")
    assert found.report.passed
    assert found.printed > 100


def test_threads_left_behind_and_methods(file):
    assert run(file, "stays").report.passed
    assert run(file, "Net.loss").report.passed


@pytest.mark.parametrize(
    "line",
    ["from .parts import scores", "from ..common import scores", "from course.parts.parts import scores"],
)
def test_a_file_of_a_package(tmp_path, line):
    package = tmp_path / "course"
    (package / "parts").mkdir(parents=True)
    for file in (package / "__init__.py", package / "parts" / "__init__.py"):
        file.touch()
    for file in (package / "common.py", package / "parts" / "parts.py"):
        file.write_text("def scores(X, W):\n    return X @ W\n")
    own = HOSTILE.replace("z = X @ W", "z = scores(X, W)")
    (package / "parts" / "softmax.py").write_text(f"{line}\n{own}")
    found = run(package / "parts" / "softmax.py", "right")
    assert found.report is not None, found.trouble
    assert found.report.passed


def test_modules_beside_are_not_the_checker_s(tmp_path, monkeypatch, file):
    """Files of the working directory that are called as the standard library's are."""
    for name in ("inspect", "random", "json"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('not this one')")
    monkeypatch.chdir(tmp_path)
    assert run(file, "right").report.passed


@pytest.mark.skipif(sys.platform == "win32", reason="named pipes of POSIX")
@pytest.mark.parametrize(
    "line",
    [
        "os.mkfifo(folder + '/result.json')",
        "os.remove(folder + '/stage'); os.mkfifo(folder + '/stage')",
        "os.symlink('/dev/zero', folder + '/result.json')",
        "os.mkdir(folder + '/result.json')",
        "open(folder + '/result.json', 'w').write('[' * 200_000)",
        "open(folder + '/result.json', 'w').write(forged)",
    ],
)
def test_what_a_file_puts_in_the_report_s_place(tmp_path, line):
    forged = {
        "report": {
            "function": "f",
            "convention": "",
            "checks": [{"name": "a", "status": "fine"}],
            "curve": [],
            "pace": 1.0,
        },
        "trouble": "",
        "printed": 0,
    }
    (tmp_path / "hw.py").write_text(
        f"import os, sys\nforged = {json.dumps(forged)!r}\nfolder = sys.argv[1]\n{line}\nos._exit(0)\n"
    )
    said = run(tmp_path / "hw.py", "f").trouble
    assert said.startswith(f"{tmp_path / 'hw.py'}:f ended the process with exit code 0")


def test_errors_of_code_for_tensors_alone(tmp_path):
    (tmp_path / "hw.py").write_text(
        "import torch\n"
        "def f(logits, y):\n"
        "    return torch.softmax(logits, dim=2).mean()\n"
        "class Back(torch.autograd.Function):\n"
        "    @staticmethod\n"
        "    def forward(ctx, z): return torch.logsumexp(z, 1).sum()\n"
        "    @staticmethod\n"
        "    def backward(ctx, g): raise KeyError('mine')\n"
        "def g(logits, y):\n"
        "    return Back.apply(logits)\n"
    )
    assert "IndexError: Dimension out of range" in run(tmp_path / "hw.py", "f").trouble
    assert "KeyError: 'mine'" in run(tmp_path / "hw.py", "g").trouble


def test_letters_that_the_locale_has_not(monkeypatch, file):
    for name, value in (("LC_ALL", "C"), ("PYTHONCOERCECLOCALE", "0"), ("PYTHONUTF8", "0")):
        monkeypatch.setenv(name, value)
    assert run(file, "right").report.passed


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_ends_the_check_ends_the_file_s_process(tmp_path, number):
    (tmp_path / "hw.py").write_text(
        "import os, pathlib\n"
        "def f(W, X, y, reg):\n"
        f"    pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\n"
        "    while True: pass\n"
    )
    command = [sys.executable, "-m", "xent", "check", str(tmp_path / "hw.py:f")]
    check = subprocess.Popen(command, env=os.environ | {"TMPDIR": str(tmp_path)}, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not (tmp_path / "pid").exists() and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.2)
    check.send_signal(number)
    assert check.wait(20) == 128 + number
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    assert not list(tmp_path.glob("xent-check-*"))


def test_the_order_of_parameters_is_said(tmp_path):
    (tmp_path / "hw.py").write_text("def f(X, y, W, reg):\n    return (X @ W).sum(), W\n")
    said = run(tmp_path / "hw.py", "f").trouble
    assert "(line 2: return (X @ W).sum(), W) Its parameters are (X, y, W, reg). It was called" in said


def test_changed_inputs_are_named(file):
    found = run(file, "wrecks").report
    assert found.mistakes == ["changes its inputs"]
    assert found.function == f"{file}:wrecks"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def f(:\n", "SyntaxError: invalid syntax (line 1: def f(:)"),
        (
            "import nothing_of_this_name\n",
            "ModuleNotFoundError: No module named 'nothing_of_this_name' (line 1",
        ),
        ("raise SystemExit\n", "it called sys.exit"),
    ],
)
def test_files_that_do_not_load(tmp_path, text, said):
    path = tmp_path / "broken.py"
    path.write_text(text)
    assert said in run(path, "f").trouble


# The command --------------------------------------------------------------------------------------------


def command(*args):
    with pytest.raises(SystemExit) as done:
        app(["check", *map(str, args)])
    return done.value.code or 0


def test_command(capsys, tmp_path, file):
    page = tmp_path / "report.html"
    assert command(f"{file}:right", f"{HERE / 'right.py'}:cs231n_loops", "--html", page) == 0
    said = capsys.readouterr().out
    assert "passes" in said
    assert "× the time of" in said
    assert "training reaches the optimum" in page.read_text()
    assert page.read_text().count("<h1>") == 2
    assert command(f"{file}:right", f"{file}:leaves", "--html", page) == 1
    assert "leaves: it called sys.exit: 3" in page.read_text()
    assert command(f"{HERE / 'wrong.py'}:no_two") == 1
    assert "the regulariser's half" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "which function? xent check FILE.py:FUNCTION"),
        (("hw.py",), "expected FILE.py:FUNCTION, got hw.py"),
        (("none.py:f",), "no file none.py"),
        ((f"{HERE / 'wrong.py'}:no_two", "--timeout", "0"), "--timeout must be above 0 seconds, got 0"),
        ((f"{HERE / 'wrong.py'}:no_two", "--memory", "-1"), "--memory must be above 0 GiB, got -1"),
        (
            (f"{HERE / 'wrong.py'}:no_two", "--convention", "x"),
            "--convention must be one of cs231n, rows",
        ),
        ((f"{HERE / 'wrong.py'}:no_two", "--html", "/no/where.html"), "--html /no/where.html: no such"),
    ],
)
def test_command_refuses(capsys, args, said):
    assert command(*args) == 1
    assert said in " ".join(capsys.readouterr().err.split())
