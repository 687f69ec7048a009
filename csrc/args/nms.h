/* kept[i] = 1 unless a kept box before i overlaps it by more than the threshold. boxes (N, 4) x1 y1 x2 y2, contiguous. */
typedef struct {
    long N;
    const float *boxes;
    float iou_threshold;
    uint8_t *kept;
} fd_nms_args;
