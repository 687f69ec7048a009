"""Entry 7: SimCLR, features of digits learned without labels."""

from fastdl import models, nn
from fastdl.gates import Claim, gate
from fastdl.models.simclr import SimCLR
from fastdl.recipes import simclr


@gate(entry=7, name="simclr_digits")
def simclr_digits(seed=0, smoke=False):
    "An encoder learns MNIST 5k without labels; a linear probe with ten labels a class, mean of 5 draws, judges it."
    with nn.init_empty():
        published = SimCLR(models.resnet50())
    count = [sum(p.numel() for p in part.parameters()) for part in (published.encoder, published.projector)]
    run = simclr.run(out=None, epochs=3 if smoke else None, seed=seed, progress=False, images=1000 if smoke else None)
    accuracy = run["metrics"]["probe accuracy, 10 labels a class"]
    untrained = run["baselines"]["the same probe, untrained encoder"]
    pixels = run["baselines"]["the same probe, raw pixels"]
    claims = [
        Claim("parameters of the ResNet-50 encoder", count[0], "==", 23_508_032),
        Claim(
            "parameters of the projection, without batch norm's", count[1] - 2 * 2048, "==", 2048 * 2048 + 2048 * 128
        ),
        Claim("probe accuracy, 10 labels a class", accuracy, ">", untrained, ("untrained encoder", untrained)),
    ]
    if not smoke:
        claims += [
            Claim("probe accuracy, 10 labels a class", accuracy, ">=", 0.87, ("raw pixels", pixels)),
            Claim("uniformity of the views' directions", run["metrics"]["uniformity"], "<=", -1.5),
        ]
    return claims
