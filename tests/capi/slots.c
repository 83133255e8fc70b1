/* Each slot of greenlet's C API, called with whatever a test wants to pass.
 *
 * What belongs here: passing arguments on, and telling what came of it.  What never does: checks of its own.
 *
 * Compiled against our header and against greenlet's: only names that both have.
 */
#include <greenlet/greenlet.h>

#include <string.h>

/* What a call has given: "result", or "Error: message".  Takes over the reference. */
static PyObject *
outcome(PyObject *result)
{
    PyObject *error = PyErr_Occurred();
    if (result != NULL && error == NULL) {
        PyObject *text = PyObject_Repr(result);
        Py_DECREF(result);
        return text;
    }
    if (result != NULL) {
        Py_DECREF(result);
        PyErr_Clear();
        return PyUnicode_FromString("a result and an exception");
    }
    if (error == NULL) {
        return PyUnicode_FromString("NULL");
    }
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    PyObject *text = PyUnicode_FromFormat("%s: %S", ((PyTypeObject *)type)->tp_name, value);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    return text;
}

/* The same for a flag: "0", "1", or "-1 Error: message". */
static PyObject *
flag(int value)
{
    if (value == -1) {
        PyObject *error = outcome(NULL);
        PyObject *text = error == NULL ? NULL : PyUnicode_FromFormat("-1 %S", error);
        Py_XDECREF(error);
        return text;
    }
    return outcome(PyLong_FromLong(value));
}

/* call(slot, *args): `...` stands for NULL. */
static PyObject *
call(PyObject *module, PyObject *args)
{
    (void)module;
    const char *slot;
    PyObject *given[4] = {NULL, NULL, NULL, NULL};
    if (!PyArg_ParseTuple(args, "s|OOOO:call", &slot, &given[0], &given[1], &given[2], &given[3])) {
        return NULL;
    }
    for (int i = 0; i < 4; i++) {
        if (given[i] == Py_Ellipsis) {
            given[i] = NULL;
        }
    }
    PyGreenlet *self = (PyGreenlet *)given[0];
    if (strcmp(slot, "New") == 0) {
        return outcome((PyObject *)PyGreenlet_New(given[0], (PyGreenlet *)given[1]));
    }
    if (strcmp(slot, "GetCurrent") == 0) {
        return outcome((PyObject *)PyGreenlet_GetCurrent());
    }
    if (strcmp(slot, "Throw") == 0) {
        return outcome(PyGreenlet_Throw(self, given[1], given[2], given[3]));
    }
    if (strcmp(slot, "Switch") == 0) {
        return outcome(PyGreenlet_Switch(self, given[1], given[2]));
    }
    if (strcmp(slot, "SetParent") == 0) {
        return flag(PyGreenlet_SetParent(self, (PyGreenlet *)given[1]));
    }
    if (strcmp(slot, "GetParent") == 0) {
        return outcome((PyObject *)PyGreenlet_GetParent(self));
    }
    if (strcmp(slot, "GET_PARENT") == 0) {
        return outcome((PyObject *)PyGreenlet_GET_PARENT(self));
    }
    if (strcmp(slot, "MAIN") == 0) {
        return flag(PyGreenlet_MAIN(self));
    }
    if (strcmp(slot, "STARTED") == 0) {
        return flag(PyGreenlet_STARTED(self));
    }
    if (strcmp(slot, "ACTIVE") == 0) {
        return flag(PyGreenlet_ACTIVE(self));
    }
    if (strcmp(slot, "Check") == 0) {
        return flag(PyGreenlet_Check(given[0]));
    }
    return PyErr_Format(PyExc_LookupError, "no slot %s", slot);
}

/* switch_many(greenlet, count): the sum of what so many switches from C give. */
static PyObject *
switch_many(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *greenlet;
    long count, sum = 0;
    if (!PyArg_ParseTuple(args, "O!l:switch_many", &PyGreenlet_Type, &greenlet, &count)) {
        return NULL;
    }
    for (long i = 0; i < count; i++) {
        PyObject *result = PyGreenlet_Switch((PyGreenlet *)greenlet, NULL, NULL);
        if (result == NULL) {
            return NULL;
        }
        sum += PyLong_AsLong(result);
        Py_DECREF(result);
    }
    return PyLong_FromLong(sum);
}

static PyMethodDef methods[] = {
    {"call", call, METH_VARARGS, NULL},
    {"switch_many", switch_many, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "slots", NULL, -1, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC
PyInit_slots(void)
{
    PyGreenlet_Import();
    if (_PyGreenlet_API == NULL) {
        return NULL;
    }
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL || PyModule_AddIntConstant(module, "pointers", PyGreenlet_API_pointers) < 0
        || PyModule_AddStringConstant(module, "version", GREENLET_VERSION) < 0) {
        return NULL;
    }
    Py_INCREF(&PyGreenlet_Type);
    Py_INCREF(PyExc_GreenletError);
    Py_INCREF(PyExc_GreenletExit);
    if (PyModule_AddObject(module, "type", (PyObject *)&PyGreenlet_Type) < 0
        || PyModule_AddObject(module, "error", PyExc_GreenletError) < 0
        || PyModule_AddObject(module, "exit", PyExc_GreenletExit) < 0) {
        return NULL;
    }
    return module;
}
