"""Images of any size as one batch: standardised, resized to a side, padded; and boxes brought back.

Ref  torchvision.models.detection.transform.GeneralizedRCNNTransform (results agree).
"""

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor
from fastdl.data.transforms.imagenet import MEAN, STD
from fastdl.nn import functional as F


class ImageTransform(nn.Module):
    """A list of images (C, H, W), 0..1, as a batch.

    short, long   the shorter side becomes `short`, unless the longer one then exceeded `long`
    mean, std     of the channels
    divisor       height and width of the batch are padded with zeros to a multiple of it

    Call   transform(images) -> (batch (N, C, H, W), sizes [(h, w) of each resized image, ...])
    """

    def __init__(self, short=800, long=1333, mean=MEAN, std=STD, divisor=32):
        super().__init__()
        self.short, self.long, self.divisor = short, long, divisor
        self.mean, self.std = (np.asarray(v, np.float32)[:, None, None] for v in (mean, std))

    def forward(self, images):
        resized = []
        for i, image in enumerate(images):
            x = image.array if isinstance(image, Tensor) else np.asarray(image)
            if x.ndim != 3 or len(x) != len(self.mean) or x.dtype.kind != "f" or 0 in x.shape:
                raise ValueError(
                    f"image {i}: expected floats ({len(self.mean)}, H, W) in 0..1; got {x.dtype} {x.shape}"
                    + (
                        "; hint: image.repeat(3, axis=0) makes a grey image colour"
                        if x.ndim == 3 and len(x) == 1
                        else ""
                    )
                )
            x = (x.astype(np.float32, copy=False) - self.mean) / self.std
            sides = x.shape[1:]
            scale = min(self.short / min(sides), self.long / max(sides))
            resized.append(F.interpolate(Tensor(x[None]), scale_factor=scale, mode="bilinear", align_corners=False,
                                         recompute_scale_factor=True).array[0])  # fmt: skip
        sizes = [x.shape[1:] for x in resized]
        H, W = (-(-max(s[k] for s in sizes) // self.divisor) * self.divisor for k in (0, 1))
        batch = np.zeros((len(resized), len(self.mean), H, W), np.float32)
        for x, (h, w), row in zip(resized, sizes, batch):
            row[:, :h, :w] = x
        return Tensor(batch), sizes


def scale_boxes(boxes, size, new):
    """Boxes (N, 4) of an image of `size` (h, w) on the same image resized to `new`."""
    y, x = new[0] / size[0], new[1] / size[1]
    return np.asarray(boxes, np.float32).reshape(-1, 4) * np.array([x, y, x, y], np.float32)
