"""What every training of a generative model shares: its steps, its log, its random numbers, and where it stands.

    training = Training(model, steps, {"generator": g, "discriminator": d}, seed=seed, keep=keep)
    for step in training:
        rows = training.rng.integers(...)       # draws of the loop
        ...
        training.record(d_loss=d_loss.item())   # averaged over `every` steps into training.log
    return training.log

Weights, optimizers, random streams, the open averages and the log make up the state: a training that was cut and goes on from
it ends with the same bits as one that was not.
"""

import numpy as np

from fastdl import random
from fastdl.ops.random import Generator


class Training:
    """The loop of a training; iterate over it for the steps 1 .. steps.

    optimizers  {name: Optimizer}             others      {name: object with state_dict and load_state_dict}
    every       a record of the log holds the means of so many steps; None: only flush() writes records
    each        each(step, record) is called with every record
    keep        an object with restore(training), called before the first step, and after(training), called after each
    rng, random streams of the loop, numpy's and fastdl's, both started from seed
    values      numbers and arrays that the loop wants to be kept with it
    """

    def __init__(self, model, steps, optimizers, seed=0, each=None, every=100, keep=None, others=None):
        if steps < 1:
            raise ValueError(f"{type(model).__name__}.fit: at least one step is needed; got {steps}")
        self.model, self.steps, self.optimizers, self.others = model, steps, optimizers, others or {}
        self.each, self.every, self.keep = each, every, keep
        self.rng, self.random = np.random.default_rng(seed), Generator().manual_seed(seed)
        self.step, self.log, self.values, self.stopped = 0, [], {}, False
        self._recent = {}

    def __iter__(self):
        if self.keep is not None:
            self.keep.restore(self)
        while self.step < self.steps and not self.stopped:
            self.step += 1
            yield self.step
            if self.every is not None and (self.step % self.every == 0 or self.step == self.steps):
                self.flush()
            if self.keep is not None:
                self.keep.after(self)

    def record(self, **values):
        """Numbers of this step, for the averages of the log."""
        for name, value in values.items():
            self._recent.setdefault(name, []).append(float(value))

    def flush(self, **labels):
        """Write the averages since the last record, beside labels, into the log."""
        means = {name: float(np.mean(v)) for name, v in self._recent.items()}
        self.log.append({"step": self.step, **labels, **means})
        self._recent = {}
        if self.each is not None:
            self.each(self.step, self.log[-1])

    def stop(self):
        """Make this step the last one."""
        self.stopped = True

    def state_dict(self) -> dict:
        """All but the model's own weights, which model.state_dict() has."""
        return {
            "step": self.step,
            "stopped": self.stopped,
            "log": self.log,
            "recent": self._recent,
            "values": self.values,
            "rng": self.rng.bit_generator.state,
            "random": self.random.get_state(),
            "global": random.get_rng_state(),
            "modes": [m.training for m in self.model.modules()],
            "optimizers": {name: o.state_dict() for name, o in self.optimizers.items()},
            "others": {name: o.state_dict() for name, o in self.others.items()},
        }

    def load_state_dict(self, state):
        """Go on from a state_dict; ValueError where it belongs to another kind of training."""
        for what, mine in (("optimizers", self.optimizers), ("others", self.others)):
            if mine.keys() != state[what].keys():
                raise ValueError(f"Training: the state has the {what} {[*state[what]]}, this training {[*mine]}")
            for name, thing in mine.items():
                thing.load_state_dict(state[what][name])
        self.step, self.stopped, self.log = state["step"], state["stopped"], list(state["log"])
        self._recent = {k: list(v) for k, v in state["recent"].items()}
        self.values = dict(state["values"])
        self.rng.bit_generator.state = state["rng"]
        self.random.set_state(state["random"])
        random.set_rng_state(state["global"])
        for module, mode in zip(self.model.modules(), state["modes"], strict=True):
            module.training = mode


def linear_decay(optimizers, lr, step, steps, constant=0.5):
    """Set the learning rate of step 1 .. steps: lr for the first share `constant`, then linearly to 0."""
    share = (step - 1) / steps
    for optimizer in optimizers:
        optimizer.param_groups[0]["lr"] = lr * min(1.0, (1 - share) / max(1 - constant, 1e-9))
