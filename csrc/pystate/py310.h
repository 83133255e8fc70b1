/* CPython 3.10.  Frames are objects on the heap, so nothing of them lies on the C stack but the CFrame,
 * which carries `use_tracing`.  Read with: Include/cpython/pystate.h, Python/ceval.c of 3.10. */
#ifndef GS_PY310_H
#define GS_PY310_H

#include <frameobject.h>

#include "pystate/internal.h"

/* A public function from 3.11 on. */
static inline int
PyFrame_GetLasti(PyFrameObject *frame)
{
    return frame->f_lasti < 0 ? -1 : frame->f_lasti * (int)sizeof(_Py_CODEUNIT);
}

typedef struct gs_pystate {
    PyObject *context;          /* owned; NULL: empty */
    PyFrameObject *frame;       /* borrowed from the running code; NULL: no Python frame */
    CFrame *cframe;             /* on the C stack, in the slice - or `root` below */
    _PyErr_StackItem *exc_info; /* top of the exception stack; its bottom is `exc`, or ts->exc_state */
    _PyErr_StackItem exc;       /* bottom of this greenlet's exception stack; its references are owned */
    CFrame root;                /* what `cframe` points to before the first Python frame */
    int recursion_depth;
    int trash_delete_nesting;
} gs_pystate;

/* What ceval keeps in the innermost CFrame must agree with the thread's hooks, which may have changed
 * while this greenlet was suspended. */
static inline int
gs_py_use_tracing(PyThreadState *ts)
{
    return ts->tracing == 0 && (ts->c_tracefunc != NULL || ts->c_profilefunc != NULL);
}

static inline int
gs_pystate_create(gs_pystate *s)
{
    (void)s;
    return 0;
}

static inline int
gs_pystate_suspend(gs_pystate *s, PyThreadState *ts, const char *stop)
{
    (void)stop;
    s->context = ts->context;
    s->frame = ts->frame;
    s->cframe = ts->cframe;
    s->exc_info = ts->exc_info;
    s->recursion_depth = ts->recursion_depth;
    s->trash_delete_nesting = ts->trash_delete_nesting;
    return 0;
}

static inline void
gs_pystate_resume(gs_pystate *s, PyThreadState *ts)
{
    ts->context = s->context;
    s->context = NULL;
    ts->context_ver++;
    ts->frame = s->frame;
    ts->cframe = s->cframe;
    ts->cframe->use_tracing = gs_py_use_tracing(ts);
    ts->exc_info = s->exc_info;
    ts->recursion_depth = s->recursion_depth;
    ts->trash_delete_nesting = s->trash_delete_nesting;
}

static inline void
gs_pystate_start(gs_pystate *s, PyThreadState *ts)
{
    ts->context = s->context;
    s->context = NULL;
    ts->context_ver++;
    ts->frame = NULL;
    s->root.use_tracing = gs_py_use_tracing(ts);
    s->root.previous = &ts->root_cframe;
    ts->cframe = &s->root;
    ts->exc_info = &s->exc;
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
    s->frame = NULL;
    ts->context = main->context;
    main->context = NULL;
    ts->frame = main->frame;
    ts->cframe = &ts->root_cframe;
    ts->exc_info = main->exc_info;
}

static inline void
gs_pystate_dispose(gs_pystate *s)
{
    (void)s;
}

static inline void
gs_pystate_clear(gs_pystate *s)
{
    Py_CLEAR(s->context);
    Py_CLEAR(s->exc.exc_type);
    Py_CLEAR(s->exc.exc_value);
    Py_CLEAR(s->exc.exc_traceback);
}

static inline void
gs_pystate_abandon(gs_pystate *s)
{
    gs_pystate_clear(s);
}

static inline int
gs_pystate_traverse(gs_pystate *s, visitproc visit, void *arg)
{
    Py_VISIT(s->context);
    Py_VISIT(s->exc.exc_type);
    Py_VISIT(s->exc.exc_value);
    Py_VISIT(s->exc.exc_traceback);
    return 0;
}

static inline PyFrameObject *
gs_pystate_frame(gs_pystate *s, PyThreadState *ts)
{
    (void)ts;
    Py_XINCREF(s->frame);
    return s->frame;
}

#endif
