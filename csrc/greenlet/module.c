/* The module greenswitch._core: its functions, its exceptions, its initialisation.
 *
 * State is per process, not per interpreter: the type is static (see type.c).  Interpreters that do not
 * share the GIL are refused. */
#include "greenlet/gs_greenlet.h"

PyObject *gs_error;
PyObject *gs_exit;
PyObject *gs_str_run;
PyObject *gs_nothing;

/* Not METH_NOARGS: the interpreter has a short way to functions of a number of arguments, and none to those of
 * no argument. */
static PyObject *
takes_none(const char *name, Py_ssize_t count)
{
    return PyErr_Format(PyExc_TypeError, "%s() takes no arguments (%zd given)", name, count);
}

PyDoc_STRVAR(getcurrent_doc,
"getcurrent()\n--\n\n"
"The greenlet that runs: this thread's main greenlet, if no other was started.");

static PyObject *
module_getcurrent(PyObject *module, PyObject *const *unused, Py_ssize_t count)
{
    (void)module;
    (void)unused;
    if (GS_UNLIKELY(count != 0)) {
        return takes_none("getcurrent", count);
    }
    return (PyObject *)gs_getcurrent();
}

PyDoc_STRVAR(settrace_doc,
"settrace(callback, /)\n--\n\n"
"Have callback(event, (origin, target)) called in this thread after each switch; None ends it.\n\n"
"event is 'switch' or 'throw'.  The callback runs in the target; if it raises, it is removed and its\n"
"exception is raised there.  Returns the former callback or None.");

static PyObject *
module_settrace(PyObject *module, PyObject *callback)
{
    (void)module;
    gs_thread *thread = gs_thread_get();
    if (thread == NULL) {
        return NULL;
    }
    PyObject *former = thread->tracer;
    thread->tracer = callback == Py_None ? NULL : Py_NewRef(callback);
    return former != NULL ? former : Py_NewRef(Py_None);
}

PyDoc_STRVAR(gettrace_doc,
"gettrace()\n--\n\n"
"What settrace() was given last in this thread, or None.");

static PyObject *
module_gettrace(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    gs_thread *thread = gs_thread_get();
    if (thread == NULL) {
        return NULL;
    }
    return Py_NewRef(thread->tracer != NULL ? thread->tracer : Py_None);
}

static PyMethodDef module_methods[] = {
    {"getcurrent", (PyCFunction)(void (*)(void))module_getcurrent, METH_FASTCALL, getcurrent_doc},
    {"settrace", module_settrace, METH_O, settrace_doc},
    {"gettrace", module_gettrace, METH_NOARGS, gettrace_doc},
    {NULL, NULL, 0, NULL},
};

/* A thread-local variable for the hub, which needs it in each wait: a `threading.local` is looked up by the thread
 * in one dictionary and by the name in another, and takes five times as long. */

PyDoc_STRVAR(get_turn_doc,
"get_turn()\n--\n\n"
"What set_turn() was given last in this native thread, or None.");

static PyObject *
module_get_turn(PyObject *module, PyObject *const *unused, Py_ssize_t count)
{
    (void)module;
    (void)unused;
    if (GS_UNLIKELY(count != 0)) {
        return takes_none("get_turn", count);
    }
    gs_thread *thread = gs_thread_find_existing(gs_py_current());
    if (GS_UNLIKELY(thread == NULL || thread->turn == NULL)) {
        return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
    }
    return Py_NewRef(thread->turn);
}

PyDoc_STRVAR(set_turn_doc,
"set_turn(value, /)\n--\n\n"
"Keep `value` for this native thread, until the next call or the thread's end.");

static PyObject *
module_set_turn(PyObject *module, PyObject *value)
{
    (void)module;
    gs_thread *thread = value == Py_None ? gs_thread_find_existing(gs_py_current()) : gs_thread_get();
    if (thread == NULL) {
        return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
    }
    PyObject *former = thread->turn;
    thread->turn = value == Py_None ? NULL : Py_NewRef(value);
    Py_XDECREF(former);
    Py_RETURN_NONE;
}

/* The exception that is set, as an object with its traceback; it is not set any more. */
static PyObject *
take_error(void)
{
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    PyErr_NormalizeException(&type, &error, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(error, traceback);
    }
    Py_DECREF(type);
    Py_XDECREF(traceback);
    return error;
}

/* What is called in place of a finalizer in Python: see guard_doc.  In C, because a signal handler may run before
 * the first step of a function in Python, where no `try` of its own can be. */
static PyObject *
guarded(PyObject *pair, PyObject *object)
{
    PyObject *finalizer = PyTuple_GET_ITEM(pair, 0);
    PyObject *result = PyObject_CallOneArg(finalizer, object);
    if (result != NULL) {
        return result;
    }
    PyObject *error = take_error();
    result = PyObject_CallOneArg(finalizer, object);
    if (result == NULL) {
        PyErr_WriteUnraisable(finalizer);
    }
    else {
        Py_DECREF(result);
    }
    result = PyObject_CallOneArg(PyTuple_GET_ITEM(pair, 1), error);
    Py_DECREF(error);
    return result;
}

static PyMethodDef guarded_def = {"__del__", guarded, METH_O, NULL};

PyDoc_STRVAR(guard_doc,
"guard(finalizer, report, /)\n--\n\n"
"A `__del__` that calls finalizer(object).  If that raises, as a signal handler that comes in may, it is called\n"
"once more, and then report(exception).");

static PyObject *
module_guard(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    (void)module;
    if (count != 2) {
        return PyErr_Format(PyExc_TypeError, "guard() takes 2 arguments (%zd given)", count);
    }
    PyObject *pair = PyTuple_Pack(2, args[0], args[1]);
    PyObject *function = pair == NULL ? NULL : PyCFunction_New(&guarded_def, pair);
    Py_XDECREF(pair);
    /* Becomes a method, which functions in C do not. */
    PyObject *method = function == NULL ? NULL : PyInstanceMethod_New(function);
    Py_XDECREF(function);
    return method;
}

static PyMethodDef hub_methods[] = {
    {"get_turn", (PyCFunction)(void (*)(void))module_get_turn, METH_FASTCALL, get_turn_doc},
    {"set_turn", module_set_turn, METH_O, set_turn_doc},
    {"guard", (PyCFunction)(void (*)(void))module_guard, METH_FASTCALL, guard_doc},
    {NULL, NULL, 0, NULL},
};

/* The names that hang on the type as well as on the module. */
static int
add_to_type(PyObject *module)
{
    PyObject *names = PyGreenlet_Type.tp_dict;
    if (PyDict_SetItemString(names, "error", gs_error) < 0
        || PyDict_SetItemString(names, "GreenletExit", gs_exit) < 0) {
        return -1;
    }
    for (const PyMethodDef *def = module_methods; def->ml_name != NULL; def++) {
        PyObject *function = PyObject_GetAttrString(module, def->ml_name);
        PyObject *method = function == NULL ? NULL : PyStaticMethod_New(function);
        Py_XDECREF(function);
        if (method == NULL) {
            return -1;
        }
        int failed = PyDict_SetItemString(names, def->ml_name, method);
        Py_DECREF(method);
        if (failed) {
            return -1;
        }
    }
    PyType_Modified(&PyGreenlet_Type);
    return 0;
}

/* What all modules made from this file share: see the top. */
static int
make(PyObject *module)
{
    gs_callsites_setup();
    if (gs_py_setup() < 0 || gs_type_setup() < 0 || gs_thread_setup() < 0) {
        return -1;
    }
    gs_error = PyErr_NewExceptionWithDoc("greenswitch.error", "A switch that cannot be made.", NULL, NULL);
    gs_exit = PyErr_NewExceptionWithDoc("greenswitch.GreenletExit",
                                        "Ends the greenlet that it is raised in, silently.",
                                        PyExc_BaseException, NULL);
    gs_str_run = PyUnicode_InternFromString("run");
    gs_nothing = PyTuple_New(0);
    if (gs_error == NULL || gs_exit == NULL || gs_str_run == NULL || gs_nothing == NULL) {
        return -1;
    }
    return add_to_type(module);
}

static const char mark[] = "greenswitch._core";

static size_t interpreters; /* that are alive and have taken part in setup() */

static void
interpreter_ends(PyObject *capsule)
{
    (void)capsule;
    interpreters--;
}

/* Interpreters that are there at the same time share what make() makes.  A program may also start one after
 * another has ended; then all of it is made anew, and nothing is touched of what the last one has left, because
 * that has been freed.  Which is the case is told by a capsule that each interpreter keeps until it ends. */
static int
setup(PyObject *module)
{
    PyObject *marks = PyInterpreterState_GetDict(PyInterpreterState_Get()); /* borrowed */
    if (marks == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "this interpreter has no dictionary");
        return -1;
    }
    if (PyDict_GetItemString(marks, mark) != NULL) {
        return 0;
    }
    if (interpreters == 0 && make(module) < 0) {
        return -1;
    }
    PyObject *capsule = PyCapsule_New(&interpreters, mark, interpreter_ends);
    if (capsule == NULL) {
        return -1;
    }
    interpreters++;
    int failed = PyDict_SetItemString(marks, mark, capsule);
    Py_DECREF(capsule);
    return failed;
}

static int
module_exec(PyObject *module)
{
    if (setup(module) < 0 || PyModule_AddObjectRef(module, "error", gs_error) < 0
        || PyModule_AddObjectRef(module, "GreenletExit", gs_exit) < 0
        || PyModule_AddObjectRef(module, "greenlet", (PyObject *)&PyGreenlet_Type) < 0) {
        return -1;
    }
    if (gs_capi_add(module) < 0 || PyModule_AddFunctions(module, gs_callsites_methods) < 0
        || PyModule_AddFunctions(module, hub_methods) < 0) {
        return -1;
    }
    return gs_probes_add(module);
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
#ifdef Py_mod_multiple_interpreters
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
    {0, NULL},
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "greenswitch._core",
    .m_doc = "The stack switcher: greenlet's type and functions.",
    .m_size = 0,
    .m_methods = module_methods,
    .m_slots = module_slots,
};

PyMODINIT_FUNC
PyInit__core(void)
{
    return PyModuleDef_Init(&module_def);
}
