/* NADE: all conditionals of a batch in one walk over the variables, and the walk back.
 *
 * Idea: the activation a of a row changes by x_i w_i from one variable to the next, so D conditionals cost O(DH). A tile of rows
 * keeps a and h in L1 while w_i and v_i pass by once; where x_i is 0, as in most pixels, a and h stay as they are and no sigmoid is
 * computed. Forward splits over rows. Backward undoes the steps (a_i = a_{i+1} - x_i w_i) instead of storing D x B x H numbers, and
 * splits over units: their weight gradients are their own, so no partial sums of weights are needed, and dw_i, dv_i are in registers
 * while the rows of a tile pass.
 */
#include "fastdl.h"
#include "kernels/recurrent.h"

#define ROWS 8       /* of a tile forward */
#define BACK_ROWS 32 /* of a tile backward */
#define UNITS 64     /* of a chunk backward; H is a multiple */
#define NV (FD_VREGS >= 32 ? 4 : 2)
#define BLOCK (NV * VL)

/* --- forward ---------------------------------------------------------------------------------------------------- */

FD_INLINE void activate(const float *a, float *h, long H, int relu, float rho) {
    if (relu) {
        const vf scale = vset1(rho);
        for (long k = 0; k < H; k += VL) vstore(h + k, vmax(vzero(), scale * vload(a + k)));
    } else {
        for (long k = 0; k < H; k += VL) vstore(h + k, fd_gate_sigmoid(vload(a + k)));
    }
}

/* dots[r] = v . h[r] for four rows of stride H */
FD_INLINE void dot4(const float *v, const float *h, long H, float dots[4]) {
    vf s[4][2];
    FD_UNROLL for (int r = 0; r < 4; r++) s[r][0] = s[r][1] = vzero();
    for (long k = 0; k < H; k += 2 * VL) {
        const vf v0 = vload(v + k), v1 = vload(v + k + VL);
        FD_UNROLL for (int r = 0; r < 4; r++) {
            s[r][0] = vfma(v0, vload(h + r * H + k), s[r][0]);
            s[r][1] = vfma(v1, vload(h + r * H + k + VL), s[r][1]);
        }
    }
    FD_UNROLL for (int r = 0; r < 4; r++) dots[r] = vhsum(s[r][0] + s[r][1]);
}

typedef struct {
    const fd_nade_args *g;
    float *work; /* one block of 2 * ROWS * H a chunk */
} forward_job;

static void forward_rows(void *ctx, long chunk) {
    const forward_job *t = ctx;
    const fd_nade_args *g = t->g;
    const long H = g->H, D = g->D, O = g->O, first = chunk * ROWS, rows = FD_MIN(ROWS, g->B - first);
    float *a = t->work + chunk * 2 * ROWS * H, *h = a + ROWS * H; /* (ROWS, H) each */
    int stale[ROWS];
    memset(h, 0, (size_t)(ROWS * H) * sizeof(float));
    for (long r = 0; r < rows; r++) {
        memcpy(a + r * H, g->c, (size_t)H * sizeof(float));
        stale[r] = 1;
    }
    for (long i = 0; i < D; i++) {
        const float *w = g->w + i * H;
        for (long r = 0; r < rows; r++) {
            if (g->relu)
                activate(a + r * H, h + r * H, H, 1, g->rho[i]);
            else if (stale[r])
                activate(a + r * H, h + r * H, H, 0, 1.0f);
            stale[r] = 0;
        }
        for (long o = 0; o < O; o++) {
            float dots[ROWS];
            for (long r = 0; r < rows; r += 4) dot4(g->v + (i * O + o) * H, h + r * H, H, dots + r);
            for (long r = 0; r < rows; r++) g->y[((first + r) * D + i) * O + o] = dots[r] + g->b[i * O + o];
        }
        for (long r = 0; r < rows; r++) {
            float *x = g->x + (first + r) * D + i;
            if (g->u) {
                const float p = fd_gate_sigmoid(vset1(g->y[(first + r) * D + i]))[0];
                *x = g->u[(first + r) * D + i] < p ? 1.0f : 0.0f;
            }
            if (*x == 0.0f) continue;
            const vf xi = vset1(*x);
            float *row = a + r * H;
            for (long k = 0; k < H; k += VL) vstore(row + k, vfma(xi, vload(w + k), vload(row + k)));
            stale[r] = 1;
        }
    }
    if (g->a)
        for (long r = 0; r < rows; r++) memcpy(g->a + (first + r) * H, a + r * H, (size_t)H * sizeof(float));
}

int FN(fd_nade_f32)(const fd_nade_args *g) {
    const long chunks = (g->B + ROWS - 1) / ROWS;
    if (!chunks) return FD_OK;
    forward_job t = {g, fd_pool_get((size_t)(chunks * 2 * ROWS * g->H) * sizeof(float))};
    if (!t.work) return FD_NO_MEMORY;
    fd_run(forward_rows, &t, chunks, (double)g->B * (double)g->D * (double)g->H * (double)(1 + g->O));
    fd_pool_put(t.work);
    return FD_OK;
}

/* --- backward --------------------------------------------------------------------------------------------------- */

/* One block of BLOCK units, rows [first, first + rows): the walk from the last variable to the first. */
FD_INLINE void walk_back(const fd_nade_backward_args *g, long chunk, long unit, long first, long rows, int relu) {
    const long H = g->H, D = g->D, O = g->O;
    float a[BACK_ROWS][BLOCK] __attribute__((aligned(64))), S[BACK_ROWS][BLOCK] __attribute__((aligned(64)));
    float h[BACK_ROWS][BLOCK] __attribute__((aligned(64))), G[BACK_ROWS][BLOCK] __attribute__((aligned(64)));
    int stale[BACK_ROWS];
    const int fresh = first == 0; /* the first tile overwrites, the others add: one after the other in one chunk */
    for (long r = 0; r < rows; r++) {
        stale[r] = 1;
        memcpy(a[r], g->a + (first + r) * H + unit, sizeof a[r]);
        memset(S[r], 0, sizeof S[r]);
    }
    for (long i = D - 1; i >= 0; i--) {
        float *dw = g->dw + i * H + unit;
        vf w[NV], sum[NV];
        FD_UNROLL for (int n = 0; n < NV; n++) {
            w[n] = vload(g->w + i * H + unit + n * VL);
            sum[n] = fresh ? vzero() : vload(dw + n * VL);
        }
        for (long r = 0; r < rows; r++) {
            const float x = g->x[(first + r) * D + i];
            if (g->dx) {
                vf d = vzero();
                FD_UNROLL for (int n = 0; n < NV; n++) d = vfma(w[n], vload(S[r] + n * VL), d);
                g->dx[(chunk * g->B + first + r) * D + i] += vhsum(d);
            }
            if (x == 0.0f) continue;
            const vf xi = vset1(x);
            FD_UNROLL for (int n = 0; n < NV; n++) {
                sum[n] = vfma(xi, vload(S[r] + n * VL), sum[n]);
                vstore(a[r] + n * VL, vload(a[r] + n * VL) - xi * w[n]);
            }
            stale[r] = 1;
        }
        FD_UNROLL for (int n = 0; n < NV; n++) vstore(dw + n * VL, sum[n]);
        const vf rho = vset1(relu ? g->rho[i] : 1.0f);
        for (long r = 0; r < rows; r++) {
            if (relu)
                FD_UNROLL for (int n = 0; n < NV; n++) vstore(h[r] + n * VL, vmax(vzero(), rho * vload(a[r] + n * VL)));
            else if (stale[r])
                FD_UNROLL for (int n = 0; n < NV; n++) vstore(h[r] + n * VL, fd_gate_sigmoid(vload(a[r] + n * VL)));
            stale[r] = 0;
        }
        for (long o = 0; o < O; o++) {
            float *dv = g->dv + (i * O + o) * H + unit;
            vf v[NV];
            FD_UNROLL for (int n = 0; n < NV; n++) {
                v[n] = vload(g->v + (i * O + o) * H + unit + n * VL);
                sum[n] = fresh ? vzero() : vload(dv + n * VL);
            }
            for (long r = 0; r < rows; r++) {
                const vf dy = vset1(g->dy[((first + r) * D + i) * O + o]);
                FD_UNROLL for (int n = 0; n < NV; n++) {
                    sum[n] = vfma(dy, vload(h[r] + n * VL), sum[n]);
                    const vf part = dy * v[n];
                    vstore(G[r] + n * VL, o ? vload(G[r] + n * VL) + part : part);
                }
            }
            FD_UNROLL for (int n = 0; n < NV; n++) vstore(dv + n * VL, sum[n]);
        }
        vf drho = vzero();
        for (long r = 0; r < rows; r++)
            FD_UNROLL for (int n = 0; n < NV; n++) {
                const vf hv = vload(h[r] + n * VL), gv = vload(G[r] + n * VL);
                vf d;
                if (relu) {
                    const vf live = vselect(hv > vzero(), gv, vzero());
                    drho = vfma(live, vload(a[r] + n * VL), drho);
                    d = live * rho;
                } else {
                    d = gv * (hv - hv * hv);
                }
                vstore(S[r] + n * VL, vload(S[r] + n * VL) + d);
            }
        if (relu && g->drho) g->drho[chunk * D + i] += vhsum(drho);
    }
    for (int n = 0; n < NV; n++) {
        vf total = fresh ? vzero() : vload(g->dc + unit + n * VL);
        for (long r = 0; r < rows; r++) total += vload(S[r] + n * VL);
        vstore(g->dc + unit + n * VL, total);
    }
}

static void back_units(void *ctx, long chunk) {
    const fd_nade_backward_args *g = ctx;
    if (g->dx) memset(g->dx + chunk * g->B * g->D, 0, (size_t)(g->B * g->D) * sizeof(float));
    if (g->drho) memset(g->drho + chunk * g->D, 0, (size_t)g->D * sizeof(float));
    for (long unit = chunk * UNITS; unit < (chunk + 1) * UNITS; unit += BLOCK)
        for (long first = 0; first < g->B; first += BACK_ROWS) {
            const long rows = FD_MIN(BACK_ROWS, g->B - first);
            if (g->relu)
                walk_back(g, chunk, unit, first, rows, 1);
            else
                walk_back(g, chunk, unit, first, rows, 0);
        }
}

int FN(fd_nade_backward_f32)(const fd_nade_backward_args *g) {
    fd_run(back_units, (void *)g, g->H / UNITS, 2.0 * (double)g->B * (double)g->D * (double)g->H * (double)(1 + g->O));
    return FD_OK;
}
