"""What the recipes of LeNet and the perceptron share: Adam with a cosine on the 4,000 training images of MNIST 5k."""

from pathlib import Path

from fastdl.data import DataLoader, mnist5k
from fastdl.io import save
from fastdl.metrics import accuracy
from fastdl.optim import Adam
from fastdl.optim.lr_scheduler import CosineAnnealingLR
from fastdl.random import manual_seed
from fastdl.train import Trainer


def fit(name, make, loss, out, epochs, seed, resume, progress, *, lr, batch_size):
    """Train the network that make() returns, and write its weights to out/name.safetensors.

    Returns (trainer, loader of the test images, {"test accuracy", "test loss"}, files written)
    """
    if epochs < 1:
        raise ValueError(f"{name}: epochs must be at least 1; got {epochs}")
    out = Path(out)
    manual_seed(seed)
    train, test = mnist5k()
    learn = DataLoader(train, batch_size=batch_size, shuffle=True, seed=seed)
    judge = DataLoader(test, batch_size=250)
    model = make()
    optimizer = Adam(model.parameters(), lr=lr)
    trainer = Trainer(
        model,
        loss,
        optimizer,
        scheduler=CosineAnnealingLR(optimizer, epochs * len(learn)),
        schedule_every="step",
        metrics={"accuracy": accuracy},
        out=out,
        checkpoint_seconds=5.0,
        progress=progress,
    )
    trainer.fit(learn, judge, epochs, resume=resume)
    result = trainer.evaluate(judge)
    weights = out / f"{name}.safetensors"
    save(model, weights)
    files = [weights, *(out / file for file in ("history.jsonl", "history.png") if (out / file).exists())]
    return trainer, judge, {"test accuracy": result["accuracy"], "test loss": result["loss"]}, files
