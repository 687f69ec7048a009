/* RoI max pooling, its backward pass, and the transpose of that.
 *
 * Idea: vectors run along channels, so every cell of a bin is one load and one comparison for 16 channels, and its place is found
 * once for all of them. The backward pass walks through the cells of small bins again, adding dy where the argmax is the
 * cell: plain loads and stores of vectors, several times faster than a scatter of single floats.
 */
#include "kernels/roi.h"

#include <float.h>

FD_INLINE void store_cells(void *argmax, long at, vi v, long n, int wide, int stream) {
    if (stream && !wide)
        vstream_u16((uint16_t *)argmax + at, v);
    else if (wide)
        vstore_i32((int32_t *)argmax + at, v, n);
    else
        vstore_u16((uint16_t *)argmax + at, v, n);
}

/* One bin, nv vectors of channels, the last of them `lanes` long; x is the image's first cell. */
FD_INLINE void pool_bin(const fd_roi_pool_args *g, const float *x, const int32_t *row, const int32_t *col, long at,
                        const int nv, long lanes, int wide, int stream) {
    const long W = g->s.W, step = g->s.C;
    const int empty = row[1] <= row[0] || col[1] <= col[0];
    vf best[NV];
    vi cell[NV];
    FD_UNROLL for (int v = 0; v < nv; v++) {
        best[v] = vset1(empty ? 0.0f : -FLT_MAX);
        cell[v] = viset1((int32_t)(g->s.H * W));
    }
    for (long h = row[0]; h < row[1]; h++) {
        const float *p = x + (h * W + col[0]) * step;
        for (long w = col[0]; w < col[1]; w++, p += step) {
            const vi here = viset1((int32_t)(h * W + w));
            FD_UNROLL for (int v = 0; v < nv; v++) {
                const vf value = get(p + v * VL, lanes);
                const vmask larger = vgreater(value, best[v]);
                best[v] = vblend(larger, value, best[v]);
                cell[v] = viblend(larger, here, cell[v]);
            }
        }
    }
    FD_UNROLL for (int v = 0; v < nv; v++) {
        put(g->out + at + v * VL, best[v], lanes, stream);
        store_cells(g->argmax, at + v * VL, cell[v], lanes, wide, stream);
    }
}

FD_INLINE void pool_boxes(const job *j, long chunk, int wide, int stream) {
    const fd_roi_pool_args *g = j->g;
    const fd_roi_shape *s = &g->s;
    const long C = s->C;
    for (long k = chunk * BOXES; k < FD_MIN((chunk + 1) * BOXES, s->K); k++) {
        const float *x = g->x + s->image[k] * s->H * s->W * C;
        for (long p = 0; p < s->PH; p++)
            for (long q = 0; q < s->PW; q++) {
                const int32_t *row = g->rows + (k * s->PH + p) * 2, *col = g->cols + (k * s->PW + q) * 2;
                const long at = ((k * s->PH + p) * s->PW + q) * C;
                long c = 0;
                for (; c + BLOCK <= C; c += BLOCK) pool_bin(g, x + c, row, col, at + c, NV, VL, wide, stream);
                for (; c < C; c += VL) pool_bin(g, x + c, row, col, at + c, 1, FD_MIN(VL, C - c), wide, stream);
            }
    }
}

static void pool_chunk(void *ctx, long chunk) {
    const job *j = ctx;
    if (((const fd_roi_pool_args *)j->g)->wide)
        pool_boxes(j, chunk, 1, j->stream);
    else if (j->stream)
        pool_boxes(j, chunk, 0, 1);
    else
        pool_boxes(j, chunk, 0, 0);
    if (j->stream) vfence();
}

int FN(fd_roi_pool_f32)(const fd_roi_pool_args *g) {
    const fd_roi_shape *s = &g->s;
    if (!s->K || !s->C) return FD_OK;
    job j = {.s = s, .g = g, .stream = worth_streaming(s, g->out) && (uintptr_t)g->argmax % 64 == 0};
    fd_run(pool_chunk, &j, (s->K + BOXES - 1) / BOXES, 8.0 * s->K * s->PH * s->PW * s->C);
    return FD_OK;
}

/* Adds the gradient of rows [low, high) of one bin to dx: compares every cell where they are few, else scatters. */
#define FEW 24
FD_INLINE void route_bin(const fd_roi_pool_route_args *g, float *dx, long low, long high, const int32_t *col, long at,
                         const int nv, long lanes, int wide) {
    const long W = g->s.W, step = g->s.C, n = lanes;
    if ((high - low) * (col[1] - col[0]) > FEW) {
        for (long c = 0; c < nv * n; c++) {
            const long cell = wide ? ((const int32_t *)g->argmax)[at + c] : ((const uint16_t *)g->argmax)[at + c];
            if (cell >= low * W && cell < high * W) dx[cell * step + c] += g->dy[at + c];
        }
        return;
    }
    vf grad[NV];
    vi cell[NV];
    const long ahead = at + AHEAD * step;
    FD_UNROLL for (int v = 0; v < nv; v++) {
        fd_prefetch(g->dy + ahead + v * VL);
        if (wide || v % 2 == 0) fd_prefetch((const char *)g->argmax + (ahead + v * VL) * (wide ? 4 : 2));
        grad[v] = get(g->dy + at + v * VL, n);
        cell[v] = wide ? vload_i32((const int32_t *)g->argmax + at + v * VL, n)
                       : vload_u16((const uint16_t *)g->argmax + at + v * VL, n);
    }
    for (long h = low; h < high; h++) {
        float *p = dx + (h * W + col[0]) * step;
        for (long w = col[0]; w < col[1]; w++, p += step) {
            const vi here = viset1((int32_t)(h * W + w));
            FD_UNROLL for (int v = 0; v < nv; v++) {
                const vf old = get(p + v * VL, n);
                put(p + v * VL, vblend(viequal(cell[v], here), old + grad[v], old), n, 0);
            }
        }
    }
}

FD_INLINE void scatter_strip(const job *j, long chunk, int wide) {
    const fd_roi_pool_route_args *g = j->g;
    const fd_roi_shape *s = &g->s;
    const long C = s->C;
    const strip t = take_strip(j, g->dx, chunk);
    for (long k = 0; k < s->K; k++) {
        if (s->image[k] != t.image) continue;
        for (long p = 0; p < s->PH; p++) {
            const int32_t *row = g->rows + (k * s->PH + p) * 2;
            const long low = FD_MAX(row[0], t.low), high = FD_MIN(row[1], t.high);
            if (low >= high) continue;
            for (long q = 0; q < s->PW; q++) {
                const int32_t *col = g->cols + (k * s->PW + q) * 2;
                const long at = ((k * s->PH + p) * s->PW + q) * C;
                long c = 0;
                for (; c + BLOCK <= C; c += BLOCK) route_bin(g, t.dx + c, low, high, col, at + c, NV, VL, wide);
                for (; c < C; c += VL) route_bin(g, t.dx + c, low, high, col, at + c, 1, FD_MIN(VL, C - c), wide);
            }
        }
    }
}
static void scatter_chunk(void *ctx, long chunk) {
    const job *j = ctx;
    if (((const fd_roi_pool_route_args *)j->g)->wide)
        scatter_strip(j, chunk, 1);
    else
        scatter_strip(j, chunk, 0);
}

/* The transpose: a chunk is some boxes. */
static void gather_chunk(void *ctx, long chunk) {
    const job *j = ctx;
    const fd_roi_pool_route_args *g = j->g;
    const fd_roi_shape *s = &g->s;
    const long cells = s->H * s->W, bins = s->PH * s->PW;
    for (long k = chunk * BOXES; k < FD_MIN((chunk + 1) * BOXES, s->K); k++) {
        const float *dx = g->dx + s->image[k] * cells * s->C;
        for (long at = k * bins * s->C; at < (k + 1) * bins * s->C; at += s->C)
            for (long c = 0; c < s->C; c++) {
                const long cell = g->wide ? ((const int32_t *)g->argmax)[at + c] : ((const uint16_t *)g->argmax)[at + c];
                g->dy[at + c] = (unsigned long)cell < (unsigned long)cells ? dx[cell * s->C + c] : 0.0f;
            }
    }
}

int FN(fd_roi_pool_route_f32)(const fd_roi_pool_route_args *g) {
    const fd_roi_shape *s = &g->s;
    if (!s->C || !s->N) return FD_OK;
    job j = {.s = s, .g = g, .strips = strips_of(s)};
    const double work = 8.0 * s->C * s->K * s->PH * s->PW;
    if (g->scatter)
        fd_run(scatter_chunk, &j, j.strips * s->N, work + 4.0 * s->N * s->H * s->W * s->C);
    else
        fd_run(gather_chunk, &j, (s->K + BOXES - 1) / BOXES, work);
    return FD_OK;
}
