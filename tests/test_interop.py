"""Ways in and out: NumPy, DLPack, Python numbers, text; and random numbers."""

import numpy as np
import pytest

import fastdl as fd


def test_from_numpy_and_numpy_share_memory():
    a = np.arange(6, dtype=np.float32).reshape(2, 3)
    x = fd.from_numpy(a)
    assert x.array is a and x.numpy() is a
    x.add_(1)
    assert a[0, 0] == 1
    a[1, 1] = 50
    assert x[1, 1].item() == 50


def test_from_numpy_refuses_what_it_cannot_share():
    with pytest.raises(TypeError, match="list"):
        fd.from_numpy([1, 2])
    with pytest.raises(ValueError, match="byte order"):
        fd.from_numpy(np.zeros(2, ">f4"))
    with pytest.raises(TypeError, match="complex"):
        fd.from_numpy(np.zeros(2, complex))


@pytest.mark.parametrize("view", [lambda a: a[::-1], lambda a: a[:, ::2], lambda a: a.T, lambda a: a[1:1]])
def test_from_numpy_takes_any_strides(view):
    a = view(np.arange(12.0).reshape(3, 4))
    np.testing.assert_array_equal((fd.from_numpy(a) * 2 + fd.from_numpy(a)).array, a * 3)


def test_read_only_memory_stays_read_only():
    a = np.ones(3, np.float32)
    a.flags.writeable = False
    x = fd.from_numpy(a)
    with pytest.raises(RuntimeError, match="read-only"):
        x.add_(1)
    with pytest.raises(RuntimeError, match="read-only"):
        x[0] = 1


def test_numpy_of_a_tensor_that_requires_grad():
    x = fd.ones(2, requires_grad=True)
    for export in (x.numpy, lambda: np.asarray(x), lambda: np.from_dlpack(x)):
        with pytest.raises((RuntimeError, BufferError), match="detach"):
            export()
    assert x.detach().numpy() is x.array and x.numpy(force=True) is x.array


def test_array_protocol():
    x = fd.arange(3)
    assert np.asarray(x) is x.array
    assert np.array(x) is not x.array and np.array(x, copy=True).tolist() == [0, 1, 2]
    assert np.asarray(x, dtype=np.float64).dtype == np.float64
    with pytest.raises(ValueError, match="copy"):
        np.asarray(x, dtype=np.float64, copy=False)
    assert np.concatenate([x, x]).tolist() == [0, 1, 2, 0, 1, 2]


def test_an_array_beside_a_tensor_gives_a_tensor():
    a = np.ones(3, np.float32)
    x = fd.ones(3, requires_grad=True)
    for y in (a + x, x + a, a * x, a - x, a / x, a**x, np.float32(2) * x, a @ x, np.int64(3) + x):
        assert type(y) is fd.Tensor and y.requires_grad and y.dtype == fd.float32
    assert type(a < x) is fd.Tensor and type(a == x) is fd.Tensor


def test_dlpack_both_ways():
    x = fd.arange(6).reshape(2, 3)
    assert x.__dlpack_device__() == (1, 0)
    there = np.from_dlpack(x)
    assert np.shares_memory(there, x.array)
    back = fd.from_dlpack(np.ones((2, 2), np.float32))
    assert type(back) is fd.Tensor and back.tolist() == [[1, 1], [1, 1]]
    assert fd.from_dlpack(x.T).shape == (3, 2)


def test_dlpack_with_torch():
    torch = pytest.importorskip("torch")
    t = torch.arange(4.0)
    x = fd.from_dlpack(t)
    assert x.tolist() == [0, 1, 2, 3]
    y = fd.ones(2, 3)
    s = torch.from_dlpack(y)
    s[0, 0] = 9
    assert y[0, 0].item() == 9


def test_numbers():
    x = fd.tensor(2.5)
    assert float(x) == 2.5 and int(x) == 2 and bool(x) and x.item() == 2.5 and f"{x:.2f}" == "2.50"
    assert [10, 20, 30][fd.tensor(1)] == 20 and list(range(fd.tensor(3))) == [0, 1, 2]
    assert isinstance(fd.tensor(1).item(), int) and isinstance(fd.tensor(True).item(), bool)
    with pytest.raises(RuntimeError, match=r"\(2,\).*one number"):
        fd.ones(2).item()
    with pytest.raises(RuntimeError, match=r"ambiguous.*any"):
        bool(fd.ones(2) > 0)
    with pytest.raises(TypeError, match="integer"):
        [1, 2][fd.tensor(1.0)]


def test_sequences():
    x = fd.arange(6).reshape(2, 3)
    assert len(x) == 2 and [row.tolist() for row in x] == [[0, 1, 2], [3, 4, 5]] and 4 in x and 9 not in x
    a, _ = x
    assert a.tolist() == [0, 1, 2] and x.tolist() == [[0, 1, 2], [3, 4, 5]]
    for fails in (len, iter):
        with pytest.raises(TypeError, match="0-d"):
            fails(fd.tensor(1))


def test_text():
    assert repr(fd.tensor([1.0, 2.5])) == "tensor([1. , 2.5])"
    assert repr(fd.arange(3)) == "tensor([0, 1, 2])"
    assert repr(fd.ones(2, requires_grad=True)) == "tensor([1., 1.], requires_grad=True)"
    assert repr(fd.ones(2, requires_grad=True) * 2) == "tensor([2., 2.], grad_fn=<MulBackward>)"
    assert repr(fd.zeros(0, 3)) == "tensor([], size=(0, 3))"
    assert repr(fd.zeros(1, dtype=fd.float64)) == "tensor([0.], dtype=float64)"
    assert "..." in repr(fd.zeros(100, 100)) and str(fd.tensor(3)) == "tensor(3)"


def test_sizes():
    x = fd.zeros(2, 3, 4)
    assert x.shape == (2, 3, 4) and x.size() == (2, 3, 4) and x.size(-1) == 4 and x.dim() == x.ndim == 3
    assert (
        x.numel() == 24 and x.stride() == (12, 4, 1) and x.element_size() == 4 and x.nbytes == 96 and x.device == "cpu"
    )
    assert type(x.shape) is tuple and fd.numel(x) == 24


def test_to():
    x = fd.ones(2)
    assert x.to("cpu") is x and x.to(fd.float32) is x and x.float() is x and x.cpu() is x
    assert x.double().dtype == fd.float64 and x.long().dtype == fd.int64 and x.bool().dtype == fd.bool
    assert x.half().dtype == fd.float16 and x.int().dtype == fd.int32 and x.to("float64").dtype == fd.float64
    assert x.type_as(fd.arange(2)).dtype == fd.int64 and x.to(fd.arange(2)).dtype == fd.int64
    with pytest.raises(TypeError, match="dytpe"):
        x.to(dytpe=fd.float64)
    with pytest.raises(RuntimeError, match="CPU only"):
        x.to("cuda")
    with pytest.raises(RuntimeError, match="CPU only"):
        fd.zeros(2, device="cuda:0")
    y = fd.ones(2, requires_grad=True)
    y.double().sum().backward()
    assert y.grad.dtype == fd.float32


def test_copies():
    x = fd.ones(2, 3)
    assert x.contiguous() is x and x.is_contiguous() and not x.T.is_contiguous() and x.T.contiguous().is_contiguous()
    assert not np.shares_memory(x.clone().array, x.array)


# --------------------------------------------------------------------------------------------------------- creation


def test_default_types():
    assert fd.tensor([1.0, 2.0]).dtype == fd.float32 and fd.tensor([1, 2]).dtype == fd.int64
    assert (
        fd.tensor([True]).dtype == fd.bool and fd.tensor(3.0).dtype == fd.float32 and fd.tensor([]).dtype == fd.float32
    )
    assert fd.tensor(np.ones(2)).dtype == fd.float64 and fd.tensor([np.float64(1)]).dtype == fd.float64
    assert fd.tensor([fd.tensor(1.0), fd.tensor(2.0)]).dtype == fd.float32
    assert fd.zeros(2).dtype == fd.float32 and fd.full((2,), 3).dtype == fd.int64 and fd.arange(3).dtype == fd.int64
    assert fd.arange(3.0).dtype == fd.float32 and fd.linspace(0, 1, 3).dtype == fd.float32
    assert fd.zeros(2, dtype=fd.int32).dtype == fd.int32 and fd.float32 is fd.zeros(1).dtype


def test_default_dtype_can_be_chosen():
    try:
        fd.set_default_dtype(fd.float64)
        assert fd.zeros(1).dtype == fd.tensor(1.0).dtype == fd.float64 and (fd.arange(2) / 2).dtype == fd.float64
    finally:
        fd.set_default_dtype(fd.float32)
    with pytest.raises(TypeError, match="floating"):
        fd.set_default_dtype(fd.int32)


def test_tensor_copies_and_as_tensor_does_not():
    a = np.ones(2, np.float32)
    assert not np.shares_memory(fd.tensor(a).array, a) and np.shares_memory(fd.as_tensor(a).array, a)
    x = fd.ones(2)
    assert fd.as_tensor(x) is x and fd.tensor(x) is not x


def test_ragged_lists():
    with pytest.raises(ValueError, match="rectangle"):
        fd.tensor([[1, 2], [3]])
    with pytest.raises(TypeError, match="no tensors of type"):
        fd.tensor(["a"])


def test_creation_by_example():
    x = fd.zeros(2, 3, dtype=fd.float64)
    assert fd.ones_like(x).dtype == fd.float64 and fd.full_like(x, 2).tolist() == [[2] * 3] * 2
    assert (
        x.new_zeros(4).dtype == fd.float64 and x.new_tensor([1]).dtype == fd.float64 and x.new_full((1,), 3).item() == 3
    )
    assert fd.eye(2).tolist() == [[1, 0], [0, 1]] and fd.arange(1, 7, 2).tolist() == [1, 3, 5]
    assert fd.arange(1, 0, -0.25).tolist() == [1, 0.75, 0.5, 0.25] and fd.zeros((2, 3)).shape == (2, 3)
    np.testing.assert_allclose(fd.arange(0, 1, 0.1).array, np.arange(0, 1, 0.1), rtol=1e-6)
    with pytest.raises(RuntimeError, match="step"):
        fd.arange(0, 5, -1)


# ----------------------------------------------------------------------------------------------------------- random


def draws():
    return [
        fd.rand(3), fd.randn(2, 2), fd.randint(0, 10, (5,)), fd.randperm(6), fd.bernoulli(fd.full((4,), 0.5)),
        fd.multinomial(fd.ones(5), 3), fd.normal(0.0, 2.0, (3,)), fd.zeros(3).uniform_(-1, 1), fd.rand(2, dtype=fd.float64),
    ]  # fmt: skip


def test_a_seed_repeats_everything():
    fd.manual_seed(5)
    first = draws()
    fd.manual_seed(5)
    for a, b in zip(first, draws()):
        np.testing.assert_array_equal(a.array, b.array)


def test_the_state_continues_the_stream():
    fd.manual_seed(1)
    fd.randn(7)
    state = fd.get_rng_state()
    first = draws()
    fd.set_rng_state(state)
    for a, b in zip(first, draws()):
        np.testing.assert_array_equal(a.array, b.array)


def test_a_generator_of_its_own_leaves_the_global_one_alone():
    fd.manual_seed(3)
    expected = fd.rand(3).tolist()
    fd.manual_seed(3)
    g = fd.Generator().manual_seed(9)
    a = fd.randn(4, generator=g)
    assert fd.rand(3).tolist() == expected
    state = g.get_state()
    b = fd.randn(4, generator=g)
    assert fd.randn(4, generator=g.set_state(state)).tolist() == b.tolist()
    assert fd.randn(4, generator=g.manual_seed(9)).tolist() == a.tolist() and g.initial_seed() == 9


def test_distributions():
    fd.manual_seed(0)
    x = fd.randn(20000)
    assert abs(x.mean().item()) < 0.03 and abs(x.std().item() - 1) < 0.03 and x.dtype == fd.float32
    u = fd.rand(20000)
    assert u.min().item() >= 0 and u.max().item() < 1 and abs(u.mean().item() - 0.5) < 0.02
    assert abs(fd.bernoulli(fd.full((20000,), 0.3)).mean().item() - 0.3) < 0.02
    picks = fd.multinomial(fd.tensor([0.0, 1.0, 3.0]), 20000, replacement=True)
    counts = fd.bincount(picks, minlength=3).array / 20000
    np.testing.assert_allclose(counts, [0, 0.25, 0.75], atol=0.02)
    assert sorted(fd.randperm(10).tolist()) == list(range(10))
    assert set(fd.randint(3, (1000,)).tolist()) == {0, 1, 2}
    n = fd.normal(fd.tensor([0.0, 100.0]), fd.tensor([1.0, 0.1]))
    assert n.shape == (2,) and abs(n[1].item() - 100) < 2
    e = fd.zeros(20000).exponential_(2.0)
    assert abs(e.mean().item() - 0.5) < 0.02


def test_sampling_without_replacement():
    fd.manual_seed(0)
    rows = fd.multinomial(fd.ones(50, 6), 6)
    assert (np.sort(rows.array, -1) == np.arange(6)).all()
    first = fd.multinomial(fd.tensor([1.0, 9.0]).expand(5000, 2), 1)
    assert abs(first.array.mean() - 0.9) < 0.02
    with pytest.raises(RuntimeError, match="without replacement"):
        fd.multinomial(fd.tensor([1.0, 0.0]), 2)
    with pytest.raises(RuntimeError, match="weights"):
        fd.multinomial(fd.tensor([-1.0, 2.0]), 1)
    with pytest.raises(RuntimeError, match="probabilities"):
        fd.bernoulli(fd.tensor([1.5]))
