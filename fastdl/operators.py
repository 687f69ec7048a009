"""The one table that binds functions of fastdl/ops to Tensor: operators, methods and properties."""

import numpy as np

from fastdl.autograd import Tensor, add_gradients_with, memory_owners
from fastdl.ops import (
    activation,
    convert,
    creation,
    elementwise,
    index,
    inplace,
    linalg,
    matmul,
    random,
    reduce,
    shape,
    sorting,
    unary,
)

OPERATORS = {
    "add": elementwise.add, "radd": elementwise.add, "sub": elementwise.sub, "rsub": elementwise.rsub,
    "mul": elementwise.mul, "rmul": elementwise.mul, "truediv": elementwise.div, "rtruediv": elementwise.rdiv,
    "floordiv": elementwise.floor_divide, "rfloordiv": elementwise.rfloordiv,
    "mod": elementwise.remainder, "rmod": elementwise.rmod, "pow": elementwise.pow, "rpow": elementwise.rpow,
    "matmul": matmul.matmul, "rmatmul": matmul.rmatmul, "neg": unary.neg, "abs": unary.abs,
    "lt": elementwise.lt, "le": elementwise.le, "gt": elementwise.gt,
    "ge": elementwise.ge, "invert": elementwise.bitwise_not,
    "and": elementwise.bitwise_and, "rand": elementwise.bitwise_and,
    "or": elementwise.bitwise_or, "ror": elementwise.bitwise_or,
    "xor": elementwise.bitwise_xor, "rxor": elementwise.bitwise_xor,
    "lshift": elementwise.bitwise_left_shift, "rshift": elementwise.bitwise_right_shift,
    "getitem": index.getitem, "setitem": index.setitem, "len": convert.length, "iter": convert.iterate,
    "contains": convert.contains, "bool": convert.truth, "float": convert.as_float, "int": convert.as_int,
    "index": convert.as_index, "repr": convert.representation, "format": convert.formatted,
    "array": convert.to_array, "dlpack": convert.to_dlpack, "dlpack_device": convert.dlpack_device,
}  # fmt: skip

METHODS = {
    elementwise: """add sub mul div floor_divide fmod remainder pow maximum minimum atan2 logaddexp clamp lerp
        addcmul addcdiv eq ne lt le gt ge logical_and logical_or logical_xor logical_not bitwise_and
        bitwise_or bitwise_xor bitwise_not isclose allclose equal""",
    unary: """neg abs square sign floor ceil trunc frac round exp exp2 expm1 log log2 log10 log1p sqrt rsqrt reciprocal
        sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh sigmoid erf erfc erfinv logit
        isnan isinf isfinite nan_to_num""",
    activation: "relu",
    reduce: """sum mean var std prod max min amax amin argmax argmin any all count_nonzero median logsumexp norm cumsum
        cumprod sum_to_size""",
    shape: """reshape view view_as flatten unflatten squeeze unsqueeze permute transpose t movedim expand expand_as
        broadcast_to repeat tile repeat_interleave narrow split chunk unbind select flip roll tril triu diagonal diag
        unfold ravel""",
    index: """gather scatter scatter_add take_along_dim index_select index_add index_copy index_fill masked_fill
        masked_select take nonzero""",
    sorting: "argsort sort topk kthvalue unique bincount",
    matmul: "matmul",
    linalg: "mm bmm mv dot outer addmm addmv baddbmm trace",
    convert: """to half float double char short int long byte bool type_as clone contiguous is_contiguous cpu numel dim
        size stride element_size is_floating_point item tolist numpy""",
    creation: "new_zeros new_ones new_empty new_full new_tensor",
    random: "bernoulli multinomial uniform_ normal_ bernoulli_ random_ exponential_",
    inplace: "zero_ fill_ copy_ fill_diagonal_",
}

ALIASES = {
    "subtract": "sub", "multiply": "mul", "divide": "div", "true_divide": "div", "negative": "neg", "absolute": "abs",
    "greater": "gt", "greater_equal": "ge", "less": "lt", "less_equal": "le", "not_equal": "ne", "clip": "clamp",
    "swapaxes": "transpose", "swapdims": "transpose", "moveaxis": "movedim", "arctan2": "atan2", "arcsin": "asin",
    "arccos": "acos", "arctan": "atan", "fix": "trunc", "ndimension": "dim", "nelement": "numel",
}  # fmt: skip

PROPERTIES = {
    "T": shape.T, "mT": shape.mT, "ndim": convert.dim, "device": convert.device, "nbytes": convert.nbytes,
    "itemsize": convert.element_size,
}  # fmt: skip

DIRECT = {  # in-place arithmetic: the ufunc that may write directly, and the operator x += y it serves
    "add": ("add", "iadd"), "sub": ("subtract", "isub"),
    "mul": ("multiply", "imul"), "div": ("true_divide", "itruediv"),
}  # fmt: skip

IN_PLACE = """pow clamp floor_divide remainder fmod lerp addcmul addcdiv neg abs square sign floor ceil trunc round exp
    log log1p sqrt rsqrt reciprocal sin cos tanh sigmoid erf relu masked_fill scatter scatter_add index_add index_copy
    index_fill tril triu logical_not bitwise_and bitwise_or bitwise_xor cumsum nan_to_num addmm baddbmm""".split()


def equals(self, other):
    """x == other; with something that is no number, Python compares identities."""
    return elementwise.eq(self, other) if isinstance(other, COMPARABLE) else NotImplemented


def differs(self, other):
    """x != other; with something that is no number, Python compares identities."""
    return elementwise.ne(self, other) if isinstance(other, COMPARABLE) else NotImplemented


def where(self, condition, other):
    """x.where(condition, other): x where the condition holds, else other."""
    return elementwise.where(condition, self, other)


COMPARABLE = (Tensor, int, float, np.generic, np.ndarray)


def _bind():
    for name, function in OPERATORS.items():
        setattr(Tensor, f"__{name}__", function)
    for module, names in METHODS.items():
        for name in names.split():
            setattr(Tensor, name, getattr(module, name))
    for alias, name in ALIASES.items():
        setattr(Tensor, alias, getattr(Tensor, name))
    for name, function in PROPERTIES.items():
        setattr(Tensor, name, property(function, doc=function.__doc__))
    for name, (ufunc, operator) in DIRECT.items():
        form = inplace.arithmetic_in_place(getattr(elementwise, name), getattr(np, ufunc), name + "_")
        setattr(Tensor, name + "_", form)
        setattr(Tensor, f"__{operator}__", form)
    for name in IN_PLACE:
        setattr(Tensor, name + "_", inplace.in_place(getattr(Tensor, name), name + "_"))
    for operator, name in {"ipow": "pow_", "ifloordiv": "floor_divide_", "imod": "remainder_", "iand": "bitwise_and_",
                           "ior": "bitwise_or_", "ixor": "bitwise_xor_"}.items():  # fmt: skip
        setattr(Tensor, f"__{operator}__", getattr(Tensor, name))
    Tensor.clip_ = Tensor.clamp_
    Tensor.where = where
    Tensor.__eq__, Tensor.__ne__ = equals, differs


_bind()
add_gradients_with(elementwise.add_arrays)
try:
    from fastdl._native import PoolBlock

    memory_owners.add(PoolBlock)
except ImportError:  # no compiled kernels in this install
    pass
