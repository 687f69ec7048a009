/* AdamP and SGDP: the momentum's direction without its part along the weights, where these look invariant to scale.
 *
 * Idea: two passes. The first brings the moments up to date and takes four sums a row (output channel); they decide for every
 * array whether it is projected by rows, as a whole, or not. The second computes the direction again from the moments, which is
 * cheaper than to keep it, and moves the weights. Rows lie one after the other (a convolution), or a lane each (the weight of a
 * Linear, whose output axis is the innermost). Long sums go through float64 every ROW_BLOCK terms.
 */
#include "kernels/optim_step.h"

#define TOGETHER 65536 /* numbers of the arrays that both passes go over before the next: 1 MB of p, g, m and v */

enum { GRAD_P, GRAD_GRAD, P_P, P_DIRECTION, SUMS };

typedef struct {
    const fd_optim_array *array;
    long first, first_row; /* number of the first chunk and of the first row of this array among all */
    long step;             /* rows a chunk; rows_last: a multiple of VL */
    float keep;
} part;

typedef struct {
    const fd_projected_args *s;
    part *parts;
    long count;
    double *sums; /* (rows of all arrays, SUMS); the second pass finds the factor of the projection in P_DIRECTION */
} job;

typedef struct {
    vf b1, fresh, look, b2, a2, sign, eps, root;
    int adaptive, nesterov;
} constants;

FD_INLINE constants constants_of(const fd_projected_args *s) {
    return (constants){.b1 = vset1(s->beta1),
                       .fresh = vset1(s->fresh),
                       .look = vset1(s->look),
                       .b2 = vset1(s->beta2),
                       .a2 = vset1(s->one_minus_beta2),
                       .sign = vset1(s->maximize ? -1.0f : 1.0f),
                       .eps = vset1(s->eps),
                       .root = vset1(1.0f / s->root_correction),
                       .adaptive = s->adaptive,
                       .nesterov = s->nesterov};
}

FD_INLINE vf direction(const constants *k, vf m, vf v, vf g) {
    vf d = k->nesterov ? vfma(k->b1, m, k->look * g) : m;
    return k->adaptive ? d / vfma(vsqrt(v), k->root, k->eps) : d;
}

/* the moments of elements `at` .. `at + lanes`, brought up to date; lanes that are not there give 0 */
FD_INLINE vf moments(const constants *k, const fd_optim_array *a, long at, long lanes, vf *g) {
    *g = vload_n(a->g + at, lanes) * k->sign;
    vf m = vfma(k->b1, vload_n(a->m + at, lanes), k->fresh * *g), v = vzero();
    vstore_n(a->m + at, m, lanes);
    if (k->adaptive) {
        v = vfma(k->b2, vload_n(a->v + at, lanes), k->a2 * *g * *g);
        vstore_n(a->v + at, v, lanes);
    }
    vf d = direction(k, m, v, *g);
    return lanes < VL ? vkeep(d, lanes, 0.0f) : d;
}

/* one row that lies in one piece, of n elements from `at` */
static void sum_row(const constants *k, const fd_optim_array *a, long at, long n, double *sums) {
    double total[SUMS] = {0};
    for (long begin = 0; begin < n; begin += ROW_BLOCK) {
        const long end = FD_MIN(n, begin + ROW_BLOCK);
        vf sum[SUMS] = {vzero(), vzero(), vzero(), vzero()};
        for (long j = begin; j < end; j += VL) {
            const long lanes = FD_MIN(VL, end - j);
            vf g, d = moments(k, a, at + j, lanes, &g), p = vload_n(a->p + at + j, lanes);
            sum[GRAD_P] = vfma(g, p, sum[GRAD_P]);
            sum[GRAD_GRAD] = vfma(g, g, sum[GRAD_GRAD]);
            sum[P_P] = vfma(p, p, sum[P_P]);
            sum[P_DIRECTION] = vfma(p, d, sum[P_DIRECTION]);
        }
        for (int i = 0; i < SUMS; i++) total[i] += (double)vhsum(sum[i]);
    }
    memcpy(sums, total, sizeof total);
}

/* `lanes` rows whose elements lie side by side, n of each */
static void sum_lanes(const constants *k, const fd_optim_array *a, long row, long lanes, long n, double *sums) {
    vd total[SUMS] = {{0}};
    for (long begin = 0; begin < n; begin += ROW_BLOCK / VL) {
        const long end = FD_MIN(n, begin + ROW_BLOCK / VL);
        vf sum[SUMS] = {vzero(), vzero(), vzero(), vzero()};
        for (long j = begin; j < end; j++) {
            const long at = j * a->rows + row;
            vf g, d = moments(k, a, at, lanes, &g), p = vload_n(a->p + at, lanes);
            sum[GRAD_P] = vfma(g, p, sum[GRAD_P]);
            sum[GRAD_GRAD] = vfma(g, g, sum[GRAD_GRAD]);
            sum[P_P] = vfma(p, p, sum[P_P]);
            sum[P_DIRECTION] = vfma(p, d, sum[P_DIRECTION]);
        }
        for (int i = 0; i < SUMS; i++) total[i] += vtodouble(sum[i]);
    }
    for (long r = 0; r < lanes; r++)
        for (int i = 0; i < SUMS; i++) sums[r * SUMS + i] = total[i][r];
}

static const part *find_part(const job *t, long chunk) {
    long lo = 0, hi = t->count;
    while (hi - lo > 1) {
        long middle = (lo + hi) / 2;
        if (t->parts[middle].first <= chunk)
            lo = middle;
        else
            hi = middle;
    }
    return &t->parts[lo];
}

/* the length of a row; an array of one axis is one row for the sharing out of chunks, but is not projected */
FD_INLINE long row_length(const fd_optim_array *a) { return a->rows ? a->n / a->rows : CHUNK; }

static void first_pass(void *ctx, long chunk) {
    const job *t = ctx;
    const part *q = find_part(t, chunk);
    const fd_optim_array *a = q->array;
    const constants k = constants_of(t->s);
    const long begin = (chunk - q->first) * q->step;
    if (!a->rows) {
        vf g;
        for (long j = begin * CHUNK; j < FD_MIN(a->n, (begin + q->step) * CHUNK); j += VL)
            moments(&k, a, j, FD_MIN(VL, a->n - j), &g);
        return;
    }
    const long end = FD_MIN(a->rows, begin + q->step), n = row_length(a);
    double *sums = t->sums + q->first_row * SUMS;
    if (a->rows_last)
        for (long r = begin; r < end; r += VL) sum_lanes(&k, a, r, FD_MIN(VL, end - r), n, sums + r * SUMS);
    else
        for (long r = begin; r < end; r++) sum_row(&k, a, r * n, n, sums + r * SUMS);
}

static double cosine(const double *sums, double eps) {
    return fabs(sums[GRAD_P]) / (fmax(sqrt(sums[GRAD_GRAD]), eps) * fmax(sqrt(sums[P_P]), eps));
}

/* (p . d) / (|p| + eps)^2: what of p is to be taken out of d */
static double factor(const double *sums, double eps) {
    const double norm = sqrt(sums[P_P]) + eps;
    return norm > 0 ? sums[P_DIRECTION] / (norm * norm) : 0;
}

static void decide(const fd_projected_args *s, part *q, double *sums) {
    const fd_optim_array *a = q->array;
    double largest = 0, all[SUMS] = {0};
    q->keep = s->keep;
    for (long r = 0; r < a->rows; r++) {
        const double c = cosine(sums + r * SUMS, (double)s->eps);
        if (!(c <= largest)) largest = c; /* a NaN stays, and nothing is projected */
        for (int i = 0; i < SUMS; i++) all[i] += sums[r * SUMS + i];
    }
    if (!a->rows) return;
    const int by_rows = largest < (double)s->delta / sqrt((double)row_length(a));
    const int whole = !by_rows && cosine(all, (double)s->eps) < (double)s->delta / sqrt((double)a->n);
    if (by_rows || whole) q->keep = s->keep_projected;
    for (long r = 0; r < a->rows; r++) {
        double *row = sums + r * SUMS;
        row[P_DIRECTION] = by_rows ? factor(row, (double)s->eps) : whole ? factor(all, (double)s->eps) : 0;
    }
}

/* p = keep p - step (d - factor p) */
FD_INLINE void move(const constants *k, const fd_optim_array *a, long at, long lanes, vf keep, vf factor, vf step) {
    vf g = k->nesterov ? vload_n(a->g + at, lanes) * k->sign : vzero();
    vf v = k->adaptive ? vload_n(a->v + at, lanes) : vzero(), p = vload_n(a->p + at, lanes);
    vf d = direction(k, vload_n(a->m + at, lanes), v, g);
    vstore_n(a->p + at, vfma(keep, p, step * (d - factor * p)), lanes);
}

static void second_pass(void *ctx, long chunk) {
    const job *t = ctx;
    const part *q = find_part(t, chunk);
    const fd_optim_array *a = q->array;
    const constants k = constants_of(t->s);
    const vf keep = vset1(q->keep), step = vset1(-t->s->step_size);
    const long begin = (chunk - q->first) * q->step;
    if (!a->rows) {
        for (long j = begin * CHUNK; j < FD_MIN(a->n, (begin + q->step) * CHUNK); j += VL)
            move(&k, a, j, FD_MIN(VL, a->n - j), keep, vzero(), step);
        return;
    }
    const long end = FD_MIN(a->rows, begin + q->step), n = row_length(a);
    const double *sums = t->sums + q->first_row * SUMS;
    for (long r = begin; r < end; r += a->rows_last ? VL : 1) {
        if (a->rows_last) {
            const long lanes = FD_MIN(VL, end - r);
            float factors[VL] = {0};
            for (long i = 0; i < lanes; i++) factors[i] = (float)sums[(r + i) * SUMS + P_DIRECTION];
            for (long j = 0; j < n; j++) move(&k, a, j * a->rows + r, lanes, keep, vload(factors), step);
        } else {
            const vf factor = vset1((float)sums[r * SUMS + P_DIRECTION]);
            for (long j = 0; j < n; j += VL) move(&k, a, r * n + j, FD_MIN(VL, n - j), keep, factor, step);
        }
    }
}

/* both passes over arrays [begin, end) */
static void project(job *t, long begin, long end) {
    long chunks = 0, rows = 0;
    double n = 0;
    t->count = 0;
    for (long i = begin; i < end; i++) {
        const fd_optim_array *a = &t->s->arrays[i];
        if (!a->n) continue;
        long step = FD_MAX(1, CHUNK / row_length(a));
        if (a->rows_last) step = (step + VL - 1) / VL * VL;
        t->parts[t->count++] = (part){.array = a, .first = chunks, .first_row = rows, .step = step};
        chunks += ((a->rows ? a->rows : (a->n + CHUNK - 1) / CHUNK) + step - 1) / step;
        rows += a->rows;
        n += (double)a->n;
    }
    fd_run(first_pass, t, chunks, 24 * n);
    for (long i = 0; i < t->count; i++) decide(t->s, &t->parts[i], t->sums + t->parts[i].first_row * SUMS);
    fd_run(second_pass, t, chunks, 20 * n);
}

int FN(fd_projected_f32)(const fd_projected_args *s) {
    long rows = 0;
    for (long i = 0; i < s->count; i++) rows += s->arrays[i].rows;
    job t = {.s = s,
             .parts = fd_pool_get(((size_t)s->count + 1) * sizeof(part)),
             .sums = fd_pool_get(((size_t)rows + 1) * SUMS * sizeof(double))};
    const int code = t.parts && t.sums ? FD_OK : FD_NO_MEMORY;
    /* a few arrays at a time, so that the second pass finds them in the cache */
    for (long begin = 0, end; code == FD_OK && begin < s->count; begin = end) {
        long n = 0;
        for (end = begin; end < s->count && (end == begin || n + s->arrays[end].n <= TOGETHER); end++) n += s->arrays[end].n;
        project(&t, begin, end);
    }
    if (t.parts) fd_pool_put(t.parts);
    if (t.sums) fd_pool_put(t.sums);
    return code;
}
