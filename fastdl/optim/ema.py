"""Running means of weights: smoother, and often better, than the weights of any single step."""

from contextlib import contextmanager

import numpy as np

from fastdl.autograd import Tensor
from fastdl.kernels.optim_step import sgd_step
from fastdl.tape import wrote


def lerp_(averages, values, weight: float) -> None:
    """averages += weight (values - averages), in place, for two lists of ndarrays of the same shapes and dtypes: one call."""
    sgd_step(averages, values, None, weight, decay=1.0, maximize=True)  # p - weight (p - value)


class EMA:
    """The exponential moving average of a model's parameters.

    Maths       average <- decay average + (1 - decay) w at every update(); the average starts as the weights
                warmup: decay is min(decay, (1 + n) / (10 + n)) at update n, so that the start is soon forgotten
    Parameters  model: a Module; decay in [0, 1]; buffers (running means of a BatchNorm) are copied, not averaged
    Errors      ValueError for a decay outside [0, 1], KeyError for a state of another model
    Ref         Polyak and Juditsky 1992; Tarvainen and Valpola 2017

    Example
    >>> from fastdl import nn
    >>> model = nn.Linear(2, 1)
    >>> ema = EMA(model, decay=0.9)
    >>> ema.update()  # after every optimizer.step()
    >>> with ema.applied():
    ...     pass  # model computes with the averages here, and with its own weights again after
    """

    def __init__(self, model, decay: float = 0.999, warmup: bool = False):
        if not 0 <= decay <= 1:
            raise ValueError(f"EMA: decay must lie in [0, 1]; got {decay}")
        self.model, self.decay, self.warmup = model, decay, warmup
        self.updates = 0
        self.shadow = {name: p.array.copy(order="K") for name, p in model.named_parameters()}

    def update(self) -> None:
        """Take the present weights in."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates)) if self.warmup else self.decay
        self.updates += 1
        params = [p.array for _, p in self.model.named_parameters()]
        if len(params) != len(self.shadow):
            raise ValueError(
                f"EMA: the model has {len(params)} parameters now, {len(self.shadow)} when the EMA was made"
            )
        lerp_(list(self.shadow.values()), params, 1 - decay)

    def copy_to(self, model=None) -> None:
        """Write the averages into a model (left out: the one they are of)."""
        for name, p in (model or self.model).named_parameters():
            p.array[...] = self.shadow[name]
            wrote(p, "EMA.copy_to")

    @contextmanager
    def applied(self):
        """Within the block the model's parameters are the averages."""
        own = {name: p.array.copy(order="K") for name, p in self.model.named_parameters()}
        self.copy_to()
        try:
            yield self.model
        finally:
            for name, p in self.model.named_parameters():
                p.array[...] = own[name]
                wrote(p, "EMA.applied")

    def state_dict(self) -> dict:
        """{"decay", "updates", "shadow": {name: Tensor}}; the tensors share memory with the averages."""
        return {"decay": self.decay, "updates": self.updates, "shadow": {k: Tensor(v) for k, v in self.shadow.items()}}

    def load_state_dict(self, state: dict) -> None:
        """Continue from a state_dict (values are copied)."""
        if state["shadow"].keys() != self.shadow.keys():
            names = sorted(set(state["shadow"]) ^ set(self.shadow))
            raise KeyError(f"EMA: the state is of another model; differing names: {', '.join(names[:5])}")
        for name, value in state["shadow"].items():
            array = value.array if isinstance(value, Tensor) else np.asarray(value)
            if array.shape != self.shadow[name].shape:
                raise ValueError(f"EMA: {name} has shape {array.shape} in the state, {self.shadow[name].shape} here")
            self.shadow[name][...] = array
        self.decay, self.updates = float(state["decay"]), int(state["updates"])
