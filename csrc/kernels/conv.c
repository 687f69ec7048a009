/* Convolution: the three drivers. Each brings its problem into the form of conv.h, chooses an algorithm and goes through
 * the groups. */
#include "kernels/conv.h"
#include "kernels/winograd.h"

int FN(fd_channel_sum_f32)(const fd_channel_sum_args *g);

/* --- the choice -------------------------------------------------------------------------------------------------------- */
typedef enum { DIRECT, PLANAR, SPREAD, DEPTHWISE, WINOGRAD } algorithm;
typedef enum { FORWARD, DATA, WEIGHT } pass;

/* Multiplications that Winograd saves must pay for the transform of the filters, which costs about 40 cycles a channel pair;
 * the direct sum of a 4x4 tile costs 6 cycles more a pair. */
#define WINOGRAD_TILES 12

static algorithm choose(const fd_conv2d_args *g, const fd_conv *p, pass pass) {
    if (g->groups == g->C && g->groups > 1) return DEPTHWISE;
    const long C = g->C, O = g->O;
    const long H = pass == DATA ? g->H : g->OH, W = pass == DATA ? g->W : g->OW;
    const int unit = g->stride_h == 1 && g->stride_w == 1 && g->dilation_h == 1 && g->dilation_w == 1;
    if (!g->exact && unit && g->KH == 3 && g->KW == 3 && g->groups == 1 && C >= 16 && O >= 16 && H >= 5 && W >= 5 &&
        (pass != DATA || (g->top <= 2 && g->left <= 2)) && g->N * ((H + 3) / 4) * ((W + 3) / 4) >= WINOGRAD_TILES)
        return WINOGRAD;
    if (pass == WEIGHT) return DIRECT;
    if (FN(fd_conv_spread_pays)(p)) return SPREAD;
    if (FN(fd_conv_planar_pays)(p)) return PLANAR;
    return DIRECT;
}

/* --- the problem in the form of conv.h ----------------------------------------------------------------------------------- */
/* A forward dimension: every result reads tap u at q * stride + u * dilation - padding of an input of `length`. */
static long *forward_axis(fd_conv_axis *a, long *memory, long size, long taps, long stride, long dilation, long padding) {
    long *at = memory, *src = at + taps;
    for (long u = 0; u < taps; u++) {
        at[u] = u * dilation - padding;
        src[u] = u;
    }
    *a = (fd_conv_axis){.size = size, .first = 0, .step = stride, .taps = taps, .at = at, .src = src};
    return src + taps;
}

/* Phase r of the data gradient: pixels first, first + stride, ... are met by the taps u with r + padding = u * dilation
 * (mod stride), each by one result: number q + (r + padding - u * dilation) / stride. */
static long *gradient_axis(fd_conv_axis *a, long *memory, long r, long length, long taps, long stride, long dilation,
                           long padding) {
    long *at = memory, *src = at + taps, count = 0;
    for (long u = taps - 1; u >= 0; u--) {
        const long distance = r + padding - u * dilation;
        if (distance % stride) continue;
        at[count] = distance / stride;
        src[count++] = u;
    }
    if (!count) at[0] = src[0] = 0; /* products of length 0 form their addresses all the same */
    *a = (fd_conv_axis){.size = (length - r + stride - 1) / stride, .first = r, .step = 1, .taps = count, .at = at, .src = src};
    return src + taps;
}

static long *inside_table(fd_conv_axis *a, long *memory, long length) {
    long *low = memory, *high = memory + a->size;
    for (long q = 0; q < a->size; q++) {
        long t = 0;
        while (t < a->taps && q * a->step + a->at[t] < 0) t++;
        low[q] = t;
        while (t < a->taps && q * a->step + a->at[t] < length) t++;
        high[q] = t;
    }
    a->low = low;
    a->high = high;
    return high + a->size;
}

/* Fills *p for one group. Returns the memory behind it, to be given back to the pool, or NULL. */
static void *set_up(const fd_conv2d_args *g, int gradient, fd_conv *p) {
    const long nh = gradient ? FD_MIN(g->stride_h, g->H) : 1, nw = gradient ? FD_MIN(g->stride_w, g->W) : 1;
    const long Cg = g->C / g->groups, Og = g->O / g->groups, T = g->KH * g->KW;
    const size_t longs = (size_t)(2 * nh * g->KH + 2 * nw * g->KW + 2 * (gradient ? g->H + g->W : g->OH + g->OW));
    const size_t axes = (size_t)(nh + nw) * sizeof(fd_conv_axis), phases = (size_t)(nh * nw) * sizeof(fd_conv_phase);
    char *memory = fd_pool_get(axes + phases + longs * sizeof(long));
    if (!memory) return NULL;
    fd_conv_axis *h = (fd_conv_axis *)memory, *w = h + nh;
    fd_conv_phase *phase = (fd_conv_phase *)(memory + axes);
    long *rest = (long *)(memory + axes + phases);
    for (long r = 0; r < nh; r++) {
        rest = gradient ? gradient_axis(h + r, rest, r, g->H, g->KH, g->stride_h, g->dilation_h, g->top)
                        : forward_axis(h + r, rest, g->OH, g->KH, g->stride_h, g->dilation_h, g->top);
        rest = inside_table(h + r, rest, gradient ? g->OH : g->H);
    }
    for (long r = 0; r < nw; r++) {
        rest = gradient ? gradient_axis(w + r, rest, r, g->W, g->KW, g->stride_w, g->dilation_w, g->left)
                        : forward_axis(w + r, rest, g->OW, g->KW, g->stride_w, g->dilation_w, g->left);
        rest = inside_table(w + r, rest, gradient ? g->OW : g->W);
    }
    *p = (fd_conv){.w = g->w,
                   .KH = g->KH,
                   .KW = g->KW,
                   .phases = nh * nw,
                   .phase = phase,
                   .bias = g->bias,
                   .db = g->db,
                   .relu = g->act == FD_ACT_RELU};
    if (gradient) {
        p->x = (fd_map){g->y, g->N, Og, g->OH, g->OW, g->y_n, g->y_c, g->y_h, g->y_w};
        p->lanes = Cg;
        p->w_k = Cg * T, p->w_lane = T;
        p->y_n = g->x_n, p->y_c = g->x_c, p->y_h = g->x_h * g->stride_h, p->y_w = g->x_w * g->stride_w;
    } else {
        p->x = (fd_map){g->x, g->N, Cg, g->H, g->W, g->x_n, g->x_c, g->x_h, g->x_w};
        p->lanes = Og;
        p->w_k = T, p->w_lane = Cg * T;
        p->y_n = g->y_n, p->y_c = g->y_c, p->y_h = g->y_h, p->y_w = g->y_w;
    }
    for (long i = 0; i < nh * nw; i++) {
        phase[i] = (fd_conv_phase){.h = h + i / nw, .w = w + i % nw};
        phase[i].y = gradient ? g->x + phase[i].h->first * g->x_h + phase[i].w->first * g->x_w : g->y;
    }
    return memory;
}

/* p for the next group */
static void advance(const fd_conv2d_args *g, int gradient, fd_conv *p) {
    const long x = g->C / g->groups * g->x_c, y = g->O / g->groups * g->y_c;
    p->x.p += gradient ? y : x;
    p->w += g->O / g->groups * (g->C / g->groups) * g->KH * g->KW;
    if (p->bias) p->bias += p->lanes;
    if (p->db) p->db += p->lanes;
    for (long i = 0; i < p->phases; i++) p->phase[i].y += gradient ? x : y;
}

static int same_columns(const fd_conv_axis *a, const fd_conv_axis *b) {
    return a->size == b->size && a->taps == b->taps && a->step == b->step &&
           !memcmp(a->at, b->at, (size_t)a->taps * sizeof *a->at);
}

/* Neighbouring phases across that read the same columns (a filter of 16 with stride 8 has two groups of four) become one phase with
 * the lanes of all: their results lie side by side in memory, and vectors are fuller. *memory then holds the filters in that order:
 * (k, phase of the group and lane, filter row, column of a group). Without memory, or where it does not help, p stays as it is. */
static void merge_phases(const fd_conv2d_args *g, fd_conv *p, void **memory) {
    const long across = FD_MIN(g->stride_w, g->W), down = p->phases / across, lanes = p->lanes, KH = p->KH;
    fd_conv_phase *phase = p->phase;
    long m = 1, columns = 0;
    *memory = NULL;
    while (m < across && same_columns(phase[0].w, phase[m].w)) m++;
    if (m == 1 || across % m || g->groups > 1 || lanes % VL == 0 || g->x_w != lanes) return;
    const long groups = across / m, wide = m * lanes;
    for (long r = 0; r < across; r++) {
        if (!same_columns(phase[r / m * m].w, phase[r].w)) return;
        if (r % m == 0) columns += phase[r].w->taps;
    }
    const long weights = p->x.C * wide * KH * columns;
    char *room = fd_pool_get((size_t)groups * sizeof(fd_conv_axis) + (size_t)columns * sizeof(long) +
                             (size_t)(weights + wide) * sizeof(float));
    if (!room) return;
    *memory = room;
    fd_conv_axis *axis = (fd_conv_axis *)room;
    long *src = (long *)(axis + groups), column = 0;
    float *w = (float *)(src + columns), *bias = w + weights;
    for (long j = 0; j < groups; j++) {
        const long taps = phase[j * m].w->taps;
        for (long i = 0; i < m; i++)
            for (long t = 0; t < taps; t++)
                for (long k = 0; k < p->x.C; k++)
                    for (long lane = 0; lane < lanes; lane++) {
                        const float *from = p->w + k * p->w_k + lane * p->w_lane + phase[j * m + i].w->src[t];
                        float *to = w + ((k * m + i) * lanes + lane) * KH * columns + column + t;
                        for (long u = 0; u < KH; u++) to[u * columns] = from[u * p->KW];
                    }
        axis[j] = *phase[j * m].w;
        axis[j].src = src + column;
        for (long t = 0; t < taps; t++, column++) src[column] = column;
    }
    for (long i = 0; i < down; i++)
        for (long j = 0; j < groups; j++) {
            phase[i * groups + j] = phase[i * across + j * m];
            phase[i * groups + j].w = axis + j;
        }
    for (long i = 0; p->bias && i < wide; i++) bias[i] = p->bias[i % lanes];
    if (p->bias) p->bias = bias;
    p->phases = down * groups;
    p->lanes = wide;
    p->w = w, p->w_k = wide * KH * columns, p->w_lane = KH * columns, p->KW = columns;
}

/* A 1x1 filter sees no rows: then an image is one long row where its memory allows. */
static fd_conv2d_args flatten(const fd_conv2d_args *args) {
    fd_conv2d_args g = *args;
    if (g.KH == 1 && g.KW == 1 && g.stride_h == 1 && g.stride_w == 1 && !g.top && !g.left && g.H == g.OH && g.W == g.OW &&
        g.x_h == g.W * g.x_w && g.y_h == g.OW * g.y_w) {
        g.W = g.OW = g.H * g.W;
        g.H = g.OH = 1;
        if (g.N > 0 && g.x_n == g.W * g.x_w && g.y_n == g.W * g.y_w) {
            g.W = g.OW = g.N * g.W;
            g.N = 1;
        }
    }
    return g;
}

/* --- depthwise ------------------------------------------------------------------------------------------------------------- */
/* With m outputs a channel, output o sees channel o / m: the same as one output each of a copy of x whose channels are repeated. */
typedef struct {
    const fd_map *in; /* (N, C, H, W) */
    long times;
    float *out;   /* channels-last: (N, H, W, C * times); for sums (N, H, W, C / times) */
    long n, h, w; /* strides of out */
    const float *bias;
    int relu;
} channels_job;

static void repeat_row(void *ctx, long chunk) {
    const channels_job *d = ctx;
    const fd_map *m = d->in;
    const float *in = m->p + chunk / m->H * m->n + chunk % m->H * m->h;
    float *out = d->out + chunk / m->H * d->n + chunk % m->H * d->h;
    for (long j = 0; j < m->W; j++)
        for (long c = 0; c < m->C; c++)
            for (long i = 0; i < d->times; i++) out[j * d->w + c * d->times + i] = in[j * m->w + c * m->c];
}

static void sum_row(void *ctx, long chunk) {
    const channels_job *d = ctx;
    const fd_map *m = d->in;
    const float *in = m->p + chunk / m->H * m->n + chunk % m->H * m->h;
    float *out = d->out + chunk / m->H * d->n + chunk % m->H * d->h;
    for (long j = 0; j < m->W; j++)
        for (long c = 0; c < m->C / d->times; c++) {
            float sum = d->bias ? d->bias[c] : 0.0f;
            for (long i = 0; i < d->times; i++) sum += in[j * m->w + c * d->times + i];
            out[j * d->w + c] = d->relu && sum < 0 ? 0.0f : sum;
        }
}

static int depthwise(const fd_conv2d_args *args, pass pass) {
    fd_conv2d_args g = *args;
    const long times = g.O / g.C;
    float *repeated = NULL, *y_copy = NULL;
    int code = FD_NO_MEMORY;
    fd_conv p;
    void *memory = NULL;
    if (times > 1) {
        repeated = fd_pool_get((size_t)(g.N * g.H * g.W * g.O) * sizeof(float));
        if (!repeated) return FD_NO_MEMORY;
        if (pass != DATA) {
            fd_map x = {g.x, g.N, g.C, g.H, g.W, g.x_n, g.x_c, g.x_h, g.x_w};
            channels_job d = {&x, times, repeated, g.H * g.W * g.O, g.W * g.O, g.O, NULL, 0};
            fd_run(repeat_row, &d, g.N * g.H, 4.0 * (double)(g.N * g.H * g.W) * (double)g.O);
        }
        g.x = repeated;
        g.x_c = 1, g.x_w = g.O, g.x_h = g.W * g.O, g.x_n = g.H * g.W * g.O;
        if (pass == DATA) g.bias = NULL, g.act = FD_ACT_NONE;
    }
    if (pass == WEIGHT && g.y_c != 1) { /* the gradient reads y channels-last */
        fd_map y = {g.y, g.N, g.O, g.OH, g.OW, g.y_n, g.y_c, g.y_h, g.y_w};
        y_copy = FN(fd_bordered_copy)(&y, (fd_border){0, 0, g.OH, g.OW});
        if (!y_copy) goto end;
        g.y = y_copy;
        g.y_c = 1, g.y_w = g.O, g.y_h = g.OW * g.O, g.y_n = g.OH * g.OW * g.O;
    }
    g.C = g.groups = g.O;
    memory = set_up(&g, pass == DATA, &p);
    if (!memory) goto end;
    p.x.C = p.lanes = g.O;
    p.w_lane = g.KH * g.KW;
    code = pass == WEIGHT ? FN(fd_conv_weight_depthwise)(&p, g.w) : FN(fd_conv_depthwise)(&p);
    if (code == FD_OK && pass == DATA && times > 1) {
        fd_map dx = {repeated, g.N, g.O, g.H, g.W, g.x_n, 1, g.x_h, g.x_w};
        channels_job d = {&dx, times, args->x, args->x_n, args->x_h, args->x_w, args->bias, args->act == FD_ACT_RELU};
        fd_run(sum_row, &d, g.N * g.H, 4.0 * (double)(g.N * g.H * g.W) * (double)g.O);
    }
end:
    fd_pool_put(memory);
    fd_pool_put(y_copy);
    fd_pool_put(repeated);
    return code;
}

/* --- Winograd ------------------------------------------------------------------------------------------------------------- */
/* m.p if m is contiguous channels-last, else a copy that is */
static const float *dense(const fd_map *m, float **copy) {
    *copy = NULL;
    if ((m->c == 1 || m->C == 1) && m->w == m->C && m->h == m->W * m->w && (m->n == m->H * m->h || m->N == 1)) return m->p;
    *copy = FN(fd_bordered_copy)(m, (fd_border){0, 0, m->H, m->W});
    return *copy;
}

static int winograd(const fd_conv2d_args *g, pass pass) {
    const fd_map x = {g->x, g->N, g->C, g->H, g->W, g->x_n, g->x_c, g->x_h, g->x_w};
    const fd_map y = {g->y, g->N, g->O, g->OH, g->OW, g->y_n, g->y_c, g->y_h, g->y_w};
    float *x_copy = NULL, *y_copy = NULL;
    fd_winograd_args a = {.N = g->N,
                          .H = g->H,
                          .W = g->W,
                          .C = g->C,
                          .OH = g->OH,
                          .OW = g->OW,
                          .K = g->O,
                          .pad_top = g->top,
                          .pad_left = g->left,
                          .w = g->w,
                          .w_k = g->C * 9,
                          .w_c = 9,
                          .w_h = 3,
                          .w_w = 1,
                          .bias = g->bias,
                          .relu = g->act == FD_ACT_RELU,
                          .y = g->y};
    int code = FD_NO_MEMORY;
    if (pass == DATA) { /* x and y in exchanged roles, the filter rotated and transposed */
        a.H = g->OH, a.W = g->OW, a.C = g->O, a.OH = g->H, a.OW = g->W, a.K = g->C;
        a.pad_top = 2 - g->top, a.pad_left = 2 - g->left;
        a.w_k = 9, a.w_c = g->C * 9, a.flip = 1;
        a.x = dense(&y, &y_copy);
        a.y = g->x;
    } else {
        a.x = dense(&x, &x_copy);
        if (pass == WEIGHT) a.y = (float *)dense(&y, &y_copy);
    }
    if (a.x && a.y) code = pass == WEIGHT ? FN(fd_winograd_backward_w)(&a, g->w) : FN(fd_winograd_forward)(&a);
    fd_pool_put(x_copy);
    fd_pool_put(y_copy);
    return code;
}

/* --- the drivers ------------------------------------------------------------------------------------------------------------ */
static int compute(const fd_conv2d_args *args, pass pass) {
    const fd_conv2d_args g = flatten(args);
    const int gradient = pass == DATA;
    fd_conv p;
    void *memory = set_up(&g, gradient, &p);
    if (!memory) return FD_NO_MEMORY;
    void *merged = NULL;
    if (gradient) merge_phases(&g, &p, &merged);
    const algorithm chosen = choose(&g, &p, pass);
    int code = FD_OK;
    if (chosen == DEPTHWISE)
        code = depthwise(&g, pass);
    else if (chosen == WINOGRAD)
        code = winograd(&g, pass);
    else
        for (long i = 0; i < g.groups && code == FD_OK; i++) {
            code = chosen == SPREAD   ? FN(fd_conv_spread)(&p)
                   : chosen == PLANAR ? FN(fd_conv_planar)(&p)
                                      : FN(fd_conv_direct)(&p);
            advance(&g, gradient, &p);
        }
    fd_pool_put(merged);
    fd_pool_put(memory);
    return code;
}

int FN(fd_conv2d_f32)(const fd_conv2d_args *g) { return g->N && g->O && g->OH && g->OW ? compute(g, FORWARD) : FD_OK; }

int FN(fd_conv2d_backward_x_f32)(const fd_conv2d_args *g) { return g->N && g->C && g->H && g->W ? compute(g, DATA) : FD_OK; }

/* db by itself, where the algorithm does not sum it along the way */
static int sum_channels(const fd_conv2d_args *g) {
    const fd_channel_sum_args a = {g->N, g->O, g->OH, g->OW, g->y, g->y_n, g->y_c, g->y_h, g->y_w, g->db};
    return g->db ? FN(fd_channel_sum_f32)(&a) : FD_OK;
}

/* Lanes are outputs, rows of a tile channels; with few outputs it is the other way round, in the data gradient's geometry. */
int FN(fd_conv2d_backward_w_f32)(const fd_conv2d_args *args) {
    fd_conv2d_args g = flatten(args);
    const long Cg = g.C / g.groups, Og = g.O / g.groups, T = g.KH * g.KW;
    const int exchanged = 2 * Og <= VL && Cg > Og;
    const int nothing = !g.N || !g.OH || !g.OW || !Og || !Cg;
    if (exchanged || nothing) memset(g.w, 0, (size_t)(g.O * Cg * T) * sizeof(float)); /* taps that meet nothing */
    if (nothing) return sum_channels(&g);
    const algorithm chosen = choose(&g, NULL, WEIGHT);
    if (chosen == DEPTHWISE) return depthwise(&g, WEIGHT);
    if (chosen == WINOGRAD || exchanged) {
        const int code = sum_channels(&g);
        if (code != FD_OK) return code;
        g.db = NULL;
    }
    if (chosen == WINOGRAD) return winograd(&g, WEIGHT);
    fd_conv p;
    void *memory = set_up(&g, exchanged, &p);
    if (!memory) return FD_NO_MEMORY;
    int code = FD_OK;
    for (long i = 0; i < g.groups && code == FD_OK; i++) {
        float *dw = g.w + i * Og * Cg * T;
        code = FN(fd_conv_weight_spread_pays)(&p) ? FN(fd_conv_weight_spread)(&p, dw) : FN(fd_conv_weight)(&p, dw);
        advance(&g, exchanged, &p);
    }
    fd_pool_put(memory);
    return code;
}
