"""Sizes and checks of convolution and deconvolution: one cached function each, so that a call pays for a look-up.

Sizes  N batch   C, O channels in and out   H, W input   KH, KW filter   OH, OW output
"""

from functools import lru_cache
from typing import NamedTuple

from fastdl.kernels._shapes import pair

ACTS = (None, "relu")


class Geometry(NamedTuple):
    """What the rungs need: pairs (height, width), padding (top, left); the rest follows from the arrays' shapes."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    out_shape: tuple[int, int, int, int]


def four_paddings(value, layer: str) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) from one integer, (height, width), or all four."""
    if isinstance(value, tuple) and len(value) == 4:
        (top, bottom), (left, right) = pair(value[:2], "padding", layer), pair(value[2:], "padding", layer)
        return top, bottom, left, right
    height, width = pair(value, "padding", layer)
    return height, height, width, width


def _check_shapes(layer, x_shape, w_shape, w_axes):
    if len(x_shape) != 4:
        raise ValueError(f"{layer}: x must have 4 axes (N, C, H, W); got shape {x_shape}")
    if len(w_shape) != 4:
        raise ValueError(f"{layer}: w must have 4 axes {w_axes}; got shape {w_shape}")
    if 0 in w_shape[2:]:
        raise ValueError(f"{layer}: the filter must not be empty; w has shape {w_shape}")


def _check_groups(layer, groups, **channels):
    if not isinstance(groups, int) or groups < 1:
        raise ValueError(f"{layer}: groups must be an integer, at least 1; got {groups!r}")
    for name, count in channels.items():
        if count % groups:
            raise ValueError(f"{layer}: {count} {name} channels cannot be split into {groups} equal groups")


@lru_cache(4096)
def _conv(x_shape, w_shape, stride, padding, dilation, groups):
    layer = "conv2d"
    _check_shapes(layer, x_shape, w_shape, "(O, C/groups, KH, KW)")
    (N, C, H, W), (O, Cg, KH, KW) = x_shape, w_shape
    _check_groups(layer, groups, input=C, output=O)
    if Cg * groups != C:
        raise ValueError(
            f"{layer}: x has {C} channels, but w of shape {w_shape} with groups={groups} expects {Cg * groups}; "
            f"is x (N, C, H, W)?"
        )
    sh, sw = pair(stride, "stride", layer, 1)
    dh, dw = pair(dilation, "dilation", layer, 1)
    top, bottom, left, right = four_paddings(padding, layer)
    reach_h, reach_w = dh * (KH - 1) + 1, dw * (KW - 1) + 1
    if H + top + bottom < reach_h or W + left + right < reach_w:
        raise ValueError(
            f"{layer}: the filter covers {reach_h} x {reach_w} pixels, more than the padded input has "
            f"({H + top + bottom} x {W + left + right})"
        )
    OH = (H + top + bottom - reach_h) // sh + 1
    OW = (W + left + right - reach_w) // sw + 1
    return Geometry((sh, sw), (top, left), (dh, dw), groups, (N, O, OH, OW))


@lru_cache(4096)
def _deconv(x_shape, w_shape, stride, padding, output_padding, dilation, groups):
    layer = "deconv2d"
    _check_shapes(layer, x_shape, w_shape, "(C, O/groups, KH, KW)")
    (N, C, H, W), (wC, Og, KH, KW) = x_shape, w_shape
    _check_groups(layer, groups, input=C)
    if wC != C:
        raise ValueError(f"{layer}: x has {C} channels, but w of shape {w_shape} expects {wC}; is x (N, C, H, W)?")
    sh, sw = pair(stride, "stride", layer, 1)
    dh, dw = pair(dilation, "dilation", layer, 1)
    oph, opw = pair(output_padding, "output_padding", layer)
    if oph >= max(sh, dh) or opw >= max(sw, dw):
        raise ValueError(
            f"{layer}: output_padding {oph, opw} must be smaller than the stride {sh, sw} or the dilation {dh, dw}"
        )
    top, bottom, left, right = four_paddings(padding, layer)
    OH = (H - 1) * sh - top - bottom + dh * (KH - 1) + oph + 1
    OW = (W - 1) * sw - left - right + dw * (KW - 1) + opw + 1
    if OH < 1 or OW < 1:
        raise ValueError(f"{layer}: the output would have {OH} x {OW} pixels; input {H} x {W}, padding {padding}")
    return Geometry((sh, sw), (top, left), (dh, dw), groups, (N, Og * groups, OH, OW))


def _hashable(value):
    return tuple(value) if isinstance(value, list) else value


def conv_geometry(x_shape, w_shape, stride, padding, dilation, groups) -> Geometry:
    """Checks the shapes of a convolution and computes its output's."""
    try:
        return _conv(x_shape, w_shape, stride, padding, dilation, groups)
    except TypeError:  # a list among the arguments
        return _conv(*map(_hashable, (x_shape, w_shape, stride, padding, dilation, groups)))


def deconv_geometry(x_shape, w_shape, stride, padding, output_padding, dilation, groups) -> Geometry:
    """Checks the shapes of a deconvolution and computes its output's."""
    try:
        return _deconv(x_shape, w_shape, stride, padding, output_padding, dilation, groups)
    except TypeError:
        return _deconv(*map(_hashable, (x_shape, w_shape, stride, padding, output_padding, dilation, groups)))


def check_bias(layer, b, channels):
    if b is not None and b.shape != (channels,):
        raise ValueError(f"{layer}: bias must have shape ({channels},), one for each output channel; got {b.shape}")


def check_act(layer, act):
    if act not in ACTS:
        raise ValueError(f"{layer}: act must be None or 'relu'; got {act!r}")


def check_grad(layer, dy, shape):
    if dy.shape != shape:
        raise ValueError(f"{layer}: dy must have the shape of the output, {shape}; got {dy.shape}")
