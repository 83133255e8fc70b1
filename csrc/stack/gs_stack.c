/* Slices: saving what is in the way, copying back what was saved.  See gs_stack.h for the picture. */
#include "stack/gs_stack.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The stack pointer is aligned to this, and so is each slice and each part of one that is saved. */
typedef char unit __attribute__((vector_size(16), may_alias));

enum {
    ROUND = 64,            /* buffers grow in cache lines */
    SMALL = 1024,          /* up to this, memcpy() is the slower way to copy */
    GENEROUS = 64 * 1024,  /* a buffer below this is never given back */
};

void
gs_stack_init(gs_stack *stack, gs_slice *main)
{
    memset(main, 0, sizeof *main);
    main->stop = (char *)UINTPTR_MAX;
    stack->current = main;
    stack->target = NULL;
    stack->entry = NULL;
}

void
gs_slice_clear(gs_slice *slice)
{
    free(slice->copy);
    memset(slice, 0, sizeof *slice);
}

/* Copy `size` bytes, whole units, between aligned places.  Half of memcpy()'s time for the usual slice would
 * be the call, its choice of a way, and waiting: it begins with the bytes that gs_switch has just pushed, in
 * smaller pieces than it loads. */
static inline void
copy(char *restrict to, const char *restrict from, size_t size)
{
    if (size > SMALL) {
        memcpy(to, from, size);
        return;
    }
    unit *t = (unit *)(void *)to;
    const unit *f = (const unit *)(const void *)from;
    size_t count = size / sizeof(unit);
    for (; count >= 4; count -= 4, t += 4, f += 4) {
        unit a = f[0], b = f[1], c = f[2], d = f[3];
        t[0] = a;
        t[1] = b;
        t[2] = c;
        t[3] = d;
    }
    for (; count != 0; count--) {
        *t++ = *f++;
    }
}

/* Room for `size` bytes of which the first `saved` are in use. */
static int
reserve(gs_slice *slice, size_t size)
{
    /* A buffer that was needed once, for a deep recursion say, and is now absurdly large goes back. */
    int shrink = slice->room > GENEROUS && slice->saved == 0 && size < slice->room / 8;
    if (size <= slice->room && !shrink) {
        return 0;
    }
    size_t room = (size + ROUND - 1) & ~(size_t)(ROUND - 1);
    if (slice->saved == 0) {
        /* Nothing to keep: spare realloc the copying, and the two buffers at once. */
        free(slice->copy);
        slice->copy = NULL;
        slice->room = 0;
    }
    char *copy = realloc(slice->copy, room);
    if (copy == NULL) {
        return -1;
    }
    slice->copy = copy;
    slice->room = room;
    return 0;
}

/* Have everything of `slice` below `limit` in its copy. */
static int
save_below(gs_slice *slice, char *limit)
{
    /* The slice may begin above the limit: it was left from a shallower place than it has been before. */
    if (limit <= slice->start + slice->saved) {
        return 0;
    }
    size_t wanted = (size_t)(limit - slice->start);
    if (reserve(slice, wanted) < 0) {
        return -1;
    }
    copy(slice->copy + slice->saved, slice->start + slice->saved, wanted - slice->saved);
    slice->saved = wanted;
    return 0;
}

/* Save all that lies below the target's stop, and link the target into the chain.  `owner` is the first
 * slice of the chain that matters.  A failure half-way is harmless: what has been saved is in its copy
 * and on the stack as well, and nobody has moved. */
static int
clear_the_way(gs_slice *owner, gs_slice *target)
{
    char *limit = target->stop;
    while (owner->stop < limit) {
        if (save_below(owner, owner->stop) < 0) {
            return -1;
        }
        owner = owner->above;
    }
    if (owner == target) {
        return 0;
    }
    if (save_below(owner, limit) < 0) {
        return -1;
    }
    target->above = owner->stop == limit ? owner->above : owner;
    return 0;
}

/* Undo the saving of the running slice when a switch could not be made: its bytes are on the stack, and
 * a running slice has saved == 0.  The other slices that were saved in vain stay in the chain, which is
 * right too: their bytes have not moved, and being saved already only makes the next time shorter. */
static void *
stay(gs_slice *from)
{
    from->saved = 0;
    return NULL;
}

/* Put the target's bytes back where they were.  We run below them. */
static inline void *
restore(gs_stack *stack)
{
    gs_slice *to = stack->target;
    if (to->saved != 0) {
        copy(to->start, to->copy, to->saved);
        to->saved = 0;
    }
    stack->current = to;
    return to->start;
}

void *
gs_stack_move(void *context, void *sp)
{
    gs_stack *stack = context;
    gs_slice *from = stack->current;
    gs_slice *to = stack->target;
    from->start = sp;
    size_t size = (size_t)(to->stop - from->start);
    if (from->stop == to->stop && size <= from->room && from->room <= GENEROUS) {
        /* clear_the_way() for two that were started from the same place, as most are. */
        copy(from->copy, from->start, size);
        from->saved = size;
        to->above = from->above;
    }
    else if (clear_the_way(from, to) < 0) {
        return stay(from);
    }
    return restore(stack);
}

static void *
leave_for_ever(void *context, void *sp)
{
    (void)sp;
    gs_stack *stack = context;
    if (clear_the_way(stack->current->above, stack->target) < 0) {
        return NULL;
    }
    return restore(stack);
}

/* A new slice begins right below the sp of the one that starts it. */
static void *
leave_to_start(void *context, void *sp)
{
    gs_stack *stack = context;
    gs_slice *from = stack->current;
    from->start = sp;
    stack->target->stop = sp;
    stack->target->above = from;
    return sp;
}

/* So does one that is started by a dying slice.  What lies between the two belongs to nobody. */
static void *
leave_for_ever_to_start(void *context, void *sp)
{
    gs_stack *stack = context;
    stack->target->stop = sp;
    stack->target->above = stack->current->above;
    return sp;
}

static void
enter(void *context)
{
    gs_stack *stack = context;
    stack->current = stack->target;
    stack->entry(stack);
}

void *
gs_stack_start(gs_stack *stack, gs_slice *to, gs_entry *entry)
{
    stack->target = to;
    stack->entry = entry;
    return gs_start(stack, leave_to_start, enter);
}

void *
gs_stack_finish(gs_stack *stack, gs_slice *to, gs_arrive *arrive)
{
    stack->target = to;
    return gs_switch(stack, to->start, leave_for_ever, arrive);
}

void
gs_stack_finish_start(gs_stack *stack, gs_slice *to, gs_entry *entry)
{
    stack->target = to;
    stack->entry = entry;
    gs_start(stack, leave_for_ever_to_start, enter);
}
