/* Stresses the thread team and the memory pool; built with ThreadSanitizer (and AddressSanitizer) by tools/sanitize.sh.
 *
 * Four threads start jobs at once while a fifth changes the number of threads; every chunk must run exactly once, results
 * written by the workers must be seen by the caller, and blocks of the pool must belong to one owner at a time.
 */
#include "fastdl.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define JOBS 400
#define CALLERS 4

typedef struct {
    long n;
    int *count; /* plain ints: a chunk that ran twice, or a write the caller cannot see, is a data race */
    long depth;
} job;

static void chunk(void *context, long i) {
    const job *j = context;
    j->count[i]++;
    float *block = fd_pool_get(1000 + (size_t)(i % 7) * 5000);
    memset(block, (int)i, 1000);
    if (((unsigned char *)block)[999] != (unsigned char)i) abort();
    fd_pool_put(block);
    if (j->depth) { /* nested: must run serially in this thread */
        int inner[5] = {0};
        job nested = {5, inner, 0};
        fd_parallel(chunk, &nested, 5);
        for (int k = 0; k < 5; k++)
            if (inner[k] != 1) abort();
    }
}

static void *caller(void *seed) {
    unsigned state = (unsigned)(uintptr_t)seed;
    for (int i = 0; i < JOBS; i++) {
        long n = rand_r(&state) % 60;
        int *count = calloc((size_t)n + 1, sizeof(int));
        job j = {n, count, i % 8 == 0};
        fd_run(chunk, &j, n, i % 3 ? 1e9 : 0.0);
        for (long k = 0; k < n; k++)
            if (count[k] != 1) {
                fprintf(stderr, "chunk %ld of %ld ran %d times\n", k, n, count[k]);
                abort();
            }
        free(count);
    }
    return NULL;
}

static atomic_int stop;
static void *changer(void *unused) {
    (void)unused;
    for (int n = 1; !atomic_load(&stop); n = n % 6 + 1) {
        fd_set_threads(n);
        fd_pool_set_limit((size_t)n << 14);
        usleep(200);
    }
    return NULL;
}

int main(int argc, char **argv) {
    pthread_t callers[CALLERS], change;
    fd_set_threads(3);
    pthread_create(&change, NULL, changer, NULL);
    for (long i = 0; i < CALLERS; i++) pthread_create(&callers[i], NULL, caller, (void *)(i + 1));
    if (argc > 1 && !strcmp(argv[1], "fork")) { /* not under a sanitizer */
        for (int i = 0; i < 20; i++) {
            pid_t child = fork();
            if (!child) {
                alarm(30);
                caller((void *)99);
                _exit(0);
            }
            int status;
            waitpid(child, &status, 0);
            if (status) {
                fprintf(stderr, "child %d ended with status %d\n", i, status);
                abort();
            }
        }
    }
    for (int i = 0; i < CALLERS; i++) pthread_join(callers[i], NULL);
    atomic_store(&stop, 1);
    pthread_join(change, NULL);
    if (fd_pool_used()) {
        fprintf(stderr, "%zu bytes of the pool were not given back\n", fd_pool_used());
        abort();
    }
    puts("team and pool: ok");
    return 0;
}
