"""Is xent slower than it was at another commit? The same passes and fits, by both builds in turns.

    make before COMMIT=v0.1.0                                       everything, an hour on two cores
    python -m benchmarks.before HEAD~3 --only "fit digits,fit wine"  some of it

A figure is the other commit's time over that of this working tree, medians of rounds in which both take
turns: below 1, xent has become slower. Each runs in a process of its own; the other commit's package is
built below build/before. Passes are those of benchmarks/passes, fits those of benchmarks/race at
tol=1e-6, the accuracy that the race asks for.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.common import machine
from benchmarks.passes import problems
from benchmarks.race import problems as race_problems

HOUSE = machine.HOUSE
LONGEST = 60_000_000  # numbers of X in a pass: two processes hold it


def names() -> list[str]:
    passes = [f"pass {cell.name}" for cell in problems.CELLS]
    return passes + [f"fit {problem.name}" for problem in race_problems.PROBLEMS]


def sha_of(commit: str) -> str:
    """The short hash of a commit of this repository."""
    command = ["git", "rev-parse", "--verify", "--quiet", "--short", f"{commit}^{{commit}}"]
    answer = subprocess.run(command, cwd=HOUSE, capture_output=True, text=True, check=False)
    if answer.returncode:
        reason = answer.stderr.strip() or "git log --oneline lists the commits there are"
        raise SystemExit(f"before: cannot find a commit {commit!r} in {HOUSE}: {reason}")
    return answer.stdout.strip()


def built(commit: str) -> Path:
    """A folder to import that commit's xent from, built if it is not there yet."""
    run: dict[str, Any] = {"check": True, "cwd": HOUSE, "stdout": subprocess.PIPE, "text": True}
    sha = sha_of(commit)
    folder = HOUSE / "build" / "before" / sha
    site = folder / "site"
    if not site.exists():
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "tree").mkdir(parents=True)
        archive = subprocess.Popen(["git", "archive", sha], cwd=HOUSE, stdout=subprocess.PIPE)
        subprocess.run(["tar", "x", "-C", folder / "tree"], stdin=archive.stdout, check=True)
        tools = Path(sys.executable).parent
        cmake, ninja = tools / "cmake", tools / "ninja"
        ways = [f"-DCMAKE_MAKE_PROGRAM={ninja}", f"-DPython_EXECUTABLE={sys.executable}"]
        ways += ["-DCMAKE_BUILD_TYPE=Release", "-DSKBUILD_PROJECT_NAME=xent"]
        subprocess.run([cmake, "-S", folder / "tree", "-B", folder / "cmake", "-G", "Ninja", *ways], **run)
        subprocess.run([cmake, "--build", folder / "cmake"], **run)
        subprocess.run([cmake, "--install", folder / "cmake", "--prefix", folder / "made"], **run)
        shutil.copytree(folder / "tree" / "src" / "xent", folder / "made" / "xent", dirs_exist_ok=True)
        (folder / "made").rename(site)  # last, so that a build that was broken off is not taken for one
    return site


def job(name: str, cache: Path) -> Callable[[], Any]:
    """What is timed: one pass, or one fit."""
    part, _, which = name.partition(" ")
    if part == "pass":
        cell = next(cell for cell in problems.CELLS if cell.name == which)
        X, y, W, b = problems.make(cell, min(cell.n, LONGEST // cell.d if cell.layout != "CSR" else cell.n))
        try:
            from xent.kernels import linear
        except ImportError:  # before the house had rooms
            from xent import linear  # type: ignore[attr-defined, no-redef]

        batch = linear.Batch(X, y)
        return lambda: linear.sums(batch, W, b)
    import xent

    problem = next(problem for problem in race_problems.PROBLEMS if problem.name == which)
    X, y = race_problems.load(problem, 1.0, cache)
    model = xent.SoftmaxRegression(C=problem.C, tol=1e-6, max_iter=10**6)
    return lambda: model.fit(X, y)


def serve(name: str, cache: Path) -> None:
    """Time as many calls as each line asks for; the first does not count."""
    call = job(name, cache)
    call()
    print("ready", flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        for _ in range(times := int(line)):
            call()
        print((time.perf_counter() - start) / times, flush=True)


class Side:
    """The process of one build on one job."""

    def __init__(self, site: Path | None, name: str, cache: Path) -> None:
        path = [str(site), sysconfig.get_path("purelib")] if site else []
        # -S: the editable install, which site would put first, must not answer for the other commit.
        python = [sys.executable, "-S"] if site else [sys.executable]
        self.process = subprocess.Popen(
            [*python, "-m", "benchmarks.before", "--serve", name, "--cache", str(cache)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=HOUSE,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.asked, self.told = self.process.stdin, self.process.stdout
        if self.told.readline() != "ready\n":
            raise SystemExit(f"{name}: {site or 'this tree'} could not run it")

    def seconds(self, times: int) -> float:
        time.sleep(machine.PAUSE)
        self.asked.write(f"{times}\n")
        self.asked.flush()
        return float(self.told.readline())

    def close(self) -> None:
        self.asked.close()
        self.process.wait()


def compared(name: str, site: Path, rounds: int, cache: Path) -> dict[str, Any]:
    """Medians of both; calls shorter than 50 ms are repeated until they take that long."""
    sides = [Side(site, name, cache), Side(None, name, cache)]
    try:
        times = [max(1, round(0.05 / side.seconds(1))) for side in sides]
        took = [[side.seconds(n) for side, n in zip(sides, times, strict=True)] for _ in range(rounds)]
    finally:
        for side in sides:
            side.close()
    before, now = (statistics.median(each) for each in zip(*took, strict=True))
    return {"name": name, "before": before, "now": now, "ratio": before / now}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("commit", nargs="?", default="HEAD~1")
    parser.add_argument("--only", metavar="A,B", help="only what contains one of these")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, metavar="PATH")
    parser.add_argument("--cache", type=Path, default=HOUSE / "build" / "before", help=argparse.SUPPRESS)
    parser.add_argument("--serve", metavar="NAME", help="what each process runs")
    args = parser.parse_args()
    if args.serve:
        return serve(args.serve, args.cache)
    wanted = args.only.split(",") if args.only else [""]
    site, rows = built(args.commit), []
    print(f"{'':44} {'before':>10} {'now':>10}  before / now")
    for name in (name for name in names() if any(text in name for text in wanted)):
        rows.append(row := compared(name, site, args.rounds, args.cache))
        took = f"{row['before'] * 1e3:7.2f} ms {row['now'] * 1e3:7.2f} ms"
        print(f"{name:44} {took}  {row['ratio']:.2f}", flush=True)
        if args.json:
            args.json.write_text(json.dumps({"commit": args.commit, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
