"""Infinities and NaN are ordinary results of division, logarithm and the like: compute without NumPy's warnings."""

import numpy as np

try:  # np.errstate costs 1.2 us a block, setting its context variable 0.2 us
    from numpy._core.umath import _extobj_contextvar as _state
    from numpy._core.umath import _make_extobj

    _ignore = _make_extobj(all="ignore")
except ImportError:
    _state = None


def quietly(function, *args):
    """function(*args) with NumPy's floating point warnings off."""
    if _state is None:
        with np.errstate(all="ignore"):
            return function(*args)
    token = _state.set(_ignore)
    try:
        return function(*args)
    finally:
        _state.reset(token)
