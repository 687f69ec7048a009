/* Convolution as an indirect matrix product: rows are result pixels, columns lanes, the sum runs over (tap, channel).
 *
 * Idea: the tile kernel takes a pointer to each row of A, so no column matrix is ever built: under one tap the row of a pixel is
 * the channels of the input pixel it reads, or a shared row of zeros. Taps that are padding for all pixels of a tile are left
 * out. Filters are packed into panels; the part of a panel in use (BLOCK_STEPS rows) stays in L2 while up to PIXELS pixels
 * run past it: [lanes / FD_NR][channel block][tap][channel][FD_NR]. With few channels the taps of one filter row lie side by side in memory, so x is copied once into a
 * zero-bordered buffer and the run of kw * C numbers is summed as one.
 */
#include "kernels/conv.h"

#define BLOCK_STEPS 1536 /* rows of a panel in use: 384 KB at 64 floats */
#define BLOCK_TAPS 64
#define BLOCK_CHANNELS 1024
#define PIXELS 384        /* results of a chunk */
#define CHUNK_WORK 3e6    /* multiply-adds, about 50 us */
#define MERGE_CHANNELS 16 /* fewer than that: runs of kw * C */

int FN(fd_relayout_f32)(const fd_relayout_args *g);

static const float zeros[BLOCK_CHANNELS];

typedef struct {
    const float *x; /* what tap offset 0 reads */
    float *y;
    int low_h, high_h, low_w, high_w, whole; /* taps inside the input; whether all are */
} pixel;

typedef struct {
    const fd_conv *p;
    const float *x; /* input pixel (0, 0) of image 0 */
    long x_n, x_h, x_w;
    int inside;      /* x is bordered: no tap falls outside */
    int merged;      /* and the taps of a filter row are one run */
    int by_position; /* pixels of equal position in all images are neighbours: small maps skip more padding */
    long k_block, k_blocks;
    long panels, panel_block, panel_blocks;
    int stream; /* results go past the caches */
    const float *bias;
    long *chunks;       /* [phases + 1]: first chunk of each phase */
    long *pixel_blocks; /* [phases] */
} direct;

/* --- packing ------------------------------------------------------------------------------------------------------ */
typedef struct {
    float *packed; /* of the phase that uses this tap; NULL if none */
    long taps, at; /* taps of that phase; which of them */
} tap_home;

typedef struct {
    const fd_conv *p;
    const tap_home *home; /* [KH * KW] */
    long k_block;
} packing;

/* the block of steps that k lies in: a division only where k leaves the last one */
typedef struct {
    long first, size;
} k_range;

/* where (tap, k) of the panel at lane n0 goes */
FD_INLINE float *packed_row(const packing *g, k_range *b, long tap, long k, long n0, long nr) {
    const tap_home *t = g->home + tap;
    if (k < b->first || k >= b->first + b->size) {
        b->first = k / g->k_block * g->k_block;
        b->size = FD_MIN(g->k_block, g->p->x.C - b->first);
    }
    return t->packed + n0 * t->taps * g->p->x.C + (b->first * t->taps + t->at * b->size + (k - b->first)) * nr;
}

static void pack_chunk(void *ctx, long panel) {
    const packing *g = ctx;
    const fd_conv *p = g->p;
    const long n0 = panel * FD_NR, nv = fd_panel_vectors(n0, p->lanes), nr = nv * VL, T = p->KH * p->KW, C = p->x.C;
    k_range block = {0, 0};
    for (long j = 0; j < nv; j++) {
        const long lane = n0 + j * VL, lanes = FD_MIN(VL, p->lanes - lane);
        const float *w = p->w + lane * p->w_lane;
        if (p->w_lane == 1) { /* 1x1, lanes side by side */
            for (long k = 0; k < C; k++) vstore(packed_row(g, &block, 0, k, n0, nr) + j * VL, vload_n(w + k * p->w_k, lanes));
            continue;
        }
        /* the numbers of one lane lie side by side: all (k, tap) where k is inner, else the taps of one k */
        const long runs = p->w_k == T ? 1 : C, run = p->w_k == T ? C * T : T;
        for (long r = 0; r < runs; r++)
            for (long f = 0; f < run; f += VL) {
                const long n = FD_MIN(VL, run - f);
                vf v[VL];
                if (lanes == VL && n == VL) {
                    /* sixteen streams are more than the processor foresees */
                    for (int i = 0; i < VL; i++) fd_prefetch(w + i * p->w_lane + r * p->w_k + f + 4 * VL);
    FD_UNROLL for (int i = 0; i < VL; i++) v[i] = vload(w + i * p->w_lane + r * p->w_k + f);
                } else {
                    FD_UNROLL for (int i = 0; i < VL; i++) {
                        v[i] = i < lanes ? vload_n(w + i * p->w_lane + r * p->w_k + f, n) : vzero();
                    }
                }
                vtranspose(v);
                long k = r + f / T, tap = f % T;
                FD_UNROLL for (int i = 0; i < VL; i++) {
                    if (i < n) {
                        if (g->home[tap].packed) vstore(packed_row(g, &block, tap, k, n0, nr) + j * VL, v[i]);
                        if (++tap == T) tap = 0, k++;
                    }
                }
            }
    }
}

/* Lays the filters of all phases out as panels in `buffer`, which holds fd_packed_size(KH * KW * C, lanes) floats. */
static int pack(const direct *d, float *buffer) {
    const fd_conv *p = d->p;
    const long T = p->KH * p->KW;
    tap_home *home = fd_pool_get((size_t)T * sizeof *home);
    if (!home) return FD_NO_MEMORY;
    memset(home, 0, (size_t)T * sizeof *home);
    for (long i = 0; i < p->phases; i++) {
        fd_conv_phase *f = p->phase + i;
        f->packed = buffer;
        buffer += fd_packed_size(fd_conv_taps(f) * p->x.C, p->lanes);
        for (long r = 0; r < f->h->taps; r++)
            for (long c = 0; c < f->w->taps; c++)
                home[f->h->src[r] * p->KW + f->w->src[c]] = (tap_home){f->packed, fd_conv_taps(f), r * f->w->taps + c};
    }
    packing g = {p, home, d->k_block};
    fd_run(pack_chunk, &g, d->panels, 4.0 * (double)T * (double)p->x.C * (double)p->lanes);
    fd_pool_put(home);
    return FD_OK;
}

/* --- the product --------------------------------------------------------------------------------------------------- */
/* the pixels [from, from + count) of a phase, in the order of d */
static void list_pixels(const direct *d, const fd_conv_phase *f, long from, long count, pixel *px) {
    const fd_conv_axis *h = f->h, *w = f->w;
    const fd_conv *p = d->p;
    long n, q;
    if (d->by_position) {
        n = from % p->x.N;
        q = from / p->x.N;
    } else {
        n = from / (h->size * w->size);
        q = from % (h->size * w->size);
    }
    long i = q / w->size, j = q % w->size;
    const long x_next = d->by_position ? d->x_n : w->step * d->x_w, y_next = d->by_position ? p->y_n : p->y_w;
    for (long m = 0; m < count;) { /* a run of pixels whose neighbours lie equally far apart */
        const long run = FD_MIN(count - m, d->by_position ? p->x.N - n : w->size - j);
        const float *x = d->x + n * d->x_n + i * h->step * d->x_h + j * w->step * d->x_w;
        float *y = f->y + n * p->y_n + i * p->y_h + j * p->y_w;
        const int low_h = d->inside ? 0 : (int)h->low[i], high_h = d->inside ? (int)h->taps : (int)h->high[i];
        const int whole_h = low_h == 0 && high_h == h->taps;
        for (long r = 0; r < run; r++, x += x_next, y += y_next) {
            const long column = d->by_position ? j : j + r;
            const int low_w = d->inside ? 0 : (int)w->low[column], high_w = d->inside ? (int)w->taps : (int)w->high[column];
            px[m + r] = (pixel){x, y, low_h, high_h, low_w, high_w, whole_h && low_w == 0 && high_w == w->taps};
        }
        m += run;
        if (d->by_position) {
            n = 0;
            if (++j < w->size) continue;
        }
        j = 0;
        if (++i < h->size) continue;
        i = 0;
        n++;
    }
}

/* Row pointers of one tile for taps [t0, t1), which lie offset[0], ... from where a pixel's first reads. Returns how many taps are needed; *bs is set if some are not. */
static long point(const direct *d, const fd_conv_phase *f, const pixel *px, long rows, long t0, long t1, const long *offset,
                  long tap_size, const float *b, const float **a, const float **bs, int *gaps) {
    int whole = 1;
    for (long i = 0; i < rows; i++) whole &= px[i].whole;
    *gaps = 0;
    if (whole) {
        for (long t = 0; t < t1 - t0; t++)
            for (long i = 0; i < rows; i++) *a++ = px[i].x + offset[t];
        return t1 - t0;
    }
    const long cols = d->merged ? 1 : FD_MAX(1, f->w->taps);
    long needed = 0, r = t0 / cols, c = t0 % cols;
    int low_h = px[0].low_h, high_h = px[0].high_h, low_w = px[0].low_w, high_w = px[0].high_w;
    for (long i = 1; i < rows; i++) {
        low_h = FD_MIN(low_h, px[i].low_h), high_h = FD_MAX(high_h, px[i].high_h);
        low_w = FD_MIN(low_w, px[i].low_w), high_w = FD_MAX(high_w, px[i].high_w);
    }
    for (long t = t0; t < t1; t++, b += tap_size) {
        if (r >= low_h && r < high_h && c >= low_w && c < high_w) {
            for (long i = 0; i < rows; i++) {
                const pixel *q = px + i;
                *a++ = r >= q->low_h && r < q->high_h && c >= q->low_w && c < q->high_w ? q->x + offset[t - t0] : zeros;
            }
            bs[needed++] = b;
        }
        if (++c == cols) c = 0, r++;
    }
    *gaps = 1;
    return needed;
}

/* one panel of lanes for all pixels of a chunk */
static void multiply_panel(const direct *d, const fd_conv_phase *f, const pixel *px, long count, long first, long n0) {
    const fd_conv *p = d->p;
    const float *a[BLOCK_TAPS * FD_MR_MAX], *bs[BLOCK_TAPS];
    float *y[FD_MR_MAX];
    long offset[BLOCK_TAPS];
    const long nv = fd_panel_vectors(n0, p->lanes), nr = nv * VL, most = fd_tile_rows(nv), C = p->x.C;
    const long taps = d->merged ? f->h->taps : fd_conv_taps(f), run = d->merged ? f->w->taps : 1;
    const float *packed = f->packed + n0 * fd_conv_taps(f) * C;
    for (long kb = 0; kb < d->k_blocks; kb++) {
        const long k0 = kb * d->k_block, kn = FD_MIN(d->k_block, C - k0);
        const long fit = FD_MAX(1, FD_MIN(BLOCK_TAPS, BLOCK_STEPS / FD_MAX(1, kn * run)));
        const long tap_blocks = FD_MAX(1, (taps + fit - 1) / fit), tap_block = (taps + tap_blocks - 1) / tap_blocks;
        for (long tb = 0; tb < tap_blocks; tb++) {
            const long t0 = FD_MIN(taps, tb * tap_block), t1 = FD_MIN(taps, t0 + tap_block), tap_size = kn * run * nr;
            const float *b = packed + k0 * fd_conv_taps(f) * nr + t0 * tap_size;
            const int begins = kb == 0 && tb == 0, ends = kb + 1 == d->k_blocks && tb + 1 == tap_blocks;
            fd_tile t = {.a = a,
                         .as = 1,
                         .k = kn * run,
                         .b = b,
                         .ldb = nr,
                         .c = y,
                         .n = p->lanes - n0,
                         .bias = d->bias ? d->bias + n0 : NULL,
                         .accumulate = !begins,
                         .stream = d->stream && begins && ends,
                         .near = d->stream && begins && ends,
                         .relu = p->relu && ends};
            const long cols = d->merged ? 1 : FD_MAX(1, f->w->taps);
            for (long u = t0; u < t1; u++)
                offset[u - t0] = f->h->at[u / cols] * d->x_h + f->w->at[u % cols] * d->x_w + k0;
            for (long m = 0; m < count;) {
                const long left = d->by_position ? FD_MIN(count - m, p->x.N - (first + m) % p->x.N) : count - m;
                const long rows = fd_next_rows(left, most);
                int gaps;
                t.taps = point(d, f, px + m, rows, t0, t1, offset, tap_size, b, a, bs, &gaps);
                t.bs = gaps ? bs : NULL;
                for (long i = 0; i < rows; i++) y[i] = px[m + i].y + n0;
                if (t.taps || begins || t.relu) fd_tile_kernel(nv, rows)(&t);
                m += rows;
            }
        }
    }
}

static void direct_chunk(void *ctx, long chunk) {
    const direct *d = ctx;
    const fd_conv *p = d->p;
    long i = 0;
    while (chunk >= d->chunks[i + 1]) i++;
    const fd_conv_phase *f = p->phase + i;
    const long local = chunk - d->chunks[i], block = local / d->panel_blocks, panel = local % d->panel_blocks * d->panel_block;
    const long all = p->x.N * fd_conv_pixels(f), size = (all + d->pixel_blocks[i] - 1) / d->pixel_blocks[i];
    const long first = block * size, count = FD_MIN(size, all - first);
    if (count <= 0) return;
    pixel px[PIXELS];
    list_pixels(d, f, first, count, px);
    for (long n = panel; n < FD_MIN(d->panels, panel + d->panel_block); n++)
        multiply_panel(d, f, px, count, first, n * FD_NR);
    if (d->stream) vfence();
}

/* --- planning ------------------------------------------------------------------------------------------------------ */
/* Do the taps of every filter row read neighbouring columns, more than one somewhere? Then a row is one run of numbers. */
static int rows_are_runs(const fd_conv *p) {
    long most = 0;
    for (long i = 0; i < p->phases; i++) {
        const fd_conv_axis *w = p->phase[i].w;
        for (long t = 1; t < w->taps; t++)
            if (w->at[t] != w->at[t - 1] + 1) return 0;
        most = FD_MAX(most, w->taps);
    }
    return most > 1;
}

/* share of (result, tap) pairs that are not padding */
static double inside_share(const fd_conv *p) {
    double inside = 0, all = 0;
    for (long i = 0; i < p->phases; i++) {
        const fd_conv_phase *f = p->phase + i;
        double h = 0, w = 0;
        for (long q = 0; q < f->h->size; q++) h += (double)(f->h->high[q] - f->h->low[q]);
        for (long q = 0; q < f->w->size; q++) w += (double)(f->w->high[q] - f->w->low[q]);
        inside += h * w;
        all += (double)fd_conv_pixels(f) * (double)fd_conv_taps(f);
    }
    return all > 0 ? inside / all : 1;
}

/* Splits pixels and panels into chunks, by the shape only. */
static long split(direct *d) {
    const fd_conv *p = d->p;
    double pixels = 0;
    for (long i = 0; i < p->phases; i++) pixels += (double)p->x.N * (double)fd_conv_pixels(p->phase + i);
    const double each = fd_conv_work(p) / FD_MAX(1, pixels); /* of a pixel, all lanes */
    long size = (long)FD_MAX(96, FD_MIN(PIXELS, CHUNK_WORK / FD_MAX(1, each)));
    size = size / FD_MR * FD_MR;
    const double blocks = FD_MAX(1, pixels / (double)size);
    d->panel_block = blocks >= 16 ? d->panels : FD_MAX(1, (long)((double)d->panels * blocks / 16));
    d->panel_blocks = (d->panels + d->panel_block - 1) / d->panel_block;
    if (blocks * (double)d->panel_blocks < 8) size = FD_MAX(4 * FD_MR, (long)(pixels * (double)d->panel_blocks / 8));
    size = FD_MIN(PIXELS, (size + FD_MR - 1) / FD_MR * FD_MR);
    d->chunks[0] = 0;
    for (long i = 0; i < p->phases; i++) {
        d->pixel_blocks[i] = (p->x.N * fd_conv_pixels(p->phase + i) + size - 1) / size;
        d->chunks[i + 1] = d->chunks[i] + d->pixel_blocks[i] * d->panel_blocks;
    }
    return d->chunks[p->phases];
}

int FN(fd_conv_direct)(const fd_conv *p) {
    direct d = {.p = p, .x = p->x.p, .x_n = p->x.n, .x_h = p->x.h, .x_w = p->x.w};
    float *copy = NULL;
    d.merged = d.inside = p->x.C < MERGE_CHANNELS && rows_are_runs(p);
    if (d.merged || (p->x.c != 1 && p->x.C > 1)) {
        fd_border b = d.merged ? FN(fd_conv_border)(p) : (fd_border){0, 0, p->x.H, p->x.W};
        copy = FN(fd_bordered_copy)(&p->x, b);
        if (!copy) return FD_NO_MEMORY;
        d.x_w = p->x.C;
        d.x_h = b.W * d.x_w;
        d.x_n = b.H * d.x_h;
        d.x = copy + b.top * d.x_h + b.left * d.x_w;
    }
    d.k_blocks = FD_MAX(1, (p->x.C + BLOCK_CHANNELS - 1) / BLOCK_CHANNELS);
    d.k_block = FD_MAX(1, (p->x.C + d.k_blocks - 1) / d.k_blocks);
    d.panels = (p->lanes + FD_NR - 1) / FD_NR;
    /* worth it if tiles of one position are not short */
    const long most = fd_tile_rows(fd_panel_vectors(0, p->lanes)), tiles = (p->x.N + most - 1) / most;
    d.by_position = !d.inside && p->x.N >= 4 && p->x.N >= 4 * tiles && inside_share(p) < 0.92;

    d.stream = fd_conv_streams(p);
    const long width = (p->lanes + VL - 1) / VL * VL;
    const size_t weights = fd_packed_size(p->KH * p->KW * p->x.C, p->lanes);
    const size_t longs = (size_t)(2 * p->phases + 1);
    float *buffer = fd_pool_get((weights + (size_t)width) * sizeof(float) + longs * sizeof(long));
    int code = FD_NO_MEMORY;
    if (buffer) {
        d.chunks = (long *)(buffer + weights + width);
        d.pixel_blocks = d.chunks + p->phases + 1;
        if (p->bias) {
            float *bias = buffer + weights;
            memcpy(bias, p->bias, (size_t)p->lanes * sizeof(float));
            memset(bias + p->lanes, 0, (size_t)(width - p->lanes) * sizeof(float));
            d.bias = bias;
        }
        code = pack(&d, buffer);
        if (code == FD_OK) fd_run(direct_chunk, &d, split(&d), fd_conv_work(p));
    }
    fd_pool_put(buffer);
    fd_pool_put(copy);
    return code;
}

/* --- bordered copies ------------------------------------------------------------------------------------------------ */
fd_border FN(fd_conv_border)(const fd_conv *p) {
    long low[2] = {0, 0}, high[2] = {p->x.H, p->x.W};
    for (long i = 0; i < p->phases; i++)
        for (int axis = 0; axis < 2; axis++) {
            const fd_conv_axis *a = axis ? p->phase[i].w : p->phase[i].h;
            if (!a->taps || !a->size) continue;
            low[axis] = FD_MIN(low[axis], a->at[0]);
            high[axis] = FD_MAX(high[axis], (a->size - 1) * a->step + a->at[a->taps - 1] + 1);
        }
    return (fd_border){-low[0], -low[1], high[0] - low[0], high[1] - low[1]};
}

typedef struct {
    const fd_map *m;
    fd_border b;
    float *out;
} copy_job;

static void copy_row(void *ctx, long chunk) {
    const copy_job *g = ctx;
    const fd_map *m = g->m;
    const long n = chunk / g->b.H, row = chunk % g->b.H, h = row - g->b.top, C = m->C;
    float *out = g->out + chunk * g->b.W * C;
    if (h < 0 || h >= m->H) {
        memset(out, 0, (size_t)(g->b.W * C) * sizeof(float));
        return;
    }
    memset(out, 0, (size_t)(g->b.left * C) * sizeof(float));
    fd_copy_matrix(m->p + n * m->n + h * m->h, m->w, m->c, m->W, C, out + g->b.left * C, C);
    const long end = g->b.left + m->W;
    memset(out + end * C, 0, (size_t)((g->b.W - end) * C) * sizeof(float));
}

float *FN(fd_bordered_copy)(const fd_map *m, fd_border b) {
    copy_job g = {m, b, fd_pool_get((size_t)(m->N * b.H * b.W * m->C) * sizeof(float))};
    if (g.out && m->w == 1 && m->h == m->W && b.H == m->H && b.W == m->W) { /* (N, C, H, W): an image is one matrix */
        const fd_relayout_args r = {m->N, m->H * m->W, m->C, sizeof(float), m->p, m->n, m->c, g.out};
        FN(fd_relayout_f32)(&r);
        return g.out;
    }
    if (g.out) fd_run(copy_row, &g, m->N * b.H, 4.0 * (double)(m->N * b.H * b.W) * (double)m->C);
    return g.out;
}
