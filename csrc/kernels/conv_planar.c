/* Convolution to few lanes (three colours, LeNet's six maps): vectors run along the image row instead of along the lanes.
 *
 * Idea: with three lanes a vector of lanes would be nearly empty. So x is copied once, channel by channel, into zero-bordered rows
 * [image][row][channel][column]; B of the tile kernel is then a stretch of 64 columns, one k step to the next channel, and A are
 * the weights: a tile is (lanes x 64 columns). The few results are interleaved into channels-last at the end.
 * With fewer channels than filter columns the k loop runs along the filter row instead (each step one column further).
 */
#include "kernels/conv.h"

#define BLOCK_TAPS 64
#define CHUNK_WORK 3e6

typedef struct {
    const fd_conv *p;
    fd_border b;
    float *x;      /* [N][b.H][C][b.W] */
    float *w;      /* of each phase: [lane][tap][k] */
    int along_row; /* k runs along the filter row; a tap is (row, channel) instead of (row, column) */
    int flat;      /* one channel: all rows of an image are one long row */
    long rows;     /* result rows of a chunk */
    long blocks;   /* chunks of a phase of an image */
} planar;

static void pack(const planar *d) {
    const fd_conv *p = d->p;
    float *out = d->w;
    for (long i = 0; i < p->phases; i++) {
        fd_conv_phase *f = p->phase + i;
        const long rows = f->h->taps, cols = f->w->taps, C = p->x.C;
        f->packed = out;
        for (long lane = 0; lane < p->lanes; lane++)
            for (long r = 0; r < rows; r++)
                for (long c = 0; c < cols; c++) {
                    const float *w = p->w + lane * p->w_lane + f->h->src[r] * p->KW + f->w->src[c];
                    for (long k = 0; k < C; k++) {
                        const long at = d->along_row ? (r * C + k) * cols + c : (r * cols + c) * C + k;
                        out[lane * rows * cols * C + at] = w[k * p->w_k];
                    }
                }
        out += p->lanes * rows * cols * C;
    }
}

/* results [j, j + count) of row i (all rows, if flat) of one image: sums[lane][count] */
static void sum_columns(const planar *d, const fd_conv_phase *f, long n, long i, long j, long count, float *sums) {
    const fd_conv *p = d->p;
    const long C = p->x.C, W = d->b.W, cols = f->w->taps;
    const long inner = d->along_row ? C : cols, k = d->along_row ? cols : C, all = f->h->taps * inner;
    /* filter rows that lie in the border add nothing; those of a flat stretch differ from row to row */
    const long r0 = d->flat ? 0 : f->h->low[i], taps = d->flat ? all : (f->h->high[i] - r0) * inner;
    const long nv = (count + VL - 1) / VL, most = fd_tile_rows(nv);
    const float *x = d->x + ((n * d->b.H + i * f->h->step + d->b.top) * C) * W + d->b.left + j;
    const float *a[BLOCK_TAPS * FD_MR_MAX], *bs[BLOCK_TAPS];
    float *c[FD_MR_MAX];
    fd_tile t = {.a = a, .as = 1, .k = k, .bs = bs, .c = c, .n = nv * VL};
    t.ldb = !d->along_row ? W : cols > 1 ? f->w->at[1] - f->w->at[0] : 1;
    for (long lane = 0; lane < p->lanes;) {
        const long rows = fd_next_rows(p->lanes - lane, most);
        for (long r = 0; r < rows; r++) c[r] = sums + (lane + r) * FD_NR;
        for (long t0 = 0; t0 == 0 || t0 < taps; t0 += BLOCK_TAPS) {
            t.taps = FD_MIN(BLOCK_TAPS, taps - t0);
            t.accumulate = t0 > 0;
            for (long tap = 0; tap < t.taps; tap++) {
                const long r = r0 + (t0 + tap) / inner, q = (t0 + tap) % inner;
                bs[tap] = x + f->h->at[r] * C * W + (d->along_row ? q * W + f->w->at[0] : f->w->at[q]);
                for (long s = 0; s < rows; s++) a[tap * rows + s] = f->packed + ((lane + s) * all + r0 * inner + t0 + tap) * k;
            }
            t.b = t.taps ? bs[0] : x;
            fd_tile_kernel(nv, rows)(&t);
        }
        lane += rows;
    }
}

static void store(const fd_conv *p, const float *sums, long from, long count, float *y) {
    for (long lane = 0; lane < p->lanes; lane++) {
        const float bias = p->bias ? p->bias[lane] : 0.0f, *s = sums + lane * FD_NR + from;
        float *out = y + lane;
        if (p->relu)
            for (long j = 0; j < count; j++, out += p->y_w) *out = s[j] + bias < 0 ? 0.0f : s[j] + bias;
        else
            for (long j = 0; j < count; j++, out += p->y_w) *out = s[j] + bias;
    }
}

static void planar_chunk(void *ctx, long chunk) {
    const planar *d = ctx;
    const fd_conv *p = d->p;
    const fd_conv_phase *f = p->phase + chunk / d->blocks / p->x.N;
    const long n = chunk / d->blocks % p->x.N, i0 = chunk % d->blocks * d->rows, i1 = FD_MIN(f->h->size, i0 + d->rows);
    const long widest = p->lanes <= fd_tile_rows(FD_NV) ? FD_NV : FD_NV - 1;
    float sums[FD_MR_MAX * FD_NR];
    if (i0 >= i1) return;
    const long W = f->w->size, length = d->flat ? (i1 - i0 - 1) * d->b.W + W : W;
    for (long i = i0; i < (d->flat ? i0 + 1 : i1); i++)
        for (long j = 0; j < length;) {
            const long vectors = (length - j + VL - 1) / VL, columns = VL * fd_next_rows(vectors, widest);
            const long count = FD_MIN(columns, length - j);
            sum_columns(d, f, n, i, j, count, sums);
            /* a flat stretch crosses rows, and the border between them is not stored */
            for (long s = j; s < j + count;) {
                const long row = d->flat ? s / d->b.W : 0, column = s - row * d->b.W, left = j + count - s;
                if (column < W)
                    store(p, sums, s - j, FD_MIN(left, W - column), f->y + n * p->y_n + (i + row) * p->y_h + column * p->y_w);
                s += d->flat ? FD_MIN(left, d->b.W - column) : left;
            }
            j += count;
        }
}

int FN(fd_conv_planar_pays)(const fd_conv *p) {
    if (2 * p->lanes > VL || !p->x.C) return 0;
    for (long i = 0; i < p->phases; i++) {
        const fd_conv_axis *w = p->phase[i].w;
        const double used = p->x.C == 1 ? 0.8 : (double)w->size / (double)((w->size + VL - 1) / VL * VL);
        if (w->step != 1 || (double)p->lanes > 0.7 * VL * used) return 0;
    }
    return 1;
}

int FN(fd_conv_planar)(const fd_conv *p) {
    planar d = {.p = p, .b = FN(fd_conv_border)(p)};
    const long C = p->x.C, taps = p->KH * p->KW;
    long tallest = 1, steps_of_one = 1;
    for (long i = 0; i < p->phases; i++) {
        tallest = FD_MAX(tallest, p->phase[i].h->size);
        steps_of_one &= p->phase[i].h->step == 1;
    }
    d.along_row = C < p->KW;
    d.flat = C == 1 && steps_of_one;
    const double each = fd_conv_work(p) / (double)(p->phases * p->x.N * tallest);
    d.rows = (long)FD_MAX(1, FD_MIN((double)tallest, CHUNK_WORK / FD_MAX(1, each)));
    d.blocks = (tallest + d.rows - 1) / d.rows;
    d.rows = (tallest + d.blocks - 1) / d.blocks;
    const size_t size = (size_t)(p->x.N * d.b.H * C * d.b.W) + FD_NR;
    d.x = FN(fd_planar_copy)(&p->x, d.b, (size_t)(taps * C * p->lanes));
    if (!d.x) return FD_NO_MEMORY;
    d.w = d.x + size;
    pack(&d);
    fd_run(planar_chunk, &d, p->phases * p->x.N * d.blocks, fd_conv_work(p));
    fd_pool_put(d.x);
    return FD_OK;
}

/* --- planar copies ---------------------------------------------------------------------------------------------------- */
typedef struct {
    const fd_map *m;
    fd_border b;
    float *out;
} copy_job;

static void copy_row(void *ctx, long chunk) {
    const copy_job *g = ctx;
    const fd_map *m = g->m;
    const long n = chunk / g->b.H, row = chunk % g->b.H, h = row - g->b.top, C = m->C, W = g->b.W;
    float *out = g->out + chunk * C * W;
    if (h < 0 || h >= m->H) {
        memset(out, 0, (size_t)(C * W) * sizeof(float));
        return;
    }
    fd_copy_matrix(m->p + n * m->n + h * m->h, m->c, m->w, C, m->W, out + g->b.left, W);
    const long end = g->b.left + m->W;
    for (long c = 0; c < C; c++) {
        memset(out + c * W, 0, (size_t)g->b.left * sizeof(float));
        memset(out + c * W + end, 0, (size_t)(W - end) * sizeof(float));
    }
}

float *FN(fd_planar_copy)(const fd_map *m, fd_border b, size_t more) {
    const size_t size = (size_t)(m->N * b.H * m->C * b.W);
    copy_job g = {m, b, fd_pool_get((size + FD_NR + more) * sizeof(float))};
    if (!g.out) return NULL;
    memset(g.out + size, 0, FD_NR * sizeof(float));
    fd_run(copy_row, &g, m->N * b.H, 4.0 * (double)size);
    return g.out;
}
