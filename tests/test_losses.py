"""Losses of several labels, CTC, focal loss; and every loss with logits of +-1e4."""

import itertools

import numpy as np
import pytest

import fastdl as fd
from fastdl import nn
from fastdl.autograd import gradcheck, gradgradcheck
from fastdl.nn import functional as F

rng = np.random.default_rng(3)
LOGITS = rng.standard_normal((4, 5))
BITS = (rng.random((4, 5)) < 0.4).astype(np.float64)


# ----------------------------------------------------------------------------------------------------- huge logits

LABELS = fd.tensor([0, 4, 2, 1])
FULL = fd.tensor(BITS.astype("f"))
PROBABILITIES = fd.tensor(np.full((4, 5), 0.2, "f"))
SIGNS = fd.tensor(np.where(BITS > 0, 1.0, -1.0).astype("f"))
SAFE = {
    "cross_entropy": lambda x: F.cross_entropy(x, LABELS),
    "cross_entropy, weights and smoothing": lambda x: F.cross_entropy(
        x, LABELS, fd.tensor(np.arange(1, 6, dtype="f")), label_smoothing=0.1
    ),
    "cross_entropy, probabilities": lambda x: F.cross_entropy(x, PROBABILITIES, label_smoothing=0.1),
    "nll_loss of log_softmax": lambda x: F.nll_loss(F.log_softmax(x, 1), LABELS),
    "kl_div of log_softmax": lambda x: F.kl_div(F.log_softmax(x, 1), PROBABILITIES, "batchmean"),
    "binary_cross_entropy_with_logits": lambda x: F.binary_cross_entropy_with_logits(
        x, FULL, pos_weight=fd.tensor(np.full(5, 3.0, "f"))
    ),
    "multilabel_soft_margin_loss": lambda x: F.multilabel_soft_margin_loss(x, FULL),
    "sigmoid_focal_loss": lambda x: F.sigmoid_focal_loss(x, FULL, reduction="mean"),
    "soft_margin_loss": lambda x: F.soft_margin_loss(x, SIGNS),
    "multi_margin_loss": lambda x: F.multi_margin_loss(x, LABELS),
    "multilabel_margin_loss": lambda x: F.multilabel_margin_loss(x, fd.tensor([[0, -1, 0, 0, 0]] * 4)),
    "huber_loss": lambda x: F.huber_loss(x, FULL),
    "smooth_l1_loss": lambda x: F.smooth_l1_loss(x, FULL),
    "mse_loss": lambda x: F.mse_loss(x, FULL),
    "gaussian_nll_loss": lambda x: F.gaussian_nll_loss(x, FULL, fd.tensor(np.zeros((4, 5), "f")), eps=1e-6),
    "cosine_embedding_loss": lambda x: F.cosine_embedding_loss(x, FULL, fd.tensor(np.array([1, -1, 1, -1.0], "f"))),
    "triplet_margin_loss": lambda x: F.triplet_margin_loss(x, FULL, SIGNS),
}


@pytest.mark.parametrize("scale", [1e4, -1e4])
@pytest.mark.parametrize("name", SAFE)
def test_huge_logits_give_finite_losses_and_gradients(name, scale):
    x = fd.tensor((np.sign(LOGITS) * scale).astype("f"), requires_grad=True)
    loss = SAFE[name](x)
    loss.backward()
    assert np.isfinite(loss.item()), loss
    assert np.isfinite(x.grad.numpy()).all()


def test_right_and_wrong_huge_logits_cost_what_they_should():
    x = fd.tensor(np.array([[1e4, -1e4], [1e4, -1e4]], "f"))
    np.testing.assert_array_equal(F.cross_entropy(x, fd.tensor([0, 1]), reduction="none").numpy(), [0, 2e4])
    bits = fd.tensor(np.array([[1, 0], [0, 1]], "f"))
    want = [[0, 0], [1e4, 1e4]]
    np.testing.assert_array_equal(F.binary_cross_entropy_with_logits(x, bits, reduction="none").numpy(), want)


# ------------------------------------------------------------------------------------------------------ focal loss


@pytest.mark.parametrize(("alpha", "gamma"), [(0.25, 2.0), (0.6, 1.5), (-1, 2.0), (0.25, 0.0)])
def test_focal_loss_is_its_formula(alpha, gamma):
    p = 1 / (1 + np.exp(-LOGITS))
    p_t = np.where(BITS == 1, p, 1 - p)
    want = -((1 - p_t) ** gamma) * np.log(p_t)
    if alpha >= 0:
        want *= np.where(BITS == 1, alpha, 1 - alpha)
    x = fd.tensor(LOGITS, requires_grad=True)
    call = lambda x, reduction="none": F.sigmoid_focal_loss(x, fd.tensor(BITS), alpha, gamma, reduction)  # noqa: E731
    np.testing.assert_allclose(call(x).detach().numpy(), want, rtol=1e-12)
    assert call(x, "sum").item() == pytest.approx(want.sum())
    assert nn.SigmoidFocalLoss(alpha, gamma)(x, fd.tensor(BITS)).item() == pytest.approx(want.mean())
    assert gradcheck(call, [x]) and gradgradcheck(call, [x])


# ------------------------------------------------------------------------------------------------------------- CTC


def by_enumeration(p, labels, blank):
    """The sum of the probabilities of all C^T paths that collapse to the labels."""
    total = 0.0
    for path in itertools.product(range(p.shape[1]), repeat=p.shape[0]):
        collapsed = [s for s, before in zip(path, (None, *path)) if s != before]
        if [s for s in collapsed if s != blank] == list(labels):
            total += np.prod(p[np.arange(len(path)), path])
    return total


@pytest.mark.parametrize(("labels", "blank"), [([1, 2], 0), ([1, 1], 0), ([0, 2, 0], 1), ([], 0), ([2], 2 - 1)])
def test_ctc_sums_over_all_paths(labels, blank):
    p = rng.dirichlet(np.ones(3), 5)
    want = by_enumeration(p, labels, blank)
    got = F.ctc_loss(fd.tensor(np.log(p)), fd.tensor(np.array(labels, int)), [5], [len(labels)], blank, "none")
    assert np.exp(-got.item()) == pytest.approx(want, rel=1e-12)


CTC_TARGETS = np.array([[1, 2, 2, 3], [4, 1, 0, 0], [2, 0, 0, 0], [1, 1, 0, 0]])
CTC_LENGTHS = (np.array([9, 7, 4, 9]), np.array([4, 2, 1, 2]))


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("form", ["padded", "one after the other"])
def test_ctc_equals_torch(form, reduction):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    scores = rng.standard_normal((9, 4, 5))
    targets = CTC_TARGETS
    if form == "one after the other":
        targets = np.concatenate([row[:n] for row, n in zip(CTC_TARGETS, CTC_LENGTHS[1])])
    x, t = fd.tensor(scores, requires_grad=True), torch.tensor(scores, requires_grad=True)
    lengths = [torch.tensor(n) for n in CTC_LENGTHS]
    mine = F.ctc_loss(F.log_softmax(x, 2), fd.tensor(targets), *CTC_LENGTHS, reduction=reduction)
    theirs = torch.nn.functional.ctc_loss(t.log_softmax(2), torch.tensor(targets), *lengths, reduction=reduction)
    np.testing.assert_allclose(mine.detach().numpy(), theirs.detach().numpy(), rtol=1e-10)
    mine.sum().backward()
    theirs.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), rtol=1e-8, atol=1e-12)


def test_ctc_derivatives():
    x = fd.tensor(rng.standard_normal((5, 2, 4)), requires_grad=True)

    def call(x):
        return F.ctc_loss(F.log_softmax(x, 2), fd.tensor([[1, 1], [3, 0]]), [5, 4], [2, 1], reduction="none")

    assert gradcheck(call, [x]) and gradgradcheck(call, [x])


def test_ctc_of_a_target_that_does_not_fit():
    x = fd.tensor(np.log(np.full((2, 1, 3), 1 / 3)), requires_grad=True)
    loss = nn.CTCLoss(reduction="sum")
    assert loss(x, fd.tensor([[1, 1]]), [2], [2]).item() == np.inf  # needs a blank between: three steps
    zero = nn.CTCLoss(reduction="sum", zero_infinity=True)(x, fd.tensor([[1, 1]]), [2], [2])
    zero.backward()
    assert zero.item() == 0 and not x.grad.numpy().any()


def test_errors():
    x = fd.tensor(LOGITS)
    with pytest.raises(ValueError, match=r"label 5 at index \(0, 0\) is out of range for 5 classes"):
        F.multilabel_margin_loss(x, fd.tensor([[5, -1, 0, 0, 0]] * 4))
    with pytest.raises(ValueError, match="same shape"):
        F.multilabel_margin_loss(x, fd.tensor([1, 2, 3, 4]))
    with pytest.raises(ValueError, match="same shape"):
        F.multilabel_soft_margin_loss(x, fd.tensor(BITS[:, 0]))
    with pytest.raises(ValueError, match=r"labels in 0\.\.4"):
        F.multi_margin_loss(x, fd.tensor([0, 1, 2, 5]))
    with pytest.raises(ValueError, match="p must be 1 or 2"):
        nn.MultiMarginLoss(p=3)
    with pytest.raises(ValueError, match="reduction must be"):
        nn.CTCLoss(reduction="average")
    steps = fd.tensor(np.log(np.full((3, 1, 3), 1 / 3)))
    with pytest.raises(ValueError, match=r"input_lengths must lie in 1\.\.3"):
        F.ctc_loss(steps, fd.tensor([[1]]), [4], [1])
    with pytest.raises(ValueError, match=r"targets must lie in 0\.\.2"):
        F.ctc_loss(steps, fd.tensor([[3]]), [3], [1])
    with pytest.raises(ValueError, match="blank=3 is out of range"):
        F.ctc_loss(steps, fd.tensor([[1]]), [3], [1], blank=3)
