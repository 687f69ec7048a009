/* Recurrent layers over a whole sequence: large products around one loop over time.
 *
 * Forward:  x W_ih^T + b for all steps is one product, written where the gates will be; then each step adds h_{t-1} W_hh^T. W_hh is
 *           packed once with its gates interleaved, so that one tile holds all gates of VL units, and the cell follows while
 *           the tile is in L1.
 * Backward: each step needs dgates_{t+1} W_hh, tile after tile with the cell's derivative behind it; the weight gradients
 *           and dx wait until all dgates are known and are large products again.
 *
 * Threads, by shape only: where W_hh fits the private cache and there are rows enough, each chunk takes a few rows of the batch
 * through all steps and never waits (`rows_chunk`). Otherwise chunks are blocks of units, and one of step s + 1 waits
 * until all of step s are done (`wave_chunk`): W_hh is then read once per step, not once per thread and step.
 *
 * A few rows in all (a cell, a short sequence) read W_hh where it lies: packing would cost more than the steps.
 */
#include "kernels/recurrent.h"

#include "kernels/gemm.h"

#define KC 1024               /* a panel of FD_NR columns of this depth stays in L2 for all its rows */
#define ROWS 24               /* rows between product and cell: their sums stay in L1 */
#define CACHED_WEIGHTS 163840 /* floats of W_hh that a core keeps in L2 through the loop: 640 KB */
#define WAVE_STEP 200000.0    /* work of a step (multiply-adds, or weights read times 4) that pays for waiting */
#define WAVE_CHUNK 100000.0

typedef struct loop loop;
struct loop {
    const fd_recurrent_args *g;
    const fd_cell *cell;
    void (*block)(const loop *l, long stage, long block, long row, long rows); /* rows <= ROWS */
    long stages, blocks, units;                                                /* units in a block */
    float *packed;                                                             /* NULL: W_hh is read where it lies */
    long block_size;                                                           /* floats of a packed block */
    float *dgates;                                                             /* (T, B, ld) */
    long ld;
    long row_chunks;    /* rows_chunk */
    long groups, group; /* wave_chunk: groups per stage, blocks in a group */
    fd_counter done;
};

/* are there too few rows in all to pay for packing? */
static int few_rows(const fd_recurrent_args *g) { return g->T * g->B <= 16; }

FD_INLINE long time_of(const loop *l, long step) { return l->g->reverse ? l->g->T - 1 - step : step; }

static fd_step step_at(const loop *l, long step) {
    const fd_recurrent_args *g = l->g;
    const long t = time_of(l, step), size = g->B * g->H;
    fd_step s = {.t = t, .h_prev = g->h0, .c_prev = g->c0, .dgates = l->dgates + t * g->B * l->ld, .ld = l->ld};
    if (step > 0) {
        const long before = time_of(l, step - 1) * size;
        s.h_prev = g->y + before;
        if (l->cell->has_cells) s.c_prev = g->cells + before;
    }
    return s;
}

/* c (rows, n) (+)= a (rows, K) * b, which is `vectors` vectors wide: rows ldb apart, or, where ldb is 0, packed in panels of
 * FD_NV vectors and a narrower last one. */
static void product(const float *a, long lda, long rows, long K, const float *b, long ldb, long vectors, float *c, long ldc,
                    long n, int accumulate) {
    const float *a_rows[FD_MR_MAX];
    float *c_rows[FD_MR_MAX];
    for (long q = 0; q < vectors; q += FD_NV) {
        const long nv = FD_MIN(FD_NV, vectors - q), most = fd_tile_rows(nv);
        for (long k = 0; k < K; k += KC) {
            fd_tile t = {.a = a_rows,
                         .as = 1,
                         .k = FD_MIN(KC, K - k),
                         .taps = 1,
                         .b = ldb ? b + q * VL + k * ldb : b + q * VL * K + k * nv * VL,
                         .ldb = ldb ? ldb : nv * VL,
                         .c = c_rows,
                         .n = n - q * VL,
                         .accumulate = accumulate || k > 0};
            for (long r = 0; r < rows;) {
                const long m = fd_next_rows(rows - r, most);
                for (long i = 0; i < m; i++) {
                    a_rows[i] = a + (r + i) * lda + k;
                    c_rows[i] = c + (r + i) * ldc + q * VL;
                }
                fd_tile_kernel(nv, m)(&t);
                r += m;
            }
        }
    }
}

/* --- the loop ------------------------------------------------------------------------------------------------------ */
/* Every other stage takes the blocks from the end: what of W_hh the stage before has left in the cache is used first. */
static void some_blocks(const loop *l, long stage, long first, long end, long row, long row_end) {
    for (long i = first; i < end; i++) {
        const long b = stage & 1 ? l->blocks - 1 - i : i;
        for (long r = row; r < row_end; r += ROWS) l->block(l, stage, b, r, FD_MIN(ROWS, row_end - r));
    }
}

static void rows_chunk(void *ctx, long chunk) {
    const loop *l = ctx;
    const long row = chunk * l->g->B / l->row_chunks, end = (chunk + 1) * l->g->B / l->row_chunks;
    for (long stage = 0; stage < l->stages; stage++) some_blocks(l, stage, 0, l->blocks, row, end);
}

static void wave_chunk(void *ctx, long chunk) {
    loop *l = ctx;
    const long stage = chunk / l->groups, first = chunk % l->groups * l->group;
    fd_wait_for(&l->done, (uint32_t)(stage * l->groups));
    some_blocks(l, stage, first, FD_MIN(l->blocks, first + l->group), 0, l->g->B);
    fd_count(&l->done);
}

static void run_loop(loop *l, long tile_rows) {
    const fd_recurrent_args *g = l->g;
    const double weights = (double)l->cell->gates * g->H * g->H, step = FD_MAX((double)g->B, 4.0) * weights;
    if (weights <= CACHED_WEIGHTS && g->B > tile_rows) {
        l->row_chunks = (g->B + tile_rows - 1) / tile_rows;
        fd_run(rows_chunk, l, l->row_chunks, step * (double)g->T);
    } else if (step >= WAVE_STEP && l->blocks > 1) {
        const long most = (long)(step / WAVE_CHUNK);
        l->group = (l->blocks + most - 1) / most;
        l->groups = (l->blocks + l->group - 1) / l->group;
        fd_run(wave_chunk, l, l->stages * l->groups, step * (double)g->T);
    } else {
        l->row_chunks = 1;
        fd_run(rows_chunk, l, 1, 0);
    }
}

/* --- forward ------------------------------------------------------------------------------------------------------- */

/* out[i] = column i of VL rows of w, in registers. Not inlined: beside other loops GCC spills the rows' addresses. */
static __attribute__((noinline)) void transpose_units(const float *w, long ldw, float *out, long ldo) {
    vf v[VL];
    FD_UNROLL for (long i = 0; i < VL; i++, w += ldw) {
        fd_prefetch(w + 4 * VL); /* VL rows at once are more streams than the machine follows by itself */
        v[i] = vload(w);
    }
    vtranspose(v);
    FD_UNROLL for (long i = 0; i < VL; i++, out += ldo) vstore(out, v[i]);
}

/* The same of the last rows, zero beyond them, and of the last n columns. */
static __attribute__((noinline)) void transpose_last_units(const float *w, long ldw, long rows, long n, float *out, long ldo) {
    vf v[VL];
    for (long i = 0; i < VL; i++, w += ldw) v[i] = i < rows ? vload_n(w, n) : vzero();
    vtranspose(v);
    for (long i = 0; i < n; i++, out += ldo) vstore(out, v[i]);
}

/* Packs W_hh^T for the units of one block: column vector q of it is gate q / vectors. */
static void pack_forward(void *ctx, long block) {
    const loop *l = ctx;
    const long H = l->g->H, vectors = l->cell->vectors, total = l->cell->gates * vectors;
    for (long q = 0; q < total; q++) {
        const long first = q / FD_NV * FD_NV, nr = FD_MIN(FD_NV, total - first) * VL;
        const long unit = block * l->units + q % vectors * VL;
        const float *w = l->g->w_hh + (q / vectors * H + unit) * H;
        float *out = l->packed + block * l->block_size + first * VL * H + (q - first) * VL;
        for (long k = 0; k < H; k += VL, out += VL * nr) {
            if (unit + VL <= H && k + VL <= H)
                transpose_units(w + k, H, out, nr);
            else
                transpose_last_units(w + k, H, H - unit, FD_MIN(VL, H - k), out, nr);
        }
    }
}

/* Half the lanes of a vector of W_hh^T h: acc[i] sums row i of w (n rows are there, the others repeat the last) times h. */
#define HALF (VL / 2)
FD_INLINE void half_dots(const float *w, long ldw, long n, const float *h, long K, vf *acc) {
    const float *row[HALF];
    FD_UNROLL for (long i = 0; i < HALF; i++) {
        row[i] = w + FD_MIN(i, n - 1) * ldw;
        acc[i] = vzero();
    }
    long k = 0;
    for (; k + VL <= K; k += VL) {
        const vf v = vload(h + k);
        FD_UNROLL for (long i = 0; i < HALF; i++) acc[i] = vfma(vload(row[i] + k), v, acc[i]);
    }
    if (k < K) {
        const vf v = vload_n(h + k, K - k);
        FD_UNROLL for (long i = 0; i < HALF; i++) acc[i] = vfma(vload_n(row[i] + k, K - k), v, acc[i]);
    }
}

/* sums (rows, gates * vectors * VL) = h W_hh^T of one block, from W_hh as it lies: a dot product a unit, VL of them added up
 * together by transposing */
static void dot_products(const loop *l, const float *h, long rows, long block, float *sums) {
    const long H = l->g->H, vectors = l->cell->vectors, total = l->cell->gates * vectors;
    for (long q = 0; q < total; q++) {
        const long unit = block * l->units + q % vectors * VL, n = FD_MIN(VL, H - unit);
        if (n <= 0) continue; /* the cell does not look there */
        const float *w = l->g->w_hh + (q / vectors * H + unit) * H;
        for (long r = 0; r < rows; r++) {
            vf acc[VL];
            half_dots(w, H, n, h + r * H, H, acc);
            const long lower = FD_MIN(HALF, n - 1);
            half_dots(w + lower * H, H, n - lower, h + r * H, H, acc + HALF);
            vtranspose(acc);
            FD_UNROLL for (int step = 1; step < VL; step *= 2) {
                FD_UNROLL for (int i = 0; i < VL; i += 2 * step) acc[i] += acc[i + step];
            }
            vstore(sums + (r * total + q) * VL, acc[0]);
        }
    }
}

/* Starts to fetch what the cell needs after the product: lines a row apart, which no prefetcher follows. */
FD_INLINE void fetch_gates(const fd_recurrent_args *g, long gates, long t, long row, long rows, long unit) {
    for (long b = t * g->B + row; rows > 0; b++, rows--) {
        for (long i = 0; i < gates; i++) fd_prefetch(g->gates + (b * gates + i) * g->H + unit);
        fd_prefetch_write(g->cells + b * g->H + unit);
        fd_prefetch_write(g->y + b * g->H + unit);
    }
}

static void forward_block(const loop *l, long stage, long block, long row, long rows) {
    _Alignas(64) float sums[ROWS * FD_MAX(FD_NR, 4 * VL)];
    const fd_step s = step_at(l, stage);
    const long H = l->g->H, vectors = l->cell->gates * l->cell->vectors, width = vectors * VL;
    if (l->cell->gates > 1) fetch_gates(l->g, l->cell->gates, s.t, row, rows, block * l->units);
    if (l->packed)
        product(s.h_prev + row * H, H, rows, H, l->packed + block * l->block_size, 0, vectors, sums, width, width, 0);
    else
        dot_products(l, s.h_prev + row * H, rows, block, sums);
    l->cell->forward(l->g, &s, row, rows, block * l->units, sums);
}

/* gates = x W_ih^T + b_ih + b_hh; the GRU adds its last part of b_hh elsewhere */
static int project(const fd_cell *cell, const fd_recurrent_args *g) {
    const long n = cell->gates * g->H, shared = cell->gates == 3 ? 2 * g->H : n;
    float *bias = NULL;
    if (g->b_ih || g->b_hh) {
        bias = fd_pool_get((size_t)n * sizeof(float));
        if (!bias) return FD_NO_MEMORY;
        for (long i = 0; i < n; i++) bias[i] = (g->b_ih ? g->b_ih[i] : 0) + (g->b_hh && i < shared ? g->b_hh[i] : 0);
    }
    const fd_matmul_args p = {.batch = 1, .M = g->T * g->B, .N = n, .K = g->D, .a = g->x, .a_row = g->D, .a_col = 1,
                              .b = g->w_ih, .b_row = 1, .b_col = g->D, .c = g->gates, .c_row = n, .bias = bias};
    const int code = FN(fd_matmul_f32)(&p);
    fd_pool_put(bias);
    return code;
}

int FN(fd_recurrent_forward)(const fd_cell *cell, const fd_recurrent_args *g) {
    if (!g->T || !g->B) return FD_OK;
    int code = project(cell, g);
    if (code) return code;
    loop l = {.g = g, .cell = cell, .block = forward_block, .stages = g->T, .units = cell->vectors * VL};
    const long vectors = cell->gates * cell->vectors;
    l.blocks = (g->H + l.units - 1) / l.units;
    l.block_size = vectors * VL * g->H;
    if (!few_rows(g)) {
        l.packed = fd_pool_get((size_t)(l.blocks * l.block_size) * sizeof(float));
        if (!l.packed) return FD_NO_MEMORY;
        fd_run(pack_forward, &l, l.blocks, 4.0 * (double)(l.blocks * l.block_size));
    }
    run_loop(&l, fd_tile_rows(FD_MIN(FD_NV, vectors)));
    fd_pool_put(l.packed);
    return FD_OK;
}

/* --- backward ------------------------------------------------------------------------------------------------------ */
static void pack_backward(void *ctx, long block) {
    const loop *l = ctx;
    const long H = l->g->H, unit = block * FD_NR;
    FN(fd_pack_panel)(l->g->w_hh, H, 1, l->cell->gates * H, unit, FD_MIN(FD_NR, H - unit), fd_panel_vectors(unit, H),
                      l->packed + block * l->block_size);
}

/* stage 0 is the last step; stage T leaves dh0 */
static void backward_block(const loop *l, long stage, long block, long row, long rows) {
    _Alignas(64) float sums[ROWS * FD_NR];
    const fd_recurrent_args *g = l->g;
    const long H = g->H, K = l->cell->gates * H, unit = block * FD_NR, width = FD_MIN(FD_NR, H - unit);
    const long step = g->T - 1 - stage, last = (l->cell->dgates - l->cell->gates) * H;
    const float *w = l->packed ? l->packed + block * l->block_size : g->w_hh + unit;
    const long ldw = l->packed ? 0 : H;
    const float *dgates = stage ? l->dgates + (time_of(l, step + 1) * g->B + row) * l->ld + last : NULL;
    if (step < 0) {
        product(dgates, l->ld, rows, K, w, ldw, fd_panel_vectors(unit, H), g->dh0 + row * H + unit, H, width,
                l->cell->carries_dh);
        return;
    }
    if (stage == 0)
        for (long r = 0; r < rows; r++) memcpy(sums + r * FD_NR, g->dhT + (row + r) * H + unit, (size_t)width * sizeof(float));
    else
        product(dgates, l->ld, rows, K, w, ldw, fd_panel_vectors(unit, H), sums, FD_NR, FD_NR, 0);
    const fd_step s = step_at(l, step);
    l->cell->backward(g, &s, row, rows, unit, width, sums);
}

/* out (M, N) = a^T (M, T B) * b (T B, N), a with row stride ld */
static int over_time(const fd_recurrent_args *g, const float *a, long ld, long M, const float *b, long N, float *out) {
    const fd_matmul_args p = {.batch = 1, .M = M, .N = N, .K = g->T * g->B, .a = a, .a_row = 1, .a_col = ld,
                              .b = b, .b_row = N, .b_col = 1, .c = out, .c_row = N};
    return FN(fd_matmul_f32)(&p);
}

typedef struct {
    const float *a;
    long rows, columns, ld;
    float *out;
} column_sums;

static void sum_columns(void *ctx, long chunk) {
    const column_sums *s = ctx;
    const long n0 = chunk * FD_NR, end = FD_MIN(s->columns, n0 + FD_NR);
    for (long n = n0; n < end; n += VL) {
        const long lanes = FD_MIN(VL, end - n);
        vf even = vzero(), odd = vzero();
        for (long r = 0; r < s->rows; r += 2) {
            even += vload_n(s->a + r * s->ld + n, lanes);
            if (r + 1 < s->rows) odd += vload_n(s->a + (r + 1) * s->ld + n, lanes);
        }
        vstore_n(s->out + n, even + odd, lanes);
    }
}

static void bias_gradient(const loop *l, const float *a, long columns, float *out) {
    column_sums s = {.a = a, .rows = l->g->T * l->g->B, .columns = columns, .ld = l->ld, .out = out};
    fd_run(sum_columns, &s, (columns + FD_NR - 1) / FD_NR, (double)s.rows * (double)columns);
}

/* h_{t-1} of every step, as rows like those of dgates */
static void gather_previous(const loop *l, float *out) {
    const long size = l->g->B * l->g->H;
    for (long step = 0; step < l->g->T; step++) {
        const fd_step s = step_at(l, step);
        memcpy(out + s.t * size, s.h_prev, (size_t)size * sizeof(float));
    }
}

static int weight_gradients(const loop *l, float *buffer) {
    const fd_recurrent_args *g = l->g;
    const long H = g->H, G = l->cell->gates, GH = G * H, turn = l->cell->dgates > G ? H : 0;
    int code = FD_OK;
    gather_previous(l, buffer);
    code |= over_time(g, l->dgates + (l->cell->dgates - G) * H, l->ld, GH, buffer, H, g->dw_hh);
    /* the GRU keeps n before r and z; the others keep the order of the weights */
    code |= over_time(g, l->dgates + turn, l->ld, GH - turn, g->x, g->D, g->dw_ih);
    bias_gradient(l, l->dgates + turn, GH - turn, g->db_ih);
    if (turn) {
        code |= over_time(g, l->dgates, l->ld, turn, g->x, g->D, g->dw_ih + (GH - turn) * g->D);
        bias_gradient(l, l->dgates, turn, g->db_ih + GH - turn);
        bias_gradient(l, l->dgates + H, GH, g->db_hh);
    }
    if (!g->dx || code) return code;
    const float *w = g->w_ih;
    if (turn) { /* rows of W_ih in the order of dgates */
        memcpy(buffer, w + (GH - turn) * g->D, (size_t)(turn * g->D) * sizeof(float));
        memcpy(buffer + turn * g->D, w, (size_t)((GH - turn) * g->D) * sizeof(float));
        w = buffer;
    }
    const fd_matmul_args p = {.batch = 1, .M = g->T * g->B, .N = g->D, .K = GH, .a = l->dgates, .a_row = l->ld, .a_col = 1,
                              .b = w, .b_row = g->D, .b_col = 1, .c = g->dx, .c_row = g->D};
    return FN(fd_matmul_f32)(&p);
}

int FN(fd_recurrent_backward)(const fd_cell *cell, const fd_recurrent_args *g) {
    const long GH = cell->gates * g->H, rows = g->T * g->B;
    loop l = {.g = g, .cell = cell, .block = backward_block, .stages = g->T + 1, .units = FD_NR};
    l.blocks = (g->H + FD_NR - 1) / FD_NR;
    l.block_size = FD_NR * GH;
    l.ld = cell->dgates * g->H;
    if (l.ld % 256 == 0) l.ld += 16; /* rows a multiple of 1 KB apart would share few sets of L1 when read as columns */
    const size_t previous = (size_t)FD_MAX(rows * g->H, cell->dgates > cell->gates ? GH * g->D : 0);
    const int pack = !few_rows(g) || g->H % VL; /* full vectors are read: past the end of W_hh if its rows are odd */
    float *packed = pack ? fd_pool_get(fd_packed_size(GH, g->H) * sizeof(float)) : NULL;
    float *dgates = fd_pool_get((size_t)(rows * l.ld) * sizeof(float));
    float *buffer = fd_pool_get(previous * sizeof(float));
    int code = FD_NO_MEMORY;
    if ((packed || !pack) && dgates && buffer) {
        l.packed = packed;
        l.dgates = dgates;
        if (pack) fd_run(pack_backward, &l, l.blocks, 4.0 * (double)(GH * g->H));
        run_loop(&l, fd_tile_rows(fd_panel_vectors(0, g->H)));
        code = weight_gradients(&l, buffer);
    }
    if (buffer) fd_pool_put(buffer);
    if (dgates) fd_pool_put(dgates);
    if (packed) fd_pool_put(packed);
    return code;
}
