/* Entry frames, CPython 3.12 on.
 *
 * When C code calls into the interpreter, _PyEval_EvalFrameDefault links the Python frame that it is to
 * run to an entry frame among its own C variables: frame->previous is an address on the C stack.  Once
 * the slice of a suspended greenlet has been overwritten that address holds anything, and whoever walks
 * `previous` from a frame of this greenlet - f_back, traceback printing, gr_frame - would read it.
 *
 * Every such walk passes over entry frames.  So while a greenlet is suspended, each frame that is linked
 * to an entry frame is linked to the Python frame behind it, and before the greenlet runs again the links
 * are put back.  There are as many links to mend as there are calls from C into Python on the greenlet's
 * stack, one for most; finding them is a walk over the frames.  That walk is most of what a switch costs
 * in deep recursion, so it reads no more of a frame than `previous`: entry frames are first told from others
 * by their address, between our own frame and the end of the greenlet's C stack.
 *
 * The current frame itself is an entry frame while the locals of a function that C code called die: its own
 * frame is unlinked before.  What dies may switch, and may call Python code that switches, behind whose frame
 * there are two entry frames in a row then.
 *
 * Rejected: a permanent link to a copy of the entry frame on the heap.  It needs no mending, but in 3.12
 * and 3.13 the interpreter knows the frame at which an exception leaves it by the address of that very
 * variable (`frame == &entry_frame` after exit_unwind in Python/ceval.c), so that an exception would run
 * on into the copy; and builds of 3.14 and 3.15 with assertions insist on the address.
 */
#ifndef GS_ENTRYFRAMES_H
#define GS_ENTRYFRAMES_H

#include <stdlib.h>

#include "pystate/internal.h"

typedef struct gs_link {
    _PyInterpreterFrame *frame;
    _PyInterpreterFrame *entry; /* what frame->previous is while the greenlet runs; on its C stack */
} gs_link;

enum { GS_LINKS_INLINE = 2 };

typedef struct gs_entryframes {
    gs_link few[GS_LINKS_INLINE];
    gs_link *more;  /* malloc'ed, for the links after those; kept between switches */
    unsigned count;
    unsigned room;  /* of `more` */
} gs_entryframes;

static inline bool
gs_frame_is_entry(const _PyInterpreterFrame *frame)
{
#if PY_VERSION_HEX < 0x030E0000
    return frame->owner == FRAME_OWNED_BY_CSTACK;
#else
    return frame->owner >= FRAME_OWNED_BY_INTERPRETER;
#endif
}

/* `frame`, or if that is an entry frame the nearest Python frame behind it; NULL: there is none. */
static inline _PyInterpreterFrame *
gs_frame_of_python(_PyInterpreterFrame *frame)
{
    while (__builtin_expect(frame != NULL && gs_frame_is_entry(frame), 0)) {
        frame = frame->previous;
    }
    return frame;
}

static inline void
gs_link_mend(const gs_link *link)
{
    link->frame->previous = link->entry;
}

/* Pass over the entry frames behind `frame`; the Python frame that lies behind them. */
static inline _PyInterpreterFrame *
gs_link_bypass(gs_link *link, _PyInterpreterFrame *frame)
{
    link->frame = frame;
    link->entry = frame->previous;
    return frame->previous = gs_frame_of_python(link->entry->previous);
}

/* The nearest frame that is linked to an entry frame, from `frame` on; NULL: none.  The C stack lies between
 * `low` and `stop`; in main greenlets other memory may, too. */
static inline _PyInterpreterFrame *
gs_entryframes_next(_PyInterpreterFrame *frame, const char *low, const char *stop)
{
    size_t size = (size_t)(stop - low);
    while (frame != NULL) {
        _PyInterpreterFrame *previous = frame->previous;
        if ((size_t)((char *)previous - low) < size && gs_frame_is_entry(previous)) {
            return frame;
        }
        frame = previous;
    }
    return NULL;
}

/* Put all links back. */
static inline void
gs_entryframes_mend(gs_entryframes *e)
{
    unsigned count = e->count;
    e->count = 0;
    for (unsigned i = 0; i < count && i < GS_LINKS_INLINE; i++) {
        gs_link_mend(&e->few[i]);
    }
    for (unsigned i = GS_LINKS_INLINE; i < count; i++) {
        gs_link_mend(&e->more[i - GS_LINKS_INLINE]);
    }
}

/* The links after the first few.  Out of line, so that the usual case needs few registers. */
__attribute__((noinline)) static int
gs_entryframes_bypass_more(gs_entryframes *e, _PyInterpreterFrame *frame, const char *low, const char *stop)
{
    while ((frame = gs_entryframes_next(frame, low, stop)) != NULL) {
        unsigned used = e->count - GS_LINKS_INLINE;
        if (used == e->room) {
            unsigned room = e->room == 0 ? 8 : e->room * 2;
            gs_link *more = realloc(e->more, room * sizeof *more);
            if (more == NULL) {
                gs_entryframes_mend(e);
                return -1;
            }
            e->more = more;
            e->room = room;
        }
        e->count++;
        frame = gs_link_bypass(&e->more[used], frame);
    }
    return 0;
}

/* Pass over all entry frames behind `frame`, which lie below `stop`.  -1: no memory, no link is changed. */
static inline int
gs_entryframes_bypass(gs_entryframes *e, _PyInterpreterFrame *frame, const char *stop)
{
    const char *low = __builtin_frame_address(0);
    for (unsigned i = 0; i < GS_LINKS_INLINE; i++) {
        frame = gs_entryframes_next(frame, low, stop);
        if (frame == NULL) {
            return 0;
        }
        e->count++;
        frame = gs_link_bypass(&e->few[i], frame);
    }
    return gs_entryframes_bypass_more(e, frame, low, stop);
}

static inline void
gs_entryframes_free(gs_entryframes *e)
{
    free(e->more);
    e->more = NULL;
    e->room = 0;
    e->count = 0;
}

#endif
