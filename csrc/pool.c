/* The memory pool: large arrays are recycled, because a fresh page costs more than the arithmetic done on it.
 *
 * Blocks come in size classes (four per power of two, so at most 25 % are lost). A free block goes on its class's list and is
 * handed out again last-in first-out, while its lines are still in cache. Blocks of HUGE bytes and more are mapped at
 * a huge-page boundary with MADV_HUGEPAGE. What is cached never exceeds the limit; beyond it blocks go back to the system.
 */
#include "fastdl.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>
#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#endif

/* Under AddressSanitizer what a kernel may not touch is poisoned: free blocks, and a block's tail beyond size and slack. */
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define FORBID(address, bytes) __asan_poison_memory_region(address, bytes)
#define ALLOW(address, bytes) __asan_unpoison_memory_region(address, bytes)
#else
#define FORBID(address, bytes) ((void)0)
#define ALLOW(address, bytes) ((void)0)
#endif

#define HUGE ((size_t)2 << 20)
#define HEADER 64
#define SLACK 128
#define CLASSES 256

typedef struct block {
    size_t bytes;  /* of the whole block, header included: its class's size */
    void *base;    /* what the system gave */
    size_t mapped; /* length to unmap, 0 if malloc'ed */
    int class;
    struct block *next;
} block;
_Static_assert(sizeof(block) <= HEADER, "the header must fit before the data");

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static block *free_list[CLASSES];
static size_t cached, used, peak, limit = (size_t)-1;

/* The smallest class that holds `bytes`, four classes per octave starting at 256 bytes; sets *size to its size. */
static int size_class(size_t bytes, size_t *size) {
    size_t octave = 256;
    int class = 0;
    while (octave * 2 < bytes) {
        octave *= 2;
        class += 4;
    }
    for (int quarter = 0; quarter <= 4; quarter++) {
        *size = octave + octave / 4 * (size_t)quarter;
        if (*size >= bytes) return class + quarter;
    }
    return class + 4; /* not reached */
}

static size_t default_limit(void) {
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGE_SIZE);
    return pages > 0 && page > 0 ? (size_t)pages * (size_t)page / 4 : (size_t)1 << 30;
}

static void release(block *b) {
    ALLOW(b, b->bytes);
#if defined(__unix__) || defined(__APPLE__)
    if (b->mapped) {
        munmap(b->base, b->mapped);
        return;
    }
#endif
    free(b->base);
}

static block *fresh(size_t size, int class) {
    void *base = NULL;
    block *b;
    size_t mapped = 0;
#if defined(__linux__)
    if (size >= HUGE) {
        mapped = size + HUGE;
        base = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (base == MAP_FAILED) return NULL;
        b = (block *)(((uintptr_t)base + HUGE - 1) & ~(uintptr_t)(HUGE - 1));
        madvise(b, size & ~(HUGE - 1), MADV_HUGEPAGE);
    } else
#endif
    {
        if (posix_memalign(&base, 64, size)) return NULL;
        b = base;
    }
    b->bytes = size;
    b->base = base;
    b->mapped = mapped;
    b->class = class;
    return b;
}

/* Frees cached blocks, largest first, until at most `keep` bytes are cached. The lock is held. */
static void shrink(size_t keep) {
    for (int class = CLASSES - 1; class >= 0 && cached > keep; class--)
        while (free_list[class] && cached > keep) {
            block *b = free_list[class];
            free_list[class] = b->next;
            cached -= b->bytes;
            release(b);
        }
}

void *fd_pool_get(size_t bytes) {
    size_t size;
    if (bytes > SIZE_MAX / 4) return NULL;
    int class = size_class(bytes + HEADER + SLACK, &size);
    pthread_mutex_lock(&lock);
    block *b = free_list[class];
    if (b) {
        free_list[class] = b->next;
        cached -= size;
        used += size;
        if (used > peak) peak = used;
    }
    pthread_mutex_unlock(&lock);
    if (!b) {
        b = fresh(size, class);
        if (!b) { /* give back what is cached and try once more */
            fd_pool_trim();
            b = fresh(size, class);
            if (!b) return NULL;
        }
        pthread_mutex_lock(&lock);
        used += size;
        if (used > peak) peak = used;
        pthread_mutex_unlock(&lock);
    }
    FORBID((char *)b + HEADER, b->bytes - HEADER);
    ALLOW((char *)b + HEADER, bytes + SLACK);
    return (char *)b + HEADER;
}

void fd_pool_put(void *p) {
    if (!p) return;
    block *b = (block *)((char *)p - HEADER);
    FORBID(p, b->bytes - HEADER);
    pthread_mutex_lock(&lock);
    if (limit == (size_t)-1) limit = default_limit();
    used -= b->bytes;
    if (cached + b->bytes <= limit) {
        b->next = free_list[b->class];
        free_list[b->class] = b;
        cached += b->bytes;
        b = NULL;
    }
    pthread_mutex_unlock(&lock);
    if (b) release(b);
}

void fd_pool_set_limit(size_t bytes) {
    pthread_mutex_lock(&lock);
    limit = bytes;
    shrink(bytes);
    pthread_mutex_unlock(&lock);
}

size_t fd_pool_limit(void) {
    pthread_mutex_lock(&lock);
    if (limit == (size_t)-1) limit = default_limit();
    size_t value = limit;
    pthread_mutex_unlock(&lock);
    return value;
}

size_t fd_pool_cached(void) { return cached; }
size_t fd_pool_used(void) { return used; }

size_t fd_pool_take_peak(void) {
    pthread_mutex_lock(&lock);
    const size_t value = peak;
    peak = used;
    pthread_mutex_unlock(&lock);
    return value;
}

void fd_pool_trim(void) {
    pthread_mutex_lock(&lock);
    shrink(0);
    pthread_mutex_unlock(&lock);
}

/* A fork must not happen while another thread holds the lock: the child would wait for ever. */
static void before_fork(void) { pthread_mutex_lock(&lock); }
static void after_fork(void) { pthread_mutex_unlock(&lock); }
__attribute__((constructor)) static void guard_fork(void) { pthread_atfork(before_fork, after_fork, after_fork); }
