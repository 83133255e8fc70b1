/* CPython's own header of frames, which other extensions do not get to see.  Only fields are read from
 * it; no function of it is called, because they are not exported. */
#ifndef GS_INTERNAL_H
#define GS_INTERNAL_H

#define Py_BUILD_CORE
#include <internal/pycore_frame.h>
#undef Py_BUILD_CORE

#endif
