/* CPython 3.11.  Frames live on the data stack; the current one is reached through the _PyCFrame on the
 * C stack, which also carries `use_tracing`.  `previous` links Python frames directly, so nothing of
 * them points into the C stack.  Read with: Include/cpython/pystate.h, Python/ceval.c,
 * Include/internal/pycore_frame.h of 3.11. */
#ifndef GS_PY311_H
#define GS_PY311_H

#include "pystate/datastack.h"

typedef struct gs_pystate {
    PyObject *context;          /* owned; NULL: empty */
    _PyCFrame *cframe;          /* on the C stack, in the slice - or `root` below */
    struct _PyInterpreterFrame *current_frame; /* cframe->current_frame, for when the slice is away */
    _PyErr_StackItem *exc_info; /* top of the exception stack; its bottom is `exc`, or ts->exc_state */
    _PyErr_StackItem exc;       /* bottom of this greenlet's exception stack; its reference is owned */
    _PyCFrame root;             /* what `cframe` points to before the first Python frame */
    gs_datastack datastack;
    int recursion_depth;
    int trash_delete_nesting;
} gs_pystate;

/* What ceval keeps in the innermost _PyCFrame must agree with the thread's hooks, which may have changed
 * while this greenlet was suspended. */
static inline uint8_t
gs_py_use_tracing(PyThreadState *ts)
{
    return ts->tracing == 0 && (ts->c_tracefunc != NULL || ts->c_profilefunc != NULL) ? 255 : 0;
}

static inline int
gs_pystate_create(gs_pystate *s)
{
    return gs_datastack_create(&s->datastack);
}

static inline int
gs_pystate_suspend(gs_pystate *s, PyThreadState *ts, const char *stop)
{
    (void)stop;
    s->context = ts->context;
    s->cframe = ts->cframe;
    s->current_frame = ts->cframe->current_frame;
    s->exc_info = ts->exc_info;
    gs_datastack_suspend(&s->datastack, ts);
    s->recursion_depth = ts->recursion_limit - ts->recursion_remaining;
    s->trash_delete_nesting = ts->trash_delete_nesting;
    return 0;
}

static inline void
gs_pystate_resume(gs_pystate *s, PyThreadState *ts)
{
    ts->context = s->context;
    s->context = NULL;
    ts->context_ver++;
    ts->cframe = s->cframe;
    ts->cframe->use_tracing = gs_py_use_tracing(ts);
    ts->exc_info = s->exc_info;
    gs_datastack_resume(&s->datastack, ts);
    ts->recursion_remaining = ts->recursion_limit - s->recursion_depth;
    ts->trash_delete_nesting = s->trash_delete_nesting;
}

static inline void
gs_pystate_start(gs_pystate *s, PyThreadState *ts)
{
    ts->context = s->context;
    s->context = NULL;
    ts->context_ver++;
    s->root.use_tracing = gs_py_use_tracing(ts);
    s->root.current_frame = NULL;
    s->root.previous = &ts->root_cframe;
    ts->cframe = &s->root;
    ts->exc_info = &s->exc;
    gs_datastack_resume(&s->datastack, ts);
    ts->trash_delete_nesting = 0;
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
    s->current_frame = NULL;
    gs_datastack_desert(&s->datastack);
    ts->context = main->context;
    main->context = NULL;
    ts->cframe = &ts->root_cframe;
    ts->exc_info = main->exc_info;
    gs_datastack_resume(&main->datastack, ts);
}

static inline void
gs_pystate_dispose(gs_pystate *s)
{
    gs_datastack_dispose(&s->datastack);
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
    gs_datastack_abandon(&s->datastack, s->current_frame);
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
    _PyCFrame here = {.current_frame = s->current_frame, .previous = ts->cframe};
    _PyCFrame *running = ts->cframe;
    ts->cframe = &here;
    PyFrameObject *frame = PyThreadState_GetFrame(ts);
    ts->cframe = running;
    return frame;
}

#endif
