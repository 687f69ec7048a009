/* RoI pooling and RoI align, both directions.
 *
 * Idea: vectors run along channels, so every cell of a bin is one load for 16 channels and its place or weight is found once for all
 * of them. Align multiplies by separable weights that are summed per cell first: a bin of gh x gw cells costs (gh+1)(gw+1)
 * multiply-adds instead of four for each of its samples. Work is split into slices of channels: a slice of the map stays in
 * L2 while all boxes read it, and in the backward passes a slice of dx belongs to one chunk, which adds box after box: no
 * atomics, the same bits for any number of threads.
 */
#include "fastdl.h"
#include "simd/narrow.h"

#include <float.h>

#define SLICE 64 /* channels of a slice */
#define NV 4     /* vectors in flight */
#define BLOCK (NV * VL)
#define BOXES 16 /* boxes a chunk of a forward pass */

/* Packed slices: where boxes outweigh the map, slice after slice of it is copied to (N, H, W, SLICE). Rows of C floats with C a
 * power of two would fall into an eighth of the cache's sets, and the slice would not stay. */
typedef struct {
    const fd_roi_shape *s;
    const void *g; /* the arguments of the kernel */
    float *packed; /* NULL: read x where it lies */
    const float *x;
    long slices;
    void *lines; /* of align */
    _Atomic int failed;
} job;

static int worth_packing(const fd_roi_shape *s) {
    const long cells = s->H * s->W;
    return s->C > SLICE && cells * SLICE * 4 <= (1 << 20) && s->K * s->PH * s->PW >= s->N * cells;
}

static long width_of(const fd_roi_shape *s, long slice) { return FD_MIN(SLICE, s->C - slice * SLICE); }

/* The slice of one image: its first float, and the floats from cell to cell. */
static const float *slice_of(const job *j, long image, long slice, long *step) {
    const fd_roi_shape *s = j->s;
    const long cells = s->H * s->W;
    if (j->packed) {
        *step = SLICE;
        return j->packed + (slice * s->N + image) * cells * SLICE;
    }
    *step = s->C;
    return j->x + image * cells * s->C + slice * SLICE;
}

static void pack_chunk(void *ctx, long chunk) { /* one image of one slice */
    const job *j = ctx;
    const fd_roi_shape *s = j->s;
    const long cells = s->H * s->W, slice = chunk / s->N, image = chunk % s->N, width = width_of(s, slice);
    const float *from = j->x + image * cells * s->C + slice * SLICE;
    float *to = j->packed + chunk * cells * SLICE;
    for (long i = 0; i < cells; i++) memcpy(to + i * SLICE, from + i * s->C, (size_t)width * sizeof(float));
}

static int pack(job *j) {
    const fd_roi_shape *s = j->s;
    if (!worth_packing(s)) return FD_OK;
    const long floats = j->slices * s->N * s->H * s->W * SLICE;
    j->packed = fd_pool_get((size_t)floats * sizeof(float));
    if (!j->packed) return FD_NO_MEMORY;
    fd_run(pack_chunk, j, j->slices * s->N, (double)floats);
    return FD_OK;
}

/* --- RoI max pooling ------------------------------------------------------------------------------------------------- */
FD_INLINE void store_cells(void *argmax, long at, vi v, long n, int wide) {
    if (wide)
        vstore_i32((int32_t *)argmax + at, v, n);
    else
        vstore_u16((uint16_t *)argmax + at, v, n);
}

/* One bin, nv vectors of channels, the last of them `lanes` long; x is the slice's first cell, `step` floats from cell to cell. */
FD_INLINE void pool_bin(const fd_roi_pool_args *g, const float *x, long step, const int32_t *row, const int32_t *col, long at,
                        const int nv, long lanes, int wide) {
    const long W = g->s.W;
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
                const vf value = nv == 1 ? vload_n(p, lanes) : vload(p + v * VL);
                const vmask larger = vgreater(value, best[v]);
                best[v] = vblend(larger, value, best[v]);
                cell[v] = viblend(larger, here, cell[v]);
            }
        }
    }
    FD_UNROLL for (int v = 0; v < nv; v++) {
        if (nv == 1)
            vstore_n(g->out + at, best[v], lanes);
        else
            vstore(g->out + at + v * VL, best[v]);
        store_cells(g->argmax, at + v * VL, cell[v], nv == 1 ? lanes : VL, wide);
    }
}

FD_INLINE void pool_boxes(const job *j, long chunk, int wide) {
    const fd_roi_pool_args *g = j->g;
    const fd_roi_shape *s = &g->s;
    const long blocks = (s->K + BOXES - 1) / BOXES, slice = chunk / blocks, first = chunk % blocks * BOXES;
    const long width = width_of(s, slice);
    for (long k = first; k < FD_MIN(first + BOXES, s->K); k++) {
        long step;
        const float *x = slice_of(j, g->s.image[k], slice, &step);
        for (long p = 0; p < s->PH; p++)
            for (long q = 0; q < s->PW; q++) {
                const int32_t *row = g->rows + (k * s->PH + p) * 2, *col = g->cols + (k * s->PW + q) * 2;
                const long at = ((k * s->PH + p) * s->PW + q) * s->C + slice * SLICE;
                long c = 0;
                for (; c + BLOCK <= width; c += BLOCK) pool_bin(g, x + c, step, row, col, at + c, NV, VL, wide);
                for (; c < width; c += VL) pool_bin(g, x + c, step, row, col, at + c, 1, FD_MIN(VL, width - c), wide);
            }
    }
}
static void pool_chunk(void *ctx, long chunk) {
    const job *j = ctx;
    if (((const fd_roi_pool_args *)j->g)->wide)
        pool_boxes(j, chunk, 1);
    else
        pool_boxes(j, chunk, 0);
}

int FN(fd_roi_pool_f32)(const fd_roi_pool_args *g) {
    const fd_roi_shape *s = &g->s;
    if (!s->K || !s->C) return FD_OK;
    job j = {.s = s, .g = g, .x = g->x, .slices = (s->C + SLICE - 1) / SLICE};
    if (pack(&j)) return FD_NO_MEMORY;
    fd_run(pool_chunk, &j, j.slices * ((s->K + BOXES - 1) / BOXES), 8.0 * s->K * s->PH * s->PW * s->C);
    fd_pool_put(j.packed);
    return FD_OK;
}

/* Adds dy to the cells that argmax names, or reads those cells: a chunk is a slice of channels of one image. */
FD_INLINE void route_slice(const fd_roi_pool_route_args *g, long chunk, int wide, int scatter) {
    const fd_roi_shape *s = &g->s;
    const long cells = s->H * s->W, image = chunk % s->N, c0 = chunk / s->N * SLICE, width = FD_MIN(SLICE, s->C - c0);
    float *dx = g->dx + image * cells * s->C + c0;
    if (scatter)
        for (long i = 0; i < cells; i++) memset(dx + i * s->C, 0, (size_t)width * sizeof(float));
    for (long k = 0; k < s->K; k++) {
        if (s->image[k] != image) continue;
        for (long b = 0; b < s->PH * s->PW; b++) {
            const long at = (k * s->PH * s->PW + b) * s->C + c0;
            for (long c = 0; c < width; c++) {
                const long cell = wide ? ((const int32_t *)g->argmax)[at + c] : ((const uint16_t *)g->argmax)[at + c];
                const int some = (unsigned long)cell < (unsigned long)cells;
                if (!scatter)
                    g->dy[at + c] = some ? dx[cell * s->C + c] : 0.0f;
                else if (some)
                    dx[cell * s->C + c] += g->dy[at + c];
            }
        }
    }
}
static void route_chunk(void *ctx, long chunk) {
    const fd_roi_pool_route_args *g = ctx;
    if (g->wide)
        route_slice(g, chunk, 1, g->scatter);
    else if (g->scatter)
        route_slice(g, chunk, 0, 1);
    else
        route_slice(g, chunk, 0, 0);
}

int FN(fd_roi_pool_route_f32)(const fd_roi_pool_route_args *g) {
    const fd_roi_shape *s = &g->s;
    if (!s->C || !s->N) return FD_OK;
    const double work = 4.0 * s->C * (s->K * s->PH * s->PW + s->N * s->H * s->W);
    fd_run(route_chunk, (void *)g, (s->C + SLICE - 1) / SLICE * s->N, work);
    return FD_OK;
}

/* --- RoI align ------------------------------------------------------------------------------------------------------- */
/* The cells of one bin along one axis and their weights. */
typedef struct {
    int32_t first, count;
    float *weight;
} line;

static void make_line(line *l, double start, double step, long p, long samples, long size) {
    long first = size, last = -1;
    for (int pass = 0; pass < 2; pass++) { /* find the cells, then add up their weights */
        for (long i = 0; i < samples; i++) {
            double at = start + (double)p * step + ((double)i + 0.5) * step / (double)samples;
            if (!(at >= -1.0 && at <= (double)size)) continue;
            at = FD_MAX(at, 0.0);
            const long low = FD_MIN((long)at, size - 1), high = FD_MIN(low + 1, size - 1);
            if (!pass) {
                first = FD_MIN(first, low);
                last = FD_MAX(last, high);
                continue;
            }
            const double upper = high > low ? at - (double)low : 0.0;
            l->weight[low - first] += (float)((1.0 - upper) / (double)samples);
            l->weight[high - first] += (float)(upper / (double)samples);
        }
        if (!pass) {
            l->first = (int32_t)first;
            l->count = (int32_t)(last - first + 1);
            if (last < 0) l->first = l->count = 0;
            for (long i = 0; i < l->count; i++) l->weight[i] = 0.0f;
        }
    }
}

/* Cells that any bin of any box may touch along an axis. */
static long longest(const fd_roi_align_args *g, int axis, long size) {
    double most = 0.0;
    for (long k = 0; k < g->s.K; k++) most = FD_MAX(most, fabs(g->step[2 * k + axis]));
    return most + 3.0 >= (double)size ? size : (long)(most + 3.0);
}

static void lines_chunk(void *ctx, long chunk) {
    const job *j = ctx;
    const fd_roi_align_args *g = j->g;
    const fd_roi_shape *s = &g->s;
    const long each = s->PH + s->PW;
    for (long k = chunk * BOXES; k < FD_MIN((chunk + 1) * BOXES, s->K); k++) {
        line *l = (line *)j->lines + k * each;
        const double *start = g->start + 2 * k, *step = g->step + 2 * k;
        for (long p = 0; p < s->PH; p++) make_line(l + p, start[0], step[0], p, g->samples[2 * k], s->H);
        for (long q = 0; q < s->PW; q++) make_line(l + s->PH + q, start[1], step[1], q, g->samples[2 * k + 1], s->W);
    }
}

/* Fills j->lines with K x (PH row lines, PW column lines); one block that the caller gives back. */
static int make_lines(job *j) {
    const fd_roi_align_args *g = j->g;
    const fd_roi_shape *s = &g->s;
    const long tall = longest(g, 0, s->H), wide = longest(g, 1, s->W), each = s->PH + s->PW;
    const size_t heads = (size_t)(s->K * each) * sizeof(line);
    const size_t weights = (size_t)(s->K * (s->PH * tall + s->PW * wide)) * sizeof(float);
    line *l = fd_pool_get(heads + weights);
    if (!l) return FD_NO_MEMORY;
    float *weight = (float *)((char *)l + heads);
    for (long i = 0; i < s->K * each; i++) {
        l[i].weight = weight;
        weight += i % each < s->PH ? tall : wide;
    }
    j->lines = l;
    double samples = 0;
    for (long k = 0; k < s->K; k++) samples += (double)g->samples[2 * k] * s->PH + (double)g->samples[2 * k + 1] * s->PW;
    fd_run(lines_chunk, j, (s->K + BOXES - 1) / BOXES, 20.0 * samples);
    return FD_OK;
}

FD_INLINE void align_bin(const float *x, long step, long W, const line *row, const line *col, float *out, const int nv,
                         long lanes) {
    vf total[NV];
    FD_UNROLL for (int v = 0; v < nv; v++) total[v] = vzero();
    for (long i = 0; i < row->count; i++) {
        const float *p = x + ((row->first + i) * W + col->first) * step;
        const vf wy = vset1(row->weight[i]);
        for (long k = 0; k < col->count; k++, p += step) {
            const vf w = wy * vset1(col->weight[k]);
            FD_UNROLL for (int v = 0; v < nv; v++)
                total[v] = vfma(w, nv == 1 ? vload_n(p, lanes) : vload(p + v * VL), total[v]);
        }
    }
    FD_UNROLL for (int v = 0; v < nv; v++) {
        if (nv == 1)
            vstore_n(out, total[v], lanes);
        else
            vstore(out + v * VL, total[v]);
    }
}

static void align_chunk(void *ctx, long chunk) {
    const job *j = ctx;
    const fd_roi_align_args *g = j->g;
    const fd_roi_shape *s = &g->s;
    const long blocks = (s->K + BOXES - 1) / BOXES, slice = chunk / blocks, first = chunk % blocks * BOXES;
    const long width = width_of(s, slice);
    for (long k = first; k < FD_MIN(first + BOXES, s->K); k++) {
        long step;
        const float *x = slice_of(j, s->image[k], slice, &step);
        const line *rows = (const line *)j->lines + k * (s->PH + s->PW), *cols = rows + s->PH;
        for (long p = 0; p < s->PH; p++)
            for (long q = 0; q < s->PW; q++) {
                float *out = g->out + ((k * s->PH + p) * s->PW + q) * s->C + slice * SLICE;
                long c = 0;
                for (; c + BLOCK <= width; c += BLOCK) align_bin(x + c, step, s->W, rows + p, cols + q, out + c, NV, VL);
                for (; c < width; c += VL)
                    align_bin(x + c, step, s->W, rows + p, cols + q, out + c, 1, FD_MIN(VL, width - c));
            }
    }
}

FD_INLINE void spread_bin(float *dx, long step, long W, const line *row, const line *col, const float *dy, const int nv,
                          long lanes) {
    vf grad[NV];
    FD_UNROLL for (int v = 0; v < nv; v++) grad[v] = nv == 1 ? vload_n(dy, lanes) : vload(dy + v * VL);
    for (long i = 0; i < row->count; i++) {
        float *p = dx + ((row->first + i) * W + col->first) * step;
        const vf wy = vset1(row->weight[i]);
        for (long k = 0; k < col->count; k++, p += step) {
            const vf w = wy * vset1(col->weight[k]);
            FD_UNROLL for (int v = 0; v < nv; v++) {
                if (nv == 1)
                    vstore_n(p, vfma(w, grad[v], vload_n(p, lanes)), lanes);
                else
                    vstore(p + v * VL, vfma(w, grad[v], vload(p + v * VL)));
            }
        }
    }
}

/* One slice of dx of one image: gathered in a packed buffer where that is worth it, then copied out. */
static void spread_chunk(void *ctx, long chunk) {
    job *j = ctx;
    const fd_roi_align_args *g = j->g;
    const fd_roi_shape *s = &g->s;
    const long cells = s->H * s->W, image = chunk % s->N, slice = chunk / s->N, width = width_of(s, slice);
    float *dx = g->x + image * cells * s->C + slice * SLICE, *to = dx;
    long step = s->C;
    if (worth_packing(s)) {
        step = SLICE;
        to = fd_pool_get((size_t)(cells * SLICE) * sizeof(float));
        if (!to) {
            j->failed = 1;
            return;
        }
    }
    for (long i = 0; i < cells; i++) memset(to + i * step, 0, (size_t)width * sizeof(float));
    for (long k = 0; k < s->K; k++) {
        if (s->image[k] != image) continue;
        const line *rows = (const line *)j->lines + k * (s->PH + s->PW), *cols = rows + s->PH;
        for (long p = 0; p < s->PH; p++)
            for (long q = 0; q < s->PW; q++) {
                const float *dy = g->out + ((k * s->PH + p) * s->PW + q) * s->C + slice * SLICE;
                long c = 0;
                for (; c + BLOCK <= width; c += BLOCK) spread_bin(to + c, step, s->W, rows + p, cols + q, dy + c, NV, VL);
                for (; c < width; c += VL)
                    spread_bin(to + c, step, s->W, rows + p, cols + q, dy + c, 1, FD_MIN(VL, width - c));
            }
    }
    if (to != dx) {
        for (long i = 0; i < cells; i++) memcpy(dx + i * s->C, to + i * SLICE, (size_t)width * sizeof(float));
        fd_pool_put(to);
    }
}

int FN(fd_roi_align_f32)(const fd_roi_align_args *g) {
    const fd_roi_shape *s = &g->s;
    if (!s->C || !s->N) return FD_OK;
    if (!g->backward && !s->K) return FD_OK;
    job j = {.s = s, .g = g, .x = g->x, .slices = (s->C + SLICE - 1) / SLICE};
    if (make_lines(&j)) return FD_NO_MEMORY;
    const double work = 16.0 * s->K * s->PH * s->PW * s->C;
    if (g->backward) {
        fd_run(spread_chunk, &j, j.slices * s->N, work + 4.0 * s->N * s->H * s->W * s->C);
    } else {
        if (pack(&j)) {
            fd_pool_put(j.lines);
            return FD_NO_MEMORY;
        }
        fd_run(align_chunk, &j, j.slices * ((s->K + BOXES - 1) / BOXES), work);
        fd_pool_put(j.packed);
    }
    fd_pool_put(j.lines);
    return j.failed ? FD_NO_MEMORY : FD_OK;
}
