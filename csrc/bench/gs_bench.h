/* What the machine and stack layers cost, as a plain C program sees it.
 *
 * What belongs here: loops over csrc/switch and csrc/stack that time themselves, and a way to put C frames
 * below a call.  What never does: Python, and how often to measure; both are for _cbench.pyx and
 * greenswitch/bench.
 *
 * Every result is the time of one operation in seconds, or a negative number when there is no memory.
 * `count` says how many operations to time; each function makes and warms up what it needs before that.
 * They use the stack that they are called on, at most 200 KB of it.
 */
#ifndef GS_BENCH_H
#define GS_BENCH_H

#include <stddef.h>

#include "switch/gs_switch.h"

/* A switch of registers, between two places that keep out of each other's way, so that no memory has to
 * move.  Both places wait in the same loop, as two greenlets wait in the same line of the switcher. */
GS_HIDDEN double gs_bench_raw(long count);

/* The same between two loops: each switch returns to another line than the one that it was called from,
 * which processors predict to be the same. */
GS_HIDDEN double gs_bench_raw_apart(long count);

/* A start and an end of an activity that does nothing. */
GS_HIDDEN double gs_bench_start(long count);

/* A switch between two slices that both need the same `bytes` of stack: it saves as many and restores as
 * many.  `saved`, if not NULL, is set to how many they really were: a few less than a multiple of 16 can
 * be, and never less than what the loop itself needs, some 200. */
GS_HIDDEN double gs_bench_slices(size_t bytes, long count, size_t *saved);

/* call(context) below `depth` C frames of some 128 bytes each. */
GS_HIDDEN void gs_bench_below(int depth, void (*call)(void *context), void *context);

#endif
