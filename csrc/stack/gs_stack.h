/* Where a suspended stack lives.
 *
 * What belongs here: slices of one thread's C stack, who lies where on it, and the copies of what has
 * been overwritten.  What never does: registers (switch/), Python (greenlet/).
 *
 * All activities of a thread run on the thread's own C stack.  The stack grows downwards:
 *
 *      higher addresses
 *      |                 |
 *      |   the main slice:  stop is the top of the address space
 *      |                 |
 *      +-----------------+  <- stop of A: where A was started from
 *      |                 |
 *      |   A, suspended  |     [start + saved, stop) is still on the stack,
 *      |                 |     [start, start + saved) has been needed by others since: it is in A's copy
 *      +- - - - - - - - -+  <- start + saved == stop of B
 *      | B, running, lies|
 *      | where A's low   |
 *      | part was        |
 *      +-----------------+  <- sp
 *      lower addresses
 *
 * Invariants, between two switches:
 *   - `current` is running: saved == 0, and [sp, stop) is its own.
 *   - Following `above` from `current` gives every slice that still has bytes on the stack, in ascending
 *     order of the addresses where those bytes begin; the last is the main slice, whose `above` is NULL.
 *   - For each slice of that chain but the first, start + saved is not below the stop of the slice
 *     before it.  What lies between the two belongs to nobody.
 *   - A suspended slice that is not in the chain is wholly in its copy: saved == stop - start.
 * A switch to T saves whatever lies below T's stop, moves, and copies T's saved part back.  So the costs
 * are the bytes in dispute and nothing else.  Slices only ever lose bytes from their low end.
 *
 * Copy buffers stay with the slice between switches, so that a switch allocates only when a slice is
 * larger than ever before.
 */
#ifndef GS_STACK_H
#define GS_STACK_H

#include <stddef.h>

#include "switch/gs_switch.h"

typedef struct gs_slice {
    char *copy;  /* malloc'ed, NULL until first needed */
    size_t saved; /* bytes of [start, ...) that are in `copy` and not on the stack */
    char *start; /* sp while suspended; meaningless while running; NULL: has no stack */
    char *stop;  /* the first address above the slice; NULL: has no stack */
    struct gs_slice *above; /* the next owner up the stack; valid while in the chain */
    size_t room;  /* bytes that `copy` can hold */
} gs_slice;

typedef struct gs_stack gs_stack;
typedef void gs_entry(gs_stack *stack);

/* One for each thread.  Lives on the heap: it is the context of gs_switch. */
struct gs_stack {
    gs_slice *current; /* who is running */
    gs_slice *target;  /* whom a switch under way goes to */
    gs_entry *entry;   /* what a start under way calls */
};

/* Make `main` the slice of the code that is running now. */
GS_HIDDEN void gs_stack_init(gs_stack *stack, gs_slice *main);

/* Suspend the current slice and go on in `to`, which is suspended, with arrive(stack): what it returns is
 * what the call that suspended `to` returns there.  When there is no memory for the copies nothing moves,
 * and it is arrive(NULL) here.  Inline, so that a caller may end in the machine's switch. */
static inline void *gs_stack_switch(gs_stack *stack, gs_slice *to, gs_arrive *arrive);

/* Suspend the current slice and call entry(stack) in `to`, which has no stack yet.  `entry` must not
 * return.  A start needs no memory and does not fail; what it returns is up to who switches back. */
GS_HIDDEN void *gs_stack_start(gs_stack *stack, gs_slice *to, gs_entry *entry);

/* The same two for a current slice that will never run again: nothing of it is kept.  The first returns
 * only when there is no memory, what arrive(NULL) returned, and the current slice is still running. */
GS_HIDDEN void *gs_stack_finish(gs_stack *stack, gs_slice *to, gs_arrive *arrive);
GS_HIDDEN void gs_stack_finish_start(gs_stack *stack, gs_slice *to, gs_entry *entry);

/* Free the copy.  The slice has no stack afterwards. */
GS_HIDDEN void gs_slice_clear(gs_slice *slice);

/* The memory's part of a switch: a gs_move. */
GS_HIDDEN void *gs_stack_move(void *stack, void *sp);

enum { GS_CACHE_LINE = 64 };

/* Have the copy of a slice that is about to be switched to fetched from memory.  A hint, worth while for
 * slices that have not been on the stack for long. */
static inline void
gs_slice_prefetch(const gs_slice *slice)
{
    for (size_t i = 0; i < slice->saved; i += GS_CACHE_LINE) {
        __builtin_prefetch(slice->copy + i);
    }
}

static inline void *
gs_stack_switch(gs_stack *stack, gs_slice *to, gs_arrive *arrive)
{
    stack->target = to;
    return gs_switch(stack, to->start, gs_stack_move, arrive);
}

#endif
