/* The data of pystate/ that the whole module shares. */
#include "pystate/gs_pystate.h"

#if PY_VERSION_HEX >= 0x030B0000
gs_chunk_list gs_free_chunks;
#endif
