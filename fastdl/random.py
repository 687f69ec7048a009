"""The random numbers of fastdl: one NumPy generator that init, dropout, noise and sampling draw from.

Shuffling has seeds of its own (fastdl.data), so what one part draws never changes the order of the data.
NumPy's random module is imported on first use only.
"""

from contextlib import contextmanager

_SEED = 0  # of a process that never calls manual_seed: runs repeat by default
_state = {"generator": None, "seed": _SEED}


def generator():
    """The global numpy.random.Generator. Always the same object: manual_seed and set_rng_state change it in place."""
    g = _state["generator"]
    if g is None:
        import numpy as np

        g = _state["generator"] = np.random.Generator(np.random.PCG64(_state["seed"]))
    return g


def manual_seed(seed: int):
    """Start the global generator anew from `seed` (an integer >= 0); returns it."""
    import numpy as np

    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"manual_seed: expected an integer of at least 0; got {seed!r}")
    g = generator()
    g.bit_generator.state = np.random.PCG64(int(seed)).state
    _state["seed"] = int(seed)
    return g


def initial_seed() -> int:
    """The seed that the global generator was last started from."""
    return _state["seed"]


def get_rng_state() -> dict:
    """The state of the global generator: a dict of text and integers (fits into JSON)."""
    return generator().bit_generator.state


def set_rng_state(state: dict) -> None:
    """Continue from a state that get_rng_state gave."""
    generator().bit_generator.state = state


@contextmanager
def fork_rng():
    """What is drawn inside the block leaves the global generator as it was before."""
    before, seed = get_rng_state(), _state["seed"]
    try:
        yield generator()
    finally:
        set_rng_state(before)
        _state["seed"] = seed
