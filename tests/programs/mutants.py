"""Does a test fail when the kernel breaks? Each breakage below is built on its own and must turn tests red.

make mutants          about a minute each; --only TEXT for some
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "mutants"
TESTS = [
    f"tests/{folder}/test_{name}.py"
    for folder, names in {
        "kernels": "passes offsets kernels functions functions_calls vectors descent matrix",
        "solvers": "short",
        "torch": "door edges",
    }.items()
    for name in names.split()
]


class Mutant(NamedTuple):
    """In `file`, `old` (once there) becomes `new`."""

    name: str
    file: str
    old: str
    new: str


MUTANTS = [
    Mutant(
        "p_w - 1 instead of the complement",
        "native/kernels/softmax.hpp",
        "rest < 1 ? load_int",
        "rest < 0 ? load_int",
    ),
    Mutant("log(1 + R)", "native/kernels/simd.hpp", "(u * scale - 1) + lost * scale", "u * scale - 1"),
    Mutant(
        "exp without what the difference lost",
        "native/kernels/simd.hpp",
        "return e + e * (d",
        "return e + 0 * e * (d",
    ),
    Mutant(
        "one power of two: subnormals flushed",
        "native/kernels/simd.hpp",
        "(UVec)(n2 > low ? n2 : low)",
        "(UVec)(n2 > low ? IVec<T>{} : low)",
    ),
    Mutant(
        "last of equal logits wins", "native/kernels/softmax.hpp", "better = v > peak", "better = v >= peak"
    ),
    Mutant(
        "a first tile all masked poisons",
        "native/kernels/softmax.hpp",
        "return m == -(T)__builtin_inff() ? Vec<T>{} : m;",
        "return m;",
    ),
    Mutant(
        "an earlier tile's winner is forgotten",
        "native/kernels/softmax.hpp",
        "(in[h] + one[h]) * factor[h]",
        "in[h] * factor[h]",
    ),
    Mutant(
        "masked classes take a share",
        "native/kernels/softmax.hpp",
        "masked = Smooth ? e < 0 : IVec<T>{}",
        "masked = Smooth ? e < -2 : IVec<T>{}",
    ),
    Mutant(
        "the last features counted twice",
        "native/kernels/products.hpp",
        "lanes_from<CT>(lanes<CT>(p), L - tail)",
        "lanes<CT>(p)",
    ),
    Mutant(
        "the gradient's last features counted twice",
        "native/kernels/products.hpp",
        "if (Tail) xv",
        "if (false) xv",
    ),
    Mutant(
        "filled-up rows count",
        "native/kernels/blocks.hpp",
        "state.weight[r] = 0, state.label",
        "state.weight[r] = 1, state.label",
    ),
    Mutant(
        "rows of weight 0 count",
        "native/kernels/blocks.hpp",
        "if (t.weight && t.weight[i] == 0) continue;",
        "",
    ),
    Mutant(
        "labels are not checked",
        "native/kernels/blocks.hpp",
        "    if (!bad) return (int)(hi - lo);",
        "    return (int)(hi - lo);",
    ),
    Mutant(
        "columns on a thread's edge are lost",
        "native/kernels/csr.hpp",
        "j < from || j >= to",
        "j <= from || j >= to",
    ),
    Mutant(
        "pinned class with the wrong sign",
        "native/passes.cpp",
        "outputs.grad_w[j] = -sum",
        "outputs.grad_w[j] = sum",
    ),
    Mutant(
        "pinned class of sparse rows with the wrong sign",
        "native/passes.cpp",
        "gradient->sums[j] = -sums[j]",
        "gradient->sums[j] = sums[j]",
    ),
    Mutant(
        "a thread's rows overlap",
        "native/threads.hpp",
        "work(t, mine.from, mine.to)",
        "work(t, mine.from, std::min(n, mine.to + 1))",
    ),
    Mutant(
        "offsets of rows in order, not of those chosen",
        "native/kernels/blocks.hpp",
        "offset + index[r] * classes",
        "offset + (index[0] + r) * classes",
    ),
    Mutant(
        "tiles take other rows' offsets",
        "src/xent/kernels/tiled.py",
        "self.offset[chosen, tile]",
        "self.offset[: len(index), tile]",
    ),
    Mutant("tiles lose the bias", "src/xent/kernels/tiled.py", "out += self.b[tile, None]", "pass"),
    Mutant(
        "tiles take another tile's largest",
        "src/xent/kernels/tiled.py",
        "self.peaks[i, rows])\n            grad_W",
        "self.peaks[0, rows])\n            grad_W",
    ),
    Mutant("only the last piece of k is summed", "native/kernels/matrix.hpp", "add || k0 > 0", "add"),
    Mutant(
        "the last of equal logits of a row",
        "native/kernels/rowwise.hpp",
        "at < winner)) peak",
        "at > winner)) peak",
    ),
    Mutant(
        "masked classes of a row are smoothed",
        "native/kernels/rowwise.hpp",
        "share.part += masked ? Vec<CT>{} : weight",
        "share.part += weight",
    ),
    Mutant(
        "ties with the largest are forgotten",
        "native/kernels/functions.cpp",
        "rest.total[h] + (ties.total[h] - 1)",
        "rest.total[h]",
    ),
    Mutant(
        "the last vector of a row is not written",
        "native/kernels/functions.cpp",
        "    put(out + classes - L, finish(load(row + classes - L)));",
        "",
    ),
    Mutant(
        "a range's last row is left out",
        "native/bind/functions.cpp",
        "work(lo, hi, scratch.get()",
        "work(lo, std::max(lo, hi - 1), scratch.get()",
    ),
    Mutant(
        "columns are told from their neighbours no more",
        "native/kernels/gather.hpp",
        "if (base[r] != base[0] + r) return false;",
        "if (base[r] < base[0]) return false;",
    ),
    Mutant(
        "soft rows may be negative",
        "native/kernels/functions.cpp",
        "least[r] >= 0 && ",
        "",
    ),
    Mutant(
        "float16 is cut off",
        "native/kernels/functions.cpp",
        "(112u << 23) + 0xfff + ((size >> 13) & 1))",
        "(112u << 23))",
    ),
    Mutant(
        "a step ends outside its bounds", "native/kernels/descent.hpp", "to < penalty_.lower[i]", "to < to"
    ),
    Mutant(
        "coordinates move without the low-rank part",
        "native/kernels/descent.hpp",
        "t_[j] += by * dual[j];",
        "t_[j] += 0 * by * dual[j];",
    ),
    Mutant(
        "a group of one member's curvature",
        "native/kernels/descent.hpp",
        "bound = row > bound ? row : bound;",
        "bound = curvature_[i];",
    ),
    Mutant(
        "blocks that begin one coordinate late",
        "native/kernels/descent.hpp",
        "q_ + column.first;",
        "q_ + column.first + (column.first > 0);",
    ),
    Mutant(
        "a negative coefficient is shrunk away from zero",
        "native/kernels/descent.hpp",
        "pull < -l1 ? (pull + l1)",
        "pull < -l1 ? (pull - l1)",
    ),
    Mutant(
        "members are not looked at before they are followed",
        "native/bind/descent.cpp",
        'member->data()[i] < size, "a member',
        'true, "a member',
    ),
    Mutant(
        "small fits: a class's curvature as 1 - p_k",
        "native/kernels/curvature.hpp",
        "-p[i * K + k] * p[i * K + l]",
        "-p[i * K + k]",
    ),
    Mutant(
        "small fits: a Hessian's rows of weight 0 are read",
        "native/kernels/curvature.hpp",
        "if (!counts(start + i)) {",
        "if (false) {",
    ),
    Mutant(
        "small fits: the triangle's last vector is left out",
        "native/kernels/curvature.hpp",
        "v < ld; v +=",
        "v + L < ld; v +=",
    ),
    Mutant(
        "small fits: a descent forgets the penalty",
        "native/solver.cpp",
        "at.gradient[i] = g + pull;",
        "at.gradient[i] = g;",
    ),
    Mutant(
        "small fits: its intercept is not centred",
        "native/solver.cpp",
        "row[p_.d] - shift : 0",
        "row[p_.d] : 0",
    ),
    Mutant(
        "small fits: its own bound is ignored",
        "native/solver.cpp",
        "(at.gap <= goal.tol ||",
        "(false && at.gap <= goal.tol ||",
    ),
    Mutant(
        "targets of whole calls are not looked at",
        "native/losses/rows.hpp",
        "&& counted.bad_row < 0) counted",
        "&& false) counted",
    ),
    Mutant(
        "p_w - 1 in whole calls",
        "native/losses/rows.hpp",
        "(all - own) - all * rest * inverse",
        "all * inverse - own",
    ),
    Mutant(
        "kept logits of another tile",
        "native/losses/layer.cpp",
        "copy(kept_.z + classes.from * ldk_ + rows.from",
        "copy(kept_.z + rows.from",
    ),
    Mutant(
        "a later block of rows replaces the gradient of classes",
        "native/losses/layer.cpp",
        "rows.size(), rows.from > 0, scratch)",
        "rows.size(), false, scratch)",
    ),
    Mutant(
        "a later tile replaces the gradient of rows",
        "native/losses/layer.cpp",
        "classes.size(), classes.from > 0, scratch)",
        "classes.size(), false, scratch)",
    ),
    Mutant(
        "gathered rows are not put back where they were",
        "native/losses/layer.cpp",
        "else std::copy_n(dx, d, out + alive_.rows[r] * d);",
        "else std::copy_n(dx, d, out + r * d);",
    ),
    Mutant(
        "the target of a row of logits keeps its probability",
        "native/losses/logits.cpp",
        "row.scale - row.factor)",
        "row.scale)",
    ),
    Mutant(
        "a rise is met by the secant alone",
        "native/solver.cpp",
        "if (to.value > from.value + noise) zero",
        "if (to.value > kInfinity) zero",
    ),
    Mutant(
        "threads take the first features",
        "native/losses/layer.cpp",
        "features.from * w.column_stride",
        "0 * w.column_stride",
    ),
]


def check_texts() -> None:
    """AssertionError, before an hour's work, for a mutant whose text is not in its file, or not once."""
    for mutant in MUTANTS:
        times = (ROOT / mutant.file).read_text().count(mutant.old)
        assert times == 1, f"{mutant.name}: {mutant.old!r} is {times} times in {mutant.file}"


def survives(mutant: Mutant) -> bool:
    """Build and test a copy of the tree with this breakage; True if no test saw it."""
    tree, build = BUILD / "tree", BUILD / "cmake"
    for name in ("native", "src"):
        shutil.copytree(ROOT / name, tree / name, dirs_exist_ok=True)
    shutil.copy(ROOT / "CMakeLists.txt", tree)
    path = tree / mutant.file
    text = path.read_text()
    path.write_text(text.replace(mutant.old, mutant.new))

    tools = Path(sys.executable).parent
    configure = [
        "-S",
        tree,
        "-B",
        build,
        "-G",
        "Ninja",
        f"-DPython_EXECUTABLE={sys.executable}",
        "-DXENT_BASELINE_ONLY=ON",
    ]
    for command in (
        [*configure, "-DCMAKE_CXX_FLAGS_RELEASE=-O1"],
        ["--build", build],
        ["--install", build, "--prefix", tree / "src"],
    ):
        path = os.environ | {"PATH": f"{tools}:{os.environ['PATH']}"}
        subprocess.run([tools / "cmake", *command], check=True, env=path, stdout=subprocess.DEVNULL)
    # -S: or the editable install would answer instead.
    command = [sys.executable, "-S", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *TESTS]
    env = os.environ | {"PYTHONPATH": f"{tree / 'src'}:{sysconfig.get_path('purelib')}"}
    done = subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)
    assert done.returncode in (0, 1), done.stdout
    verdict = "SURVIVED" if done.returncode == 0 else "caught"
    (tree / mutant.file).write_text(text)  # newer than what was built of the breakage
    print(f"{verdict:8}  {mutant.name}: {done.stdout.splitlines()[-1]}", flush=True)
    return done.returncode == 0


def main() -> None:
    """Exit code 1 if a breakage survives, or if the tests fail without one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="")
    only = parser.parse_args().only
    check_texts()
    shutil.rmtree(BUILD, ignore_errors=True)  # the last run's breakage is built there
    whole = Mutant(
        "nothing broken", "CMakeLists.txt", "project(xent LANGUAGES CXX)", "project(xent LANGUAGES CXX)"
    )
    if not survives(whole):
        sys.exit("the tests fail without a breakage")
    left = [mutant.name for mutant in MUTANTS if only in mutant.name and survives(mutant)]
    sys.exit(f"not caught: {', '.join(left)}" if left else 0)


if __name__ == "__main__":
    main()
