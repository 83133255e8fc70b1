/* The loops.  See gs_bench.h for what each of them times. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime, which -std=c11 hides */

#include "bench/gs_bench.h"

#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "stack/gs_stack.h"

/* Kept out of line, so that a call site is one address wherever the function is used from; and without the
 * red zones of AddressSanitizer, because stacks are copied as they are. */
#define APART __attribute__((noinline, no_sanitize("address")))

enum {
    WARM_UP = 1000,
    GAP = 64 * 1024,   /* between two places that are to keep out of each other's way */
    FRAME_ROOM = 128,
};

static double
now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Nothing is to be done after a switch: NULL where it was not made. */
static void *
arrive(void *context)
{
    return context;
}

/* Have all of an array on the stack at this point, whatever the optimiser finds out about its use. */
static inline void
occupy(char *room)
{
    __asm__ volatile("" : : "r"(room) : "memory");
}

/* ---- registers ---- */

typedef struct places {
    void *elsewhere; /* sp of the one of the two places that is suspended */
} places;

static void *
exchange(void *context, void *sp)
{
    places *p = context;
    void *to = p->elsewhere;
    p->elsewhere = sp;
    return to;
}

static void *
leave(void *context, void *sp)
{
    places *p = context;
    p->elsewhere = sp;
    return sp;
}

APART static void
take_turns(places *p, long turns)
{
    while (turns-- > 0) {
        gs_switch(p, p->elsewhere, exchange, arrive);
    }
}

APART static void
answer(places *p)
{
    for (;;) {
        gs_switch(p, p->elsewhere, exchange, arrive);
    }
}

/* The second place begins far enough below the first that neither writes where the other lies. */
APART static void
live_in_the_same_loop(void *context)
{
    char gap[GAP];
    occupy(gap);
    take_turns(context, LONG_MAX);
    occupy(gap);
    abort();
}

APART static void
live_in_another_loop(void *context)
{
    char gap[GAP];
    occupy(gap);
    answer(context);
    occupy(gap);
    abort();
}

/* A turn is a switch there and one back. */
static double
raw(long count, gs_enter *live)
{
    places *p = malloc(sizeof *p);
    if (p == NULL) {
        return -1;
    }
    gs_start(p, leave, live);
    take_turns(p, WARM_UP);
    long turns = count / 2 + 1;
    double begin = now();
    take_turns(p, turns);
    double end = now();
    free(p); /* the second place is left for ever, and owns nothing */
    return (end - begin) / (2.0 * (double)turns);
}

double
gs_bench_raw(long count)
{
    return raw(count, live_in_the_same_loop);
}

double
gs_bench_raw_apart(long count)
{
    return raw(count, live_in_another_loop);
}

/* ---- slices ---- */

typedef struct slices {
    gs_stack stack; /* first: what is called on the other stack is handed this address */
    gs_slice main;
    gs_slice other;
    size_t room;    /* bytes of stack that each of the two takes besides what its loop needs */
    int failed;     /* there was no memory for a copy */
} slices;

static slices *
slices_new(void)
{
    slices *s = calloc(1, sizeof *s);
    if (s != NULL) {
        gs_stack_init(&s->stack, &s->main);
    }
    return s;
}

static void
slices_free(slices *s)
{
    gs_slice_clear(&s->other);
    gs_slice_clear(&s->main);
    free(s);
}

APART static void
collide(slices *s, gs_slice *to, long turns)
{
    char room[s->room + 1];
    occupy(room);
    while (turns-- > 0 && !s->failed) {
        s->failed = gs_stack_switch(&s->stack, to, arrive) == NULL;
    }
    occupy(room);
}

static void
collide_for_ever(gs_stack *stack)
{
    slices *s = (slices *)stack;
    collide(s, &s->main, LONG_MAX);
    abort(); /* main, which needs no more memory than this one, fails first */
}

static void
end_at_once(gs_stack *stack)
{
    slices *s = (slices *)stack;
    gs_stack_finish(stack, &s->main, arrive);
    abort(); /* not for lack of memory: main's slice is saved by nobody */
}

double
gs_bench_start(long count)
{
    slices *s = slices_new();
    if (s == NULL) {
        return -1;
    }
    double begin = 0;
    for (long i = -WARM_UP; i < count; i++) {
        if (i == 0) {
            begin = now();
        }
        gs_stack_start(&s->stack, &s->other, end_at_once);
    }
    double end = now();
    slices_free(s);
    return (end - begin) / (double)count;
}

/* Turns between two slices with so much room; sets what one of them had to save. */
static double
slices_time(size_t room, long turns, size_t *saved)
{
    slices *s = slices_new();
    if (s == NULL) {
        return -1;
    }
    s->room = room;
    gs_stack_start(&s->stack, &s->other, collide_for_ever);
    collide(s, &s->other, 10);
    *saved = s->other.saved;
    double begin = now();
    collide(s, &s->other, turns);
    double end = now();
    int failed = s->failed;
    slices_free(s);
    return failed ? -1 : (end - begin) / (2.0 * (double)turns);
}

double
gs_bench_slices(size_t bytes, long count, size_t *saved)
{
    size_t least, most;
    if (slices_time(0, 1, &least) < 0) {
        return -1;
    }
    return slices_time(bytes > least ? bytes - least : 0, count / 2 + 1, saved != NULL ? saved : &most);
}

/* ---- depth ---- */

APART void
gs_bench_below(int depth, void (*call)(void *context), void *context)
{
    char room[FRAME_ROOM];
    occupy(room);
    if (depth > 0) {
        gs_bench_below(depth - 1, call, context);
    }
    else {
        call(context);
    }
    occupy(room); /* so that the call is not the last thing done and the frame can go */
}
