/* Attention forward: tiles of scores in L1, softmax on line, no T x S matrix.
 *
 * Idea: per head, K transposed into panels once; then for a dozen rows at a time the scores of up to KEY_BLOCK keys by register
 * tiles, their weights 2^(s - m) in place, and the weights' product with V by register tiles again, accumulated in `out`.
 * m (the largest score so far) and l (the sum of weights) are kept per row; when m grows, out and l shrink by 2^(old - new).
 * Under a causal mask tiles stop at the diagonal: scores to a vector, products with V to a key.
 */
#include "kernels/attention.h"

#define KEY_BLOCK 256       /* keys of a block; a multiple of FD_PHILOX_GROUP and of FD_NR */
#define ROW_BLOCK 96        /* rows that pass over a key block while it is in L2 */
#define SCORE_FLOATS 3072   /* of scores in L1 at a time */
#define CHUNK_WORK 400000.0 /* multiply-adds that a chunk of small heads should have at least */
#define FEW_ROWS 4          /* up to here packing K costs more than it saves */

typedef struct {
    const fd_attention_args *g;
    long key_block, lds; /* keys of a block, floats of a row of scores */
    long row_block, row_blocks;
    long heads;       /* of a chunk; 0: heads are packed beforehand and chunks are row blocks */
    long packed_size; /* floats that a packed head takes */
    int pack_values;
    float *packed; /* all heads, if packed beforehand */
    int failed;    /* a chunk found no memory */
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
            const vf kv = D - d >= VL ? vload(k + d) : vload_n(k + d, D - d);
            for (long i = 0; i < rows; i++) acc[i] = vfma(kv, vload(q + i * padded(D) + d), acc[i]);
        }
        for (long i = 0; i < rows; i++) s[i * lds + j] = vhsum(acc[i]);
    }
}

/* Scores to weights. s holds `width` scores (whole vectors) of which row t attends at most to the first n.
 * m and l become those of all keys so far; returns what the sums so far must be multiplied by. */
static float weigh(const fd_attention_args *g, const head *hd, long t, long j0, long n, long width, float *s, float *m,
                   float *l) {
    n = FD_MAX(n, 0);
    if (g->mask_kind) {
        const mask_row mask = mask_at(g, hd->b, hd->h, t, j0);
        for (long c = 0; c < n; c += VL) vstore(s + c, masked(vload(s + c), &mask, c, n - c));
    }
    const long used = padded(n);
    if (n < used) vstore(s + used - VL, vselect(before(n, used - VL), vload(s + used - VL), vset1(-INFINITY)));
    vf most = vset1(-INFINITY), most2 = most;
    long c = 0;
    for (; c + VL < used; c += 2 * VL) {
        most = vmax(most, vload(s + c));
        most2 = vmax(most2, vload(s + c + VL));
    }
    if (c < used) most = vmax(most, vload(s + c));
    const float old = *m, largest = vhmax(vmax(most, most2));
    *m = largest > old ? largest : old;
    const vf shift = vset1(*m == -INFINITY ? 0.0f : *m);
    vf sum = vzero(), sum2 = sum;
    if (!g->dropout) {
        for (c = 0; c + VL < used; c += 2 * VL) {
            const vf p = weight(vload(s + c) - shift), p2 = weight(vload(s + c + VL) - shift);
            vstore(s + c, p);
            vstore(s + c + VL, p2);
            sum += p;
            sum2 += p2;
        }
        if (c < used) {
            const vf p = weight(vload(s + c) - shift);
            vstore(s + c, p);
            sum += p;
        }
    } else {
        uint32_t numbers[FD_PHILOX_GROUP];
        const uint32_t index = (uint32_t)(hd->b * g->H + hd->h);
        for (c = 0; c < used; c += VL) {
            if (c % FD_PHILOX_GROUP == 0)
                fd_philox_group(numbers, (uint32_t)((j0 + c) / FD_PHILOX_GROUP), (uint32_t)t, index, 0, g->seed);
            const vf p = weight(vload(s + c) - shift);
            vstore(s + c, vselect(vkeep(numbers + c % FD_PHILOX_GROUP, g->drop_below), p, vzero()));
            sum += p;
        }
    }
    for (c = used; c < width; c += VL) vstore(s + c, vzero());
    float shrink = 1.0f;
    if (*m != old) {
        vf x = weight(vset1(old) - shift);
        shrink = old == -INFINITY ? 0.0f : x[0];
    }
    *l = *l * shrink + vhsum(sum + sum2);
    return shrink;
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
    const long D = g->D, DV = g->DV, Dp = padded(D), most = FD_MAX(2 * FD_MR, SCORE_FLOATS / p->lds);
    float *q = buffer;                             /* scaled rows of Q (t1 - t0, Dp) */
    float *s = q + (t1 - t0) * Dp;                 /* scores (rows, lds) */
    float *m = s + FD_MIN(most, t1 - t0) * p->lds; /* (t1 - t0, padded) */
    float *l = m + padded(t1 - t0);
    const vf factor = vset1(g->scale * LOG2E);
    for (long t = t0; t < t1; t++) {
        const float *x = hd->q + t * g->q_t;
        for (long d = 0; d < D; d += VL)
            vstore(q + (t - t0) * Dp + d, factor * (D - d >= VL ? vload(x + d) : vload_n(x + d, D - d)));
    }
    for (long i = 0; i < padded(t1 - t0); i++) {
        m[i] = -INFINITY;
        l[i] = 0.0f;
    }
    const long end = g->causal ? FD_MIN(g->S, t1) : g->S;
    for (long j0 = 0; j0 < end; j0 += p->key_block) {
        const long keys = FD_MIN(p->key_block, g->S - j0);
        const rows_of values = {hd->values.p + j0 * hd->values.stride, hd->values.stride};
        for (long r0 = t0, rows; r0 < t1; r0 += rows) {
            rows = fd_next_rows(t1 - r0, most);
            const long diagonal = g->causal ? r0 - j0 : NO_DIAGONAL, width = FD_MIN(keys, rows + diagonal);
            if (width <= 0) continue; /* the diagonal lies to the left of this block */
            if (g->T > FEW_ROWS)
                scores(q + (r0 - t0) * Dp, Dp, D, hd->packed + j0 * D, rows, keys, diagonal, s, p->lds);
            else
                scores_of_few(g, q + (r0 - t0) * Dp, rows, hd->k + j0 * g->k_s, width, s, p->lds);
            for (long i = 0; i < rows; i++) {
                const long t = r0 + i;
                const float shrink =
                    weigh(g, hd, t, j0, FD_MIN(keys, i + 1 + diagonal), padded(width), s + i * p->lds, m + t - t0, l + t - t0);
                if (j0 && shrink != 1.0f) scale_row(hd->out + t * g->o_t, DV, shrink);
            }
            weighted_sums(s, p->lds, rows, keys, diagonal, values, DV, hd->out + r0 * g->o_t, g->o_t, j0 > 0);
        }
    }
    for (long t = t0; t < t1; t++) {
        const float total = l[t - t0];
        float *row = hd->out + t * g->o_t;
        if (total == 0.0f) /* attends to nothing */
            memset(row, 0, (size_t)DV * sizeof(float));
        else
            scale_row(row, DV, (g->dropout ? g->keep_scale : 1.0f) / total);
    }
    for (long i = 0; i < t1 - t0; i += VL) {
        const vf value = vselect(vload(l + i) == vzero(), vset1(-INFINITY), (vload(m + i) + vlog(vload(l + i)) * LOG2E) * LN2);
        vstore_n(hd->lse + t0 + i, value, FD_MIN(VL, t1 - t0 - i));
    }
}

static size_t attend_size(const plan *p) {
    const long rows = p->row_block;
    return (size_t)(rows * padded(p->g->D) + FD_MIN(rows, FD_MAX(2 * FD_MR, SCORE_FLOATS / p->lds)) * p->lds +
                    2 * padded(rows));
}

/* A chunk of whole heads: packs each and attends to its rows while the panels are in L2. */
static void heads_chunk(void *ctx, long chunk) {
    plan *p = ctx;
    const fd_attention_args *g = p->g;
    float *buffer = fd_pool_get(((size_t)p->packed_size + attend_size(p)) * sizeof(float));
    if (!buffer) {
        __atomic_store_n(&p->failed, 1, __ATOMIC_RELAXED);
        return;
    }
    const long end = FD_MIN(g->B * g->H, (chunk + 1) * p->heads);
    for (long index = chunk * p->heads; index < end; index++) {
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
    plan p = {.g = g};
    const long key_blocks = FD_MAX(1, (g->S + KEY_BLOCK - 1) / KEY_BLOCK);
    p.key_block = ((g->S + key_blocks - 1) / key_blocks + 63) / 64 * 64;
    p.lds = FD_MAX(VL, FD_MIN(p.key_block, padded(g->S)));
    p.row_blocks = (g->T + ROW_BLOCK - 1) / ROW_BLOCK;
    p.row_block = (g->T + p.row_blocks - 1) / p.row_blocks;
    p.row_block = FD_MIN(g->T, (p.row_block + FD_MR - 1) / FD_MR * FD_MR);
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
