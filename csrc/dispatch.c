/* Chooses the kernel table once, at start-up: the best tier that was built and that this CPU (and its system) can run. */
#include "fastdl.h"

#include <stdio.h>
#include <string.h>

extern const fd_kernels fd_kernels__generic;
#ifdef FD_HAVE_AVX2
extern const fd_kernels fd_kernels__avx2;
#endif
#ifdef FD_HAVE_AVX512
extern const fd_kernels fd_kernels__avx512;
#endif

static const fd_kernels *runnable[4]; /* ascending */
static int n_runnable;
static const fd_kernels *chosen;
static char names[64];

static void detect(void) {
    if (n_runnable) return;
    runnable[n_runnable++] = &fd_kernels__generic;
#if defined(__x86_64__) || defined(__i386__)
    __builtin_cpu_init(); /* checks XCR0 too: the system must save the wide registers */
#ifdef FD_HAVE_AVX2
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) runnable[n_runnable++] = &fd_kernels__avx2;
#endif
#ifdef FD_HAVE_AVX512
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma"))
        runnable[n_runnable++] = &fd_kernels__avx512;
#endif
#endif
    for (int i = 0; i < n_runnable; i++) {
        if (i) strcat(names, " ");
        strcat(names, runnable[i]->isa);
    }
}

const char *fd_isa_names(void) {
    detect();
    return names;
}

int fd_select_isa(const char *name) {
    detect();
    if (!name || !*name) {
        chosen = runnable[n_runnable - 1];
        return 0;
    }
    for (int i = 0; i < n_runnable; i++)
        if (!strcmp(runnable[i]->isa, name)) {
            chosen = runnable[i];
            return 0;
        }
    return -1;
}

const fd_kernels *fd_table(void) { return chosen; }
