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
    maxout,
    mish,
    prelu,
    relu,
    relu6,
    rrelu,
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
from fastdl.ops.ctc import ctc_loss
from fastdl.ops.dropout import (
    alpha_dropout,
    dropout,
    dropout1d,
    dropout2d,
    dropout3d,
    feature_alpha_dropout,
    stochastic_depth,
)
from fastdl.ops.embedding import embedding
from fastdl.ops.index import one_hot
from fastdl.ops.loss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cosine_embedding_loss,
    cosine_similarity,
    cross_entropy,
    gaussian_nll_loss,
    hinge_embedding_loss,
    huber_loss,
    kl_div,
    l1_loss,
    margin_ranking_loss,
    mse_loss,
    multi_margin_loss,
    nll_loss,
    pairwise_distance,
    poisson_nll_loss,
    smooth_l1_loss,
    soft_margin_loss,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)
from fastdl.ops.loss_multilabel import multilabel_margin_loss, multilabel_soft_margin_loss, sigmoid_focal_loss
from fastdl.ops.matmul import bilinear, linear
from fastdl.ops.norm import (
    batch_norm,
    group_norm,
    instance_norm,
    layer_norm,
    local_response_norm,
    normalize,
    rms_norm,
)
from fastdl.ops.pad import pad
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
from fastdl.ops.softmax import log_softmax, softmax, softmin
from fastdl.ops.unary import sigmoid, tanh
