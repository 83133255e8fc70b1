/* CPython's own headers of frames and of the interpreter's state, which other extensions do not get to
 * see.  Only fields are read; no function is called, because they are not exported. */
#ifndef GS_INTERNAL_H
#define GS_INTERNAL_H

#define Py_BUILD_CORE
#undef _PyGC_FINALIZED /* 3.10 and 3.11 define it in a public header and again in an internal one */
#include <internal/pycore_interp.h>
#if PY_VERSION_HEX >= 0x030E0000
#include <internal/pycore_interpframe_structs.h>
#elif PY_VERSION_HEX >= 0x030B0000
#include <internal/pycore_frame.h>
#endif
#undef Py_BUILD_CORE

#endif
