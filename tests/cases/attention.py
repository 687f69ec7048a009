"""Cases of attention: forward and backward of each configuration."""

import numpy as np

from fastdl.testing import Case

BERT, GPT, VIT, LONG, TINY = (4, 12, 128, 64), (2, 12, 512, 64), (8, 12, 197, 64), (1, 8, 2048, 64), (32, 4, 16, 16)


def _pair(name, B, H, T, S, D, DV=None, mask=None, bench=False, q=None, **params):
    """The forward and the backward case. Backward gets an out and an lse of the size that forward would give."""
    DV = D if DV is None else DV
    keys = np.minimum(np.arange(1, T + 1), S) if params.get("causal") else np.full(T, S)

    def lse(rng):
        return np.log(np.maximum(keys, 1)) + 0.5 + 0.1 * rng.standard_normal((B, H, T))

    def out(rng):
        return rng.standard_normal((B, H, T, DV)) / np.sqrt(np.maximum(keys, 1))[:, None]

    inputs = {"q": q or (B, H, T, D), "k": (B, H, S, D), "v": (B, H, S, DV)}
    return [
        Case(name, "attention_forward", {**inputs, "mask": mask}, params, K=max(1, D + S), bench=bench),
        Case(
            name,
            "attention_backward",
            {"dout": (B, H, T, DV), **inputs, "out": out, "lse": lse, "mask": mask},
            params,
            K=D + 2 * DV + max(T, S),  # of the scores, of dp and delta, of the result
            bench=bench,
        ),
    ]


def _bool(*shape, keep=0.7):
    return lambda rng: rng.random(shape) < keep


def _with_masked_row(rng):
    mask = rng.random((1, 2, 9, 11)) < 0.5
    mask[0, 0, 3] = mask[0, 1, 8] = False
    return mask


def _minus_inf(rng):
    mask = rng.standard_normal((2, 1, 7, 70))
    mask[0, 0, 2] = -np.inf
    mask[1, 0, :, 60:] = -np.inf
    return mask


def _with_nan(rng):
    q = rng.standard_normal((1, 2, 9, 8))
    q[0, 1, 4, 3] = np.nan
    return q


CASES = [
    *_pair("size one", 1, 1, 1, 1, 1),
    *_pair("primes", 2, 3, 7, 11, 5, 13),
    *_pair("one row", 1, 2, 1, 131, 64),
    *_pair("three rows, short heads", 1, 2, 3, 67, 7, 9),
    *_pair("one key", 1, 2, 13, 1, 8),
    *_pair("no rows", 1, 2, 0, 3, 4),
    *_pair("no keys", 1, 2, 3, 0, 4),
    *_pair("empty batch", 0, 2, 3, 3, 4),
    *_pair("no heads' width", 1, 1, 2, 3, 0, 4),
    *_pair("no values' width", 1, 1, 2, 3, 4, 0),
    *_pair("small", 3, 2, 16, 16, 16),
    *_pair("small, causal", 3, 2, 16, 16, 16, causal=True),
    *_pair("causal", 1, 2, 37, 37, 24, causal=True),
    *_pair("few rows", 2, 2, 8, 23, 16),
    *_pair("few rows, odd widths", 1, 2, 7, 19, 9, 21),
    *_pair("few rows, causal", 1, 3, 8, 8, 16, causal=True),
    *_pair("few rows, as many keys as there may be", 1, 1, 6, 256, 8),
    *_pair("few rows, one key too many", 1, 1, 6, 257, 8),
    *_pair("a panel of rows", 1, 2, 64, 64, 32, causal=True),
    *_pair("a panel of rows, more keys", 1, 1, 64, 100, 16),
    *_pair("a row more than a panel", 1, 1, 65, 65, 16, causal=True),
    *_pair("causal, more rows", 1, 1, 23, 9, 8, causal=True),
    *_pair("causal, more keys", 1, 1, 9, 80, 8, causal=True),
    *_pair("blocks and a bit, causal", 1, 1, 67, 261, 20, 33, causal=True),
    *_pair("blocks and a bit", 1, 1, 29, 333, 6, 70),
    *_pair("rows and a bit", 1, 1, 131, 19, 4, causal=True),
    *_pair("wide heads", 1, 1, 13, 18, 263, 130),
    *_pair("scale", 1, 2, 8, 9, 8, scale=-0.7),
    *_pair("scale zero", 1, 1, 5, 6, 8, scale=0.0),
    *_pair("bool mask", 1, 2, 9, 70, 8, mask=_bool(1, 2, 9, 70)),
    *_pair("bool mask, masked rows", 1, 2, 9, 11, 8, mask=_with_masked_row),
    *_pair("bool mask over keys, causal", 2, 2, 19, 19, 16, mask=_bool(2, 1, 1, 19, keep=0.5), causal=True),
    *_pair("bool mask over rows", 2, 2, 9, 17, 8, mask=_bool(9, 1, keep=0.5)),
    *_pair("additive mask", 2, 2, 9, 70, 8, mask=(2, 2, 9, 70)),
    *_pair("additive mask over keys", 2, 3, 9, 21, 8, mask=(21,)),
    *_pair("additive mask over rows", 2, 1, 9, 21, 8, mask=(2, 1, 9, 1)),
    *_pair("minus infinity", 2, 2, 7, 70, 8, mask=_minus_inf),
    *_pair("dropout", 2, 3, 9, 131, 8, dropout_p=0.3, seed=2**40 + 7),
    *_pair("dropout, causal", 1, 2, 41, 41, 16, 5, causal=True, dropout_p=0.5, seed=3),
    *_pair("dropout of all", 1, 1, 4, 5, 8, dropout_p=1.0, seed=3),
    *_pair("NaN", 1, 2, 9, 9, 8, q=_with_nan)[:1],
    *_pair("two heads", 1, 2, 128, 128, 64, bench=True),
    *_pair("bert", *BERT[:3], *BERT[2:], bench=True),
    *_pair("gpt, causal", *GPT[:3], *GPT[2:], causal=True, bench=True),
    *_pair("vit", *VIT[:3], *VIT[2:], bench=True),
    *_pair("long, causal", *LONG[:3], *LONG[2:], causal=True, bench=True),
    *_pair("tiny, causal", *TINY[:3], *TINY[2:], causal=True, bench=True),
]
