"""kl_divergence: closed forms by the types of the two distributions, Monte Carlo where there is none.

Maths  KL(p || q) = E_p[log p(x) - log q(x)] >= 0, and 0 only where they are equal
"""

import numpy as np

from fastdl.distributions.bernoulli import Bernoulli
from fastdl.distributions.categorical import Categorical
from fastdl.distributions.independent import Independent, sum_last
from fastdl.distributions.normal import Laplace, MultivariateNormal, Normal, Uniform
from fastdl.ops.activation import logsigmoid
from fastdl.ops.linalg import matmul

_FORMS = {}


def register_kl(p_type, q_type):
    """Decorator: the function is the closed form of KL(p || q) for these types."""

    def register(function):
        _FORMS[p_type, q_type] = function
        return function

    return register


def closed_form(p, q):
    """The registered function for the types of p and q (nearest base classes first), or None."""
    for a in type(p).__mro__:
        for b in type(q).__mro__:
            if (a, b) in _FORMS:
                return _FORMS[a, b]
    return None


def kl_divergence(p, q, samples=None, generator=None):
    """KL(p || q) in nats, of the broadcast batch shape.

    In closed form where one is registered. samples: the number of draws of a Monte Carlo estimate, which is taken where
    it is given, or where there is no closed form and it must then be given.
    """
    form = closed_form(p, q)
    if samples is None:
        if form is None:
            raise NotImplementedError(
                f"kl_divergence: no closed form for {type(p).__name__} and {type(q).__name__}; "
                "hint: kl_divergence(p, q, samples=1000) estimates it"
            )
        return form(p, q)
    x = (p.rsample if p.has_rsample else p.sample)((samples,), generator)
    return (p.log_prob(x) - q.log_prob(x)).mean(0)


@register_kl(Normal, Normal)
def _normal(p, q):
    ratio = (p.scale / q.scale) ** 2
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale) ** 2 - 1 - ratio.log())


@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate(p, q):
    from fastdl.distributions.normal import Inverse

    root = Inverse.apply(q.scale_tril)
    m = matmul(root, p.scale_tril)
    d = matmul(root, (p.loc - q.loc).unsqueeze(-1)).squeeze(-1)
    return 0.5 * ((m * m).sum((-2, -1)) + (d * d).sum(-1) - p.event_shape[0] + q.log_det() - p.log_det())


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p, q):
    on = p.probs * (logsigmoid(p.logits) - logsigmoid(q.logits))
    return on + (1 - p.probs) * (logsigmoid(-p.logits) - logsigmoid(-q.logits))


@register_kl(Categorical, Categorical)
def _categorical(p, q):
    if p.logits.shape[-1] != q.logits.shape[-1]:
        raise ValueError(f"kl_divergence: {p.logits.shape[-1]} and {q.logits.shape[-1]} cases")
    return (p.probs * (p.logits - q.logits)).sum(-1)


@register_kl(Laplace, Laplace)
def _laplace(p, q):
    d = (p.loc - q.loc).abs()
    ratio = p.scale / q.scale
    return d / q.scale + ratio * (-d / p.scale).exp() - ratio.log() - 1


@register_kl(Uniform, Uniform)
def _uniform(p, q):
    inside = (q.low.array <= p.low.array) & (p.high.array <= q.high.array)
    result = ((q.high - q.low) / (p.high - p.low)).log()
    return result + np.where(inside, 0.0, np.inf).astype(result.array.dtype)


@register_kl(Independent, Independent)
def _independent(p, q):
    if p.axes != q.axes or p.event_shape != q.event_shape:
        raise ValueError(f"kl_divergence: {p} and {q} have different events")
    return sum_last(kl_divergence(p.base, q.base), p.axes)
