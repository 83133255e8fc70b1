/* Finding the C++ runtime.  See gs_cxxstate.h for what it is wanted for. */
#define _GNU_SOURCE /* RTLD_DEFAULT, dl_iterate_phdr */
#include "cxxstate/gs_cxxstate.h"

#include <dlfcn.h>
#include <limits.h>
#include <link.h>
#include <string.h>

/* glibc 2.34 has moved these into its main library, under a new version.  The old versions are there as well;
 * with them a core that was built on a new system runs on old ones. */
#if defined(__GLIBC__) && defined(__x86_64__)
__asm__(".symver dlopen, dlopen@GLIBC_2.2.5");
__asm__(".symver dlsym, dlsym@GLIBC_2.2.5");
#elif defined(__GLIBC__) && defined(__aarch64__)
__asm__(".symver dlopen, dlopen@GLIBC_2.17");
__asm__(".symver dlsym, dlsym@GLIBC_2.17");
#endif

typedef gs_cxxstate *get_globals(void);

bool gs_cxxstate_is_found;

static gs_cxxstate no_runtime;

static gs_cxxstate *
get_nothing(void)
{
    return &no_runtime;
}

static get_globals *globals = get_nothing;

/* Whether a library with this path is a C++ runtime: GNU's or LLVM's, under its own name or, in a wheel that
 * brings it along, one with something more in it. */
static bool
is_runtime(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    return strncmp(name, "libstdc++", 9) == 0 || strncmp(name, "libc++abi", 9) == 0;
}

/* For dl_iterate_phdr: stops at the first runtime, with its path in `found`. */
static int
visit_library(struct dl_phdr_info *library, size_t size, void *found)
{
    (void)size;
    const char *path = library->dlpi_name;
    if (path == NULL || !is_runtime(path) || strlen(path) >= PATH_MAX) {
        return 0;
    }
    strcpy(found, path);
    return 1;
}

void
gs_cxxstate_find(void)
{
    static const char symbol[] = "__cxa_get_globals";
    char path[PATH_MAX];
    void *found = dlsym(RTLD_DEFAULT, symbol);
    if (found == NULL && dl_iterate_phdr(visit_library, path)) {
        /* The handle is kept, so that the library stays. */
        void *library = dlopen(path, RTLD_LAZY | RTLD_NOLOAD);
        found = library == NULL ? NULL : dlsym(library, symbol);
    }
    if (found != NULL) {
        globals = (get_globals *)found;
        gs_cxxstate_is_found = true;
    }
}

gs_cxxstate *
gs_cxxstate_here(void)
{
    return globals();
}
