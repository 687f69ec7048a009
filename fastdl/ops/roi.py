"""RoI pooling and RoI align: boxes of a feature map as grids of one size. Boxes get no gradient."""

import numpy as np

from fastdl.autograd import Function, Tensor
from fastdl.kernels.roi_align import roi_align_backward_x, roi_align_forward
from fastdl.kernels.roi_pool import roi_pool_backward_dy, roi_pool_backward_x, roi_pool_forward


class RoIPool(Function):
    """x (N, C, H, W), boxes (K, 5) -> (K, C, PH, PW): the maxima of the bins of every box."""

    @staticmethod
    def forward(ctx, x, boxes, output_size, spatial_scale):
        y, argmax = roi_pool_forward(x.array, boxes, output_size, spatial_scale)
        ctx.parameters = argmax, boxes, x.array.shape, spatial_scale
        return Tensor(y)

    @staticmethod
    def backward(ctx, dy):
        return RoIPoolGradient.apply(dy, *ctx.parameters), None, None, None


class RoIPoolGradient(Function):
    """dx from dy: every cell adds up the bins whose maximum it is."""

    @staticmethod
    def forward(ctx, dy, *parameters):
        ctx.parameters = parameters
        return Tensor(roi_pool_backward_x(dy.array, *parameters))

    @staticmethod
    def backward(ctx, ddx):
        return RoIPoolPick.apply(ddx, *ctx.parameters), None, None, None, None


class RoIPoolPick(Function):
    """The transpose of RoIPoolGradient: of every bin the cell that was its maximum."""

    @staticmethod
    def forward(ctx, ddx, argmax, boxes, shape, spatial_scale):
        ctx.parameters = argmax, boxes, shape, spatial_scale
        return Tensor(roi_pool_backward_dy(ddx.array, argmax, boxes))

    @staticmethod
    def backward(ctx, dy):
        return RoIPoolGradient.apply(dy, *ctx.parameters), None, None, None, None


class RoIAlign(Function):
    """x (N, C, H, W), boxes (K, 5) -> (K, C, PH, PW): the means of the samples in the bins of every box."""

    @staticmethod
    def forward(ctx, x, boxes, output_size, *grid):
        ctx.parameters = boxes, x.array.shape, *grid
        return Tensor(roi_align_forward(x.array, boxes, output_size, *grid))

    @staticmethod
    def backward(ctx, dy):
        return RoIAlignGradient.apply(dy, *ctx.parameters), None, None, None, None, None


class RoIAlignGradient(Function):
    """dx from dy; linear, and its transpose is RoIAlign."""

    @staticmethod
    def forward(ctx, dy, boxes, shape, *grid):
        ctx.parameters = boxes, dy.array.shape[2:], *grid
        return Tensor(roi_align_backward_x(dy.array, boxes, shape, *grid))

    @staticmethod
    def backward(ctx, ddx):
        return RoIAlign.apply(ddx, *ctx.parameters), None, None, None, None, None


def _numbered(boxes, name):
    """(K, 5) from a (K, 5) array or from a list with the (L, 4) boxes of every image."""
    if not isinstance(boxes, (list, tuple)):
        return boxes.array if isinstance(boxes, Tensor) else np.asarray(boxes)
    arrays = [b.array if isinstance(b, Tensor) else np.asarray(b, np.float32) for b in boxes]
    for i, b in enumerate(arrays):
        if b.ndim != 2 or b.shape[1] != 4:
            raise ValueError(f"{name}: the boxes of image {i} must have shape (L, 4): x1, y1, x2, y2; got {b.shape}")
    numbered = [np.concatenate([np.full((len(b), 1), i, b.dtype), b], 1) for i, b in enumerate(arrays)]
    return np.concatenate(numbered) if numbered else np.zeros((0, 5), np.float32)


def roi_pool(input, boxes, output_size, spatial_scale=1.0):
    """Max-pool boxes of input (N, C, H, W) to (K, C, *output_size); as torchvision.ops.roi_pool.

    boxes: (K, 5) rows of image number, x1, y1, x2, y2, or a list of (L, 4), one for each image; in coordinates of the
    network's input, of which the map is spatial_scale times as large.
    """
    return RoIPool.apply(input, _numbered(boxes, "roi_pool"), output_size, float(spatial_scale))


def roi_align(input, boxes, output_size, spatial_scale=1.0, sampling_ratio=-1, aligned=False):
    """Average bilinear samples of boxes of input (N, C, H, W) to (K, C, *output_size); as torchvision.ops.roi_align.

    boxes as in roi_pool. sampling_ratio: samples a bin and axis; -1: as many as the bin has cells, rounded up.
    aligned: pixels are areas whose centres lie at halves (the exact reading; False keeps older models' results).
    """
    grid = float(spatial_scale), int(sampling_ratio), bool(aligned)
    return RoIAlign.apply(input, _numbered(boxes, "roi_align"), output_size, *grid)
