/* The names of greenlet's extension that say how it was built, and that let its tests look inside; and
 * being called by greenlet's name.
 *
 * What belongs here: what `greenlet._greenlet` has beyond greenlet's public names, with the answers that are
 * true of greenswitch.  What never does: anything that a greenlet needs to run. */
#include "greenlet/gs_greenlet.h"

#include <time.h>

static bool cleanup_enabled = true;

PyDoc_STRVAR(enable_optional_cleanup_doc,
"enable_optional_cleanup($module, enabled, /)\n--\n\n"
"Has no effect but on what get_clocks_used_doing_optional_cleanup() returns.\n\n"
"greenlet may search all objects for what a thread that ended has left behind.  Here nothing has to be\n"
"searched for.");

static PyObject *
probe_enable_optional_cleanup(PyObject *module, PyObject *enabled)
{
    (void)module;
    int truth = PyObject_IsTrue(enabled);
    if (truth < 0) {
        return NULL;
    }
    cleanup_enabled = truth;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(get_clocks_doc,
"get_clocks_used_doing_optional_cleanup($module, /)\n--\n\n"
"The processor time that the optional cleanup has taken, in 1/CLOCKS_PER_SEC seconds: 0.\n\n"
"None while it is disabled.");

static PyObject *
probe_get_clocks(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    if (!cleanup_enabled) {
        Py_RETURN_NONE;
    }
    return PyLong_FromLong(0);
}

PyDoc_STRVAR(get_pending_cleanup_count_doc,
"get_pending_cleanup_count($module, /)\n--\n\n"
"How many threads have ended and wait for another one to clean up after them: 0, each does it itself.");

static PyObject *
probe_get_pending_cleanup_count(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyLong_FromLong(0);
}

PyDoc_STRVAR(get_total_main_greenlets_doc,
"get_total_main_greenlets($module, /)\n--\n\n"
"How many main greenlets there are, of threads that have ended too.");

static PyObject *
probe_get_total_main_greenlets(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyLong_FromSsize_t(gs_main_count);
}

PyDoc_STRVAR(set_thread_local_doc,
"set_thread_local($module, key, value, /)\n--\n\n"
"Keep a value in the dictionary of the thread state, for as long as that is there.");

static PyObject *
probe_set_thread_local(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *key, *value;
    if (!PyArg_UnpackTuple(args, "set_thread_local", 2, 2, &key, &value)) {
        return NULL;
    }
    PyObject *dict = PyThreadState_GetDict(); /* borrowed */
    if (dict == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "this thread has no dictionary");
        return NULL;
    }
    if (PyDict_SetItem(dict, key, value) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(get_trash_nesting_doc,
"get_tstate_trash_delete_nesting($module, /)\n--\n\n"
"How deep this thread is in deallocations that the trashcan counts.");

static PyObject *
probe_get_trash_nesting(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyLong_FromLong(gs_py_trash_nesting(PyThreadState_Get()));
}

PyDoc_STRVAR(name_as_greenlet_doc,
"name_as_greenlet($module, /)\n--\n\n"
"Have the type and the exceptions say that they are greenlet's, in reprs, error messages and tracebacks.\n\n"
"For this process, once the name greenlet stands for greenswitch in it.");

static PyObject *
probe_name_as_greenlet(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    PyGreenlet_Type.tp_name = "greenlet.greenlet";
    PyType_Modified(&PyGreenlet_Type);
    PyObject *name = PyUnicode_FromString("greenlet");
    if (name == NULL) {
        return NULL;
    }
    int failed = PyObject_SetAttrString(gs_error, "__module__", name) < 0
                 || PyObject_SetAttrString(gs_exit, "__module__", name) < 0;
    Py_DECREF(name);
    if (failed) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(keep_chunks_doc,
"keep_chunks($module, keep, /)\n--\n\n"
"Have CPython's chunks of the data stack kept for the next who needs one, or not.\n\n"
"They are, for everybody in the process. What others cost without it can be measured only while they are not.");

static PyObject *
probe_keep_chunks(PyObject *module, PyObject *keep)
{
    (void)module;
    int is_true = PyObject_IsTrue(keep);
    if (is_true < 0) {
        return NULL;
    }
    gs_py_keep_chunks(is_true);
    Py_RETURN_NONE;
}

static PyMethodDef probes[] = {
    {"enable_optional_cleanup", probe_enable_optional_cleanup, METH_O, enable_optional_cleanup_doc},
    {"get_clocks_used_doing_optional_cleanup", probe_get_clocks, METH_NOARGS, get_clocks_doc},
    {"get_pending_cleanup_count", probe_get_pending_cleanup_count, METH_NOARGS,
     get_pending_cleanup_count_doc},
    {"get_total_main_greenlets", probe_get_total_main_greenlets, METH_NOARGS, get_total_main_greenlets_doc},
    {"keep_chunks", probe_keep_chunks, METH_O, keep_chunks_doc},
    {"name_as_greenlet", probe_name_as_greenlet, METH_NOARGS, name_as_greenlet_doc},
    {"set_thread_local", probe_set_thread_local, METH_VARARGS, set_thread_local_doc},
    {NULL, NULL, 0, NULL},
};

/* Only where the interpreter counts. */
static PyMethodDef trash_probe[] = {
    {"get_tstate_trash_delete_nesting", probe_get_trash_nesting, METH_NOARGS, get_trash_nesting_doc},
    {NULL, NULL, 0, NULL},
};

int
gs_probes_add(PyObject *module)
{
    if (PyModule_AddFunctions(module, probes) < 0
        || (gs_py_trash_nesting(PyThreadState_Get()) >= 0 && PyModule_AddFunctions(module, trash_probe) < 0)) {
        return -1;
    }
    if (PyModule_AddIntConstant(module, "CLOCKS_PER_SEC", CLOCKS_PER_SEC) < 0
        || PyModule_AddIntConstant(module, "GREENLET_USE_CONTEXT_VARS", 1) < 0
        || PyModule_AddIntConstant(module, "GREENLET_USE_GC", 1) < 0
        || PyModule_AddIntConstant(module, "GREENLET_USE_STANDARD_THREADING", 1) < 0
        || PyModule_AddIntConstant(module, "GREENLET_USE_TRACING", 1) < 0) {
        return -1;
    }
    return 0;
}
