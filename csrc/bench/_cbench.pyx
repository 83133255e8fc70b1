# cython: language_level=3, binding=False, embedsignature=False, auto_pickle=False
"""The C-level microbenchmarks, to be driven from Python.

What belongs here: calls of the loops of gs_bench.h, and loops over greenlet's C API.  What never does: how
often to measure, and printing; both are for greenswitch/bench.

The C API is taken from the capsule that is handed in, so that any module that has one is measured by the
same code.  What the capsule's slots are is part of that API and the same in all of them.
"""

from cpython.object cimport PyObject
from cpython.pycapsule cimport PyCapsule_GetName, PyCapsule_GetPointer


cdef extern from "bench/gs_bench.h":
    double gs_bench_raw(long count)
    double gs_bench_raw_apart(long count)
    double gs_bench_start(long count)
    double gs_bench_slices(size_t size, long count, size_t *saved)
    void gs_bench_below(int depth, void (*call)(void *) noexcept, void *context)


# PyGreenlet_Switch(greenlet, args, kwargs) returns a new reference, or NULL with an exception.
ctypedef object (*switch_function)(PyObject *, PyObject *, PyObject *)

cdef enum:
    SWITCH_SLOT = 6
    DEEPEST = 10_000  # C frames; more than this does not fit on the stack of every thread


cdef double checked(double seconds) except -1:
    if seconds < 0:
        raise MemoryError
    return seconds


def raw(long count) -> float:
    """Seconds for a switch of registers between two places in the same loop."""
    return checked(gs_bench_raw(count))


def raw_apart(long count) -> float:
    """Seconds for a switch of registers between two places in loops of their own."""
    return checked(gs_bench_raw_apart(count))


def start(long count) -> float:
    """Seconds for starting an activity that ends at once, the end included."""
    return checked(gs_bench_start(count))


def slices(size_t size, long count) -> tuple[float, int]:
    """Seconds for a switch between two slices that both need the same bytes, `size` or a few less; and
    how many bytes that were."""
    cdef size_t saved = 0
    cdef double seconds = checked(gs_bench_slices(size, count, &saved))
    return seconds, saved


cdef class Switch:
    """greenlet's C API, by its capsule: calling `switch(greenlet, count)` switches to `greenlet` so many
    times, from C, with nothing handed over."""

    cdef switch_function switch

    def __init__(self, capsule):
        cdef void **slots = <void **>PyCapsule_GetPointer(capsule, PyCapsule_GetName(capsule))
        self.switch = <switch_function>slots[SWITCH_SLOT]

    def __call__(self, greenlet, long count):
        while count > 0:
            count -= 1
            self.switch(<PyObject *>greenlet, NULL, NULL)


cdef class Call:
    """A call to be made below some C frames, and its outcome."""

    cdef object function, result, error

    cdef void make(self) noexcept:
        try:
            self.result = self.function()
        except BaseException as error:
            self.error = error


cdef void make_call(void *context) noexcept:
    (<Call>context).make()


def below(int depth, function):
    """What function() returns or raises, called below `depth` C frames of some 128 bytes each."""
    if not 0 <= depth <= DEEPEST:
        raise ValueError(f"the depth is to be between 0 and {DEEPEST}, not {depth}")
    cdef Call call = Call()
    call.function = function
    gs_bench_below(depth, make_call, <void *>call)
    if call.error is not None:
        raise call.error
    return call.result
