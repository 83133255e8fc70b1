/* The Python type: making and deallocating greenlets, attributes, switch() and throw().
 *
 * The type is a static one, because static types of other extensions subclass it, and those may not have
 * a heap type as their base. */
#include "greenlet/gs_greenlet.h"

#include <structmember.h>

/* ---- making ---- */

/* Where a greenlet's own part is when it lies behind the object, in the same piece of memory: one thing
 * less to allocate, and one address less to wait for in each switch. */
static inline gs_greenlet *
behind(PyGreenlet *self)
{
    return (gs_greenlet *)((char *)self + Py_TYPE(self)->tp_basicsize);
}

/* A greenlet without parent or thread; everything else is in order. */
static PyGreenlet *
greenlet_alloc(PyTypeObject *type)
{
    PyGreenlet *self;
    if (GS_PY_HAS_EXTRA && type->tp_alloc == PyType_GenericAlloc
        && type->tp_basicsize % _Alignof(gs_greenlet) == 0) {
        self = (PyGreenlet *)gs_py_new_object(type, sizeof *self->pimpl);
        if (self != NULL) {
            self->pimpl = behind(self);
        }
        return self;
    }
    /* Before the object, whose deallocation may call a subclass's __del__, which must find it. */
    gs_greenlet *apart = PyObject_Calloc(1, sizeof *apart);
    if (apart == NULL) {
        return (PyGreenlet *)PyErr_NoMemory();
    }
    self = (PyGreenlet *)type->tp_alloc(type, 0);
    if (self == NULL) {
        PyObject_Free(apart);
        return NULL;
    }
    self->pimpl = apart;
    return self;
}

Py_ssize_t gs_main_count;

PyGreenlet *
gs_greenlet_new_main(gs_thread *thread)
{
    PyGreenlet *self = greenlet_alloc(&PyGreenlet_Type);
    if (self != NULL) {
        self->pimpl->is_main = true;
        gs_main_count++;
        self->pimpl->state = GS_ACTIVE;
        self->pimpl->thread = gs_thread_retain(thread);
    }
    return self;
}

static PyObject *
greenlet_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)args;
    (void)kwargs;
    gs_thread *thread = gs_thread_get();
    if (thread == NULL) {
        return NULL;
    }
    if (GS_UNLIKELY(PyType_HasFeature(type, Py_TPFLAGS_IS_ABSTRACT))) {
        return PyBaseObject_Type.tp_new(type, gs_nothing, NULL); /* says what is missing */
    }
    PyGreenlet *self = greenlet_alloc(type);
    if (self != NULL) {
        self->pimpl->parent = (PyGreenlet *)Py_NewRef((PyObject *)thread->current);
    }
    return (PyObject *)self;
}

PyGreenlet *
gs_greenlet_new(void)
{
    return (PyGreenlet *)greenlet_new(&PyGreenlet_Type, NULL, NULL);
}

static int greenlet_set_run(PyGreenlet *self, PyObject *run, void *closure);

static int
greenlet_init(PyGreenlet *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"run", "parent", NULL};
    PyObject *run = NULL;
    PyObject *parent = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|OO:green", names, &run, &parent)) {
        return -1;
    }
    if (run != NULL && greenlet_set_run(self, run, NULL) < 0) {
        return -1;
    }
    if (parent != NULL && parent != Py_None) {
        return gs_greenlet_set_parent(self, parent);
    }
    return 0;
}

/* greenlet(run) and greenlet(run, parent) of the very type, without an argument tuple. */
static PyObject *
greenlet_vectorcall(PyObject *type, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    Py_ssize_t nargs = PyVectorcall_NARGS(nargsf);
    PyObject *self = greenlet_new((PyTypeObject *)type, NULL, NULL);
    if (self == NULL) {
        return NULL;
    }
    int failed;
    if (nargs <= 1 && kwnames == NULL) {
        if (nargs == 1) {
            ((PyGreenlet *)self)->pimpl->run = Py_NewRef(args[0]);
        }
        failed = 0;
    }
    else {
        failed = -1;
        PyObject *tuple = PyTuple_New(nargs);
        PyObject *dict = kwnames == NULL ? NULL : PyDict_New();
        if (tuple != NULL && (dict != NULL || kwnames == NULL)) {
            for (Py_ssize_t i = 0; i < nargs; i++) {
                PyTuple_SET_ITEM(tuple, i, Py_NewRef(args[i]));
            }
            failed = 0;
            for (Py_ssize_t i = 0; kwnames != NULL && i < PyTuple_GET_SIZE(kwnames) && !failed; i++) {
                failed = PyDict_SetItem(dict, PyTuple_GET_ITEM(kwnames, i), args[nargs + i]);
            }
            if (!failed) {
                failed = greenlet_init((PyGreenlet *)self, tuple, dict);
            }
        }
        Py_XDECREF(tuple);
        Py_XDECREF(dict);
    }
    if (failed) {
        Py_DECREF(self);
        return NULL;
    }
    return self;
}

/* ---- garbage ---- */

static void greenlet_finalize(PyObject *self);

/* Whether the collector is going to ask greenlet_finalize() before it clears any of the garbage that the
 * greenlet is in: it does so once in an object's life, and not where a subclass has __del__. */
static bool
is_asked_before_clearing(PyGreenlet *self)
{
    return Py_TYPE(self)->tp_finalize == greenlet_finalize && !PyObject_GC_IsFinalized((PyObject *)self);
}

/* What a suspended greenlet's own code refers to, through its Python frames and its C stack, is not
 * visited.  To the collector those references come from outside, so that it never frees what a suspended
 * stack still uses.  Nor is the thread state's part visited where it could be cleared before the greenlet
 * has been killed: the code that is killed runs in that context. */
static int
greenlet_traverse(PyGreenlet *self, visitproc visit, void *arg)
{
    gs_greenlet *g = self->pimpl;
    Py_VISIT(self->dict);
    if (g == NULL) {
        return 0;
    }
    Py_VISIT(g->parent);
    Py_VISIT(g->run);
    if (g->state == GS_ACTIVE && !is_asked_before_clearing(self)) {
        return 0;
    }
    return gs_pystate_traverse(&g->py, visit, arg);
}

/* The parent of a greenlet that can still run stays: its outcome has to go somewhere. */
static int
greenlet_clear(PyGreenlet *self)
{
    gs_greenlet *g = self->pimpl;
    Py_CLEAR(self->dict);
    if (g->state == GS_NEW || g->state == GS_DEAD || (g->state == GS_ACTIVE && g->thread->ts == NULL)) {
        Py_CLEAR(g->parent);
        Py_CLEAR(g->run);
        gs_pystate_clear(&g->py);
    }
    return 0;
}

/* Whether the greenlet is suspended, or running, somewhere that still exists. */
static bool
is_live(gs_greenlet *g)
{
    return g->state == GS_ACTIVE && !g->is_main && g->thread->ts != NULL && !gs_py_is_finalizing();
}

/* Nobody can switch to this greenlet any more: let it clean up after itself.  That is for its own thread
 * to do, and not in the middle of a garbage collection.  Afterwards it may have been resurrected. */
static void
let_go(PyGreenlet *self)
{
    gs_greenlet *g = self->pimpl;
    PyThreadState *ts = gs_py_current();
    if (g->thread->ts != ts || gs_py_is_collecting(ts)) {
        bool is_garbage = Py_REFCNT(self) > 1; /* one is of whoever has called */
        Py_INCREF(self);
        gs_thread_doom(g->thread, self, is_garbage);
        return;
    }
    gs_greenlet_kill(g->thread, self);
    if (g->state == GS_ACTIVE && Py_REFCNT(self) == 1) {
        /* It caught GreenletExit and switched away.  Its stack is in use, so it has to stay. */
        PySys_FormatStderr("GreenletExit did not kill %R\n", (PyObject *)self);
        Py_INCREF(self);
    }
}

static void
greenlet_finalize(PyObject *self)
{
    if (is_live(((PyGreenlet *)self)->pimpl)) {
        let_go((PyGreenlet *)self);
    }
}

static void
greenlet_dealloc(PyGreenlet *self)
{
    gs_greenlet *g = self->pimpl;
    if (g != NULL && is_live(g)) {
        /* tp_finalize is called once in an object's life, and not at all where a subclass has __del__.
         * But a suspended stack must never be freed as if it were data, so this is asked again. */
        Py_SET_REFCNT(self, 1);
        let_go(self);
        Py_ssize_t references = Py_REFCNT(self) - 1;
        Py_SET_REFCNT(self, references);
        if (references > 0) {
            /* Resurrected.  A subclass's deallocator, which called this one, will drop the reference that
             * the object holds to its type. */
            if (PyType_HasFeature(Py_TYPE(self), Py_TPFLAGS_HEAPTYPE)) {
                Py_INCREF(Py_TYPE(self));
            }
            return;
        }
    }
    PyObject_GC_UnTrack(self);
    if (self->weakreflist != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    Py_CLEAR(self->dict);
    if (g != NULL) {
        gs_main_count -= g->is_main;
        if (g->state == GS_ACTIVE && !g->is_main) {
            gs_thread_delist(g->thread, self);
            gs_pystate_abandon(&g->py);
        }
        Py_CLEAR(g->parent);
        Py_CLEAR(g->run);
        gs_pystate_clear(&g->py);
        gs_slice_clear(&g->slice);
        if (g->thread != NULL) {
            gs_thread_release(g->thread);
        }
        if (g != behind(self)) {
            PyObject_Free(g);
        }
        self->pimpl = NULL;
    }
    Py_TYPE(self)->tp_free((PyObject *)self);
}

/* ---- attributes ---- */

static bool
is_running(gs_greenlet *g)
{
    return g->state == GS_ACTIVE && g->thread->ts != NULL && g->thread->current->pimpl == g;
}

static bool
is_dead(gs_greenlet *g)
{
    return g->state == GS_DEAD || g->state == GS_DYING || (g->state == GS_ACTIVE && g->thread->ts == NULL);
}

bool
gs_greenlet_is_active(PyGreenlet *self)
{
    return self->pimpl->state == GS_ACTIVE && !is_dead(self->pimpl);
}

static int
greenlet_bool(PyGreenlet *self)
{
    return gs_greenlet_is_active(self);
}

static PyObject *
greenlet_get_dead(PyGreenlet *self, void *closure)
{
    (void)closure;
    return PyBool_FromLong(is_dead(self->pimpl));
}

static PyObject *
greenlet_get_stack_saved(PyGreenlet *self, void *closure)
{
    (void)closure;
    return PyLong_FromSize_t(self->pimpl->slice.saved);
}

static PyObject *
greenlet_get_run(PyGreenlet *self, void *closure)
{
    (void)closure;
    gs_greenlet *g = self->pimpl;
    if (g->state != GS_NEW || g->run == NULL) {
        PyErr_SetString(PyExc_AttributeError, "run");
        return NULL;
    }
    return Py_NewRef(g->run);
}

static int
greenlet_set_run(PyGreenlet *self, PyObject *run, void *closure)
{
    (void)closure;
    gs_greenlet *g = self->pimpl;
    if (g->is_main) {
        PyErr_SetString(PyExc_AttributeError, "Main greenlets do not have a run attribute.");
        return -1;
    }
    if (g->state != GS_NEW) {
        PyErr_SetString(PyExc_AttributeError, "run cannot be set after the start of the greenlet");
        return -1;
    }
    Py_XSETREF(g->run, Py_XNewRef(run));
    return 0;
}

static PyObject *
greenlet_get_parent(PyGreenlet *self, void *closure)
{
    (void)closure;
    PyGreenlet *parent = self->pimpl->parent;
    return Py_NewRef(parent != NULL ? (PyObject *)parent : Py_None);
}

bool
gs_greenlet_expect(PyObject *object)
{
    if (gs_greenlet_check(object)) {
        return true;
    }
    PyErr_Format(PyExc_TypeError, "GreenletChecker: Expected any type of greenlet, not %s",
                 Py_TYPE(object)->tp_name);
    return false;
}

int
gs_greenlet_set_parent(PyGreenlet *self, PyObject *value)
{
    gs_greenlet *g = self->pimpl;
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "can't delete attribute");
        return -1;
    }
    if (g->is_main) {
        PyErr_SetString(PyExc_AttributeError, "cannot set the parent of a main greenlet");
        return -1;
    }
    if (!gs_greenlet_expect(value)) {
        return -1;
    }
    PyGreenlet *parent = (PyGreenlet *)value;
    gs_thread *thread = NULL;
    for (PyGreenlet *p = parent; p != NULL; p = p->pimpl->parent) {
        if (p == self) {
            PyErr_SetString(PyExc_ValueError, "cyclic parent chain");
            return -1;
        }
        if (thread == NULL) {
            thread = p->pimpl->thread;
        }
    }
    if (thread == NULL) {
        PyErr_SetString(PyExc_ValueError, "parent must not be garbage collected");
        return -1;
    }
    if (g->thread != NULL && g->thread != thread) {
        PyErr_SetString(PyExc_ValueError, "parent cannot be on a different thread");
        return -1;
    }
    Py_INCREF(parent);
    Py_XSETREF(g->parent, parent);
    return 0;
}

static int
greenlet_set_parent(PyGreenlet *self, PyObject *value, void *closure)
{
    (void)closure;
    return gs_greenlet_set_parent(self, value);
}

static PyObject *
greenlet_get_frame(PyGreenlet *self, void *closure)
{
    (void)closure;
    gs_greenlet *g = self->pimpl;
    if (g->state != GS_ACTIVE || g->thread->ts == NULL || is_running(g)) {
        Py_RETURN_NONE;
    }
    PyFrameObject *frame = gs_pystate_frame(&g->py, PyThreadState_Get());
    if (frame == NULL) {
        Py_RETURN_NONE;
    }
    return (PyObject *)frame;
}

/* Where the greenlet's context is kept now: in the thread state while it runs.  NULL with an exception
 * when it runs in another thread. */
static PyObject **
context_of(gs_greenlet *g, const char *what)
{
    PyThreadState *ts = PyThreadState_Get();
    if (!is_running(g)) {
        return &g->py.context;
    }
    if (g->thread->ts != ts) {
        PyErr_Format(PyExc_ValueError, "cannot %s context of a greenlet that is running in a different thread",
                     what);
        return NULL;
    }
    return &ts->context;
}

static PyObject *
greenlet_get_context(PyGreenlet *self, void *closure)
{
    (void)closure;
    PyObject **context = context_of(self->pimpl, "get");
    if (context == NULL) {
        return NULL;
    }
    return Py_NewRef(*context != NULL ? *context : Py_None);
}

static int
greenlet_set_context(PyGreenlet *self, PyObject *value, void *closure)
{
    (void)closure;
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "can't delete context attribute");
        return -1;
    }
    if (value != Py_None && !PyContext_CheckExact(value)) {
        PyErr_SetString(PyExc_TypeError, "greenlet context must be a contextvars.Context or None");
        return -1;
    }
    PyObject **context = context_of(self->pimpl, "set");
    if (context == NULL) {
        return -1;
    }
    PyObject *former = *context;
    *context = value == Py_None ? NULL : Py_NewRef(value);
    PyThreadState_Get()->context_ver++;
    Py_XDECREF(former);
    return 0;
}

static PyObject *
greenlet_repr(PyGreenlet *self)
{
    gs_greenlet *g = self->pimpl;
    const char *name = Py_TYPE(self)->tp_name;
    gs_thread *thread = gs_greenlet_thread(self);
    bool exited = thread != NULL && thread->ts == NULL;
    void *id = g->thread != NULL && !exited ? g->thread : NULL;
    if (is_dead(g)) {
        return PyUnicode_FromFormat("<%s object at %p (otid=%p) %sdead>", name, self, id,
                                    exited ? "(thread exited) " : "");
    }
    if (g->state == GS_NEW) {
        return PyUnicode_FromFormat("<%s object at %p (otid=%p) pending>", name, self, id);
    }
    bool current = is_running(g) && g->thread->ts == PyThreadState_Get();
    return PyUnicode_FromFormat("<%s object at %p (otid=%p)%s active started%s>", name, self, id,
                                current ? " current" : " suspended", g->is_main ? " main" : "");
}

/* ---- methods ---- */

PyDoc_STRVAR(switch_doc,
"switch($self, /, *args, **kwargs)\n--\n\n"
"Suspend the current greenlet and go on in this one.\n\n"
"One that has not been started calls run(*args, **kwargs).  In a suspended one the pending switch()\n"
"returns: () for no argument, a single argument itself, several as a tuple, keywords as a dict, both as\n"
"a pair of tuple and dict.  A dead one stands for its parent.\n\n"
"Returns, by the same rule, what is handed over when somebody switches back; raises what is thrown.\n"
"greenswitch.error: the greenlet belongs to another thread.");

/* Any arguments, any target. */
GS_NOINLINE static PyObject *
switch_general(PyGreenlet *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    gs_thread *thread = gs_thread_get();
    if (thread == NULL) {
        return NULL;
    }
    gs_message message = {GS_NOTHING, NULL, NULL};
    Py_ssize_t nkwargs = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    if (nkwargs != 0) {
        message.kind = nargs == 0 ? GS_KEYWORDS : GS_BOTH;
        message.kwargs = PyDict_New();
        if (message.kwargs == NULL) {
            return NULL;
        }
        for (Py_ssize_t i = 0; i < nkwargs; i++) {
            if (PyDict_SetItem(message.kwargs, PyTuple_GET_ITEM(kwnames, i), args[nargs + i]) < 0) {
                Py_DECREF(message.kwargs);
                return NULL;
            }
        }
    }
    if (nargs == 1 && nkwargs == 0) {
        message.kind = GS_ONE;
        message.value = Py_NewRef(args[0]);
    }
    else if (nargs != 0) {
        if (nkwargs == 0) {
            message.kind = GS_MANY;
        }
        message.value = PyTuple_New(nargs);
        if (message.value == NULL) {
            Py_XDECREF(message.kwargs);
            return NULL;
        }
        for (Py_ssize_t i = 0; i < nargs; i++) {
            PyTuple_SET_ITEM(message.value, i, Py_NewRef(args[i]));
        }
    }
    return gs_greenlet_switch(thread, self, message);
}

/* Every frame between the interpreter loop and the machine's switch is stack to copy and a return to
 * predict, so this one only ends in calls that the compiler turns into jumps. */
static PyObject *
greenlet_switch(PyGreenlet *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    gs_thread *thread = gs_thread_get_at_once();
    if (GS_LIKELY(thread != NULL && kwnames == NULL && nargs <= 1 && gs_greenlet_is_resumable(thread, self))) {
        if (nargs == 0) {
            return gs_greenlet_resume(thread, self, GS_NOTHING, NULL);
        }
        return gs_greenlet_resume(thread, self, GS_ONE, Py_NewRef(args[0]));
    }
    return switch_general(self, args, nargs, kwnames);
}

PyDoc_STRVAR(throw_doc,
"throw($self, type=GreenletExit, value=None, traceback=None, /)\n--\n\n"
"Suspend the current greenlet and raise an exception in this one.\n\n"
"One that has not been started ends without running; a dead one stands for its parent.  GreenletExit,\n"
"where it is not caught, ends a greenlet as if it had returned the exception.  Results and errors as of\n"
"switch().");

static PyObject *
greenlet_throw(PyGreenlet *self, PyObject *args)
{
    PyObject *type = gs_exit;
    PyObject *value = NULL;
    PyObject *traceback = NULL;
    if (!PyArg_ParseTuple(args, "|OOO:throw", &type, &value, &traceback)) {
        return NULL;
    }
    gs_thread *thread = gs_thread_get();
    if (thread == NULL || gs_raise(type, value, traceback) < 0) {
        return NULL;
    }
    return gs_greenlet_throw(thread, self);
}

int
gs_raise(PyObject *type, PyObject *value, PyObject *traceback)
{
    if (traceback == Py_None) {
        traceback = NULL;
    }
    else if (traceback != NULL && !PyTraceBack_Check(traceback)) {
        PyErr_SetString(PyExc_TypeError, "throw() third argument must be a traceback object");
        return -1;
    }
    if (PyExceptionInstance_Check(type)) {
        if (value != NULL && value != Py_None) {
            PyErr_SetString(PyExc_TypeError, "instance exception may not have a separate value");
            return -1;
        }
        if (traceback == NULL) {
            traceback = PyException_GetTraceback(type); /* a new reference or NULL */
        }
        else {
            Py_INCREF(traceback);
        }
        PyErr_Restore(Py_NewRef(PyExceptionInstance_Class(type)), Py_NewRef(type), traceback);
        return 0;
    }
    if (!PyExceptionClass_Check(type)) {
        PyErr_Format(PyExc_TypeError, "exceptions must be classes, or instances, not %s",
                     Py_TYPE(type)->tp_name);
        return -1;
    }
    PyObject *t = Py_NewRef(type);
    PyObject *v = Py_XNewRef(value);
    PyObject *tb = Py_XNewRef(traceback);
    PyErr_NormalizeException(&t, &v, &tb);
    PyErr_Restore(t, v, tb);
    return 0;
}

static PyObject *
greenlet_getstate(PyGreenlet *self, PyObject *unused)
{
    (void)unused;
    PyErr_Format(PyExc_TypeError, "cannot serialize '%s' object", Py_TYPE(self)->tp_name);
    return NULL;
}

/* ---- tables ---- */

static PyMethodDef greenlet_methods[] = {
    {"switch", (PyCFunction)(void (*)(void))greenlet_switch, METH_FASTCALL | METH_KEYWORDS, switch_doc},
    {"throw", (PyCFunction)greenlet_throw, METH_VARARGS, throw_doc},
    {"__getstate__", (PyCFunction)greenlet_getstate, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef greenlet_getset[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {"run", (getter)greenlet_get_run, (setter)greenlet_set_run,
     "What is called when the greenlet is started.  It is gone after that.", NULL},
    {"parent", (getter)greenlet_get_parent, (setter)greenlet_set_parent,
     "Who gets this greenlet's outcome.  None for main greenlets.", NULL},
    {"dead", (getter)greenlet_get_dead, NULL, "True once the greenlet has ended, or its thread has.", NULL},
    {"gr_frame", (getter)greenlet_get_frame, NULL, "The topmost frame while suspended, otherwise None.", NULL},
    {"gr_context", (getter)greenlet_get_context, (setter)greenlet_set_context,
     "The contextvars.Context that the greenlet runs in.  None: an empty one, not yet made.", NULL},
    {"_stack_saved", (getter)greenlet_get_stack_saved, NULL,
     "How many bytes of the greenlet's stack are in its copy.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyNumberMethods greenlet_number = {
    .nb_bool = (inquiry)greenlet_bool,
};

PyDoc_STRVAR(greenlet_doc,
"greenlet(run=None, parent=None)\n--\n\n"
"A greenlet: a C stack and a Python stack of its own within the current thread.\n\n"
"run: what the first switch() calls; a subclass may define it as a method instead.\n"
"parent: the greenlet that gets the outcome, a value or an exception; by default the current one.\n\n"
"A suspended greenlet that nobody refers to any more gets GreenletExit raised where it is.");

PyTypeObject PyGreenlet_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "greenswitch.greenlet",
    .tp_basicsize = sizeof(PyGreenlet),
    .tp_dealloc = (destructor)greenlet_dealloc,
    .tp_repr = (reprfunc)greenlet_repr,
    .tp_as_number = &greenlet_number,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_doc = greenlet_doc,
    .tp_traverse = (traverseproc)greenlet_traverse,
    .tp_clear = (inquiry)greenlet_clear,
    .tp_weaklistoffset = offsetof(PyGreenlet, weakreflist),
    .tp_methods = greenlet_methods,
    .tp_getset = greenlet_getset,
    .tp_dictoffset = offsetof(PyGreenlet, dict),
    .tp_init = (initproc)greenlet_init,
    .tp_alloc = PyType_GenericAlloc,
    .tp_new = greenlet_new,
    .tp_free = PyObject_GC_Del,
    .tp_finalize = greenlet_finalize,
    .tp_vectorcall = greenlet_vectorcall,
};

_Static_assert(sizeof(PyGreenlet) == sizeof(PyObject) + 3 * sizeof(void *),
               "compiled extensions of others rely on the size of a greenlet");

int
gs_type_setup(void)
{
    /* As it is in this file.  What the last interpreter of the process has put into it was that one's: its
     * dictionary, whose keys are other strings than this one's, and its version, by which this one would
     * find another type's attributes. */
    static PyTypeObject pristine;
    if (pristine.tp_name == NULL) {
        pristine = PyGreenlet_Type;
    }
    else {
        PyGreenlet_Type = pristine;
    }
    return PyType_Ready(&PyGreenlet_Type);
}
