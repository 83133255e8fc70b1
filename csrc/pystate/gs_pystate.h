/* What of the interpreter's thread state travels with a greenlet.
 *
 * What belongs here: fields of PyThreadState, and the frames and data stack they point to.  What never
 * does: machine stacks (stack/), the rules of greenlets (greenlet/).  This folder is the only place that
 * tests PY_VERSION_HEX or defines Py_BUILD_CORE.
 *
 * Each CPython version has one header, py3XX.h, which defines `struct gs_pystate` and the inline
 * functions below.  Where two versions share a mechanism, it has a header of its own: datastack.h (the
 * interpreter's frame stack, 3.11 on), entryframes.h (3.12 on) and executor.h (the just-in-time compiler,
 * 3.14 on).
 *
 * The contract; `ts` is the calling thread's state, and no Python code runs inside any of these unless
 * it is said:
 *
 *   int  gs_py_setup(void)
 *       Once, before all others.  -1 with ImportError: this interpreter is not laid out like the headers
 *       that we were compiled with.
 *   PyThreadState *gs_py_current(void)
 *       The calling thread's state, as fast as it can be had.
 *   int  gs_pystate_create(s)
 *       Get what a greenlet needs before it can be started.  -1: no memory (no exception is set).
 *   int  gs_pystate_suspend(s, ts, stop)
 *       Move the running greenlet's state from `ts` into `s`; its C stack ends below `stop`.  `ts` keeps its values: they are still
 *       right if the switch cannot be made.  -1: no memory, nothing has changed (no exception is set).
 *   void gs_pystate_resume(s, ts)
 *       Move the state of the suspended greenlet whose stack is back in place from `s` to `ts`.
 *   void gs_pystate_start(s, ts)
 *       Give `ts` the state of a greenlet at its very beginning: no frame, no exception being handled,
 *       its own data stack, the context that s->context holds; the recursion depth of its starter.
 *   void gs_pystate_finish(s, ts)
 *       Move what the running greenlet, at its very end, still owns from `ts` into `s`: its context,
 *       which one can ask a dead greenlet for.
 *   void gs_pystate_desert(s, main, ts)
 *       The thread `ts` has vanished in the middle of a greenlet, and its C stack with it, so that nothing
 *       there may be looked at.  Move what the greenlet owns from `ts` into `s`, as far as that is possible
 *       without, and what the thread itself owns from `main`, its suspended main greenlet, to `ts`.
 *   void gs_pystate_dispose(s)
 *       Give back what _create got, after _finish, when another greenlet runs.
 *   void gs_pystate_abandon(s)
 *       Give up a suspended greenlet that can never run again.  May run Python code.
 *   void gs_pystate_clear(s)
 *       Drop the references that `s` owns.  May run Python code.
 *   PyFrameObject *gs_pystate_frame(s, ts)
 *       The topmost Python frame of a suspended greenlet; a new reference, or NULL without an error.
 *   int  gs_pystate_traverse(s, visit, arg)
 *       For the garbage collector: the same references.
 *
 * The exception that is being raised does not travel: that is how `throw` hands it over.  Nor do trace
 * and profile functions: they stay with the thread.
 */
#ifndef GS_PYSTATE_H
#define GS_PYSTATE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>

#if PY_VERSION_HEX >= 0x030D0000
struct _gil_runtime_state;
extern struct _gil_runtime_state *gs_py_gil __attribute__((visibility("hidden")));
#endif

#ifdef PYPY_VERSION
#error "greenswitch is for CPython: PyPy has greenlets of its own."
#endif

#ifdef Py_GIL_DISABLED
#error "greenswitch does not support free-threaded CPython builds: use a build with the GIL."
#endif

#if PY_VERSION_HEX < 0x030A0000
#error "greenswitch needs CPython 3.10 or newer."
#elif PY_VERSION_HEX < 0x030B0000
#include "pystate/py310.h"
#elif PY_VERSION_HEX < 0x030C0000
#include "pystate/py311.h"
#elif PY_VERSION_HEX < 0x030D0000
#include "pystate/py312.h"
#elif PY_VERSION_HEX < 0x030E0000
#include "pystate/py313.h"
#elif PY_VERSION_HEX < 0x030F0000
#include "pystate/py314.h"
#elif PY_VERSION_HEX < 0x03100000
#include "pystate/py315.h"
#else
#error "This CPython is newer than 3.15, the newest that this version of greenswitch knows: install a newer greenswitch."
#endif

extern int gs_py_setup(void) __attribute__((visibility("hidden")));

/* Whether CPython's chunks of the data stack are kept when they are given back, as they are to begin with. */
extern void gs_py_keep_chunks(bool keep) __attribute__((visibility("hidden")));

static inline PyThreadState *
gs_py_current(void)
{
#if PY_VERSION_HEX < 0x030D0000
    return _PyThreadState_UncheckedGet();
#else
    /* Whoever takes the lock writes his name there.  (Before 3.13 PyThreadState_Swap() did not.) */
    return gs_py_gil->last_holder;
#endif
}

/* Whether one can ask for bytes behind an object. */
#define GS_PY_HAS_EXTRA (PY_VERSION_HEX >= 0x030C0000)

/* A new object of a type that PyType_GenericAlloc() is for, with `extra` bytes behind what the type asks for,
 * all of it zero.  Only where one can ask for them. */
static inline PyObject *
gs_py_new_object(PyTypeObject *type, size_t extra)
{
#if GS_PY_HAS_EXTRA
    PyObject *object = PyUnstable_Object_GC_NewWithExtraData(type, extra);
    if (object != NULL) {
        PyObject_GC_Track(object);
    }
    return object;
#else
    (void)extra;
    return PyType_GenericAlloc(type, 0);
#endif
}

/* Whether the garbage collector is in the middle of a collection.  It keeps lists of objects whose heads
 * are on the C stack: what runs on another stack meanwhile, over those heads, must not free any of the
 * objects in them.  So nothing that the collector gives up may be killed before it is done. */
static inline bool
gs_py_is_collecting(PyThreadState *ts)
{
    return ts->interp->gc.collecting != 0;
}

/* Run without the thread's trace and profile functions, and with them again. */
static inline void
gs_py_tracing_off(PyThreadState *ts)
{
#if PY_VERSION_HEX < 0x030B0000
    ts->tracing++;
    ts->cframe->use_tracing = gs_py_use_tracing(ts);
#else
    PyThreadState_EnterTracing(ts);
#endif
}

static inline void
gs_py_tracing_on(PyThreadState *ts)
{
#if PY_VERSION_HEX < 0x030B0000
    ts->tracing--;
    ts->cframe->use_tracing = gs_py_use_tracing(ts);
#else
    PyThreadState_LeaveTracing(ts);
#endif
}

/* Whether the interpreter that runs is going away, so that no more code may run in greenlets.  Of one beside
 * the main one, up to 3.11, that is said before its atexit functions are called, later on after them. */
static inline bool
gs_py_is_finalizing(void)
{
    PyInterpreterState *interp = gs_py_current()->interp;
#if PY_VERSION_HEX < 0x030C0000
    return _Py_IsFinalizing() || (interp->finalizing && interp != PyInterpreterState_Main());
#elif PY_VERSION_HEX < 0x030D0000
    return _Py_IsFinalizing() || _PyInterpreterState_GetFinalizing(interp) != NULL;
#else
    return Py_IsFinalizing() || _PyInterpreterState_GetFinalizing(interp) != NULL;
#endif
}

/* How deep the thread is in deallocations that the trashcan counts; -1 where it does not count: from 3.13
 * on it goes by the depth of C recursion. */
static inline int
gs_py_trash_nesting(PyThreadState *ts)
{
#if PY_VERSION_HEX < 0x030C0000
    return ts->trash_delete_nesting;
#elif PY_VERSION_HEX < 0x030D0000
    return ts->trash.delete_nesting;
#else
    (void)ts;
    return -1;
#endif
}

#endif
