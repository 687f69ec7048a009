"""VAE on binary MNIST 5k, 784-256-16: the bound of the test images in nats, and the quality of decoded samples.

Baselines: independent pixels (nats), a full-covariance Gaussian of the pixels (Frechet distance).
"""

from fastdl.autograd import no_grad
from fastdl.distributions.generative import seeded
from fastdl.models.pixel_tables import IndependentBernoulli
from fastdl.models.vae import VAE
from fastdl.recipes import _generative
from fastdl.recipes._samples import binary_digits, digits_in_0_1, gaussian_distance, judge_digits

EPOCHS = 40
SETTINGS = {"hidden": 256, "z": 16, "beta": 1.0, "prior": 1, "conv": False, "lr": 2e-3}


def build(settings):
    return VAE(
        784, settings["hidden"], settings["z"], beta=settings["beta"], prior=settings["prior"], conv=settings["conv"]
    )


def learn(model, epochs, seed, settings, keep):
    return model.fit(binary_digits()[0], epochs=epochs, lr=settings["lr"], seed=seed, keep=keep)


def pictures(model, n, seed, settings):
    return model.sample(n, seed, mean=True).array.reshape(-1, 1, 28, 28)


def judge(model, seed, settings):
    x, _, test = binary_digits()
    train, real = digits_in_0_1()
    with no_grad():
        reconstruction, kl = model.elbo(test, generator=seeded(seed))
    bound = -float((reconstruction - kl).array.mean())
    baselines = {
        "independent pixels, nats": IndependentBernoulli(784).fit(x).mean_nll(test),
        "full-covariance Gaussian, frechet distance": gaussian_distance(train, real),
    }
    quality = judge_digits(pictures(model, 1000, 1, settings), train, real)
    return {"-ELBO, nats": bound, "KL, nats": float(kl.array.mean()), **quality}, baselines


run = _generative.runner(__name__)
