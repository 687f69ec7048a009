"""Sizes given as one integer or one for each axis."""


def tuple_of(value, n: int, name: str, least: int = 1) -> tuple:
    """`value` as a tuple of n integers of at least `least`."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,) * n
    if len(values) != n or any(isinstance(v, bool) or not hasattr(v, "__index__") or v < least for v in values):
        raise ValueError(f"{name} must be an integer of at least {least}, or {n} of them; got {value!r}")
    return tuple(int(v) for v in values)
