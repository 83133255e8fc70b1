/* The way from one greenlet into another.
 *
 * A switch is, in this order:
 *   1. choose who is really meant: a dead greenlet stands for its parent, a new one must be started;
 *   2. put the thread state away (gs_pystate_suspend) and leave the message in the gs_thread;
 *   3. change stacks (stack/);
 *   4. on the other stack: take the thread state back, take the message out, call the tracer, and only
 *      then drop the reference to the greenlet that was left, which may run any code.
 * Nothing between 2 and 4 runs Python code, allocates Python objects or touches a reference count.
 * So code that is run by 1 and 4 may itself switch, at any time: all that a switch needs is in local
 * variables of its own stack by then.
 */
#include "greenlet/gs_greenlet.h"

/* ---- messages ---- */

static void
message_drop(gs_message *m)
{
    Py_CLEAR(m->value);
    Py_CLEAR(m->kwargs);
}

/* What a suspended switch() returns for this message. */
static PyObject *
message_result(gs_message *m)
{
    switch (m->kind) {
    case GS_ERROR:
        return NULL;
    case GS_ONE:
    case GS_MANY:
        return m->value;
    case GS_NOTHING:
        return Py_NewRef(gs_nothing);
    case GS_KEYWORDS:
        return m->kwargs;
    case GS_BOTH:
        break;
    }
    PyObject *pair = PyTuple_Pack(2, m->value, m->kwargs);
    message_drop(m);
    return pair;
}

/* ---- arriving ---- */

/* Tell the tracer of a switch into the current greenlet.  -1: it failed; it is no longer the tracer, and
 * its exception is set.  An exception that is set already is kept if the tracer succeeds. */
static int
trace(gs_thread *thread, PyGreenlet *origin, gs_kind kind)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *tracer = Py_NewRef(thread->tracer);
    PyThreadState *ts = thread->ts;
    gs_py_tracing_off(ts);
    PyObject *result = PyObject_CallFunction(tracer, "s(OO)", kind == GS_ERROR ? "throw" : "switch",
                                             (PyObject *)origin, (PyObject *)thread->current);
    gs_py_tracing_on(ts);
    Py_DECREF(tracer);
    if (result == NULL) {
        Py_CLEAR(thread->tracer);
        Py_XDECREF(type);
        Py_XDECREF(value);
        Py_XDECREF(traceback);
        return -1;
    }
    Py_DECREF(result);
    PyErr_Restore(type, value, traceback);
    return 0;
}

/* Drop a reference, which may run any code, and keep the exception if one is set. */
static void
drop(PyObject *object, bool error)
{
    if (GS_LIKELY(!error)) {
        Py_DECREF(object);
        return;
    }
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    Py_DECREF(object);
    PyErr_Restore(type, value, traceback);
}

/* Give back the stack of a greenlet that has ended, now that nobody is on it any more. */
static void
bury(gs_thread *thread, PyGreenlet *greenlet)
{
    gs_greenlet *g = greenlet->pimpl;
    gs_thread_delist(thread, greenlet);
    gs_pystate_dispose(&g->py);
    gs_slice_clear(&g->slice);
    g->state = GS_DEAD;
}

/* Take out what was handed over, in a greenlet whose thread state is in place again. */
static gs_message
arrive(gs_thread *thread)
{
    PyGreenlet *origin = thread->origin;
    gs_message message = thread->message;
    thread->origin = NULL;
    bool ended = origin->pimpl->state == GS_DYING;
    if (ended) {
        bury(thread, origin);
    }
    if (GS_UNLIKELY(thread->tracer != NULL) && trace(thread, origin, message.kind) < 0) {
        message_drop(&message);
        message.kind = GS_ERROR;
    }
    drop((PyObject *)origin, message.kind == GS_ERROR);
    return message;
}

/* The same as what a switch() returns. */
static PyObject *
receive(gs_thread *thread)
{
    gs_message message = arrive(thread);
    return message_result(&message);
}

GS_COLD static PyObject *
no_memory(PyObject *value, PyObject *kwargs)
{
    Py_XDECREF(value);
    Py_XDECREF(kwargs);
    return PyErr_NoMemory();
}

/* No memory for the copies of stacks: we are still where we were. */
GS_COLD static PyObject *
undepart(gs_thread *thread)
{
    PyGreenlet *target = thread->current;
    if (thread->origin->pimpl->state == GS_DYING) {
        Py_FatalError("greenswitch: no memory to leave a greenlet that has ended");
    }
    thread->current = thread->origin;
    gs_pystate_resume(&thread->current->pimpl->py, thread->ts);
    thread->origin = NULL;
    gs_message message = thread->message;
    Py_DECREF(target); /* never the last: whoever asks for a switch holds one */
    return no_memory(message.value, message.kwargs);
}

/* The end of a switch, on the stack that was switched to, in place of the call that suspended it (a
 * gs_arrive).  `context` is the gs_stack, the first member of the gs_thread; NULL when the switch could not
 * be made. */
static void *
wake(void *context)
{
    gs_thread *thread = context;
    if (GS_UNLIKELY(thread == NULL)) {
        /* Not gs_thread_last: code that has run since somebody asked for that may have let other threads run. */
        return undepart(gs_thread_find_existing(gs_py_current()));
    }
    gs_pystate_resume(&thread->current->pimpl->py, thread->ts);
    PyGreenlet *origin = thread->origin;
    gs_kind kind = thread->message.kind;
    if (GS_LIKELY(origin->pimpl->state == GS_ACTIVE && thread->tracer == NULL
                  && (kind == GS_ONE || kind == GS_NOTHING))) {
        /* arrive() and message_result(), for the usual case. */
        thread->origin = NULL;
        PyObject *result = kind == GS_ONE ? thread->message.value : Py_NewRef(gs_nothing);
        Py_DECREF(origin);
        return result;
    }
    return receive(thread);
}

/* ---- leaving ---- */

static inline void
depart(gs_thread *thread, PyGreenlet *target, gs_kind kind, PyObject *value, PyObject *kwargs)
{
    thread->message.kind = kind;
    thread->message.value = value;
    thread->message.kwargs = kwargs;
    thread->origin = thread->current;
    Py_INCREF(target);
    thread->current = target;
}

/* Into a suspended greenlet of this thread, which is not the current one.  This ends in the machine's
 * switch: what follows on the other side is wake(). */
static inline PyObject *
resume(gs_thread *thread, PyGreenlet *target, gs_kind kind, PyObject *value, PyObject *kwargs)
{
    gs_slice_prefetch(&target->pimpl->slice);
    gs_greenlet *self = thread->current->pimpl;
    if (GS_UNLIKELY(gs_pystate_suspend(&self->py, thread->ts, self->slice.stop) < 0)) {
        return no_memory(value, kwargs);
    }
    depart(thread, target, kind, value, kwargs);
    return gs_stack_switch(&thread->stack, &target->pimpl->slice, wake);
}

PyObject *
gs_greenlet_resume(gs_thread *thread, PyGreenlet *target, gs_kind kind, PyObject *value)
{
    return resume(thread, target, kind, value, NULL);
}

static void run_greenlet(gs_stack *stack);

/* Make a new greenlet ready to be entered.  -1: no memory, no exception is set. */
static int
prepare(gs_thread *thread, PyGreenlet *target)
{
    gs_greenlet *g = target->pimpl;
    if (gs_pystate_create(&g->py) < 0) {
        return -1;
    }
    g->thread = gs_thread_retain(thread);
    g->state = GS_ACTIVE;
    gs_thread_enlist(thread, target);
    return 0;
}

/* Into a greenlet at its beginning. */
static PyObject *
start(gs_thread *thread, PyGreenlet *target, gs_message *message)
{
    gs_greenlet *self = thread->current->pimpl;
    PyThreadState *ts = thread->ts;
    if (gs_pystate_suspend(&self->py, ts, self->slice.stop) < 0) {
        return no_memory(message->value, message->kwargs);
    }
    if (prepare(thread, target) < 0) {
        gs_pystate_resume(&self->py, ts);
        return no_memory(message->value, message->kwargs);
    }
    depart(thread, target, message->kind, message->value, message->kwargs);
    return gs_stack_start(&thread->stack, &target->pimpl->slice, run_greenlet);
}

/* ---- choosing ---- */

gs_thread *
gs_greenlet_thread(PyGreenlet *greenlet)
{
    while (greenlet != NULL) {
        gs_greenlet *g = greenlet->pimpl;
        if (g->thread != NULL) {
            return g->thread;
        }
        greenlet = g->parent;
    }
    return NULL;
}

static void
raise_wrong_thread(gs_thread *here, gs_thread *there)
{
    if (there == NULL) {
        PyErr_SetString(gs_error, "cannot switch to a garbage collected greenlet");
    }
    else if (there->ts == NULL) {
        PyErr_SetString(gs_error, "cannot switch to a different thread (which happens to have exited)");
    }
    else {
        PyErr_Format(gs_error, "Cannot switch to a different thread\n\tCurrent:  %R\n\tExpected: %R",
                     (PyObject *)here->main, (PyObject *)there->main);
    }
}

/* The greenlet that a switch to `target` enters: itself, or its nearest parent that is not dead; the main
 * greenlet where the collector has cut the parents of dead ones off, before somebody among the same garbage
 * refused to be killed.  Borrowed; NULL with an exception where there is none in this thread. */
static PyGreenlet *
choose(gs_thread *thread, PyGreenlet *target)
{
    for (PyGreenlet *chosen = target; chosen != NULL; chosen = chosen->pimpl->parent) {
        gs_greenlet *g = chosen->pimpl;
        if (g->state == GS_ACTIVE || g->state == GS_NEW) {
            gs_thread *there = g->state == GS_ACTIVE ? g->thread : gs_greenlet_thread(chosen);
            if (there != thread) {
                raise_wrong_thread(thread, there);
                return NULL;
            }
            return chosen;
        }
    }
    gs_thread *there = gs_greenlet_thread(target);
    if (there == thread) {
        return thread->main;
    }
    raise_wrong_thread(thread, there);
    return NULL;
}

/* Have what a new greenlet is to run in g->run.  May run any code, so that afterwards the greenlet may
 * have been started, or finished, or be of another thread.  Also for one that is to be thrown into, and
 * will run nothing: one without `run` is refused there too.  `error`: an exception is set, to be kept. */
static int
find_run(gs_thread *thread, PyGreenlet *greenlet, bool error)
{
    gs_greenlet *g = greenlet->pimpl;
    if (Py_TYPE(greenlet) == &PyGreenlet_Type && g->run != NULL) {
        return 0;
    }
    PyObject *type = NULL, *value = NULL, *traceback = NULL;
    if (error) {
        PyErr_Fetch(&type, &value, &traceback);
    }
    PyObject *run = PyObject_GetAttr((PyObject *)greenlet, gs_str_run);
    if (run == NULL) {
        Py_XDECREF(type);
        Py_XDECREF(value);
        Py_XDECREF(traceback);
        return -1;
    }
    if (error) {
        PyErr_Restore(type, value, traceback);
    }
    if (g->state != GS_NEW) {
        Py_DECREF(run);
        return 0;
    }
    PyObject *hidden = g->run;
    g->run = run;
    Py_XSETREF(thread->hidden, hidden);
    return 0;
}

/* Have thread->cxx right. */
static void
find_cxx(gs_thread *thread)
{
    static Py_ssize_t modules_then = -1;
    if (!gs_cxxstate_is_found && !gs_py_is_finalizing()) {
        /* A C++ runtime comes with an extension module.  Looking for it takes as long as a start, so it is
         * looked for when modules have come. */
        PyObject *modules = PyImport_GetModuleDict(); /* borrowed */
        Py_ssize_t now = modules != NULL && PyDict_Check(modules) ? PyDict_GET_SIZE(modules) : 0;
        if (now != modules_then) {
            modules_then = now;
            gs_cxxstate_find();
        }
    }
    thread->cxx = gs_cxxstate_here();
}

/* From inside of a C++ `catch` block, or of a destructor while an exception passes. */
GS_COLD static PyObject *
switch_amid_exception(gs_thread *thread, PyGreenlet *target, gs_message message)
{
    gs_cxxstate *cxx = thread->cxx;
    gs_cxxstate kept = *cxx;
    *cxx = (gs_cxxstate){NULL, 0};
    PyObject *result = gs_greenlet_switch(thread, target, message);
    *cxx = kept;
    return result;
}

PyObject *
gs_greenlet_switch(gs_thread *thread, PyGreenlet *target, gs_message message)
{
    find_cxx(thread);
    if (GS_UNLIKELY(gs_cxxstate_in_use(thread->cxx))) {
        return switch_amid_exception(thread, target, message);
    }
    for (bool looked = false;;) {
        PyGreenlet *chosen = choose(thread, target);
        if (chosen == NULL) {
            message_drop(&message);
            return NULL;
        }
        gs_greenlet *g = chosen->pimpl;
        if (chosen == thread->current) {
            if (thread->tracer != NULL && trace(thread, chosen, message.kind) < 0) {
                message_drop(&message);
                return NULL;
            }
            return message_result(&message);
        }
        if (g->state == GS_ACTIVE) {
            return resume(thread, chosen, message.kind, message.value, message.kwargs);
        }
        if (looked && g->run != NULL) {
            return start(thread, chosen, &message);
        }
        Py_INCREF(chosen);
        int failed = find_run(thread, chosen, message.kind == GS_ERROR);
        /* Only if it is still the one to enter, and nobody has taken `run` away meanwhile. */
        looked = g->state == GS_NEW && g->run != NULL;
        Py_DECREF(chosen);
        if (failed) {
            message_drop(&message);
            return NULL;
        }
    }
}

/* GreenletExit ends a greenlet as if it had returned the exception's value. */
static gs_message
caught_exit(gs_message message)
{
    if (message.kind == GS_ERROR && PyErr_ExceptionMatches(gs_exit)) {
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        PyErr_NormalizeException(&type, &value, &traceback);
        Py_XDECREF(type);
        Py_XDECREF(traceback);
        message.kind = GS_ONE;
        message.value = value != NULL ? value : Py_NewRef(Py_None);
    }
    return message;
}

PyObject *
gs_greenlet_throw(gs_thread *thread, PyGreenlet *target)
{
    gs_message message = {GS_ERROR, NULL, NULL};
    gs_greenlet *g = target->pimpl;
    if (g->state == GS_DEAD && !(g->is_main)) {
        message = caught_exit(message);
    }
    return gs_greenlet_switch(thread, target, message);
}

/* ---- the life of a greenlet, on its own stack ---- */

/* The greenlet that the outcome of one that has ended goes to: the nearest parent that can be entered.
 * Where one cannot be - its thread has ended, its `run` cannot be looked up - the outcome becomes that
 * error and goes to the parent's parent, as an exception would; at last to the thread's main greenlet,
 * which can always be entered.  A new reference, so that no code run here can take it away. */
static PyGreenlet *
heir(gs_thread *thread, PyGreenlet *self, gs_message *outcome)
{
    PyGreenlet *parent = (PyGreenlet *)Py_XNewRef((PyObject *)self->pimpl->parent);
    while (parent != NULL) {
        PyGreenlet *target = choose(thread, parent);
        bool failed = target == NULL;
        if (target != NULL) {
            Py_INCREF(target);
            Py_SETREF(parent, target);
            gs_greenlet *g = target->pimpl;
            if (g->state == GS_ACTIVE) {
                break;
            }
            failed = find_run(thread, target, outcome->kind == GS_ERROR) < 0;
            if (!failed && g->state == GS_NEW && g->run != NULL) {
                break;
            }
        }
        if (failed) {
            message_drop(outcome);
            outcome->kind = GS_ERROR;
            Py_XSETREF(parent, (PyGreenlet *)Py_XNewRef((PyObject *)parent->pimpl->parent));
        }
    }
    return parent != NULL ? parent : (PyGreenlet *)Py_NewRef((PyObject *)thread->main);
}

/* Hand over what `run` has returned, NULL for an exception, and leave for ever. */
GS_NOINLINE static void
finish(gs_thread *thread, PyGreenlet *self, PyObject *result)
{
    gs_greenlet *g = self->pimpl;
    gs_message outcome = {result == NULL ? GS_ERROR : GS_ONE, result, NULL};
    outcome = caught_exit(outcome);
    if (g->run != NULL) {
        PyObject *run = g->run;
        g->run = NULL;
        drop(run, outcome.kind == GS_ERROR);
    }
    for (;;) {
        PyGreenlet *target = heir(thread, self, &outcome);
        gs_greenlet *next = target->pimpl;
        bool fresh = next->state == GS_NEW;
        if (fresh && prepare(thread, target) < 0) {
            no_memory(outcome.value, outcome.kwargs);
            outcome.kind = GS_ERROR;
            Py_XSETREF(g->parent, (PyGreenlet *)Py_NewRef((PyObject *)thread->main));
            Py_DECREF(target);
            continue;
        }
        gs_pystate_finish(&g->py, thread->ts);
        g->state = GS_DYING;
        depart(thread, target, outcome.kind, outcome.value, outcome.kwargs);
        Py_DECREF(target); /* not the last: depart has taken one */
        if (fresh) {
            gs_stack_finish_start(&thread->stack, &next->slice, run_greenlet);
        }
        else {
            gs_stack_finish(&thread->stack, &next->slice, wake);
        }
        Py_UNREACHABLE();
    }
}

/* Take over the thread state and receive the first message; leaves it in thread->message. */
GS_NOINLINE static void
begin(gs_thread *thread)
{
    gs_pystate_start(&thread->current->pimpl->py, thread->ts);
    gs_message message = arrive(thread);
    PyObject *hidden = thread->hidden;
    if (GS_UNLIKELY(hidden != NULL)) {
        thread->hidden = NULL;
        drop(hidden, message.kind == GS_ERROR);
    }
    thread->message = message;
}

/* Call `run` with a first message that has arguments. */
GS_NOINLINE static PyObject *
call_run(PyObject *run, const gs_message *arguments)
{
    gs_message m = *arguments;
    PyObject *result = NULL;
    if (m.kind == GS_ONE) {
        result = PyObject_CallOneArg(run, m.value);
    }
    else {
        PyObject *tuple = m.value != NULL ? m.value : PyTuple_New(0);
        if (tuple != NULL) {
            m.value = tuple;
            result = PyObject_Call(run, tuple, m.kwargs);
        }
    }
    if (m.value != NULL) {
        drop(m.value, result == NULL);
    }
    if (m.kwargs != NULL) {
        drop(m.kwargs, result == NULL);
    }
    return result;
}

/* The outermost function of a greenlet.  What it keeps on the stack while `run` is called is copied at
 * every switch, so that is next to nothing: `run` and its argument stay with the greenlet, which owns
 * them as long as it runs. */
static void
run_greenlet(gs_stack *stack)
{
    gs_thread *thread = (gs_thread *)stack; /* its first member */
    begin(thread);
    PyGreenlet *self = thread->current;
    PyObject *result;
    if (GS_LIKELY(thread->message.kind == GS_NOTHING)) {
        result = PyObject_CallNoArgs(self->pimpl->run);
    }
    else if (thread->message.kind == GS_ERROR) {
        result = NULL;
    }
    else {
        result = call_run(self->pimpl->run, &thread->message);
    }
    finish(thread, self, result);
}

/* ---- killing ---- */

void
gs_greenlet_kill(gs_thread *thread, PyGreenlet *greenlet)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    /* Whoever kills is who gets the outcome. */
    PyGreenlet *parent = greenlet->pimpl->parent;
    greenlet->pimpl->parent = (PyGreenlet *)Py_NewRef((PyObject *)thread->current);
    PyErr_SetNone(gs_exit);
    PyObject *result = gs_greenlet_throw(thread, greenlet);
    if (result == NULL) {
        PyErr_WriteUnraisable((PyObject *)greenlet);
    }
    Py_XDECREF(result);
    Py_XSETREF(greenlet->pimpl->parent, parent);
    PyErr_Restore(type, value, traceback);
}
