"""What the recipes of GANs that only sample share: their two data sets, pictures and judgement.

mnist   MNIST 5k, judged in the features of the frozen digit classifier
emoji   both drawings of each emoji at 32x32, judged in the features of a classifier of their categories (recipes/_emoji.py)
"""

from fastdl.autograd import no_grad
from fastdl.gan.augment import POLICIES
from fastdl.metrics import digit_frechet_distance
from fastdl.recipes import _emoji
from fastdl.recipes._samples import digits_in_0_1, gaussian_distance, judge_digits

DATA = ("mnist", "emoji")
TRAINING_MODE = "frechet distance, batch norm in training mode"


def images(settings):
    """(train, test) images of the chosen set in 0..1."""
    return digits_in_0_1() if settings["data"] == "mnist" else _emoji.both_styles()


def learn(model, epochs, seed, settings, keep):
    """model.fit on the training images, epochs of 64 images a step; loss, g_lr and d_lr from settings.

    settings["augment"]: what the discriminator sees of emoji is changed at random (gan/augment.py): they are few.
    """
    train, _ = images(settings)
    rates = {name: settings[name] for name in ("loss", "g_lr", "d_lr")}
    if settings.get("augment") and settings["data"] == "emoji":
        rates["augment"] = POLICIES
    return model.fit(train * 2 - 1, steps=epochs * (len(train) // 64), seed=seed, keep=keep, **rates)


def shaped(x, settings):
    """Samples in -1..1 as images in 0..1."""
    shape = (1, 28, 28) if settings["data"] == "mnist" else (3, 32, 32)
    return (x.array.reshape(-1, *shape) + 1) / 2


def pictures(model, n, seed, settings):
    """n samples in 0..1."""
    return shaped(model.sample(n, seed), settings)


def judgement(samples, settings):
    """(metrics, baselines) of 1,000 samples in 0..1."""
    train, test = images(settings)
    if settings["data"] == "emoji":
        return _emoji.judge(samples)
    baselines = {"full-covariance Gaussian, frechet distance": gaussian_distance(train, test)}
    return judge_digits(samples, train, test), baselines


def judge(model, seed, settings):
    """(metrics, baselines) of a model whose generator has batch norm: in evaluation mode, and its distance in training mode."""
    metrics, baselines = judgement(pictures(model, 1000, 1, settings), settings)
    model.generator.train()
    with no_grad():
        other = shaped(model.generator(model.latent(1000)), settings)
    model.generator.eval()
    distance = digit_frechet_distance if settings["data"] == "mnist" else _emoji.distance
    metrics[TRAINING_MODE] = distance(other, images(settings)[1])
    return metrics, baselines
