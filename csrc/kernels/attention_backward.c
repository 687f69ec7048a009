/* Attention backward: scores and weights computed again block by block, all three gradients in one pass.
 *
 * Idea: for a block of KEY_BLOCK keys, K and V transposed into panels once; then for each block of rows the scores and
 * dp = dout V^T by register tiles, p = 2^(s - lse) and ds = p (dp - delta) in place, and three products while both blocks are in L2:
 * dv += p^T dout, dk += ds^T q, dq += ds k. Key blocks run in order, so sums are taken in a fixed order.
 * With few heads, chunks are sets of key blocks, each with a dq of its own, added up at the end in order.
 * Heads of few rows go another way: attention_lanes.c.
 */
#include "kernels/attention.h"

#define KEY_BLOCK 256       /* a multiple of FD_PHILOX_GROUP and of FD_NR */
#define ROW_BLOCK 144       /* a multiple of FD_MR */
#define CHUNK_WORK 400000.0 /* multiply-adds that a chunk of small heads should have at least */
#define MANY_HEADS 8        /* from here on a chunk is whole heads */

typedef struct {
    const fd_attention_backward_args *a;
    long key_block, key_blocks, lds, row_block;
    long heads; /* of a chunk */
    long sets;  /* sets of key blocks that a head is split into; set i has blocks i, i + sets, ... */
    float *dq;  /* (heads, sets, T, D) if sets > 1 */
    int lanes;  /* fits_lanes */
    int failed;
} plan;

typedef struct {
    long b, h;
    const float *q, *k, *v, *out, *dout;
    float *dq, *dk, *dv;
    long dq_row;
    rows_of q_rows, k_rows, dout_rows; /* as B operands; k_rows of the present key block only */
    float *delta, *lse;                /* (T): sum of dout * out; base-2 lse, inf where the row attends to nothing */
} head;

/* Workspace of a chunk, in floats. */
typedef struct {
    long delta, lse, q_rows, dout_rows, k_rows, k_panels, v_panels, s, dp, total;
} layout;

static layout get_layout(const plan *p) {
    const fd_attention_args *f = &p->a->f;
    layout o = {0};
    long at = 0;
#define FD_PLACE(name, floats) \
    o.name = at;               \
    at += padded(floats);
    FD_PLACE(delta, f->T)
    FD_PLACE(lse, f->T)
    FD_PLACE(q_rows, in_place(f->D, f->q_t) ? 0 : f->T * padded(f->D))
    FD_PLACE(dout_rows, in_place(f->DV, p->a->do_t) ? 0 : f->T * padded(f->DV))
    FD_PLACE(k_rows, in_place(f->D, f->k_s) ? 0 : p->key_block * padded(f->D))
    FD_PLACE(k_panels, p->lds * f->D)
    FD_PLACE(v_panels, p->lds * f->DV)
    FD_PLACE(s, p->row_block * p->lds)
    FD_PLACE(dp, p->row_block * p->lds)
#undef FD_PLACE
    o.total = at;
    return o;
}

static rows_of as_rows(const float *x, long stride, long rows, long n, float *buffer) {
    if (in_place(n, stride)) return (rows_of){x, stride};
    copy_rows(x, stride, rows, n, buffer);
    return (rows_of){buffer, padded(n)};
}

static head get_head(const plan *p, long index, long set, const layout *o, float *buffer) {
    const fd_attention_backward_args *a = p->a;
    const fd_attention_args *f = &a->f;
    const long b = index / f->H, h = index % f->H;
    head hd = {.b = b,
               .h = h,
               .q = f->q + b * f->q_b + h * f->q_h,
               .k = f->k + b * f->k_b + h * f->k_h,
               .v = f->v + b * f->v_b + h * f->v_h,
               .out = f->out + b * f->o_b + h * f->o_h,
               .dout = a->dout + b * a->do_b + h * a->do_h,
               .dq = a->dq + b * a->dq_b + h * a->dq_h,
               .dk = a->dk + b * a->dk_b + h * a->dk_h,
               .dv = a->dv + b * a->dv_b + h * a->dv_h,
               .dq_row = a->dq_t,
               .delta = buffer + o->delta,
               .lse = buffer + o->lse};
    if (p->sets > 1) {
        hd.dq = p->dq + (index * p->sets + set) * f->T * f->D;
        hd.dq_row = f->D;
    }
    hd.q_rows = as_rows(hd.q, f->q_t, f->T, f->D, buffer + o->q_rows);
    hd.dout_rows = as_rows(hd.dout, a->do_t, f->T, f->DV, buffer + o->dout_rows);
    const float *lse = f->lse + index * f->T;
    row_dots(hd.dout, a->do_t, hd.out, f->o_t, f->T, f->DV, hd.delta);
    for (long t = 0; t < f->T; t++) hd.lse[t] = lse[t] == -INFINITY ? INFINITY : lse[t] * LOG2E;
    return hd;
}

/* A row of scores and dp becomes the weights with dropout applied and ds. The row attends at most to its first n of `width`
 * keys (whole vectors); both are 0 for the others. */
static void differentiate(const fd_attention_args *f, const head *hd, long t, long j0, long n, long width, float *s,
                          float *dp) {
    const vf factor = vset1(f->scale * LOG2E), scale = vset1(f->scale), lse = vset1(hd->lse[t]), delta = vset1(hd->delta[t]);
    const mask_row mask = mask_at(f, hd->b, hd->h, t, j0);
    uint32_t numbers[FD_PHILOX_GROUP];
    for (long c = 0; c < n; c += VL) {
        vf x = vload(s + c) * factor, d = vload(dp + c);
        if (f->mask_kind) x = masked(x, &mask, c, n - c);
        vf p = weight(x - lse), kept = p;
        if (n - c < VL) {
            const vi attended = before(n, c);
            p = kept = vselect(attended, p, vzero());
            d = vselect(attended, d, vzero());
        }
        if (f->dropout) {
            if (c % FD_PHILOX_GROUP == 0)
                fd_philox_group(numbers, (uint32_t)((j0 + c) / FD_PHILOX_GROUP), (uint32_t)t, (uint32_t)(hd->b * f->H + hd->h),
                                0, f->seed);
            const vi keep = vkeep(numbers + c % FD_PHILOX_GROUP, f->drop_below);
            kept = vselect(keep, p * f->keep_scale, vzero());
            d = vselect(keep, d * f->keep_scale, vzero());
        }
        vstore(s + c, kept);
        vstore(dp + c, p * scale * (d - delta));
    }
    for (long c = padded(n); c < width; c += VL) {
        vstore(s + c, vzero());
        vstore(dp + c, vzero());
    }
}

/* One block of keys against all rows of its head. */
static void key_block(const plan *p, head *hd, long j0, const layout *o, float *buffer, int accumulate_dq) {
    const fd_attention_backward_args *a = p->a;
    const fd_attention_args *f = &a->f;
    const long keys = FD_MIN(p->key_block, f->S - j0), D = f->D, DV = f->DV, lds = p->lds;
    float *k_panels = buffer + o->k_panels, *v_panels = buffer + o->v_panels, *s = buffer + o->s, *dp = buffer + o->dp;
    float *dk = hd->dk + j0 * a->dk_s, *dv = hd->dv + j0 * a->dv_s;
    const long first = f->causal ? FD_MIN(j0, f->T) / p->row_block * p->row_block : 0;
    if (first >= f->T) { /* no row attends to these keys */
        for (long j = 0; j < keys; j++) {
            memset(dk + j * a->dk_s, 0, (size_t)D * sizeof(float));
            memset(dv + j * a->dv_s, 0, (size_t)DV * sizeof(float));
        }
        return;
    }
    pack_transposed(hd->k + j0 * f->k_s, f->k_s, keys, D, k_panels);
    pack_transposed(hd->v + j0 * f->v_s, f->v_s, keys, DV, v_panels);
    hd->k_rows = as_rows(hd->k + j0 * f->k_s, f->k_s, keys, D, buffer + o->k_rows);
    for (long t0 = first, rows; t0 < f->T; t0 += rows) {
        rows = FD_MIN(p->row_block, f->T - t0);
        const long diagonal = f->causal ? t0 - j0 : NO_DIAGONAL;
        const float *q = hd->q + t0 * f->q_t, *dout = hd->dout + t0 * a->do_t;
        scores(q, f->q_t, D, k_panels, rows, keys, diagonal, s, lds);
        scores(dout, a->do_t, DV, v_panels, rows, keys, diagonal, dp, lds);
        for (long i = 0; i < rows; i++) {
            /* products look at most FD_MR_MAX keys beyond the diagonal */
            const long n = attended(keys, i, diagonal), width = FD_MIN(padded(keys), padded(n + FD_MR_MAX));
            differentiate(f, hd, t0 + i, j0, n, width, s + i * lds, dp + i * lds);
        }
        const rows_of q_rows = {hd->q_rows.p + t0 * hd->q_rows.stride, hd->q_rows.stride};
        const rows_of dout_rows = {hd->dout_rows.p + t0 * hd->dout_rows.stride, hd->dout_rows.stride};
        float *dq = hd->dq + t0 * hd->dq_row;
        const weights_of p_t = {s, 1, lds}, ds_t = {dp, 1, lds}, ds = {dp, lds, 1};
        weighted_sums(p_t, keys, rows, FROM_DIAGONAL, diagonal, dout_rows, DV, dv, a->dv_s, t0 > first);
        weighted_sums(ds_t, keys, rows, FROM_DIAGONAL, diagonal, q_rows, D, dk, a->dk_s, t0 > first);
        weighted_sums(ds, rows, keys, UP_TO_DIAGONAL, diagonal, hd->k_rows, D, dq, hd->dq_row, accumulate_dq);
    }
}

static void zero_rows(float *x, long rows, long stride, long n) {
    for (long i = 0; i < rows; i++) memset(x + i * stride, 0, (size_t)n * sizeof(float));
}

/* Whole heads, or one set of a head's key blocks. */
static void heads_chunk(void *ctx, long chunk) {
    plan *p = ctx;
    const fd_attention_args *f = &p->a->f;
    const layout o = get_layout(p);
    float *buffer = fd_pool_get((p->lanes ? FN(fd_attend_lanes_size)(f, 1) : (size_t)o.total) * sizeof(float));
    if (!buffer) {
        __atomic_store_n(&p->failed, 1, __ATOMIC_RELAXED);
        return;
    }
    const long set = chunk % p->sets, from = chunk / p->sets * p->heads, to = FD_MIN(f->B * f->H, from + p->heads);
    for (long index = from; index < to; index++) {
        if (p->lanes) {
            FN(fd_attend_lanes_backward)(p->a, index, buffer);
            continue;
        }
        head hd = get_head(p, index, set, &o, buffer);
        /* the first block of a causal set leaves rows out, and without keys there is no block */
        const int zeroed = p->sets > 1 || f->S == 0;
        if (zeroed) zero_rows(hd.dq, f->T, hd.dq_row, f->D);
        for (long block = set; block < p->key_blocks; block += p->sets)
            key_block(p, &hd, block * p->key_block, &o, buffer, zeroed || block > 0);
    }
    fd_pool_put(buffer);
}

/* dq of a head is the sum of its sets'. */
static void add_chunk(void *ctx, long index) {
    const plan *p = ctx;
    const fd_attention_backward_args *a = p->a;
    const fd_attention_args *f = &a->f;
    const long size = f->T * f->D;
    const float *part = p->dq + index * p->sets * size;
    for (long t = 0; t < f->T; t++) {
        float *dq = a->dq + index / f->H * a->dq_b + index % f->H * a->dq_h + t * a->dq_t;
        for (long d = 0; d < f->D; d += VL) {
            const long lanes = FD_MIN(VL, f->D - d);
            vf sum = vzero();
            for (long set = 0; set < p->sets; set++) sum += vload_n(part + set * size + t * f->D + d, lanes);
            vstore_n(dq + d, sum, lanes);
        }
    }
}

int FN(fd_attention_backward_f32)(const fd_attention_backward_args *a) {
    const fd_attention_args *f = &a->f;
    const long heads = f->B * f->H;
    if (!heads) return FD_OK;
    plan p = {.a = a, .sets = 1, .heads = 1, .lanes = fits_lanes(f)};
    p.key_blocks = (f->S + KEY_BLOCK - 1) / KEY_BLOCK;
    p.key_block = (f->S + FD_MAX(1, p.key_blocks) - 1) / FD_MAX(1, p.key_blocks);
    p.key_block = (p.key_block + 63) / 64 * 64;
    p.key_blocks = (f->S + FD_MAX(1, p.key_block) - 1) / FD_MAX(1, p.key_block);
    p.lds = FD_MIN(p.key_block, padded(f->S));
    p.row_block = FD_MIN(ROW_BLOCK, f->T);
    const double work = (double)f->T * (double)f->S * (double)(3 * f->D + 2 * f->DV) * (f->causal ? 0.5 : 1.0);
    if (heads < MANY_HEADS && !p.lanes) p.sets = FD_MAX(1, FD_MIN(p.key_blocks, (MANY_HEADS + heads - 1) / heads));
    if (p.sets == 1) p.heads = FD_MAX(1, FD_MIN(heads, (long)(CHUNK_WORK / FD_MAX(work, 1.0))));
    if (p.sets > 1) {
        p.dq = fd_pool_get((size_t)heads * (size_t)p.sets * (size_t)f->T * (size_t)f->D * sizeof(float));
        if (!p.dq) return FD_NO_MEMORY;
    }
    fd_run(heads_chunk, &p, (heads + p.heads - 1) / p.heads * p.sets, work * (double)heads);
    if (p.sets > 1) {
        if (!p.failed) fd_run(add_chunk, &p, heads, (double)heads * (double)p.sets * (double)(f->T * f->D) * 4.0);
        fd_pool_put(p.dq);
    }
    return p.failed ? FD_NO_MEMORY : FD_OK;
}
