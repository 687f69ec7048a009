"""Philox4x32-7: random numbers that are a function of (seed, position), so that no mask is ever stored.

One call turns a 128-bit counter and a 64-bit key into four independent 32-bit words. Numbers come in groups of 64:
number r of a group is word r // 16 of counter 16 * group + r % 16, so that a vector of 4, 8 or 16 counters yields whole
vectors of neighbouring numbers. The counter's upper words name the sequence. csrc/simd/philox.h computes the same bits.

Ref  Salmon, Moraes, Dror, Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011.
"""

import numpy as np

ROUNDS = 7  # the fewest that pass BigCrush (Salmon et al., table 2)
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
MASK32 = 0xFFFFFFFF
GROUP = 64


def philox(counter, key, rounds=ROUNDS):
    """Four words from four counter words and two key words, in plain Python: the specification."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(rounds):
        p0, p1 = MULTIPLIERS[0] * c0, MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & MASK32, (p0 >> 32) ^ c3 ^ k1, p0 & MASK32
        k0, k1 = (k0 + WEYL[0]) & MASK32, (k1 + WEYL[1]) & MASK32
    return c0, c1, c2, c3


def number(n, c1, c2, c3, seed):
    """Number n of the sequence that (c1, c2, c3) and the seed name; n beyond 2**34 counts on in c1."""
    group, r = divmod(n, GROUP)
    c0 = 16 * group + r % 16
    return philox((c0 & MASK32, c1 + (c0 >> 32), c2, c3), (seed & MASK32, seed >> 32))[r // 16]


def numbers(first_group, groups, c1, c2, c3, seed):
    """Numbers of whole groups, uint32 of shape (..., 64 * groups), for arrays c1, c2, c3 of shape (..., 1)."""
    n = np.arange(16 * first_group, 16 * (first_group + groups), dtype=np.uint64)
    c0, c1, c2, c3 = n & np.uint64(MASK32), np.uint64(c1) + (n >> np.uint64(32)), np.uint64(c2), np.uint64(c3)
    k0, k1 = seed & MASK32, seed >> 32
    m0, m1, low, half = np.uint64(MULTIPLIERS[0]), np.uint64(MULTIPLIERS[1]), np.uint64(MASK32), np.uint64(32)
    for _ in range(ROUNDS):
        p0, p1 = m0 * c0, m1 * c2
        c0, c1, c2, c3 = p1 >> half ^ c1 ^ np.uint64(k0), p1 & low, p0 >> half ^ c3 ^ np.uint64(k1), p0 & low
        k0, k1 = (k0 + WEYL[0]) & MASK32, (k1 + WEYL[1]) & MASK32
    words = np.stack([w.reshape(*w.shape[:-1], groups, 16) for w in np.broadcast_arrays(c0, c1, c2, c3)], axis=-2)
    return words.astype(np.uint32).reshape(*words.shape[:-3], groups * GROUP)  # (..., groups, 4, 16) in order


def attention_factors(B, H, rows, S, p, seed, dtype):
    """What dropout multiplies the weights of attention with, 0 or 1 / (1 - p): (B, H, rows, S) for a slice of rows."""
    if p == 1:
        return np.zeros((B, H, rows.stop - rows.start, S), dtype)
    head = np.arange(B * H, dtype=np.uint64).reshape(B, H, 1, 1)
    t = np.arange(rows.start, rows.stop, dtype=np.uint64)[:, None]
    n = numbers(0, -(-S // GROUP), t, head, 0, seed)[..., :S]
    return (n >= drop_threshold(p)) * np.dtype(dtype).type(keep_scale(p))


def drop_threshold(p):
    """Numbers below it are dropped."""
    return min(round(p * 2**32), MASK32)


def keep_scale(p):
    """What the survivors are multiplied by; p = 1 drops all, so the factor only has to be finite."""
    return 1 / (1 - p) if p < 1 else 0.0


def check_dropout(layer, p, seed):
    """Raise ValueError for a probability outside [0, 1] or a seed that is no unsigned 64-bit integer."""
    if not 0 <= p <= 1:
        raise ValueError(f"{layer}: the dropout probability must lie in [0, 1]; got {p!r}")
    if not 0 <= seed < 2**64:
        raise ValueError(f"{layer}: seed must be an integer in [0, 2**64); got {seed!r}")
