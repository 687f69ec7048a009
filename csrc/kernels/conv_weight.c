/* Weight gradient: dw[tap, k][lane] = sum over pixels of x[pixel under tap, k] * y[pixel, lane].
 *
 * Idea: a product of x transposed with y. A tile holds 6 rows (channels of x) by 64 lanes of dw in registers while the pixels of a
 * block (about PIXELS) pass: A is read down the columns of x (stride: one pixel), B are the pixels of y. One block of x and y serves
 * all taps from L2. Per tap only the rows and columns inside x are visited, so padding costs nothing. With few channels x is
 * copied into a zero-bordered buffer, and then rows of all taps share tiles.
 * Work is split over lanes and rows of dw first; only if that gives too few chunks, over pixels: each part has its own sums, added
 * in a fixed order at the end.
 */
#include "kernels/conv.h"

#define PIXELS 208       /* of a block */
#define LINES 64         /* result rows of a block, at most */
#define SUM_FLOATS 40960 /* of a chunk's sums: 160 KB of L2 */
#define CHUNK_WORK 3e6
#define MERGE_CHANNELS 12 /* fewer than that: rows of all taps in one */
#define PACK_STRIDE 128   /* pixels of y further apart than this are packed */

typedef struct {
    const fd_conv *p;
    const float *x;
    long x_n, x_c, x_h, x_w;
    int merged;
    long panels, parts, blocks;
    size_t part_size; /* floats of one part's sums, all phases */
    float *sums;      /* [parts][phases][panels][tap * C + k][lanes of the panel] */
    float *dw;
} weight;

typedef struct {
    const float *x, *y; /* the first pixel of each */
} line;

FD_INLINE long k_rows(const weight *d, const fd_conv_phase *f) { return fd_conv_taps(f) * d->p->x.C; }

/* columns [*from, *to) of y for which tap c of a filter row lies inside x */
static void inside(const fd_conv_axis *w, long c, long *from, long *to) {
    *from = 0, *to = w->size;
    while (*from < *to && w->low[*from] > c) ++*from;
    while (*to > *from && w->high[*to - 1] <= c) --*to;
}

/* Adds to dw rows [r0, r1) the products of these lines, `length` pixels each. Row r of dw is x at offset[r], or channel r. */
static void add_products(const weight *d, const line *lines, long count, long length, const long *offset, long r0, long r1,
                         long step, long ldb, long nv, float *sums) {
    const float *a[LINES * FD_MR_MAX], *bs[LINES];
    float *c[FD_MR_MAX];
    const long most = fd_tile_rows(nv), nr = nv * VL;
    for (long i = 0; i < count; i++) bs[i] = lines[i].y;
    fd_tile t = {.a = a, .as = step, .k = length, .taps = count, .bs = bs, .ldb = ldb, .c = c, .n = nr, .accumulate = 1};
    for (long r = r0; r < r1;) {
        const long rows = fd_next_rows(r1 - r, most);
        for (long s = 0; s < rows; s++) {
            const long at = offset ? offset[r + s] : (r + s) * d->x_c;
            for (long i = 0; i < count; i++) a[i * rows + s] = lines[i].x + at;
            c[s] = sums + (r + s) * nr;
        }
        fd_tile_kernel(nv, rows)(&t);
        r += rows;
    }
}

static void weight_chunk(void *ctx, long chunk) {
    const weight *d = ctx;
    const fd_conv *p = d->p;
    const long block = chunk % d->blocks, panel = chunk / d->blocks % d->panels;
    const long part = chunk / d->blocks / d->panels % d->parts, phase = chunk / d->blocks / d->panels / d->parts;
    const fd_conv_phase *f = p->phase + phase;
    const fd_conv_axis *h = f->h, *w = f->w;
    const long n0 = panel * FD_NR, nv = fd_panel_vectors(n0, p->lanes), nr = nv * VL, lanes = FD_MIN(nr, p->lanes - n0);
    const long groups = d->merged ? 1 : fd_conv_taps(f), rows = d->merged ? k_rows(d, f) : p->x.C;
    const long r0 = rows * block / d->blocks, r1 = rows * (block + 1) / d->blocks, step = w->step * d->x_w;
    if (r0 == r1) return;
    float *sums = f->packed + (size_t)part * d->part_size + n0 * k_rows(d, f);
    for (long g = 0; g < groups; g++) memset(sums + (g * rows + r0) * nr, 0, (size_t)((r1 - r0) * nr) * sizeof(float));

    long offset[d->merged ? rows : 1];
    for (long r = r0; d->merged && r < r1; r++) {
        const long tap = r / p->x.C;
        offset[r] = h->at[tap / w->taps] * d->x_h + w->at[tap % w->taps] * d->x_w + r % p->x.C;
    }
    /* a unit is a row of y, or a piece of a long row; a block is one piece or several whole rows */
    const long pieces = FD_MAX(1, (w->size + PIXELS - 1) / PIXELS), units = p->x.N * h->size * pieces;
    const long width = (w->size + pieces - 1) / pieces, at_once = FD_MIN(LINES, FD_MAX(1, PIXELS / FD_MAX(1, width)));
    const long from = units * part / d->parts, to = units * (part + 1) / d->parts;
    /* y is read where it lies unless its pixels are far apart or a vector could pass the end of the array */
    const int in_place = p->y_c == 1 && p->y_w > 0 && p->y_w <= PACK_STRIDE && p->y_h >= 0 && p->y_n >= 0;
    const float *end = f->y + (p->x.N - 1) * p->y_n + (h->size - 1) * p->y_h + (w->size - 1) * p->y_w + p->lanes;
    float packed[PIXELS * FD_NR] __attribute__((aligned(64)));

    for (long u0 = from; u0 < to; u0 += at_once) {
        const long count = FD_MIN(at_once, to - u0), p0 = u0 % pieces * width, p1 = FD_MIN(w->size, p0 + width);
        const float *y[LINES];
        long n[LINES], i[LINES];
        int packing = !in_place;
        for (long s = 0; s < count; s++) {
            i[s] = (u0 + s) / pieces % h->size;
            n[s] = (u0 + s) / pieces / h->size;
            y[s] = f->y + n[s] * p->y_n + i[s] * p->y_h + p0 * p->y_w + n0 * p->y_c;
            packing |= y[s] + (p1 - p0 - 1) * p->y_w + nr > end;
        }
        for (long s = 0; packing && s < count; s++) {
            float *out = packed + s * width * nr;
            if (lanes < nr) memset(out, 0, (size_t)(width * nr) * sizeof(float));
            fd_copy_matrix(y[s], p->y_w, p->y_c, p1 - p0, lanes, out, nr);
            y[s] = out;
        }
        const long ldb = packing ? nr : p->y_w;
        for (long g = 0; g < groups; g++) {
            const long r = g / w->taps, c = g % w->taps; /* the tap, if groups are taps */
            long j0 = 0, j1 = w->size, used = 0;
            if (!d->merged) inside(w, c, &j0, &j1);
            j0 = FD_MAX(j0, p0), j1 = FD_MIN(j1, p1);
            if (j0 >= j1) continue;
            line lines[LINES];
            for (long s = 0; s < count; s++) {
                if (!d->merged && (r < h->low[i[s]] || r >= h->high[i[s]])) continue;
                lines[used].x = d->x + n[s] * d->x_n + i[s] * h->step * d->x_h + j0 * step;
                if (!d->merged) lines[used].x += h->at[r] * d->x_h + w->at[c] * d->x_w;
                lines[used++].y = y[s] + (j0 - p0) * ldb;
            }
            if (used)
                add_products(d, lines, used, j1 - j0, d->merged ? offset : NULL, r0, r1, step, ldb, nv, sums + g * rows * nr);
        }
    }
}

/* --- the end: adds the parts and brings dw into w's layout ------------------------------------------------------------- */
static void finish_chunk(void *ctx, long chunk) {
    const weight *d = ctx;
    const fd_conv *p = d->p;
    const long vectors = (p->lanes + VL - 1) / VL, lane = chunk % vectors * VL, lanes = FD_MIN(VL, p->lanes - lane);
    const fd_conv_phase *f = p->phase + chunk / vectors;
    const long n0 = lane / FD_NR * FD_NR, nr = fd_panel_vectors(n0, p->lanes) * VL, T = p->KH * p->KW, C = p->x.C;
    const float *sums = f->packed + n0 * k_rows(d, f) + (lane - n0);
    float *dw = d->dw + lane * p->w_lane;
    /* where all taps belong to this phase and the numbers of a lane lie side by side: blocks of VL x VL */
    const int square = p->w_k == T && p->phases == 1;
    long k = 0, tap = 0; /* the next row of dw, in the order of w (square) or of the sums */
    for (long row = 0; row < k_rows(d, f); row += VL) {
        const long count = FD_MIN(VL, k_rows(d, f) - row);
        vf v[VL];
        for (long i = 0; i < count; i++) {
            const float *s = sums + (square ? tap * C + k : row + i) * nr;
            v[i] = vload(s);
            for (long part = 1; part < d->parts; part++) v[i] += vload(s + (size_t)part * d->part_size);
            if (++tap == T) tap = 0, k++;
        }
        if (square) {
            for (long i = count; i < VL; i++) v[i] = vzero();
            vtranspose(v);
            for (long l = 0; l < lanes; l++) vstore_n(dw + l * p->w_lane + row, v[l], count);
            continue;
        }
        for (long i = 0; i < count; i++) {
            const long t = (row + i) / C, at = f->h->src[t / f->w->taps] * p->KW + f->w->src[t % f->w->taps];
            for (long l = 0; l < lanes; l++) dw[(row + i) % C * p->w_k + l * p->w_lane + at] = v[i][l];
        }
    }
}

int FN(fd_conv_weight)(const fd_conv *p, float *dw) {
    weight d = {.p = p, .dw = dw, .x = p->x.p, .x_n = p->x.n, .x_c = p->x.c, .x_h = p->x.h, .x_w = p->x.w};
    float *copy = NULL;
    const double work = fd_conv_work(p);
    d.merged = p->x.C < MERGE_CHANNELS && p->KH * p->KW > 1;
    if (d.merged) {
        fd_border b = FN(fd_conv_border)(p);
        copy = FN(fd_bordered_copy)(&p->x, b);
        if (!copy) return FD_NO_MEMORY;
        d.x_c = 1;
        d.x_w = p->x.C;
        d.x_h = b.W * d.x_w;
        d.x_n = b.H * d.x_h;
        d.x = copy + b.top * d.x_h + b.left * d.x_w;
    }
    long most_rows = 1, most_taps = 1, most_units = 1;
    for (long i = 0; i < p->phases; i++) {
        const fd_conv_phase *f = p->phase + i;
        most_taps = FD_MAX(most_taps, fd_conv_taps(f));
        most_rows = FD_MAX(most_rows, k_rows(&d, f));
        most_units = FD_MAX(most_units, p->x.N * f->h->size * ((f->w->size + PIXELS - 1) / PIXELS));
    }
    const long nv = fd_panel_vectors(0, p->lanes), most = fd_tile_rows(nv), rows = d.merged ? most_rows : p->x.C;
    d.panels = (p->lanes + FD_NR - 1) / FD_NR;
    /* rows of dw in a chunk: such that its sums stay in L2 */
    const long fit = FD_MAX(most, SUM_FLOATS / (nv * VL) / (d.merged ? 1 : most_taps));
    d.blocks = FD_MAX(1, (rows + fit - 1) / fit);
    const long chunks = p->phases * d.panels * d.blocks;
    const double per_chunk = work / (double)chunks;
    d.parts = FD_MAX(1, FD_MIN((16 + chunks - 1) / chunks, (long)(per_chunk / CHUNK_WORK)));
    d.parts = FD_MIN(d.parts, most_units);
    d.part_size = fd_packed_size(p->KH * p->KW * p->x.C, p->lanes);
    d.sums = fd_pool_get((size_t)d.parts * d.part_size * sizeof(float));
    if (!d.sums) {
        fd_pool_put(copy);
        return FD_NO_MEMORY;
    }
    float *at = d.sums;
    for (long i = 0; i < p->phases; i++) {
        p->phase[i].packed = at;
        at += fd_packed_size(k_rows(&d, p->phase + i), p->lanes);
    }
    fd_run(weight_chunk, &d, chunks * d.parts, work);
    fd_run(finish_chunk, &d, p->phases * ((p->lanes + VL - 1) / VL), 4.0 * (double)d.part_size * (double)d.parts);
    fd_pool_put(d.sums);
    fd_pool_put(copy);
    return FD_OK;
}
