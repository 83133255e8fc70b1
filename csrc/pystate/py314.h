/* CPython 3.14.  As 3.13, but how deep C calls may go is told by addresses, which are the thread's and not
 * a greenlet's; so the trashcan, which goes by them, has nothing that travels either.  The just-in-time
 * compiler knows the trace that it is running.  Read with: Include/cpython/pystate.h, Python/ceval.c,
 * Include/internal/pycore_interpframe_structs.h of 3.14. */
#ifndef GS_PY314_H
#define GS_PY314_H

#include "pystate/datastack.h"
#include "pystate/entryframes.h"
#include "pystate/executor.h"

typedef struct gs_pystate {
    PyObject *context;          /* owned; NULL: empty */
    _PyInterpreterFrame *current_frame; /* may be an entry frame, on the C stack */
    _PyInterpreterFrame *top_frame; /* the topmost Python frame; NULL: none */
    _PyErr_StackItem *exc_info; /* top of the exception stack; its bottom is `exc`, or ts->exc_state */
    _PyErr_StackItem exc;       /* bottom of this greenlet's exception stack; its reference is owned */
    gs_executor executor;
    gs_datastack datastack;
    gs_entryframes entryframes; /* the links that are bypassed while suspended */
    int py_recursion_depth;
} gs_pystate;

static inline int
gs_pystate_create(gs_pystate *s)
{
    return gs_datastack_create(&s->datastack);
}

static inline int
gs_pystate_suspend(gs_pystate *s, PyThreadState *ts, const char *stop)
{
    s->current_frame = ts->current_frame;
    s->top_frame = gs_frame_of_python(s->current_frame);
    if (gs_entryframes_bypass(&s->entryframes, s->top_frame, stop) < 0) {
        return -1;
    }
    s->context = ts->context;
    s->exc_info = ts->exc_info;
    gs_executor_suspend(&s->executor, ts);
    gs_datastack_suspend(&s->datastack, ts);
    s->py_recursion_depth = ts->py_recursion_limit - ts->py_recursion_remaining;
    return 0;
}

static inline void
gs_pystate_resume(gs_pystate *s, PyThreadState *ts)
{
    gs_entryframes_mend(&s->entryframes);
    ts->context = s->context;
    s->context = NULL;
    ts->context_ver++;
    ts->current_frame = s->current_frame;
    ts->exc_info = s->exc_info;
    gs_datastack_resume(&s->datastack, ts);
    ts->py_recursion_remaining = ts->py_recursion_limit - s->py_recursion_depth;
    gs_executor_resume(&s->executor, ts);
}

static inline void
gs_pystate_start(gs_pystate *s, PyThreadState *ts)
{
    ts->context = s->context;
    s->context = NULL;
    ts->context_ver++;
    ts->current_frame = NULL;
    ts->exc_info = &s->exc;
    ts->current_executor = NULL;
    gs_datastack_resume(&s->datastack, ts);
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
    ts->current_frame = NULL;
    ts->exc_info = main->exc_info;
    ts->current_executor = NULL;
    gs_executor_clear(&main->executor);
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
    gs_executor_clear(&s->executor);
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
    _PyInterpreterFrame *running = ts->current_frame;
    ts->current_frame = s->top_frame;
    PyFrameObject *frame = PyThreadState_GetFrame(ts);
    ts->current_frame = running;
    return frame;
}

#endif
