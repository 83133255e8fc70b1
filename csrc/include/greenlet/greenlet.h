/* The C API for other extension modules: greenlet's, slot for slot.
 *
 * What belongs here: what a module needs that makes, switches or subclasses greenlets in C, C++ or Cython.
 * What never does: anything that greenlet's own table does not have, because the same binary is to run with
 * either.
 *
 *     cc -I$(python -c 'import greenswitch; print(greenswitch.get_include())') ...
 *
 *     #include <greenlet/greenlet.h>
 *
 *     PyMODINIT_FUNC
 *     PyInit_example(void)
 *     {
 *         if (PyGreenlet_Import() < 0) {
 *             return NULL;
 *         }
 *         ...
 *
 * Each source file that uses the names below calls PyGreenlet_Import() once, before all others.  The GIL must
 * be held in every call.
 *
 * Whose greenlets?  A module built with this header takes those of greenswitch, and those of greenlet only
 * where greenswitch is not installed - whatever else the program has imported, and in whatever order: the two
 * packages' greenlets cannot be switched to one another, so this must not depend on chance.  A module built
 * with greenlet's own header takes what is imported under the name `greenlet`: greenlet itself, or
 * greenswitch once it has been put in its place.
 *
 * A type of your own on top of PyGreenlet_Type: its struct begins with a PyGreenlet, its tp_base is set to
 * &PyGreenlet_Type after PyGreenlet_Import(), and its tp_dealloc calls PyObject_CallFinalizerFromDealloc()
 * before it touches anything: a suspended greenlet is ended there, and the code that ends may use all fields.
 *
 * The include guard is greenlet's, so that a source file which meets both headers uses the first.
 */
#ifndef Py_GREENLETOBJECT_H
#define Py_GREENLETOBJECT_H

#include <Python.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Has never changed, and never will: say nothing about releases with it. */
#define GREENLET_VERSION "1.0.0"

/* The implementation alone defines GREENLET_MODULE.  To everybody else `pimpl` is opaque. */
#ifdef GREENLET_MODULE
typedef struct gs_greenlet *implementation_ptr_t;
#else
typedef void *implementation_ptr_t;
#endif

/* Exactly this shape and size: compiled extensions subclass it. */
typedef struct _greenlet {
    PyObject_HEAD
    PyObject *weakreflist;
    PyObject *dict;
    implementation_ptr_t pimpl; /* never NULL between tp_new and tp_dealloc */
} PyGreenlet;

/* The slots of the table, by number. */
#define PyGreenlet_Type_NUM 0
#define PyExc_GreenletError_NUM 1
#define PyExc_GreenletExit_NUM 2
#define PyGreenlet_New_NUM 3
#define PyGreenlet_GetCurrent_NUM 4
#define PyGreenlet_Throw_NUM 5
#define PyGreenlet_Switch_NUM 6
#define PyGreenlet_SetParent_NUM 7
#define PyGreenlet_MAIN_NUM 8
#define PyGreenlet_STARTED_NUM 9
#define PyGreenlet_ACTIVE_NUM 10
#define PyGreenlet_GET_PARENT_NUM 11
#define PyGreenlet_API_pointers 12

/* The same table with its types.  Where a function takes a greenlet, anything else - NULL too - is a
 * TypeError. */
typedef struct PyGreenlet_Table {
    PyTypeObject *Type;
    PyObject *Error; /* greenlet.error */
    PyObject *Exit;  /* greenlet.GreenletExit */

    /* A greenlet that has not been started.  `run` may be NULL: it is to be set before the start.  `parent`
     * may be NULL: the current greenlet. */
    PyGreenlet *(*New)(PyObject *run, PyGreenlet *parent);

    /* A new reference.  NULL with an exception while the interpreter is being finalised. */
    PyGreenlet *(*GetCurrent)(void);

    /* greenlet.throw(type, value, traceback); `value` and `traceback` may be NULL.  `type` may be an
     * exception; it must not be NULL.  Results as of Switch. */
    PyObject *(*Throw)(PyGreenlet *greenlet, PyObject *type, PyObject *value, PyObject *traceback);

    /* greenlet.switch(*args, **kwargs), either of which may be NULL.  `args` is a tuple; anything else is
     * handed over as the only argument.  `kwargs` is ignored if it is not a dict.  Returns, as a new
     * reference, what is handed over when somebody switches back, or NULL with the exception that is thrown
     * in. */
    PyObject *(*Switch)(PyGreenlet *greenlet, PyObject *args, PyObject *kwargs);

    /* greenlet.parent = parent.  0, or -1 with an exception. */
    int (*SetParent)(PyGreenlet *greenlet, PyGreenlet *parent);

    /* Whether it is its thread's main greenlet; whether it has been started, even if it has ended since;
     * whether it has been started and has not ended.  1, 0, or -1 with an exception. */
    int (*Main)(PyGreenlet *greenlet);
    int (*Started)(PyGreenlet *greenlet);
    int (*Active)(PyGreenlet *greenlet);

    /* A new reference.  NULL without an exception: it has none, as main greenlets. */
    PyGreenlet *(*GetParent)(PyGreenlet *greenlet);
} PyGreenlet_Table;

#ifndef GREENLET_MODULE

static void **_PyGreenlet_API = NULL;

#define _PyGreenlet_TABLE ((const PyGreenlet_Table *)(const void *)_PyGreenlet_API)

#define PyGreenlet_Type (*_PyGreenlet_TABLE->Type)
#define PyExc_GreenletError (_PyGreenlet_TABLE->Error)
#define PyExc_GreenletExit (_PyGreenlet_TABLE->Exit)
#define PyGreenlet_New (_PyGreenlet_TABLE->New)
#define PyGreenlet_GetCurrent (_PyGreenlet_TABLE->GetCurrent)
#define PyGreenlet_Throw (_PyGreenlet_TABLE->Throw)
#define PyGreenlet_Switch (_PyGreenlet_TABLE->Switch)
#define PyGreenlet_SetParent (_PyGreenlet_TABLE->SetParent)
#define PyGreenlet_MAIN (_PyGreenlet_TABLE->Main)
#define PyGreenlet_STARTED (_PyGreenlet_TABLE->Started)
#define PyGreenlet_ACTIVE (_PyGreenlet_TABLE->Active)
#define PyGreenlet_GetParent (_PyGreenlet_TABLE->GetParent)
#define PyGreenlet_GET_PARENT PyGreenlet_GetParent

/* Whether `op`, which may be NULL, is a greenlet, of whatever subclass. */
#define PyGreenlet_Check(op) _PyGreenlet_Check((PyObject *)(op))

static inline int
_PyGreenlet_Check(PyObject *op)
{
    return op != NULL && PyObject_TypeCheck(op, &PyGreenlet_Type);
}

/* 0, or -1 with an exception, and _PyGreenlet_API is NULL then. */
static inline int
PyGreenlet_Import(void)
{
    PyObject *type, *value, *traceback;
    _PyGreenlet_API = (void **)PyCapsule_Import("greenswitch._C_API", 0);
    if (_PyGreenlet_API != NULL) {
        return 0;
    }
    if (!PyErr_ExceptionMatches(PyExc_ImportError)) {
        return -1;
    }
    PyErr_Fetch(&type, &value, &traceback);
    _PyGreenlet_API = (void **)PyCapsule_Import("greenlet._C_API", 0);
    if (_PyGreenlet_API == NULL) {
        /* What is missing is greenswitch. */
        PyErr_Restore(type, value, traceback);
        return -1;
    }
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    return 0;
}

#endif /* GREENLET_MODULE */

#ifdef __cplusplus
}
#endif

#endif
