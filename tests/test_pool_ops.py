"""The ops on the pooling, embedding, resizing and RoI kernels: both derivatives, torch side by side, errors."""

import numpy as np
import pytest

import fastdl as fd
from fastdl.autograd import gradcheck, gradgradcheck
from fastdl.ops import embedding as E
from fastdl.ops import pool as P
from fastdl.ops import resize as R
from fastdl.ops import roi

BOXES = np.array([[0, 0.5, 0.75, 4.25, 4.5], [1, 1, 1, 3, 6], [0, 2, 2, 8, 8.0]])
WORDS = np.array([[2, 0, 2], [1, 4, 2]])

# name, the op, the shape of its input, and what torch calls it (None: torch has no such op)
OPS = [
    ("max_pool2d", lambda F, x: F.max_pool2d(x, 3, 2, 1), (2, 3, 6, 7)),
    ("max_pool2d, ceil, dilation", lambda F, x: F.max_pool2d(x, 2, 2, 0, 2, True), (2, 3, 6, 7)),
    ("max_pool2d, no batch", lambda F, x: F.max_pool2d(x, (3, 2)), (3, 6, 7)),
    ("max_pool2d, indices", lambda F, x: F.max_pool2d(x, 2, return_indices=True), (2, 3, 6, 7)),
    ("max_pool1d", lambda F, x: F.max_pool1d(x, 3, 2, 1), (2, 3, 9)),
    ("max_pool1d, no batch, indices", lambda F, x: F.max_pool1d(x, (3,), (2,), return_indices=True), (3, 9)),
    ("avg_pool2d", lambda F, x: F.avg_pool2d(x, 3, 2, 1), (2, 3, 6, 7)),
    ("avg_pool2d, inside, ceil", lambda F, x: F.avg_pool2d(x, 3, 2, 1, True, False), (2, 3, 6, 7)),
    ("avg_pool2d, divisor", lambda F, x: F.avg_pool2d(x, 2, divisor_override=3), (3, 6, 7)),
    ("avg_pool1d", lambda F, x: F.avg_pool1d(x, 3, 2, 1, count_include_pad=False), (2, 3, 9)),
    ("adaptive_avg_pool2d", lambda F, x: F.adaptive_avg_pool2d(x, (3, 4)), (2, 3, 7, 9)),
    ("adaptive_avg_pool2d, global", lambda F, x: F.adaptive_avg_pool2d(x, 1), (2, 3, 7, 9)),
    ("adaptive_avg_pool2d, None", lambda F, x: F.adaptive_avg_pool2d(x, (None, 2)), (2, 3, 7, 9)),
    ("adaptive_avg_pool1d", lambda F, x: F.adaptive_avg_pool1d(x, 4), (2, 3, 9)),
    ("adaptive_max_pool2d", lambda F, x: F.adaptive_max_pool2d(x, (3, 4)), (2, 3, 7, 9)),
    ("adaptive_max_pool1d, indices", lambda F, x: F.adaptive_max_pool1d(x, 4, True), (2, 3, 9)),
    ("lp_pool2d", lambda F, x: F.lp_pool2d(x * x + 0.1, 3.0, 2, 1), (2, 3, 4, 5)),
    ("lp_pool1d", lambda F, x: F.lp_pool1d(x, 2.0, 3), (2, 3, 9)),
    ("nearest", lambda F, x: F.interpolate(x, scale_factor=2), (2, 3, 4, 5)),
    ("nearest, size", lambda F, x: F.interpolate(x, (7, 3)), (2, 3, 4, 5)),
    ("nearest, line", lambda F, x: F.interpolate(x, 7), (2, 3, 4)),
    ("linear", lambda F, x: F.interpolate(x, scale_factor=1.7, mode="linear"), (2, 3, 5)),
    ("bilinear", lambda F, x: F.interpolate(x, scale_factor=(2, 1.5), mode="bilinear"), (2, 3, 4, 5)),
    ("bilinear, recomputed", lambda F, x: F.interpolate(
        x, scale_factor=1.3, mode="bilinear", recompute_scale_factor=True), (2, 3, 4, 5)),
    ("bilinear, corners", lambda F, x: F.interpolate(x, (7, 9), mode="bilinear", align_corners=True), (2, 3, 4, 5)),
    ("bicubic", lambda F, x: F.interpolate(x, (7, 3), mode="bicubic", align_corners=False), (2, 3, 4, 5)),
    ("area", lambda F, x: F.interpolate(x, (3, 2), mode="area"), (2, 3, 7, 5)),
    ("pixel_shuffle", lambda F, x: F.pixel_shuffle(x, 2), (2, 8, 3, 5)),
    ("pixel_unshuffle", lambda F, x: F.pixel_unshuffle(x, 2), (2, 3, 4, 6)),
]  # fmt: skip
OWN = [
    ("roi_pool", lambda F, x: F.roi_pool(x, BOXES, 2), (2, 3, 7, 8)),
    ("roi_pool, scaled", lambda F, x: F.roi_pool(x, BOXES * [1, 4, 4, 4, 4], (2, 3), 0.25), (2, 3, 7, 8)),
    ("roi_align", lambda F, x: F.roi_align(x, BOXES, 2), (2, 3, 7, 8)),
    ("roi_align, 2 samples", lambda F, x: F.roi_align(x, BOXES, (3, 2), 0.5, 2, True), (2, 3, 7, 8)),
    ("embedding", lambda F, x: F.embedding(WORDS, x), (5, 4)),
]


class fns:
    """fastdl's functions under one name."""


for module in (P, R, roi, E):
    for name, thing in vars(module).items():
        if callable(thing) and not isinstance(thing, type) and not name.startswith("_"):
            setattr(fns, name, staticmethod(thing))


def distinct(shape, dtype=np.float64):
    """Numbers that finite differences do not reorder."""
    return (np.random.default_rng(3).permutation(int(np.prod(shape))).reshape(shape) * 0.1 - 2).astype(dtype)


def floats(result):
    """The float parts of a result."""
    parts = result if isinstance(result, tuple) else (result,)
    return tuple(p for p in parts if "float" in str(p.dtype))


@pytest.mark.parametrize(("name", "op", "shape"), OPS + OWN, ids=lambda v: v if isinstance(v, str) else "")
def test_both_derivatives(name, op, shape):
    x = fd.tensor(distinct(shape), requires_grad=True)
    assert gradcheck(lambda x: floats(op(fns, x)), [x])
    assert gradgradcheck(lambda x: floats(op(fns, x)), [x])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "op", "shape"), OPS, ids=lambda v: v if isinstance(v, str) else "")
def test_as_torch(name, op, shape, dtype):
    torch = pytest.importorskip("torch")
    x, theirs = fd.tensor(distinct(shape, dtype), requires_grad=True), torch.tensor(distinct(shape, dtype))
    theirs.requires_grad_()
    got, want = op(fns, x), op(torch.nn.functional, theirs)
    got, want = (r if isinstance(r, tuple) else (r,) for r in (got, want))
    tolerance = {"rtol": 1e-5, "atol": 2e-5} if dtype == np.float32 else {"rtol": 1e-10, "atol": 2e-6}
    for g, w in zip(got, want, strict=True):
        assert str(g.dtype) == str(w.dtype).removeprefix("torch.")
        np.testing.assert_allclose(g.detach().numpy(), w.detach().numpy(), **tolerance)
    got[0].backward(fd.tensor(distinct(got[0].shape, dtype)))
    want[0].backward(torch.tensor(distinct(got[0].shape, dtype)))
    np.testing.assert_allclose(x.grad.numpy(), theirs.grad.numpy(), **tolerance)


def test_embedding_gives_no_gradient_to_its_padding():
    w = fd.tensor(distinct((5, 4)), requires_grad=True)
    E.embedding(WORDS, w, padding_idx=2).sum().backward()
    np.testing.assert_array_equal(w.grad.numpy(), np.array([[1], [1], [0], [0], [1]]) * np.ones(4))
    assert gradgradcheck(lambda w: E.embedding(WORDS, w, padding_idx=2), [w])


def test_embedding_as_torch():
    torch = pytest.importorskip("torch")
    w, theirs = fd.tensor(distinct((5, 4)), requires_grad=True), torch.tensor(distinct((5, 4)), requires_grad=True)
    for dtype in (np.int64, np.int32, np.uint8):
        y = E.embedding(fd.tensor(WORDS.astype(dtype)), w, -3)
        want = torch.nn.functional.embedding(torch.tensor(WORDS), theirs, -3)
        np.testing.assert_array_equal(y.detach().numpy(), want.detach().numpy())
    y.sum().backward()
    want.sum().backward()
    np.testing.assert_array_equal(w.grad.numpy(), theirs.grad.numpy())


def test_unpooling_undoes_pooling():
    torch = pytest.importorskip("torch")
    for shape, size in [((2, 3, 6, 8), None), ((3, 7, 8), (7, 8))]:
        x = fd.tensor(distinct(shape), requires_grad=True)
        y = P.max_unpool2d(*P.max_pool2d(x, 2, return_indices=True), 2, output_size=size)
        theirs = torch.nn.functional.max_pool2d(torch.tensor(x.detach().numpy()), 2, return_indices=True)
        want = torch.nn.functional.max_unpool2d(*theirs, 2, output_size=size)
        np.testing.assert_array_equal(y.detach().numpy(), want.numpy())
        y.sum().backward()
        np.testing.assert_array_equal(x.grad.numpy(), (want != 0).double().numpy())
    x = fd.tensor(distinct((2, 3, 8)))
    y = P.max_unpool1d(*P.max_pool1d(x, 2, return_indices=True), 2)
    np.testing.assert_array_equal(P.max_pool1d(y, 2).numpy(), np.maximum(P.max_pool1d(x, 2).numpy(), 0))


def test_boxes_as_a_list():
    x = fd.tensor(distinct((2, 3, 7, 8)))
    as_list = [fd.tensor(BOXES[[0, 2], 1:]), BOXES[[1], 1:]]
    order = [0, 2, 1]
    for op in (roi.roi_pool, roi.roi_align):
        np.testing.assert_array_equal(op(x, as_list, 2).numpy(), op(x, fd.tensor(BOXES[order]), 2).numpy())
    assert roi.roi_align(x, [], 2).shape == (0, 3, 2, 2)
    assert roi.roi_pool(x, [np.zeros((0, 4))] * 2, 2).shape == (0, 3, 2, 2)
    with pytest.raises(ValueError, match=r"the boxes of image 1 must have shape \(L, 4\)"):
        roi.roi_pool(x, [BOXES[:, 1:], BOXES], 2)


def test_activations_stay_channels_last():
    x = fd.tensor(distinct((2, 3, 7, 8), np.float32))
    for op in (lambda x: P.max_pool2d(x, 2), lambda x: P.avg_pool2d(x, 2), lambda x: R.interpolate(x, 5)):
        assert op(x).numpy().transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: P.max_pool2d(x[0, 0], 2), RuntimeError, r"must have shape \(N, C, H, W\) or \(C, H, W\)"),
        (lambda x: P.max_pool2d(x[:, :0], 2), RuntimeError, "all sizes but N positive"),
        (lambda x: P.max_pool2d(x, 9), ValueError, "a window of 9 does not fit"),
        (lambda x: P.avg_pool2d(x, 2, 0.5), ValueError, "avg_pool2d: stride must be one integer or two"),
        (lambda x: P.max_pool2d(x.long(), 2), TypeError, r"int64; it must be float32 or float64 \(use .float\(\)\)"),
        (lambda x: P.max_unpool2d(x, x[:1].long(), 2), RuntimeError, "must have the same shape"),
        (lambda x: R.interpolate(x), ValueError, "either size or scale_factor"),
        (lambda x: R.interpolate(x, 2, 2), ValueError, "either size or scale_factor"),
        (lambda x: R.interpolate(x, (2, 2, 2)), ValueError, "must be one number or 2"),
        (lambda x: R.interpolate(x, 2, mode="linear"), ValueError, "choose one of nearest, bilinear, bicubic, area"),
        (lambda x: R.interpolate(x, 2, align_corners=True), ValueError, "align_corners has no meaning"),
        (lambda x: R.interpolate(x[0, 0], 2), ValueError, r"\(N, C, L\) or \(N, C, H, W\)"),
        (lambda x: R.pixel_shuffle(x, 2), RuntimeError, "3 channels must be a multiple"),
        (lambda x: R.pixel_unshuffle(x, 2), RuntimeError, "height 7 and width 8 must be multiples"),
        (lambda x: E.embedding(x.long(), x[0, 0], 7), ValueError, "padding_idx=7 must be a row of the 7"),
        (lambda x: E.embedding(x, x[0, 0]), TypeError, "must hold integers"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call(fd.tensor(distinct((2, 3, 7, 8), np.float32)))
