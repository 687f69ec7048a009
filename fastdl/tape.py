"""The tape: Tensor, Function, and the record that a call leaves. Imports NumPy only; knows no op.

A recorded call of a Function leaves a *node*: the `ctx` object itself, an instance of the Function's class.

    node._edges   one entry per argument of the call: None (needs no gradient), a leaf Tensor, the node that made
                  the argument, or (node, k) where the argument was output k > 0 of its node
    node._seq     a number that only grows, so an argument's node always has a smaller one than the call's node

A tensor and its views share one Version, counted up by every in-place write. What save_for_backward keeps remembers
the count, so a later write is caught and both places are named. A view remembers its base and how to take the view
again: after an in-place write into either (writes.py), the history of the other is renewed when it is next used.

The same file runs compiled (types in tape.pxd) and uncompiled.
"""

import os
from _thread import get_ident
from functools import wraps
from itertools import count
from sys import _getframe
from weakref import ref

import numpy as np
from numpy import asarray, ndarray

from fastdl.grad_mode import no_grad, off

_FLOAT32 = np.dtype("float32")
_FLOAT64 = np.dtype("float64")
_sequence = count(1)
_PACKAGE = os.path.dirname(os.path.abspath(__file__))
# Frames of these files are skipped when a place in the user's program is named.
_INTERNAL = tuple(
    os.path.join(_PACKAGE, part)
    for part in (
        "autograd.py", "gradcheck.py", "grad_mode.py", "operators.py", "tape.py", "writes.py", "ops" + os.sep, "nn" + os.sep
    )
)  # fmt: skip
_user_files = set()  # names of files known not to be such


def is_grad_enabled():
    """True where operations on tensors that require gradients are recorded (a mode of each thread)."""
    return not off or get_ident() not in off


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
        from fastdl.autograd import backward

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


def wrap(array):
    """Tensor(array), without the cost of a call through the type: what ops make their results with."""
    t = TensorBase.__new__(Tensor)
    t.array = array if type(array) is ndarray else asarray(array)
    t.grad = t.grad_fn = t._counter = t._base = t._replay = t._hooks = None
    t.output_nr = t._view_version = 0
    t._tracked = False
    return t


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


def _user_frame():
    """Where the user's program stands: the first frame outside the package."""
    frame = _getframe()
    while frame is not None:
        name = frame.f_code.co_filename
        if name in _user_files:
            return frame
        if name.startswith(_INTERNAL):
            frame = frame.f_back
        else:
            if len(_user_files) > 1000:  # code made at run time, each with a name of its own
                _user_files.clear()
            _user_files.add(name)
    return None


def place(code, lasti):
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
    frame = _user_frame()
    if frame is not None:
        version._code = frame.f_code
        version._lasti = frame.f_lasti


def wrote_all(tensors, op):
    """wrote() for each of a list of tensors, by one statement of the user."""
    frame = _user_frame()
    code, lasti = (None, None) if frame is None else (frame.f_code, frame.f_lasti)
    for t in tensors:
        version = _counter_of(t)
        version.value += 1
        version._op = op
        if code is not None:
            version._code = code
            version._lasti = lasti


# ----------------------------------------------------------------------------------------------------------- views


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


def take_view(root, replay):
    for cls, args in replay:
        root = cls.apply(root, *args)
    return root


def refresh(view):
    """Renew the history of a view after an in-place write into its memory."""
    if view._view_version != view._counter.value:
        view._view_version = view._counter.value
        if view._base._tracked and is_grad_enabled():
            again = take_view(view._base, view._replay)
            view.grad_fn, view.output_nr, view._tracked = again.grad_fn, again.output_nr, again._tracked


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
        "__weakref__", "_args", "_code", "_dirty", "_edges", "_freed", "_hooks", "_inputs_needed", "_lasti", "_meta", "_outputs",
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
        return unpack(self)

    def needs(self, i):
        """needs_input_grad[i], for compiled ops: a call in C that makes no tuple."""
        if self._inputs_needed is not None:
            return self._inputs_needed[i]
        return self._edges is not None and self._edges[i] is not None

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
    if needed and (not off or get_ident() not in off):
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
    off.add(ident)
    try:
        result = _forward(cls, ctx, args)
    finally:
        off.discard(ident)
    ctx._seq = next(_sequence)
    frame = _user_frame()
    if frame is not None:
        ctx._code = frame.f_code
        ctx._lasti = frame.f_lasti
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
                _mark_written(ctx, out)
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


def _mark_written(ctx, t):
    from fastdl.writes import check_writable, keep_old

    check_writable(t, ctx.name())
    if t._base is not None:
        raise RuntimeError(f"{ctx.name()}: mark_dirty() of a view is not supported; hint: clone it first")
    keep_old(ctx, t)
    wrote(t, ctx.name())


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


def second_time(ctx):
    return RuntimeError(
        f"trying to backward through the graph a second time ({ctx.name()}, called at "
        f"{place(ctx._code, ctx._lasti)}): its saved tensors have been freed; "
        "hint: pass retain_graph=True to the first backward()"
    )


def unpack(ctx):
    if ctx._freed:
        raise second_time(ctx)
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
                    f"{t.shape}, saved at {place(ctx._code, ctx._lasti)}, overwritten by {version._op} at "
                    f"{place(version._code, version._lasti)}; hint: use an out-of-place operation, or clone() it first"
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
        node._edges, node._seq, node._outputs, node._meta = (), next(_sequence), 1, value.array.shape
        node.of = name
        out = Tensor(value.array)
        out.grad_fn, out._tracked = node, True
        return out

    @staticmethod
    def backward(ctx, dy):
        raise RuntimeError(f"trying to differentiate {ctx.of} twice, but it is marked once_differentiable")
