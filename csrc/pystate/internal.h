/* CPython's own headers of frames and of the interpreter's state, which other extensions do not get to
 * see.  Only fields are read; functions are not exported, but for the one that a version's header names. */
#ifndef GS_INTERNAL_H
#define GS_INTERNAL_H

#define Py_BUILD_CORE
#undef _PyGC_FINALIZED /* 3.10 and 3.11 define it in a public header and again in an internal one */
#include <internal/pycore_interp.h>
#if PY_VERSION_HEX >= 0x030E0000
#include <internal/pycore_interpframe_structs.h>
#if PY_VERSION_HEX >= 0x030F0000
#include <internal/pycore_ceval.h>
#include <internal/pycore_stackref.h>
#endif
#elif PY_VERSION_HEX >= 0x030B0000
#include <internal/pycore_frame.h>
#endif
#undef Py_BUILD_CORE

#endif
