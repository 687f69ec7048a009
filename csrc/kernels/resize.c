/* Separable weighted sums over windows of a channels-last image: resizing, average pooling, and both backward (their gather form).
 *
 * Idea: an output row is first summed over its input rows into one buffer row that stays in L1/L2, then over columns, vectors
 * running along channels. KH + KW multiply-adds an output instead of KH * KW, no scatter, and rows that are mere copies
 * (nearest) skip the first stage. A chunk owns output rows, or a slice of channels where there are few rows.
 */
#include "fastdl.h"
#include "simd/simd.h"

#define SLICE 64 /* channels of a slice */
#define CHUNKS 64

typedef struct {
    const fd_resize_args *g;
    long slices, width; /* of channels */
    long rows;          /* output rows a chunk, counted over all images */
    _Atomic int failed;
} job;

/* out[0 .. n-1] = sum_e weight[e] * in[e][0 .. n-1] */
static void weighted_sum(const float *const *in, const float *weight, long entries, float *out, long n) {
    long c = 0;
    for (; c + 4 * VL <= n; c += 4 * VL) {
        vf s[4];
        vf w = vset1(weight[0]);
    FD_UNROLL for (int v = 0; v < 4; v++) s[v] = w * vload(in[0] + c + v * VL);
        for (long e = 1; e < entries; e++) {
            w = vset1(weight[e]);
            FD_UNROLL for (int v = 0; v < 4; v++) s[v] = vfma(w, vload(in[e] + c + v * VL), s[v]);
        }
        FD_UNROLL for (int v = 0; v < 4; v++) vstore(out + c + v * VL, s[v]);
    }
    for (; c < n; c += VL) {
        const long lanes = FD_MIN(VL, n - c);
        vf s = vset1(weight[0]) * vload_n(in[0] + c, lanes);
        for (long e = 1; e < entries; e++) s = vfma(vset1(weight[e]), vload_n(in[e] + c, lanes), s);
        vstore_n(out + c, s, lanes);
    }
}

/* The same, in pieces of at most PIECE entries: the pointers live on the stack. */
#define PIECE 32
static void weighted_sum_of(const float *base, long step, const fd_axis *axis, long o, float *out, long n) {
    const float *in[PIECE + 1];
    float weight[PIECE + 1];
    const long end = axis->ptr[o + 1];
    long e = axis->ptr[o], m = 0;
    if (e == end) {
        memset(out, 0, (size_t)n * sizeof(float));
        return;
    }
    while (e < end) {
        for (; e < end && m < PIECE; e++, m++) {
            in[m] = base + axis->index[e] * step;
            weight[m] = axis->weight[e];
        }
        weighted_sum(in, weight, m, out, n);
        in[0] = out; /* and go on from there */
        weight[0] = 1.0f;
        m = 1;
    }
}

static void resize_rows(void *ctx, long chunk) {
    job *j = ctx;
    const fd_resize_args *g = j->g;
    const fd_axis *rows = &g->rows, *cols = &g->cols;
    const long C = g->C, W = cols->inputs, OW = cols->outputs, OH = rows->outputs;
    const long first = chunk / j->slices * j->rows, c0 = chunk % j->slices * j->width;
    const long width = FD_MIN(j->width, C - c0);
    float *buffer = fd_pool_get((size_t)(W * width) * sizeof(float));
    if (!buffer) {
        j->failed = 1;
        return;
    }
    for (long r = first; r < FD_MIN(first + j->rows, g->N * OH); r++) {
        const long o = r % OH, e = rows->ptr[o];
        const float *image = g->x + r / OH * rows->inputs * W * C + c0;
        const float *line = buffer;
        long step = width; /* from pixel to pixel of the line */
        if (rows->ptr[o + 1] - e == 1 && rows->weight[e] == 1.0f) {
            line = image + rows->index[e] * W * C;
            step = C;
        } else if (width == C) {
            weighted_sum_of(image, W * C, rows, o, buffer, W * C);
        } else {
            for (long i = 0; i < W; i++) weighted_sum_of(image + i * C, W * C, rows, o, buffer + i * width, width);
        }
        float *out = g->out + r * OW * C + c0;
        for (long p = 0; p < OW; p++) {
            const long f = cols->ptr[p];
            if (cols->ptr[p + 1] - f == 1 && cols->weight[f] == 1.0f)
                memcpy(out + p * C, line + cols->index[f] * step, (size_t)width * sizeof(float));
            else
                weighted_sum_of(line, step, cols, p, out + p * C, width);
        }
    }
    fd_pool_put(buffer);
}

int FN(fd_resize_f32)(const fd_resize_args *g) {
    const long all = g->N * g->rows.outputs;
    if (!all || !g->C || !g->cols.outputs) return FD_OK;
    job j = {.g = g, .slices = 1, .width = g->C, .rows = (all + CHUNKS - 1) / CHUNKS};
    if (all < 16 && g->C > SLICE) {
        j.width = SLICE;
        j.slices = (g->C + SLICE - 1) / SLICE;
    }
    const double work = 2.0 * g->C * g->N * (g->rows.ptr[g->rows.outputs] * (double)g->cols.inputs +
                                            g->cols.ptr[g->cols.outputs] * (double)g->rows.outputs);
    fd_run(resize_rows, &j, (all + j.rows - 1) / j.rows * j.slices, work);
    return j.failed ? FD_NO_MEMORY : FD_OK;
}
