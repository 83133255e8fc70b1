/* A static type on top of PyGreenlet_Type, with fields of its own, as compiled extensions make them.
 *
 * What belongs here: the type `Counter`.  What never does: what can be done in Python.
 *
 * Compiled against our header and against greenlet's: only names that both have.
 */
#include <greenlet/greenlet.h>

#include <stddef.h>
#include <structmember.h>

static long deallocated; /* Counters whose deallocator has gone through */

typedef struct Counter {
    PyGreenlet base;
    long count;       /* what run() has counted to */
    PyObject *other;  /* counted; anything, so that cycles go through it */
    PyObject *log;    /* counted; NULL or a list that the deallocator writes to */
} Counter;

static PyObject *
counter_run(PyObject *object, PyObject *args)
{
    (void)args;
    Counter *self = (Counter *)object;
    for (;;) {
        self->count++;
        PyGreenlet *parent = PyGreenlet_GetParent(&self->base);
        if (parent == NULL) {
            return NULL;
        }
        PyObject *number = Py_BuildValue("(l)", self->count);
        PyObject *result = number == NULL ? NULL : PyGreenlet_Switch(parent, number, NULL);
        Py_XDECREF(number);
        Py_DECREF(parent);
        if (result == NULL) {
            /* However it ends, its fields must still be there. */
            if (self->log != NULL) {
                PyObject *type, *value, *traceback;
                PyErr_Fetch(&type, &value, &traceback);
                PyObject *line = PyUnicode_FromFormat("%s at %ld", ((PyTypeObject *)type)->tp_name, self->count);
                if (line == NULL || PyList_Append(self->log, line) < 0) {
                    PyErr_Clear();
                }
                Py_XDECREF(line);
                PyErr_Restore(type, value, traceback);
            }
            return NULL;
        }
        if (result == Py_False) {
            Py_DECREF(result);
            return PyLong_FromLong(-self->count);
        }
        Py_DECREF(result);
    }
}

static int
counter_traverse(PyObject *object, visitproc visit, void *arg)
{
    Counter *self = (Counter *)object;
    Py_VISIT(self->other);
    Py_VISIT(self->log);
    return PyGreenlet_Type.tp_traverse(object, visit, arg);
}

static int
counter_clear(PyObject *object)
{
    Counter *self = (Counter *)object;
    Py_CLEAR(self->other);
    return PyGreenlet_Type.tp_clear(object);
}

static void
counter_dealloc(PyObject *object)
{
    Counter *self = (Counter *)object;
    if (PyObject_CallFinalizerFromDealloc(object) < 0) {
        return; /* resurrected */
    }
    PyObject_GC_UnTrack(object);
    if (self->log != NULL) {
        PyObject *line = PyUnicode_FromString("dealloc");
        if (line == NULL || PyList_Append(self->log, line) < 0) {
            PyErr_Clear();
        }
        Py_XDECREF(line);
    }
    Py_CLEAR(self->other);
    Py_CLEAR(self->log);
    deallocated++;
    PyGreenlet_Type.tp_dealloc(object);
}

static PyMethodDef counter_methods[] = {
    {"run", counter_run, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef counter_members[] = {
    {"count", T_LONG, offsetof(Counter, count), 0, NULL},
    {"other", T_OBJECT, offsetof(Counter, other), 0, NULL},
    {"log", T_OBJECT, offsetof(Counter, log), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyTypeObject CounterType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "subclass.Counter",
    .tp_basicsize = sizeof(Counter),
    .tp_dealloc = counter_dealloc,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_traverse = counter_traverse,
    .tp_clear = counter_clear,
    .tp_methods = counter_methods,
    .tp_members = counter_members,
};

static PyObject *
get_deallocated(PyObject *module, PyObject *args)
{
    (void)module;
    (void)args;
    return PyLong_FromLong(deallocated);
}

static PyMethodDef methods[] = {
    {"deallocated", get_deallocated, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "subclass", NULL, -1, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC
PyInit_subclass(void)
{
    PyGreenlet_Import();
    if (_PyGreenlet_API == NULL) {
        return NULL;
    }
    CounterType.tp_base = &PyGreenlet_Type;
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL || PyType_Ready(&CounterType) < 0
        || PyModule_AddObjectRef(module, "Counter", (PyObject *)&CounterType) < 0) {
        return NULL;
    }
    return module;
}
