/* Attention forward: tiles of scores in L1, softmax on line, no T x S matrix.
 *
 * Idea: per head, K transposed into panels once; then for a dozen rows at a time the scores of up to KEY_BLOCK keys by register
 * tiles, their weights 2^(s - m) in place, and the weights' product with V by register tiles again, accumulated in `out`.
 * m (the largest score so far) and l (the sum of weights) are kept per row; when m grows, out and l shrink by 2^(old - new).
 * Under a causal mask tiles stop at the diagonal: scores to a vector, products with V to a key.
 * Heads of few rows go another way: attention_lanes.c.
 */
#include "kernels/attention.h"

#define KEY_BLOCK 512       /* keys of a block; a multiple of FD_PHILOX_GROUP and of FD_NR */
#define ROW_BLOCK 96        /* rows that pass over a key block while it is in L2 */
#define SCORE_FLOATS 6144   /* of scores in L1 at a time */
#define CHUNK_WORK 400000.0 /* multiply-adds that a chunk of small heads should have at least */

typedef struct {
    const fd_attention_args *g;
    long key_block, lds; /* keys of a block, floats of a row of scores */
    long row_block, row_blocks;
    long tile_rows;         /* whose scores are in L1 at a time */
    long heads;             /* of a chunk; 0: heads are packed beforehand and chunks are row blocks */
    long packed_size;       /* floats that a packed head takes */
    int pack_values, lanes; /* lanes: fits_lanes */
    float *packed;          /* all heads, if packed beforehand */
    int failed;             /* a chunk found no memory */
} plan;

typedef struct {
    long b, h;
    const float *q, *k, *v;
    float *out, *lse;
    const float *packed; /* K transposed in panels */
    rows_of values;
} head;

static head get_head(const fd_attention_args *g, long index) {
    const long b = index / g->H, h = index % g->H;
    return (head){.b = b,
                  .h = h,
                  .q = g->q + b * g->q_b + h * g->q_h,
                  .k = g->k + b * g->k_b + h * g->k_h,
                  .v = g->v + b * g->v_b + h * g->v_h,
                  .out = g->out + b * g->o_b + h * g->o_h,
                  .lse = g->lse + index * g->T,
                  .values = {.p = g->v + b * g->v_b + h * g->v_h, .stride = g->v_s}};
}

/* K in panels, then V where it cannot be read in place; `to` has plan.packed_size floats, or NULL: they are there already */
static void use_packed(const plan *p, head *hd, float *buffer, int pack) {
    const fd_attention_args *g = p->g;
    float *values = buffer + (g->T <= FEW_ROWS ? 0 : padded(g->S) * g->D);
    if (g->T > FEW_ROWS) {
        if (pack) pack_transposed(hd->k, g->k_s, g->S, g->D, buffer);
        hd->packed = buffer;
    }
    if (p->pack_values) {
        if (pack) copy_rows(hd->v, g->v_s, g->S, g->DV, values);
        hd->values = (rows_of){.p = values, .stride = padded(g->DV)};
    }
}

/* What the packed panels would give, for few rows: one key after another. */
static void scores_of_few(const fd_attention_args *g, const float *q, long rows, const float *k, long keys, float *s,
                          long lds) {
    const long D = g->D;
    for (long j = 0; j < keys; j++, k += g->k_s) {
        vf acc[FEW_ROWS];
        for (long i = 0; i < rows; i++) acc[i] = vzero();
        for (long d = 0; d < D; d += VL) {
            const long lanes = FD_MIN(VL, D - d);
            const vf kv = vload_n(k + d, lanes);
            for (long i = 0; i < rows; i++) acc[i] = vfma(kv, vload_n(q + i * g->q_t + d, lanes), acc[i]);
        }
        for (long i = 0; i < rows; i++) s[i * lds + j] = vhsum(acc[i]);
    }
}

/* The largest of a row's first n scores times `factor`, lane by lane. With a mask s becomes the masked product. */
FD_INLINE vf largest_score(const fd_attention_args *g, const head *hd, long t, long j0, long n, vf factor, float *s) {
    vf a = vset1(-INFINITY), b = a;
    long c = 0;
    if (g->mask_kind) {
        const mask_row mask = mask_at(g, hd->b, hd->h, t, j0);
        for (; c < n; c += VL) {
            const vf x = masked(vload(s + c) * factor, &mask, c, n - c);
            vstore(s + c, x);
            a = vmax(a, n - c >= VL ? x : vselect(before(n, c), x, vset1(-INFINITY)));
        }
        return a;
    }
    for (; c + 2 * VL <= n; c += 2 * VL) {
        a = vmax(a, vload(s + c) * factor);
        b = vmax(b, vload(s + c + VL) * factor);
    }
    for (; c < n; c += VL) a = vmax(a, vselect(before(n, c), vload(s + c) * factor, vset1(-INFINITY)));
    return vmax(a, b);
}

/* A row's scores become weights 2^(s * factor - shift), 0 from key n on; returns their sum, lane by lane. */
FD_INLINE vf weigh(long n, long width, vf factor, float shift, float *s) {
    const vf m = vset1(-shift);
    vf sum = vzero(), sum2 = sum;
    long c = 0;
    for (; c + 2 * VL <= n; c += 2 * VL) {
        const vf p = weight(vfma(vload(s + c), factor, m)), p2 = weight(vfma(vload(s + c + VL), factor, m));
        vstore(s + c, p);
        vstore(s + c + VL, p2);
        sum += p;
        sum2 += p2;
    }
    for (; c < n; c += VL) {
        const vf p = vselect(before(n, c), weight(vfma(vload(s + c), factor, m)), vzero());
        vstore(s + c, p);
        sum += p;
    }
    for (; c < width; c += VL) vstore(s + c, vzero());
    return sum + sum2;
}

/* Sets the weights to 0 that dropout takes. The survivors are scaled at the end, with the whole row. */
static void drop(const fd_attention_args *g, const head *hd, long t, long j0, long n, float *s) {
    uint32_t numbers[FD_PHILOX_GROUP];
    for (long c = 0; c < n; c += VL) {
        if (c % FD_PHILOX_GROUP == 0)
            fd_philox_group(numbers, (uint32_t)((j0 + c) / FD_PHILOX_GROUP), (uint32_t)t, (uint32_t)(hd->b * g->H + hd->h), 0,
                            g->seed);
        vstore(s + c, vselect(vkeep(numbers + c % FD_PHILOX_GROUP, g->drop_below), vload(s + c), vzero()));
    }
}

/* What is kept per row, for all rows of a block. */
typedef struct {
    float *m;      /* largest score so far */
    float *l;      /* sum of weights so far, relative to m */
    float *shift;  /* m, but 0 where the row has attended to nothing yet */
    float *shrink; /* what this block's larger m multiplies everything before by */
    float *lanes;  /* (VL rows, VL): largest scores, then sums, lane by lane */
} row_state;

/* n rows, at most VL: their largest scores join m */
static __attribute__((noinline)) void update_largest(const row_state *r, long i, long n) {
    vf x[VL];
    FD_UNROLL for (int j = 0; j < VL; j++) x[j] = vload(r->lanes + j * VL);
    const vf old = vload(r->m + i), m = vmax(vmax_rows(x), old);
    const vf shift = vselect(m == vset1(-INFINITY), vzero(), m);
    vstore_n(r->m + i, m, n);
    vstore_n(r->shift + i, shift, n);
    vstore_n(r->shrink + i, weight(old - shift), n);
}

static __attribute__((noinline)) void update_sum(const row_state *r, long i, long n) {
    vf x[VL];
    FD_UNROLL for (int j = 0; j < VL; j++) x[j] = vload(r->lanes + j * VL);
    vstore_n(r->l + i, vfma(vload(r->l + i), vload(r->shrink + i), vsum_rows(x)), n);
}

static void scale_row(float *x, long n, float factor) {
    for (long c = 0; c < n; c += VL) {
        if (n - c >= VL)
            vstore(x + c, vload(x + c) * factor);
        else
            vstore_n(x + c, vload_n(x + c, n - c) * factor, n - c);
    }
}

/* Rows t0 .. t1 - 1 of a head, at most plan.row_block of them. */
static void attend(const plan *p, const head *hd, long t0, long t1, float *buffer) {
    const fd_attention_args *g = p->g;
    const long DV = g->DV, n_rows = t1 - t0, slots = padded(n_rows) + VL;
    const row_state state = {.m = buffer,
                             .l = buffer + slots,
                             .shift = buffer + 2 * slots,
                             .shrink = buffer + 3 * slots,
                             .lanes = buffer + 4 * slots};
    float *s = state.lanes + VL * VL; /* scores (rows, lds) */
    const vf factor = vset1(g->scale * LOG2E), applied = g->mask_kind ? vset1(1.0f) : factor;
    for (long i = 0; i < slots; i += VL) {
        vstore(state.m + i, vset1(-INFINITY));
        vstore(state.l + i, vzero());
    }
    for (long i = 0; i < VL * VL; i += VL) vstore(state.lanes + i, vzero());
    const long end = g->causal ? FD_MIN(g->S, t1) : g->S;
    for (long j0 = 0; j0 < end; j0 += p->key_block) {
        const long keys = FD_MIN(p->key_block, g->S - j0);
        const rows_of values = {hd->values.p + j0 * hd->values.stride, hd->values.stride};
        for (long r0 = 0, rows; r0 < n_rows; r0 += rows) {
            rows = FD_MIN(p->tile_rows, n_rows - r0);
            const long diagonal = g->causal ? t0 + r0 - j0 : NO_DIAGONAL, width = padded(FD_MIN(keys, rows + diagonal));
            if (width <= 0) continue; /* the diagonal lies to the left of this block */
            const float *q = hd->q + (t0 + r0) * g->q_t;
            if (g->T > FEW_ROWS)
                scores(q, g->q_t, g->D, hd->packed + j0 * g->D, rows, keys, diagonal, s, p->lds);
            else
                scores_of_few(g, q, rows, hd->k + j0 * g->k_s, FD_MIN(keys, rows + diagonal), s, p->lds);
            for (long i = 0; i < rows; i += VL) {
                const long n = FD_MIN(VL, rows - i);
                for (long j = 0; j < n; j++)
                    vstore(state.lanes + j * VL, largest_score(g, hd, t0 + r0 + i + j, j0, attended(keys, i + j, diagonal),
                                                               factor, s + (i + j) * p->lds));
                update_largest(&state, r0 + i, n);
                for (long j = 0; j < n; j++) {
                    const long used = attended(keys, i + j, diagonal);
                    vstore(state.lanes + j * VL, weigh(used, width, applied, state.shift[r0 + i + j], s + (i + j) * p->lds));
                    if (g->dropout) drop(g, hd, t0 + r0 + i + j, j0, used, s + (i + j) * p->lds);
                }
                update_sum(&state, r0 + i, n);
            }
            float *out = hd->out + (t0 + r0) * g->o_t;
            if (j0)
                for (long i = 0; i < rows; i++) scale_row(out + i * g->o_t, DV, state.shrink[r0 + i]);
            weighted_sums((weights_of){s, p->lds, 1}, rows, keys, UP_TO_DIAGONAL, diagonal, values, DV, out, g->o_t, j0 > 0);
        }
    }
    for (long i = 0; i < n_rows; i += VL) {
        const vf m = vload(state.m + i), l = vload(state.l + i);
        const vi nothing = l == vzero(); /* attended to */
        const vf lse = vselect(nothing, vset1(-INFINITY), (m + vlog(l) * LOG2E) * LN2);
        vstore_n(hd->lse + t0 + i, lse, FD_MIN(VL, n_rows - i));
        vstore(state.shrink + i, vselect(nothing, vzero(), vset1(g->dropout ? g->keep_scale : 1.0f) / l));
    }
    for (long i = 0; i < n_rows; i++) {
        float *row = hd->out + (t0 + i) * g->o_t;
        if (state.l[i] == 0.0f)
            memset(row, 0, (size_t)DV * sizeof(float));
        else
            scale_row(row, DV, state.shrink[i]);
    }
}

static size_t attend_size(const plan *p) {
    const long slots = padded(p->row_block) + VL;
    return (size_t)(4 * slots + VL * VL + FD_MIN(p->tile_rows, p->row_block) * p->lds);
}

/* A chunk of whole heads: packs each and attends to its rows while the panels are in L2. */
static void heads_chunk(void *ctx, long chunk) {
    plan *p = ctx;
    const fd_attention_args *g = p->g;
    const size_t size = p->lanes ? FN(fd_attend_lanes_size)(g, 0) : (size_t)p->packed_size + attend_size(p);
    float *buffer = fd_pool_get(size * sizeof(float));
    if (!buffer) {
        __atomic_store_n(&p->failed, 1, __ATOMIC_RELAXED);
        return;
    }
    const long end = FD_MIN(g->B * g->H, (chunk + 1) * p->heads);
    for (long index = chunk * p->heads; index < end; index++) {
        if (p->lanes) {
            FN(fd_attend_lanes)(g, index, buffer);
            continue;
        }
        head hd = get_head(g, index);
        use_packed(p, &hd, buffer, 1);
        for (long t = 0; t < g->T; t += p->row_block)
            attend(p, &hd, t, FD_MIN(g->T, t + p->row_block), buffer + p->packed_size);
    }
    fd_pool_put(buffer);
}

static void pack_chunk(void *ctx, long index) {
    const plan *p = ctx;
    head hd = get_head(p->g, index);
    use_packed(p, &hd, p->packed + index * p->packed_size, 1);
}

/* A block of rows of a head that is packed already. Late rows first: they have most work under a causal mask. */
static void rows_chunk(void *ctx, long chunk) {
    plan *p = ctx;
    const long index = chunk / p->row_blocks, t0 = (p->row_blocks - 1 - chunk % p->row_blocks) * p->row_block;
    head hd = get_head(p->g, index);
    float *buffer = fd_pool_get(attend_size(p) * sizeof(float));
    if (!buffer) {
        __atomic_store_n(&p->failed, 1, __ATOMIC_RELAXED);
        return;
    }
    use_packed(p, &hd, p->packed + index * p->packed_size, 0);
    attend(p, &hd, t0, FD_MIN(p->g->T, t0 + p->row_block), buffer);
    fd_pool_put(buffer);
}

int FN(fd_attention_f32)(const fd_attention_args *g) {
    const long heads = g->B * g->H;
    if (!heads || !g->T) return FD_OK;
    plan p = {.g = g, .lanes = fits_lanes(g)};
    const long key_blocks = FD_MAX(1, (g->S + KEY_BLOCK - 1) / KEY_BLOCK);
    p.key_block = ((g->S + key_blocks - 1) / key_blocks + 63) / 64 * 64;
    p.lds = FD_MAX(VL, FD_MIN(p.key_block, padded(g->S)));
    p.tile_rows = FD_MAX(2 * FD_MR, SCORE_FLOATS / p.lds / FD_MR * FD_MR);
    p.row_blocks = (g->T + ROW_BLOCK - 1) / ROW_BLOCK;
    p.row_block = (g->T + p.row_blocks - 1) / p.row_blocks;
    p.row_block = FD_MIN(g->T, (p.row_block + 2 * FD_MR - 1) / (2 * FD_MR) * (2 * FD_MR)); /* whole tiles, but for the last */
    p.row_blocks = (g->T + p.row_block - 1) / p.row_block;
    p.pack_values = !in_place(g->DV, g->v_s);
    p.packed_size = (g->T > FEW_ROWS ? padded(g->S) * g->D : 0) + (p.pack_values ? g->S * padded(g->DV) : 0);
    const double work = (double)g->T * (double)g->S * (double)(g->D + g->DV) * (g->causal ? 0.5 : 1.0);
    if (heads >= 16 || p.row_blocks == 1) {
        p.heads = FD_MAX(1, FD_MIN(heads, (long)(CHUNK_WORK / FD_MAX(work, 1.0))));
        fd_run(heads_chunk, &p, (heads + p.heads - 1) / p.heads, work * (double)heads);
    } else {
        p.packed = fd_pool_get((size_t)heads * (size_t)p.packed_size * sizeof(float));
        if (!p.packed) return FD_NO_MEMORY;
        fd_run(pack_chunk, &p, heads, work * (double)heads);
        fd_run(rows_chunk, &p, heads * p.row_blocks, work * (double)heads);
        fd_pool_put(p.packed);
    }
    return p.failed ? FD_NO_MEMORY : FD_OK;
}
