/* The data of pystate/ that the whole module shares, and the check that it can be used at all. */
#include "pystate/gs_pystate.h"

#if PY_VERSION_HEX >= 0x030B0000
gs_chunk_list gs_free_chunks;

/* Chunks of CPython's data stack that were given back, for the next calls that go deep.
 *
 * A greenlet that waits just below the edge of its chunk crosses it with every call, and CPython asks the
 * kernel for a mapping and gives it back each time: some 8 us, and a page fault for each page of it.  So
 * our allocator stands before the one that it asks, and keeps a few.  Every interpreter of the process
 * uses it, each perhaps under a lock of its own; each place is taken and filled by one atomic step. */
enum {
    CPYTHON_CHUNK_BYTES = 16 * 1024,
    CPYTHON_CHUNKS_KEPT = 16,
};

static PyObjectArenaAllocator behind;
static void *kept[CPYTHON_CHUNKS_KEPT];
static bool is_keeping = true;

static void *
arena_alloc(void *Py_UNUSED(context), size_t size)
{
    if (size == CPYTHON_CHUNK_BYTES && is_keeping) {
        for (int i = 0; i < CPYTHON_CHUNKS_KEPT; i++) {
            if (__atomic_load_n(&kept[i], __ATOMIC_RELAXED) != NULL) {
                void *chunk = __atomic_exchange_n(&kept[i], NULL, __ATOMIC_ACQUIRE);
                if (chunk != NULL) {
                    return chunk;
                }
            }
        }
    }
    return behind.alloc(behind.ctx, size);
}

static void
arena_free(void *Py_UNUSED(context), void *memory, size_t size)
{
    if (size == CPYTHON_CHUNK_BYTES && is_keeping) {
        for (int i = 0; i < CPYTHON_CHUNKS_KEPT; i++) {
            void *empty = NULL;
            if (__atomic_load_n(&kept[i], __ATOMIC_RELAXED) == NULL &&
                __atomic_compare_exchange_n(&kept[i], &empty, memory, false, __ATOMIC_RELEASE,
                                            __ATOMIC_RELAXED)) {
                return;
            }
        }
    }
    behind.free(behind.ctx, memory, size);
}

static void
keep_chunks(void)
{
    PyObjectArenaAllocator present;
    PyObject_GetArenaAllocator(&present);
    if (present.alloc != arena_alloc && behind.alloc == NULL) {
        behind = present;
        PyObjectArenaAllocator ours = {NULL, arena_alloc, arena_free};
        PyObject_SetArenaAllocator(&ours);
    }
}

void
gs_py_keep_chunks(bool keep)
{
    is_keeping = keep;
}
#else
static void
keep_chunks(void)
{
}

void
gs_py_keep_chunks(bool keep)
{
    (void)keep;
}
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
        keep_chunks();
        return 0;
    }
    PyErr_Format(PyExc_ImportError,
                 "greenswitch was built for CPython " PY_VERSION " and cannot run on %s: the two keep their "
                 "state differently. Build greenswitch with this interpreter.",
                 Py_GetVersion());
    return -1;
}
