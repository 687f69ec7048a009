/* RoI align, both directions.
 *
 * Idea: the weights of a bin's samples are separable, so they are summed per row and per column first: a bin of gh x gw cells
 * costs (gh + 1) (gw + 1) multiply-adds for 16 channels instead of four for each sample and channel. Rows and columns with their
 * weights are found once a box, for all channels.
 */
#include "kernels/roi.h"

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
                         long lanes, int stream) {
    vf total[NV];
    FD_UNROLL for (int v = 0; v < nv; v++) total[v] = vzero();
    for (long i = 0; i < row->count; i++) {
        const float *p = x + ((row->first + i) * W + col->first) * step;
        const vf wy = vset1(row->weight[i]);
        for (long k = 0; k < col->count; k++, p += step) {
            const vf w = wy * vset1(col->weight[k]);
            FD_UNROLL for (int v = 0; v < nv; v++)
                total[v] = vfma(w, get(p + v * VL, lanes), total[v]);
        }
    }
    FD_UNROLL for (int v = 0; v < nv; v++) put(out + v * VL, total[v], lanes, stream);
}

FD_INLINE void align_boxes(const job *j, long chunk, int stream) {
    const fd_roi_align_args *g = j->g;
    const fd_roi_shape *s = &g->s;
    const long C = s->C;
    for (long k = chunk * BOXES; k < FD_MIN((chunk + 1) * BOXES, s->K); k++) {
        const float *x = g->x + s->image[k] * s->H * s->W * C;
        const line *rows = (const line *)j->lines + k * (s->PH + s->PW), *cols = rows + s->PH;
        for (long p = 0; p < s->PH; p++)
            for (long q = 0; q < s->PW; q++) {
                float *out = g->out + ((k * s->PH + p) * s->PW + q) * C;
                long c = 0;
                for (; c + BLOCK <= C; c += BLOCK) align_bin(x + c, C, s->W, rows + p, cols + q, out + c, NV, VL, stream);
                for (; c < C; c += VL) align_bin(x + c, C, s->W, rows + p, cols + q, out + c, 1, FD_MIN(VL, C - c), stream);
            }
    }
}

static void align_chunk(void *ctx, long chunk) {
    const job *j = ctx;
    if (j->stream) {
        align_boxes(j, chunk, 1);
        vfence();
    } else {
        align_boxes(j, chunk, 0);
    }
}

/* rows [low, high) of dx, those of the line or a part of them */
FD_INLINE void spread_bin(float *dx, long step, long W, const line *row, long low, long high, const line *col, const float *dy,
                          const int nv, long lanes) {
    vf grad[NV];
    FD_UNROLL for (int v = 0; v < nv; v++) {
        fd_prefetch(dy + AHEAD * step + v * VL);
        grad[v] = get(dy + v * VL, lanes);
    }
    for (long h = low; h < high; h++) {
        float *p = dx + (h * W + col->first) * step;
        const vf wy = vset1(row->weight[h - row->first]);
        for (long k = 0; k < col->count; k++, p += step) {
            const vf w = wy * vset1(col->weight[k]);
            FD_UNROLL for (int v = 0; v < nv; v++)
                put(p + v * VL, vfma(w, grad[v], get(p + v * VL, lanes)), lanes, 0);
        }
    }
}

static void spread_chunk(void *ctx, long chunk) {
    const job *j = ctx;
    const fd_roi_align_args *g = j->g;
    const fd_roi_shape *s = &g->s;
    const long C = s->C;
    const strip t = take_strip(j, g->x, chunk);
    for (long k = 0; k < s->K; k++) {
        if (s->image[k] != t.image) continue;
        const line *rows = (const line *)j->lines + k * (s->PH + s->PW), *cols = rows + s->PH;
        for (long p = 0; p < s->PH; p++) {
            const long low = FD_MAX(rows[p].first, t.low), high = FD_MIN(rows[p].first + rows[p].count, t.high);
            if (low >= high) continue;
            for (long q = 0; q < s->PW; q++) {
                const float *dy = g->out + ((k * s->PH + p) * s->PW + q) * C;
                long c = 0;
                for (; c + BLOCK <= C; c += BLOCK)
                    spread_bin(t.dx + c, C, s->W, rows + p, low, high, cols + q, dy + c, NV, VL);
                for (; c < C; c += VL)
                    spread_bin(t.dx + c, C, s->W, rows + p, low, high, cols + q, dy + c, 1, FD_MIN(VL, C - c));
            }
        }
    }
}

int FN(fd_roi_align_f32)(const fd_roi_align_args *g) {
    const fd_roi_shape *s = &g->s;
    if (!s->C || !s->N) return FD_OK;
    if (!g->backward && !s->K) return FD_OK;
    job j = {.s = s, .g = g, .stream = worth_streaming(s, g->out), .strips = strips_of(s)};
    if (make_lines(&j)) return FD_NO_MEMORY;
    const double work = 16.0 * s->K * s->PH * s->PW * s->C;
    if (g->backward)
        fd_run(spread_chunk, &j, j.strips * s->N, work + 4.0 * s->N * s->H * s->W * s->C);
    else
        fd_run(align_chunk, &j, (s->K + BOXES - 1) / BOXES, work);
    fd_pool_put(j.lines);
    return FD_OK;
}
