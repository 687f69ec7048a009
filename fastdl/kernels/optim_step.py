"""One step of an optimizer over a list of arrays, in place.

Maths     g = gradient + decay p, its sign turned by maximize; t is the number of the step, from 1
          SGD       m = momentum m + (1 - dampening) g, or g in the first step;
                    p -= lr m, with nesterov lr (g + momentum m), without momentum lr g
          NAG       m = momentum m + g;  p -= lr g, where p is the look-ahead point W - lr momentum m and becomes the new W
          Adam      m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;  v_max = max(v_max, v) replaces v in
                    p -= lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
                    eps_inside: p -= lr sqrt(1 - beta2^t) / (1 - beta1^t) m / sqrt(v + eps)
                    decoupled (AdamW): decay stays out of g, and p *= 1 - lr decay comes first
          NAdam     p -= lr (mean_weight m + grad_weight g) / (sqrt(v) / sqrt(1 - beta2^t) + eps)
          RAdam     p -= step_size m / (sqrt(v) + eps), or where not rectified step_size m
          Adamax    u = max(beta2 u, |g| + eps);  p -= lr / (1 - beta1^t) m / u
          Adagrad   s += g^2;  p -= lr g / (sqrt(s) + eps), eps_inside: lr g / sqrt(s + eps)
          Adadelta  v = rho v + (1 - rho) g^2;  d = sqrt(h + eps) / sqrt(v + eps) g;  h = rho h + (1 - rho) d^2;  p -= lr d
          RMSprop   v = alpha v + (1 - alpha) g^2;  centered: v - (running mean of g)^2, at least 0, in its place;
                    d = g / (sqrt(v) + eps), eps_inside: g / sqrt(v + eps);  m = momentum m + d;  p -= lr m (or lr d)
          AdamP, SGDP  d = Adam's (SGD's) direction; where cos(g, p) of all output channels, or else of the whole, lies below
                    delta / sqrt(length), d loses its part along p and the decay is times ratio; p = (1 - lr decay) p - lr d
Shapes    lists of arrays, one entry a parameter: params, grads and states (momenta, means, ...); all of one entry have its
          shape, float32 or float64. States an optimizer can do without may be None instead of a list. params and states
          are overwritten.
Cost      elements moved a parameter: SGD 5 (3 without momentum), Adagrad 5, Adam 7 (9 with AMSGrad), AdamP 11; FLOPs 6 to 20.
Errors    ValueError for lists of other lengths or arrays of other shapes, TypeError for dtypes.
Notes     This kernel writes into its arguments: that is what an optimizer is. Everything else in fastdl/kernels does
          not. Lists of a `Group` are checked once, and the C rung keeps its pointers from step to step.
Ref       Sutskever et al. 2013; Kingma and Ba 2015; Loshchilov and Hutter 2019; Reddi, Kale, Kumar 2018; Dozat 2016; Liu et
          al. 2020; Duchi, Hazan, Singer 2011; Zeiler 2012; Hinton 2012; Heo et al. 2021.
"""

from math import sqrt

from fastdl.kernels._registry import implementation


class Group(list):
    """Parameters that are stepped many times with the same states: a list of arrays of one dtype, checked when it is made.

    Group(name, params, *states); passed as `params` with the same `states`, a step checks the gradients only.
    """

    __slots__ = ("name", "states", "table")

    def __init__(self, name, params, *states):
        _check(name, params, states)
        if len({p.dtype for p in params}) > 1:
            raise TypeError(f"{name}: parameters of several dtypes cannot be one Group")
        super().__init__(params)
        self.name, self.states = name, states
        self.table = None  # what a rung keeps of these arrays


def sgd_step(
    params, grads, momenta, lr, momentum=0.0, dampening=0.0, decay=0.0, nesterov=False, maximize=False, first=False
):
    """Update params and momenta in place; see the top of this file."""
    for rung, lists in _by_dtype("sgd", params, grads, momenta):
        rung.sgd(*lists, lr, momentum, dampening, decay, nesterov, maximize, first)


def nag_step(params, grads, momenta, lr, momentum=0.9, decay=0.0, maximize=False):
    """Update params, which lie at the look-ahead point, and momenta in place; see the top of this file."""
    for rung, lists in _by_dtype("nag", params, grads, momenta):
        rung.nag(*lists, lr, momentum, decay, maximize)


def adam_step(
    params, grads, means, squares, tops,
    step, lr, beta1=0.9, beta2=0.999, eps=1e-8, decay=0.0, decoupled=False, maximize=False, eps_inside=False,
):  # fmt: skip
    """Update params, means, squares and tops in place; step counts from 1. See the top of this file."""
    correction1, root2 = 1 - beta1**step, sqrt(1 - beta2**step)
    step_size = lr * root2 / correction1 if eps_inside else lr / correction1
    keep, decay = _kept(lr, decay, decoupled)
    for rung, lists in _by_dtype("adam", params, grads, means, squares, tops):
        rung.adam(*lists, beta1, beta2, eps, decay, keep, step_size, root2, maximize, eps_inside)


def nadam_step(
    params, grads, means, squares,
    step, lr, mean_weight, grad_weight, beta1=0.9, beta2=0.999, eps=1e-8, decay=0.0, decoupled=False, maximize=False,
):  # fmt: skip
    """Update params, means and squares in place; the weights are those of m and g in the step. See the top of this file."""
    keep, decay = _kept(lr, decay, decoupled)
    root2 = sqrt(1 - beta2**step)
    for rung, lists in _by_dtype("nadam", params, grads, means, squares):
        rung.nadam(*lists, beta1, beta2, eps, decay, keep, lr, mean_weight, grad_weight, root2, maximize)


def radam_step(
    params, grads, means, squares,
    step, lr, beta1=0.9, beta2=0.999, eps=1e-8, decay=0.0, decoupled=False, maximize=False, threshold=5.0, degenerated_to_sgd=True,
):  # fmt: skip
    """Update params, means and squares in place; step counts from 1. See the top of this file."""
    correction1 = 1 - beta1**step
    keep, decay = _kept(lr, decay, decoupled)
    rectification = rectify(step, beta2, threshold)
    if rectification is not None:
        step_size = lr * rectification * sqrt(1 - beta2**step) / correction1
    else:
        step_size = lr / correction1 if degenerated_to_sgd else 0.0
    for rung, lists in _by_dtype("radam", params, grads, means, squares):
        rung.radam(*lists, beta1, beta2, eps, decay, keep, step_size, rectification is not None, maximize)


def rectify(step, beta2, threshold=5.0):
    """RAdam's factor r_t, or None where the variance of the adaptive step is not tractable yet (rho_t <= threshold)."""
    longest = 2 / (1 - beta2) - 1  # rho_inf
    length = longest - 2 * step * beta2**step / (1 - beta2**step)  # rho_t
    if length <= max(threshold, 4):
        return None
    return sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))


def adamax_step(params, grads, means, tops, step, lr, beta1=0.9, beta2=0.999, eps=1e-8, decay=0.0, maximize=False):
    """Update params, means and tops in place; step counts from 1. See the top of this file."""
    for rung, lists in _by_dtype("adamax", params, grads, means, tops):
        rung.adamax(*lists, beta1, beta2, eps, decay, lr / (1 - beta1**step), maximize)


def adagrad_step(params, grads, sums, lr, eps=1e-10, decay=0.0, maximize=False, eps_inside=False):
    """Update params and sums in place; see the top of this file."""
    for rung, lists in _by_dtype("adagrad", params, grads, sums):
        rung.adagrad(*lists, lr, eps, decay, maximize, eps_inside)


def adadelta_step(params, grads, squares, deltas, lr=1.0, rho=0.9, eps=1e-6, decay=0.0, maximize=False):
    """Update params, squares and deltas in place; see the top of this file."""
    for rung, lists in _by_dtype("adadelta", params, grads, squares, deltas):
        rung.adadelta(*lists, lr, rho, eps, decay, maximize)


def rmsprop_step(
    params, grads, squares, means, momenta,
    lr, alpha=0.99, eps=1e-8, decay=0.0, momentum=0.0, maximize=False, eps_inside=False,
):  # fmt: skip
    """Update params, squares, means (centered, else None) and momenta (or None) in place; see the top of this file."""
    for rung, lists in _by_dtype("rmsprop", params, grads, squares, means, momenta):
        rung.rmsprop(*lists, lr, alpha, eps, decay, momentum, maximize, eps_inside)


def adamp_step(
    params, grads, means, squares,
    step, lr, beta1=0.9, beta2=0.999, eps=1e-8, decay=0.0, delta=0.1, ratio=0.1, nesterov=False, maximize=False,
):  # fmt: skip
    """Update params, means and squares in place; step counts from 1. See the top of this file."""
    keep, keep_projected = 1 - lr * decay, 1 - lr * decay * ratio
    step_size, root2 = lr / (1 - beta1**step), sqrt(1 - beta2**step)
    for rung, lists in _by_dtype("adamp", params, grads, means, squares):
        rung.adamp(*lists, beta1, beta2, eps, delta, keep, keep_projected, step_size, root2, nesterov, maximize)


def sgdp_step(
    params, grads, momenta,
    lr, momentum=0.0, dampening=0.0, eps=1e-8, decay=0.0, delta=0.1, ratio=0.1, nesterov=False, maximize=False,
):  # fmt: skip
    """Update params and momenta in place; see the top of this file. decay is divided by 1 - momentum."""
    decay = lr * decay / (1 - momentum)
    for rung, lists in _by_dtype("sgdp", params, grads, momenta):
        rung.sgdp(*lists, lr, momentum, dampening, eps, delta, 1 - decay, 1 - decay * ratio, nesterov, maximize)


def _kept(lr, decay, decoupled):
    """(the factor on the parameters, the decay that goes into the gradients)."""
    return (1 - lr * decay, 0.0) if decoupled else (1.0, decay)


def _by_dtype(name, params, grads, *states):
    """(rung, lists of the arrays it takes) for every dtype among the parameters."""
    if isinstance(params, Group) and params.name == name and all(a is b for a, b in zip(params.states, states)):
        rung = implementation("optim_step", params[0].dtype)
        if not hasattr(rung, "Table"):  # which looks at the gradients itself
            _check(name, params, [grads])
        yield rung, [params, grads, *states]
        return
    _check(name, params, [grads, *states])
    lists = [list(params), list(grads), *states]
    dtypes = {p.dtype for p in params}
    for dtype in dtypes:
        if len(dtypes) == 1:
            yield implementation("optim_step", dtype), lists
        else:
            mine = [i for i, p in enumerate(params) if p.dtype == dtype]
            chosen = [None if items is None else [items[i] for i in mine] for items in lists]
            yield implementation("optim_step", dtype), chosen


def _check(name, params, others):
    for other in others:
        if other is not None and len(other) != len(params):
            raise ValueError(f"{name}: {len(params)} parameters, but a list of {len(other)} beside them")
    for i, p in enumerate(params):
        if p.dtype.kind != "f":
            raise TypeError(f"{name}: a parameter has dtype {p.dtype}; it must be of a float type")
        for other in others:
            if other is not None:
                check_one(name, i, p, other[i])


def check_one(name, i, p, other):
    """Raise if `other`, beside parameter number i, has another shape or dtype than it."""
    if other.shape != p.shape:
        raise ValueError(f"{name}: parameter {i} has shape {p.shape}, but {other.shape} stands beside it")
    if other.dtype != p.dtype:
        raise TypeError(f"{name}: parameter {i} is {p.dtype}, but {other.dtype} stands beside it")


def sgd_step_cost(params, grads, momenta, *args, **kwargs):
    """(FLOPs, bytes) of one call."""
    n = sum(p.size for p in params)
    return 6 * n, (3 if momenta is None else 5) * sum(p.nbytes for p in params)


def adam_step_cost(params, grads, means, squares, tops, *args, **kwargs):
    """(FLOPs, bytes) of one call."""
    n = sum(p.size for p in params)
    return 14 * n, (7 if tops is None else 9) * sum(p.nbytes for p in params)
