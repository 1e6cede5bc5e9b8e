#!/usr/bin/env bash
# The kernels under a sanitizer: tests/programs/sanitize.sh address|thread [fuzz calls]. `make sanitize` runs both.
#
#   address  AddressSanitizer and UndefinedBehaviorSanitizer, with the compiler of the usual build (or $CXX).
#   thread   ThreadSanitizer, with clang and LLVM's libomp ($CLANG picks a clang++). GCC's libgomp waits by
#            futex, which TSan does not see: every barrier would be a false race. libomp tells TSan of its
#            barriers through Archer, which comes with it.
#
# The build is a plain cmake one with its own copy of the package, all in build/sanitize-*; Python runs
# with -S so that the editable install of .venv, which site would put first, does not answer instead.
set -euo pipefail
cd "$(dirname "$0")/../.."
kind=${1:?address or thread} calls=${2:-50000}
bin=$PWD/.venv/bin build=$PWD/build/sanitize-$kind

need() { echo "make sanitize: $1 (see CONTRIBUTING.md)" >&2; exit 1; }

case $kind in
  address)
    compiler=${CXX:-g++}
    command -v "$compiler" >/dev/null || need "$compiler is missing"
    # libstdc++ too: loaded later, its throw would be unknown to ASan's interceptor, which then aborts.
    preload="$($compiler -print-file-name=libasan.so) $($compiler -print-file-name=libstdc++.so.6)"
    ;;
  thread)
    newest=$(compgen -c clang++- | grep -E '^clang\+\+-[0-9]+$' | sort -V | tail -1 || true)
    compiler=${CLANG:-${newest:-clang++}}
    command -v "$compiler" >/dev/null || need "clang is missing"
    preload=$($compiler -print-file-name="libclang_rt.tsan-$(uname -m).so")
    [ -f "$preload" ] || preload=$($compiler -print-file-name=libclang_rt.tsan.so)
    archer=$(dirname "$(readlink -f "$(command -v "$compiler")")")/../lib/libarcher.so
    [ -f "$archer" ] || need "$compiler has no libarcher.so: libomp-dev of the same version is missing"
    ;;
  *) need "expected address or thread, got $kind" ;;
esac
for library in $preload; do [ -f "$library" ] || need "$compiler has no $library"; done

CXX=$compiler "$bin/cmake" -S . -B "$build" -G Ninja -DCMAKE_MAKE_PROGRAM="$bin/ninja" -DPython_EXECUTABLE="$bin/python" \
  -DCMAKE_BUILD_TYPE=RelWithDebInfo -DXENT_SANITIZE="$kind" >"$build.log" 2>&1 || { cat "$build.log"; exit 1; }
"$bin/cmake" --build "$build" >"$build.log" 2>&1 || { cat "$build.log"; exit 1; }
rm -rf "$build/site"
mkdir "$build/site"
cp -r src/xent "$build/site"
"$bin/cmake" --install "$build" --prefix "$build/site" >/dev/null

PYTHONPATH=$build/site:$("$bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
export PYTHONPATH
export PYTHONMALLOC=malloc OPENBLAS_NUM_THREADS=1
# Leaks: CPython and NumPy keep much until the process ends, and LeakSanitizer cannot tell it from ours.
export ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1
# Python, NumPy and libomp are not instrumented: what they touch through memcpy is not ours to report.
# The first race ends the process, so that the fuzzer can name its call.
export TSAN_OPTIONS=ignore_noninstrumented_modules=1:halt_on_error=1
if [ "$kind" = thread ]; then export OMP_TOOL_LIBRARIES=$archer; fi
python() { LD_PRELOAD=$preload "$bin/python" -S "$@"; }

echo "== $kind: $($compiler --version | head -1)"
# pytest keeps its hands off file descriptor 2, where the sanitizers write. How much memory a pass takes is no
# question to ask here, nor how many threads there are: the sanitizer has one of its own.
python -m pytest --quiet --capture=sys -p no:cacheprovider -k "not working_memory and not dealt_out_among_threads" tests/kernels/test_{passes,offsets,kernels,functions,functions_calls,linear,vectors,matrix}.py tests/solvers/test_short.py
python -m tests.programs.fuzz_kernels --calls "$calls"
