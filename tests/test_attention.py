"""Attention and dropout: hand-worked numbers, errors, and what the list of cases cannot say."""

import math

import numpy as np
import pytest

from fastdl import kernels
from fastdl.kernels._philox import number, numbers, philox
from fastdl.kernels._registry import _module
from fastdl.kernels.attention import attention_backward, attention_cost, attention_forward
from fastdl.kernels.dropout import dropout_forward

RUNGS = [r for r in kernels.RUNGS if not isinstance(_module("attention", r), str)]


def _qkv(B=1, H=2, T=5, S=7, D=4, DV=3, dtype="float32", seed=0):
    rng = np.random.default_rng(seed)
    shapes = (B, H, T, D), (B, H, S, D), (B, H, S, DV)
    return [rng.standard_normal(s).astype(dtype) for s in shapes]


# ---------------------------------------------------------------------------------------------------- the naive rung


def test_two_keys_by_hand():
    """Scores 0 and ln 3, so the weights are 1/4 and 3/4."""
    q = np.array([[[[2.0, 0.0]]]])
    k = np.array([[[[0.0, 5.0], [math.log(3) / 2, 7.0]]]])
    v = np.array([[[[4.0, 0.0, 8.0], [8.0, 4.0, 0.0]]]])
    with kernels.use("naive"):
        out, lse = attention_forward(q, k, v, scale=1.0)
        np.testing.assert_allclose(out, [[[[7, 3, 2]]]], rtol=1e-15)
        np.testing.assert_allclose(lse, [[[math.log(4)]]], rtol=1e-15)
        # dout = (1, 0, 0): dp = (4, 8), delta = 7, ds = (1/4 * -3, 3/4 * 1) = (-3/4, 3/4)
        dq, dk, dv = attention_backward(np.array([[[[1.0, 0.0, 0.0]]]]), q, k, v, out, lse, scale=1.0)
    np.testing.assert_allclose(dq, [[[[0.375 * math.log(3), 1.5]]]], rtol=1e-14)
    np.testing.assert_allclose(dk, [[[[-1.5, 0], [1.5, 0]]]], rtol=1e-14)
    np.testing.assert_allclose(dv, [[[[0.25, 0, 0], [0.75, 0, 0]]]], rtol=1e-14)


def test_masks_by_hand():
    """Equal scores: the result is the mean of the values attended to."""
    q, k, v = np.ones((1, 1, 3, 1)), np.zeros((1, 1, 4, 1)), np.arange(4.0).reshape(1, 1, 4, 1)
    with kernels.use("naive"):
        causal, lse = attention_forward(q, k, v, causal=True)
        attend = np.array([[True, False, False, True], [False] * 4, [True] * 4])
        masked, lse_masked = attention_forward(q, k, v, attend)
        added, _ = attention_forward(q, k, v, np.array([0, 0, -np.inf, math.log(2)]))
    np.testing.assert_allclose(causal.ravel(), [0, 0.5, 1], rtol=1e-15)
    np.testing.assert_allclose(lse.ravel(), np.log([1, 2, 3]), rtol=1e-15)
    np.testing.assert_array_equal(masked.ravel(), [1.5, 0, 1.5])
    np.testing.assert_allclose(lse_masked.ravel(), [math.log(2), -np.inf, math.log(4)])
    np.testing.assert_allclose(added.ravel(), [(0 + 1 + 2 * 3) / 4] * 3, rtol=1e-15)


def test_naive_backward_is_the_derivative_of_naive_forward():
    q, k, v = _qkv(dtype="float64")
    dout = np.random.default_rng(1).standard_normal((1, 2, 5, 3))
    mask = np.random.default_rng(2).standard_normal((5, 7))
    options = {"mask": mask, "causal": True, "dropout_p": 0.3, "seed": 5}
    with kernels.use("naive"):
        got = attention_backward(dout, q, k, v, *attention_forward(q, k, v, **options), **options)
        for x, dx in zip((q, k, v), got, strict=True):
            for i in np.ndindex(x.shape):
                h, before, sums = 1e-6, x[i], []
                for value in (before + h, before - h):
                    x[i] = value
                    sums.append(np.sum(dout * attention_forward(q, k, v, **options)[0]))
                x[i] = before
                assert abs((sums[0] - sums[1]) / (2 * h) - dx[i]) < 1e-8


# ------------------------------------------------------------------------------------------------------- every rung


@pytest.mark.parametrize("rung", RUNGS)
def test_rows_that_attend_to_nothing_give_zeros(rung):
    q, k, v = _qkv(T=9, S=70)
    mask = np.ones((9, 70), bool)
    mask[4] = False
    with kernels.use(rung):
        out, lse = attention_forward(q, k, v, mask)
        dq, dk, dv = attention_backward(np.ones_like(out), q, k, v, out, lse, mask)
    assert not out[:, :, 4].any() and not dq[:, :, 4].any()
    assert np.all(lse[:, :, 4] == -np.inf) and np.isfinite(np.delete(lse, 4, axis=2)).all()
    assert all(np.isfinite(x).all() for x in (out, dq, dk, dv))


@pytest.mark.parametrize("rung", RUNGS)
def test_large_scores_do_not_overflow(rung):
    q, k, v = _qkv(T=9, S=300, D=8)
    with kernels.use(rung):
        out, lse = attention_forward(100 * q, 100 * k, v)
    want = np.argmax(q @ k.swapaxes(2, 3), axis=-1)
    np.testing.assert_allclose(out, np.take_along_axis(v, want[..., None], axis=2), rtol=1e-5)
    np.testing.assert_allclose(lse, 1e4 * (q @ k.swapaxes(2, 3)).max(axis=-1) / math.sqrt(8), rtol=1e-5)


@pytest.mark.parametrize("rung", RUNGS)
def test_memory_order_of_the_results(rung):
    """(B, T, H, D), so that merging the heads is a view."""
    q, k, v = _qkv()
    with kernels.use(rung):
        out, lse = attention_forward(q, k, v)
        grads = attention_backward(out, q, k, v, out, lse)
    for x in (out, *grads):
        assert x.transpose(0, 2, 1, 3).flags.c_contiguous


@pytest.mark.parametrize("rung", RUNGS)
def test_dropout_takes_the_same_weights_on_every_rung(rung):
    """With the identity as values, out shows the weights."""
    q, k, _ = _qkv(B=2, H=2, T=9, S=150)
    v = np.broadcast_to(np.eye(150, dtype=np.float32), (2, 2, 150, 150))
    with kernels.use("naive"):
        want = attention_forward(q, k, v, dropout_p=0.4, seed=2**63 + 3)[0]
    with kernels.use(rung):
        got = attention_forward(q, k, v, dropout_p=0.4, seed=2**63 + 3)[0]
    np.testing.assert_array_equal(got == 0, want == 0)
    assert abs(np.mean(want == 0) - 0.4) < 0.03
    assert (want[0, 0] == 0).tolist() != (want[0, 1] == 0).tolist() != (want[1, 0] == 0).tolist()


@pytest.mark.parametrize("rung", RUNGS)
def test_views_of_one_projection(rung):
    """q, k, v as a transformer has them: slices of one (B, T, 3, H, D)."""
    qkv = np.random.default_rng(0).standard_normal((2, 10, 3, 4, 16)).astype(np.float32)
    views = [qkv[:, :, i].transpose(0, 2, 1, 3) for i in range(3)]
    with kernels.use(rung):
        got = attention_forward(*views, causal=True)
    with kernels.use("naive"):
        want = attention_forward(*(x.astype(np.float64) for x in views), causal=True)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_against_torch():
    torch = pytest.importorskip("torch")
    sdpa = torch.nn.functional.scaled_dot_product_attention
    rng = np.random.default_rng(0)
    for T, S, D, causal, mask in [
        (33, 33, 64, True, None),
        (20, 40, 32, True, None),
        (40, 20, 17, False, rng.random((2, 1, 40, 20)) < 0.5),
        (24, 70, 80, False, rng.standard_normal((24, 70)).astype(np.float32)),
    ]:
        q, k, v = _qkv(B=2, H=3, T=T, S=S, D=D, DV=D)
        dout = rng.standard_normal((2, 3, T, D)).astype(np.float32)
        tq, tk, tv = (torch.from_numpy(x).requires_grad_() for x in (q, k, v))
        want = sdpa(tq, tk, tv, attn_mask=None if mask is None else torch.from_numpy(mask), is_causal=causal)
        want.backward(torch.from_numpy(dout))
        out, lse = attention_forward(q, k, v, mask, causal)
        grads = attention_backward(dout, q, k, v, out, lse, mask, causal)
        for a, b in zip((out, *grads), (want.detach(), tq.grad, tk.grad, tv.grad), strict=True):
            np.testing.assert_allclose(a, b.numpy(), rtol=1e-4, atol=1e-5)


# ---------------------------------------------------------------------------------------------------------- contract


def test_cost_counts_what_is_attended_to():
    q, k, v = _qkv(T=5, S=5, D=4, DV=3)
    assert attention_cost(q, k, v) == (2 * 2 * 25 * 7, 4 * 2 * 10 * 7)
    assert attention_cost(q, k, v, causal=True)[0] == 2 * 2 * 15 * 7


def _raises(error, text, *args, **options):
    with pytest.raises(error, match=text):
        attention_forward(*args, **options)


def test_errors():
    q, k, v = _qkv()
    _raises(ValueError, r"q must have 4 axes", q[0], k, v)
    _raises(ValueError, r"do not fit", q[..., :3], k, v)
    _raises(ValueError, r"do not fit", q, k[:, :, :3], v)
    _raises(ValueError, r"do not fit", q[:, :1], k, v)
    _raises(
        ValueError,
        r"mask \(3, 7\) does not broadcast to \(B, H, T, S\) = \(1, 2, 5, 7\)",
        q,
        k,
        v,
        np.ones((3, 7), bool),
    )
    _raises(TypeError, r"mask has dtype int64", q, k, v, np.ones((5, 7), int))
    _raises(TypeError, r"q is float32 but mask is float64", q, k, v, np.ones((5, 7)))
    _raises(TypeError, r"q is float32 but k is float64", q, k.astype(float), v)
    _raises(TypeError, r"dtype int32", q.astype("i4"), k, v)
    _raises(ValueError, r"probability must lie in \[0, 1\]", q, k, v, dropout_p=1.5)
    _raises(ValueError, r"seed must be", q, k, v, dropout_p=0.5, seed=-1)
    out, lse = attention_forward(q, k, v)
    with pytest.raises(ValueError, match=r"lse must have shape"):
        attention_backward(out, q, k, v, out, lse[:, :1])


# ------------------------------------------------------------------------------------------------- Philox and dropout


def test_philox_known_answers():
    """Vectors published with the generator (Random123), for 7 and for 10 rounds."""
    ones = (0xFFFFFFFF,) * 4
    assert philox((0,) * 4, (0, 0), 7) == (0x5F6FB709, 0x0D893F64, 0x4F121F81, 0x4F730A48)
    assert philox((0,) * 4, (0, 0), 10) == (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)
    assert philox(ones, ones[:2], 10) == (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)


def test_whole_groups_of_numbers_equal_single_ones():
    seed, first = 2**63 + 12345, 2**28 - 1  # the second group counts on in c1
    got = numbers(first, 2, 5, 2**31, 9, seed)
    assert got.tolist() == [number(64 * first + i, 5, 2**31, 9, seed) for i in range(128)]


@pytest.mark.parametrize("rung", [r for r in kernels.RUNGS if not isinstance(_module("dropout", r), str)])
def test_dropout_mask_is_the_same_on_every_rung(rung):
    x = np.ones(1000, np.float32)
    with kernels.use("naive"):
        want = dropout_forward(x, 0.25, 7, 2**40)
    with kernels.use(rung):
        assert dropout_forward(x, 0.25, 7, 2**40).tobytes() == want.tobytes()
        assert dropout_forward(x.astype("f8"), 0.25, 7, 2**40).astype("f4").tobytes() == want.tobytes()
        assert dropout_forward(x, 0.25, 7, 2**40 + 1).tobytes() != want.tobytes()
        assert dropout_forward(x, 0.25, 8, 2**40).tobytes() != want.tobytes()


def test_dropout_keeps_the_share_and_the_mean():
    y = dropout_forward(np.ones(200_000, np.float32), 0.3, 1)
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.7)}
    assert abs(np.mean(y == 0) - 0.3) < 5 * math.sqrt(0.3 * 0.7 / 200_000)


def test_dropout_errors():
    x = np.ones(3, np.float32)
    with pytest.raises(ValueError, match=r"probability must lie in \[0, 1\]; got -0.1"):
        dropout_forward(x, -0.1, 0)
    with pytest.raises(ValueError, match="seed"):
        dropout_forward(x, 0.1, 2**64)
    with pytest.raises(ValueError, match="offset"):
        dropout_forward(x, 0.1, 0, -1)
    with pytest.raises(TypeError, match="int64"):
        dropout_forward(np.ones(3, int), 0.1, 0)
