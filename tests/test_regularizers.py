"""Penalties, noise, DropConnect, stochastic depth, weight and spectral norm, folding of batch norm."""

import copy

import numpy as np
import pytest

import fastdl as fd
from fastdl import nn, optim
from fastdl.autograd import gradcheck, gradgradcheck
from fastdl.nn import functional as F

rng = np.random.default_rng(0)
X = rng.standard_normal((7, 5)).astype(np.float32)
Y = rng.standard_normal((7, 3)).astype(np.float32)


def mlp():
    fd.manual_seed(1)
    return nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)).double()


# ------------------------------------------------------------------------------------------------------- penalties


def test_penalties_are_their_formulas():
    model = mlp()
    everything = np.concatenate([p.array.reshape(-1) for p in model.parameters()])
    matrices = np.concatenate([model[0].weight.array.reshape(-1), model[2].weight.array.reshape(-1)])
    assert nn.l2_penalty(model, 0.3).item() == pytest.approx(0.15 * (everything**2).sum())
    assert nn.l1_penalty(model, 0.3).item() == pytest.approx(0.3 * np.abs(everything).sum())
    assert nn.l2_penalty(model, 0.3, exclude_vectors=True).item() == pytest.approx(0.15 * (matrices**2).sum())
    mixed = nn.elastic_net_penalty(model.parameters(), 0.2, 0.3, exclude_vectors=True).item()
    assert mixed == pytest.approx(0.2 * np.abs(matrices).sum() + 0.15 * (matrices**2).sum())
    w = fd.tensor(rng.standard_normal((3, 2)), requires_grad=True)
    for penalty in (lambda w: nn.l2_penalty(w, 0.7), lambda w: nn.elastic_net_penalty([w], 0.2, 0.7)):
        assert gradcheck(penalty, [w]) and gradgradcheck(penalty, [w])
    with pytest.raises(ValueError, match="must not be negative"):
        nn.l2_penalty(model, -1)
    with pytest.raises(ValueError, match="no parameters"):
        nn.l1_penalty(nn.ReLU(), 0.1)
    with pytest.raises(TypeError, match="expected a Module or its parameters"):
        nn.l1_penalty([1.0], 0.1)


def train(model, optimizer, penalty=None, steps=20):
    for _ in range(steps):
        loss = F.mse_loss(model(fd.tensor(X.astype(float))), fd.tensor(Y.astype(float)))
        if penalty is not None:
            loss = loss + penalty(model)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return np.concatenate([p.array.reshape(-1) for p in model.parameters()])


def test_with_sgd_the_penalty_is_weight_decay_and_with_adam_it_is_not_adamw():
    a, b = mlp(), mlp()
    by_loss = train(a, optim.SGD(a.parameters(), 0.1, momentum=0.9), lambda m: nn.l2_penalty(m, 0.05))
    by_decay = train(b, optim.SGD(b.parameters(), 0.1, momentum=0.9, weight_decay=0.05))
    np.testing.assert_allclose(by_loss, by_decay, rtol=1e-9, atol=1e-12)
    a, b = mlp(), mlp()
    by_loss = train(a, optim.Adam(a.parameters(), 0.01), lambda m: nn.l2_penalty(m, 0.05))
    decoupled = train(b, optim.AdamW(b.parameters(), 0.01, weight_decay=0.05))
    assert np.abs(by_loss - decoupled).max() > 1e-3


def test_groups_spare_biases_and_scales():
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2, bias=False))
    first, second = nn.decay_groups(model, 0.1)
    assert [p.shape for p in first["params"]] == [(3, 4), (2, 3)] and first["weight_decay"] == 0.1
    assert [p.shape for p in second["params"]] == [(3,), (3,), (3,)] and second["weight_decay"] == 0
    before = model[0].bias.array.copy()
    optimizer = optim.SGD(nn.decay_groups(model, 0.1), lr=1.0)
    (model[0].weight.sum() * 0 + model[0].bias.sum() * 0 + model[2].weight.sum() * 0).backward()
    optimizer.step()
    np.testing.assert_array_equal(model[0].bias.array, before)


@pytest.mark.parametrize("dim", [0, 1])
def test_max_norm_scales_only_what_is_too_long(dim):
    layer = nn.Linear(50, 4)
    layer.weight.array[...] = rng.standard_normal((4, 50))
    layer.weight.array[1] *= 0.01
    before, bias = layer.weight.array.copy(), layer.bias.array.copy()
    nn.max_norm_(layer, 1.5, dim)
    norms, old = (np.linalg.norm(w, axis=1 - dim) for w in (layer.weight.array, before))
    np.testing.assert_allclose(norms, np.minimum(old, 1.5), rtol=1e-6)
    cosine = (layer.weight.array * before).sum(1 - dim) / (norms * old)
    np.testing.assert_allclose(cosine, 1, rtol=1e-5)
    np.testing.assert_array_equal(layer.bias.array, bias)
    with pytest.raises(ValueError, match="must be positive"):
        nn.max_norm_(layer, 0)


def test_soft_threshold_makes_zeros_and_solves_the_lasso():
    p = nn.Parameter(np.array([[0.3, -0.05], [-2.0, 0.1]]))
    nn.soft_threshold_(p, 0.1)
    np.testing.assert_allclose(p.array, [[0.2, 0], [-1.9, 0]], atol=1e-12)
    # proximal gradient on 1/2 |Xw - y|^2 / n + lam |w|_1 against scikit-learn
    linear_model = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is not installed")
    x = rng.standard_normal((60, 12))
    y = x[:, :3] @ [2.0, -1.0, 0.5] + 0.1 * rng.standard_normal(60)
    w = nn.Parameter(np.zeros((1, 12)))
    rate = 60 / np.linalg.norm(x, 2) ** 2
    for _ in range(800):
        w.grad = None
        (((fd.tensor(x) @ w.T).squeeze(1) - fd.tensor(y)) ** 2).mean().mul(0.5).backward()
        w.data = w.array - rate * w.grad.array
        nn.soft_threshold_(w, rate * 0.1)
    want = linear_model.Lasso(alpha=0.1, fit_intercept=False, tol=1e-10, max_iter=10000).fit(x, y).coef_
    np.testing.assert_allclose(w.array[0], want, atol=1e-6)
    assert ((w.array == 0) == (want == 0)).all() and (want == 0).sum() > 4


# ------------------------------------------------------------------------------------------------------------ noise


def test_gaussian_noise():
    layer = nn.GaussianNoise(0.3)
    x = fd.zeros(200, 100, requires_grad=True)
    fd.manual_seed(0)
    y = layer(x)
    assert abs(y.detach().numpy().std() - 0.3) < 0.01 and abs(y.detach().numpy().mean()) < 0.01
    assert not np.array_equal(layer(x).detach().numpy(), y.detach().numpy())
    fd.manual_seed(0)
    np.testing.assert_array_equal(layer(x).detach().numpy(), y.detach().numpy())
    y.sum().backward()
    assert (x.grad.numpy() == 1).all()
    assert layer.eval()(x) is x
    with pytest.raises(ValueError, match="sigma must not be negative"):
        nn.GaussianNoise(-1)


def test_weight_noise_sends_the_gradient_to_the_weights():
    inner = nn.Linear(5, 3).double()
    noisy = nn.WeightNoise(inner, 0.1)
    weight = inner.weight
    before = weight.array.copy()
    x = fd.tensor(X.astype(float))
    fd.manual_seed(0)
    y = noisy(x)
    assert inner.weight is weight and set(noisy.state_dict()) == {"module.weight", "module.bias"}
    np.testing.assert_array_equal(weight.array, before)
    plain = inner(x).detach().numpy()
    difference = y.detach().numpy() - plain
    assert 0.05 < difference.std() < 0.6
    (y * y).sum().backward()
    # the gradient at the noisy weights: 2 y^T x
    np.testing.assert_allclose(weight.grad.array, 2 * y.detach().numpy().T @ X, rtol=1e-6)
    noisy.eval()
    np.testing.assert_array_equal(noisy(x).detach().numpy(), plain)
    # a failure inside leaves the parameters in place
    noisy.train()
    with pytest.raises(RuntimeError):
        noisy(fd.tensor(X[:, :2].astype(float)))
    assert inner.weight is weight


def test_weight_noise_keeps_shared_weights_shared():
    tied = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    tied[1].weight = tied[0].weight
    seen = []
    for layer in tied:
        layer.register_forward_pre_hook(lambda m, args: seen.append(m.weight))
    nn.WeightNoise(tied, 0.1)(fd.tensor(X[:, :4]))
    assert seen[0] is seen[1] and seen[0] is not tied[0].weight


def test_drop_connect_drops_weights_and_no_biases():
    inner = nn.Linear(400, 300)
    inner.bias.array[...] = 5
    layer = nn.DropConnect(inner, 0.3)
    seen = []
    inner.register_forward_pre_hook(lambda m, args: seen.append((m.weight.array.copy(), m.bias.array.copy())))
    y = layer(fd.ones(1, 400))
    weight, bias = seen[0]
    assert abs((weight == 0).mean() - 0.3) < 0.01 and (bias == 5).all()
    np.testing.assert_allclose(weight[weight != 0], inner.weight.array[weight != 0] / np.float32(0.7), rtol=1e-6)
    y.sum().backward()
    np.testing.assert_allclose(inner.weight.grad.array, (weight != 0) / np.float32(0.7), rtol=1e-6)
    plain = layer.eval()(fd.ones(1, 400)).detach().numpy()
    layer.train()
    many = np.mean([layer(fd.ones(1, 400)).detach().numpy() for _ in range(300)], 0)
    assert np.abs(many - plain).mean() < 0.1  # the mean is preserved
    with pytest.raises(TypeError, match="expected a Module"):
        nn.DropConnect(3)


# ---------------------------------------------------------------------------------------------------------- dropout


def test_dropout3d_and_locked_dropout_share_masks():
    y = nn.Dropout3d(0.4)(fd.ones(50, 20, 2, 3, 2)).numpy().reshape(1000, -1)
    assert (y == y[:, :1]).all() and abs((y[:, 0] == 0).mean() - 0.4) < 0.06
    y = nn.LockedDropout(0.4)(fd.ones(7, 50, 20)).numpy()
    assert (y == y[:1]).all() and abs((y[0] == 0).mean() - 0.4) < 0.06 and y.max() == pytest.approx(1 / 0.6)
    first = nn.LockedDropout(0.4, batch_first=True)(fd.ones(50, 7, 20)).numpy()
    assert (first == first[:, :1]).all() and not (first == first[:1]).all()
    layer = nn.LockedDropout(0.5).eval()
    x = fd.ones(2, 3, 4)
    assert layer(x) is x
    with pytest.raises(ValueError, match=r"expected \(T, N, D\)"):
        nn.LockedDropout(0.5)(fd.ones(2, 3))


def test_stochastic_depth():
    x = fd.ones(2000, 3, 2, requires_grad=True)
    y = nn.StochasticDepth(0.3)(x)
    rows = y.detach().numpy().reshape(2000, -1)
    assert (rows == rows[:, :1]).all() and abs((rows == 0).mean() - 0.3) < 0.04
    np.testing.assert_allclose(rows.max(), 1 / 0.7, rtol=1e-6)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())
    whole = nn.StochasticDepth(0.5, "batch")
    values = {float(whole(x).detach().numpy().std()) for _ in range(20)}
    assert values == {0.0}
    assert nn.DropPath(0.2).eval()(x) is x and nn.DropPath()(x) is x
    with pytest.raises(ValueError, match="mode must be"):
        nn.StochasticDepth(0.5, "column")


# ------------------------------------------------------------------------------------------------- weights from others

LAYERS = {
    "Linear": (lambda nn: nn.Linear(5, 3), (7, 5)),
    "Conv2d": (lambda nn: nn.Conv2d(4, 6, 3, groups=2), (2, 4, 6, 5)),
    "ConvTranspose2d": (lambda nn: nn.ConvTranspose2d(3, 4, 3, 2), (2, 3, 4, 5)),
}


def pair(name):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    build, shape = LAYERS[name]
    mine, theirs = build(nn), build(torch.nn)
    mine.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    return torch, mine, theirs, rng.standard_normal(shape).astype(np.float32)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("dim", [0, None])
@pytest.mark.parametrize("name", LAYERS)
def test_weight_norm_equals_torch(name, dim):
    torch, mine, theirs, data = pair(name)
    x = fd.tensor(data)
    before = mine(x).detach().numpy()
    nn.utils.weight_norm(mine, dim=dim)
    torch.nn.utils.weight_norm(theirs, dim=dim)
    np.testing.assert_allclose(mine(x).detach().numpy(), before, atol=1e-5)
    own, other = mine.state_dict(), theirs.state_dict()
    assert {k: v.shape for k, v in own.items()} == {k: tuple(v.shape) for k, v in other.items()}
    changed = {k: rng.standard_normal(v.shape).astype("f") for k, v in own.items()}
    mine.load_state_dict(changed)
    theirs.load_state_dict({k: torch.tensor(v) for k, v in changed.items()})
    y, u = mine(x), theirs(torch.tensor(data))
    np.testing.assert_allclose(y.detach().numpy(), u.detach().numpy(), rtol=1e-4, atol=1e-5)
    (y * y).sum().backward()
    (u * u).sum().backward()
    for key, p in theirs.named_parameters():
        np.testing.assert_allclose(mine.get_parameter(key).grad.numpy(), p.grad.numpy(), rtol=2e-3, atol=1e-3)
    nn.utils.remove_weight_norm(mine)
    np.testing.assert_allclose(mine(x).detach().numpy(), y.detach().numpy(), atol=1e-5)
    assert set(mine.state_dict()) == {"weight", "bias"}
    with pytest.raises(ValueError, match="not computed by it"):
        nn.utils.remove_weight_norm(mine)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("name", LAYERS)
def test_spectral_norm_equals_torch(name):
    torch, mine, theirs, data = pair(name)
    x = fd.tensor(data)
    nn.utils.spectral_norm(mine, n_power_iterations=2)
    torch.nn.utils.spectral_norm(theirs, n_power_iterations=2)
    assert {k: v.shape for k, v in mine.state_dict().items()} == {
        k: tuple(v.shape) for k, v in theirs.state_dict().items()
    }
    mine.load_state_dict({k: v.detach().numpy() for k, v in theirs.state_dict().items()})
    for _ in range(3):
        mine.zero_grad()
        theirs.zero_grad()
        y, u = mine(x), theirs(torch.tensor(data))
        np.testing.assert_allclose(y.detach().numpy(), u.detach().numpy(), rtol=1e-4, atol=1e-5)
        (y * y).sum().backward()
        (u * u).sum().backward()
        np.testing.assert_allclose(mine.weight_orig.grad.numpy(), theirs.weight_orig.grad.numpy(), rtol=1e-3, atol=1e-3)
    mine.eval()
    state = mine.weight_u.array.copy()
    first, second = mine(x).detach().numpy(), mine(x).detach().numpy()
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(mine.weight_u.array, state)  # no step in evaluation
    mine.train()
    for _ in range(100):
        mine(x)
    axis = 1 if "Transpose" in name else 0
    matrix = np.moveaxis(mine.weight.array, axis, 0).reshape(mine.weight.shape[axis], -1)
    assert np.linalg.norm(matrix, 2) == pytest.approx(1, rel=1e-3)
    last = mine.eval()(x).detach().numpy()
    nn.utils.remove_spectral_norm(mine)
    np.testing.assert_allclose(mine(x).detach().numpy(), last, atol=1e-5)


def test_second_order_through_weight_and_spectral_norm():
    for norm in (nn.utils.weight_norm, nn.utils.spectral_norm):
        layer = norm(nn.Linear(4, 3).double()).eval()
        x = fd.tensor(rng.standard_normal((2, 4)), requires_grad=True)
        assert gradgradcheck(lambda x, *ps, layer=layer: layer(x).tanh(), [x, *layer.parameters()])


def test_errors_of_norms_on_weights():
    with pytest.raises(ValueError, match="has no parameter 'kernel'"):
        nn.utils.weight_norm(nn.Linear(2, 2), "kernel")
    with pytest.raises(ValueError, match="at least two axes"):
        nn.utils.spectral_norm(nn.Linear(2, 2), "bias")
    with pytest.raises(ValueError, match="at least 1"):
        nn.utils.spectral_norm(nn.Linear(2, 2), n_power_iterations=0)


def test_pixel_norm():
    x = fd.tensor(rng.standard_normal((2, 6, 3, 3)), requires_grad=True)
    y = nn.PixelNorm()(x)
    np.testing.assert_allclose((y.detach().numpy() ** 2).mean(1), 1, rtol=1e-6)
    assert gradcheck(nn.PixelNorm(), [x]) and gradgradcheck(nn.PixelNorm(), [x])


# ---------------------------------------------------------------------------------------------------------- folding


class Block(nn.Module):
    """conv, norm and ReLU as attributes, with a residual, as residual networks have them."""

    def __init__(self):
        self.conv1, self.bn1 = nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.conv2, self.bn2 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)

    def forward(self, x):
        y = self.bn1(self.conv1(x), act="relu")
        return self.bn2(self.conv2(y), x, "relu")


def net():
    fd.manual_seed(2)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        Block(),
        nn.ConvTranspose2d(4, 6, 4, 2, 1, groups=2),
        nn.BatchNorm2d(6),
        nn.Flatten(),
        nn.Linear(6 * 64, 5),
        nn.BatchNorm1d(5, affine=False),
    )
    for m in model.modules():
        if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)):
            if m.weight is not None:
                m.weight.array[...] = rng.uniform(0.5, 2, m.weight.shape)
                m.bias.array[...] = rng.standard_normal(m.bias.shape)
            m.running_mean.array[...] = rng.standard_normal(m.running_mean.shape)
            m.running_var.array[...] = rng.uniform(0.3, 3, m.running_var.shape)
    return model


@pytest.mark.parametrize(("with_example", "left"), [(False, 2), (True, 0)])
def test_folding_changes_no_output(with_example, left):
    model, x = net(), fd.tensor(rng.standard_normal((4, 3, 4, 4)).astype("f"))
    state = copy.deepcopy({k: v.array for k, v in model.state_dict().items()})
    folded = nn.fold_batchnorm(model, x) if with_example else nn.fold_batchnorm(model)
    want = model.eval()(x).detach().numpy()
    np.testing.assert_allclose(folded(x).detach().numpy(), want, rtol=1e-4, atol=1e-4)
    assert sum(isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)) for m in folded.modules()) == left
    for key, value in model.state_dict().items():
        np.testing.assert_array_equal(value.array, state[key])


def test_folding_says_when_there_is_nothing():
    with pytest.raises(ValueError, match="has no BatchNorm right after a layer; hint: with an example"):
        nn.fold_batchnorm(Block())
    with pytest.raises(
        ValueError, match="no BatchNorm right after a layer"
    ):  # of (N, 3, 5): normalized along the other axis
        nn.fold_batchnorm(nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(3)))

    class Twice(nn.Module):
        def __init__(self):
            self.conv, self.bn = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
            self.bn.running_mean.array[...] = 3

        def forward(self, x):
            y = self.conv(x)
            return self.bn(y) + y

    with pytest.raises(ValueError, match="used elsewhere than by its BatchNorm"):
        nn.fold_batchnorm(Twice(), fd.ones(1, 3, 2, 2))
