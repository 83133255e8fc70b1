/* Greenlets: what the files of this folder share.
 *
 * What belongs in this folder: the rules of greenlets - start, switch, throw, finish, parents, threads,
 * tracing, garbage collection - and their Python face.  What never does: machine stacks (stack/), fields
 * of the thread state (pystate/).
 *
 *   thread.c   one gs_thread for each native thread: who runs, who waits to be killed
 *   switch.c   the way from one greenlet into another
 *   type.c     the Python type
 *   capi.c     the C API for other extension modules
 *   probes.c   what greenlet's tests look at
 *   module.c   the Python module
 *
 * The GIL guards everything here.
 */
#ifndef GS_GREENLET_H
#define GS_GREENLET_H

#include "pystate/gs_pystate.h"
#include "stack/gs_stack.h"
#include "cxxstate/gs_cxxstate.h"

#define GREENLET_MODULE
#include "greenlet/greenlet.h"

#if defined(__GNUC__)
#define GS_LIKELY(x) __builtin_expect(!!(x), 1)
#define GS_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define GS_NOINLINE __attribute__((noinline))
#define GS_COLD __attribute__((noinline, cold))
#else
#define GS_LIKELY(x) (x)
#define GS_UNLIKELY(x) (x)
#define GS_NOINLINE
#define GS_COLD
#endif

typedef struct gs_greenlet gs_greenlet;
typedef struct gs_thread gs_thread;

typedef enum gs_state {
    GS_NEW,    /* has not been started */
    GS_ACTIVE, /* runs, or is suspended: has a stack */
    GS_DYING,  /* its code has ended; it is on its way into its parent */
    GS_DEAD,   /* its code has ended, or its thread has, for a main greenlet */
} gs_state;

struct gs_greenlet {
    gs_state state;
    bool is_main;
    gs_thread *thread;  /* counted; NULL while GS_NEW */
    PyGreenlet *parent; /* counted; NULL in main greenlets, and after tp_clear */
    PyObject *run;      /* counted; NULL: none given, or ended */
    PyGreenlet *older;  /* neighbours in the list of its thread, see gs_thread; not counted */
    PyGreenlet *newer;
    gs_slice slice;     /* has a stack if and only if GS_ACTIVE or GS_DYING */
    gs_pystate py;      /* meaningful while suspended, but for what it owns */
};

/* What is handed over by a switch. */
typedef enum gs_kind {
    GS_ERROR,    /* the exception that is set in the thread state */
    GS_NOTHING,  /* switch() */
    GS_ONE,      /* switch(value) */
    GS_MANY,     /* switch(*args) with two or more: `value` is the tuple */
    GS_KEYWORDS, /* switch(**kwargs) */
    GS_BOTH,     /* switch(*args, **kwargs): `value` is the tuple, of whatever length but 0 */
} gs_kind;

typedef struct gs_message {
    gs_kind kind;
    PyObject *value;  /* counted; NULL for GS_ERROR, GS_NOTHING, GS_KEYWORDS */
    PyObject *kwargs; /* counted; NULL but for GS_KEYWORDS and GS_BOTH */
} gs_message;

typedef struct gs_doomed {
    PyGreenlet *greenlet; /* counted */
    bool is_garbage;      /* part of a cycle, which refers to it */
} gs_doomed;

struct gs_thread {
    gs_stack stack;
    PyThreadState *ts;   /* NULL: the thread has ended */
    PyGreenlet *main;    /* counted until the thread ends, as is: */
    PyGreenlet *current; /* whoever runs.  The count keeps it alive while its own code drops it */
    PyObject *tracer;    /* counted; what settrace() was given, NULL for None */
    PyGreenlet *newest;  /* of all that have a stack, but for main: linked by `older`; not counted */
    /* The native thread's.  Looked up anew by gs_greenlet_switch(), and so for each start of a greenlet:
     * valid while there is a suspended one, whose stack ties it to the native thread. */
    gs_cxxstate *cxx;
    PyObject *turn;      /* counted, or NULL: what set_turn() was given.  None of the core's business */
    PyObject *hidden;    /* counted, or NULL; a `run` that another one, looked up by an attribute of that
                          * name, has taken the place of: dropped by the next greenlet that starts */
    /* Only during a switch, from leaving one stack to arriving on the other: */
    PyGreenlet *origin;  /* who was `current`, with its count */
    gs_message message;
    /* Suspended greenlets of this thread that another thread, or a garbage collection, has given up.  They
     * are killed when this thread next runs greenlet code. */
    gs_doomed *doomed;
    size_t doomed_count;
    size_t doomed_room;
    size_t references; /* from greenlets, and one from the native thread itself */
};

GS_HIDDEN extern PyTypeObject PyGreenlet_Type;
GS_HIDDEN extern PyObject *gs_error;
GS_HIDDEN extern PyObject *gs_exit;
GS_HIDDEN extern PyObject *gs_str_run; /* "run", interned */
GS_HIDDEN extern PyObject *gs_nothing; /* the empty tuple */

static inline bool
gs_greenlet_check(PyObject *object)
{
    return PyObject_TypeCheck(object, &PyGreenlet_Type);
}

/* ---- thread.c ---- */

/* The thread that was asked for last.  Most programs run greenlets in one. */
typedef struct gs_thread_cache {
    PyThreadState *ts;
    gs_thread *thread;
} gs_thread_cache;

GS_HIDDEN extern gs_thread_cache gs_thread_last;

/* The calling thread's, made when first asked for; borrowed.  NULL with an exception when there is none
 * and none can be made, as when the interpreter is being finalised. */
GS_HIDDEN gs_thread *gs_thread_find(PyThreadState *ts);

/* The calling thread's if it has one already; borrowed; no exception. */
GS_HIDDEN gs_thread *gs_thread_find_existing(PyThreadState *ts);

/* Enter a greenlet into its thread's list when it gets a stack, and take it out when it has none. */
static inline void
gs_thread_enlist(gs_thread *thread, PyGreenlet *greenlet)
{
    PyGreenlet *second = thread->newest;
    greenlet->pimpl->older = second;
    if (second != NULL) {
        second->pimpl->newer = greenlet;
    }
    thread->newest = greenlet;
}

static inline void
gs_thread_delist(gs_thread *thread, PyGreenlet *greenlet)
{
    gs_greenlet *g = greenlet->pimpl;
    if (g->newer != NULL) {
        g->newer->pimpl->older = g->older;
    }
    else if (thread->newest == greenlet) {
        thread->newest = g->older;
    }
    if (g->older != NULL) {
        g->older->pimpl->newer = g->newer;
    }
    g->older = NULL;
    g->newer = NULL;
}

/* Kill what others have left to this thread to kill.  Runs Python code. */
GS_HIDDEN void gs_thread_reap(gs_thread *thread);

/* Leave a suspended greenlet to its own thread to kill, later.  Takes over the reference.  `is_garbage`: a
 * cycle that is garbage still refers to it; otherwise that reference is the last. */
GS_HIDDEN void gs_thread_doom(gs_thread *thread, PyGreenlet *greenlet, bool is_garbage);

GS_HIDDEN gs_thread *gs_thread_retain(gs_thread *thread);
GS_HIDDEN void gs_thread_release(gs_thread *thread);

GS_HIDDEN int gs_thread_setup(void);

/* The calling thread's if nothing else is to be done first, otherwise NULL without an exception. */
static inline gs_thread *
gs_thread_get_at_once(void)
{
    PyThreadState *ts = gs_py_current();
    gs_thread *thread = gs_thread_last.thread;
    return GS_LIKELY(ts == gs_thread_last.ts && thread->doomed_count == 0) ? thread : NULL;
}

/* The calling thread's, after what others have left to it to kill.  Borrowed; NULL with an exception. */
static inline gs_thread *
gs_thread_get(void)
{
    gs_thread *thread = gs_thread_get_at_once();
    if (GS_UNLIKELY(thread == NULL)) {
        thread = gs_thread_find(gs_py_current());
        if (thread != NULL && thread->doomed_count != 0) {
            gs_thread_reap(thread);
        }
    }
    return thread;
}

/* What getcurrent() returns: a new reference, or NULL with an exception. */
static inline PyGreenlet *
gs_getcurrent(void)
{
    if (GS_UNLIKELY(gs_py_is_finalizing())) {
        PyErr_SetString(PyExc_RuntimeError, "greenlet is being finalized");
        return NULL;
    }
    gs_thread *thread = gs_thread_get();
    return thread == NULL ? NULL : (PyGreenlet *)Py_NewRef((PyObject *)thread->current);
}

/* ---- switch.c ---- */

/* Hand `message` to `target`, or to its nearest living parent, and suspend the current greenlet until
 * somebody switches back: then what it is handed, as a switch() returns it, or NULL with an exception.
 * Takes over the references of the message.  `target` must stay alive during the call. */
GS_HIDDEN PyObject *gs_greenlet_switch(gs_thread *thread, PyGreenlet *target, gs_message message);

/* The common case of it, on a short path: gs_greenlet_is_resumable(), and the message is GS_NOTHING, GS_ONE or
 * GS_ERROR with `value` as in a gs_message. */
GS_HIDDEN PyObject *gs_greenlet_resume(gs_thread *thread, PyGreenlet *target, gs_kind kind, PyObject *value);

/* Whether `target` is suspended, of this thread and not the current greenlet, and no C++ exception is being
 * handled or thrown. */
static inline bool
gs_greenlet_is_resumable(gs_thread *thread, PyGreenlet *target)
{
    gs_greenlet *g = target->pimpl;
    return g->state == GS_ACTIVE && g->thread == thread && target != thread->current
           && !gs_cxxstate_in_use(thread->cxx);
}

/* The same with the exception that is set. */
GS_HIDDEN PyObject *gs_greenlet_throw(gs_thread *thread, PyGreenlet *target);

/* Throw GreenletExit into a suspended greenlet of this thread that nobody needs any more.  Errors are
 * reported as unraisable; the exception that is set, if any, is kept. */
GS_HIDDEN void gs_greenlet_kill(gs_thread *thread, PyGreenlet *greenlet);

/* The thread that a greenlet belongs to: its own, or for one that is not started that of its nearest
 * started ancestor.  NULL: there is none. */
GS_HIDDEN gs_thread *gs_greenlet_thread(PyGreenlet *greenlet);

/* ---- type.c ---- */

GS_HIDDEN int gs_type_setup(void);

/* Set the exception that the three arguments of a throw() stand for; `value` and `traceback` may be
 * NULL.  -1 with TypeError if they stand for none. */
GS_HIDDEN int gs_raise(PyObject *type, PyObject *value, PyObject *traceback);
GS_HIDDEN PyGreenlet *gs_greenlet_new_main(gs_thread *thread);
GS_HIDDEN extern Py_ssize_t gs_main_count; /* of main greenlets that are not deallocated */

/* greenlet(): of the very type, without `run`, a child of the current greenlet. */
GS_HIDDEN PyGreenlet *gs_greenlet_new(void);

/* Whether `object` is a greenlet; otherwise TypeError. */
GS_HIDDEN bool gs_greenlet_expect(PyObject *object);

/* greenlet.parent = value; NULL to delete it, which is an error.  0, or -1 with an exception. */
GS_HIDDEN int gs_greenlet_set_parent(PyGreenlet *self, PyObject *value);

/* Whether it has been started and neither its code nor its thread has ended. */
GS_HIDDEN bool gs_greenlet_is_active(PyGreenlet *self);

/* ---- capi.c ---- */

/* Put the capsules of the C API into the module. */
GS_HIDDEN int gs_capi_add(PyObject *module);

/* ---- probes.c ---- */

/* Put them into the module. */
GS_HIDDEN int gs_probes_add(PyObject *module);

/* ---- callsites.c ---- */

GS_HIDDEN extern PyMethodDef gs_callsites_methods[];

GS_HIDDEN void gs_callsites_setup(void);

#endif
