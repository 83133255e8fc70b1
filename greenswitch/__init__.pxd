# The C API for Cython: `from greenswitch cimport greenlet, PyGreenlet_Import, PyGreenlet_Switch`.
#
# What belongs here: the names of <greenlet/greenlet.h>, with the errors that Cython has to look for.  What
# never does: what the names do, which is said in that header.
#
# The type needs nothing more than the cimport.  Everything else needs PyGreenlet_Import() to be called before
# it, once in each module.  The C compiler needs -I with greenswitch.get_include().

from cpython.object cimport PyObject


cdef extern from "greenlet/greenlet.h":
    # For pointers that may be NULL: (<PyGreenlet *>g) and (<greenlet>pointer) convert.
    ctypedef struct PyGreenlet:
        pass

    # `cdef class Mine(greenlet)` makes a subclass with C fields.
    ctypedef class greenswitch.greenlet [object PyGreenlet, check_size error]:
        pass

    PyObject *PyExc_GreenletError
    PyObject *PyExc_GreenletExit

    int PyGreenlet_Import() except -1
    bint PyGreenlet_Check(object op)

    # Pointers may be NULL.
    greenlet PyGreenlet_New(PyObject *run, PyGreenlet *parent)
    greenlet PyGreenlet_GetCurrent()
    object PyGreenlet_Throw(greenlet g, PyObject *type, PyObject *value, PyObject *traceback)
    object PyGreenlet_Switch(greenlet g, PyObject *args, PyObject *kwargs)
    int PyGreenlet_SetParent(greenlet g, greenlet parent) except -1
    bint PyGreenlet_MAIN(greenlet g) except -1
    bint PyGreenlet_STARTED(greenlet g) except -1
    bint PyGreenlet_ACTIVE(greenlet g) except -1

    # A new reference; NULL without an exception says that there is none.
    PyGreenlet *PyGreenlet_GetParent(greenlet g) except? NULL
