"""Convolution and deconvolution (transposed convolution) in one and two dimensions.

The gradient of a convolution in x is a deconvolution, that of a deconvolution a convolution, and the weight gradients
are functions of their own whose gradients are again these. So five short classes serve every order of derivative.
"""

from fastdl.autograd import Function, Tensor
from fastdl.kernels._conv_shapes import deconv_geometry, four_paddings
from fastdl.kernels._shapes import pair
from fastdl.kernels.conv2d import conv2d_backward_w, conv2d_forward
from fastdl.kernels.deconv2d import deconv2d_backward_w, deconv2d_backward_x, deconv2d_forward
from fastdl.ops.activation import relu_gradient
from fastdl.ops.shape import squeeze, unsqueeze


class Conv2d(Function):
    """y (N, O, OH, OW) = act(convolution of x (N, C, H, W) with w (O, C/groups, KH, KW), plus b (O,) or None).

    `window` is the kernel's (stride, padding, dilation, groups); act is None or "relu".
    """

    @staticmethod
    def forward(ctx, x, w, b, window, act=None):
        y = Tensor(conv2d_forward(x.array, w.array, None if b is None else b.array, *window, act))
        if ctx.recording:
            ctx.save_for_backward(x, w, None if act is None else y)
            ctx.window = window
        return y

    @staticmethod
    def backward(ctx, dy):
        x, w, y = ctx.saved_tensors
        need_x, need_w, need_b, *_ = ctx.needs_input_grad
        if y is not None:
            dy = relu_gradient(dy, y)
        dx = Deconv2d.apply(dy, w, None, x.array.shape, ctx.window) if need_x else None
        dw, db = _weight_gradients(Conv2dWeight, dy, x, w.array.shape, ctx.window, need_w, need_b)
        return dx, dw, db, None, None


class Conv2dWeight(Function):
    """(dw, db) of a convolution; db is None unless wanted. Linear in dy and in x."""

    @staticmethod
    def forward(ctx, dy, x, w_shape, window, want_bias):
        if ctx.recording:
            ctx.save_for_backward(dy, x)
            ctx.window = window
            ctx.set_materialize_grads(False)
        result = conv2d_backward_w(dy.array, x.array, w_shape, *window, want_bias)
        return (Tensor(result[0]), Tensor(result[1])) if want_bias else Tensor(result)

    @staticmethod
    def backward(ctx, ddw, ddb=None):
        dy, x = ctx.saved_tensors
        need_dy, need_x, *_ = ctx.needs_input_grad
        g_dy = g_x = None
        if ddw is not None:
            g_dy = Conv2d.apply(x, ddw, ddb, ctx.window) if need_dy else None
            g_x = Deconv2d.apply(dy, ddw, None, x.array.shape, ctx.window) if need_x else None
        elif ddb is not None and need_dy:
            g_dy = _per_channel(ddb, dy)
        return g_dy, g_x, None, None, None


class Deconv2d(Function):
    """y (N, O, OH, OW) = deconvolution of x (N, C, H, W) with w (C, O/groups, KH, KW), plus b (O,) or None.

    It is the gradient in x of the convolution of `window` whose input has y's shape.
    """

    @staticmethod
    def forward(ctx, x, w, b, y_shape, window):
        if ctx.recording:
            ctx.save_for_backward(x, w)
            ctx.window = window
        given = _deconv(x.array.shape, w.array.shape, y_shape, window)
        return Tensor(deconv2d_forward(x.array, w.array, None if b is None else b.array, **given))

    @staticmethod
    def backward(ctx, dy):
        x, w = ctx.saved_tensors
        need_x, need_w, need_b, *_ = ctx.needs_input_grad
        dx = Deconv2dInput.apply(dy, w, x.array.shape, ctx.window) if need_x else None
        dw, db = _weight_gradients(Deconv2dWeight, dy, x, w.array.shape, ctx.window, need_w, need_b)
        return dx, dw, db, None, None


class Deconv2dInput(Function):
    """dx of a deconvolution: the convolution of dy with w, of which only x's shape is kept."""

    @staticmethod
    def forward(ctx, dy, w, x_shape, window):
        if ctx.recording:
            ctx.save_for_backward(dy, w)
            ctx.window = window
        given = _deconv(x_shape, w.array.shape, dy.array.shape, window)
        return Tensor(deconv2d_backward_x(dy.array, w.array, x_shape, **given))

    @staticmethod
    def backward(ctx, ddx):
        dy, w = ctx.saved_tensors
        need_dy, need_w, *_ = ctx.needs_input_grad
        g_dy = Deconv2d.apply(ddx, w, None, dy.array.shape, ctx.window) if need_dy else None
        g_w = Deconv2dWeight.apply(dy, ddx, w.array.shape, ctx.window, False) if need_w else None
        return g_dy, g_w, None, None


class Deconv2dWeight(Function):
    """(dw, db) of a deconvolution; db is None unless wanted. Linear in dy and in x."""

    @staticmethod
    def forward(ctx, dy, x, w_shape, window, want_bias):
        if ctx.recording:
            ctx.save_for_backward(dy, x)
            ctx.window = window
            ctx.set_materialize_grads(False)
        given = _deconv(x.array.shape, w_shape, dy.array.shape, window)
        result = deconv2d_backward_w(dy.array, x.array, w_shape, **given, want_bias=want_bias)
        return (Tensor(result[0]), Tensor(result[1])) if want_bias else Tensor(result)

    @staticmethod
    def backward(ctx, ddw, ddb=None):
        dy, x = ctx.saved_tensors
        need_dy, need_x, *_ = ctx.needs_input_grad
        g_dy = g_x = None
        if ddw is not None:
            g_dy = Deconv2d.apply(x, ddw, ddb, dy.array.shape, ctx.window) if need_dy else None
            g_x = Deconv2dInput.apply(dy, ddw, x.array.shape, ctx.window) if need_x else None
        elif ddb is not None and need_dy:
            g_dy = _per_channel(ddb, dy)
        return g_dy, g_x, None, None, None


def _weight_gradients(weight, dy, x, w_shape, window, need_w, need_b):
    """(dw, db), each None where it is not needed."""
    if need_w and need_b:
        return weight.apply(dy, x, w_shape, window, True)
    if need_w:
        return weight.apply(dy, x, w_shape, window, False), None
    return None, dy.sum((0, 2, 3)) if need_b else None


def _per_channel(b, like):
    """b (O,) spread over the shape (N, O, H, W) of `like`."""
    return b.reshape(1, -1, 1, 1).expand(like.array.shape)


def _deconv(x_shape, w_shape, y_shape, window):
    """The keywords of the deconvolution kernels for a result of y_shape."""
    stride, (top, bottom, left, right), dilation, groups = window
    extra = tuple(
        y - ((x - 1) * s - p + d * (k - 1) + 1)
        for y, x, s, p, d, k in zip(
            y_shape[2:], x_shape[2:], stride, (top + bottom, left + right), dilation, w_shape[2:], strict=True
        )
    )
    return {
        "stride": stride,
        "padding": (top, bottom, left, right),
        "output_padding": extra,
        "groups": groups,
        "dilation": dilation,
    }


def _same_padding(w_shape, stride, dilation):
    """The four paddings that keep the size of the input; one more below and to the right where the sum is odd."""
    if stride != (1, 1):
        raise ValueError(f"conv2d: padding='same' needs stride 1; got {stride}")
    (KH, KW), (DH, DW) = w_shape[2:], dilation
    height, width = DH * (KH - 1), DW * (KW - 1)
    return height // 2, height - height // 2, width // 2, width - width // 2


def _window(op, w_shape, stride, padding, dilation, groups):
    stride, dilation = pair(stride, "stride", op, 1), pair(dilation, "dilation", op, 1)
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise ValueError(f"{op}: padding must be numbers, 'same' or 'valid'; got {padding!r}")
        padding = _same_padding(w_shape, stride, dilation) if padding == "same" else (0, 0, 0, 0)
    else:
        padding = four_paddings(tuple(padding) if isinstance(padding, list) else padding, op)
    return stride, padding, dilation, groups


def _batched(op, input, axes):
    """Adds the batch axis if it is missing; whether it was."""
    ndim = input.array.ndim
    if ndim == axes - 1:
        return unsqueeze(input, 0), True
    if ndim != axes:
        raise ValueError(f"{op}: input must have {axes} axes, or {axes - 1} without a batch; got shape {input.shape}")
    return input, False


def conv2d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, act=None):
    """Convolution (cross-correlation) of images.

    Shapes: input (N, C, H, W) or (C, H, W), weight (O, C/groups, KH, KW), bias (O,) or None; result (N, O, OH, OW) with
    OH = (H + 2 padding - dilation (KH - 1) - 1) // stride + 1. stride and dilation: one integer or (height, width);
    padding also (top, bottom, left, right), "same" (stride 1) or "valid". The result is channels-last in memory.
    act, beyond torch, is None or "relu", applied before the result is stored.
    """
    x, single = _batched("conv2d", input, 4)
    y = Conv2d.apply(x, weight, bias, _window("conv2d", weight.array.shape, stride, padding, dilation, groups), act)
    return squeeze(y, 0) if single else y


def conv_transpose2d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """Transposed convolution of images: the adjoint of conv2d in its input.

    Shapes: input (N, C, H, W) or (C, H, W), weight (C, O/groups, KH, KW), bias (O,) or None; result (N, O, OH, OW) with
    OH = (H - 1) stride - 2 padding + dilation (KH - 1) + output_padding + 1. The result is channels-last in memory.
    """
    x, single = _batched("conv_transpose2d", input, 4)
    window = stride, padding, dilation, groups = _window(
        "conv_transpose2d", weight.array.shape, stride, padding, dilation, groups
    )
    extra = pair(output_padding, "output_padding", "conv_transpose2d")
    y_shape = deconv_geometry(x.array.shape, weight.array.shape, stride, padding, extra, dilation, groups).out_shape
    y = Deconv2d.apply(x, weight, bias, y_shape, window)
    return squeeze(y, 0) if single else y


def _one(value, name, op):
    """The single integer of a one-dimensional setting, (1,) and 1 alike."""
    if isinstance(value, (tuple, list)):
        if len(value) != 1:
            raise ValueError(f"{op}: {name} must be one integer; got {value!r}")
        return value[0]
    return value


def conv1d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """Convolution of sequences.

    Shapes: input (N, C, L) or (C, L), weight (O, C/groups, K), bias (O,) or None; result (N, O, OL). padding: an integer,
    (left, right), "same" (stride 1) or "valid".
    """
    x, single = _batched("conv1d", input, 3)
    if not isinstance(padding, str):
        two = isinstance(padding, (tuple, list)) and len(padding) == 2
        padding = (0, 0, *(padding if two else (_one(padding, "padding", "conv1d"),) * 2))
    stride, dilation = (1, _one(stride, "stride", "conv1d")), (1, _one(dilation, "dilation", "conv1d"))
    y = conv2d(unsqueeze(x, 2), _with_row(weight, "conv1d"), bias, stride, padding, dilation, groups)
    y = squeeze(y, 2)  # (N, O, 1, OL) -> (N, O, OL)
    return squeeze(y, 0) if single else y


def conv_transpose1d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """Transposed convolution of sequences: the adjoint of conv1d in its input.

    Shapes: input (N, C, L) or (C, L), weight (C, O/groups, K), bias (O,) or None; result (N, O, OL) with
    OL = (L - 1) stride - 2 padding + dilation (K - 1) + output_padding + 1.
    """
    op = "conv_transpose1d"
    x, single = _batched(op, input, 3)
    y = conv_transpose2d(
        unsqueeze(x, 2),
        _with_row(weight, op),
        bias,
        (1, _one(stride, "stride", op)),
        (0, _one(padding, "padding", op)),
        (0, _one(output_padding, "output_padding", op)),
        groups,
        (1, _one(dilation, "dilation", op)),
    )
    y = squeeze(y, 2)
    return squeeze(y, 0) if single else y


def _with_row(weight, op):
    """weight (.., .., K) as (.., .., 1, K)."""
    if weight.array.ndim != 3:
        raise ValueError(f"{op}: weight must have 3 axes; got shape {weight.shape}")
    return unsqueeze(weight, 2)
