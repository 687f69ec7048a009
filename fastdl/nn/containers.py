"""Modules and parameters in sequences and dicts."""

from fastdl.nn.activation import ReLU
from fastdl.nn.conv import Conv2d
from fastdl.nn.linear import Identity, Linear
from fastdl.nn.module import Module
from fastdl.nn.norm import BatchNorm1d, BatchNorm2d
from fastdl.nn.parameter import Parameter
from fastdl.nn.pool import MaxPool2d

TAKES_RELU = frozenset(
    (BatchNorm1d, BatchNorm2d, Conv2d, Linear)
)  # these very classes: another forward may know no `act`


class _Indexed(Module):
    """What list-like containers share: the members are the attributes "0", "1", ..."""

    _kind = "module"

    def _members(self):
        return list(self._of_kind(self._kind).values())

    def _index(self, index):
        n = len(self)
        if not -n <= index < n:
            raise IndexError(f"index {index} is out of range for {type(self).__name__} of length {n}")
        return index % n

    def _names(self):
        return list(self._of_kind(self._kind))

    def _replace_all(self, members):
        for name in self._names():
            delattr(self, name)
        self.extend(members)

    def __len__(self):
        return sum(kind == self._kind for kind in self._kinds.values())

    def __iter__(self):
        return iter(self._members())

    def __contains__(self, member):
        return any(m is member for m in self._members())

    def __setitem__(self, index, member):
        setattr(self, self._names()[self._index(index)], member)

    def __delitem__(self, index):
        members = self._members()
        del members[index]
        self._replace_all(members)

    def append(self, member):
        """Add one at the end; returns the container."""
        self._check(member)
        setattr(self, str(len(self)), member)
        return self

    def extend(self, members):
        """Add several at the end; returns the container."""
        for member in list(members):
            self.append(member)
        return self

    def insert(self, index, member):
        """Put one before position `index`."""
        self._check(member)
        members = self._members()
        members.insert(index, member)
        self._replace_all(members)

    def _check(self, member):
        if not isinstance(member, Module):
            raise TypeError(f"{type(self).__name__} takes Modules, not a {type(member).__name__}")


def _commute(relu, pool):
    """max(relu(x)) is relu(max(x)), and where the maximum is not above 0 neither passes a gradient."""
    return not (relu._hooked or pool._hooked or pool.return_indices)


class Sequential(_Indexed):
    """Modules one after the other: Sequential(a, b)(x) is b(a(x)). Takes modules, or one dict of named modules.

    Two neighbours may run as one, with the same bits, unless one of them has hooks: a BatchNorm, Conv2d or Linear and the ReLU
    after it take one pass over memory; a ReLU before a MaxPool2d is applied to the maxima, which are fewer.
    """

    def __init__(self, *modules):
        if len(modules) == 1 and isinstance(modules[0], dict):
            for name, module in modules[0].items():
                self.register_module(name, module)
        else:
            self.extend(modules)

    def forward(self, x):
        attributes = self.__dict__
        members = [attributes[name] for name in self._kinds]  # a Sequential registers nothing but modules
        members = [m for m in members if type(m) is not Identity or m._hooked]
        skip = False
        for member, following, third in zip(members, [*members[1:], None], [*members[2:], None, None]):
            if skip:
                skip = False
            elif (
                type(following) is ReLU
                and type(member) in TAKES_RELU
                and not (member._hooked or following._hooked)
                and not (type(third) is MaxPool2d and type(member) is Conv2d and _commute(following, third))
            ):
                x = member(x, act="relu")
                skip = True
            elif type(following) is MaxPool2d and type(member) is ReLU and _commute(member, following):
                x = member(following(x))
                skip = True
            else:
                x = member(x)
        return x

    def __getitem__(self, index):
        if isinstance(index, slice):
            return type(self)(dict(list(self._modules.items())[index]))
        return self._members()[self._index(index)]


class ModuleList(_Indexed):
    """A list whose members are registered; it has no forward."""

    def __init__(self, modules=None):
        if modules is not None:
            self.extend(modules)

    def __getitem__(self, index):
        members = self._members()
        return type(self)(members[index]) if isinstance(index, slice) else members[self._index(index)]

    def __iadd__(self, modules):
        return self.extend(modules)


class ParameterList(_Indexed):
    """A list of Parameters that are registered; tensors and arrays become Parameters."""

    _kind = "parameter"

    def __init__(self, values=None):
        if values is not None:
            self.extend(values)

    def append(self, value):
        setattr(self, str(len(self)), value if isinstance(value, Parameter) else Parameter(value))
        return self

    def _check(self, member):
        pass

    def __setitem__(self, index, value):
        super().__setitem__(index, value if isinstance(value, Parameter) else Parameter(value))

    def __getitem__(self, index):
        members = self._members()
        return type(self)(members[index]) if isinstance(index, slice) else members[self._index(index)]

    def extra_repr(self):
        return "\n  ".join(f"({name}): Parameter {p.dtype}{list(p.shape)}" for name, p in self._parameters.items())


class _Keyed(Module):
    """What dict-like containers share."""

    _kind = "module"

    def _store(self):
        return self._of_kind(self._kind)

    def __getitem__(self, key):
        store = self._store()
        if key not in store:
            raise KeyError(key)
        return store[key]

    def __delitem__(self, key):
        self[key]
        delattr(self, key)

    def __len__(self):
        return len(self._store())

    def __iter__(self):
        return iter(self._store())

    def __contains__(self, key):
        return key in self._store()

    def keys(self):
        """The names."""
        return self._store().keys()

    def values(self):
        """The members."""
        return self._store().values()

    def items(self):
        """(name, member) pairs."""
        return self._store().items()

    def update(self, members):
        """Add or replace members from a dict or a list of pairs."""
        for name, member in members.items() if hasattr(members, "items") else members:
            self[name] = member

    def pop(self, key):
        """Take a member out and return it."""
        member = self[key]
        del self[key]
        return member

    def clear(self):
        """Take all members out."""
        for name in list(self._store()):
            delattr(self, name)


class ModuleDict(_Keyed):
    """A dict of named modules that are registered; it has no forward."""

    def __init__(self, modules=None):
        if modules is not None:
            self.update(modules)

    def __setitem__(self, name, module):
        self.register_module(name, module)


class ParameterDict(_Keyed):
    """A dict of named Parameters that are registered; tensors and arrays become Parameters."""

    _kind = "parameter"

    def __init__(self, values=None):
        if values is not None:
            self.update(values)

    def __setitem__(self, name, value):
        self.register_parameter(name, value if isinstance(value, Parameter) else Parameter(value))

    def extra_repr(self):
        return "\n  ".join(f"({name}): Parameter {p.dtype}{list(p.shape)}" for name, p in self._parameters.items())
