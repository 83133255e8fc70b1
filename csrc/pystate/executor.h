/* The trace that the just-in-time compiler's code is running, CPython 3.14 on.
 *
 * While machine code of a trace runs, ts->current_executor is the object that owns that code, and nothing
 * else need refer to it: a trace that is invalidated meanwhile goes to a list, from which everything is
 * freed but what is some thread's current executor.  A greenlet that is suspended in the middle of a trace
 * is no thread's, and would return into memory of others.  So it holds a reference until it runs again.
 * Traces further out on its stack need none: when C code calls into the interpreter, the entry frame takes
 * a reference to the current executor and gives it back when it is left.
 * (_Py_ClearExecutorDeletionList and uop_dealloc in Python/optimizer.c, INTERPRETER_EXIT in
 * Python/bytecodes.c.)
 *
 * The collector is not told of the reference: what runs is alive.
 */
#ifndef GS_EXECUTOR_H
#define GS_EXECUTOR_H

#include "pystate/internal.h"

typedef struct gs_executor {
    PyObject *current; /* NULL: no trace is being run */
    bool owned;        /* whether the reference to it is counted */
} gs_executor;

/* In 3.14 an executor may be deallocated once only, and no reference keeps it from being freed after that.
 * One that has been, in the very call that is now switching, is left to what CPython does with it. */
static inline bool
gs_executor_can_be_kept(PyObject *executor)
{
#if PY_VERSION_HEX < 0x030F0000
    return Py_REFCNT(executor) != 0;
#else
    (void)executor;
    return true;
#endif
}

static inline void
gs_executor_suspend(gs_executor *e, PyThreadState *ts)
{
    e->current = ts->current_executor;
    if (e->current != NULL && gs_executor_can_be_kept(e->current)) {
        Py_INCREF(e->current);
        e->owned = true;
    }
}

/* Drop the reference.  Runs no Python code: deallocating an executor puts it on the list and no more. */
static inline void
gs_executor_clear(gs_executor *e)
{
    PyObject *current = e->current;
    e->current = NULL;
    if (e->owned) {
        e->owned = false;
        Py_DECREF(current);
    }
}

static inline void
gs_executor_resume(gs_executor *e, PyThreadState *ts)
{
    ts->current_executor = e->current; /* before the reference is dropped, which may be the last */
    if (e->current != NULL) {
        gs_executor_clear(e);
    }
}

#endif
