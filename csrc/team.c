/* The thread team: a few workers, dynamic chunks, a short spin and then sleep.
 *
 * A job is (fn, ctx, nchunks). `ticket` holds (epoch, chunks not yet claimed) in one word; claiming a chunk is one
 * compare-and-swap, so a worker that slept through a job can never claim from the next one by mistake. The caller works too and
 * drains every chunk nobody has claimed; it waits only for chunks in flight. If the system takes a core away, only the
 * chunk that ran there is late, and the caller sleeps, so that the scheduler moves the late worker to the caller's core.
 *
 * Static splits and long spins lose a multiple of a core when a neighbour is busy; this loses about one chunk.
 */
#include "fastdl.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif
#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

#define MAX_THREADS 256
#define SPIN_NANOSECONDS 40000 /* a worker waits this long for the next job before it sleeps */
#define SERIAL_WORK 400000     /* multiply-adds, about 10 us */
#define JOIN_NANOSECONDS 20000 /* the caller waits this long for chunks in flight before it sleeps */

static struct {
    pthread_mutex_t busy;                 /* held while a job runs: the team serves one caller at a time */
    _Atomic int limit;                    /* threads to use, the caller included; 0: not set yet */
    int started;                          /* workers alive */
    _Alignas(64) _Atomic uint64_t ticket; /* epoch << 32 | chunks left to claim */
    _Alignas(64) _Atomic uint32_t done;   /* chunks finished */
    _Alignas(64) _Atomic uint32_t wake;   /* changes with every job: what sleeping workers watch */
    _Atomic int sleepers, caller_sleeps;
    fd_chunk_fn fn; /* written before ticket, read only after a successful claim */
    void *ctx;
    uint32_t nchunks;
} team = {.busy = PTHREAD_MUTEX_INITIALIZER};

static __thread int inside; /* this thread is running a chunk: nested calls are serial */

static inline void pause_cpu(void) {
#if defined(__x86_64__) || defined(__i386__)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

#ifdef __linux__
static void sleep_while(_Atomic uint32_t *word, uint32_t value) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}
static void wake_all(_Atomic uint32_t *word) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0); }
#else
static pthread_mutex_t sleep_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t sleep_cond = PTHREAD_COND_INITIALIZER;
static void sleep_while(_Atomic uint32_t *word, uint32_t value) {
    pthread_mutex_lock(&sleep_lock);
    while (atomic_load(word) == value) pthread_cond_wait(&sleep_cond, &sleep_lock);
    pthread_mutex_unlock(&sleep_lock);
}
static void wake_all(_Atomic uint32_t *word) {
    (void)word;
    pthread_mutex_lock(&sleep_lock);
    pthread_cond_broadcast(&sleep_cond);
    pthread_mutex_unlock(&sleep_lock);
}
#endif

/* Denormals flush to zero inside kernels; outside, the process keeps the state it had. */
static inline unsigned flush_denormals(void) {
#if defined(__SSE2__)
    unsigned state = _mm_getcsr();
    _mm_setcsr(state | 0x8040);
    return state;
#elif defined(__aarch64__)
    uint64_t state;
    __asm__ volatile("mrs %0, fpcr" : "=r"(state));
    __asm__ volatile("msr fpcr, %0" ::"r"(state | (1u << 24)));
    return (unsigned)state;
#else
    return 0;
#endif
}
static inline void restore_denormals(unsigned state) {
#if defined(__SSE2__)
    _mm_setcsr(state);
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" ::"r"((uint64_t)state));
#else
    (void)state;
#endif
}

/* Claims and runs chunks until none is left. */
static void drain(void) {
    uint64_t ticket = atomic_load_explicit(&team.ticket, memory_order_acquire);
    while ((uint32_t)ticket) {
        if (!atomic_compare_exchange_weak_explicit(&team.ticket, &ticket, ticket - 1, memory_order_acq_rel,
                                                   memory_order_acquire))
            continue;
        uint32_t n = team.nchunks; /* stable: this job cannot end before our chunk is done */
        team.fn(team.ctx, (long)(n - (uint32_t)ticket));
        if (atomic_fetch_add(&team.done, 1) + 1 == n && atomic_load(&team.caller_sleeps)) wake_all(&team.done);
        ticket = atomic_load_explicit(&team.ticket, memory_order_acquire);
    }
}

static void *worker(void *argument) {
    int id = (int)(intptr_t)argument; /* 1, 2, ...; the caller is 0 */
    inside = 1;
    flush_denormals();
    for (;;) {
        uint32_t seen = atomic_load_explicit(&team.wake, memory_order_acquire);
        if (id < atomic_load_explicit(&team.limit, memory_order_relaxed)) {
            drain();
            int64_t end = 0;
            int asleep = 0;
            while (atomic_load_explicit(&team.wake, memory_order_acquire) == seen) {
                for (int i = 0; i < 64; i++) pause_cpu();
                int64_t t = now();
                if (!end) end = t + SPIN_NANOSECONDS;
                if (t > end) {
                    asleep = 1;
                    break;
                }
            }
            if (!asleep) continue;
        }
        atomic_fetch_add(&team.sleepers, 1);
        sleep_while(&team.wake, seen);
        atomic_fetch_sub(&team.sleepers, 1);
    }
    return NULL;
}

static void start_workers(int wanted) {
    while (team.started < wanted) {
        pthread_t thread;
        pthread_attr_t attributes;
        pthread_attr_init(&attributes);
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        int failed = pthread_create(&thread, &attributes, worker, (void *)(intptr_t)(team.started + 1));
        pthread_attr_destroy(&attributes);
        if (failed) return; /* fewer workers than asked for: slower, still right */
        team.started++;
    }
}

static void serial(fd_chunk_fn fn, void *ctx, long nchunks) {
    unsigned state = flush_denormals();
    int outer = inside;
    inside = 1;
    for (long i = 0; i < nchunks; i++) fn(ctx, i);
    inside = outer;
    restore_denormals(state);
}

void fd_parallel(fd_chunk_fn fn, void *ctx, long nchunks) {
    if (nchunks <= 0) return;
    int threads = fd_get_threads();
    if (nchunks == 1 || threads == 1 || inside || pthread_mutex_trylock(&team.busy)) {
        serial(fn, ctx, nchunks);
        return;
    }
    if (team.started < threads - 1) start_workers(threads - 1);
    unsigned state = flush_denormals();
    inside = 1;
    team.fn = fn;
    team.ctx = ctx;
    team.nchunks = (uint32_t)nchunks;
    atomic_store_explicit(&team.done, 0, memory_order_relaxed);
    uint64_t epoch = (atomic_load_explicit(&team.ticket, memory_order_relaxed) >> 32) + 1;
    atomic_store_explicit(&team.ticket, epoch << 32 | (uint32_t)nchunks, memory_order_release);
    atomic_fetch_add(&team.wake, 1); /* sequentially consistent with `sleepers`: a worker is seen asleep or sees the job */
    if (atomic_load(&team.sleepers)) wake_all(&team.wake);
    drain();
    int64_t end = 0;
    uint32_t done;
    while ((done = atomic_load_explicit(&team.done, memory_order_acquire)) != (uint32_t)nchunks) {
        for (int i = 0; i < 32; i++) pause_cpu();
        int64_t t = now();
        if (!end) end = t + JOIN_NANOSECONDS;
        if (t > end) {
            atomic_store(&team.caller_sleeps, 1);
            while ((done = atomic_load(&team.done)) != (uint32_t)nchunks) sleep_while(&team.done, done);
            atomic_store(&team.caller_sleeps, 0);
        }
    }
    inside = 0;
    restore_denormals(state);
    pthread_mutex_unlock(&team.busy);
}

void fd_run(fd_chunk_fn fn, void *ctx, long nchunks, double work) {
    if (work < SERIAL_WORK)
        serial(fn, ctx, nchunks);
    else
        fd_parallel(fn, ctx, nchunks);
}

/* Sequentially consistent, both: either the counter sees the sleeper, or the sleeper sees the count. */
void fd_count(fd_counter *count) {
    __atomic_fetch_add(&count->value, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&count->sleepers, __ATOMIC_SEQ_CST)) wake_all((_Atomic uint32_t *)&count->value);
}

void fd_wait_for(fd_counter *count, uint32_t value) {
    uint32_t seen;
    for (int64_t end = 0; (seen = __atomic_load_n(&count->value, __ATOMIC_ACQUIRE)) < value;) {
        for (int i = 0; i < 8 && __atomic_load_n(&count->value, __ATOMIC_ACQUIRE) < value; i++) pause_cpu();
        int64_t t = now();
        if (!end) end = t + JOIN_NANOSECONDS;
        if (t > end) { /* the system has taken the core of the thread we wait for: leave it ours */
            __atomic_fetch_add(&count->sleepers, 1, __ATOMIC_SEQ_CST);
            while ((seen = __atomic_load_n(&count->value, __ATOMIC_SEQ_CST)) < value)
                sleep_while((_Atomic uint32_t *)&count->value, seen);
            __atomic_fetch_sub(&count->sleepers, 1, __ATOMIC_SEQ_CST);
        }
    }
}

void fd_set_threads(int n) { atomic_store(&team.limit, n < 1 ? 1 : n > MAX_THREADS ? MAX_THREADS : n); }

int fd_get_threads(void) {
    int n = atomic_load_explicit(&team.limit, memory_order_relaxed);
    return n ? n : 1;
}

int fd_started_threads(void) { return team.started; }

/* Workers do not survive a fork. The child starts its own when it first needs them. */
static void in_child(void) {
    int limit = atomic_load(&team.limit);
    pthread_mutex_init(&team.busy, NULL);
    team.started = 0;
    atomic_store(&team.ticket, 0);
    atomic_store(&team.done, 0);
    atomic_store(&team.sleepers, 0);
    atomic_store(&team.caller_sleeps, 0);
    atomic_store(&team.limit, limit);
    inside = 0;
}
__attribute__((constructor)) static void guard_fork(void) { pthread_atfork(NULL, NULL, in_child); }
