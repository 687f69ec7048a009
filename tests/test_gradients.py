"""First and second derivatives of every op against finite differences in float64."""

import pytest
from op_cases import CASES, flat

import fastdl as fd
from fastdl.autograd import gradcheck, gradgradcheck


def tensors(case):
    return [fd.tensor(a, requires_grad=a.dtype.kind == "f") for a in case.arrays()]


def floats(case):
    """The case's call, restricted to float results."""
    return lambda *xs: tuple(y for y in flat(case.call(fd, *xs)) if y.is_floating_point())


@pytest.mark.parametrize("case", [c for c in CASES if c.order >= 1], ids=str)
def test_first_derivative(case):
    assert gradcheck(floats(case), tensors(case))


@pytest.mark.parametrize("case", [c for c in CASES if c.order >= 2], ids=str)
def test_second_derivative(case):
    assert gradgradcheck(floats(case), tensors(case))


@pytest.mark.parametrize("case", [c for c in CASES if c.order == 0], ids=str)
def test_results_without_derivative_have_no_history(case):
    for y in flat(case.call(fd, *tensors(case))):
        assert not y.requires_grad and y.grad_fn is None
