/* Where the running code was called from, for those who want to keep it: callsites().
 *
 * What belongs here: a stack of calls as code objects and positions.  What never does: lines and texts;
 * they are made of it in Python, if anybody asks.
 *
 * Most greenlets of a program are spawned at the same few places.  The stack that was told last is kept, and
 * while the same one is asked for again it is told again: no allocation, and one object for all of them. */
#include "greenlet/gs_greenlet.h"

PyDoc_STRVAR(callsites_doc,
"callsites(limit, /)\n--\n\n"
"Where the calling function was called from, the innermost first, at most `limit` calls:\n"
"(code object, f_lasti, code object, f_lasti, ...).");

static PyObject *last_told; /* a tuple as callsites() returns; NULL at first */

void
gs_callsites_setup(void)
{
    last_told = NULL;
}

/* The frame behind `frame`, whose reference is taken over; NULL: none. */
static PyFrameObject *
pop_frame(PyFrameObject *frame)
{
    PyFrameObject *back = PyFrame_GetBack(frame);
    Py_DECREF(frame);
    return back;
}

/* The frame that the calling function was called from; a new reference, or NULL without an error. */
static PyFrameObject *
first_frame(void)
{
    PyFrameObject *own = PyEval_GetFrame();
    return own == NULL ? NULL : PyFrame_GetBack(own);
}

/* Are these the call sites of `told`, from its beginning?  How many there are goes to `count`. */
static bool
is_told(PyObject *told, Py_ssize_t limit, Py_ssize_t *count)
{
    Py_ssize_t known = told == NULL ? 0 : PyTuple_GET_SIZE(told) / 2;
    bool same = true;
    Py_ssize_t i = 0;
    PyFrameObject *frame = first_frame();
    for (; frame != NULL && i < limit; i++) {
        if (same) {
            PyCodeObject *code = PyFrame_GetCode(frame);
            same = i < known && PyTuple_GET_ITEM(told, 2 * i) == (PyObject *)code
                   && PyLong_AsLong(PyTuple_GET_ITEM(told, 2 * i + 1)) == PyFrame_GetLasti(frame);
            Py_DECREF(code);
        }
        frame = pop_frame(frame);
    }
    Py_XDECREF(frame);
    *count = i;
    return same && i == known && told != NULL;
}

static PyObject *
module_callsites(PyObject *module, PyObject *argument)
{
    (void)module;
    Py_ssize_t limit = PyNumber_AsSsize_t(argument, PyExc_OverflowError);
    if (limit == -1 && PyErr_Occurred()) {
        return NULL;
    }
    Py_ssize_t count;
    bool same = is_told(last_told, limit, &count);
    if (PyErr_Occurred()) { /* no memory for the object of a frame, which looks like the last one then */
        return NULL;
    }
    if (same) {
        return Py_NewRef(last_told);
    }
    PyObject *told = PyTuple_New(2 * count);
    if (told == NULL) {
        return NULL;
    }
    /* The collector may run in between, and with it code that is called here: the frames stay what they
     * are, but nothing is taken from `last_told` any more. */
    PyFrameObject *frame = first_frame();
    for (Py_ssize_t i = 0; i < count && frame != NULL; i++) {
        PyObject *position = PyLong_FromLong(PyFrame_GetLasti(frame));
        if (position == NULL) {
            Py_DECREF(frame);
            Py_DECREF(told);
            return NULL;
        }
        PyTuple_SET_ITEM(told, 2 * i, (PyObject *)PyFrame_GetCode(frame));
        PyTuple_SET_ITEM(told, 2 * i + 1, position);
        frame = pop_frame(frame);
    }
    Py_XDECREF(frame);
    Py_XSETREF(last_told, Py_NewRef(told));
    return told;
}

PyMethodDef gs_callsites_methods[] = {
    {"callsites", module_callsites, METH_O, callsites_doc},
    {NULL, NULL, 0, NULL},
};
