"""What one workload is, as data."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Workload:
    name: str
    group: str  # kernels, models, zoo, sequences, generative, detection or rivals
    build: Callable
    sizes: tuple
    flops: float
    bytes: float
    factor: float = 3.0
    bar_fwd: float | None = None  # PyTorch's time over fastdl's that is asked for
    bar_both: float | None = None
    options: dict = field(default_factory=dict)
    needs: str = "torch"  # package without which PyTorch cannot take part
    rate: tuple | None = None  # (how many, of what) a call yields: (32, "tokens")
    rival: str = "torch"  # the side that fastdl is compared with

    def make(self, side):
        return self.build(side, *self.sizes, **self.options)
