/* The data of pystate/ that the whole module shares, and the check that it can be used at all. */
#include "pystate/gs_pystate.h"

#if PY_VERSION_HEX >= 0x030B0000
gs_chunk_list gs_free_chunks;
#endif

#if PY_VERSION_HEX >= 0x030D0000
struct _gil_runtime_state *gs_py_gil;

/* Whether the lock's holder is where we look for it. */
static bool
finds_holder(PyThreadState *ts)
{
    gs_py_gil = ts->interp->ceval.gil;
    return gs_py_gil != NULL && gs_py_current() == ts;
}
#else
static bool
finds_holder(PyThreadState *ts)
{
    return gs_py_current() == ts;
}
#endif

/* Whether the garbage collector's state is where we look for it: its `enabled` lies beside `collecting`. */
static bool
finds_collector(PyThreadState *ts)
{
    int before = PyGC_Disable();
    int disabled = ts->interp->gc.enabled;
    PyGC_Enable();
    int enabled = ts->interp->gc.enabled;
    if (!before) {
        PyGC_Disable();
    }
    return !disabled && enabled == 1;
}

int
gs_py_setup(void)
{
    PyThreadState *ts = PyThreadState_Get();
    if (finds_holder(ts) && finds_collector(ts)) {
        return 0;
    }
    PyErr_Format(PyExc_ImportError,
                 "greenswitch was built for CPython " PY_VERSION " and cannot run on %s: the two keep their "
                 "state differently. Build greenswitch with this interpreter.",
                 Py_GetVersion());
    return -1;
}
