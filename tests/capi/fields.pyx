# A Cython subclass with C fields, and each name of greenswitch/__init__.pxd.
#
# What belongs here: what Cython has to get right.  What never does: what slots.c shows.

from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF

from greenswitch cimport (
    PyExc_GreenletError,
    PyExc_GreenletExit,
    PyGreenlet,
    PyGreenlet_ACTIVE,
    PyGreenlet_Check,
    PyGreenlet_GetCurrent,
    PyGreenlet_GetParent,
    PyGreenlet_Import,
    PyGreenlet_MAIN,
    PyGreenlet_New,
    PyGreenlet_SetParent,
    PyGreenlet_STARTED,
    PyGreenlet_Switch,
    PyGreenlet_Throw,
    greenlet,
)

PyGreenlet_Import()


log = []


cdef class Adder(greenlet):
    """Adds up what is switched in; `log` is told of each one's end and of its deallocation, in that order."""

    cdef public long total
    cdef double weight
    cdef public object other

    def __cinit__(self, *args, **kwargs):
        self.total = 0
        self.weight = 0.5

    def __dealloc__(self):
        log.append(f"dealloc {self.total} {self.weight}")

    def run(self, first):
        value = first
        try:
            while value is not None:
                self.total += value
                value = self.parent.switch(self.total)
        finally:
            log.append(f"end {self.total} {self.weight}")
        return -self.total


def names(function):
    """What each function of the API says."""
    cdef greenlet current = PyGreenlet_GetCurrent()
    cdef greenlet made = PyGreenlet_New(<PyObject *>function, NULL)
    cdef greenlet child = PyGreenlet_New(<PyObject *>function, <PyGreenlet *>made)
    cdef PyGreenlet *parent
    seen = [
        PyGreenlet_MAIN(current),
        PyGreenlet_STARTED(made),
        PyGreenlet_ACTIVE(current),
        PyGreenlet_Check(made),
        PyGreenlet_Check(function),
        PyGreenlet_GetParent(current) == NULL,
    ]
    parent = PyGreenlet_GetParent(child)
    seen.append(<greenlet>parent is made)
    Py_DECREF(<greenlet>parent)
    PyGreenlet_SetParent(child, current)
    arguments = (1, 2)
    seen.append(PyGreenlet_Switch(made, <PyObject *>arguments, NULL))
    seen.append(PyGreenlet_Throw(child, <PyObject *>PyExc_GreenletExit, NULL, NULL))
    try:
        PyGreenlet_SetParent(child, child)
    except ValueError as error:
        seen.append(str(error))
    try:
        PyGreenlet_SetParent(child, None)
    except TypeError as error:
        seen.append(str(error))
    seen.append(issubclass(<object>PyExc_GreenletError, Exception))
    return seen
