/* The interpreter's stack of Python frames, CPython 3.11 on.
 *
 * A thread state without a chunk gets 16 KiB from the kernel for its first frame; for a greenlet that is
 * most of the time it takes to make it and most of the memory it uses.  So each greenlet starts on a
 * small chunk of ours.  When calls go deeper than it holds, CPython puts chunks of its own above and
 * frees them as it comes back.  It never frees ours: it frees a chunk whose first word begins a frame,
 * and we leave that word unused, as CPython does in the chunk at the bottom of a thread.
 * (push_chunk and _PyThreadState_PopFrame in Python/pystate.c.)
 */
#ifndef GS_DATASTACK_H
#define GS_DATASTACK_H

#include <stdlib.h>

#include "pystate/internal.h"

typedef struct gs_datastack {
    _PyStackChunk *chunk;
    PyObject **top;
    PyObject **limit;
    _PyStackChunk *first; /* ours; NULL in main greenlets, whose chunks are all CPython's */
} gs_datastack;

enum {
    /* Seven to twelve frames of ordinary functions.  Measured: docs/design.md, "The data stack". */
    GS_CHUNK_BYTES = 1280,
    GS_CHUNKS_KEPT = 256,
};

/* Chunks of greenlets that have ended, for the next ones.  The GIL guards it. */
typedef struct gs_chunk_list {
    _PyStackChunk *first; /* linked by `previous` */
    int count;
} gs_chunk_list;

extern gs_chunk_list gs_free_chunks __attribute__((visibility("hidden")));

static inline int
gs_datastack_create(gs_datastack *d)
{
    _PyStackChunk *chunk = gs_free_chunks.first;
    if (chunk != NULL) {
        gs_free_chunks.first = chunk->previous;
        gs_free_chunks.count--;
    }
    else {
        chunk = malloc(GS_CHUNK_BYTES);
        if (chunk == NULL) {
            return -1;
        }
    }
    chunk->previous = NULL;
    chunk->size = GS_CHUNK_BYTES;
    chunk->top = 0;
    d->first = chunk;
    d->chunk = chunk;
    d->top = &chunk->data[1];
    d->limit = (PyObject **)((char *)chunk + GS_CHUNK_BYTES);
    return 0;
}

static inline void
gs_datastack_dispose(gs_datastack *d)
{
    _PyStackChunk *chunk = d->first;
    d->first = NULL;
    if (chunk == NULL) {
        return;
    }
    if (gs_free_chunks.count < GS_CHUNKS_KEPT) {
        chunk->previous = gs_free_chunks.first;
        gs_free_chunks.first = chunk;
        gs_free_chunks.count++;
    }
    else {
        free(chunk);
    }
}

static inline void
gs_datastack_suspend(gs_datastack *d, PyThreadState *ts)
{
    d->chunk = ts->datastack_chunk;
    d->top = ts->datastack_top;
    d->limit = ts->datastack_limit;
}

static inline void
gs_datastack_resume(gs_datastack *d, PyThreadState *ts)
{
    ts->datastack_chunk = d->chunk;
    ts->datastack_top = d->top;
    ts->datastack_limit = d->limit;
}

/* The chunks of a greenlet whose frames cannot be looked at any more.  Frame objects may refer to them. */
static inline void
gs_datastack_desert(gs_datastack *d)
{
    d->first = NULL;
}

/* Generators and coroutines outlive the chunks that they were called from.  One that was running can never
 * go on, but its frame can still be asked for, and for what is behind it: nothing any more. */
static inline void
gs_datastack_sever(struct _PyInterpreterFrame *frame)
{
    while (frame != NULL) {
        struct _PyInterpreterFrame *previous = frame->previous;
        if (frame->owner == FRAME_OWNED_BY_GENERATOR) {
            frame->previous = NULL;
        }
        frame = previous;
    }
}

/* The chunks of a greenlet that is given up while suspended in `frame`: CPython's go back to the
 * allocator they came from.  Where a frame object still refers to a frame in them they are left alone:
 * memory that is never given back is better than a frame object that reads memory of others. */
static inline void
gs_datastack_abandon(gs_datastack *d, struct _PyInterpreterFrame *frame)
{
    if (d->first == NULL) {
        return;
    }
    for (struct _PyInterpreterFrame *f = frame; f != NULL; f = f->previous) {
        if (f->frame_obj != NULL) {
            d->first = NULL;
            return;
        }
    }
    gs_datastack_sever(frame);
    PyObjectArenaAllocator arena;
    PyObject_GetArenaAllocator(&arena);
    _PyStackChunk *chunk = d->chunk;
    while (chunk != d->first) {
        _PyStackChunk *previous = chunk->previous;
        arena.free(arena.ctx, chunk, chunk->size);
        chunk = previous;
    }
    gs_datastack_dispose(d);
}

#endif
