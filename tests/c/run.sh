#!/bin/sh
# Build and run the C tests, which need no Python:  run.sh native | valgrind | aarch64
#
#   native   with gcc and clang, whichever are here, at -O0, -O2 and -O3, and with AddressSanitizer
#   valgrind one line and success where it is missing
#   aarch64  cross-compiled, under qemu; one line and success where the tools are missing
#
# Every test is a program that says nothing, or little, and ends with 0 when all was right.
set -eu
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
flags="-std=c11 -g -Wall -Wextra -Werror -Icsrc"
failed=0

# run_all LABEL RUNNER COMPILER [FLAG...]
run_all() {
    label=$1 runner=$2
    shift 2
    for source in tests/c/test_*.c; do
        name=$(basename "$source" .c)
        # shellcheck disable=SC2086
        if "$@" $flags -o "$work/$name" "$source" \
            csrc/bench/gs_bench.c csrc/stack/*.c csrc/switch/*.S -lm -lpthread &&
            $runner "$work/$name"; then
            echo "ok      $name  $label"
        else
            echo "FAILED  $name  $label"
            failed=1
        fi
    done
}

# Stacks are changed without a word to valgrind, which takes it for one large frame that comes or goes, and what
# lies below the stack pointer for lost.  So it is with slices: they are copied back, each byte of them.  Where
# a test puts two places on one stack side by side, what valgrind thinks of their values is not asked.
under_valgrind() {
    values=no
    case $1 in
    */test_stack) values=yes ;;
    esac
    timeout 300 valgrind -q --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite \
        --max-stackframe=16777216 --undef-value-errors=$values "$1"
}

# Whether this compiler's AddressSanitizer can build and run anything at all.
has_asan() {
    echo 'int main(void) { return 0; }' >"$work/empty.c"
    "$1" -fsanitize=address -o "$work/empty" "$work/empty.c" 2>/dev/null && "$work/empty" 2>/dev/null
}

native() {
    compilers=""
    for compiler in gcc clang; do
        if command -v "$compiler" >/dev/null; then compilers="$compilers $compiler"; fi
    done
    if [ -z "$compilers" ] && command -v cc >/dev/null; then compilers=cc; fi
    if [ -z "$compilers" ]; then
        echo "The C tests need a C compiler: install gcc or clang." >&2
        exit 1
    fi
    for compiler in $compilers; do
        for level in -O0 -O2 -O3; do
            run_all "$compiler $level" "timeout 120" "$compiler" "$level"
        done
        if has_asan "$compiler"; then
            run_all "$compiler -O1 -fsanitize=address" "timeout 120" \
                "$compiler" -O1 -fno-omit-frame-pointer -fsanitize=address
        else
            echo "skipped: AddressSanitizer does not work with $compiler here"
        fi
    done
}

valgrind_too() {
    if ! command -v valgrind >/dev/null; then
        echo "skipped: the tests under valgrind need it, and it is not here"
        exit 0
    fi
    for level in -O0 -O2; do
        run_all "cc $level, valgrind" under_valgrind "${CC:-cc}" "$level"
    done
}

aarch64() {
    compiler=aarch64-linux-gnu-gcc
    for tool in $compiler qemu-aarch64; do
        if ! command -v $tool >/dev/null; then
            echo "skipped: the aarch64 tests need $tool, which is not here"
            exit 0
        fi
    done
    for level in -O0 -O2 -O3; do
        run_all "$compiler $level" "timeout 120 qemu-aarch64" $compiler -static "$level"
        run_all "$compiler $level -mbranch-protection=standard" "timeout 120 qemu-aarch64" \
            $compiler -static "$level" -mbranch-protection=standard
    done
}

case ${1-} in
native) native ;;
valgrind) valgrind_too ;;
aarch64) aarch64 ;;
*)
    echo "usage: $0 native | valgrind | aarch64" >&2
    exit 2
    ;;
esac
exit $failed
