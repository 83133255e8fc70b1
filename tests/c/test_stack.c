/* Slices: a random walk over many activities at random depths.
 *
 * Each activity recurses, returns, switches to others, starts others and ends, as the dice say.  Every
 * level keeps a buffer of its own filled with a pattern, and looks at it after every switch and before
 * it returns: one byte that is copied wrongly, or not at all, is found. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stack/gs_stack.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__clang__)
#define PLAIN __attribute__((noinline, no_sanitize("address")))
#else
#define PLAIN __attribute__((noinline))
#endif

enum { ACTIVITIES = 60, DEPTH = 40, BYTES = 700, STEPS = 400000 };

typedef struct activity {
    gs_slice slice;
    int alive;
    unsigned born; /* which of the activities that have used this place */
} activity;

static gs_stack stack;
static activity all[ACTIVITIES]; /* all[0] is main */
static activity *running = &all[0];
static activity *ended;          /* to be cleared by whoever runs next */
static long steps, switches, starts, ends;
static int draining;

static uint64_t dice_state;

static unsigned
dice(unsigned sides)
{
    dice_state ^= dice_state << 13;
    dice_state ^= dice_state >> 7;
    dice_state ^= dice_state << 17;
    return (unsigned)(dice_state >> 33) % sides;
}

static void
fail(const char *what)
{
    printf("test_stack: %s after %ld steps\n", what, steps);
    exit(1);
}

static void *
arrive(void *context)
{
    if (context != NULL && context != &stack) {
        fail("arrive() got another context");
    }
    return context;
}

static void
arrived(activity *self)
{
    running = self;
    if (stack.current != &self->slice) {
        fail("somebody else is current");
    }
    if (self->slice.saved != 0) {
        fail("a running slice has bytes in its copy");
    }
    if (ended != NULL) {
        gs_slice_clear(&ended->slice);
        ended = NULL;
    }
    /* The chain: ascending, without overlap, ending with main. */
    char *floor = self->slice.stop;
    gs_slice *last = &self->slice;
    for (gs_slice *s = self->slice.above; s != NULL; s = s->above) {
        if (s->start + s->saved < floor && s != &self->slice) {
            fail("two slices claim the same bytes");
        }
        floor = s->stop;
        last = s;
    }
    if (last != &all[0].slice) {
        fail("the chain does not end with main");
    }
}

/* Any activity but the running one; NULL: there is none. */
static activity *
other(void)
{
    unsigned first = dice(ACTIVITIES);
    for (unsigned i = 0; i < ACTIVITIES; i++) {
        activity *a = &all[(first + i) % ACTIVITIES];
        if (a->alive && a != running) {
            return a;
        }
    }
    return NULL;
}

static activity *
unborn(void)
{
    for (int i = 1; i < ACTIVITIES; i++) {
        if (!all[i].alive && &all[i] != ended && &all[i] != running) {
            all[i].alive = 1;
            all[i].born++;
            starts++;
            return &all[i];
        }
    }
    return NULL;
}

static void live(gs_stack *unused);

PLAIN static void
switch_away(activity *self)
{
    activity *to = other();
    if (to != NULL) {
        switches++;
        if (gs_stack_switch(&stack, &to->slice, arrive) == NULL) {
            fail("no memory");
        }
        arrived(self);
    }
}

PLAIN static void
start_another(activity *self)
{
    activity *fresh = unborn();
    if (fresh != NULL) {
        gs_stack_start(&stack, &fresh->slice, live);
        arrived(self);
    }
}

PLAIN static void
walk(activity *self, int depth)
{
    unsigned size = 1 + dice(BYTES);
    volatile unsigned char buffer[BYTES];
    unsigned char mark = (unsigned char)(dice(255) + 1);
    for (unsigned i = 0; i < size; i++) {
        buffer[i] = (unsigned char)(mark + i);
    }
    for (;;) {
        draining |= ++steps >= STEPS;
        unsigned choice = dice(16);
        if (draining || choice < 5) {
            break;
        }
        else if (choice < 9 && depth < DEPTH) {
            walk(self, depth + 1);
        }
        else if (choice < 15) {
            switch_away(self);
        }
        else {
            start_another(self);
        }
        for (unsigned i = 0; i < size; i++) {
            if (buffer[i] != (unsigned char)(mark + i)) {
                fail("a byte of the stack has changed");
            }
        }
    }
    if (running != self) {
        fail("the wrong activity runs");
    }
}

PLAIN static void
live(gs_stack *unused)
{
    (void)unused;
    activity *self = NULL;
    for (int i = 0; i < ACTIVITIES; i++) {
        if (stack.current == &all[i].slice) {
            self = &all[i];
        }
    }
    arrived(self);
    do {
        walk(self, 0);
    } while (!draining && dice(3) != 0);
    self->alive = 0;
    ended = self;
    ends++;
    activity *fresh = !draining && dice(4) == 0 ? unborn() : NULL;
    if (fresh != NULL) {
        gs_stack_finish_start(&stack, &fresh->slice, live);
    }
    else {
        gs_stack_finish(&stack, &other()->slice, arrive);
    }
    fail("an activity that has ended went on");
}

int
main(int argc, char **argv)
{
    dice_state = argc > 1 ? strtoull(argv[1], NULL, 0) : 20240229;
    gs_stack_init(&stack, &all[0].slice);
    all[0].alive = 1;
    while (!draining) {
        walk(&all[0], 0);
    }
    for (activity *a; (a = other()) != NULL;) {
        if (gs_stack_switch(&stack, &a->slice, arrive) == NULL) {
            fail("no memory");
        }
        arrived(&all[0]);
    }
    gs_slice_clear(&all[0].slice);
    if (starts != ends || starts < 1000 || switches < 10000) {
        printf("%ld starts, %ld ends, %ld switches\n", starts, ends, switches);
        fail("too little has happened, or not everybody has ended");
    }
    return 0;
}
