/* CPython 3.12.  As 3.11, but entry frames lie on the C stack, recursion of Python and of C are counted
 * apart, and tracing has left the _PyCFrame.  Read with: Include/cpython/pystate.h, Python/ceval.c,
 * Include/internal/pycore_frame.h of 3.12. */
#ifndef GS_PY312_H
#define GS_PY312_H

#include "pystate/datastack.h"
#include "pystate/entryframes.h"

typedef struct gs_pystate {
    PyObject *context;          /* owned; NULL: empty */
    _PyCFrame *cframe;          /* on the C stack, in the slice - or `root` below */
    _PyInterpreterFrame *top_frame; /* the topmost Python frame; NULL: none */
    _PyErr_StackItem *exc_info; /* top of the exception stack; its bottom is `exc`, or ts->exc_state */
    _PyErr_StackItem exc;       /* bottom of this greenlet's exception stack; its reference is owned */
    _PyCFrame root;             /* what `cframe` points to before the first Python frame */
    gs_datastack datastack;
    gs_entryframes entryframes; /* the links that are bypassed while suspended */
    int py_recursion_depth;
    int c_recursion_remaining;  /* no depth: the limit of C recursion is a constant */
    int trash_delete_nesting;
} gs_pystate;

static inline int
gs_pystate_create(gs_pystate *s)
{
    return gs_datastack_create(&s->datastack);
}

static inline int
gs_pystate_suspend(gs_pystate *s, PyThreadState *ts, const char *stop)
{
    s->top_frame = gs_frame_of_python(ts->cframe->current_frame);
    if (gs_entryframes_bypass(&s->entryframes, s->top_frame, stop) < 0) {
        return -1;
    }
    s->context = ts->context;
    s->cframe = ts->cframe;
    s->exc_info = ts->exc_info;
    gs_datastack_suspend(&s->datastack, ts);
    s->py_recursion_depth = ts->py_recursion_limit - ts->py_recursion_remaining;
    s->c_recursion_remaining = ts->c_recursion_remaining;
    s->trash_delete_nesting = ts->trash.delete_nesting;
    return 0;
}

static inline void
gs_pystate_resume(gs_pystate *s, PyThreadState *ts)
{
    gs_entryframes_mend(&s->entryframes);
    ts->context = s->context;
    s->context = NULL;
    ts->context_ver++;
    ts->cframe = s->cframe;
    ts->exc_info = s->exc_info;
    gs_datastack_resume(&s->datastack, ts);
    ts->py_recursion_remaining = ts->py_recursion_limit - s->py_recursion_depth;
    ts->c_recursion_remaining = s->c_recursion_remaining;
    ts->trash.delete_nesting = s->trash_delete_nesting;
}

static inline void
gs_pystate_start(gs_pystate *s, PyThreadState *ts)
{
    ts->context = s->context;
    s->context = NULL;
    ts->context_ver++;
    s->root.current_frame = NULL;
    s->root.previous = &ts->root_cframe;
    ts->cframe = &s->root;
    ts->exc_info = &s->exc;
    gs_datastack_resume(&s->datastack, ts);
    ts->trash.delete_nesting = 0;
}

static inline void
gs_pystate_finish(gs_pystate *s, PyThreadState *ts)
{
    s->context = ts->context;
}

static inline void
gs_pystate_desert(gs_pystate *s, gs_pystate *main, PyThreadState *ts)
{
    s->context = ts->context;
    s->top_frame = NULL;
    gs_datastack_desert(&s->datastack);
    ts->context = main->context;
    main->context = NULL;
    ts->cframe = &ts->root_cframe;
    ts->exc_info = main->exc_info;
    gs_datastack_resume(&main->datastack, ts);
    gs_entryframes_free(&main->entryframes);
}

static inline void
gs_pystate_dispose(gs_pystate *s)
{
    gs_datastack_dispose(&s->datastack);
    gs_entryframes_free(&s->entryframes);
}

static inline void
gs_pystate_clear(gs_pystate *s)
{
    Py_CLEAR(s->context);
    Py_CLEAR(s->exc.exc_value);
}

static inline void
gs_pystate_abandon(gs_pystate *s)
{
    gs_pystate_clear(s);
    gs_entryframes_free(&s->entryframes);
    gs_datastack_abandon(&s->datastack, s->top_frame);
}

static inline int
gs_pystate_traverse(gs_pystate *s, visitproc visit, void *arg)
{
    Py_VISIT(s->context);
    Py_VISIT(s->exc.exc_value);
    return 0;
}

static inline PyFrameObject *
gs_pystate_frame(gs_pystate *s, PyThreadState *ts)
{
    _PyCFrame here = {.current_frame = s->top_frame, .previous = ts->cframe};
    _PyCFrame *running = ts->cframe;
    ts->cframe = &here;
    PyFrameObject *frame = PyThreadState_GetFrame(ts);
    ts->cframe = running;
    return frame;
}

#endif
