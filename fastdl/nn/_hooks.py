"""Hooks of a Module: functions that are called before and after forward, and when gradients enter and leave it."""

from itertools import count

from fastdl.autograd import Function, Tensor

HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
_ids = count()


class Handle:
    """Returned when a hook is registered; remove() takes the hook away."""

    def __init__(self, module, hooks, key):
        self._module, self._hooks, self._key = module, hooks, key

    def remove(self):
        self._hooks.pop(self._key, None)
        self._module.__dict__["_hooked"] = any(
            self._module.__dict__[name] for name in HOOKS if name in self._module.__dict__
        )

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.remove()


def add_hook(module, kind, hook, prepend=False):
    """Append (or prepend) to the hooks of a kind; the Handle takes it away again."""
    hooks = module.__dict__.setdefault(kind, {})
    key = next(_ids)
    hooks[key] = hook
    if prepend:
        for other in [k for k in hooks if k != key]:
            hooks[other] = hooks.pop(other)
    module.__dict__["_hooked"] = True
    return Handle(module, hooks, key)


def call_with_hooks(module, args, kwargs):
    """module.forward(*args, **kwargs) with the module's hooks before and after it, and those of its gradients on the tape."""
    hooks = module.__dict__
    for hook, with_kwargs in list(hooks.get("_forward_pre_hooks", {}).values()):
        result = hook(module, args, kwargs) if with_kwargs else hook(module, args)
        if result is not None:
            if with_kwargs:
                args, kwargs = result
            else:
                args = result if isinstance(result, tuple) else (result,)
    watch = None
    if hooks.get("_backward_hooks") or hooks.get("_backward_pre_hooks"):
        watch = _Watch(module, len(args))
        args = _through(_Inputs, watch, args)
    output = module.forward(*args, **kwargs)
    if watch is not None:
        single = not isinstance(output, (tuple, list))
        outputs = _through(_Outputs, watch, (output,) if single else tuple(output))
        output = outputs[0] if single else type(output)(outputs) if type(output) in (tuple, list) else outputs
    for hook, with_kwargs in list(hooks.get("_forward_hooks", {}).values()):
        result = hook(module, args, kwargs, output) if with_kwargs else hook(module, args, output)
        if result is not None:
            output = result
    return output


class _Watch:
    """What one call of a module with backward hooks remembers between the gradients of its outputs and its inputs."""

    def __init__(self, module, inputs):
        self.module, self.inputs, self.has_inputs, self.grad_output = module, inputs, False, ()


def _through(boundary, watch, values):
    """values with every tensor that requires a gradient passed through the boundary."""
    where = [i for i, v in enumerate(values) if isinstance(v, Tensor) and v.requires_grad]
    if not where:
        return values
    if boundary is _Inputs:
        watch.has_inputs = True
    passed = boundary.apply(watch, tuple(where), len(values), *[values[i] for i in where])
    values = list(values)
    for i, t in zip(where, passed if isinstance(passed, tuple) else (passed,), strict=True):
        values[i] = t
    return tuple(values)


def _spread(ctx, grads):
    full = [None] * ctx.total
    for i, g in zip(ctx.where, grads, strict=True):
        full[i] = g
    return tuple(full)


def _run(hooks, module, grads, *more):
    for hook in list(module.__dict__.get(hooks, {}).values()):
        result = hook(module, grads, *more)
        if result is not None:
            grads = result if isinstance(result, tuple) else (result,)
    return grads


def _copies(xs):
    """Tensors of their own over the same memory: one, or a tuple of several."""
    return Tensor(xs[0].array) if len(xs) == 1 else tuple(Tensor(x.array) for x in xs)


class _Boundary(Function):
    """The identity: its backward tells the module's hooks."""

    @staticmethod
    def forward(ctx, watch, where, total, *xs):
        ctx.watch, ctx.where, ctx.total = watch, where, total
        return _copies(xs)


class _Inputs(_Boundary):
    """The identity at the entrance of a module: its backward is the last of the module, and runs the hooks."""

    @staticmethod
    def backward(ctx, *grads):
        full = _run("_backward_hooks", ctx.watch.module, _spread(ctx, grads), ctx.watch.grad_output)
        return None, None, None, *[full[i] for i in ctx.where]


class _Outputs(_Boundary):
    """The identity at the exit: its backward is the first of the module."""

    @staticmethod
    def backward(ctx, *grads):
        watch = ctx.watch
        full = _run("_backward_pre_hooks", watch.module, _spread(ctx, grads))
        watch.grad_output = full
        if not watch.has_inputs:  # nothing below needs a gradient: there is no later moment
            _run("_backward_hooks", watch.module, (None,) * watch.inputs, full)
        return None, None, None, *[full[i] for i in ctx.where]
