"""A check of someone's file in a process of its own, with limits of time and memory."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .report import Report

_OF_MEMORY = (signal.SIGABRT, signal.SIGSEGV, getattr(signal, "SIGKILL", 0))
_START_UP = 60.0  # seconds at most
_LONGEST = 10_000_000  # bytes of a report


@dataclass
class Outcome:
    """A report, or in one line why there is none; and how many lines were printed meanwhile."""

    report: Report | None
    trouble: str = ""
    printed: int = 0


def check_file(
    file: Path, function: str, convention: str | None, seconds: float, gigabytes: float
) -> Outcome:
    """`softmax_loss` of a function in a file. It sees no terminal; what it prints is counted, not shown."""
    with _leaving_nothing(), tempfile.TemporaryDirectory(prefix="xent-check-") as folder:
        task = {
            "file": str(file.resolve()),
            "function": function,
            "convention": convention,
            "bytes": int(gigabytes * 2**30),
            "seconds": seconds,
        }
        Path(folder, "given.json").write_text(json.dumps(task), encoding="utf-8")
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "xent.check.child", folder],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            _started(child, Path(folder, "stage"))
            code = child.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
            if hasattr(signal, "SIGUSR1"):
                child.send_signal(signal.SIGUSR1)
                time.sleep(0.2)
        finally:
            _end(child)
        return _outcome(Path(folder), file, function, code, seconds)


@contextlib.contextmanager
def _leaving_nothing() -> Iterator[None]:
    """A signal that ends this process (a cancelled CI job) ends the file's process as well."""

    def leave(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    ours = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    if threading.current_thread() is not threading.main_thread():
        ours = []
    before = {
        number: signal.signal(number, leave) for number in ours if signal.getsignal(number) is signal.SIG_DFL
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _started(child: subprocess.Popen[bytes], stage: Path) -> None:
    """Wait until Python and the libraries are there, which is no part of anyone's time."""
    until = time.monotonic() + _START_UP
    while not stage.exists() and child.poll() is None and time.monotonic() < until:
        time.sleep(0.02)


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ends the process and what it has started."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    else:
        child.kill()
    child.wait()


def _outcome(folder: Path, file: Path, function: str, code: int | None, seconds: float) -> Outcome:
    """What the child left in the folder, read with suspicion."""
    name = f"{file}:{function}"
    stage = _text(folder / "stage") or "starting Python"
    if code is None:
        line = _line(_text(folder / "trace"), str(file.resolve()))
        return Outcome(None, f"{name} did not finish within {seconds:g} s, during: {stage}{line}")
    try:  # whatever the file has made of it
        found = json.loads(_text(folder / "result.json"))
        if found["report"] is None:
            return Outcome(None, f"{name}: {found['trouble'] or 'no report'}", int(found["printed"]))
        report = Report.from_dict(found["report"])
        report.function = name
        return Outcome(report, "", int(found["printed"]))
    except Exception:
        how = f"with exit code {code}" if code >= 0 else f"by {signal.Signals(-code).name}"
        why = "; perhaps it asked for more memory than --memory allows" if -code in _OF_MEMORY else ""
        return Outcome(None, f"{name} ended the process {how}, during: {stage}{why}")


def _text(path: Path) -> str:
    """The text of a file; empty for anything else that the student's code may have put in its place."""
    if not path.is_file() or path.stat().st_size > _LONGEST:
        return ""
    return path.read_text(encoding="utf-8", errors="replace")


def _line(trace: str, file: str) -> str:
    """Where in the file the process was, from faulthandler's trace."""
    at = re.search(rf'File "{re.escape(file)}", line (\d+)', trace)
    return f", in line {at.group(1)}" if at else ""
