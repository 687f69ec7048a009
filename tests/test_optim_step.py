"""optim_step: numbers worked by hand, memory layouts, errors."""

import numpy as np
import pytest

from fastdl import kernels
from fastdl.kernels.optim_step import adam_step, sgd_step


@pytest.fixture(params=kernels.RUNGS)
def rung(request):
    with kernels.use(request.param):
        yield request.param


def array(*values):
    return np.array(values, np.float32)


# --- by hand -------------------------------------------------------------------------------------------------------
def test_sgd_by_hand(rung):
    """g = 2 + 0.5 * 4 = 4; m = 0.5 * 6 + 0.75 * 4 = 6; p = 4 - 0.1 * 6"""
    p, m = array(4), array(6)
    sgd_step([p], [array(2)], [m], lr=0.1, momentum=0.5, dampening=0.25, decay=0.5)
    np.testing.assert_allclose([*p, *m], [3.4, 6], rtol=1e-6)


def test_sgd_first_step_by_hand(rung):
    """m = g = 2 whatever the dampening; nesterov: p = 4 - 0.1 * (2 + 0.5 * 2)"""
    p, m = array(4), array(np.nan)
    sgd_step([p], [array(-2)], [m], lr=0.1, momentum=0.5, dampening=0.0, nesterov=True, maximize=True, first=True)
    np.testing.assert_allclose([*p, *m], [3.7, 2], rtol=1e-6)
    m = array(np.nan)
    sgd_step([p], [array(2)], [m], lr=0.1, momentum=0.5, dampening=0.9, first=True)
    np.testing.assert_allclose([*p, *m], [3.5, 2], rtol=1e-6)


def test_sgd_without_momentum_by_hand(rung):
    p, q = array(1, 2), array(3)
    sgd_step([p, q], [array(1, -1), array(2)], None, lr=0.5)
    np.testing.assert_allclose([*p, *q], [0.5, 2.5, 2], rtol=1e-6)


def test_adam_by_hand(rung):
    """Second step, beta 1/2 and 3/4: m = 1 + 2 = 3, v = 3 * 3/4 + 1/4 * 16 = 6.25; m_hat = 3 / (3/4) = 4,
    v_hat = 6.25 / (7/16) = 100/7; p = 1 - 0.1 * 4 / (10 / sqrt 7)
    """
    p, m, v = array(1), array(2), array(3)
    adam_step([p], [array(4)], [m], [v], None, step=2, lr=0.1, beta1=0.5, beta2=0.75, eps=0.0)
    np.testing.assert_allclose([*p, *m, *v], [1 - 0.04 * 7**0.5, 3, 6.25], rtol=1e-6)


def test_adamw_by_hand(rung):
    """First step from zero: m_hat / sqrt(v_hat) is the sign of g, so p = 3 (1 - 0.1 * 0.5) - 0.1"""
    p = array(3)
    adam_step([p], [array(7)], [array(0)], [array(0)], None, step=1, lr=0.1, decay=0.5, decoupled=True, eps=0.0)
    np.testing.assert_allclose(p, [2.75], rtol=1e-6)
    p = array(3)
    adam_step([p], [array(-1)], [array(0)], [array(0)], None, step=1, lr=0.1, decay=0.5, eps=0.0)  # g = 1/2
    np.testing.assert_allclose(p, [2.9], rtol=1e-6)


def test_amsgrad_by_hand(rung):
    """v falls to 1, but the largest v so far, 4, counts: p = 1 - 0.1 * (m / (1/2)) / (sqrt 4 / sqrt(1/2)), m = 1/2"""
    p, top = array(1), array(4)
    adam_step([p], [array(1)], [array(0)], [array(1)], [top], step=1, lr=0.1, beta1=0.5, beta2=0.5, eps=0.0)
    np.testing.assert_allclose([*p, *top], [1 - 0.1 * 0.5**0.5 / 2, 4], rtol=1e-6)


# --- memory --------------------------------------------------------------------------------------------------------
LAYOUTS = {
    "C": lambda x: np.array(x, order="C"),
    "Fortran": lambda x: np.array(x, order="F"),
    "channels last": lambda x: np.array(x.transpose(0, 2, 3, 1), order="C").transpose(0, 3, 1, 2),
    "gaps": lambda x: np.repeat(x, 2, axis=3)[..., ::2],
    "negative": lambda x: np.array(x[..., ::-1], order="C")[..., ::-1],
}


@pytest.mark.parametrize("grad", LAYOUTS)
@pytest.mark.parametrize("state", LAYOUTS)
@pytest.mark.parametrize("param", LAYOUTS)
def test_any_mix_of_layouts(param, grad, state):
    rng = np.random.default_rng(0)
    p, g, m, v = rng.random((4, 5, 3, 2, 7)).astype(np.float32)
    small = [rng.random(4).astype(np.float32) for _ in range(4)]
    results = []
    for layouts in (("C", "C", "C"), (param, grad, state)):
        arrays = [LAYOUTS[name](x) for name, x in zip((*layouts, layouts[2]), (p, g, m, v), strict=True)]
        before = arrays[1].copy()
        rest = [x.copy() for x in small]
        adam_step(*([a, b] for a, b in zip(arrays, rest, strict=True)), None, step=5, lr=0.1)
        np.testing.assert_array_equal(arrays[1], before)
        sgd_step([rest[0], arrays[0]], [rest[1], arrays[1]], [rest[2], arrays[2]], lr=0.1, momentum=0.5)
        results.append([arrays[0], arrays[2], arrays[3], *rest])
    for want, got in zip(*results, strict=True):
        np.testing.assert_allclose(got, want, rtol=2e-6)


def test_float32_beside_float64():
    p, q = np.ones(3, np.float32), np.ones(2)
    sgd_step([p, q], [np.ones(3, np.float32), np.ones(2)], None, lr=0.5)
    assert (p == 0.5).all() and (q == 0.5).all() and p.dtype == np.float32


def test_no_parameters():
    sgd_step([], [], None, lr=0.1)
    adam_step([], [], [], [], None, step=1, lr=0.1)


# --- errors --------------------------------------------------------------------------------------------------------
def test_errors():
    p = np.ones(3, np.float32)
    with pytest.raises(ValueError, match="a list of 0"):
        sgd_step([p], [], None, lr=0.1)
    with pytest.raises(ValueError, match=r"parameter 0 has shape \(3,\), but \(2,\)"):
        sgd_step([p], [p[:2]], None, lr=0.1)
    with pytest.raises(TypeError, match="parameter 0 is float32, but float64"):
        adam_step([p], [p.astype(float)], [p], [p], None, step=1, lr=0.1)
    with pytest.raises(TypeError, match="int64"):
        sgd_step([p.astype(int)], [p.astype(int)], None, lr=0.1)
