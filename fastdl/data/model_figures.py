"""Published figures of 121 image models: parameters, GFLOPs, ImageNet accuracy (torchvision's metadata). An oracle for counts."""

import functools
import json

from fastdl.data._files import find

FILE = "torchvision_models.json", "052d768496aa7aae532b0320b8edbe869d5e585e7bbd072bbfc1a13be7c42d62"


@functools.cache
def model_figures() -> dict[str, dict]:
    """name -> {"num_params", "GFLOPs" (multiply-adds in 1e9), "metrics", "params_built" (counted on the built model)}.

    Example
    >>> model_figures()["resnet50"]["num_params"]
    25557032
    """
    return json.loads(find(*FILE).read_text(encoding="utf-8"))
