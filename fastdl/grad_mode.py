"""Where operations are recorded: no_grad, enable_grad, set_grad_enabled. A mode of each thread."""

import threading
from _thread import get_ident
from functools import wraps

off = set()  # idents of the threads in which recording is off; nearly always empty, so asking costs one truth test
_local = threading.local()


class _ThreadExit:
    """Lives in a thread's local storage and forgets the thread's mode when the thread ends (idents are reused)."""

    def __init__(self, ident):
        self.ident = ident

    def __del__(self, off=off):  # a default: at the interpreter's end the module's names are gone
        off.discard(self.ident)


def set_mode(enabled):
    """Switch this thread's mode; returns the mode before."""
    ident = get_ident()
    before = ident not in off
    if enabled:
        off.discard(ident)
    else:
        off.add(ident)
    return before


class _Mode:
    """A gradient mode for a `with` block or, as decorator with or without (), for a function."""

    enabled = True

    def __new__(cls, function=None):
        self = object.__new__(cls)
        self.before = []
        return self if function is None else self(function)

    def __enter__(self):
        self.before.append(set_mode(self.enabled))

    def __exit__(self, *error):
        set_mode(self.before.pop())

    def __call__(self, function):
        @wraps(function)
        def call(*args, **kwargs):
            before = set_mode(self.enabled)
            try:
                return function(*args, **kwargs)
            finally:
                set_mode(before)

        return call


class no_grad(_Mode):
    """Nothing is recorded: `with no_grad():` or `@no_grad()`."""

    enabled = False


class inference_mode(no_grad):
    """no_grad under torch's other name."""


class enable_grad(_Mode):
    """Recording is on again inside a no_grad block."""


class set_grad_enabled(_Mode):
    """set_grad_enabled(mode): switches at once, as a function; restores at the end where used as a `with` block."""

    def __new__(cls, mode):
        self = object.__new__(cls)
        self.enabled = bool(mode)
        self.before = []
        self.previous = set_mode(self.enabled)
        if not hasattr(_local, "guard"):
            _local.guard = _ThreadExit(get_ident())
        return self

    def __enter__(self):
        self.before.append(self.previous)
        set_mode(self.enabled)

    def __call__(self, function):
        set_mode(self.previous)
        return _Mode.__call__(self, function)
