"""GenerativeModel: what every model of lectures 9 and 10 answers to, explicit or implicit.

density     what log_prob gives: "exact", "bound" (a lower bound, see elbo) or "none" (implicit: it can only sample)
fit         learn from data                     sample      new data from the model's own sampler
log_prob    nats a sample, or ImplicitModelError anomaly_score  high for data unlike the training data
"""

from contextlib import nullcontext

import numpy as np

from fastdl.autograd import Tensor, no_grad
from fastdl.distributions.distribution import ImplicitModelError
from fastdl.distributions.training import Training
from fastdl.ops.random import Generator
from fastdl.optim.ema import EMA

DENSITIES = ("exact", "bound", "none")


def seeded(seed):
    """A Generator started from seed, or None (the global one)."""
    return seed if seed is None or isinstance(seed, Generator) else Generator().manual_seed(seed)


def array(x, name="x", dtype=np.float32):
    """x (Tensor or array) as a float array with at least one sample."""
    a = np.asarray(x.array if isinstance(x, Tensor) else x)
    if a.ndim == 0 or len(a) == 0:
        raise ValueError(f"{name}: expected at least one sample along the first axis; got shape {a.shape}")
    return a.astype(dtype, copy=False) if a.dtype.kind != "f" else a


class GenerativeModel:
    """Mixin: a model sets `density` and writes fit, sample, and log_prob or elbo where it has one."""

    density = "none"

    def fit(self, x, **settings):
        raise NotImplementedError(f"{type(self).__name__} must define fit(x)")

    def sample(self, n, seed=None):
        raise NotImplementedError(f"{type(self).__name__} must define sample(n, seed)")

    def log_prob(self, x):
        """log p(x) (N,) in nats; a lower bound where density is "bound"."""
        if self.density == "none":
            raise ImplicitModelError(
                f"{type(self).__name__} is an implicit model: it samples, but gives no probability of an input; "
                "hint: an explicit one (NADE, PixelRNN) has log_prob, a VAE a bound"
            )
        raise NotImplementedError(f"{type(self).__name__} must define log_prob(x)")

    def anomaly_score(self, x, batch=250):
        """(N,) -log p(x): the higher, the less x is like the training data. Note: likelihood can be high for simple inputs."""
        x = array(x)
        with no_grad():
            parts = [-self.log_prob(x[i : i + batch]).array for i in range(0, len(x), batch)]
        return np.concatenate(parts).astype(np.float64)

    def mean_nll(self, x, batch=250):
        """The mean of -log p over samples x, in nats a sample."""
        return float(self.anomaly_score(x, batch).mean())


def auroc(negative, positive):
    """The probability that a positive's score is above a negative's, ties counting half: area under the ROC curve."""
    scores = np.concatenate([np.asarray(negative, np.float64), np.asarray(positive, np.float64)])
    if not len(negative) or not len(positive):
        raise ValueError("auroc: both groups need at least one score")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2)[inverse]  # the mean rank where scores are tied
    n, m = len(negative), len(positive)
    return float((ranks[n:].sum() - m * (m + 1) / 2) / (n * m))


def auroc_ood(model, x_in, x_out):
    """How well the anomaly score tells x_out from x_in: 0.5 not at all, 1 always."""
    return auroc(model.anomaly_score(x_in), model.anomaly_score(x_out))


def fit_likelihood(
    model, x, optimizer, epochs, batch_size=100, seed=0, validation=None, patience=None, each=None, keep=None, ema=None
):
    """Maximise the mean of model.log_prob over x (N, ...) by `optimizer`; returns the history, one dict an epoch.

    validation: held-out data (M, ...), scored after every epoch; the weights of the best epoch are kept in the end.
    patience: stop after so many epochs without a better validation score. each(epoch, record) is called after an epoch.
    keep: see Training; a step of it is an epoch. ema: decay of a running mean of the weights over the optimizer's steps, which is
    what is scored and kept in place of the weights themselves: they swing about it at a high rate, and on little data each swing
    follows the last batch.
    """
    x = array(x)
    if len(x) < 2:
        raise ValueError("fit: one sample is too few to learn a distribution from; at least 2 are needed")
    average = None if ema is None else EMA(model, ema)
    others = {} if average is None else {"average": average}
    training = Training(model, epochs, {"optimizer": optimizer}, seed, each, None, keep, others)
    training.values = {"best": np.inf, "waited": 0, "weights": None}
    for epoch in training:
        model.train()
        order, total = training.rng.permutation(len(x)), 0.0
        for start in range(0, len(x), batch_size):
            rows = order[start : start + batch_size]
            optimizer.zero_grad()
            loss = -model.log_prob(x[rows]).mean()
            loss.backward()
            optimizer.step()
            if average is not None:
                average.update()
            total += loss.item() * len(rows)
        model.eval()
        record, kept = {"epoch": epoch, "train_nll": total / len(x)}, training.values
        if validation is not None:
            with nullcontext() if average is None else average.applied():
                record["validation_nll"] = score = model.mean_nll(validation)
                better = score < kept["best"]
                kept["waited"] = 0 if better else kept["waited"] + 1
                if better:
                    kept["best"] = score
                    kept["weights"] = {k: v.array.copy() for k, v in model.state_dict().items()}
        training.flush(**record)
        if patience is not None and kept["waited"] >= patience:
            training.stop()
    if training.values["weights"] is not None:
        model.load_state_dict(training.values["weights"])
    elif average is not None:
        average.copy_to()
    return training.log
