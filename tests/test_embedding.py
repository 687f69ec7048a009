"""Embedding: hand-worked numbers for the naive rung, the order of sums, errors of the contract."""

import numpy as np
import pytest

from fastdl import kernels
from fastdl.kernels.embedding import embedding_backward_w, embedding_forward

TABLE = np.array([[0.0, 1], [2, 3], [4, 5]])


def test_by_hand():
    index = np.array([[2, 0], [2, 1]])
    with kernels.use("naive"):
        np.testing.assert_array_equal(embedding_forward(index, TABLE), [[[4, 5], [0, 1]], [[4, 5], [2, 3]]])
        dy = np.array([[[1.0, 2], [3, 4]], [[10, 20], [30, 40]]])
        np.testing.assert_array_equal(embedding_backward_w(dy, index, 3), [[3, 4], [30, 40], [11, 22]])
        np.testing.assert_array_equal(embedding_backward_w(dy, index, 4, 2), [[3, 4], [30, 40], [0, 0], [0, 0]])


@pytest.mark.parametrize("rung", ["naive", "cython"])
def test_gradients_add_up_in_the_order_of_the_text(rung):
    dy = np.array([[1e8], [1.0], [-1e8]], np.float32)  # in this order the 1 is lost; in any other it survives
    with kernels.use(rung):
        assert embedding_backward_w(dy, np.zeros(3, np.int64), 1)[0, 0] == 0
        assert embedding_backward_w(dy[[0, 2, 1]], np.zeros(3, np.int64), 1)[0, 0] == 1


@pytest.mark.parametrize("wrong", [3, -1])
def test_numbers_outside_the_table(wrong):
    with pytest.raises(IndexError, match=f"index {wrong} is outside the table, whose rows are 0 to 2"):
        embedding_forward(np.array([0, wrong]), TABLE)


def test_errors():
    with pytest.raises(TypeError, match=r"must hold integers, not float64 \(use .long\(\)\)"):
        embedding_forward(np.array([0.0]), TABLE)
    with pytest.raises(ValueError, match="does not fit an index"):
        embedding_backward_w(TABLE, np.array([0, 1]), 3)
    with pytest.raises(ValueError, match="must have 2 axes"):
        embedding_forward(np.array([0]), TABLE[0])
