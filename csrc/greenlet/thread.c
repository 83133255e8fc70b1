/* One gs_thread for each native thread that has used greenlets.
 *
 * It hangs in the thread state's dictionary, as a capsule whose destructor ends it.  So a thread ends for
 * us when CPython clears its thread state: in the thread itself, with the GIL; or, after a fork, in the
 * child's only thread on behalf of those that the child does not have.  (Rejected: a destructor of a
 * native thread-local variable.  It runs without the GIL and after the thread state has gone, so that
 * nothing could be released there and then.)
 *
 * A thread that ends kills the greenlets that are still suspended in it, because what their stacks refer
 * to can be released by nobody else.  The newest goes first: it may be waited for by older ones, its hub
 * for example, and not the other way round.  (Rejected: to leave them as they are.  Then all that they
 * hold is lost for each thread that ends so.  Nor can their references be dropped without running them:
 * before CPython 3.14 nobody knows how much of a suspended frame's stack is in use.)
 *
 * While CPython clears a thread state, its dictionary is gone already.  What runs then, killed greenlets
 * and destructors of thread-local objects, finds its gs_thread, or that there is none any more, by `ending`.
 */
#include "greenlet/gs_greenlet.h"

gs_thread_cache gs_thread_last;

static PyObject *thread_key; /* in the dictionary of each thread state */
static const char capsule_name[] = "greenswitch.thread";

int
gs_thread_setup(void)
{
    gs_thread_last.ts = NULL;
    gs_thread_last.thread = NULL;
    thread_key = PyUnicode_InternFromString(capsule_name);
    return thread_key == NULL ? -1 : 0;
}

gs_thread *
gs_thread_retain(gs_thread *thread)
{
    thread->references++;
    return thread;
}

void
gs_thread_release(gs_thread *thread)
{
    if (--thread->references == 0) {
        PyMem_Free(thread->doomed);
        PyMem_Free(thread);
    }
}

/* The thread state that this native thread is about to lose. */
static _Thread_local struct {
    PyThreadState *ts;
    uint64_t id;         /* ts->id, of its interpreter: memory of thread states is used again */
    int64_t interpreter; /* whose ts->id are counted from 1 */
    gs_thread *thread;   /* NULL: it has ended */
} ending;

static bool
is_ending(PyThreadState *ts)
{
    return ts == ending.ts && ts->id == ending.id && PyInterpreterState_GetID(ts->interp) == ending.interpreter;
}

/* How many more greenlets than there were at first are killed, when those that are killed start others. */
enum { PATIENCE = 100 };

/* Kill all that are suspended, each once: one that catches GreenletExit and goes on is given up. */
static void
kill_all(gs_thread *thread)
{
    size_t left = PATIENCE;
    for (PyGreenlet *g = thread->newest; g != NULL; g = g->pimpl->older) {
        left++;
    }
    while (thread->newest != NULL && left-- != 0) {
        PyGreenlet *g = (PyGreenlet *)Py_NewRef((PyObject *)thread->newest);
        gs_greenlet_kill(thread, g);
        gs_thread_delist(thread, g);
        Py_DECREF(g);
    }
}

/* The thread itself ends, and can still run code. */
static void
end_greenlets(gs_thread *thread)
{
    ending.ts = thread->ts;
    ending.id = thread->ts->id;
    ending.interpreter = PyInterpreterState_GetID(thread->ts->interp);
    ending.thread = thread;
    /* Gone before anybody is killed, as is all else that was kept for this thread. */
    Py_CLEAR(thread->turn);
    gs_thread_reap(thread);
    kill_all(thread);
    ending.thread = NULL;
}

static void
thread_end(PyObject *capsule)
{
    gs_thread *thread = PyCapsule_GetPointer(capsule, capsule_name);
    PyGreenlet *main = thread->main;
    PyGreenlet *current = thread->current;
    if (current != main) {
        /* It vanished in the middle of a greenlet: by a fork, by pthread_exit(), or as a daemon thread at the
         * end of the interpreter.  CPython is about to free what the thread state holds; that must be what
         * belongs to the thread and not to the greenlet. */
        gs_pystate_desert(&current->pimpl->py, &main->pimpl->py, thread->ts);
    }
    else if (gs_py_current() == thread->ts && !gs_py_is_finalizing()) {
        end_greenlets(thread);
    }
    if (gs_thread_last.thread == thread) {
        gs_thread_last.thread = NULL;
        gs_thread_last.ts = NULL;
    }
    thread->ts = NULL;
    main->pimpl->state = GS_DEAD;
    while (thread->newest != NULL) {
        gs_thread_delist(thread, thread->newest);
    }
    gs_doomed *doomed = thread->doomed;
    size_t doomed_count = thread->doomed_count;
    thread->doomed = NULL;
    thread->doomed_count = 0;
    for (size_t i = 0; i < doomed_count; i++) {
        Py_DECREF(doomed[i].greenlet);
    }
    PyMem_Free(doomed);
    Py_CLEAR(thread->turn);
    Py_CLEAR(thread->tracer);
    Py_CLEAR(thread->hidden);
    thread->main = NULL;
    thread->current = NULL;
    gs_pystate_dispose(&main->pimpl->py);
    Py_DECREF(current);
    Py_DECREF(main);
    gs_thread_release(thread);
}

static gs_thread *
thread_new(PyThreadState *ts, PyObject *dict)
{
    gs_thread *thread = PyMem_Calloc(1, sizeof *thread);
    if (thread == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    thread->references = 1;
    thread->ts = ts;
    PyGreenlet *main = gs_greenlet_new_main(thread);
    if (main == NULL) {
        gs_thread_release(thread);
        return NULL;
    }
    gs_stack_init(&thread->stack, &main->pimpl->slice);
    thread->main = main;
    Py_INCREF(main);
    thread->current = main;
    PyObject *capsule = PyCapsule_New(thread, capsule_name, thread_end);
    if (capsule == NULL) {
        thread->main = NULL;
        thread->current = NULL;
        Py_DECREF(main);
        Py_DECREF(main);
        gs_thread_release(thread);
        return NULL;
    }
    int failed = PyDict_SetItem(dict, thread_key, capsule);
    Py_DECREF(capsule); /* on failure the last reference: thread_end undoes the rest */
    if (failed) {
        ending.ts = NULL; /* it goes on, and may be asked for again */
        return NULL;
    }
    return thread;
}

gs_thread *
gs_thread_find_existing(PyThreadState *ts)
{
    if (ts == gs_thread_last.ts) {
        return gs_thread_last.thread;
    }
    if (is_ending(ts)) {
        return ending.thread;
    }
    /* Not PyThreadState_GetDict(), which makes the dictionary where there is none. */
    PyObject *capsule = ts->dict == NULL ? NULL : PyDict_GetItemWithError(ts->dict, thread_key);
    return capsule == NULL ? NULL : PyCapsule_GetPointer(capsule, capsule_name);
}

gs_thread *
gs_thread_find(PyThreadState *ts)
{
    gs_thread *thread = gs_thread_find_existing(ts);
    if (thread == NULL) {
        if (PyErr_Occurred()) {
            return NULL;
        }
        if (gs_py_is_finalizing()) {
            PyErr_SetString(PyExc_RuntimeError, "greenlet is being finalized");
            return NULL;
        }
        if (is_ending(ts)) {
            PyErr_SetString(PyExc_RuntimeError, "this thread is ending, and its greenlets have ended before it");
            return NULL;
        }
        PyObject *dict = PyThreadState_GetDict(); /* borrowed */
        if (dict == NULL) {
            PyErr_SetString(PyExc_RuntimeError, "this thread has no state to keep greenlets in");
            return NULL;
        }
        thread = thread_new(ts, dict);
        if (thread == NULL) {
            return NULL;
        }
    }
    gs_thread_last.ts = ts;
    gs_thread_last.thread = thread;
    return thread;
}

void
gs_thread_doom(gs_thread *thread, PyGreenlet *greenlet, bool is_garbage)
{
    if (thread->doomed_count == thread->doomed_room) {
        size_t room = thread->doomed_room == 0 ? 8 : thread->doomed_room * 2;
        gs_doomed *doomed = PyMem_Realloc(thread->doomed, room * sizeof *doomed);
        if (doomed == NULL) {
            /* It cannot be killed here and cannot be remembered: it stays as it is, for good. */
            return;
        }
        thread->doomed = doomed;
        thread->doomed_room = room;
    }
    thread->doomed[thread->doomed_count++] = (gs_doomed){greenlet, is_garbage};
}

void
gs_thread_reap(gs_thread *thread)
{
    /* Taken out one by one: each kill runs code that may come here again. */
    while (thread->doomed_count != 0 && !gs_py_is_collecting(thread->ts)) {
        gs_doomed doomed = thread->doomed[--thread->doomed_count];
        PyGreenlet *greenlet = doomed.greenlet;
        /* One that runs by now was found again, through a weak reference.  So was one that had no other
         * reference and has one now: it lives on. */
        if (doomed.is_garbage && Py_REFCNT(greenlet) > 1 && greenlet->pimpl->state == GS_ACTIVE
            && greenlet != thread->current) {
            gs_greenlet_kill(thread, greenlet);
        }
        Py_DECREF(greenlet); /* if it is the last, the deallocation kills */
    }
}
