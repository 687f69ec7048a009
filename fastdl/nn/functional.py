"""F.conv2d, F.relu, F.cross_entropy, ...: the functions of fastdl.ops under torch.nn.functional's names; no code."""

# ruff: noqa: F401
from fastdl.ops.activation import (
    celu,
    elu,
    gelu,
    glu,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    logsigmoid,
    mish,
    prelu,
    relu,
    relu6,
    selu,
    silu,
    softplus,
    softshrink,
    softsign,
    tanhshrink,
    threshold,
)
from fastdl.ops.attention import scaled_dot_product_attention
from fastdl.ops.conv import conv1d, conv2d, conv_transpose1d, conv_transpose2d
from fastdl.ops.dropout import alpha_dropout, dropout, dropout1d, dropout2d, dropout3d, feature_alpha_dropout
from fastdl.ops.embedding import embedding
from fastdl.ops.index import one_hot
from fastdl.ops.matmul import linear
from fastdl.ops.pool import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    avg_pool1d,
    avg_pool2d,
    lp_pool1d,
    lp_pool2d,
    max_pool1d,
    max_pool2d,
    max_unpool1d,
    max_unpool2d,
)
from fastdl.ops.resize import interpolate, pixel_shuffle, pixel_unshuffle, upsample
from fastdl.ops.shape import pad
from fastdl.ops.unary import sigmoid, tanh
