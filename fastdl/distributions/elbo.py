"""Lower bounds of log p(x) of a latent-variable model, by samples of an approximate posterior q(z | x).

    ELBO     E_q[log p(x | z)] - KL(q(z | x) || p(z))  =  log p(x) - KL(q(z | x) || p(z | x))
    IWAE_k   E log (1/k) sum_i p(x | z_i) p(z_i) / q(z_i | x): tighter with k, the ELBO for k = 1

Everything is in nats a sample, summed over pixels and codes: a mean over pixels would shrink the first term by their number, and
the codes would be ignored.

Ref  Jordan et al. 1999; Kingma and Welling 2014, arXiv 1312.6114; Burda, Grosse, Salakhutdinov 2016, arXiv 1509.00519;
     free bits: Kingma et al. 2016, arXiv 1606.04934
"""

from math import log

import numpy as np

from fastdl.distributions.kl import closed_form, kl_divergence
from fastdl.ops.reduce import logsumexp


def elbo(x, decoder, q, prior, samples=1, free_bits=0.0, generator=None):
    """(reconstruction, kl), each (N,), whose difference is the bound.

    decoder(z) is the distribution of x given z (S, N, ...), its log_prob of shape (S, N); q and prior are distributions of z
    with batch shape (N,) (or ()) and one event. The KL is closed where there is a form, else estimated by the same samples.
    free_bits: the KL counts as at least so many nats.
    """
    z = q.rsample((samples,), generator)
    reconstruction = decoder(z).log_prob(x).mean(0)
    kl = (
        kl_divergence(q, prior)
        if closed_form(q, prior) and _closed(q, prior)
        else (q.log_prob(z) - prior.log_prob(z)).mean(0)
    )
    if free_bits:
        kl = kl.clamp(min=free_bits)
    return reconstruction, kl


def _closed(q, prior):
    """Whether the parts of Independent distributions have a closed form too."""
    base = getattr(q, "base", None), getattr(prior, "base", None)
    return base[0] is None or base[1] is None or closed_form(*base) is not None


def iwae_bound(x, decoder, q, prior, k=50, generator=None):
    """The importance-weighted bound (N,) from k samples of q."""
    z = q.rsample((k,), generator)
    return logsumexp(decoder(z).log_prob(x) + prior.log_prob(z) - q.log_prob(z), 0) - log(k)


def active_units(means, threshold=0.01):
    """How many codes carry information: variance over the data of their posterior mean above `threshold`; means (N, Z)."""
    return int((np.asarray(means).var(0) > threshold).sum())
