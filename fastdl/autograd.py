"""The tape: Tensor, Function, backward(), grad(), no_grad. Imports NumPy only; knows no op.

A recorded call of a Function leaves a *node*: the `ctx` object itself, an instance of the Function's class.

    node._edges   one entry per argument of the call: None (needs no gradient), a leaf Tensor, the node that made
                  the argument, or (node, k) where the argument was output k > 0 of its node
    node._seq     a number that only grows, so an argument's node always has a smaller one than the call's node

backward() keeps the nodes that have received gradients in a heap and always takes the one with the largest number:
every consumer of a node has been served before the node itself, without recursion or a search through the graph.
Gradients are accumulated here and nowhere else; kernels and ops overwrite their outputs.

A tensor and its views share one Version, counted up by every in-place write. What save_for_backward keeps remembers
the count, so a later write is caught and both places are named. A view remembers its base and how to take the view
again: after an in-place write into either, the history of the other is renewed when it is next used.

The same file runs compiled (types in autograd.pxd) and uncompiled.
"""

import linecache
import os
import sys
import threading
from _thread import get_ident
from functools import wraps
from heapq import heappop, heappush
from itertools import count
from sys import _getframe
from weakref import ref

import numpy as np
from numpy import asarray, ndarray

__all__ = [
    "Function", "Tensor", "backward", "detect_anomaly", "enable_grad", "grad", "gradcheck", "gradgradcheck",
    "is_grad_enabled", "no_grad", "once_differentiable", "set_grad_enabled",
]  # fmt: skip

_FLOAT32 = np.dtype("float32")
_FLOAT64 = np.dtype("float64")
_next_seq = count(1).__next__
_PACKAGE = os.path.dirname(os.path.abspath(__file__))
# Frames of these files are skipped when a place in the user's program is named.
_user_files = set()  # names of files known not to be such
_INTERNAL = tuple(
    os.path.join(_PACKAGE, part)
    for part in ("autograd.py", "gradcheck.py", "operators.py", "ops" + os.sep, "nn" + os.sep)
)


# ---------------------------------------------------------------------------------------------------- gradient mode

_off = set()  # idents of the threads in which recording is off; nearly always empty, so asking costs one truth test
_local = threading.local()


class _ThreadExit:
    """Lives in a thread's local storage and forgets the thread's mode when the thread ends (idents are reused)."""

    def __init__(self, ident):
        self.ident = ident

    def __del__(self, off=_off):  # a default: at the interpreter's end the module's names are gone
        off.discard(self.ident)


def is_grad_enabled():
    """True where operations on tensors that require gradients are recorded (a mode of each thread)."""
    return not _off or get_ident() not in _off


def _set_mode(enabled):
    """Switch this thread's mode; returns the mode before."""
    ident = get_ident()
    before = ident not in _off
    if enabled:
        _off.discard(ident)
    else:
        _off.add(ident)
    return before


class _Mode:
    """A gradient mode for a `with` block or, as decorator with or without (), for a function."""

    enabled = True

    def __new__(cls, function=None):
        self = object.__new__(cls)
        self.before = []
        return self if function is None else self(function)

    def __enter__(self):
        self.before.append(_set_mode(self.enabled))

    def __exit__(self, *error):
        _set_mode(self.before.pop())

    def __call__(self, function):
        @wraps(function)
        def call(*args, **kwargs):
            before = _set_mode(self.enabled)
            try:
                return function(*args, **kwargs)
            finally:
                _set_mode(before)

        return call


class no_grad(_Mode):
    """Nothing is recorded: `with no_grad():` or `@no_grad()`."""

    enabled = False


class enable_grad(_Mode):
    """Recording is on again inside a no_grad block."""


class set_grad_enabled(_Mode):
    """set_grad_enabled(mode): switches at once, as a function; restores at the end where used as a `with` block."""

    def __new__(cls, mode):
        self = object.__new__(cls)
        self.enabled = bool(mode)
        self.before = []
        self.previous = _set_mode(self.enabled)
        if not hasattr(_local, "guard"):
            _local.guard = _ThreadExit(get_ident())
        return self

    def __enter__(self):
        self.before.append(self.previous)
        _set_mode(self.enabled)

    def __call__(self, function):
        _set_mode(self.previous)
        return _Mode.__call__(self, function)


# ----------------------------------------------------------------------------------------------------------- Tensor


class Version:
    """How often the memory of a tensor and its views was written in place, and where last."""

    __slots__ = ("_code", "_lasti", "_op", "value")

    def __init__(self):
        self.value = 0
        self._op = self._code = self._lasti = None


class TensorBase:
    """The slots of a Tensor. Operators and methods are bound to `Tensor` by operators.py."""

    __slots__ = (
        "__weakref__", "_base", "_counter", "_hooks", "_replay", "_tracked", "_view_version", "array", "grad",
        "grad_fn", "output_nr",
    )  # fmt: skip

    def __init__(self, array, requires_grad=False):
        self.array = array if type(array) is ndarray else asarray(array)
        self.grad = self.grad_fn = self._counter = self._base = self._replay = self._hooks = None
        self.output_nr = self._view_version = 0
        self._tracked = False
        if requires_grad:
            self.requires_grad = True

    @property
    def requires_grad(self):
        """True if gradients are to be computed for this tensor."""
        if self._base is not None:
            refresh(self)
        return self._tracked

    @requires_grad.setter
    def requires_grad(self, value):
        if value and self.array.dtype.kind != "f":
            raise RuntimeError(
                f"only tensors of floating point dtype can require gradients, not {self.array.dtype}; hint: x.float()"
            )
        if not value and self.grad_fn is not None:
            raise RuntimeError(
                "requires_grad can only be changed on leaf tensors; hint: x.detach() is the value without its history"
            )
        self._tracked = bool(value)

    def requires_grad_(self, requires_grad=True):
        """Set requires_grad; returns the tensor."""
        self.requires_grad = requires_grad
        return self

    @property
    def is_leaf(self):
        """True if no recorded operation made this tensor."""
        return self.grad_fn is None

    @property
    def _version(self):
        return 0 if self._counter is None else self._counter.value

    @property
    def shape(self):
        """The sizes, a plain tuple."""
        return self.array.shape

    @property
    def dtype(self):
        """The element type, a NumPy dtype."""
        return self.array.dtype

    @property
    def data(self):
        """The same memory as a tensor without history; writes through it are not counted (as in torch)."""
        return Tensor(self.array)

    @data.setter
    def data(self, value):
        array = value.array if isinstance(value, TensorBase) else asarray(value)
        _counter_of(self)
        self.array = array
        wrote(self, "data = ...")

    def detach(self):
        """The same memory as a tensor without history; writes through either are counted for both."""
        t = Tensor(self.array)
        t._counter = _counter_of(self)
        return t

    def detach_(self):
        """Cut this tensor from its history; returns it."""
        if self._base is not None:
            raise RuntimeError("detach_() of a view: its base would keep the history; hint: use detach()")
        self.grad_fn = None
        self.output_nr = 0
        self._tracked = False
        return self

    def backward(self, gradient=None, retain_graph=None, create_graph=False, inputs=None):
        """Add the gradients of this tensor to `.grad` of the leaves it was computed from."""
        backward([self], None if gradient is None else [gradient], retain_graph, create_graph, inputs)

    def retain_grad(self):
        """Keep the gradient of this non-leaf tensor in `.grad` too."""
        if not self.requires_grad:
            raise RuntimeError("can't retain_grad on a tensor that has requires_grad=False")
        if self.grad_fn is not None:
            _add_hook(self.grad_fn, (self.output_nr, ref(self), None))

    def register_hook(self, hook):
        """Call hook(grad) when this tensor's gradient is complete; a Tensor it returns replaces the gradient."""
        if not self.requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        entry = (self.output_nr, None, hook)
        if self.grad_fn is not None:
            return _add_hook(self.grad_fn, entry)
        if self._hooks is None:
            self._hooks = []
        self._hooks.append(entry)
        return RemovableHandle(self._hooks, entry)

    def __hash__(self):
        return object.__hash__(self)

    def __copy__(self):
        t = self.__class__.__new__(self.__class__)
        TensorBase.__init__(t, self.array)
        t.grad, t.grad_fn, t.output_nr, t._tracked = self.grad, self.grad_fn, self.output_nr, self._tracked
        t._counter = _counter_of(self)
        _copy_attributes(self, t)
        return t

    def __deepcopy__(self, memo):
        if self.grad_fn is not None:
            raise RuntimeError("only leaf tensors support deepcopy; hint: copy.deepcopy(x.detach()), or x.clone()")
        t = self.__class__.__new__(self.__class__)
        TensorBase.__init__(t, self.array.copy(order="K"))
        memo[id(self)] = t
        t._tracked = self._tracked
        if self.grad is not None:
            t.grad = self.grad.__deepcopy__(memo)
        _copy_attributes(self, t)
        return t

    def __reduce_ex__(self, protocol):
        raise TypeError("fastdl does not pickle tensors; hint: fastdl.save (safetensors), or send x.numpy()")


class Tensor(TensorBase):
    """An ndarray (`.array`) that can take part in a recorded computation. `Tensor(ndarray)` wraps without copying."""

    __slots__ = ()
    __array_priority__ = 1000
    __array_ufunc__ = None  # ndarray + Tensor asks Tensor


class RemovableHandle:
    """Returned by register_hook; remove() takes the hook away."""

    def __init__(self, hooks, entry):
        self.hooks, self.entry = hooks, entry

    def remove(self):
        self.hooks[:] = [entry for entry in self.hooks if entry is not self.entry]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.remove()


def _copy_attributes(source, target):
    if hasattr(source, "__dict__"):
        target.__dict__.update(source.__dict__)


def _add_hook(node, entry):
    if node._hooks is None:
        node._hooks = []
    node._hooks.append(entry)
    return RemovableHandle(node._hooks, entry)


# -------------------------------------------------------------------------------------------------- places, versions


def _locate(target):
    """Note in target where the user's program stands: the first frame outside the package, as (code, lasti)."""
    frame = _getframe()
    while frame is not None:
        code = frame.f_code
        name = code.co_filename
        if name in _user_files:
            target._code = code
            target._lasti = frame.f_lasti
            return
        if name.startswith(_INTERNAL):
            frame = frame.f_back
        else:
            if len(_user_files) > 1000:  # code made at run time, each with a name of its own
                _user_files.clear()
            _user_files.add(name)


def _place(code, lasti):
    """'file.py:12' for an instruction of a code object."""
    if code is None:
        return "an unknown place"
    line = next((line for start, end, line in code.co_lines() if start <= lasti < end), code.co_firstlineno)
    return f"{code.co_filename}:{line}"


def _counter_of(t):
    """The Version of t, made when first asked for."""
    if t._counter is None:
        t._counter = Version()
    return t._counter


def wrote(t, op="an in-place write"):
    """Count an in-place write into the memory of t (to be called by whoever writes into t.array)."""
    version = _counter_of(t)
    version.value += 1
    version._op = op
    _locate(version)


# --------------------------------------------------------------------------------------- views and in-place writes


def link_view(view, base, cls, args):
    """Note that `view`, the result of cls.apply(base, *args), looks into the memory of `base`."""
    array, owner = view.array, base.array
    if array is not owner and (array.base is None or (array.base is not owner and array.base is not owner.base)):
        return view  # a copy after all (a reshape that could not be a view)
    root = base if base._base is None else base._base
    view._counter = _counter_of(root)
    if view._tracked or not root._tracked:  # else: taken under no_grad, and stays without history
        view._base = root
        view._replay = (base._replay or ()) + ((cls, args),)
        view._view_version = view._counter.value
    return view


def _take_view(root, replay):
    for cls, args in replay:
        root = cls.apply(root, *args)
    return root


def refresh(view):
    """Renew the history of a view after an in-place write into its memory."""
    if view._view_version != view._counter.value:
        view._view_version = view._counter.value
        if view._base._tracked and is_grad_enabled():
            again = _take_view(view._base, view._replay)
            view.grad_fn, view.output_nr, view._tracked = again.grad_fn, again.output_nr, again._tracked


def check_writable(t, op):
    """Raise if an in-place op on t could not be recorded (or the memory is read-only)."""
    if not t.array.flags.writeable:
        raise RuntimeError(
            f"{op}: the memory of this tensor of shape {t.shape} is read-only (an expanded tensor, or a read-only "
            "array); hint: x.clone() first"
        )
    root = t if t._base is None else t._base
    if root._tracked and root.grad_fn is None and is_grad_enabled():
        what = "a leaf tensor" if root is t else "a view of a leaf tensor"
        raise RuntimeError(
            f"{op}: {what} that requires grad is being used in an in-place operation; "
            "hint: write under `with fastdl.no_grad():`, or use an out-of-place operation"
        )


def assign(t, new, op):
    """Give t the values of `new`, in place, and its history where recording is on. Returns t."""
    check_writable(t, op)
    array, value = t.array, new.array
    if value.shape != array.shape:
        raise RuntimeError(
            f"{op}: the result has shape {value.shape}, which does not fit into the tensor's {array.shape}"
        )
    if not np.can_cast(value.dtype, array.dtype, "same_kind"):
        raise RuntimeError(f"{op}: result type {value.dtype} can't be cast to the tensor's type {array.dtype}")
    root = t if t._base is None else t._base
    if (new._tracked or root._tracked) and is_grad_enabled():
        if new._tracked and value.dtype != array.dtype:
            new = new.to(array.dtype)
        if new.grad_fn is not None:
            _keep_old(new.grad_fn, t)
        if root is not t:
            new = OverwriteView.apply(root, new, t._replay)
        np.copyto(array, value, casting="same_kind")
        wrote(root, op)
        root.grad_fn, root.output_nr, root._tracked = new.grad_fn, new.output_nr, new._tracked
        if root is not t:
            refresh(t)
    else:
        np.copyto(array, value, casting="same_kind")
        wrote(t, op)
    return t


def _keep_old(node, t):
    """The op saved t itself, which is about to be overwritten: let it keep a copy, with the history t has now."""
    if node._saved is None or not any(s is t for s in node._saved):
        return
    old = Tensor(t.array.copy(order="K"))
    old.grad_fn, old.output_nr, old._tracked = t.grad_fn, t.output_nr, t._tracked
    node._versions = tuple(0 if s is t else v for s, v in zip(node._saved, node._versions or (0,) * len(node._saved)))
    node._saved = tuple(old if s is t else s for s in node._saved)


# --------------------------------------------------------------------------------------------------------- Function


class Function:
    """One differentiable operation; an instance is the record of one call (`ctx` in forward and backward).

    Example:
        >>> class Double(Function):
        ...     @staticmethod
        ...     def forward(ctx, x):
        ...         return Tensor(x.array * 2)
        ...
        ...     @staticmethod
        ...     def backward(ctx, dy):
        ...         return dy * 2
        >>> x = Tensor(np.ones(2), requires_grad=True)
        >>> Double.apply(x).array
        array([2., 2.])
    """

    __slots__ = (
        "_args", "_code", "_dirty", "_edges", "_freed", "_hooks", "_inputs_needed", "_lasti", "_meta", "_outputs",
        "_own", "_saved", "_seq", "_undefined", "_unmarked", "_versions", "recording",
    )  # fmt: skip

    @staticmethod
    def forward(ctx, *args):
        """Compute the result: a new Tensor or a tuple of them. Recording is off."""
        raise NotImplementedError("a Function needs a static method forward(ctx, ...)")

    @staticmethod
    def backward(ctx, *grads):
        """Return the gradient of every argument of forward (None where there is none)."""
        raise NotImplementedError("this Function has no backward(ctx, ...)")

    @classmethod
    def apply(cls, *args):
        """Call forward and record the call if an argument requires a gradient."""
        return _apply(cls, args)

    @classmethod
    def apply_view(cls, x, *args):
        """apply() for an op whose result looks into the memory of its first argument."""
        return link_view(_apply(cls, (x, *args)), x, cls, args)

    def save_for_backward(self, *tensors):
        """Keep arguments, results or other tensors for backward, guarded against in-place writes."""
        self._saved = tensors

    @property
    def saved_tensors(self):
        """What save_for_backward kept."""
        return _unpack(self)

    @property
    def needs_input_grad(self):
        """One bool per argument of forward."""
        if self._inputs_needed is not None:
            return self._inputs_needed
        if self._edges is None:
            return (False,) * self._args
        edges = self._edges
        if len(edges) == 2:
            return edges[0] is not None, edges[1] is not None
        return tuple([edge is not None for edge in edges])

    def mark_non_differentiable(self, *tensors):
        """These results carry no gradient."""
        self._unmarked = tensors

    def mark_dirty(self, *tensors):
        """These arguments were written in place by forward, which returns them."""
        self._dirty = tensors

    def set_materialize_grads(self, value):
        """With False, backward receives None instead of zeros for results that got no gradient."""
        self._undefined = not value

    @property
    def next_functions(self):
        """(node, output number) of every argument; leaves stand for themselves."""
        return tuple(edge if type(edge) is tuple else (edge, 0) for edge in self._edges or ())

    def name(self):
        """The op, as torch names its nodes."""
        return type(self).__name__ + "Backward"

    def register_hook(self, hook):
        """Call hook(grad) with the complete gradient of the first result, before backward."""
        return _add_hook(self, (0, None, hook))

    def __repr__(self):
        return f"<{self.name()}>"


def _blank(node):
    node._edges = node._saved = node._versions = node._inputs_needed = None
    node._code = node._lasti = node._meta = node._hooks = node._own = node._dirty = node._unmarked = None
    node._seq = node._args = node._outputs = 0
    node._freed = node._undefined = node.recording = False


if __file__.endswith((".py", ".pyc")):  # a compiled class starts blank
    Function.__init__ = _blank


def _apply(cls, args):
    needed = False
    for arg in args:
        if isinstance(arg, TensorBase):
            t = arg
            if t._base is not None:
                refresh(t)
            if t._tracked:
                needed = True
    ctx = cls()
    ctx._args = len(args)
    if needed and (not _off or get_ident() not in _off):
        return _record(cls, ctx, args)
    return _forward(cls, ctx, args)


def _forward(cls, ctx, args):
    """cls.forward(ctx, *args), without making a tuple for the common lengths."""
    count = len(args)
    if count == 2:
        return cls.forward(ctx, args[0], args[1])
    if count == 1:
        return cls.forward(ctx, args[0])
    if count == 3:
        return cls.forward(ctx, args[0], args[1], args[2])
    return cls.forward(ctx, *args)


def _record(cls, ctx, args):
    edges = []
    for arg in args:
        if isinstance(arg, TensorBase):
            t = arg
            if not t._tracked:
                edges.append(None)
            elif t.grad_fn is None:
                edges.append(t)
            elif t.output_nr == 0:
                edges.append(t.grad_fn)
            else:
                edges.append((t.grad_fn, t.output_nr))
        else:
            edges.append(None)
    ctx._edges = tuple(edges)
    ctx.recording = True
    ident = get_ident()
    _off.add(ident)
    try:
        result = _forward(cls, ctx, args)
    finally:
        _off.discard(ident)
    ctx._seq = _next_seq()
    _locate(ctx)
    if isinstance(result, TensorBase):
        result = _attach(ctx, result, 0, args)
        ctx._outputs = 1
        ctx._meta = result.array.shape
    elif type(result) is tuple or type(result) is list:
        ctx._outputs = len(result)
        result = tuple([_attach(ctx, result[nr], nr, args) for nr in range(len(result))])
        ctx._meta = tuple([(t.array.shape, t.array.dtype) if isinstance(t, TensorBase) else None for t in result])
    else:
        raise TypeError(
            f"{cls.__name__}.forward must return a Tensor or a tuple of Tensors, not {type(result).__name__}"
        )
    if ctx._saved is not None:
        _pack(ctx)
    return result


def _among(thing, things):
    return any(other is thing for other in things)


def _attach(ctx, value, nr, args):
    """Make `value` the result number nr of ctx."""
    if not isinstance(value, TensorBase):
        return value
    out = value
    if ctx._unmarked is not None and _among(out, ctx._unmarked):
        return out
    dtype = out.array.dtype
    if dtype is not _FLOAT32 and dtype is not _FLOAT64 and dtype.kind != "f":
        return out
    for arg in args:
        if arg is out:
            if ctx._dirty is not None and _among(out, ctx._dirty):
                check_writable(out, ctx.name())
                if out._base is not None:
                    raise RuntimeError(f"{ctx.name()}: mark_dirty() of a view is not supported; hint: clone it first")
                _keep_old(ctx, out)
                wrote(out, ctx.name())
                break
            out = out.detach()  # an argument handed through gets its own history
            break
    else:
        if out._tracked:
            out = out.detach()
    out._tracked = True
    out.grad_fn = ctx
    out.output_nr = nr
    return out


def _pack(ctx):
    """After forward: note the versions of what was saved; a saved result must not hold its own node (a cycle)."""
    saved = ctx._saved
    written = False
    for i in range(len(saved)):
        t = saved[i]
        if t is None:
            continue
        if t.grad_fn is ctx:
            alias = Tensor(t.array)
            alias._counter = _counter_of(t)
            ctx._own = [(i, t.output_nr)] if ctx._own is None else ctx._own + [(i, t.output_nr)]
            saved = saved[:i] + (alias,) + saved[i + 1 :]
        if t._counter is not None and t._counter.value:
            written = True
    ctx._saved = saved
    if written:
        ctx._versions = tuple([0 if t is None else t._version for t in saved])


def _second_time(ctx):
    return RuntimeError(
        f"trying to backward through the graph a second time ({ctx.name()}, called at "
        f"{_place(ctx._code, ctx._lasti)}): its saved tensors have been freed; "
        "hint: pass retain_graph=True to the first backward()"
    )


def _unpack(ctx):
    if ctx._freed:
        raise _second_time(ctx)
    saved = ctx._saved
    if saved is None:
        return ()
    for i in range(len(saved)):
        t = saved[i]
        if t is not None and t._counter is not None and ctx.recording:
            version = t._counter
            if version.value != (0 if ctx._versions is None else ctx._versions[i]):
                raise RuntimeError(
                    f"a tensor needed for the gradient of {type(ctx).__name__} was modified in place: of shape "
                    f"{t.shape}, saved at {_place(ctx._code, ctx._lasti)}, overwritten by {version._op} at "
                    f"{_place(version._code, version._lasti)}; hint: use an out-of-place operation, or clone() it first"
                )
    if ctx._own is None or not is_grad_enabled():
        return saved
    unpacked = list(saved)
    for i, nr in ctx._own:
        t = unpacked[i]
        alias = Tensor(t.array)
        alias._counter = t._counter
        alias._tracked, alias.grad_fn, alias.output_nr = True, ctx, nr
        unpacked[i] = alias
    return tuple(unpacked)


def once_differentiable(function):
    """Decorator for a backward that is not made of differentiable functions: a second derivative raises."""

    @wraps(function)
    def backward(ctx, *grads):
        with no_grad():
            result = function(ctx, *grads)
        if not is_grad_enabled():
            return result
        results = result if type(result) is tuple else (result,)
        return tuple([None if r is None else _Once.guard(r, ctx.name()) for r in results])

    return backward


class _Once(Function):
    """The history of a gradient that cannot be differentiated."""

    @staticmethod
    def guard(value, name):
        node = _Once()
        node._edges, node._seq, node._outputs, node._meta = (), _next_seq(), 1, value.array.shape
        node.of = name
        out = Tensor(value.array)
        out.grad_fn, out._tracked = node, True
        return out

    @staticmethod
    def backward(ctx, dy):
        raise RuntimeError(f"trying to differentiate {ctx.of} twice, but it is marked once_differentiable")


class OverwriteView(Function):
    """The history of a base tensor after the view given by `replay` has been overwritten with `new`."""

    @staticmethod
    def forward(ctx, base, new, replay):
        ctx.replay, ctx.layout = replay, base.array
        return Tensor(base.array)

    @staticmethod
    def backward(ctx, dy):
        return ZeroView.apply(dy, ctx.replay, ctx.layout), _take_view(dy, ctx.replay), None


class ZeroView(Function):
    """A copy of x in which the elements of a view are zero."""

    @staticmethod
    def forward(ctx, x, replay, layout):
        ctx.replay, ctx.layout = replay, layout
        array = np.empty_like(layout, dtype=x.dtype)
        array[...] = x.array
        _take_view(Tensor(array), replay).array[...] = 0
        return Tensor(array)

    @staticmethod
    def backward(ctx, dy):
        return ZeroView.apply(dy, ctx.replay, ctx.layout), None, None


# --------------------------------------------------------------------------------------------------------- backward


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
    before = _set_mode(create)
    try:
        while roots:
            _deliver(_edge(tensors[len(roots) - 1]), roots.pop(), pending, leaves, heap, create, needed)
        _sweep(pending, leaves, heap, keep, create, needed, captured)
    finally:
        _set_mode(before)
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
            box[0] = _sum(box[0], grad, create)
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
        np.add(old.array, new.array, out=old.array)
        return old
    total = Tensor(np.add(old.array, new.array))
    total.output_nr = -1
    return total


def _sweep(pending, leaves, heap, keep, create, needed, captured):
    """Serve the nodes, the latest first."""
    while heap:
        node = heappop(heap)[1]
        grads = pending.pop(node)
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
            raise _second_time(node)
        try:
            if node._outputs == 1:
                grads = type(node).backward(node, grads)
            else:
                if not node._undefined:
                    _fill_zeros(node, grads)
                grads = type(node).backward(node, *grads)
        except Exception as error:
            error.add_note(f"(in the gradient of {type(node).__name__}, called at {_place(node._code, node._lasti)})")
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
            # The edges go too: a result that is kept (a loss in a list) then keeps nothing of the graph behind it.
            node._freed = True
            node._saved = node._own = None
            node._edges = ()
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
            place = _place(node._code, node._lasti)
            path, _, line = place.rpartition(":")
            text = linecache.getline(path, int(line)).strip() if line.isdigit() else ""
            raise RuntimeError(f"{node.name()} returned nan in its gradient {i}; it was called at {place}\n    {text}")


def gradcheck(*args, **kwargs):
    """Compare gradients with finite differences; see fastdl/gradcheck.py."""
    from fastdl.gradcheck import gradcheck

    return gradcheck(*args, **kwargs)


def gradgradcheck(*args, **kwargs):
    """Compare second derivatives with finite differences; see fastdl/gradcheck.py."""
    from fastdl.gradcheck import gradgradcheck

    return gradgradcheck(*args, **kwargs)
