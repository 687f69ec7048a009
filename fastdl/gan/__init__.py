"""Adversarial training: losses, penalties, exact objectives of small cases, and one trainer for the GAN family."""

from fastdl.gan.augment import diff_augment
from fastdl.gan.losses import (
    LOSSES,
    cycle_consistency,
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    r1_penalty,
)
from fastdl.gan.objectives import density_ratio_jsd, gan_value, jsd, optimal_discriminator
from fastdl.gan.trainer import Average, GANTrainer, ImagePool, adam_trainer, check_images

__all__ = [
    "LOSSES",
    "Average",
    "GANTrainer",
    "ImagePool",
    "adam_trainer",
    "check_images",
    "cycle_consistency",
    "density_ratio_jsd",
    "diff_augment",
    "discriminator_loss",
    "gan_value",
    "generator_loss",
    "gradient_penalty",
    "jsd",
    "optimal_discriminator",
    "r1_penalty",
]
