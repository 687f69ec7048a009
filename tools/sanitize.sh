#!/usr/bin/env bash
# csrc under the sanitizers of GCC. Needs gcc, and an environment with fastdl's build and test requirements.
#
#   tools/sanitize.sh team      the thread team and the pool under TSan, under ASan and UBSan, and through forks
#   tools/sanitize.sh kernels   every case of every kernel, every layout, under ASan and UBSan, on each ISA tier
#   tools/sanitize.sh races     every kernel on several threads under TSan
#   tools/sanitize.sh           all three
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
build=build/sanitize
mkdir -p $build

team() {
    local compile="gcc -std=gnu11 -g -D_GNU_SOURCE -Icsrc -pthread csrc/team.c csrc/pool.c tools/team_stress.c"
    $compile -O1 -fsanitize=thread -o $build/team_tsan
    $compile -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -o $build/team_asan
    $compile -O3 -o $build/team_plain
    TSAN_OPTIONS=halt_on_error=1 $build/team_tsan
    $build/team_asan
    $build/team_plain fork # without a sanitizer: their own allocators do not survive a fork while threads run
}

# A copy of the package, built in place, whose _native (all of csrc) is compiled with a sanitizer. The other modules hold no
# code of ours that indexes memory: they pass pointers on.
instrumented() { # name, value of -fsanitize
    local target=$build/$1
    $python setup.py -q build_ext --inplace >/dev/null 2>&1
    rm -rf "$target/fastdl" "$target/tests"
    mkdir -p "$target"
    cp -r fastdl fastdl_cli.py pyproject.toml tests "$target"
    rm "$target"/fastdl/_native.*.so
    # -O1: with -O3 the instrumented tile kernels take minutes to compile
    CSRC_CFLAGS="-O1 -g -fno-omit-frame-pointer -fsanitize=$2 -fno-sanitize-recover=all" $python setup.py -q build_ext \
        --build-temp "$target/objects" --build-lib "$target" >"$target/build.log" 2>&1 ||
        { tail -n 30 "$target/build.log"; exit 1; }
}

pytest_in() { # folder, arguments
    (cd "$build/$1" && shift && OPENBLAS_NUM_THREADS=1 PYTHONMALLOC=malloc \
        $python -m pytest -s -q -x -p no:cacheprovider -p no:xdist --timeout 0 "$@")
}

kernels() {
    instrumented asan address,undefined
    for isa in $($python -c 'from fastdl import _native; print(*_native.isas())'); do
        echo "ASan and UBSan, $isa"
        ASAN_OPTIONS=detect_leaks=0 LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)" \
            FASTDL_ISA=$isa FASTDL_STRICT=1 pytest_in asan tests/test_kernels.py tests/test_memory_order.py -k "(cython or joined) and not large"
    done
}

races() {
    instrumented tsan thread
    echo "TSan"
    LD_PRELOAD=$(gcc -print-file-name=libtsan.so) \
        TSAN_OPTIONS="halt_on_error=1 ignore_noninstrumented_modules=1 report_signal_unsafe=0" \
        FASTDL_STRICT=1 pytest_in tsan tests/test_kernels.py -k "same_bits"
}

if [ $# -eq 0 ]; then set -- team kernels races; fi
for task in "$@"; do "$task"; done
