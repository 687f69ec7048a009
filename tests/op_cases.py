"""Every op once or more, in one table: gradient tests, torch comparison and layout tests all read it.

The call is written once, as a function of a module: with fastdl it is the thing under test, with torch the reference.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class OpCase:
    name: str
    call: object  # call(module, *tensors)
    inputs: tuple  # "3,4" or "3,4 positive": shape and kind of numbers
    order: int = 2  # up to which derivative it is checked: 0 where there is none
    torch_rtol: float = 1e-9  # how exact torch itself is in float64

    def __str__(self):
        return self.name

    def arrays(self, seed=0, dtype=np.float64):
        rng = np.random.default_rng(seed)
        return [make(spec, rng, dtype) for spec in self.inputs]


def make(spec, rng, dtype=np.float64):
    shape, _, kind = spec.partition(" ")
    shape = tuple(int(n) for n in shape.split(",") if n)
    if kind == "":
        return rng.standard_normal(shape).astype(dtype)
    if kind == "positive":
        return rng.uniform(0.5, 2.0, shape).astype(dtype)
    if kind == "unit":
        return rng.uniform(-0.9, 0.9, shape).astype(dtype)
    if kind == "above1":
        return rng.uniform(1.2, 3.0, shape).astype(dtype)
    if kind == "distinct":  # no two elements closer than a step of finite differences
        return (rng.permutation(int(np.prod(shape))).reshape(shape) * 0.37 - 1.9).astype(dtype)
    if kind == "zeros":  # a few exact zeros
        x = rng.standard_normal(shape).astype(dtype)
        x.reshape(-1)[:: max(2, x.size // 3)] = 0
        return x
    if kind == "bool":
        return rng.random(shape) < 0.5
    if kind.startswith("below"):
        return rng.integers(0, int(kind[5:]), shape)
    if kind == "int":
        return rng.integers(-5, 6, shape)
    raise ValueError(spec)


def F(m):
    """torch.nn.functional, or the module that serves as fastdl's."""
    if m.__name__ == "torch":
        return m.nn.functional
    from fastdl.ops import activation, index
    from fastdl.ops import pad as padding

    class functional:
        pad = staticmethod(padding.pad)
        one_hot = staticmethod(index.one_hot)

        def __getattr__(self, name):
            return getattr(activation, name)

    return functional()


def unary_cases():
    plain = "neg abs square exp exp2 expm1 sin cos tan sinh cosh tanh asinh sigmoid erf erfc atan frac"
    kinds = {
        "": plain,
        "positive": "log log2 log10 log1p sqrt rsqrt reciprocal",
        "unit": "asin acos atanh erfinv",
        "above1": "acosh",
    }
    for kind, names in kinds.items():
        for name in names.split():
            yield OpCase(name, lambda m, x, name=name: getattr(m, name)(x), (f"3,4 {kind}".strip(),))
    for name in "sign floor ceil trunc round".split():
        yield OpCase(name, lambda m, x, name=name: getattr(m, name)(x), ("3,4",), order=1)
    yield OpCase("logit", lambda m, x: m.logit(x.abs(), 0.01), ("3,4 unit",))
    yield OpCase("nan_to_num", lambda m, x: m.nan_to_num(x), ("3,4",))
    for name in "relu leaky_relu elu selu celu gelu silu mish softplus softsign logsigmoid tanhshrink glu".split():
        yield OpCase(name, lambda m, x, name=name: getattr(F(m), name)(x), ("3,4",))
    for name in "relu6 hardtanh hardsigmoid hardswish hardshrink softshrink".split():
        rough = 1e-7 if name == "hardsigmoid" else 1e-9  # torch's 1/6 is a float32
        yield OpCase(name, lambda m, x, name=name: getattr(F(m), name)(x * 3), ("5,4",), torch_rtol=rough)
    yield OpCase("gelu_tanh", lambda m, x: F(m).gelu(x, approximate="tanh"), ("3,4",))
    yield OpCase("elu_alpha", lambda m, x: F(m).elu(x, 0.5), ("3,4",))
    yield OpCase("celu_alpha", lambda m, x: F(m).celu(x, 0.5), ("3,4",))
    yield OpCase("softplus_beta", lambda m, x: F(m).softplus(x, 2.0, 1.5), ("3,4",))
    yield OpCase("threshold", lambda m, x: F(m).threshold(x, 0.1, 20.0), ("3,4",))
    yield OpCase("rrelu", lambda m, x: F(m).rrelu(x, 0.1, 0.4), ("3,4",))
    yield OpCase("hardtanh_limits", lambda m, x: F(m).hardtanh(x, -0.3, 0.6), ("5,4",))
    yield OpCase("hardshrink_lambd", lambda m, x: F(m).hardshrink(x, 0.8), ("5,4",))
    yield OpCase("softshrink_lambd", lambda m, x: F(m).softshrink(x, 0.2), ("5,4",))
    yield OpCase("leaky_relu_slope", lambda m, x: F(m).leaky_relu(x, 0.3), ("3,4",))
    yield OpCase("glu_0", lambda m, x: F(m).glu(x, 0), ("4,3",))
    yield OpCase("prelu", lambda m, x, w: F(m).prelu(x, w), ("2,3,4", "3"))
    yield OpCase("prelu_one", lambda m, x, w: F(m).prelu(x, w), ("2,3,4", "1"))


def binary_cases():
    for name in "add sub mul maximum minimum atan2 logaddexp".split():
        call = lambda m, x, y, name=name: getattr(m, name)(x, y)  # noqa: E731
        yield OpCase(name, call, ("3,4", "3,4"))
        yield OpCase(name + "_broadcast", call, ("3,1,4", "2,1"))
        yield OpCase(name + "_0d", call, ("3,4", ""))
    yield OpCase("div", lambda m, x, y: m.div(x, y), ("3,4", "3,4 positive"))
    yield OpCase("div_broadcast", lambda m, x, y: m.div(x, y), ("4", "3,1 positive"))
    yield OpCase("div_number", lambda m, x: m.div(x, 3.0), ("3,4",))
    yield OpCase("number_div", lambda m, x: 3 / x, ("3,4 positive",))
    yield OpCase("rsub", lambda m, x: 3 - x, ("3,4",))
    yield OpCase("add_alpha", lambda m, x, y: m.add(x, y, alpha=3), ("3,4", "4"))
    yield OpCase("sub_alpha", lambda m, x, y: m.sub(x, y, alpha=0.5), ("3,4", "4"))
    yield OpCase("pow", lambda m, x, y: m.pow(x, y), ("3,4 positive", "3,4"))
    yield OpCase("pow_broadcast", lambda m, x, y: x**y, ("3,1 positive", "4"))
    yield OpCase("rpow", lambda m, x: 2.0**x, ("3,4",))
    for n in (0, 1, 2, 3, 0.5, -1, -2.5):
        yield OpCase(f"pow_{n}", lambda m, x, n=n: x**n, ("3,4 positive",))
    yield OpCase("pow_of_negative", lambda m, x: x**3, ("3,4",))
    yield OpCase("fmod", lambda m, x, y: m.fmod(x * 5, y), ("3,4", "3,4 positive"))
    yield OpCase("remainder", lambda m, x, y: m.remainder(x * 5, y), ("3,4", "3,4 positive"))
    yield OpCase("mod_number", lambda m, x: (x * 5) % 3, ("3,4",))
    yield OpCase("where", lambda m, c, x, y: m.where(c, x, y), ("3,4 bool", "3,1", "4"))
    yield OpCase("where_number", lambda m, c, x: m.where(c, x, 2.0), ("3,4 bool", "3,4"))
    yield OpCase("clamp", lambda m, x: m.clamp(x, -0.5, 0.7), ("5,4",))
    yield OpCase("clamp_min", lambda m, x: m.clamp(x, min=-0.5), ("5,4",))
    yield OpCase("clamp_max", lambda m, x: x.clamp(max=0.5), ("5,4",))
    yield OpCase("clamp_tensors", lambda m, x, a, b: m.clamp(x, a - 1, b + 1), ("5,4", "4", "5,4"))
    yield OpCase("lerp", lambda m, x, y, w: m.lerp(x, y, w), ("3,4", "3,4", "3,4"))
    yield OpCase("lerp_number", lambda m, x, y: m.lerp(x, y, 0.3), ("3,4", "3,4"))
    yield OpCase("addcmul", lambda m, x, y, z: m.addcmul(x, y, z, value=0.5), ("3,4", "3,1", "4"))
    yield OpCase("addcdiv", lambda m, x, y, z: m.addcdiv(x, y, z, value=0.5), ("3,4", "3,1", "4 positive"))
    yield OpCase("to_and_back", lambda m, x: x.to(m.float64) * 2, ("3,4",))
    for name in "eq ne lt le gt ge logical_and logical_or logical_xor".split():
        yield OpCase(name, lambda m, x, y, name=name: getattr(m, name)(x, y), ("3,4 zeros", "4 zeros"), order=0)
    for name in "bitwise_and bitwise_or bitwise_xor".split():
        yield OpCase(name, lambda m, x, y, name=name: getattr(m, name)(x, y), ("3,4 int", "4 int"), order=0)
    yield OpCase("invert", lambda m, x: ~x, ("3,4 bool",), order=0)
    yield OpCase("logical_not", lambda m, x: m.logical_not(x), ("3,4 zeros",), order=0)
    yield OpCase("floor_divide", lambda m, x, y: m.floor_divide(x * 5, y), ("3,4", "4 positive"), order=0)
    yield OpCase("div_trunc", lambda m, x, y: m.div(x, y, rounding_mode="trunc"), ("3,4", "4 above1"), order=1)
    for name in "isnan isinf isfinite".split():
        yield OpCase(name, lambda m, x, name=name: getattr(m, name)(m.log(x)), ("3,4 zeros",), order=0)


def reduce_cases():
    for name in "sum mean".split():
        for label, args in (
            ("", ()),
            ("_0", (0,)),
            ("_keep", (-1, True)),
            ("_pair", ((0, 2),)),
            ("_pair_keep", ((0, -1), True)),
        ):
            yield OpCase(name + label, lambda m, x, name=name, args=args: getattr(m, name)(x, *args), ("2,3,4",))
    for name in "var std".split():
        yield OpCase(name, lambda m, x, name=name: getattr(m, name)(x), ("3,4",))
        yield OpCase(name + "_dim", lambda m, x, name=name: getattr(m, name)(x, 1, keepdim=True), ("3,4",))
        yield OpCase(
            name + "_biased", lambda m, x, name=name: getattr(m, name)(x, dim=(0, 1), unbiased=False), ("3,4",)
        )
        yield OpCase(name + "_correction", lambda m, x, name=name: getattr(m, name)(x, dim=0, correction=0), ("3,4",))
    for label, args in (("", ()), ("_dim", (1,)), ("_keep", (0, True))):
        yield OpCase("prod" + label, lambda m, x, args=args: m.prod(x, *args), ("3,4",))
        yield OpCase("prod_zeros" + label, lambda m, x, args=args: m.prod(x, *args), ("3,4 zeros",))
    for name in "max min amax amin".split():
        yield OpCase(name, lambda m, x, name=name: getattr(m, name)(x), ("3,4 distinct",))
    for name in "max min".split():
        yield OpCase(name + "_dim", lambda m, x, name=name: getattr(m, name)(x, 1), ("3,4 distinct",))
        yield OpCase(name + "_keep", lambda m, x, name=name: getattr(m, name)(x, 0, keepdim=True), ("3,4 distinct",))
        yield OpCase(name + "_other", lambda m, x, y, name=name: getattr(m, name)(x, y), ("3,4", "4"))
    for name in "amax amin".split():
        yield OpCase(name + "_pair", lambda m, x, name=name: getattr(m, name)(x, (0, 2)), ("2,3,4 distinct",))
        yield OpCase(name + "_keep", lambda m, x, name=name: getattr(m, name)(x, 1, keepdim=True), ("3,4 distinct",))
    for name in "argmax argmin".split():
        yield OpCase(name, lambda m, x, name=name: getattr(m, name)(x), ("3,4 distinct",), order=0)
        yield OpCase(
            name + "_dim", lambda m, x, name=name: getattr(m, name)(x, 1, keepdim=True), ("3,4 distinct",), order=0
        )
    for name in "any all".split():
        yield OpCase(name, lambda m, x, name=name: getattr(m, name)(x), ("3,4 bool",), order=0)
        yield OpCase(name + "_dim", lambda m, x, name=name: getattr(m, name)(x, 1), ("3,4 bool",), order=0)
    yield OpCase("count_nonzero", lambda m, x: m.count_nonzero(x, 0), ("3,4 zeros",), order=0)
    yield OpCase("median", lambda m, x: m.median(x), ("3,4 distinct",))
    yield OpCase("median_dim", lambda m, x: m.median(x, 1), ("3,4 distinct",))
    yield OpCase("logsumexp", lambda m, x: m.logsumexp(x, 1), ("3,4",))
    yield OpCase("logsumexp_keep", lambda m, x: m.logsumexp(x * 300, (0, 1), keepdim=True), ("3,4",))
    for p in (2, 1, 3, 0.5, float("inf"), float("-inf")):
        yield OpCase(f"norm_{p}", lambda m, x, p=p: m.norm(x, p), ("3,4 distinct",))
        yield OpCase(f"norm_{p}_dim", lambda m, x, p=p: m.norm(x, p, 1, keepdim=True), ("3,4 distinct",))
    yield OpCase("norm_0", lambda m, x: m.norm(x, 0), ("3,4 zeros",), order=0)
    yield OpCase("cumsum", lambda m, x: m.cumsum(x, 1), ("3,4",))
    yield OpCase("cumsum_0", lambda m, x: m.cumsum(x, 0), ("3,4",))
    yield OpCase("cumprod", lambda m, x: m.cumprod(x, 1), ("3,4",))
    yield OpCase("cumprod_zeros", lambda m, x: m.cumprod(x, 0), ("3,4 zeros",))
    yield OpCase("sum_to_size", lambda m, x: x.sum_to_size(3, 1), ("2,3,4",))


def shape_cases():
    one = ("2,3,4",)
    calls = {
        "reshape": lambda m, x: x.reshape(4, -1),
        "reshape_transposed": lambda m, x: x.transpose(0, 2).reshape(6, 4),
        "view": lambda m, x: x.view(2, 12),
        "flatten": lambda m, x: m.flatten(x, 1),
        "unflatten": lambda m, x: m.unflatten(x, 2, (2, -1)),
        "squeeze": lambda m, x: x.sum(1, keepdim=True).squeeze(),
        "squeeze_dim": lambda m, x: x.sum(1, keepdim=True).squeeze(1),
        "unsqueeze": lambda m, x: m.unsqueeze(x, -1),
        "permute": lambda m, x: m.permute(x, (2, 0, 1)),
        "transpose": lambda m, x: m.transpose(x, 0, -1),
        "mT": lambda m, x: x.mT,
        "movedim": lambda m, x: m.movedim(x, 0, -1),
        "movedim_many": lambda m, x: m.movedim(x, (0, 1), (2, 0)),
        "swapaxes": lambda m, x: m.swapaxes(x, 1, 2),
        "expand": lambda m, x: x[:, :1].expand(5, -1, 3, -1),
        "expand_same": lambda m, x: x.expand(2, 3, 4),
        "broadcast_to": lambda m, x: m.broadcast_to(x, (2, 2, 3, 4)),
        "repeat": lambda m, x: x.repeat(2, 1, 2, 1),
        "tile": lambda m, x: m.tile(x, (2, 3)),
        "repeat_interleave": lambda m, x: m.repeat_interleave(x, 2, 1),
        "repeat_interleave_flat": lambda m, x: m.repeat_interleave(x, 2),
        "split": lambda m, x: m.split(x, 3, 2),
        "split_sizes": lambda m, x: m.split(x, [1, 3], 2)[1],
        "chunk": lambda m, x: m.chunk(x, 2, 1),
        "unbind": lambda m, x: m.unbind(x, 1),
        "narrow": lambda m, x: m.narrow(x, 2, 1, 2),
        "select": lambda m, x: m.select(x, 1, -1),
        "flip": lambda m, x: m.flip(x, (0, 2)),
        "roll": lambda m, x: m.roll(x, (1, -1), (0, 2)),
        "roll_flat": lambda m, x: m.roll(x, 2),
        "tril": lambda m, x: m.tril(x, 1),
        "triu": lambda m, x: m.triu(x),
        "diagonal": lambda m, x: m.diagonal(x, 1, 0, 2),
        "pad": lambda m, x: F(m).pad(x, (1, 2, 0, 1), value=3.0),
        "pad_negative": lambda m, x: F(m).pad(x, (-1, 2, 1, -1)),
        "pad_reflect": lambda m, x: F(m).pad(x, (2, 1), mode="reflect"),
        "pad_replicate": lambda m, x: F(m).pad(x, (2, 1), mode="replicate"),
        "pad_circular": lambda m, x: F(m).pad(x, (2, 1), mode="circular"),
        "pad_reflect_2d": lambda m, x: F(m).pad(x, (2, 1, 1, 0), mode="reflect"),
        "pad_replicate_2d": lambda m, x: F(m).pad(x, (0, 3, 4, 1), mode="replicate"),
        "unfold": lambda m, x: x.unfold(2, 2, 1),
        "unfold_step": lambda m, x: x.unfold(2, 3, 2),
        "clone": lambda m, x: x.clone(),
        "contiguous": lambda m, x: x.transpose(0, 1).contiguous(),
        "ravel": lambda m, x: m.ravel(x),
    }
    for name, call in calls.items():
        yield OpCase(name, call, one)
    yield OpCase("t", lambda m, x: x.t(), ("3,4",))
    yield OpCase("T", lambda m, x: x.T, ("3,4",))
    yield OpCase("diag", lambda m, x: m.diag(x), ("3,4",))
    yield OpCase("diag_of_vector", lambda m, x: m.diag(x, 1), ("3",))
    yield OpCase("cat", lambda m, x, y: m.cat([x, y], 1), ("3,2", "3,4"))
    yield OpCase("cat_twice", lambda m, x: m.cat((x, x), -1), ("3,2",))
    yield OpCase("stack", lambda m, x, y: m.stack([x, y], 1), ("3,2", "3,2"))
    yield OpCase("hstack", lambda m, x, y: m.hstack((x, y)), ("3,2", "3,1"))
    yield OpCase("vstack", lambda m, x, y: m.vstack((x, y)), ("2", "2"))
    yield OpCase("meshgrid", lambda m, x, y: m.meshgrid(x, y, indexing="xy"), ("3", "2"))
    yield OpCase("meshgrid_ij", lambda m, x, y: m.meshgrid(x, y, indexing="ij"), ("3", "2"))
    yield OpCase("broadcast_tensors", lambda m, x, y: m.broadcast_tensors(x, y), ("3,1", "2"))


def index_cases():
    calls = {
        "int": lambda m, x: x[1],
        "negative": lambda m, x: x[-1, :, -2],
        "slice": lambda m, x: x[:, 1:, ::2],
        "ellipsis": lambda m, x: x[..., 1],
        "none": lambda m, x: x[:, None, 1],
        "empty_slice": lambda m, x: x[:, 3:],
        "list": lambda m, x: x[[0, 1, 0]],
        "list_axis1": lambda m, x: x[:, [2, 2]],
        "pair": lambda m, x: x[[0, 1], [2, 0]],
        "apart": lambda m, x: x[[0, 1], :, [2, 0]],
        "0d_tensor": lambda m, x: x[m.tensor(1)],
        "tensor": lambda m, x: x[m.tensor([[0, 1], [1, 1]])],
        "mask": lambda m, x: x[x > 0],
        "mask_axis": lambda m, x: x[m.tensor([True, False])],
        "mask_mixed": lambda m, x: x[:, m.tensor([True, False, True]), 1:],
    }
    for name, call in calls.items():
        yield OpCase("getitem_" + name, call, ("2,3,4",))
    yield OpCase("gather", lambda m, x, i: m.gather(x, 1, i), ("3,4", "3,6 below4"))
    yield OpCase("gather_0", lambda m, x, i: m.gather(x, 0, i), ("3,4", "5,2 below3"))
    yield OpCase("scatter", lambda m, x, i, s: m.scatter(x, 1, m.argsort(i, 1), s), ("3,4", "3,4 below99", "3,4"))
    yield OpCase("scatter_value", lambda m, x, i: m.scatter(x, 1, i, 2.0), ("3,4", "3,1 below4"))
    yield OpCase("scatter_add", lambda m, x, i, s: m.scatter_add(x, 0, i, s), ("3,4", "5,4 below3", "5,4"))
    yield OpCase("take_along_dim", lambda m, x, i: m.take_along_dim(x, i, 1), ("3,4", "1,2 below4"))
    yield OpCase("index_select", lambda m, x, i: m.index_select(x, 1, i), ("3,4", "6 below4"))
    yield OpCase("index_add", lambda m, x, i, s: m.index_add(x, 0, i, s, alpha=2), ("3,4", "5 below3", "5,4"))
    yield OpCase("index_copy", lambda m, x, s: m.index_copy(x, 0, m.tensor([2, 0]), s), ("3,4", "2,4"))
    yield OpCase("index_fill", lambda m, x: m.index_fill(x, 1, m.tensor([2, 0]), 1.5), ("3,4",))
    yield OpCase("masked_fill", lambda m, x, c: m.masked_fill(x, c, 1.5), ("3,4", "4 bool"))
    yield OpCase("masked_select", lambda m, x, c: m.masked_select(x, c), ("3,4", "3,1 bool"))
    yield OpCase("take", lambda m, x, i: m.take(x, i), ("3,4", "2,3 below12"))
    yield OpCase("embedding_like", lambda m, w, i: w[i], ("5,3", "4,10 below5"))
    yield OpCase("sort", lambda m, x: m.sort(x, 1), ("3,4 distinct",))
    yield OpCase("sort_descending", lambda m, x: m.sort(x, 0, True), ("3,4 distinct",))
    yield OpCase("topk", lambda m, x: m.topk(x, 2, 1), ("3,4 distinct",))
    yield OpCase("topk_smallest", lambda m, x: m.topk(x, 2, 0, largest=False), ("3,4 distinct",))
    yield OpCase("topk_long", lambda m, x: m.topk(x, 5, 1), ("2,300 distinct",))
    yield OpCase("kthvalue", lambda m, x: m.kthvalue(x, 2, 1), ("3,4 distinct",))
    yield OpCase("argsort", lambda m, x: m.argsort(x, 0), ("3,4 distinct",), order=0)
    yield OpCase("unique", lambda m, x: m.unique(x, return_inverse=True, return_counts=True), ("3,4 int",), order=0)
    yield OpCase("nonzero", lambda m, x: m.nonzero(x), ("3,4 zeros",), order=0)
    yield OpCase("where_indices", lambda m, x: m.where(x > 0), ("3,4",), order=0)
    yield OpCase("one_hot", lambda m, x: F(m).one_hot(x, 5), ("3,4 below5",), order=0)
    yield OpCase("bincount", lambda m, x: m.bincount(x, minlength=9), ("12 below6",), order=0)
    yield OpCase("searchsorted", lambda m, x, v: m.searchsorted(m.sort(x)[0], v), ("7", "3,4"), order=0)
    yield OpCase("isin", lambda m, x, v: m.isin(x, v), ("3,4 int", "3 int"), order=0)


def linalg_cases():
    shapes = {
        "2x2": ("3,4", "4,5"),
        "1x1": ("4", "4"),
        "1x2": ("4", "4,5"),
        "2x1": ("3,4", "4"),
        "3x2": ("2,3,4", "4,5"),
        "3x1": ("2,3,4", "4"),
        "1x3": ("4", "2,4,5"),
        "2x3": ("3,4", "2,4,5"),
        "3x3": ("2,3,4", "2,4,5"),
        "broadcast": ("2,1,3,4", "3,4,2"),
    }
    for name, inputs in shapes.items():
        yield OpCase("matmul_" + name, lambda m, x, y: m.matmul(x, y), inputs)
    yield OpCase("mm", lambda m, x, y: m.mm(x, y), ("3,4", "4,5"))
    yield OpCase("bmm", lambda m, x, y: m.bmm(x, y), ("2,3,4", "2,4,5"))
    yield OpCase("mv", lambda m, x, y: m.mv(x, y), ("3,4", "4"))
    yield OpCase("dot", lambda m, x, y: m.dot(x, y), ("4", "4"))
    yield OpCase("outer", lambda m, x, y: m.outer(x, y), ("3", "4"))
    yield OpCase("addmm", lambda m, b, x, y: m.addmm(b, x, y, beta=0.5, alpha=2), ("5", "3,4", "4,5"))
    yield OpCase("addmv", lambda m, b, x, y: m.addmv(b, x, y), ("3", "3,4", "4"))
    yield OpCase("baddbmm", lambda m, b, x, y: m.baddbmm(b, x, y, beta=0.5), ("2,3,5", "2,3,4", "2,4,5"))
    yield OpCase("trace", lambda m, x: m.trace(x), ("3,4",))
    equations = {
        "ij,jk->ik": ("3,4", "4,5"),
        "ij,jk": ("3,4", "4,5"),
        "bij,bjk->bik": ("2,3,4", "2,4,5"),
        "bhid,bhjd->bhij": ("2,2,3,4", "2,2,5,4"),
        "ij->ji": ("3,4",),
        "ij->": ("3,4",),
        "ij->j": ("3,4",),
        "ii->i": ("3,3",),
        "ii": ("3,3",),
        "i,j->ij": ("3", "4"),
        "i,i->i": ("3", "3"),
        "i,i": ("3", "3"),
        "...ij,...jk->...ik": ("2,1,3,4", "3,4,2"),
        "...i,...i": ("2,3,4", "4"),
        "ij,jk,kl->il": ("2,3", "3,4", "4,2"),
        "bn,anm,bm->ba": ("2,3", "5,3,4", "2,4"),
        "ij,kl->ik": ("2,3", "4,5"),
    }
    for equation, inputs in equations.items():
        yield OpCase(f"einsum {equation}", lambda m, *x, equation=equation: m.einsum(equation, *x), inputs)


CASES = [
    *unary_cases(), *binary_cases(), *reduce_cases(), *shape_cases(), *index_cases(), *linalg_cases(),
]  # fmt: skip


def flat(result):
    """The tensors of a result, which may be a tuple or a named tuple."""
    return list(result) if isinstance(result, (tuple, list)) else [result]
