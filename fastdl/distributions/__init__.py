"""Distributions under torch.distributions' names, divergences, counts of parameters, and the GenerativeModel interface."""

from fastdl.distributions.bernoulli import Bernoulli, RelaxedBernoulli
from fastdl.distributions.categorical import AliasTable, Categorical, OneHotCategorical, RelaxedOneHotCategorical
from fastdl.distributions.counting import (
    chain_rule_parameters,
    independent_parameters,
    joint_parameters,
    markov_parameters,
)
from fastdl.distributions.distribution import Distribution, ImplicitModelError
from fastdl.distributions.generative import GenerativeModel, auroc, auroc_ood, fit_likelihood
from fastdl.distributions.independent import Independent
from fastdl.distributions.kl import kl_divergence, register_kl
from fastdl.distributions.mixture import MixtureNormal, MixtureSameFamily
from fastdl.distributions.normal import Laplace, MultivariateNormal, Normal, Uniform

__all__ = [
    "AliasTable",
    "Bernoulli",
    "Categorical",
    "Distribution",
    "GenerativeModel",
    "ImplicitModelError",
    "Independent",
    "Laplace",
    "MixtureNormal",
    "MixtureSameFamily",
    "MultivariateNormal",
    "Normal",
    "OneHotCategorical",
    "RelaxedBernoulli",
    "RelaxedOneHotCategorical",
    "Uniform",
    "auroc",
    "auroc_ood",
    "chain_rule_parameters",
    "fit_likelihood",
    "independent_parameters",
    "joint_parameters",
    "kl_divergence",
    "markov_parameters",
    "register_kl",
]
