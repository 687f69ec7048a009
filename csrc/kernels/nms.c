/* Greedy non-maximum suppression.
 *
 * Idea: coordinates are split into rows of x1, y1, x2, y2 and area, so that a kept box is compared with VL later ones at once; those
 * that are suppressed already are not asked again if a whole vector of them is. The order of decisions is serial by nature.
 */
#include "fastdl.h"
#include "simd/simd.h"

int FN(fd_nms_f32)(const fd_nms_args *g) {
    const long N = g->N, size = (N + VL - 1) / VL * VL;
    if (!N) return FD_OK;
    float *row = fd_pool_get((size_t)(6 * size) * sizeof(float));
    if (!row) return FD_NO_MEMORY;
    float *x1 = row, *y1 = x1 + size, *x2 = y1 + size, *y2 = x2 + size, *area = y2 + size;
    int32_t *gone = (int32_t *)(area + size); /* -1: suppressed, or beyond the end */
    for (long i = 0; i < size; i++) {
        const float *b = g->boxes + 4 * i;
        const int some = i < N;
        x1[i] = some ? b[0] : 0.0f;
        y1[i] = some ? b[1] : 0.0f;
        x2[i] = some ? b[2] : 0.0f;
        y2[i] = some ? b[3] : 0.0f;
        area[i] = (x2[i] - x1[i]) * (y2[i] - y1[i]);
        gone[i] = some ? 0 : -1;
    }
    const vf zero = vzero(), threshold = vset1(g->iou_threshold);
    for (long i = 0; i < N; i++) {
        g->kept[i] = !gone[i];
        if (gone[i]) continue;
        const vf ax1 = vset1(x1[i]), ay1 = vset1(y1[i]), ax2 = vset1(x2[i]), ay2 = vset1(y2[i]), a = vset1(area[i]);
        for (long j = (i + 1) / VL * VL; j < size; j += VL) { /* may ask i itself again, which is decided */
            const vi before = viload(gone + j);
            if (!vany(~before)) continue;
            const vf width = vmax(zero, vmin(ax2, vload(x2 + j)) - vmax(ax1, vload(x1 + j)));
            const vf height = vmax(zero, vmin(ay2, vload(y2 + j)) - vmax(ay1, vload(y1 + j)));
            const vf both = width * height;
            vistore(gone + j, before | (vi)(both / (a + vload(area + j) - both) > threshold));
        }
    }
    fd_pool_put(row);
    return FD_OK;
}
