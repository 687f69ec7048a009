"""softmax, log_softmax, softmax_cross_entropy: numbers worked by hand, errors; the ops against PyTorch, derivatives."""

import numpy as np
import pytest

from fastdl import kernels
from fastdl.kernels.softmax import softmax_backward, softmax_forward
from fastdl.kernels.softmax_cross_entropy import softmax_cross_entropy_backward, softmax_cross_entropy_forward


@pytest.fixture(params=kernels.RUNGS)
def rung(request):
    with kernels.use(request.param):
        yield request.param


def array(values):
    return np.array(values, np.float32)


# --- by hand -------------------------------------------------------------------------------------------------------
def test_softmax_by_hand(rung):
    x = array([np.log([1, 2, 5]), np.log([3, 3, 2])])
    p = np.array([[1 / 8, 2 / 8, 5 / 8], [3 / 8, 3 / 8, 2 / 8]])
    np.testing.assert_allclose(softmax_forward(x), p, rtol=1e-6)
    np.testing.assert_allclose(softmax_forward(x, log=True), np.log(p), rtol=1e-6)
    np.testing.assert_allclose(softmax_forward(x.T, axis=0), p.T, rtol=1e-6)


def test_softmax_backward_by_hand(rung):
    """p = (1/4, 3/4), dy = (1, 0): dx = p (dy - 1/4) = (3/16, -3/16); log: dx = dy - p = (3/4, -3/4)."""
    p, dy = array([0.25, 0.75]), array([1, 0])
    np.testing.assert_allclose(softmax_backward(dy, p), [3 / 16, -3 / 16], rtol=1e-6)
    np.testing.assert_allclose(softmax_backward(dy, np.log(p), log=True), [3 / 4, -3 / 4], rtol=1e-6)


def test_cross_entropy_by_hand(rung):
    """p = (1/4, 3/4) and (1/2, 1/2), labels 1 and 0: losses ln(4/3) and ln 2."""
    logits = array([[0, np.log(3)], [7, 7]])
    loss, d = softmax_cross_entropy_forward(logits, np.array([1, 0]), with_gradient=True)
    np.testing.assert_allclose(loss, (np.log(4 / 3) + np.log(2)) / 2, rtol=1e-6)
    np.testing.assert_allclose(d, [[1 / 8, -1 / 8], [-1 / 4, 1 / 4]], rtol=1e-6)
    weighted = softmax_cross_entropy_forward(logits, np.array([1, 0]), weight=array([3, 1]))
    np.testing.assert_allclose(weighted, (np.log(4 / 3) + 3 * np.log(2)) / 4, rtol=1e-6)
    smooth = softmax_cross_entropy_forward(logits, np.array([1, 0]), label_smoothing=0.5, reduction="none")
    np.testing.assert_allclose(smooth, [0.75 * np.log(4 / 3) + 0.25 * np.log(4), np.log(2)], rtol=1e-6)
    ignored = softmax_cross_entropy_forward(logits, np.array([1, 0], np.int8), ignore_index=0, reduction="none")
    np.testing.assert_allclose(ignored, [np.log(4 / 3), 0], rtol=1e-6)


def test_cross_entropy_of_huge_logits(rung):
    logits = array([[1e4, -1e4, 0], [-1e4, 1e4, 9999]])
    loss, d = softmax_cross_entropy_forward(logits, np.array([1, 1]), reduction="none", with_gradient=True)
    p = 1 / (1 + np.exp(-1.0))
    np.testing.assert_allclose(loss, [2e4, -np.log(p)], rtol=1e-6)
    np.testing.assert_allclose(d, [[1, -1, 0], [0, p - 1, 1 - p]], rtol=1e-6)


def test_cross_entropy_mean_over_nothing_is_nan(rung):
    assert np.isnan(softmax_cross_entropy_forward(np.zeros((0, 3), np.float32), np.zeros(0, int)))
    assert np.isnan(softmax_cross_entropy_forward(np.zeros((2, 3), np.float32), np.full(2, -100)))


# --- errors --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("labels", "params", "error", "words"),
    [
        ([[0, 1], [2, 3]], {}, ValueError, "labels must have shape (2,)"),
        ([0.0, 1.0], {}, TypeError, "labels must be integers"),
        ([0, 4], {}, ValueError, "label 4 at index 1 is out of range for 4 classes"),
        ([-1, 0], {}, ValueError, "label -1 at index 0 is out of range"),
        ([-100, 4], {}, ValueError, "label 4 at index 1"),
        ([0, 1], {"reduction": "avg"}, ValueError, "reduction must be one of"),
        ([0, 1], {"label_smoothing": 1.5}, ValueError, "label_smoothing must lie"),
        ([0, 1], {"weight": np.ones(3, np.float32)}, ValueError, "weight must have shape (4,)"),
        ([0, 1], {"weight": np.ones(4)}, TypeError, "weight is float64"),
    ],
)
def test_cross_entropy_errors(labels, params, error, words):
    with pytest.raises(error) as info:
        softmax_cross_entropy_forward(np.zeros((2, 4), np.float32), np.array(labels), **params)
    assert words in str(info.value)


def test_label_out_of_range_in_an_image():
    labels = np.zeros((2, 3, 3), np.uint8)
    labels[1, 2, 0] = 255
    with pytest.raises(ValueError, match=r"label 255 at index \(1, 2, 0\)"):
        softmax_cross_entropy_forward(np.zeros((2, 4, 3, 3), np.float32), labels)
    softmax_cross_entropy_forward(np.zeros((2, 4, 3, 3), np.float32), labels, ignore_index=255)


def test_softmax_errors():
    with pytest.raises(IndexError, match="axis 2 is out of range"):
        softmax_forward(np.zeros((2, 3), np.float32), axis=2)
    with pytest.raises(TypeError, match="int64"):
        softmax_forward(np.zeros((2, 3), int))
    with pytest.raises(ValueError, match="dy has shape"):
        softmax_backward(np.zeros((2, 3), np.float32), np.zeros((3, 2), np.float32))
    with pytest.raises(ValueError, match="dy has shape"):
        softmax_cross_entropy_backward(np.ones(2, np.float32), np.zeros((2, 3), np.float32), np.zeros(2, int))
