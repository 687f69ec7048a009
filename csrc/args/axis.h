/* One axis of a pooling or a resize (fastdl/kernels/_axis.py): output o reads input index[e] with weight[e], as tap[e] of its
 * window, for e in ptr[o] .. ptr[o+1] - 1. */
#ifndef FD_ARGS_AXIS_H
#define FD_ARGS_AXIS_H
typedef struct {
    long inputs, outputs;
    const int32_t *ptr, *index, *tap;
    const float *weight;
} fd_axis;
#endif
