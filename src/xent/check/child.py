"""The process that `process.check_file` starts: load the file, check the function, write the result."""

from __future__ import annotations

import faulthandler
import importlib.util
import io
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from .report import Report


class Task(TypedDict):
    """What given.json holds; `process.check_file` writes it."""

    file: str
    function: str
    convention: str | None
    bytes: int  # of memory
    seconds: float


class _Count(io.TextIOWrapper):
    """A terminal that nobody reads; it counts the lines."""

    lines = 0

    def write(self, text: str) -> int:
        """Count the lines."""
        self.lines += text.count("\n")
        return len(text)


def main(folder: Path) -> None:
    """Reads given.json in the folder, and writes result.json beside it."""
    task: Task = json.loads((folder / "given.json").read_text(encoding="utf-8"))
    printed = _Count(open(os.devnull, "wb"), encoding="utf-8")  # noqa: SIM115, open to the end
    sys.stdout = sys.stderr = printed
    trace = (folder / "trace").open("w", encoding="utf-8")
    if hasattr(signal, "SIGUSR1"):  # the parent asks, before it ends this
        faulthandler.register(signal.SIGUSR1, file=trace, all_threads=False)
    report, trouble = None, ""
    try:
        report = _report(task, folder).to_dict()
    except BaseException as error:
        trouble = _said(error, task["file"])
    result = {"report": report, "trouble": trouble, "printed": printed.lines}
    (folder / "result.part").write_text(json.dumps(result), encoding="utf-8")
    os.replace(folder / "result.part", folder / "result.json")
    os._exit(0)  # threads that the file left behind may not keep it


def _report(task: Task, folder: Path) -> Report:
    """Load the file, find the function and check it; writes the stage that it is at."""
    from . import examiner, recognise
    from . import subject as subjects

    def stage(what: str) -> None:
        (folder / "stage").write_text(what, encoding="utf-8")

    file, name = task["file"], task["function"]
    examiner.ready()
    _limit(task["bytes"])
    stage("loading the file")
    root, qualified = _place(Path(file))
    sys.path[:0] = list(dict.fromkeys([str(Path(file).parent), str(root)]))
    spec = importlib.util.spec_from_file_location(qualified, file)
    if spec is None or spec.loader is None:
        raise subjects.Refused("no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    f = _named(module, name)
    stage("recognising the convention")
    subject = recognise.recognise(f, task["convention"])
    return examiner.Examiner(subject, name, stage, examiner.line_in(file)).run()


def _place(file: Path) -> tuple[Path, str]:
    """Where Python would import the file from, and as what: a file of a package by its dotted name."""
    root, parts = file.parent, [file.stem]
    while (root / "__init__.py").is_file() and root.name.isidentifier():
        root, parts = root.parent, [root.name, *parts]
    return root, ".".join(parts)


def _named(module: ModuleType, name: str) -> Callable[..., object]:
    """The function of a name; a method's with a dot, of an object that its class makes without arguments."""
    from .subject import Refused

    found: object = module
    for part in name.split("."):
        if isinstance(found, type) and not isinstance(found.__dict__.get(part), staticmethod | classmethod):
            found = _made(found)
        if not hasattr(found, part):
            known = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
            raise Refused(f"there is no {name}; there are {', '.join(known) or 'no functions'}")
        found = getattr(found, part)
    if isinstance(found, type):
        found = _made(found)
    if not callable(found):
        raise Refused(f"{name} is a {type(found).__name__}, not a function")
    return found


def _made(kind: type) -> object:
    """An object of a class, made without arguments."""
    from .subject import Refused

    try:
        return kind()
    except TypeError as error:
        raise Refused(
            f"{kind.__name__} is a class; write a function that makes an object and calls it"
        ) from error


def _said(error: BaseException, file: str) -> str:
    """One line of what was raised, and where."""
    from . import examiner
    from . import subject as subjects

    try:
        text, notes = str(error), " ".join(getattr(error, "__notes__", []))
    except Exception:
        text, notes = "", ""
    if isinstance(error, subjects.Refused):
        return " ".join(text.split())
    if isinstance(error, SyntaxError) and error.filename == file:
        return f"SyntaxError: {error.msg} (line {error.lineno}: {(error.text or '').strip()})"
    what = "it called sys.exit" if isinstance(error, SystemExit) else type(error).__name__
    said = " ".join(text.split())[:300]
    return f"{what}: {said} {examiner.line_in(file)(error)} {notes}".replace(":  ", " ").strip()


def _limit(most: int) -> None:
    """Limits memory to what the libraries took and `most` bytes more, where the system has such a limit."""
    try:
        import resource
    except ImportError:
        return
    for kind in ("RLIMIT_DATA", "RLIMIT_AS"):
        if hasattr(resource, kind):
            which = getattr(resource, kind)
            size = most + (16 << 30 if kind == "RLIMIT_AS" else 1 << 30)
            hard = resource.getrlimit(which)[1]
            resource.setrlimit(which, (size if hard == resource.RLIM_INFINITY else min(size, hard), hard))
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]))
