"""fastdl: a lightweight deep-learning framework for CPUs.

cli, study, recipes -> models, train, io, metrics -> nn, optim, data -> operators, ops -> autograd
                                                                        ops -> kernels -> _native -> csrc
"""

import importlib

from fastdl import operators as _operators  # binds the operators and methods of Tensor
from fastdl.autograd import (
    Function,
    Tensor,
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from fastdl.ops._dtypes import (
    bool_ as bool,
)
from fastdl.ops._dtypes import (
    double,
    float16,
    float32,
    float64,
    get_default_dtype,
    half,
    int8,
    int16,
    int32,
    int64,
    long,
    promote_types,
    result_type,
    set_default_dtype,
    short,
    uint8,
)
from fastdl.ops._dtypes import (
    float_ as float,
)
from fastdl.ops._dtypes import (
    int_ as int,
)
from fastdl.ops.activation import celu, relu, selu
from fastdl.ops.convert import clone, from_dlpack, is_floating_point, is_tensor, numel
from fastdl.ops.creation import (
    arange,
    as_tensor,
    asarray,
    empty,
    empty_like,
    eye,
    from_numpy,
    full,
    full_like,
    linspace,
    logspace,
    ones,
    ones_like,
    tensor,
    tril_indices,
    triu_indices,
    zeros,
    zeros_like,
)
from fastdl.ops.elementwise import (
    add,
    addcdiv,
    addcmul,
    allclose,
    atan2,
    bitwise_and,
    bitwise_left_shift,
    bitwise_not,
    bitwise_or,
    bitwise_right_shift,
    bitwise_xor,
    clamp,
    div,
    eq,
    equal,
    floor_divide,
    fmod,
    ge,
    gt,
    isclose,
    le,
    lerp,
    logaddexp,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    lt,
    maximum,
    minimum,
    mul,
    ne,
    pow,
    remainder,
    sub,
    where,
)
from fastdl.ops.index import (
    gather,
    index_add,
    index_copy,
    index_fill,
    index_select,
    masked_fill,
    masked_select,
    nonzero,
    scatter,
    scatter_add,
    take,
    take_along_dim,
)
from fastdl.ops.linalg import addmm, addmv, baddbmm, bmm, dot, einsum, mm, mv, outer, trace
from fastdl.ops.matmul import matmul
from fastdl.ops.random import (
    Generator,
    bernoulli,
    multinomial,
    normal,
    rand,
    rand_like,
    randint,
    randint_like,
    randn,
    randn_like,
    randperm,
)
from fastdl.ops.reduce import (
    all,
    amax,
    amin,
    any,
    argmax,
    argmin,
    count_nonzero,
    cumprod,
    cumsum,
    logsumexp,
    max,
    mean,
    median,
    min,
    norm,
    prod,
    std,
    std_mean,
    sum,
    var,
    var_mean,
)
from fastdl.ops.shape import (
    broadcast_tensors,
    broadcast_to,
    cat,
    chunk,
    diag,
    diagonal,
    flatten,
    flip,
    hstack,
    meshgrid,
    movedim,
    narrow,
    permute,
    ravel,
    repeat_interleave,
    reshape,
    roll,
    select,
    split,
    squeeze,
    stack,
    t,
    tile,
    transpose,
    tril,
    triu,
    unbind,
    unflatten,
    unsqueeze,
    vstack,
)
from fastdl.ops.sorting import argsort, bincount, bucketize, isin, kthvalue, searchsorted, sort, topk, unique
from fastdl.ops.unary import (
    abs,
    acos,
    acosh,
    asin,
    asinh,
    atan,
    atanh,
    ceil,
    cos,
    cosh,
    erf,
    erfc,
    erfinv,
    exp,
    exp2,
    expm1,
    floor,
    frac,
    isfinite,
    isinf,
    isnan,
    log,
    log1p,
    log2,
    log10,
    logit,
    nan_to_num,
    neg,
    reciprocal,
    round,
    rsqrt,
    sigmoid,
    sign,
    sin,
    sinh,
    sqrt,
    square,
    tan,
    tanh,
    trunc,
)

from fastdl.kernels import conv_algorithm, set_conv_algorithm, use
from fastdl.random import fork_rng, get_rng_state, initial_seed, manual_seed, set_rng_state
from fastdl.threads import get_num_threads, set_num_threads

__version__ = "0.1.0"

clip = clamp
concat = concatenate = cat
swapaxes = transpose
inf = float64.type("inf").item()
nan = float64.type("nan").item()
pi = 3.141592653589793
e = 2.718281828459045

# Imported on first use, so that `import fastdl` stays cheap and `fastdl.nn.Linear` needs no import of its own.
_LAZY = (
    "autograd", "cli", "config", "data", "detection", "distributions", "io", "kernels", "metrics", "models", "nn", "ops", "optim",
    "recipes", "rl", "selection", "sklearn", "study", "testing", "train",
)  # fmt: skip


def __getattr__(name):
    if name in _LAZY:
        return importlib.import_module("fastdl." + name)
    if name in ("save", "load"):
        return getattr(importlib.import_module("fastdl.io"), name)
    if name == "summary":
        return importlib.import_module("fastdl._summary").summary
    raise AttributeError(f"module 'fastdl' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *_LAZY, "load", "save", "summary"])
