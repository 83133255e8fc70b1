/* The loops of csrc/bench do what they say at every level of optimisation: they end, and they use as much
 * stack as they are to measure. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/gs_bench.h"

enum { COUNT = 2000, FRAME = 128, DEPTH = 50 };

static void
fail(const char *what)
{
    printf("test_bench: %s\n", what);
    exit(1);
}

/* Nothing about speed: an emulator is slow, and a machine may be busy. */
static void
check_time(double seconds, const char *what)
{
    if (!(seconds > 0 && seconds < 1)) {
        fail(what);
    }
}

static uintptr_t reached;
static int calls;

static void
reach(void *context)
{
    if (context != &calls) {
        fail("another context");
    }
    calls++;
    reached = (uintptr_t)__builtin_frame_address(0);
}

int
main(void)
{
    for (int i = 0; i < 3; i++) {
        check_time(gs_bench_raw(COUNT), "raw");
        check_time(gs_bench_raw_apart(COUNT), "raw, apart");
        check_time(gs_bench_start(COUNT), "start");
    }
    for (size_t bytes = 1024; bytes <= 64 * 1024; bytes *= 2) {
        size_t saved = 0;
        check_time(gs_bench_slices(bytes, COUNT, &saved), "slices");
        if (saved > bytes || saved + 16 < bytes) {
            printf("%zu bytes in place of %zu\n", saved, bytes);
            fail("slices of another size");
        }
    }
    check_time(gs_bench_slices(0, COUNT, NULL), "slices as small as they come");
    gs_bench_below(0, reach, &calls);
    uintptr_t top = reached;
    gs_bench_below(DEPTH, reach, &calls);
    if (calls != 2 || top - reached < DEPTH * FRAME || top - reached > 4 * DEPTH * FRAME) {
        fail("frames of another size");
    }
    return 0;
}
