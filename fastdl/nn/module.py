"""Module: a layer or a network; parameters, buffers and child modules by name.

Parameters, buffers and children are ordinary attributes (so reading one costs nothing extra); `_kinds` only notes, in
the order of registration, which names are which. Keys of state_dict are torch's.
"""

from itertools import chain
from typing import NamedTuple

import numpy as np

from fastdl.autograd import Tensor, wrote
from fastdl.nn._hooks import add_hook, call_with_hooks
from fastdl.nn.parameter import Buffer, Parameter


class IncompatibleKeys(NamedTuple):
    """What load_state_dict found: names the module has and the dict lacks, and the reverse."""

    missing_keys: list
    unexpected_keys: list


class Module:
    """Base class of layers and networks: write `__init__` and `forward`.

    Example
    >>> class Twice(Module):
    ...     def __init__(self):
    ...         self.scale = Parameter(np.full(1, 2.0, np.float32))
    ...     def forward(self, x):
    ...         return x * self.scale
    >>> [name for name, _ in Twice().named_parameters()]
    ['scale']
    """

    training = True
    _hooked = False

    def __new__(cls, *args, **kwargs):  # here and not in __init__: a subclass may forget super().__init__()
        self = object.__new__(cls)
        self.__dict__["_kinds"] = {}
        self.__dict__["_transient"] = set()  # names of buffers that are not part of state_dict
        return self

    def __init__(self):
        pass

    def forward(self, *args, **kwargs):
        raise NotImplementedError(f"{type(self).__name__} must define forward()")

    # ------------------------------------------------------------------------------------------------------ calling

    def __call__(self, *args, **kwargs):
        try:
            if self._hooked:
                return call_with_hooks(self, args, kwargs)
            return self.forward(*args, **kwargs)
        except Exception as error:
            _name_path(error, self)
            raise

    def register_forward_pre_hook(self, hook, *, prepend=False, with_kwargs=False):
        """hook(module, args) before forward; what it returns, if not None, replaces the arguments.

        With with_kwargs=True: hook(module, args, kwargs), which returns None or (args, kwargs).
        """
        return add_hook(self, "_forward_pre_hooks", (hook, with_kwargs), prepend)

    def register_forward_hook(self, hook, *, prepend=False, with_kwargs=False):
        """hook(module, args, output) after forward; what it returns, if not None, replaces the output."""
        return add_hook(self, "_forward_hooks", (hook, with_kwargs), prepend)

    def register_full_backward_pre_hook(self, hook, prepend=False):
        """hook(module, grad_output) when the gradients of the outputs are known; a result replaces them."""
        return add_hook(self, "_backward_pre_hooks", hook, prepend)

    def register_full_backward_hook(self, hook, prepend=False):
        """hook(module, grad_input, grad_output) when the gradients of the inputs are known; a result replaces them."""
        return add_hook(self, "_backward_hooks", hook, prepend)

    # -------------------------------------------------------------------------------------------------- registration

    def __setattr__(self, name, value):
        kind = self._kinds.get(name)
        if isinstance(value, Parameter):
            if kind != "parameter":
                self._register(name, "parameter")
        elif isinstance(value, Module):
            if kind != "module":
                self._register(name, "module")
        elif isinstance(value, Buffer):
            if kind != "buffer":
                self._register(name, "buffer")
            (self._transient.discard if value.persistent else self._transient.add)(name)
        elif kind is not None and value is not None and not (kind == "buffer" and isinstance(value, Tensor)):
            article = {"parameter": "a Parameter", "buffer": "a Tensor", "module": "a Module"}[kind]
            raise TypeError(
                f"{type(self).__name__}.{name} is a registered {kind}: it takes {article} or None, not a "
                f"{type(value).__name__}; hint: `del` it first, or write into it under no_grad"
            )
        self.__dict__[name] = value

    def __delattr__(self, name):
        if name not in self.__dict__:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        del self.__dict__[name]
        self._kinds.pop(name, None)
        self._transient.discard(name)

    def _register(self, name, kind):
        if not isinstance(name, str) or not name or "." in name:
            raise KeyError(f"the name of a {kind} must be text without dots; got {name!r}")
        if name not in self.__dict__ and hasattr(type(self), name):
            raise KeyError(f"{type(self).__name__} already has an attribute {name!r}")
        self._kinds.pop(name, None)  # of another kind before: goes to the end
        self._transient.discard(name)
        self._kinds[name] = kind

    def register_parameter(self, name, param):
        """Add a parameter, or None as a place for one."""
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(f"register_parameter: {name!r} takes a Parameter or None, not a {type(param).__name__}")
        self._register(name, "parameter")
        self.__dict__[name] = param

    def register_buffer(self, name, tensor, persistent=True):
        """Add a tensor that is saved (if persistent) but not trained."""
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(f"register_buffer: {name!r} takes a Tensor or None, not a {type(tensor).__name__}")
        self._register(name, "buffer")
        if not persistent:
            self._transient.add(name)
        self.__dict__[name] = tensor

    def register_module(self, name, module):
        """Add a child module, or None as a place for one."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"register_module: {name!r} takes a Module or None, not a {type(module).__name__}")
        self._register(name, "module")
        self.__dict__[name] = module

    add_module = register_module

    def _of_kind(self, kind):
        return {name: self.__dict__[name] for name, k in self._kinds.items() if k == kind}

    @property
    def _parameters(self):
        return self._of_kind("parameter")

    @property
    def _buffers(self):
        return self._of_kind("buffer")

    @property
    def _modules(self):
        return self._of_kind("module")

    # -------------------------------------------------------------------------------------------------------- walking

    def named_children(self):
        """(name, module) of the direct children, each once."""
        seen = set()
        for name, module in self._modules.items():
            if module is not None and id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def children(self):
        """The direct children, each once."""
        return (module for _, module in self.named_children())

    def named_modules(self, memo=None, prefix="", remove_duplicate=True):
        """(path, module) of this module (path "") and all below it."""
        memo = set() if memo is None else memo
        if id(self) in memo:
            return
        if remove_duplicate:
            memo.add(id(self))
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self):
        """This module and all below it, each once."""
        return (module for _, module in self.named_modules())

    def _named(self, kind, prefix, recurse, remove_duplicate):
        seen = set()
        modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]
        for path, module in modules:
            for name, value in module._of_kind(kind).items():
                if value is None or id(value) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(value))
                yield f"{path}.{name}" if path else name, value

    def named_parameters(self, prefix="", recurse=True, remove_duplicate=True):
        """(path, parameter) of this module and, if recurse, all below it; shared ones once."""
        return self._named("parameter", prefix, recurse, remove_duplicate)

    def parameters(self, recurse=True):
        """The parameters; what an optimizer takes."""
        return (p for _, p in self.named_parameters(recurse=recurse))

    def named_buffers(self, prefix="", recurse=True, remove_duplicate=True):
        """(path, buffer), as named_parameters."""
        return self._named("buffer", prefix, recurse, remove_duplicate)

    def buffers(self, recurse=True):
        """The buffers."""
        return (b for _, b in self.named_buffers(recurse=recurse))

    def get_submodule(self, target):
        """The module at a path such as "features.3" ("" is this one)."""
        module = self
        for part in target.split(".") if target else ():
            module = module._modules.get(part) if isinstance(module, Module) else None
            if module is None:
                raise AttributeError(f"{type(self).__name__} has no module {target!r}")
        return module

    def get_parameter(self, target):
        """The parameter at a path such as "features.3.weight"."""
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if module._kinds.get(name) != "parameter" or module.__dict__[name] is None:
            raise AttributeError(f"{type(self).__name__} has no parameter {target!r}")
        return module.__dict__[name]

    # --------------------------------------------------------------------------------------------------------- states

    def state_dict(self, *, prefix="", keep_vars=False):
        """{path: tensor} of parameters and persistent buffers; the tensors share memory with the module's."""
        state = {}
        for path, module in self.named_modules(prefix=prefix.removesuffix("."), remove_duplicate=False):
            for name, value in chain(module._parameters.items(), module._buffers.items()):
                if value is not None and name not in module._transient:
                    state[f"{path}.{name}" if path else name] = value if keep_vars else value.detach()
        return state

    def load_state_dict(self, state_dict, strict=True):
        """Copy {path: Tensor or array} into the parameters and buffers; returns (missing_keys, unexpected_keys).

        strict: both must be empty, else a RuntimeError names them all. Shapes that differ are always an error, which
        lists every one; nothing is changed then. BatchNorm's num_batches_tracked may be absent or left over.
        """
        own = self.state_dict()
        missing = [name for name in own if name not in state_dict]
        unexpected = [name for name in state_dict if name not in own]
        problems, values = [], {}
        for name, target in own.items():
            if name in state_dict:
                value = state_dict[name]
                value = value.array if isinstance(value, Tensor) else np.asarray(value)
                if value.shape != target.shape:
                    problems.append(f"size mismatch for {name}: the file has {value.shape}, the module {target.shape}")
                elif value.dtype.kind == "O":
                    problems.append(f"{name}: expected a tensor or an array, got {type(state_dict[name]).__name__}")
                values[name] = value
        if strict:
            harmless = "num_batches_tracked"
            for what, names in (("missing", missing), ("unexpected", unexpected)):
                names = [name for name in names if name.rpartition(".")[2] != harmless]
                if names:
                    problems.append(f"{what} keys: {', '.join(names)}")
        if problems:
            raise RuntimeError(f"load_state_dict of {type(self).__name__}:\n    " + "\n    ".join(problems))
        for name, value in values.items():
            own[name].array[...] = value
            wrote(own[name], "load_state_dict")
        return IncompatibleKeys(missing, unexpected)

    # ---------------------------------------------------------------------------------------------------------- modes

    def apply(self, fn):
        """Call fn on every module below and then on this one; returns this module."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def train(self, mode=True):
        """Training mode for this module and all below (dropout on, batch norm with batch statistics)."""
        if not isinstance(mode, bool):
            raise ValueError(f"train() takes True or False; got {mode!r}")
        for module in self.modules():
            module.__dict__["training"] = mode
        return self

    def eval(self):
        """Evaluation mode: the opposite of train()."""
        return self.train(False)

    def fuse(self):
        """Fold batch norms into the convolutions before them, in place, for inference (see nn/fold.py); returns this module."""
        from fastdl.nn.fold import fuse

        return fuse(self)

    def requires_grad_(self, requires_grad=True):
        """Freeze (False) or unfreeze all parameters."""
        for p in self.parameters():
            p.requires_grad = requires_grad
        return self

    def zero_grad(self, set_to_none=True):
        """Forget (or set to zero) the gradients of all parameters."""
        for p in self.parameters():
            if set_to_none:
                p.grad = None
            elif p.grad is not None:
                p.grad = Tensor(np.zeros_like(p.grad.array))

    def to(self, dtype):
        """Convert floating parameters and buffers in place to a dtype; the device "cpu" changes nothing."""
        if isinstance(dtype, str) and dtype.partition(":")[0] in ("cpu", "cuda", "mps", "xpu"):
            if not dtype.startswith("cpu"):
                raise ValueError(f"to({dtype!r}): fastdl runs on CPUs only")
            return self
        dtype = np.dtype(dtype)
        if dtype.kind != "f":
            raise TypeError(f"to({dtype}): a module converts to floating dtypes only")
        for t in chain(self.parameters(), self.buffers()):
            if t.array.dtype.kind == "f" and t.array.dtype != dtype:
                t.data = t.array.astype(dtype)  # keeps the order in memory
                if t.grad is not None:
                    t.grad = Tensor(t.grad.array.astype(dtype))
        return self

    def float(self):
        """Convert to float32."""
        return self.to(np.float32)

    def double(self):
        """Convert to float64."""
        return self.to(np.float64)

    def cpu(self):
        """This module; everything is on the CPU."""
        return self

    # -------------------------------------------------------------------------------------------------------- printing

    def extra_repr(self):
        """What repr shows between the brackets of a layer."""
        return ""

    def __repr__(self):
        extra = self.extra_repr()
        lines = []
        for name, module in self._modules.items():
            lines.append(f"({name}): " + repr(module).replace("\n", "\n  "))
        head = type(self).__name__ + "("
        if not lines:
            return f"{head}{extra})"
        return head + "\n  " + "\n  ".join(([extra] if extra else []) + lines) + "\n)"


def _name_path(error, module):
    """Put "in Net.features.3 (Conv2d): " before the message, once; called by every module the error passes through."""
    if not (len(error.args) == 1 and isinstance(error.args[0], str)) or isinstance(error, KeyError):
        return
    message, inner, path = getattr(error, "_fastdl_where", None) or (error.args[0], module, "")
    below = getattr(error, "_fastdl_module", None)
    if below is not None:
        step = next((name for name, m in module.named_modules() if m is below), None)
        if step is None or below is module:  # called, but not a descendant: keep what is known
            step = type(below).__name__
        path = f"{step}.{path}" if path else step
    try:
        error._fastdl_where, error._fastdl_module = (message, inner, path), module
    except AttributeError:  # an exception without attributes
        return
    root = type(module).__name__
    if not path and message.startswith(f"{root}: "):  # it names itself already
        return
    error.args = (f"in {root}.{path} ({type(inner).__name__}): {message}" if path else f"in {root}: {message}",)
