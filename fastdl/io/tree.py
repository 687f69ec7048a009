"""Nested dicts, lists and tuples with tensors in them, as JSON plus a flat dict of arrays, and back.

The state of an optimizer is such a thing: {"state": {0: {"step": 3, "exp_avg": Tensor}}, "param_groups": [{...}]}.
"""

import math

import numpy as np

from fastdl.autograd import Tensor

_SPECIAL = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


def flatten(tree) -> tuple[object, dict]:
    """(structure, arrays): a JSON-able structure in which a tensor is {"$tensor": name}, and {name: ndarray}."""
    arrays = {}
    return _flatten(tree, "", arrays), arrays


def _flatten(node, path, arrays):
    if isinstance(node, (Tensor, np.ndarray)):
        name = path or "value"
        arrays[name] = node.array if isinstance(node, Tensor) else node
        return {"$array" if isinstance(node, np.ndarray) else "$tensor": name}
    if isinstance(node, np.generic):
        node = node.item()
    if node is None or isinstance(node, (bool, int, str)):
        return node
    if isinstance(node, float):
        return node if math.isfinite(node) else {"$float": str(node)}
    below = f"{path}." if path else ""
    if isinstance(node, dict):
        items = [(key, _flatten(value, f"{below}{key}", arrays)) for key, value in node.items()]
        if all(isinstance(key, str) and not key.startswith("$") for key in node):
            return dict(items)
        if not all(isinstance(key, (str, int)) for key in node):
            raise TypeError(f"cannot save a dict with keys other than text and integers (at {path or 'the top'})")
        if len({str(key) for key in node}) != len(node):
            raise TypeError(f"cannot save a dict with keys that read the same (at {path or 'the top'})")
        return {"$dict": [list(item) for item in items]}
    if isinstance(node, (list, tuple)):
        items = [_flatten(value, f"{below}{i}", arrays) for i, value in enumerate(node)]
        return items if isinstance(node, list) else {"$tuple": items}
    raise TypeError(
        f"cannot save a {type(node).__name__} (at {path or 'the top'}): only tensors, arrays, numbers, text, None and "
        "dicts, lists and tuples of them; nothing is pickled"
    )


def unflatten(structure, arrays: dict):
    """The inverse of flatten."""
    if isinstance(structure, list):
        return [unflatten(value, arrays) for value in structure]
    if not isinstance(structure, dict):
        return structure
    if len(structure) == 1:
        ((key, value),) = structure.items()
        if key == "$tensor":
            return Tensor(arrays[value])
        if key == "$array":
            return arrays[value]
        if key == "$float":
            return _SPECIAL[value]
        if key == "$tuple":
            return tuple(unflatten(v, arrays) for v in value)
        if key == "$dict":
            return {k: unflatten(v, arrays) for k, v in value}
    return {key: unflatten(value, arrays) for key, value in structure.items()}
