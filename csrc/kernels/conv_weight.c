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
    float *db;        /* [parts][db_size] */
    long db_size;
    float *sums; /* [parts][phases][panels][tap * C + k][lanes of the panel] */
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

/* One block of a chunk: result rows (or a piece of one) whose x and y serve all taps before the next block. */
typedef struct {
    long count, p0, p1;      /* units; columns of y */
    long n[LINES], i[LINES]; /* image and row of each */
    const float *y[LINES];   /* their first pixels */
    long ldb;                /* between pixels of y */
    const float *x[LINES];   /* packed x: what column p0 reads under a tap at (0, 0) */
} block;

/* How rows of dw map to x. */
typedef struct {
    const long *offset; /* of each row; NULL: row r is channel r */
    long pixel;         /* distance between what neighbouring columns of y read */
    long c, h, w;       /* distances between channels, rows and columns of x */
} reading;

/* Adds to dw rows [r0, r1) the products of these lines, `length` pixels each. */
static void add_products(const line *lines, long count, long length, const reading *m, long r0, long r1, long ldb, long nv,
                         float *sums) {
    const float *a[LINES * FD_MR_MAX], *bs[LINES];
    float *c[FD_MR_MAX];
    const long most = fd_tile_rows(nv), nr = nv * VL;
    for (long i = 0; i < count; i++) bs[i] = lines[i].y;
    fd_tile t = {.a = a, .as = m->pixel, .k = length, .taps = count, .bs = bs, .ldb = ldb, .c = c, .n = nr, .accumulate = 1};
    for (long r = r0; r < r1;) {
        const long rows = fd_next_rows(r1 - r, most);
        for (long s = 0; s < rows; s++) {
            const long at = m->offset ? m->offset[r + s] : (r + s) * m->c;
            for (long i = 0; i < count; i++) a[i * rows + s] = lines[i].x + at;
            c[s] = sums + (r + s) * nr;
        }
        fd_tile_kernel(nv, rows)(&t);
        r += rows;
    }
}

/* Copies channels [r0, r1) of what the block reads of x, pixels `ld` floats apart: pixels that lie a large power of two apart
 * would fall into the same few cache sets. With one column of taps only the pixels that are read are copied, side by side. */
static void pack_x(const weight *d, const fd_conv_phase *f, block *b, long r0, long r1, long ld, float *out, reading *m) {
    const fd_conv_axis *h = f->h, *w = f->w;
    const int sparse = w->taps == 1;
    long j0, j1, from, columns; /* columns of y inside x; first column of x that is copied, and how many */
    inside(w, 0, &j0, &j1);
    j0 = FD_MAX(j0, b->p0), j1 = FD_MIN(j1, b->p1);
    if (sparse) {
        from = w->step * j0 + w->at[0];
        columns = j1 - j0;
    } else {
        from = FD_MAX(0, w->step * b->p0 + w->at[0]);
        columns = FD_MIN(d->p->x.W, w->step * (b->p1 - 1) + w->at[w->taps - 1] + 1) - from;
    }
    const long row = sparse ? (b->p1 - b->p0) * ld : FD_MAX(0, columns) * ld, first = sparse ? (j0 - b->p0) * ld : 0;
    *m = (reading){NULL, sparse ? ld : w->step * ld, 1, row, sparse ? 0 : ld};
    long slots = 0, next = 0, image = -1, shift = 0; /* row r of this image lies in slot r + shift, up to row `next` */
    for (long s = 0; s < b->count; s++) {
        const long i = b->i[s];
        if (h->low[i] == h->high[i]) continue;
        const long low = i * h->step + h->at[h->low[i]], high = i * h->step + h->at[h->high[i] - 1] + 1;
        if (b->n[s] != image || low > next) {
            image = b->n[s];
            shift = slots - low;
            next = low;
        }
        for (; next < high; next++, slots++)
            if (columns > 0)
                fd_copy_matrix(d->x + image * d->x_n + next * d->x_h + from * d->x_w + r0 * d->x_c,
                               sparse ? w->step * d->x_w : d->x_w, d->x_c, columns, r1 - r0, out + slots * row + first, ld);
        b->x[s] = out + (i * h->step + shift) * row + (sparse ? 0 : (w->step * b->p0 - from) * ld) - r0;
    }
}

/* the units [u, u + count) of this phase; y where it lies, or a packed copy */
static void load_block(const weight *d, const fd_conv_phase *f, long u, long count, long pieces, long width, long n0,
                       long lanes, long nr, int pack, float *packed, block *b) {
    const fd_conv *p = d->p;
    const float *end = f->y + (p->x.N - 1) * p->y_n + (f->h->size - 1) * p->y_h + (f->w->size - 1) * p->y_w + p->lanes;
    b->count = count;
    b->p0 = u % pieces * width;
    b->p1 = FD_MIN(f->w->size, b->p0 + width);
    for (long s = 0; s < count; s++) {
        b->i[s] = (u + s) / pieces % f->h->size;
        b->n[s] = (u + s) / pieces / f->h->size;
        b->y[s] = f->y + b->n[s] * p->y_n + b->i[s] * p->y_h + b->p0 * p->y_w + n0 * p->y_c;
        pack |= b->y[s] + (b->p1 - b->p0 - 1) * p->y_w + nr > end; /* a vector would pass the end of the array */
    }
    b->ldb = pack ? nr : p->y_w;
    for (long s = 0; pack && s < count; s++) {
        float *out = packed + s * width * nr;
        if (lanes < nr) memset(out, 0, (size_t)(width * nr) * sizeof(float));
        fd_copy_matrix(b->y[s], p->y_w, p->y_c, b->p1 - b->p0, lanes, out, nr);
        b->y[s] = out;
    }
}

/* adds all pixels of the block, first among themselves, to db's part */
static void add_to_db(const block *b, long nv, float *db) {
    for (long v = 0; v < nv; v++) {
        vf sum = vzero();
        for (long s = 0; s < b->count; s++)
            for (long j = 0; j < b->p1 - b->p0; j++) sum += vload(b->y[s] + j * b->ldb + v * VL);
        vstore(db + v * VL, vload(db + v * VL) + sum);
    }
}

static void weight_chunk(void *ctx, long chunk) {
    const weight *d = ctx;
    const fd_conv *p = d->p;
    const long row_block = chunk % d->blocks, panel = chunk / d->blocks % d->panels;
    const long part = chunk / d->blocks / d->panels % d->parts, phase = chunk / d->blocks / d->panels / d->parts;
    const fd_conv_phase *f = p->phase + phase;
    const fd_conv_axis *h = f->h, *w = f->w;
    const long n0 = panel * FD_NR, nv = fd_panel_vectors(n0, p->lanes), nr = nv * VL, lanes = FD_MIN(nr, p->lanes - n0);
    const long groups = d->merged ? 1 : fd_conv_taps(f), rows = d->merged ? k_rows(d, f) : p->x.C;
    const long r0 = rows * row_block / d->blocks, r1 = rows * (row_block + 1) / d->blocks;
    if (r0 == r1 || !groups) return;
    float *db = p->db && row_block == 0 ? d->db + part * d->db_size + n0 : NULL;
    if (db) memset(db, 0, (size_t)nr * sizeof(float));
    float *sums = f->packed + (size_t)part * d->part_size + n0 * k_rows(d, f);
    for (long g = 0; g < groups; g++) memset(sums + (g * rows + r0) * nr, 0, (size_t)((r1 - r0) * nr) * sizeof(float));

    long offset[d->merged ? rows : 1];
    for (long r = r0; d->merged && r < r1; r++) {
        const long tap = r / p->x.C;
        offset[r] = h->at[tap / w->taps] * d->x_h + w->at[tap % w->taps] * d->x_w + r % p->x.C;
    }
    reading m = {d->merged ? offset : NULL, w->step * d->x_w, d->x_c, d->x_h, d->x_w};
    /* a unit is a row of y, or a piece of a long row; a block is one piece or several whole rows */
    const long pieces = FD_MAX(1, (w->size + PIXELS - 1) / PIXELS), units = p->x.N * h->size * pieces;
    const long width = (w->size + pieces - 1) / pieces, at_once = FD_MIN(LINES, FD_MAX(1, PIXELS / FD_MAX(1, width)));
    const long from = units * part / d->parts, to = units * (part + 1) / d->parts;
    const int in_place = p->y_c == 1 && p->y_w > 0 && p->y_w <= PACK_STRIDE && p->y_h >= 0 && p->y_n >= 0;
    float packed_y[PIXELS * FD_NR] __attribute__((aligned(64)));
    const long ld = (r1 - r0 + VL - 1) / VL * VL + 16;
    float *packed_x = NULL; /* without memory for it, x is read where it lies */
    if (!d->merged && d->x_c == 1 && m.pixel >= PACK_STRIDE) {
        const long reach = h->at[h->taps - 1] - h->at[0] + 1;
        const long span = w->taps == 1 ? width : FD_MIN(p->x.W, w->step * (width - 1) + w->at[w->taps - 1] - w->at[0] + 1);
        packed_x = fd_pool_get((size_t)(at_once * reach * span * ld) * sizeof(float));
    }
    const int one_run = packed_x && groups == 1; /* then all lines of a block are one */

    for (long u = from; u < to; u += at_once) {
        block b;
        load_block(d, f, u, FD_MIN(at_once, to - u), pieces, width, n0, lanes, nr, one_run || !in_place, packed_y, &b);
        if (packed_x) pack_x(d, f, &b, r0, r1, ld, packed_x, &m);
        if (db) add_to_db(&b, nv, db);
        for (long g = 0; g < groups; g++) {
            const long r = g / w->taps, c = g % w->taps; /* the tap, if groups are taps */
            long j0 = 0, j1 = w->size, used = 0;
            if (!d->merged) inside(w, c, &j0, &j1);
            j0 = FD_MAX(j0, b.p0), j1 = FD_MIN(j1, b.p1);
            if (j0 >= j1) continue;
            line lines[LINES];
            for (long s = 0; s < b.count; s++) {
                const long i = b.i[s];
                if (!d->merged && (r < h->low[i] || r >= h->high[i])) continue;
                lines[used].x =
                    packed_x ? b.x[s] + (j0 - b.p0) * m.pixel : d->x + b.n[s] * d->x_n + i * h->step * d->x_h + j0 * m.pixel;
                if (!d->merged) lines[used].x += h->at[r] * m.h + w->at[c] * m.w;
                lines[used++].y = b.y[s] + (j0 - b.p0) * b.ldb;
            }
            if (!used) continue;
            const int whole = one_run && used == b.count && j1 - j0 == width;
            add_products(lines, whole ? 1 : used, whole ? used * width : j1 - j0, &m, r0, r1, b.ldb, nv, sums + g * rows * nr);
        }
    }
    fd_pool_put(packed_x);
}

/* --- the end: adds the parts and brings dw into w's layout ------------------------------------------------------------- */
static void finish_db(const weight *d) {
    for (long lane = 0; lane < d->p->lanes; lane++) {
        double sum = 0;
        for (long part = 0; part < d->parts; part++) sum += (double)d->db[part * d->db_size + lane];
        d->p->db[lane] = (float)sum;
    }
}

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
    const long fit = FD_MAX(most, SUM_FLOATS / (nv * VL) / (d.merged ? 1 : FD_MAX(2, most_taps)));
    d.blocks = FD_MAX(1, (rows + fit - 1) / fit);
    const long chunks = p->phases * d.panels * d.blocks;
    const double per_chunk = work / (double)chunks;
    d.parts = FD_MAX(1, FD_MIN((16 + chunks - 1) / chunks, (long)(per_chunk / CHUNK_WORK)));
    d.parts = FD_MIN(d.parts, most_units);
    d.part_size = fd_packed_size(p->KH * p->KW * p->x.C, p->lanes);
    d.db_size = (p->lanes + VL - 1) / VL * VL;
    const size_t sums = (size_t)d.parts * d.part_size;
    d.sums = fd_pool_get((sums + (size_t)(d.parts * d.db_size)) * sizeof(float));
    if (!d.sums) {
        fd_pool_put(copy);
        return FD_NO_MEMORY;
    }
    d.db = d.sums + sums;
    float *at = d.sums;
    for (long i = 0; i < p->phases; i++) {
        p->phase[i].packed = at;
        at += fd_packed_size(k_rows(&d, p->phase + i), p->lanes);
    }
    fd_run(weight_chunk, &d, chunks * d.parts, work);
    fd_run(finish_chunk, &d, p->phases * ((p->lanes + VL - 1) / VL), 4.0 * (double)d.part_size * (double)d.parts);
    if (p->db) finish_db(&d);
    fd_pool_put(d.sums);
    fd_pool_put(copy);
    return FD_OK;
}
