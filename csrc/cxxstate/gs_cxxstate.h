/* What of the C++ runtime travels with a greenlet: the exceptions that are being handled or thrown.
 *
 * What belongs here: finding the C++ runtime's own structure, in a process that may have none.  What never
 * does: C++, a dependency on its runtime, Python.
 *
 * The runtime keeps, for each native thread, a stack of the exceptions that are in `catch` blocks and a count
 * of those in flight (Itanium C++ ABI: Exception Handling, 2.2.2).  Two greenlets that switch inside of their
 * `catch` blocks would each find the other's exception on top of that stack: `throw;` would throw the wrong one,
 * the end of the block destroy the wrong one.
 *
 * So whoever switches while the structure is in use puts it away, into its own stack frame, leaves it empty
 * behind, and puts it back when it goes on.  That keeps one invariant: whoever arrives from a switch, or
 * begins, finds it empty.  A switch while it is empty, as nearly all are, only has to look.
 *
 * Rejected: linking to the runtime, or a weak reference to __cxa_get_globals.  The one makes every program pay
 * for it; the other finds nothing, because a runtime that comes with an extension module is not in the global
 * scope.
 *
 * Not covered: runtimes that are linked statically into an extension and show no symbols, the second of two
 * runtimes, and catch blocks in a thread that has started no greenlet since the runtime came.
 */
#ifndef GS_CXXSTATE_H
#define GS_CXXSTATE_H

#include <stdbool.h>
#include <stddef.h>

#if defined(__GNUC__)
#define GS_CXXSTATE_HIDDEN __attribute__((visibility("hidden")))
#else
#define GS_CXXSTATE_HIDDEN
#endif

/* The ABI's __cxa_eh_globals. */
typedef struct gs_cxxstate {
    void *caught;          /* top of the stack of exceptions that are being handled */
    unsigned int uncaught; /* how many are in flight */
} gs_cxxstate;

/* Look for a C++ runtime among the libraries of the process.  Once it is found, it stays.  Some
 * microseconds while there is none. */
GS_CXXSTATE_HIDDEN void gs_cxxstate_find(void);

/* Whether one has been found. */
GS_CXXSTATE_HIDDEN extern bool gs_cxxstate_is_found;

/* The calling native thread's structure, or one that is always empty while no runtime has been found. */
GS_CXXSTATE_HIDDEN gs_cxxstate *gs_cxxstate_here(void);

static inline bool
gs_cxxstate_in_use(const gs_cxxstate *state)
{
    return state->caught != NULL || state->uncaught != 0;
}

#endif
