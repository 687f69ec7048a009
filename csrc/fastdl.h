/* The one public header of csrc: parameter structs, the kernel table, threads, memory.
 *
 * A kernel is one entry of FD_KERNELS: `name` has the parameter struct `fd_<name>_args` (csrc/args/<family>.h) and the driver
 * `int fd_<name>_f32(const fd_<name>_args *)`, compiled once per ISA in csrc/kernels/. A driver returns FD_OK or an error code;
 * it validates nothing (the Python contract did), overwrites its output and allocates only from the pool.
 */
#ifndef FASTDL_H
#define FASTDL_H

#include <stddef.h>
#include <stdint.h>

#define FD_MIN(a, b) ((a) < (b) ? (a) : (b))
#define FD_MAX(a, b) ((a) > (b) ? (a) : (b))

enum { FD_OK = 0, FD_NO_MEMORY = 1 };
enum { FD_ACT_NONE = 0, FD_ACT_RELU = 1 };

#include "args/activation.h"
#include "args/arithmetic.h"
#include "args/attention.h"
#include "args/axis.h"
#include "args/conv2d.h"
#include "args/conv_lstm.h"
#include "args/dropout.h"
#include "args/embedding.h"
#include "args/matmul.h"
#include "args/nade.h"
#include "args/nms.h"
#include "args/norm.h"
#include "args/optim_step.h"
#include "args/pool2d.h"
#include "args/recurrent.h"
#include "args/relayout.h"
#include "args/resize.h"
#include "args/roi.h"
#include "args/roofline.h"
#include "args/softmax.h"
#include "args/warp.h"

/* One line a kernel: the table, its type and its instances per ISA all come from this list. */
#define FD_KERNELS(X)        \
    X(activation)            \
    X(activation_backward)   \
    X(adadelta)              \
    X(adagrad)               \
    X(adam)                  \
    X(adamax)                \
    X(arithmetic)            \
    X(attention)             \
    X(attention_backward)    \
    X(batch_norm)            \
    X(batch_norm_backward)   \
    X(channel_sum)           \
    X(conv2d)                \
    X(conv2d_backward_w)     \
    X(conv2d_backward_x)     \
    X(conv_lstm)             \
    X(conv_lstm_backward)    \
    X(dropout)               \
    X(embedding)             \
    X(embedding_backward)    \
    X(gru)                   \
    X(gru_backward)          \
    X(layer_norm)            \
    X(layer_norm_backward)   \
    X(lstm)                  \
    X(lstm_backward)         \
    X(matmul)                \
    X(max_pool2d)            \
    X(max_pool2d_route)      \
    X(nade)                  \
    X(nade_backward)         \
    X(nms)                   \
    X(projected)             \
    X(relayout)              \
    X(resize)                \
    X(rmsprop)               \
    X(rnn)                   \
    X(rnn_backward)          \
    X(roi_align)             \
    X(roi_pool)              \
    X(roi_pool_route)        \
    X(roofline)              \
    X(sgd)                   \
    X(softmax)               \
    X(softmax_backward)      \
    X(softmax_cross_entropy) \
    X(warp)

typedef struct {
    const char *isa;
#define FD_SLOT(name) int (*name)(const fd_##name##_args *);
    FD_KERNELS(FD_SLOT)
#undef FD_SLOT
} fd_kernels;

/* --- dispatch.c: chosen once at start-up, const afterwards ------------------------------------------------------ */
const char *fd_isa_names(void);      /* space-separated tiers that this build has AND this CPU can run, best last */
int fd_select_isa(const char *name); /* NULL or "": the best; 0 on success, -1 if unknown or not runnable */
const fd_kernels *fd_table(void);    /* the chosen tier */

/* --- team.c: the only file that knows threads ------------------------------------------------------------------- */
typedef void (*fd_chunk_fn)(void *ctx, long chunk);
typedef struct {
    _Alignas(64) uint32_t value;
    uint32_t sleepers;
} fd_counter; /* chunks done so far, of a job whose later chunks need the results of earlier ones */
/* Runs fn(ctx, 0 .. nchunks-1), each exactly once, on up to fd_get_threads() threads; returns when all are done. Chunks are
 * started in the order of their numbers and may end in any order. What a chunk computes must depend on its number only, never on the thread: so the bits are the same for any number
 * of threads. Called from inside a chunk, or while another thread uses the team, it runs serially. Denormals are flushed
 * (FTZ, DAZ) inside and the caller's floating-point state is restored. */
void fd_parallel(fd_chunk_fn fn, void *ctx, long nchunks);
/* The same, serial if `work` (multiply-adds, or floats moved times 4) is too little to pay for waking a second thread. */
void fd_run(fd_chunk_fn fn, void *ctx, long nchunks, double work);
/* Inside a chunk: returns when *count >= value. Legal only if chunks of smaller numbers bring it there: those have all been
 * started, so the wait ends. Pairs with fd_count(). */
void fd_wait_for(fd_counter *count, uint32_t value);
void fd_count(fd_counter *count); /* adds one, after everything this thread wrote */
void fd_set_threads(int n);
int fd_get_threads(void);
int fd_started_threads(void); /* workers alive now; 0 until the first parallel call */

/* --- join.c ------------------------------------------------------------------------------------------------------- */
/* out[r] = x[0][r], x[1][r], ...: `count` matrices side by side. All sizes in bytes; out has no gaps. */
typedef struct {
    long rows, count;
    const char *const *x;
    const long *x_row, *width; /* of each: from row to row, and of a row */
    void *out;
    long out_row; /* the sum of width */
} fd_join_args;
void fd_join(const fd_join_args *g);

/* --- pool.c: the only file that knows memory -------------------------------------------------------------------- */
/* 64-byte aligned, at least `bytes` long plus 128 bytes of readable slack, recycled, huge pages for large blocks.
 * NULL if the system has no more. Contents are arbitrary. Thread-safe. */
void *fd_pool_get(size_t bytes);
void fd_pool_put(void *block);
void fd_pool_set_limit(size_t bytes); /* of memory kept for reuse; 0 keeps nothing */
size_t fd_pool_limit(void);
size_t fd_pool_cached(void);    /* bytes kept for reuse now */
size_t fd_pool_used(void);      /* bytes handed out now */
size_t fd_pool_take_peak(void); /* the most that was in use since the last call */
void fd_pool_trim(void);        /* gives everything cached back to the system */

#endif
