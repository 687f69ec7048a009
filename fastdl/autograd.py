"""backward(), grad(), and what belongs to them. Tensor and Function live in tape.py, the modes in grad_mode.py.

backward() keeps the nodes that have received gradients in a heap and always takes the one with the largest number:
every consumer of a node has been served before the node itself, without recursion or a search through the graph.
Gradients are accumulated here and nowhere else; kernels and ops overwrite their outputs.

The same file runs compiled (types in autograd.pxd) and uncompiled.
"""

import linecache
import sys
from heapq import heappop, heappush

import numpy as np
from numpy import asarray, ndarray

from fastdl.grad_mode import enable_grad, inference_mode, no_grad, set_grad_enabled, set_mode
from fastdl.tape import Function, Tensor, TensorBase, is_grad_enabled, once_differentiable, place, second_time, wrote
from fastdl.writes import assign, check_writable

__all__ = [
    "Function", "Tensor", "assign", "backward", "check_writable", "detect_anomaly", "enable_grad", "grad", "gradcheck",
    "gradgradcheck", "inference_mode", "is_grad_enabled", "memory_owners", "no_grad", "once_differentiable",
    "set_grad_enabled", "wrote",
]  # fmt: skip

_adder = [np.add]  # operators.py puts the kernel's here: this module knows NumPy only


def backward(tensors, grad_tensors=None, retain_graph=None, create_graph=False, inputs=None):
    """Add the gradients of the sum of `tensors` to `.grad` of the leaves (or of `inputs` only)."""
    tensors = _sequence(tensors)
    roots = _roots(tensors, grad_tensors, create_graph)
    keep = create_graph if retain_graph is None else retain_graph
    if inputs is None:
        leaves, _ = _differentiate(tensors, roots, None, keep, create_graph)
        while leaves:
            leaf, box = leaves.popitem()
            _store(leaf, box, create_graph)
        return
    inputs = _sequence(inputs)
    for t, g in zip(inputs, _gradients(tensors, roots, inputs, keep, create_graph)):
        if g is not None:
            box = [g]
            g = None
            _store(t, box, create_graph)


def grad(
    outputs,
    inputs,
    grad_outputs=None,
    retain_graph=None,
    create_graph=False,
    allow_unused=None,
    materialize_grads=False,
):
    """The gradients of the sum of `outputs` with respect to `inputs`, as a tuple; `.grad` is left alone.

    With create_graph=True the gradients can be differentiated again.
    """
    outputs, inputs = _sequence(outputs), _sequence(inputs)
    roots = _roots(outputs, grad_outputs, create_graph)
    keep = create_graph if retain_graph is None else retain_graph
    for i, t in enumerate(inputs):
        if not t.requires_grad:
            raise RuntimeError(f"grad: input {i} (shape {t.shape}) does not require grad")
    grads = _gradients(outputs, roots, inputs, keep, create_graph)
    for i, t in enumerate(inputs):
        if grads[i] is None:
            if materialize_grads:
                grads[i] = Tensor(np.zeros_like(t.array))
            elif not allow_unused:
                raise RuntimeError(
                    f"grad: input {i} (shape {t.shape}) was not used in the computation of the outputs; "
                    "hint: allow_unused=True gives None for it"
                )
    return tuple(grads)


def _sequence(tensors):
    return [tensors] if isinstance(tensors, TensorBase) else list(tensors)


def _roots(tensors, grads, create):
    """The gradient to start with, for every output; checks."""
    if grads is None:
        grads = [None] * len(tensors)
    elif isinstance(grads, TensorBase):
        grads = [grads]
    if len(grads) != len(tensors):
        raise RuntimeError(f"got {len(tensors)} tensors and {len(grads)} gradients")
    roots = []
    for t, g in zip(tensors, grads):
        if not t.requires_grad:
            raise RuntimeError(
                f"backward: a tensor of shape {t.shape} does not require grad and has no grad_fn; hint: was it "
                "computed under no_grad, or detached, or from tensors without requires_grad?"
            )
        if g is None:
            if t.array.size != 1:
                raise RuntimeError(
                    f"grad can be implicitly created only for scalar outputs, not for shape {t.shape}; "
                    "hint: loss.sum().backward(), or pass gradient="
                )
            g = Tensor(np.ones_like(t.array))
        elif not isinstance(g, TensorBase):
            g = Tensor(asarray(g, t.dtype))
        if g.shape != t.shape:
            raise RuntimeError(f"backward: the gradient has shape {g.shape} and the tensor {t.shape}")
        roots.append(g if g.dtype == t.dtype else Tensor(g.array.astype(t.dtype)) if not create else g.to(t.dtype))
    return roots


def _edge(t):
    return t if t.grad_fn is None else t.grad_fn if t.output_nr == 0 else (t.grad_fn, t.output_nr)


def _gradients(outputs, roots, inputs, keep, create):
    """The gradient of every input, None where there is none."""
    leaves, captured = _differentiate(outputs, roots, inputs, keep, create)
    grads = []
    for t in inputs:
        if t.grad_fn is None:
            box = leaves.get(t)
            if box:
                box[0].output_nr = 0 if box[0].output_nr == -1 else box[0].output_nr  # the caller's from here on
            grads.append(_hooked_leaf(t, box[0]) if box else None)
        else:
            grads.append(captured.get((t.grad_fn, t.output_nr)))
    return grads


def _differentiate(tensors, roots, inputs, keep, create):
    needed = captured = None
    if inputs is not None:
        for t in inputs:
            t.requires_grad  # noqa: B018  (renews a stale view)
        captured = {(t.grad_fn, t.output_nr): None for t in inputs if t.grad_fn is not None}
        needed = _paths(tensors, inputs)
    pending, leaves, heap = {}, {}, []
    before = set_mode(create)
    try:
        while roots:
            _deliver(_edge(tensors[len(roots) - 1]), roots.pop(), pending, leaves, heap, create, needed)
        _sweep(pending, leaves, heap, keep, create, needed, captured)
    finally:
        set_mode(before)
    return leaves, captured


def _paths(outputs, inputs):
    """The nodes and leaves from which an input can be reached, inputs included."""
    seen, stack = set(), [_edge(t) for t in outputs]
    while stack:
        edge = stack.pop()
        if type(edge) is tuple:
            edge = edge[0]
        if edge is not None and edge not in seen:
            seen.add(edge)
            if isinstance(edge, Function):
                stack.extend(edge._edges)
    useful = {t if t.grad_fn is None else t.grad_fn for t in inputs}
    for node in sorted((n for n in seen if isinstance(n, Function)), key=lambda n: n._seq):
        for edge in node._edges:
            if (edge[0] if type(edge) is tuple else edge) in useful:
                useful.add(node)
                break
    return useful


def _deliver(edge, grad, pending, leaves, heap, create, needed):
    """Add a gradient to what its receiver has got so far."""
    nr = 0
    if type(edge) is tuple:
        nr = edge[1]
        edge = edge[0]
    if needed is not None and edge not in needed:
        return
    if isinstance(edge, TensorBase):
        leaf = edge
        if grad.array.shape != leaf.array.shape:
            raise RuntimeError(f"a gradient has shape {grad.array.shape}, but its tensor has shape {leaf.array.shape}")
        if grad.array.dtype is not leaf.array.dtype and grad.array.dtype != leaf.array.dtype:
            grad = grad.to(leaf.array.dtype)
        box = leaves.get(leaf)
        if box is None:
            leaves[leaf] = [grad]
        else:
            old = box.pop()
            array = old.array
            if sys.getrefcount(old) == _LOCAL and sys.getrefcount(array) == _LOCAL + 1 and _owns(array):
                old.output_nr = -1  # nobody else has it
            array = None
            box.append(_sum(old, grad, create))
        return
    node = edge
    if node._outputs == 1:
        if grad.array.shape != node._meta:
            raise RuntimeError(
                f"a gradient of shape {grad.array.shape} arrived at {node.name()}, whose result has shape {node._meta}"
            )
        old = pending.get(node)
        if old is None:
            heappush(heap, (-node._seq, node))
            pending[node] = grad
        else:
            pending[node] = _sum(old, grad, create)
        return
    if grad.array.shape != node._meta[nr][0]:
        raise RuntimeError(
            f"a gradient of shape {grad.array.shape} arrived at {node.name()}, "
            f"whose result {nr} has shape {node._meta[nr][0]}"
        )
    slots = pending.get(node)
    if slots is None:
        heappush(heap, (-node._seq, node))
        slots = [None] * node._outputs
        pending[node] = slots
    slots[nr] = grad if slots[nr] is None else _sum(slots[nr], grad, create)


def _sum(old, new, create):
    if create:
        return old + new
    if old.output_nr == -1:  # a sum that this pass made and nobody else has seen: add into it
        _adder[0](old.array, new.array, out=old.array)
        return old
    total = Tensor(_adder[0](old.array, new.array))
    total.output_nr = -1
    return total


def add_gradients_with(add):
    """Let add(a, b, out=None) add up gradients from here on; out is None or a."""
    _adder[0] = add


def _hand_over(node, grads):
    """From here on others see these gradients (backward may return one of them twice): no more adding into them."""
    if node._outputs == 1:
        one = grads
        if one.output_nr == -1:
            one.output_nr = 0
        return
    for g in grads:
        if g is not None and g.output_nr == -1:
            g.output_nr = 0


def _sweep(pending, leaves, heap, keep, create, needed, captured):
    """Serve the nodes, the latest first."""
    while heap:
        node = heappop(heap)[1]
        grads = pending.pop(node)
        _hand_over(node, grads)
        if node._hooks is not None:
            grads = _run_hooks(node, grads)
        if captured is not None:
            _capture(node, grads, captured)
            node._inputs_needed = tuple(
                [edge is not None and (edge[0] if type(edge) is tuple else edge) in needed for edge in node._edges]
            )
            if True not in node._inputs_needed:
                node._inputs_needed = None
                continue
        if node._freed:
            raise second_time(node)
        try:
            if node._outputs == 1:
                grads = type(node).backward(node, grads)
            else:
                if not node._undefined:
                    _fill_zeros(node, grads)
                grads = type(node).backward(node, *grads)
        except Exception as error:
            error.add_note(f"(in the gradient of {type(node).__name__}, called at {place(node._code, node._lasti)})")
            raise
        finally:
            node._inputs_needed = None
        edges = node._edges
        if _anomaly:
            _check_anomaly(node, grads)
        results = grads if type(grads) is tuple else (grads,)
        count = len(edges)
        if len(results) != count:
            _check_count(node, results, count)
        if not keep and node._saved is not None:
            # A result that is kept (a loss in a list) keeps the nodes, but nothing large. The edges stay: they tell
            # whether a later grad() needs this node, which is then an error, or can do without it.
            node._freed = True
            node._saved = node._own = None
            if type(node).__dictoffset__:
                node.__dict__.clear()
        node = None
        for i in range(count):
            if edges[i] is not None and results[i] is not None:
                if not isinstance(results[i], TensorBase):
                    raise TypeError(f"backward must return Tensors or None, not {type(results[i]).__name__}")
                _deliver(edges[i], results[i], pending, leaves, heap, create, needed)


def _check_count(node, grads, count):
    if len(grads) < count or any(g is not None for g in grads[count:]):
        raise RuntimeError(
            f"{type(node).__name__}.backward returned {len(grads)} gradients, but forward has {count} arguments"
        )


def _fill_zeros(node, grads):
    for nr in range(len(grads)):
        if grads[nr] is None and node._meta[nr] is not None:
            shape, dtype = node._meta[nr]
            grads[nr] = Tensor(np.zeros(shape, dtype))


def _run_hooks(node, grads):
    many = node._outputs != 1
    for last in (False, True):  # retain_grad sees what the other hooks made of the gradient
        for nr, kept, hook in list(node._hooks):
            g = grads[nr] if many else grads
            if g is None or (hook is None) != last:
                continue
            if hook is None:
                t = kept()
                if t is not None:
                    t.grad = g if t.grad is None else t.grad + g
                continue
            g = _checked_hook(hook, g)
            if many:
                grads[nr] = g
            else:
                grads = g
    return grads


def _checked_hook(hook, g):
    new = hook(g)
    if new is None:
        return g
    if not isinstance(new, TensorBase) or new.shape != g.shape:
        raise RuntimeError(
            f"a hook must return None or a gradient of shape {g.shape}, not {getattr(new, 'shape', type(new))}"
        )
    return new


def _hooked_leaf(leaf, g):
    if leaf._hooks is not None:
        for _, _, hook in list(leaf._hooks):
            g = _checked_hook(hook, g)
    return g


def _capture(node, grads, captured):
    for nr in range(node._outputs):
        if (node, nr) in captured:
            captured[(node, nr)] = grads if node._outputs == 1 else grads[nr]


memory_owners = set()  # types of objects that own the memory of one array, such as the blocks of fastdl's pool


def _own_references(box):
    thing = box.pop()
    return sys.getrefcount(thing)


_LOCAL = _own_references([object()])  # references that sys.getrefcount sees for a thing held by one local variable


def _store(leaf, box, create):
    """Add the gradient in box to leaf.grad, which must not share memory with anything else."""
    if leaf._hooks is not None:
        box[0] = _hooked_leaf(leaf, box[0])
    grad = box.pop()
    if leaf.grad is not None:
        if create or leaf.grad._tracked:
            leaf.grad = leaf.grad + grad
        else:
            np.add(leaf.grad.array, grad.array, out=leaf.grad.array)
            wrote(leaf.grad, "backward()")
        return
    if create:
        leaf.grad = grad if grad._tracked else Tensor(grad.array.copy(order="K"))
        return
    array = grad.array
    if sys.getrefcount(grad) == _LOCAL and sys.getrefcount(array) == _LOCAL + 1 and _owns(array):
        grad.output_nr = 0
        leaf.grad = grad
    else:
        leaf.grad = Tensor(array.copy(order="K"))


def _owns(array):
    """True if nobody but this array refers to its memory (its own references are the caller's business)."""
    if not array.flags.writeable:
        return False
    size = array.nbytes
    while array.base is not None:
        owner = array.base
        if sys.getrefcount(owner) != _LOCAL + 1:  # this variable and array.base
            return False
        if type(owner) is not ndarray:
            return type(owner) in memory_owners
        if owner.nbytes != size:  # a part of something larger would keep all of it alive
            return False
        array = owner
    return True


# --------------------------------------------------------------------------------------------------- finding faults

_anomaly = []  # a truthy entry for every detect_anomaly block that is open


class detect_anomaly:
    """`with detect_anomaly():` a NaN in a backward raises and names the op and the line of its forward call."""

    def __init__(self, check_nan=True):
        self.check_nan = check_nan

    def __enter__(self):
        if self.check_nan:
            _anomaly.append(True)

    def __exit__(self, *error):
        if self.check_nan:
            _anomaly.pop()


def _check_anomaly(node, grads):
    for i, g in enumerate(grads if type(grads) is tuple else (grads,)):
        if isinstance(g, TensorBase) and np.isnan(g.array).any():
            where = place(node._code, node._lasti)
            path, _, line = where.rpartition(":")
            text = linecache.getline(path, int(line)).strip() if line.isdigit() else ""
            raise RuntimeError(f"{node.name()} returned nan in its gradient {i}; it was called at {where}\n    {text}")


def gradcheck(*args, **kwargs):
    """Compare gradients with finite differences; see fastdl/gradcheck.py."""
    from fastdl.gradcheck import gradcheck

    return gradcheck(*args, **kwargs)


def gradgradcheck(*args, **kwargs):
    """Compare second derivatives with finite differences; see fastdl/gradcheck.py."""
    from fastdl.gradcheck import gradgradcheck

    return gradgradcheck(*args, **kwargs)
