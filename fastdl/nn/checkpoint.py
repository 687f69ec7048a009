"""Gradient checkpointing: time for memory.

Ref  Chen, Xu, Zhang, Guestrin, "Training Deep Nets with Sublinear Memory Cost", 2016, arXiv 1604.06174.
"""

from fastdl.autograd import Function, Tensor, enable_grad, grad, is_grad_enabled
from fastdl.nn.norm import keep_statistics
from fastdl.random import fork_rng, get_rng_state, set_rng_state


class Checkpoint(Function):
    """y = function(*inputs), computed a second time in the backward pass. `parameters` are those that function uses."""

    @staticmethod
    def forward(ctx, function, count, *tensors):
        inputs = tensors[:count]
        if ctx.recording:
            ctx.save_for_backward(*tensors)
            ctx.function, ctx.count, ctx.rng = function, count, get_rng_state()
        return Tensor(function(*inputs).array)

    @staticmethod
    def backward(ctx, dy):
        tensors, count = ctx.saved_tensors, ctx.count
        again = (
            is_grad_enabled()
        )  # the gradient itself is differentiated: the graph goes through the tensors themselves
        inputs = [t if again or not t.requires_grad else t.detach().requires_grad_() for t in tensors[:count]]
        with enable_grad(), fork_rng(), keep_statistics():
            set_rng_state(ctx.rng)
            y = ctx.function(*inputs)
        wanted = [*inputs, *tensors[count:]]
        needed = [i for i, t in enumerate(wanted) if t.requires_grad and ctx.needs_input_grad[i + 2]]
        grads = grad(y, [wanted[i] for i in needed], dy, create_graph=again, allow_unused=True)
        result = [None] * len(wanted)
        for i, g in zip(needed, grads, strict=True):
            result[i] = g
        return None, None, *result


def checkpoint(function, *inputs, parameters=()):
    """function(*inputs), keeping none of the intermediate results: they are computed again for the gradients.

    function      tensors -> one tensor; random numbers (dropout) are drawn the same again, and the running statistics of
                  batch norm count once
    parameters    the tensors beside `inputs` that function uses and that want a gradient, module.parameters() mostly:
                  those left out get none

    Example
    >>> from fastdl import nn, rand
    >>> block = nn.Sequential(nn.Linear(4, 400), nn.ReLU(), nn.Linear(400, 4))
    >>> checkpoint(block, rand(2, 4), parameters=block.parameters()).shape
    (2, 4)
    """
    if not is_grad_enabled():
        return function(*inputs)
    return Checkpoint.apply(function, len(inputs), *inputs, *parameters)
