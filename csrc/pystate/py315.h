/* CPython 3.15.  As 3.14, but a thread's frames end in a base frame, by which profilers know that they
 * have seen all of them.  It is part of the thread state, and looks like an entry frame: so no frame of a
 * suspended greenlet, which may be looked at when the thread has gone, is linked to it.
 *
 * Tracing is part of a function's code.  When it is switched on or off, CPython changes the code of the
 * functions whose frames some thread is running, which a suspended greenlet's are not, and relies on that:
 * an exception in a frame whose code has not been made ready for tracing that is on reads through NULL.  So
 * what has been missed is done when the greenlet runs again.  (instrument_all_executing_code_objects in
 * Python/instrumentation.c, no_tools_for_local_event in Python/ceval.c.)
 *
 * Read with: Include/cpython/pystate.h, Python/ceval.c, Include/internal/pycore_interpframe_structs.h of
 * 3.15.  _Py_Instrument is exported there. */
#ifndef GS_PY315_H
#define GS_PY315_H

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
    uintptr_t tracing_version; /* of gs_tracing_version(), when suspended */
} gs_pystate;

/* What changes whenever tracing, of any kind, is switched on or off: CPython keeps it above the flags. */
static inline uintptr_t
gs_tracing_version(PyThreadState *ts)
{
    return ts->eval_breaker >> _PY_EVAL_EVENTS_BITS;
}

/* Have the code of all Python frames from `frame` on traced as it is to be now. */
__attribute__((noinline, cold)) static void
gs_frames_instrument(_PyInterpreterFrame *frame, PyInterpreterState *interp)
{
    for (; frame != NULL; frame = frame->previous) {
        if (!gs_frame_is_entry(frame)) {
            PyObject *code = PyStackRef_AsPyObjectBorrow(frame->f_executable);
            if (_Py_Instrument((PyCodeObject *)code, interp) < 0) {
                Py_FatalError("greenswitch: no memory to trace a greenlet");
            }
        }
    }
}

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
    s->tracing_version = gs_tracing_version(ts);
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
    if (__builtin_expect(s->tracing_version != gs_tracing_version(ts), 0)) {
        gs_frames_instrument(s->top_frame, ts->interp);
    }
}

static inline void
gs_pystate_start(gs_pystate *s, PyThreadState *ts)
{
    ts->context = s->context;
    s->context = NULL;
    ts->context_ver++;
    ts->current_frame = ts->base_frame;
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
    ts->current_frame = ts->base_frame;
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
