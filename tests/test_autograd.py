"""The tape: accumulation, order, modes, hooks, user Functions, in-place writes, memory."""

import copy
import gc
import pickle
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest

import fastdl as fd
from fastdl import autograd
from fastdl.autograd import Function, Tensor, grad, gradcheck, gradgradcheck
from fastdl.kernels._memory import empty


def leaf(*values, dtype="float32"):
    return fd.tensor(np.array(values, dtype), requires_grad=True)


# ------------------------------------------------------------------------------------------------------ accumulation


def test_gradients_of_a_shared_leaf_add_up():
    x = leaf(1, 2, 3)
    (x * x + 3 * x).sum().backward()
    assert x.grad.tolist() == [5, 7, 9]
    (x * 2).sum().backward()
    assert x.grad.tolist() == [7, 9, 11]
    assert x.grad.grad_fn is None and not x.grad.requires_grad


def test_diamonds_are_served_after_all_their_consumers():
    x = leaf(2.0)
    a = x * x
    b = a * 3
    c = a * b  # a reaches c directly and through b
    (c + b).sum().backward()
    assert x.grad.item() == pytest.approx(12 * 2**3 + 6 * 2)


@pytest.mark.parametrize("outputs", [1, 2])
def test_a_sum_that_was_handed_on_is_not_added_into(outputs):
    """dy of h is a sum; add returns it for a and for b, and a still gets a contribution that b must not see."""
    x, w = leaf(1.0), leaf(1.0)
    a, b = x * 1, w * 1
    late = a * 5
    h = a + b if outputs == 1 else Fork.apply(a, b)[0]
    (h * 2 + h * 3 + late).sum().backward()
    assert x.grad.item() == 10 and w.grad.item() == 5


def test_a_returned_gradient_is_not_added_into():
    x = leaf(1.0)
    (g,) = grad((x * 2 + x * 3).sum(), x)
    y = x * 1
    grad([y, y * 7], x, [g, fd.ones(1)])  # g arrives at y first, then 7 does
    y = x * 1
    grad([y * 7, y], x, [fd.ones(1), g])
    assert g.item() == 5


class Fork(Function):
    """Two results; hands the gradient of the first to both arguments."""

    @staticmethod
    def forward(ctx, a, b):
        return Tensor(a.array + b.array), Tensor(a.array * 0)

    @staticmethod
    def backward(ctx, dy, dz):
        return dy, dy


def random_program(m, leaves, seed):
    """Sums, products and views of whatever there is so far, in random order, so that gradients meet in every way."""
    rng = np.random.default_rng(seed)
    made = list(leaves)
    for _ in range(25):
        i, j, kind = rng.integers(len(made)), rng.integers(len(made)), rng.integers(6)
        a, b = made[i], made[j]
        made.append([a + b, a - b, a * b.tanh(), a.reshape(3, 2).reshape(6), m.cat([a[:2], b[2:]]), a * 0.5][kind])
    return sum(t.sum() for t in made[-6:])


@pytest.mark.parametrize("seed", range(40))
def test_random_graphs_equal_torch(seed):
    torch = pytest.importorskip("torch")
    arrays = np.random.default_rng(seed).standard_normal((3, 6)) * 0.5
    mine = [fd.tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    random_program(fd, mine, seed).backward()
    random_program(torch, theirs, seed).backward()
    for x, t in zip(mine, theirs):
        if t.grad is None:
            assert x.grad is None
        else:
            np.testing.assert_allclose(x.grad.array, t.grad.numpy(), rtol=1e-9, atol=1e-9)


def test_a_node_older_than_a_leafs_other_use_keeps_the_order():
    x = leaf(1.5)
    early = x.exp()
    late = x
    for _ in range(5):
        late = late * early
    late.backward()
    assert x.grad.item() == pytest.approx(np.exp(7.5) + 1.5 * 5 * np.exp(7.5), rel=1e-5)


@pytest.mark.parametrize("program", ["add_same", "reshape", "expand", "given", "saved", "twice", "slice", "clone"])
def test_a_gradient_shares_memory_with_nothing(program):
    x, b = leaf(1, 2, 3), leaf(4, 5, 6)
    others = []
    if program == "add_same":  # one dy goes to both
        (x + b).backward(fd.ones(3))
        others = [b.grad.array]
    elif program == "reshape":
        given = fd.ones(3, 1)
        x.reshape(3, 1).backward(given)
        others = [given.array]
    elif program == "expand":
        (x.expand(2, 3) + b).sum().backward()
        others = [b.grad.array]
    elif program == "given":
        given = fd.ones(3)
        x.backward(given)
        others = [given.array]
    elif program == "saved":  # dy * b = b where dy is 1: must not be b itself
        (x * b).sum().backward()
        others = [b.array, b.grad.array, x.array]
    elif program == "twice":
        y = x.clone()
        given = fd.ones(3)
        fd.autograd.backward([y, b], [given, given])
        others = [given.array, b.grad.array]
    elif program == "slice":
        big = fd.ones(6)
        fd.cat([x, b]).backward(big)
        others = [big.array, b.grad.array]
    else:
        given = fd.ones(3)
        x.clone().backward(given)
        others = [given.array]
    for other in others:
        assert not np.shares_memory(x.grad.array, other)
    x.grad.array[...] = 7  # must be writable
    assert all((other != 7).all() for other in others)


def test_a_hook_that_keeps_the_gradient_does_not_share_it():
    x = leaf(1, 2)
    kept = []
    x.register_hook(lambda g: kept.append(g))
    (x * 2).sum().backward()
    (x * 2).sum().backward()
    assert x.grad.tolist() == [4, 4] and kept[0].tolist() == [2, 2]


@pytest.mark.parametrize("kind", ["own", "transposed", "kernel memory", "kernel memory, transposed"])
def test_a_fresh_gradient_is_not_copied(kind):
    """Large weight gradients are handed over, not copied: the memory that backward filled is the memory of .grad."""
    made = []

    class Twice(Function):
        @staticmethod
        def forward(ctx, x):
            return Tensor(x.array * 2)

        @staticmethod
        def backward(ctx, dy):
            g = empty(dy.shape, dy.dtype) if "kernel" in kind else np.empty(dy.shape, dy.dtype)
            np.multiply(dy.array, 2, out=g)
            made.append(g.ctypes.data)
            return Tensor(g.T if "transposed" in kind else g)

    x = fd.ones(200, 200, requires_grad=True)
    Twice.apply(x).sum().backward()
    assert x.grad.array.ctypes.data == made[0]


@pytest.mark.parametrize("kind", ["kept", "kept array", "part", "read-only", "kept base"])
def test_a_gradient_that_somebody_holds_is_copied(kind):
    kept = []

    class Twice(Function):
        @staticmethod
        def forward(ctx, x):
            return Tensor(x.array * 2)

        @staticmethod
        def backward(ctx, dy):
            g = dy.array * 2
            if kind == "part":
                g = np.concatenate([g, g])[: len(g)]
            elif kind == "read-only":
                g = np.broadcast_to(np.float32(2), g.shape)
            elif kind == "kept base":
                kept.append(g)
                g = g.T
            t = Tensor(g)
            if kind == "kept":
                kept.append(t)
            elif kind == "kept array":
                kept.append(g)
            return t

    x = leaf(1, 2, 3)
    Twice.apply(x).sum().backward()
    assert x.grad.tolist() == [2, 2, 2] and x.grad.array.flags.owndata and x.grad.array.flags.writeable
    for thing in kept:
        assert not np.shares_memory(thing.array if isinstance(thing, Tensor) else thing, x.grad.array)


def test_gradients_have_the_type_of_their_leaf():
    x = leaf(1, 2)
    w = leaf(3, 4, dtype="float64")
    y = x * w
    assert y.dtype == fd.float64
    y.sum().backward()
    assert x.grad.dtype == fd.float32 and w.grad.dtype == fd.float64


def test_set_grad_to_none_and_zero():
    x = leaf(1.0)
    (x * 2).sum().backward()
    x.grad = None
    (x * 3).sum().backward()
    assert x.grad.item() == 3
    x.grad.zero_()
    (x * 3).sum().backward()
    assert x.grad.item() == 3


# -------------------------------------------------------------------------------------------------- backward, grad


def test_backward_of_a_non_scalar_needs_a_gradient():
    with pytest.raises(RuntimeError, match=r"only for scalar outputs, not for shape \(2,\)"):
        (leaf(1, 2) * 2).backward()


def test_backward_of_a_tensor_without_history():
    with pytest.raises(RuntimeError, match="does not require grad"):
        fd.ones(()).backward()


def test_gradient_of_the_wrong_shape():
    with pytest.raises(RuntimeError, match=r"\(3,\).*\(2,\)"):
        (leaf(1, 2) * 2).backward(fd.ones(3))


def test_second_backward_needs_retain_graph():
    x = leaf(1, 2)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match=r"second time.*retain_graph=True"):
        y.backward()
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [6, 12]


def test_grad_over_a_freed_graph():
    x, head = leaf(1, 2), leaf(3, 4)
    features = (x * x).tanh()
    features.sum().backward()
    out = (features * head).sum()
    # the head's gradient needs nothing that was freed; x's does, and must not come back as None
    assert grad(out, head, retain_graph=True)[0].tolist() == features.tolist()
    for allow_unused in (False, True):
        with pytest.raises(RuntimeError, match="second time"):
            grad(out, [head, x], allow_unused=allow_unused, retain_graph=True)


def test_a_kept_loss_keeps_nothing_large():
    class Masked(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            ctx.mask = Mask()
            masks.append(weakref.ref(ctx.mask))
            return Tensor(x.array * 2)

        @staticmethod
        def backward(ctx, dy):
            return dy * 2

    class Mask:
        pass

    masks = []
    loss = Masked.apply(leaf(1, 2) * 3).sum()
    assert masks[0]() is not None
    loss.backward()
    assert masks[0]() is None


def test_grad_returns_gradients_and_leaves_grad_alone():
    x, w = leaf(1, 2), leaf(3, 4)
    gx, gw = grad((x * w).sum(), [x, w])
    assert gx.tolist() == [3, 4] and gw.tolist() == [1, 2] and x.grad is None and w.grad is None


def test_grad_of_intermediate_tensors():
    x = leaf(1, 2)
    h = x * 3
    y = (h * h).sum()
    gh, gx = grad(y, [h, x])
    assert gh.tolist() == [6, 12] and gx.tolist() == [18, 36]
    assert grad(h.sum(), h)[0].tolist() == [1, 1]


def test_grad_of_unused_inputs():
    x, w = leaf(1.0), leaf(2.0)
    with pytest.raises(RuntimeError, match=r"input 1 .* not used.*allow_unused"):
        grad((x * 2).sum(), [x, w])
    assert grad((x * 2).sum(), [x, w], allow_unused=True)[1] is None
    assert grad((x * 2).sum(), [x, w], materialize_grads=True)[1].tolist() == [0]
    with pytest.raises(RuntimeError, match=r"input 0 .* does not require grad"):
        grad((x * 2).sum(), fd.ones(1))


def test_grad_computes_only_what_the_inputs_need():
    asked = []

    class Product(Function):
        @staticmethod
        def forward(ctx, x, w):
            ctx.save_for_backward(x, w)
            return Tensor(x.array * w.array)

        @staticmethod
        def backward(ctx, dy):
            asked.append(ctx.needs_input_grad)
            x, w = ctx.saved_tensors
            return dy * w, dy * x

    x, w = leaf(1, 2), leaf(3, 4)
    grad(Product.apply(x, w).sum(), x)
    Product.apply(x, w).sum().backward()
    assert asked == [(True, False), (True, True)]


def test_backward_with_inputs_touches_only_them():
    x, w = leaf(1, 2), leaf(3, 4)
    (x * w).sum().backward(inputs=[w])
    assert x.grad is None and w.grad.tolist() == [1, 2]


def test_several_outputs_with_weights():
    x = leaf(1, 2)
    a, b = x * 2, x * x
    (g,) = grad([a, b], x, [fd.ones(2), fd.tensor([1.0, 10.0])])
    assert g.tolist() == [4, 42]


def test_third_derivative():
    x = leaf(0.7, dtype="float64")
    y = x.tanh() * x**3
    orders = []
    for _ in range(3):
        (y,) = grad(y.sum(), x, create_graph=True)
        orders.append(y.item())
    h = 1e-3
    f = lambda t: np.tanh(t) * t**3  # noqa: E731
    third = (f(0.7 + 2 * h) - 2 * f(0.7 + h) + 2 * f(0.7 - h) - f(0.7 - 2 * h)) / (2 * h**3)
    assert orders[2] == pytest.approx(third, rel=1e-4)


def test_create_graph_leaves_a_gradient_with_history():
    x = leaf(3.0)
    (x**3).sum().backward(create_graph=True)
    assert x.grad.item() == 27
    (second,) = grad(x.grad.sum(), x)
    assert second.item() == 18


def test_gradient_penalty_reaches_the_weights():
    """The WGAN-GP term: the norm of the gradient in the input, differentiated in the weights."""
    rng = np.random.default_rng(0)
    w1, w2 = (fd.tensor(rng.standard_normal(s), requires_grad=True) for s in ((4, 5), (5, 1)))
    data = fd.tensor(rng.standard_normal((3, 4)))

    def penalty(w1, w2):
        x = data.clone().requires_grad_()
        (g,) = grad((x @ w1).tanh().matmul(w2).sum(), x, create_graph=True)
        return ((g.norm(2, dim=1) - 1) ** 2).mean()

    assert gradcheck(penalty, (w1, w2))


def test_backward_inside_a_backward():
    """A Function that recomputes its forward, as checkpointing does."""

    class Recompute(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return Tensor(np.tanh(x.array) ** 2)

        @staticmethod
        def backward(ctx, dy):
            (x,) = ctx.saved_tensors
            with fd.enable_grad():
                again = x.detach().requires_grad_()
                y = again.tanh() ** 2
            y.backward(dy)
            return again.grad

    x = leaf(0.3, 0.5)
    Recompute.apply(x * 2).sum().backward()
    other = leaf(0.3, 0.5)
    ((other * 2).tanh() ** 2).sum().backward()
    np.testing.assert_allclose(x.grad.array, other.grad.array, rtol=1e-6)
    assert fd.is_grad_enabled()


def test_a_chain_of_100000_ops():
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = y + 1
    y.backward()
    assert x.grad.item() == 1


def test_a_long_chain_is_dropped_without_recursion():
    y = leaf(1.0)
    for _ in range(300_000):
        y = y * 1.0
    del y


def test_an_error_in_backward_names_the_call_and_leaves_no_gradient():
    class Broken(Function):
        @staticmethod
        def forward(ctx, x):
            return Tensor(x.array)

        @staticmethod
        def backward(ctx, dy):
            raise ValueError("no")

    x = leaf(1.0)
    with pytest.raises(ValueError) as error:
        (Broken.apply(x) * 2).sum().backward()
    assert "Broken" in error.value.__notes__[0] and "test_autograd.py" in error.value.__notes__[0]
    assert x.grad is None and fd.is_grad_enabled()


# ----------------------------------------------------------------------------------------------------------- modes


def test_no_grad_in_all_its_forms():
    x = leaf(1.0)

    @fd.no_grad()
    def with_call(x):
        return x * 2

    @fd.no_grad
    def without_call(x):
        """Kept."""
        return x * 2

    class Thing:
        @fd.no_grad()
        def method(self, x):
            return x * 2

    with fd.inference_mode():
        assert not (x * 2).requires_grad
    with fd.no_grad():
        assert not (x * 2).requires_grad
        with fd.enable_grad():
            assert (x * 2).requires_grad
        assert not fd.is_grad_enabled()
    assert not with_call(x).requires_grad and not without_call(x).requires_grad and not Thing().method(x).requires_grad
    assert without_call.__doc__ == "Kept." and (x * 2).requires_grad


def test_set_grad_enabled_as_function_and_block():
    x = leaf(1.0)
    fd.set_grad_enabled(False)
    assert not (x * 2).requires_grad
    fd.set_grad_enabled(True)
    with fd.set_grad_enabled(False):
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad

    @fd.set_grad_enabled(False)
    def f(x):
        return x * 2

    assert (x * 2).requires_grad and not f(x).requires_grad


def test_the_mode_belongs_to_the_thread():
    seen = {}

    def other():
        seen["enabled"] = fd.is_grad_enabled()
        fd.set_grad_enabled(False)

    with fd.no_grad():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert seen["enabled"]
    for _ in range(50):  # idents are used again: a thread that ended with recording off must leave no trace

        def check():
            seen.setdefault("later", []).append(fd.is_grad_enabled())
            fd.set_grad_enabled(False)

        thread = threading.Thread(target=check)
        thread.start()
        thread.join()
    assert all(seen["later"]) and fd.is_grad_enabled()


def test_the_mode_survives_an_exception():
    with pytest.raises(ZeroDivisionError), fd.no_grad():
        raise ZeroDivisionError
    assert fd.is_grad_enabled()


def test_threads_differentiate_at_the_same_time():
    x = fd.tensor(np.ones(50), requires_grad=True)
    results = []

    def work(k):
        for _ in range(50):
            results.append(grad((x * k).tanh().sum(), x)[0].array[0] - k * (1 - np.tanh(k) ** 2))

    threads = [threading.Thread(target=work, args=(k,)) for k in (0.5, 1.0, 1.5, 2.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 200 and np.abs(results).max() < 1e-12


# ----------------------------------------------------------------------------------------------------------- hooks


def test_hooks_see_and_replace_gradients():
    x = leaf(1, 2)
    h = x * 2
    seen = []
    h.register_hook(lambda g: seen.append(g.tolist()))
    handle = h.register_hook(lambda g: g * 10)
    x.register_hook(lambda g: g + 1)
    (h * 3).sum().backward()
    assert seen == [[3, 3]] and x.grad.tolist() == [61, 61]
    handle.remove()
    x.grad = None
    h2 = x * 2
    with h2.register_hook(lambda g: g * 0):
        pass  # removed again
    (h2 * 3).sum().backward()
    assert x.grad.tolist() == [7, 7]


def test_a_leaf_hook_runs_once_with_the_whole_gradient():
    x = leaf(1.0)
    seen = []
    x.register_hook(lambda g: seen.append(g.item()))
    (x * 2 + x * 3).sum().backward()
    assert seen == [5]
    assert grad((x * 2 + x).sum(), x)[0].item() == 3 and seen == [5, 3]


def test_a_hook_must_return_a_gradient_of_the_same_shape():
    x = leaf(1, 2)
    x.register_hook(lambda g: g.sum())
    with pytest.raises(RuntimeError, match=r"hook must return .*\(2,\)"):
        (x * 2).sum().backward()


def test_hooks_of_several_outputs():
    x = leaf(3, 1, 2)
    values, _ = x.max(0)
    low, high = x.chunk(2)
    high.register_hook(lambda g: g * 100)
    (values + low.sum() + high.sum()).backward()
    assert x.grad.tolist() == [2, 1, 100]


def test_retain_grad():
    x = leaf(1, 2)
    h = x * 2
    h.retain_grad()
    h.register_hook(lambda g: g * 2)
    (h * 3).sum().backward()
    assert h.grad.tolist() == [6, 6] and x.grad.tolist() == [12, 12]
    with pytest.raises(RuntimeError, match="retain_grad"):
        fd.ones(2).retain_grad()


def test_hooks_need_requires_grad():
    with pytest.raises(RuntimeError, match="register a hook"):
        fd.ones(2).register_hook(print)


# -------------------------------------------------------------------------------------------------- user Functions


class Polar(Function):
    """Two results of two arguments; remembers a plain number."""

    @staticmethod
    def forward(ctx, r, angle, factor):
        ctx.factor = factor
        x, y = factor * r.array * np.cos(angle.array), factor * r.array * np.sin(angle.array)
        x, y = Tensor(x), Tensor(y)
        ctx.save_for_backward(r, angle, x, y)
        return x, y

    @staticmethod
    def backward(ctx, dx, dy):
        _, angle, x, y = ctx.saved_tensors
        return ctx.factor * (dx * angle.cos() + dy * angle.sin()), dy * x - dx * y, None


def test_a_function_with_two_results():
    r, angle = leaf(1, 2, dtype="float64"), leaf(0.3, 1.1, dtype="float64")
    f = lambda r, a: Polar.apply(r, a, 3.0)  # noqa: E731
    assert gradcheck(f, (r, angle)) and gradgradcheck(f, (r, angle))
    x, y = f(r, angle)
    assert x.grad_fn is y.grad_fn and x.grad_fn.name() == "PolarBackward"
    assert gradcheck(lambda r, a: f(r, a)[1], (r, angle))  # the other result gets zeros


def test_results_without_gradient():
    got = []

    class Both(Function):
        @staticmethod
        def forward(ctx, x, materialize):
            ctx.set_materialize_grads(materialize)
            return Tensor(x.array * 2), Tensor(x.array * 3)

        @staticmethod
        def backward(ctx, da, db):
            got.append(db)
            return da * 2 if db is None else da * 2 + db * 3, None

    x = leaf(1.0)
    Both.apply(x, True)[0].backward()
    Both.apply(x, False)[0].backward()
    assert got[0].tolist() == [0] and got[1] is None and x.grad.item() == 4


def test_mark_non_differentiable_and_integer_results():
    class Parts(Function):
        @staticmethod
        def forward(ctx, x):
            whole, order, rest = Tensor(np.floor(x.array)), Tensor(np.argsort(x.array)), Tensor(x.array * 1)
            ctx.mark_non_differentiable(whole)
            return rest, whole, order

        @staticmethod
        def backward(ctx, drest, dwhole, dorder):
            assert dorder.shape == (2,)
            return drest

    x = leaf(1.5, 0.5)
    rest, whole, order = Parts.apply(x)
    assert rest.requires_grad and not whole.requires_grad and not order.requires_grad
    rest.sum().backward()
    assert x.grad.tolist() == [1, 1]


def test_mark_dirty():
    class Double_(Function):
        @staticmethod
        def forward(ctx, x):
            x.array *= 2
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx, dy):
            return dy * 2

    x = leaf(1, 2)
    h = x * 1
    before = h._version
    y = Double_.apply(h)
    assert y is h and h._version == before + 1 and h.tolist() == [2, 4]
    h.sum().backward()
    assert x.grad.tolist() == [2, 2]
    with pytest.raises(RuntimeError, match="leaf"):
        Double_.apply(x)


def test_a_function_may_return_its_argument():
    class Same(Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, dy):
            return dy * 5

    x = leaf(1.0)
    y = Same.apply(x)
    assert y is not x and x.is_leaf
    y.backward()
    assert x.grad.item() == 5


def test_operations_inside_forward_are_not_recorded():
    class Composed(Function):
        @staticmethod
        def forward(ctx, x):
            y = x * 2
            assert not y.requires_grad
            return y

        @staticmethod
        def backward(ctx, dy):
            return dy * 7

    x = leaf(1.0)
    Composed.apply(x).backward()
    assert x.grad.item() == 7


def test_wrong_returns_of_backward():
    class Returns(Function):
        result = None

        @staticmethod
        def forward(ctx, x, y):
            return Tensor(x.array + y.array)

        @staticmethod
        def backward(ctx, dy):
            return Returns.result(dy)

    x, y = leaf(1, 2), leaf(3, 4)
    for result, error, match in (
        (lambda dy: dy, RuntimeError, "1 gradients, but forward has 2"),
        (lambda dy: (dy, dy, dy), RuntimeError, "3 gradients, but forward has 2"),
        (lambda dy: (dy.array, dy), TypeError, "must return Tensors or None, not ndarray"),
        (lambda dy: (dy.sum(), dy), RuntimeError, r"shape \(\).*shape \(2,\)"),
    ):
        Returns.result = result
        with pytest.raises(error, match=match):
            Returns.apply(x, y).sum().backward()
    Returns.result = lambda dy: (dy, None, None)
    Returns.apply(x, y).sum().backward()
    assert x.grad.tolist() == [1, 1] and y.grad is None


def test_a_gradient_of_the_wrong_shape_for_an_intermediate():
    class Wrong(Function):
        @staticmethod
        def forward(ctx, x):
            return Tensor(x.array)

        @staticmethod
        def backward(ctx, dy):
            return dy.sum()

    with pytest.raises(RuntimeError, match=r"shape \(\) arrived at MulBackward, whose result has shape \(2,\)"):
        Wrong.apply(leaf(1, 2) * 2).sum().backward()


def test_functions_without_methods():
    class Nothing(Function):
        pass

    with pytest.raises(NotImplementedError, match="forward"):
        Nothing.apply(fd.ones(1))


def test_once_differentiable():
    class Cube(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return Tensor(x.array**3)

        @staticmethod
        @autograd.once_differentiable
        def backward(ctx, dy):
            (x,) = ctx.saved_tensors
            return Tensor(3 * x.array**2 * dy.array)

    x = leaf(2.0)
    (g,) = grad(Cube.apply(x).sum(), x, create_graph=True)
    assert g.item() == 12
    with pytest.raises(RuntimeError, match=r"twice.*once_differentiable"):
        g.backward()


def test_apply_without_gradients_keeps_nothing():
    x = fd.ones(3)
    y = Polar.apply(x, x, 2.0)[0]
    assert y.grad_fn is None
    with fd.no_grad():
        assert not Polar.apply(leaf(1.0), x[:1], 1.0)[0].requires_grad


# --------------------------------------------------------------------------------------------- checks of gradients


class WrongSquare(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return Tensor(x.array**2)

    @staticmethod
    def backward(ctx, dy):
        (x,) = ctx.saved_tensors
        return dy * x * 2.1


class WrongSecond(Function):
    """Right first derivative, wrong second: a constant in place of x."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return Tensor(x.array**3)

    @staticmethod
    def backward(ctx, dy):
        (x,) = ctx.saved_tensors
        return dy * Tensor(3 * x.array**2)


@pytest.mark.parametrize("size", [3, 200])
def test_gradcheck_finds_a_wrong_gradient(size):
    x = fd.tensor(np.linspace(1, 2, size), requires_grad=True)
    c = fd.tensor(np.ones(size), requires_grad=True)
    with pytest.raises(RuntimeError, match=r"output 0 with respect to input 1 \(shape .* is wrong in"):
        gradcheck(lambda c, x: c + WrongSquare.apply(x), (c, x))
    assert not gradcheck(WrongSquare.apply, x, raise_exception=False)
    assert gradcheck(WrongSecond.apply, x)
    with pytest.raises(RuntimeError, match="wrong"):
        gradgradcheck(WrongSecond.apply, x)


def test_gradcheck_names_the_worst_entry():
    class OneWrong(Function):
        @staticmethod
        def forward(ctx, x):
            return Tensor(x.array * 2)

        @staticmethod
        def backward(ctx, dy):
            g = dy.array * 2
            g[1, 2] *= 3
            return Tensor(g)

    with pytest.raises(RuntimeError, match=r"wrong in 1 of 36 .*element \(1, 2\) of the input.* 6 by backward, 2"):
        gradcheck(OneWrong.apply, fd.tensor(np.ones((2, 3)), requires_grad=True))


def test_gradcheck_wants_float64_and_something_to_check():
    with pytest.raises(ValueError, match="float64"):
        gradcheck(lambda x: x * 2, leaf(1.0))
    with pytest.raises(ValueError, match="require grad"):
        gradcheck(lambda x: x * 2, fd.ones(2))


def test_gradcheck_catches_nan():
    x = leaf(0.0, dtype="float64")
    with pytest.raises(RuntimeError, match="nan"):
        gradcheck(lambda x: (x * x).sqrt(), x)


def test_detect_anomaly_names_the_forward_line():
    x = leaf(0.0, 1.0)
    with autograd.detect_anomaly(), pytest.raises(RuntimeError, match=r"SqrtBackward.*\n.*roots = \(x \* x\)\.sqrt"):
        roots = (x * x).sqrt() * 0.0
        roots.sum().backward()
    (x * x).sqrt().sum().backward()  # outside, NaN passes


# --------------------------------------------------------------------------------------------------- in-place writes


def test_a_write_to_a_saved_tensor_is_caught_and_both_places_named():
    x = leaf(1, 2)
    h = x * 2
    y = h * h
    h.add_(1)
    with pytest.raises(RuntimeError) as error:
        y.sum().backward()
    text = str(error.value)
    assert "gradient of Mul" in text and "(2,)" in text and "add_" in text and text.count("test_autograd.py:") == 2


@pytest.mark.parametrize("write", ["add_", "zero_", "iadd", "setitem", "view", "detach", "copy_", "data", "fill_"])
def test_every_way_of_writing_is_counted(write):
    x = leaf(1, 2)
    h = x * 2
    y = h.exp() * h
    with fd.no_grad():
        if write == "add_":
            h.add_(1)
        elif write == "zero_":
            h.zero_()
        elif write == "iadd":
            h += 1
        elif write == "setitem":
            h[0] = 5
        elif write == "view":
            h.reshape(2, 1)[1].mul_(2)
        elif write == "detach":
            h.detach().sub_(1)
        elif write == "copy_":
            h.copy_(fd.ones(2))
        elif write == "data":
            h.data = fd.ones(2)
        else:
            h.fill_(3)
    with pytest.raises(RuntimeError, match="modified in place"):
        y.sum().backward()


def test_a_write_to_what_is_not_needed_is_fine():
    x = leaf(1, 2)
    h = x * 2
    y = h + 1  # add saves nothing
    h.mul_(100)
    y.sum().backward()
    assert x.grad.tolist() == [2, 2]


def test_a_saved_result_is_guarded_too():
    x = leaf(1.0)
    y = x.exp()
    with fd.no_grad():
        y.mul_(2)
    with pytest.raises(RuntimeError, match="gradient of Exp"):
        y.sum().backward()


def test_writing_a_leaf_that_requires_grad():
    x = leaf(1, 2)
    for write in (lambda: x.add_(1), lambda: x.__setitem__(0, 1.0), lambda: x.zero_(), lambda: x[0].mul_(2)):
        with pytest.raises(RuntimeError, match=r"leaf tensor that requires grad.*no_grad"):
            write()
    assert x.tolist() == [1, 2]
    with fd.no_grad():
        x.add_(1)
        x[0].mul_(2)
    assert x.tolist() == [4, 3] and x.is_leaf and x.requires_grad


def test_writing_an_expanded_tensor():
    with pytest.raises(RuntimeError, match=r"read-only.*clone"):
        fd.ones(1).expand(3).add_(1)


def test_in_place_results_must_fit():
    with pytest.raises(RuntimeError, match=r"\(2, 3\).*\(3,\)"):
        fd.ones(3).add_(fd.ones(2, 3))
    with pytest.raises(RuntimeError, match="can't be cast"):
        fd.arange(3).add_(1.5)


PROGRAMS = {
    "chain": lambda m, x, w: (x * 1).add_(w).mul_(w).exp_().sum(),
    "mul_by_itself": lambda m, x, w: (lambda h: h.mul_(h))(x * 2).sum(),
    "iadd": lambda m, x, w: augmented(x * 2, w).sum(),
    "pow": lambda m, x, w: (x * 2).pow_(3).sum(),
    "sub_div": lambda m, x, w: (x * 2).sub_(w, alpha=2).div_(w).sum(),
    "clamp": lambda m, x, w: ((x * 2).clamp_(-0.5, 0.5) * w).sum(),
    "zero": lambda m, x, w: ((x * 2).zero_() + x * w).sum(),
    "fill": lambda m, x, w: ((x * 2).fill_(3.0) * w * x).sum(),
    "copy": lambda m, x, w: ((x * 2).copy_(w * w) * x).sum(),
    "relu": lambda m, x, w: ((x * 2).relu_() * w).sum(),
    "masked_fill": lambda m, x, w: ((x * 2).masked_fill_(x.detach() > 0, 1.5) * w).sum(),
    "into_constant": lambda m, x, w: m.zeros(3, 4, dtype=m.float64).add_(x).mul_(2).sum(),
    "set_row": lambda m, x, w: set_at(x * 2, 1, w[0] * 3).square().sum(),
    "set_broadcast": lambda m, x, w: set_at(x * 2, slice(0, 2), w[0, 0]).square().sum(),
    "set_number": lambda m, x, w: (set_at(x * 2, (slice(None), 1), 7.0) * w).sum(),
    "set_mask": lambda m, x, w: (set_at(x * 2, x.detach() > 0, 0.5) * w).sum(),
    "set_list": lambda m, x, w: (set_at(x * 2, [2, 0], w[:2] * 3) * w).sum(),
    "set_constant": lambda m, x, w: (set_at(m.zeros(3, 4, dtype=m.float64), 0, x[1] * x[2]) * w).sum(),
    "set_into_loop": lambda m, x, w: rows(m, x, w).square().sum(),
    "view_written": lambda m, x, w: through_view(x * 2, lambda v: v.mul_(3), lambda b: b[1]).square().sum(),
    "view_row_by_w": lambda m, x, w: through_view(x * 2, lambda v: v.mul_(w[0]), lambda b: b[1]).square().sum(),
    "view_transposed": lambda m, x, w: through_view(x * 2, lambda v: v.add_(w.T), lambda b: b.T).square().sum(),
    "view_of_view": lambda m, x, w: through_view(x * 2, lambda v: v.exp_(), lambda b: b[1:].T[0]).square().sum(),
    "view_reshaped": lambda m, x, w: through_view(x * 2, lambda v: v.mul_(w), lambda b: b.view(3, 4)).square().sum(),
    "view_of_constant": lambda m, x, w: (
        through_view(m.ones(3, 4, dtype=m.float64), lambda v: v.mul_(x[0]), lambda b: b[2]).mul(w).sum()
    ),
    "view_used_after": lambda m, x, w: view_used_after(x * 2, w),
    "view_read_after_base": lambda m, x, w: view_read_after_base(x * 2, w),
    "augmented_item": lambda m, x, w: augmented_item(x * 2, w).square().sum(),
    "siblings": lambda m, x, w: siblings(x * 2, w),
    "unbound": lambda m, x, w: through_view(x * 2, lambda v: v.add_(1), lambda b: b.narrow(1, 1, 2)).square().sum(),
}


def augmented(h, w):
    h += w
    h *= 3
    h -= 1
    h /= w * w + 1
    return h


def set_at(h, index, value):
    h[index] = value
    return h


def rows(m, x, w):
    out = m.zeros(3, 4, dtype=m.float64)
    state = x[0]
    for i in range(3):
        state = (state * w[i]).tanh()
        out[i] = state
    return out


def through_view(base, write, view):
    write(view(base))
    return base


def view_used_after(base, w):
    v = base[0]
    v.mul_(w[1])
    return (v * w[2]).sum() + base.square().sum()


def view_read_after_base(base, w):
    v = base[0]
    base.mul_(w)
    return (v * w[2]).sum()


def augmented_item(base, w):
    base[0] += w[0]
    base[1, 2:] *= 2
    return base


def siblings(base, w):
    a, b = base[0], base[:, 0]
    a.mul_(w[1])
    return (b * w[:, 1]).sum() + (a * w[2]).sum()


@pytest.mark.parametrize("program", PROGRAMS)
def test_in_place_programs_have_right_gradients(program):
    rng = np.random.default_rng(3)
    x, w = (fd.tensor(rng.standard_normal((3, 4)), requires_grad=True) for _ in range(2))
    f = lambda x, w: PROGRAMS[program](fd, x, w)  # noqa: E731
    assert gradcheck(f, (x, w))
    assert gradgradcheck(f, (x, w))


@pytest.mark.parametrize("program", [p for p in PROGRAMS if p != "mul_by_itself"])  # which torch refuses
def test_in_place_programs_equal_torch(program):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(4)
    arrays = [rng.standard_normal((3, 4)) for _ in range(2)]
    x, w = (fd.tensor(a, requires_grad=True) for a in arrays)
    tx, tw = (torch.tensor(a, requires_grad=True) for a in arrays)
    y, t = PROGRAMS[program](fd, x, w), PROGRAMS[program](torch, tx, tw)
    y.backward()
    t.backward()
    assert y.item() == pytest.approx(t.item(), rel=1e-12)
    for mine, theirs in ((x, tx), (w, tw)):
        if theirs.grad is None:
            assert mine.grad is None or not mine.grad.array.any()
        else:
            np.testing.assert_allclose(mine.grad.array, theirs.grad.numpy(), rtol=1e-9, atol=1e-12)


def test_a_view_taken_under_no_grad_has_no_history():
    x = leaf(1, 2)
    with fd.no_grad():
        v = x[0]
    assert not v.requires_grad
    with fd.no_grad():
        x.mul_(2)
    assert not v.requires_grad and v.item() == 2


def test_views_follow_a_base_that_starts_to_require_grad():
    base, w = fd.zeros(3), leaf(2.0)
    v = base[1]
    base.add_(w)
    assert v.requires_grad
    (v * 3).backward()
    assert w.grad.item() == 3


# ---------------------------------------------------------------------------------------------------------- memory


def run_everything():
    """A little of all: saved arguments, saved results, views, in-place, hooks, second order."""
    x, w = leaf(1, 2, 3), leaf(4, 5, 6)
    kept = []
    h = (x * w).exp().tanh()
    kept.append(h)
    h2 = (h * 1).reshape(3, 1)
    h2[0] = w[:1]
    h2.mul_(2).add_(x[0])
    values, _ = h2.max(0)
    a, b = Polar.apply(h, w, 2.0)
    h.register_hook(lambda g: g * 1)
    a.retain_grad()
    loss = values.sum() + (a * b).sum() + (h @ w)
    kept += [h2, values, a, b, loss]
    (g,) = grad(loss, x, create_graph=True)
    penalty = (g * g).sum() + loss
    kept += [g, penalty]
    penalty.backward()
    return [weakref.ref(t) for t in (*kept, x, w)] + [weakref.ref(t.grad_fn) for t in kept if t.grad_fn is not None]


def test_no_reference_cycles():
    run_everything()
    gc.collect()
    gc.disable()
    try:
        refs = run_everything()
        assert len(refs) > 12 and [r() for r in refs if r() is not None] == []
    finally:
        gc.enable()


def test_a_graph_that_is_never_differentiated_is_freed():
    gc.collect()
    gc.disable()
    try:
        x = leaf(1, 2)
        y = (x * 2).exp().mul_(x).sum()
        ref = weakref.ref(y.grad_fn)
        del y
        assert ref() is None
    finally:
        gc.enable()


def test_backward_frees_what_was_saved():
    x = leaf(1, 2)
    h = x * 2
    ref = weakref.ref(h)
    loss = (h * h).sum()
    del h
    assert ref() is not None
    loss.backward()
    assert ref() is None and loss.item() == 20


# ---------------------------------------------------------------------------------------------------------- Tensor


def test_requires_grad_of_integers():
    with pytest.raises(RuntimeError, match="floating point"):
        fd.tensor([1, 2], requires_grad=True)
    with pytest.raises(RuntimeError, match="floating point"):
        fd.arange(3).requires_grad_()


def test_requires_grad_of_results_cannot_be_switched_off():
    y = leaf(1.0) * 2
    with pytest.raises(RuntimeError, match="leaf"):
        y.requires_grad = False
    assert not y.detach().requires_grad and y.detach_().is_leaf


def test_leaves():
    x = leaf(1.0)
    assert x.is_leaf and fd.ones(1).is_leaf and not (x * 2).is_leaf and (fd.ones(1) * 2).is_leaf


def test_detach_shares_memory_and_data_too():
    x = leaf(1, 2)
    assert np.shares_memory(x.detach().array, x.array) and np.shares_memory(x.data.array, x.array)
    x.data.mul_(2)
    assert x.tolist() == [2, 4] and x.requires_grad


def test_deepcopy_and_copy():
    x = leaf(1, 2)
    (x * 2).sum().backward()
    y = copy.deepcopy(x)
    assert y.requires_grad and y.tolist() == [1, 2] and y.grad.tolist() == [2, 2]
    assert not np.shares_memory(x.array, y.array) and not np.shares_memory(x.grad.array, y.grad.array)
    assert np.shares_memory(copy.copy(x).array, x.array)
    a, b = copy.deepcopy([x, x])
    assert a is b
    with pytest.raises(RuntimeError, match="leaf"):
        copy.deepcopy(x * 2)


def test_deepcopy_of_a_subclass_keeps_its_type_and_attributes():
    class Weight(Tensor):
        def __init__(self, array, name):
            super().__init__(array, requires_grad=True)
            self.name = name

    w = Weight(np.ones(2, np.float32), "w")
    other = copy.deepcopy(w)
    assert type(other) is Weight and other.name == "w" and other.requires_grad and other is not w
    assert type(w * 2) is Tensor


def test_tensors_are_not_pickled():
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(leaf(1.0))


def test_hash_and_identity():
    x, y = leaf(1.0), leaf(1.0)
    assert len({x, y, x}) == 2 and x in {x: 1}


def test_grad_fn_and_next_functions():
    x = leaf(1.0)
    y = (x * 2).exp()
    assert repr(y.grad_fn) == "<ExpBackward>"
    (mul, nr), *_ = y.grad_fn.next_functions
    assert mul.name() == "MulBackward" and nr == 0 and mul.next_functions[0][0] is x


# ----------------------------------------------------------------------------------------------------- uncompiled

UNCOMPILED = """
import sys
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, FileFinder, SourceFileLoader
# .py before .so: the sources run even where they have been compiled
sys.path_hooks.insert(0, FileFinder.path_hook((SourceFileLoader, [".py"]), (ExtensionFileLoader, EXTENSION_SUFFIXES)))
sys.path_importer_cache.clear()
sys.path[:0] = sys.argv[1:3]
import fastdl.autograd, fastdl.ops.elementwise
assert fastdl.autograd.__file__.endswith(".py") and fastdl.ops.elementwise.__file__.endswith(".py")
import pytest
sys.exit(pytest.main(["-q", "-x", "-p", "no:cacheprovider", *sys.argv[3:]]))
"""


@pytest.mark.skipif(autograd.__file__.endswith(".py"), reason="the package is not compiled here")
def test_the_sources_also_run_uncompiled():
    root = Path(autograd.__file__).parents[1]
    tests = Path(__file__).parent
    files = [__file__, str(tests / "test_interop.py")]
    command = [sys.executable, "-c", UNCOMPILED, str(root), str(tests), *files, "-k", "not uncompiled"]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=250)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert " passed" in result.stdout or "[100%]" in result.stdout
