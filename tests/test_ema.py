"""Running means of weights: by hand, beside torch's swa_utils, through a file."""

import numpy as np
import pytest

import fastdl
from fastdl import nn, optim
from fastdl.optim import EMA, swa_utils


def net():
    fastdl.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 2))


def drift(model, step):
    rng = np.random.default_rng(step)
    for p in model.parameters():
        p.array += rng.standard_normal(p.shape).astype(np.float32)


def test_ema_by_hand():
    layer = nn.Linear(1, 1, bias=False)
    layer.weight.array[...] = 1
    ema = EMA(layer, decay=0.75)
    for value, want in ((3.0, 1.5), (1.5, 1.5), (0.0, 1.125)):
        layer.weight.array[...] = value
        ema.update()
        assert ema.shadow["weight"].item() == pytest.approx(want)
    with ema.applied() as model:
        assert model.weight.item() == pytest.approx(1.125)
    assert layer.weight.item() == 0
    warm = EMA(layer, decay=0.9, warmup=True)
    layer.weight.array[...] = 10
    warm.update()  # decay 1 / 10
    assert warm.shadow["weight"].item() == pytest.approx(9)
    warm.copy_to()
    assert layer.weight.item() == pytest.approx(9)


def test_ema_goes_through_a_file(tmp_path):
    model = net()
    ema = EMA(model, 0.9)
    drift(model, 0)
    ema.update()
    fastdl.save({"ema": ema.state_dict()}, tmp_path / "ema.safetensors")
    other = EMA(net(), 0.5)
    other.load_state_dict(fastdl.load(tmp_path / "ema.safetensors")["ema"])
    assert (other.decay, other.updates) == (0.9, 1)
    for name, value in ema.shadow.items():
        np.testing.assert_array_equal(other.shadow[name], value)


def test_ema_errors():
    with pytest.raises(ValueError, match=r"decay must lie in \[0, 1\]; got 1.5"):
        EMA(net(), 1.5)
    with pytest.raises(KeyError, match="of another model"):
        EMA(net()).load_state_dict(EMA(nn.Linear(1, 1)).state_dict())
    with pytest.raises(ValueError, match=r"weight has shape \(1, 1\) in the state, \(2, 1\) here"):
        EMA(nn.Linear(1, 2, bias=False)).load_state_dict(EMA(nn.Linear(1, 1, bias=False)).state_dict())


WAYS = {
    "mean": lambda u: {},
    "ema": lambda u: {"multi_avg_fn": u.get_ema_multi_avg_fn(0.9)},
    "ema, one by one": lambda u: {"avg_fn": u.get_ema_avg_fn(0.9)},
    "mean, one by one": lambda u: {"avg_fn": u.get_swa_avg_fn()},
    "buffers": lambda u: {"multi_avg_fn": u.get_ema_multi_avg_fn(0.8), "use_buffers": True},
}


@pytest.mark.parametrize("way", WAYS)
def test_averaged_model_same_as_torch(way):
    torch = pytest.importorskip("torch")
    ours = net()
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3), torch.nn.Flatten(), torch.nn.Linear(12, 2)
    )
    mine, its = None, None
    for step in range(5):
        drift(ours, step)
        ours[1].running_mean.array[...] = step
        theirs.load_state_dict({k: torch.tensor(np.ascontiguousarray(v.numpy())) for k, v in ours.state_dict().items()})
        if mine is None:
            mine = swa_utils.AveragedModel(ours, **WAYS[way](swa_utils))
            its = torch.optim.swa_utils.AveragedModel(theirs, **WAYS[way](torch.optim.swa_utils))
        mine.update_parameters(ours)
        its.update_parameters(theirs)
    want = its.state_dict()
    assert set(mine.state_dict()) == set(want)
    for name, value in mine.state_dict().items():
        np.testing.assert_allclose(value.numpy(), want[name].numpy(), rtol=1e-5, atol=1e-6, err_msg=name)
    x = np.random.default_rng(0).standard_normal((4, 2, 4, 4)).astype(np.float32)
    batches = [x[:2], x[2:]]
    swa_utils.update_bn([fastdl.from_numpy(b) for b in batches], mine)
    torch.optim.swa_utils.update_bn([torch.from_numpy(b) for b in batches], its)
    for name, value in its.state_dict().items():
        if "running" in name:
            np.testing.assert_allclose(mine.state_dict()[name].numpy(), value.numpy(), rtol=1e-4, atol=1e-5)
    mine.eval()
    its.eval()
    got = mine(fastdl.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(got, its(torch.from_numpy(x)).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_averaged_model_is_better_than_noisy_weights():
    """Least squares by SGD with a large rate: the mean of the weights is nearer to the solution than any single one."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((256, 4)).astype(np.float32)
    truth = np.array([[1.0, -2, 3, 0.5]], np.float32)
    y = x @ truth.T + 0.5 * rng.standard_normal((256, 1)).astype(np.float32)
    solution = np.linalg.lstsq(x, y, rcond=None)[0].T
    layer = nn.Linear(4, 1, bias=False)
    mean = swa_utils.AveragedModel(layer)
    optimizer = optim.SGD(layer.parameters(), lr=0.1)
    apart = []
    for step in range(400):
        rows = rng.integers(0, 256, 4)
        optimizer.zero_grad()
        ((layer(fastdl.from_numpy(x[rows])) - fastdl.from_numpy(y[rows])) ** 2).mean().backward()
        optimizer.step()
        if step >= 100:
            mean.update_parameters(layer)
            apart.append(np.linalg.norm(layer.weight.array - solution))
    assert np.linalg.norm(mean.module.weight.array - solution) < 0.5 * np.median(apart)


def test_averaged_model_errors():
    with pytest.raises(ValueError, match="not both"):
        swa_utils.AveragedModel(net(), avg_fn=swa_utils.get_swa_avg_fn(), multi_avg_fn=swa_utils.get_swa_multi_avg_fn())
    with pytest.raises(ValueError, match="device must be cpu"):
        swa_utils.AveragedModel(net(), device="cuda")
    with pytest.raises(ValueError, match="decay must lie"):
        swa_utils.get_ema_multi_avg_fn(2)
