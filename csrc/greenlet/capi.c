/* The C API for other extension modules: greenlet's table of 12 slots.
 *
 * What belongs here: checking what comes from C code that nobody has checked before, and saying it in terms
 * of switch.c and type.c.  What never does: rules of its own.  The contract of each function is in
 * include/greenlet/greenlet.h. */
#include "greenlet/gs_greenlet.h"

static inline bool
is_greenlet(PyGreenlet *object)
{
    return object != NULL && gs_greenlet_check((PyObject *)object);
}

/* The same, or TypeError, in CPython's own words for bad arguments from C. */
static bool
check(PyGreenlet *object)
{
    if (GS_LIKELY(is_greenlet(object))) {
        return true;
    }
    PyErr_BadArgument();
    return false;
}

static PyGreenlet *
capi_new(PyObject *run, PyGreenlet *parent)
{
    PyGreenlet *self = gs_greenlet_new();
    if (self == NULL) {
        return NULL;
    }
    self->pimpl->run = Py_XNewRef(run);
    if (parent != NULL && (PyObject *)parent != Py_None
        && gs_greenlet_set_parent(self, (PyObject *)parent) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return self;
}

static PyObject *
capi_throw(PyGreenlet *self, PyObject *type, PyObject *value, PyObject *traceback)
{
    if (!check(self)) {
        return NULL;
    }
    if (type == NULL) {
        PyErr_BadArgument();
        return NULL;
    }
    gs_thread *thread = gs_thread_get();
    if (thread == NULL || gs_raise(type, value, traceback) < 0) {
        return NULL;
    }
    return gs_greenlet_throw(thread, self);
}

/* Any arguments, any target. */
GS_NOINLINE static PyObject *
switch_general(PyGreenlet *self, PyObject *args, PyObject *kwargs)
{
    if (!check(self)) {
        return NULL;
    }
    gs_thread *thread = gs_thread_get();
    if (thread == NULL) {
        return NULL;
    }
    gs_message message = {GS_NOTHING, NULL, NULL};
    bool has_kwargs = kwargs != NULL && PyDict_Check(kwargs) && PyDict_GET_SIZE(kwargs) != 0;
    if (args != NULL && !PyTuple_Check(args)) {
        /* The only argument. */
        message.kind = GS_ONE;
        message.value = has_kwargs ? PyTuple_Pack(1, args) : Py_NewRef(args);
        if (message.value == NULL) {
            return NULL;
        }
    }
    else if (args != NULL && PyTuple_GET_SIZE(args) == 1 && !has_kwargs) {
        message.kind = GS_ONE;
        message.value = Py_NewRef(PyTuple_GET_ITEM(args, 0));
    }
    else if (args != NULL && PyTuple_GET_SIZE(args) != 0) {
        message.kind = GS_MANY;
        message.value = Py_NewRef(args);
    }
    if (has_kwargs) {
        message.kind = message.value == NULL ? GS_KEYWORDS : GS_BOTH;
        message.kwargs = Py_NewRef(kwargs);
    }
    return gs_greenlet_switch(thread, self, message);
}

/* Like the method in type.c, this only ends in calls that the compiler turns into jumps: what it keeps on the
 * stack would be copied at every switch.  What is not a greenlet is found out on the long path. */
static PyObject *
capi_switch(PyGreenlet *self, PyObject *args, PyObject *kwargs)
{
    gs_thread *thread = gs_thread_get_at_once();
    if (GS_LIKELY(thread != NULL && kwargs == NULL && (args == NULL || PyTuple_Check(args)) && is_greenlet(self)
                  && gs_greenlet_is_resumable(thread, self))) {
        Py_ssize_t nargs = args == NULL ? 0 : PyTuple_GET_SIZE(args);
        if (nargs == 0) {
            return gs_greenlet_resume(thread, self, GS_NOTHING, NULL);
        }
        if (nargs == 1) {
            return gs_greenlet_resume(thread, self, GS_ONE, Py_NewRef(PyTuple_GET_ITEM(args, 0)));
        }
    }
    return switch_general(self, args, kwargs);
}

static int
capi_setparent(PyGreenlet *self, PyGreenlet *parent)
{
    if (self == NULL) {
        PyErr_BadArgument();
        return -1;
    }
    if (!gs_greenlet_expect((PyObject *)self)) {
        return -1;
    }
    return gs_greenlet_set_parent(self, (PyObject *)parent);
}

static int
capi_main(PyGreenlet *self)
{
    return check(self) ? self->pimpl->is_main : -1;
}

static int
capi_started(PyGreenlet *self)
{
    return check(self) ? self->pimpl->state != GS_NEW : -1;
}

static int
capi_active(PyGreenlet *self)
{
    return check(self) ? gs_greenlet_is_active(self) : -1;
}

static PyGreenlet *
capi_getparent(PyGreenlet *self)
{
    return check(self) ? (PyGreenlet *)Py_XNewRef((PyObject *)self->pimpl->parent) : NULL;
}

static PyGreenlet_Table table = {
    .Type = &PyGreenlet_Type,
    .Error = NULL, /* these two are made when the module is */
    .Exit = NULL,
    .New = capi_new,
    .GetCurrent = gs_getcurrent,
    .Throw = capi_throw,
    .Switch = capi_switch,
    .SetParent = capi_setparent,
    .Main = capi_main,
    .Started = capi_started,
    .Active = capi_active,
    .GetParent = capi_getparent,
};

/* Compiled extensions take the slots by their number. */
#define SLOT_IS(member, number) offsetof(PyGreenlet_Table, member) == (number) * sizeof(void *)
_Static_assert(sizeof table == PyGreenlet_API_pointers * sizeof(void *)
                   && SLOT_IS(Type, PyGreenlet_Type_NUM) && SLOT_IS(Error, PyExc_GreenletError_NUM)
                   && SLOT_IS(Exit, PyExc_GreenletExit_NUM) && SLOT_IS(New, PyGreenlet_New_NUM)
                   && SLOT_IS(GetCurrent, PyGreenlet_GetCurrent_NUM) && SLOT_IS(Throw, PyGreenlet_Throw_NUM)
                   && SLOT_IS(Switch, PyGreenlet_Switch_NUM) && SLOT_IS(SetParent, PyGreenlet_SetParent_NUM)
                   && SLOT_IS(Main, PyGreenlet_MAIN_NUM) && SLOT_IS(Started, PyGreenlet_STARTED_NUM)
                   && SLOT_IS(Active, PyGreenlet_ACTIVE_NUM)
                   && SLOT_IS(GetParent, PyGreenlet_GET_PARENT_NUM),
               "the table has greenlet's slots in greenlet's order");

/* `capsule` is a new reference, which is given away. */
static int
add_capsule(PyObject *module, const char *attribute, PyObject *capsule)
{
    if (capsule == NULL) {
        return -1;
    }
    int failed = PyModule_AddObjectRef(module, attribute, capsule);
    Py_DECREF(capsule);
    return failed;
}

/* A capsule's name must be the way to it: hence one for each name that the package can be imported by. */
int
gs_capi_add(PyObject *module)
{
    table.Error = gs_error;
    table.Exit = gs_exit;
    if (add_capsule(module, "_C_API", PyCapsule_New(&table, "greenswitch._C_API", NULL)) < 0) {
        return -1;
    }
    return add_capsule(module, "_greenlet_C_API", PyCapsule_New(&table, "greenlet._C_API", NULL));
}
