/* Max pooling, its backward pass, and the transpose of that.
 *
 * Idea: vectors run along channels, four at a time with maxima and tap numbers in registers while the taps of a window pass by.
 * The backward pass gathers: a pixel asks the few windows that hold it whether it was their maximum, so dx is written once, no
 * zeroing and no scatter. Index is one byte an output. A chunk owns rows of its output.
 *
 * Windows that tile the image (2x2 with stride 2, the usual case) need no tables: forward and backward walk the windows, and
 * with few channels the tables would cost several times the arithmetic.
 */
#include "fastdl.h"
#include "simd/narrow.h"

#include <string.h>

#define BLOCK (4 * VL)
#define CHUNKS 64

/* Tap numbers: one byte or four each. */
FD_INLINE vi load_taps(const void *index, long at, long n, int wide) {
    return wide ? vload_i32((const int32_t *)index + at, n) : vload_u8((const uint8_t *)index + at, n);
}
FD_INLINE void store_taps(void *index, long at, vi v, long n, int wide) {
    if (wide)
        vstore_i32((int32_t *)index + at, v, n);
    else
        vstore_u8((uint8_t *)index + at, v, n);
}

typedef struct {
    const fd_max_pool2d_args *g;
    const fd_max_pool2d_route_args *r;
    long rows; /* output rows a chunk, counted over all images */
} job;

/* Does every window hold `taps` neighbours, from o * taps on? (The rest of the image, if any, lies in no window.) */
static int tiles(const fd_axis *windows, long taps) {
    for (long o = 0; o < windows->outputs; o++) {
        const long e = windows->ptr[o];
        if (windows->ptr[o + 1] - e != taps) return 0;
        for (long i = 0; i < taps; i++)
            if (windows->index[e + i] != o * taps + i || windows->tap[e + i] != i) return 0;
    }
    return 1;
}

/* One window of 2 x 2, `lanes` channels of it: x is its first pixel, the next line `line` floats on. */
FD_INLINE void max_2x2(const fd_max_pool2d_args *g, const float *x, long line, long at, long lanes, int want) {
    const float *pixels[4] = {x, x + g->C, x + line, x + line + g->C};
    vf largest = vset1(-INFINITY);
    vi number = viset1(0);
    FD_UNROLL for (int t = 0; t < 4; t++) {
        const vf value = vload_n(pixels[t], lanes);
        const vmask better = vgreater(value, largest) | visnan(value);
        if (want && t) number = viblend(better, viset1(t), number);
        largest = vblend(better, value, largest);
    }
    vstore_n(g->out + at, largest, lanes);
    if (want) vstore_u8((uint8_t *)g->index + at, number, lanes);
}

FD_INLINE void max_rows_2x2(const job *j, long chunk, int want) {
    const fd_max_pool2d_args *g = j->g;
    const long OH = g->rows.outputs, OW = g->cols.outputs, C = g->C, line = g->cols.inputs * C;
    const long first = chunk * j->rows, last = FD_MIN(first + j->rows, g->N * OH);
    for (long r = first; r < last; r++) {
        const float *x = g->x + (r / OH * g->rows.inputs + r % OH * 2) * line;
        if (C <= VL) /* `lanes` constant: its mask is made once */
            for (long p = 0; p < OW; p++) max_2x2(g, x + p * 2 * C, line, (r * OW + p) * C, C, want);
        else
            for (long p = 0; p < OW; p++)
                for (long c = 0; c < C; c += VL)
                    max_2x2(g, x + p * 2 * C + c, line, (r * OW + p) * C + c, FD_MIN(VL, C - c), want);
    }
}
static void max_chunk_2x2(void *ctx, long chunk) {
    const job *j = ctx;
    if (j->g->index)
        max_rows_2x2(j, chunk, 1);
    else
        max_rows_2x2(j, chunk, 0);
}

/* One output pixel, nv vectors of channels from x and out on, the last of them `lanes` long. */
FD_INLINE void max_pixel(const fd_max_pool2d_args *g, const float *x, long o, long p, long at, const int nv, long lanes,
                         int wide, int want) {
    const fd_axis *rows = &g->rows, *cols = &g->cols;
    const int32_t *e0 = rows->ptr + o, *f0 = cols->ptr + p;
    const long row_step = cols->inputs * g->C;
    vf largest[4];
    vi number[4];
    const int some = e0[1] > e0[0] && f0[1] > f0[0];
    const int32_t first = some ? rows->tap[e0[0]] * (int32_t)g->kw + cols->tap[f0[0]] : (int32_t)(g->kh * g->kw);
    FD_UNROLL for (int v = 0; v < nv; v++) {
        largest[v] = vset1(-INFINITY);
        number[v] = viset1(first);
    }
    for (long e = e0[0]; e < e0[1]; e++) {
        const float *line = x + rows->index[e] * row_step;
        const int32_t tap = rows->tap[e] * (int32_t)g->kw;
        for (long f = f0[0]; f < f0[1]; f++) {
            const float *pixel = line + cols->index[f] * g->C;
            const vi t = viset1(tap + cols->tap[f]);
            FD_UNROLL for (int v = 0; v < nv; v++) {
                const vf value = nv == 1 ? vload_n(pixel, lanes) : vload(pixel + v * VL);
                const vmask better = vgreater(value, largest[v]) | visnan(value);
                if (want) number[v] = viblend(better, t, number[v]);
                largest[v] = vblend(better, value, largest[v]);
            }
        }
    }
    FD_UNROLL for (int v = 0; v < nv; v++) {
        if (nv == 1)
            vstore_n(g->out + at, largest[v], lanes);
        else
            vstore(g->out + at + v * VL, largest[v]);
        if (want) store_taps(g->index, at + v * VL, number[v], nv == 1 ? lanes : VL, wide);
    }
}

FD_INLINE void max_rows(const job *j, long chunk, int wide, int want) {
    const fd_max_pool2d_args *g = j->g;
    const long OH = g->rows.outputs, OW = g->cols.outputs, C = g->C;
    const long first = chunk * j->rows, last = FD_MIN(first + j->rows, g->N * OH);
    for (long r = first; r < last; r++) {
        const float *image = g->x + r / OH * g->rows.inputs * g->cols.inputs * C;
        for (long p = 0; p < OW; p++) {
            long c = 0;
            for (; c + BLOCK <= C; c += BLOCK) max_pixel(g, image + c, r % OH, p, (r * OW + p) * C + c, 4, VL, wide, want);
            for (; c < C; c += VL)
                max_pixel(g, image + c, r % OH, p, (r * OW + p) * C + c, 1, FD_MIN(VL, C - c), wide, want);
        }
    }
}
static void max_chunk(void *ctx, long chunk) {
    const job *j = ctx;
    if (!j->g->index)
        max_rows(j, chunk, 0, 0);
    else if (j->g->wide)
        max_rows(j, chunk, 1, 1);
    else
        max_rows(j, chunk, 0, 1);
}

int FN(fd_max_pool2d_f32)(const fd_max_pool2d_args *g) {
    const long all = g->N * g->rows.outputs;
    if (!all || !g->C || !g->cols.outputs) return FD_OK;
    job j = {.g = g, .rows = (all + CHUNKS - 1) / CHUNKS};
    const double work =
        (double)g->N * g->C * g->rows.ptr[g->rows.outputs] * g->cols.ptr[g->cols.outputs]; /* one a tap and output */
    const int plain = g->kh == 2 && g->kw == 2 && !g->wide && tiles(&g->rows, 2) && tiles(&g->cols, 2);
    fd_run(plain ? max_chunk_2x2 : max_chunk, &j, (all + j.rows - 1) / j.rows, work);
    return FD_OK;
}

/* --- backward and its transpose ------------------------------------------------------------------------------------ */
FD_INLINE void route_pixel(const fd_max_pool2d_route_args *g, const float *x, long x0, long o, long p, long at, const int nv,
                           long lanes, int wide, int scatter) {
    const fd_axis *rows = &g->rows, *cols = &g->cols;
    vf total[4];
    FD_UNROLL for (int v = 0; v < nv; v++) total[v] = vzero();
    for (long e = rows->ptr[o]; e < rows->ptr[o + 1]; e++) {
        for (long f = cols->ptr[p]; f < cols->ptr[p + 1]; f++) {
            const long from = (rows->index[e] * cols->inputs + cols->index[f]) * g->C;
            const vi t = viset1(rows->tap[e] * (int32_t)g->kw + cols->tap[f]);
            FD_UNROLL for (int v = 0; v < nv; v++) {
                const long n = nv == 1 ? lanes : VL;
                const vf value = nv == 1 ? vload_n(x + from, n) : vload(x + from + v * VL);
                const vi chosen = load_taps(g->index, (scatter ? x0 + from : at) + v * VL, n, wide);
                total[v] = total[v] + vblend(viequal(chosen, t), value, vzero());
            }
        }
    }
    FD_UNROLL for (int v = 0; v < nv; v++) {
        if (nv == 1)
            vstore_n(g->out + at, total[v], lanes);
        else
            vstore(g->out + at + v * VL, total[v]);
    }
}

FD_INLINE void route_rows(const job *j, long chunk, int wide, int scatter) {
    const fd_max_pool2d_route_args *g = j->r;
    const long OH = g->rows.outputs, OW = g->cols.outputs, C = g->C;
    const long first = chunk * j->rows, last = FD_MIN(first + j->rows, g->N * OH);
    for (long r = first; r < last; r++) {
        const long image = r / OH * g->rows.inputs * g->cols.inputs * C;
        for (long p = 0; p < OW; p++) {
            const long at = (r * OW + p) * C;
            long c = 0;
            for (; c + BLOCK <= C; c += BLOCK)
                route_pixel(g, g->x + image + c, image + c, r % OH, p, at + c, 4, VL, wide, scatter);
            for (; c < C; c += VL)
                route_pixel(g, g->x + image + c, image + c, r % OH, p, at + c, 1, FD_MIN(VL, C - c), wide, scatter);
        }
    }
}
static void route_chunk(void *ctx, long chunk) {
    const job *j = ctx;
    if (j->r->wide)
        route_rows(j, chunk, 1, j->r->scatter);
    else if (j->r->scatter)
        route_rows(j, chunk, 0, 1);
    else
        route_rows(j, chunk, 0, 0);
}

/* dx of one window of 2 x 2, `lanes` channels of it, each pixel the window's dy or 0; dx is its first pixel. */
FD_INLINE void spread_2x2(const float *dy, const uint8_t *index, float *dx, long C, long line, long lanes) {
    float *pixels[4] = {dx, dx + C, dx + line, dx + line + C};
    const vf value = vload_n(dy, lanes);
    const vi chosen = vload_u8(index, lanes);
    FD_UNROLL for (int t = 0; t < 4; t++) vstore_n(pixels[t], vblend(viequal(chosen, viset1(t)), value, vzero()), lanes);
}

static void spread_chunk_2x2(void *ctx, long chunk) {
    const job *j = ctx;
    const fd_max_pool2d_route_args *g = j->r;
    const long OW = g->cols.inputs, OH = g->rows.inputs, C = g->C, W = g->cols.outputs, H = g->rows.outputs, line = W * C;
    const long first = chunk * j->rows, last = FD_MIN(first + j->rows, g->N * OH);
    for (long r = first; r < last; r++) {
        const long o = r % OH, image = r / OH;
        float *dx = g->out + (image * H + o * 2) * line;
        const float *dy = g->x + r * OW * C;
        const uint8_t *index = (const uint8_t *)g->index + r * OW * C;
        if (C <= VL)
            for (long p = 0; p < OW; p++) spread_2x2(dy + p * C, index + p * C, dx + 2 * p * C, C, line, C);
        else
            for (long p = 0; p < OW; p++)
                for (long c = 0; c < C; c += VL)
                    spread_2x2(dy + p * C + c, index + p * C + c, dx + 2 * p * C + c, C, line, FD_MIN(VL, C - c));
        for (long i = 0; i < 2; i++) /* right of the last window */
            memset(dx + i * line + 2 * OW * C, 0, sizeof(float) * (W - 2 * OW) * C);
        if (o == OH - 1) memset(dx + 2 * line, 0, sizeof(float) * (H - 2 * OH) * line); /* below it */
    }
}

/* Are these the transposed windows of 2 x 2 windows that tile the image? (ceil_mode's last window may leave it: no.) */
static int tiles_transposed(const fd_axis *pixels) {
    if (2 * pixels->inputs > pixels->outputs) return 0;
    for (long i = 0; i < pixels->outputs; i++) {
        const long e = pixels->ptr[i], windows = i < 2 * pixels->inputs;
        if (pixels->ptr[i + 1] - e != windows) return 0;
        if (windows && (pixels->index[e] != i / 2 || pixels->tap[e] != i % 2)) return 0;
    }
    return 1;
}

int FN(fd_max_pool2d_route_f32)(const fd_max_pool2d_route_args *g) {
    const long all = g->N * g->rows.outputs;
    if (!all || !g->C || !g->cols.outputs) return FD_OK;
    job j = {.r = g, .rows = (all + CHUNKS - 1) / CHUNKS};
    const double work = 2.0 * g->N * g->C * g->rows.ptr[g->rows.outputs] * g->cols.ptr[g->cols.outputs];
    if (g->scatter && g->kw == 2 && !g->wide && g->rows.inputs && tiles_transposed(&g->rows) && tiles_transposed(&g->cols)) {
        const long windows = g->N * g->rows.inputs;
        j.rows = (windows + CHUNKS - 1) / CHUNKS;
        fd_run(spread_chunk_2x2, &j, (windows + j.rows - 1) / j.rows, work);
        return FD_OK;
    }
    fd_run(route_chunk, &j, (all + j.rows - 1) / j.rows, work);
    return FD_OK;
}
