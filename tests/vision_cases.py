"""The classification networks, in one table: counts, stored references and the comparison with torchvision read it.

`python tests/vision_cases.py [NAME ...]` (with torch and torchvision installed) writes tests/data/vision.json anew: for every case
the hash of the keys and shapes of torchvision's state_dict, and outputs of torchvision's network with hashed weights
(fastdl.testing.hashed_weights) for the image hashed("input", shape), in evaluation and, without dropout, in training mode.
"""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

from _torchvision import load as load_torchvision

FILE = Path(__file__).parent / "data" / "vision.json"


@dataclass(frozen=True)
class VisionCase:
    name: str  # constructor, the same in torchvision
    parameters: int
    shape: tuple  # of the input
    settings: dict = field(default_factory=dict)  # that switch dropout off, the same in torchvision
    slow: bool = False

    @property
    def chaotic(self):
        """Training mode in float64: through 100 batch norms over 8 numbers float32's rounding grows beyond 1e-4."""
        return self.name in ("resnet101", "resnet152")

    def __str__(self):
        return self.name


def _case(name, parameters, shape, slow=False, **settings):
    return VisionCase(name, parameters, shape, settings, slow)


CASES = [
    _case("alexnet", 61_100_840, (2, 3, 67, 63), dropout=0.0),
    _case("vgg11", 132_863_336, (1, 3, 32, 35), slow=True, dropout=0.0),
    _case("vgg13", 133_047_848, (1, 3, 32, 32), slow=True, dropout=0.0),
    _case("vgg16", 138_357_544, (1, 3, 32, 32), slow=True, dropout=0.0),
    _case("vgg19", 143_667_240, (1, 3, 32, 32), slow=True, dropout=0.0),
    _case("vgg11_bn", 132_868_840, (2, 3, 64, 64), slow=True, dropout=0.0),
    _case("vgg16_bn", 138_365_992, (2, 3, 64, 64), slow=True, dropout=0.0),
    _case("vgg19_bn", 143_678_248, (2, 3, 64, 64), slow=True, dropout=0.0),
    _case("googlenet", 13_004_888, (2, 3, 64, 61), aux_logits=True, dropout=0.0, dropout_aux=0.0),
    _case("resnet18", 11_689_512, (2, 3, 64, 61)),
    _case("resnet34", 21_797_672, (2, 3, 64, 64), slow=True),
    _case("resnet50", 25_557_032, (2, 3, 64, 64)),
    _case("resnet101", 44_549_160, (2, 3, 64, 64), slow=True),
    _case("resnet152", 60_192_808, (2, 3, 64, 64), slow=True),
    _case("densenet121", 7_978_856, (2, 3, 64, 67)),
    _case("densenet161", 28_681_000, (2, 3, 64, 64), slow=True),
    _case("densenet169", 14_149_480, (2, 3, 64, 64), slow=True),
    _case("densenet201", 20_013_928, (2, 3, 64, 64), slow=True),
    _case("mobilenet_v2", 3_504_872, (2, 3, 64, 61), dropout=0.0),
    _case("vit_b_16", 86_567_656, (1, 3, 32, 32), slow=True, image_size=32),
    _case("vit_b_32", 88_224_232, (1, 3, 64, 64), slow=True, image_size=64),
    _case("vit_l_16", 304_326_632, (1, 3, 32, 32), slow=True, image_size=32),
]


def torchvision_model(case, **settings):
    torchvision = load_torchvision()
    make = getattr(torchvision.models, case.name)
    return make(**{"weights": None, **({"init_weights": False} if case.name == "googlenet" else {}), **settings})


def first(output):
    """The scores of a network that may also return those of auxiliary heads."""
    return output if not isinstance(output, tuple) else output[0]


def main():
    import torch

    from fastdl.testing import hashed, hashed_weights, keys_hash

    torch.set_num_threads(1)
    chosen = sys.argv[1:] or [case.name for case in CASES]
    stored = json.loads(FILE.read_text()) if sys.argv[1:] else {}
    for case in (case for case in CASES if case.name in chosen):
        with torch.device("meta"):
            keys = keys_hash(torchvision_model(case).state_dict())
        net = torchvision_model(case, **case.settings)
        shapes = {key: tuple(value.shape) for key, value in net.state_dict().items()}
        net.load_state_dict({key: torch.from_numpy(value) for key, value in hashed_weights(shapes).items()})
        x = torch.from_numpy(hashed("input", case.shape))
        stored[case.name] = {"keys": keys}
        with torch.no_grad():
            for mode in ("eval", "train"):
                if mode == "train" and case.chaotic:
                    net, x = net.double(), x.double()
                y = first(getattr(net, mode)()(x))
                stored[case.name][mode] = [float(f"{v:.7g}") for v in y[-1, ::63]]
                stored[case.name][f"{mode}_scale"] = float(f"{y[-1].abs().max().item():.7g}")
        print(case.name, flush=True)
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(stored, indent=1) + "\n")


if __name__ == "__main__":
    main()
