"""One step of SGD or Adam over a list of arrays, in place.

Maths     SGD   g = gradient + decay p;  m = momentum m + (1 - dampening) g, or g in the first step;
                p -= lr m, with nesterov lr (g + momentum m), without momentum lr g
          Adam  g = gradient + decay p, or with decoupled decay (AdamW) p *= 1 - lr decay;
                m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;  v_max = max(v_max, v) replaces v in the
                next line p -= lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps), t the number of the step,
                from 1 eps_inside: p -= lr sqrt(1 - beta2^t) / (1 - beta1^t) m / sqrt(v + eps)
          maximize: the gradient's sign is turned first.
Shapes    lists of arrays, one entry a parameter: params, grads, momenta or (means, squares, tops); all of one entry
          have its shape, float32 or float64. momenta and tops may be None instead of a list. params and states are
          overwritten.
Cost      SGD 5 elements moved a parameter (3 without momentum), Adam 7 (9 with AMSGrad); 6 and 14 FLOPs.
Errors    ValueError for lists of other lengths or arrays of other shapes, TypeError for dtypes.
Notes     This kernel writes into its arguments: that is what an optimizer is. Everything else in fastdl/kernels does
          not.
Ref       Sutskever et al. 2013; Kingma and Ba 2015; Loshchilov and Hutter 2019; Reddi, Kale, Kumar 2018.
"""

from math import sqrt

from fastdl.kernels._registry import implementation


def sgd_step(
    params, grads, momenta, lr, momentum=0.0, dampening=0.0, decay=0.0, nesterov=False, maximize=False, first=False
):
    """Update params and momenta in place; see the top of this file."""
    for rung, lists in _by_dtype("sgd", params, grads, momenta):
        rung.sgd(*lists, lr, momentum, dampening, decay, nesterov, maximize, first)


def adam_step(
    params,
    grads,
    means,
    squares,
    tops,
    step,
    lr,
    beta1=0.9,
    beta2=0.999,
    eps=1e-8,
    decay=0.0,
    decoupled=False,
    maximize=False,
    eps_inside=False,
):
    """Update params, means, squares and tops in place; step counts from 1. See the top of this file."""
    correction1, root2 = 1 - beta1**step, sqrt(1 - beta2**step)
    step_size = lr * root2 / correction1 if eps_inside else lr / correction1
    keep = 1 - lr * decay if decoupled else 1.0
    decay = 0.0 if decoupled else decay
    for rung, lists in _by_dtype("adam", params, grads, means, squares, tops):
        rung.adam(*lists, beta1, beta2, eps, decay, keep, step_size, root2, maximize, eps_inside)


def _by_dtype(name, params, grads, *states):
    """(rung, lists of the arrays it takes) for every dtype among the parameters."""
    lists = [params, grads, *states]
    for other in lists[1:]:
        if other is not None and len(other) != len(params):
            raise ValueError(f"{name}: {len(params)} parameters, but a list of {len(other)} beside them")
    dtypes = set()
    for i, p in enumerate(params):
        dtype = p.dtype
        dtypes.add(dtype)
        for other in lists[1:]:
            if other is None:
                continue
            if other[i].shape != p.shape:
                raise ValueError(f"{name}: parameter {i} has shape {p.shape}, but {other[i].shape} stands beside it")
            if other[i].dtype != dtype:
                raise TypeError(f"{name}: parameter {i} is {dtype}, but {other[i].dtype} stands beside it")
    for dtype in dtypes:
        if dtype.kind != "f":
            raise TypeError(f"{name}: a parameter has dtype {dtype}; it must be of a float type")
        if len(dtypes) == 1:
            yield implementation("optim_step", dtype), lists
        else:
            mine = [i for i, p in enumerate(params) if p.dtype == dtype]
            chosen = [None if items is None else [items[i] for i in mine] for items in lists]
            yield implementation("optim_step", dtype), chosen


def sgd_step_cost(params, grads, momenta, *args, **kwargs):
    """(FLOPs, bytes) of one call."""
    n = sum(p.size for p in params)
    return 6 * n, (3 if momenta is None else 5) * sum(p.nbytes for p in params)


def adam_step_cost(params, grads, means, squares, tops, *args, **kwargs):
    """(FLOPs, bytes) of one call."""
    n = sum(p.size for p in params)
    return 14 * n, (7 if tops is None else 9) * sum(p.nbytes for p in params)
