"""Resizing of images and lines, and the exchange of channels for pixels."""

from math import floor

from fastdl.autograd import Function, Tensor
from fastdl.kernels.resize import resize_backward_x, resize_forward
from fastdl.ops.pool import adaptive_avg_pool1d, adaptive_avg_pool2d

__all__ = ["interpolate", "pixel_shuffle", "pixel_unshuffle", "upsample"]


class Resize(Function):
    """x (N, C, H, W) -> (N, C, OH, OW); linear, so its gradient is another Function and that one's gradient is Resize."""

    @staticmethod
    def forward(ctx, x, size, mode, align_corners, factor):
        ctx.parameters = x.array.shape[2:], mode, align_corners, factor
        return Tensor(resize_forward(x.array, size, mode, align_corners, factor))

    @staticmethod
    def backward(ctx, dy):
        return ResizeGradient.apply(dy, *ctx.parameters), None, None, None, None


class ResizeGradient(Function):
    """dx (N, C, H, W) from dy (N, C, OH, OW)."""

    @staticmethod
    def forward(ctx, dy, size, mode, align_corners, factor):
        ctx.parameters = dy.array.shape[2:], mode, align_corners, factor
        return Tensor(resize_backward_x(dy.array, size, mode, align_corners, factor))

    @staticmethod
    def backward(ctx, ddx):
        return Resize.apply(ddx, *ctx.parameters), None, None, None, None


MODES = {3: ("nearest", "linear", "area"), 4: ("nearest", "bilinear", "bicubic", "area")}


def interpolate(input, size=None, scale_factor=None, mode="nearest", align_corners=None, recompute_scale_factor=None):
    """Resize images (N, C, H, W), or lines (N, C, L), to `size` or by `scale_factor`.

    mode: nearest, bilinear, bicubic or area (adaptive average) for images; nearest, linear or area for lines.
    align_corners: the centres of the corner pixels coincide, instead of the edges of the images. A scale_factor also
    fixes the sampling positions, unless recompute_scale_factor derives them from the rounded sizes.
    """
    shape = input.array.shape
    if len(shape) not in MODES:
        raise ValueError(f"interpolate: the input must have shape (N, C, L) or (N, C, H, W); got {shape}")
    if mode not in MODES[len(shape)]:
        raise ValueError(
            f"interpolate: mode {mode!r} does not fit an input of {len(shape)} axes; "
            f"choose one of {', '.join(MODES[len(shape)])}"
        )
    if align_corners is not None and mode in ("nearest", "area"):
        raise ValueError(f"interpolate: align_corners has no meaning with mode {mode!r}; leave it out")
    size, factor = _sizes(shape[2:], size, scale_factor, recompute_scale_factor)
    if mode == "area":
        return adaptive_avg_pool1d(input, size) if len(shape) == 3 else adaptive_avg_pool2d(input, size)
    if len(shape) == 4:
        return Resize.apply(input, size, mode, bool(align_corners), factor)
    mode = "bilinear" if mode == "linear" else mode
    y = Resize.apply(input.unsqueeze(2), (1, *size), mode, bool(align_corners), (None, *factor))
    return y.squeeze(2)


upsample = interpolate


def _sizes(shape, size, scale_factor, recompute):
    """(output sizes, factors): one number an axis; the factors are None where the sizes decide."""
    if (size is None) == (scale_factor is None):
        raise ValueError("interpolate: give either size or scale_factor")
    given = size if scale_factor is None else scale_factor
    values = tuple(given) if isinstance(given, (tuple, list)) else (given,) * len(shape)
    if len(values) != len(shape):
        raise ValueError(f"interpolate: {given!r} must be one number or {len(shape)}")
    if scale_factor is None:
        return values, (None,) * len(shape)
    return tuple(floor(n * f) for n, f in zip(shape, values, strict=True)), (None,) * len(
        shape
    ) if recompute else values


def pixel_shuffle(input, upscale_factor):
    """(..., C r^2, H, W) -> (..., C, H r, W r): channels become r x r blocks of pixels."""
    *batch, C, H, W = input.array.shape
    r = upscale_factor
    if r < 1 or C % (r * r):
        raise RuntimeError(f"pixel_shuffle: {C} channels must be a multiple of upscale_factor squared ({r * r})")
    n = len(batch)
    blocks = input.reshape(*batch, C // (r * r), r, r, H, W)
    order = (*range(n), n, n + 3, n + 1, n + 4, n + 2)  # (..., C, H, r, W, r)
    return blocks.permute(*order).reshape(*batch, C // (r * r), H * r, W * r)


def pixel_unshuffle(input, downscale_factor):
    """(..., C, H r, W r) -> (..., C r^2, H, W): the inverse of pixel_shuffle."""
    *batch, C, H, W = input.array.shape
    r = downscale_factor
    if r < 1 or H % r or W % r:
        raise RuntimeError(f"pixel_unshuffle: height {H} and width {W} must be multiples of downscale_factor {r}")
    n = len(batch)
    blocks = input.reshape(*batch, C, H // r, r, W // r, r)
    order = (*range(n), n, n + 2, n + 4, n + 1, n + 3)  # (..., C, r, r, H, W)
    return blocks.permute(*order).reshape(*batch, C * r * r, H // r, W // r)
