"""`fastdl detect` and `fastdl segment`: models of images that `fastdl train` wrote."""

import json
from pathlib import Path

import numpy as np

from fastdl.cli_common import use_machine
from fastdl.data.image_folder import ENDINGS


def _open(args, names):
    args.model = args.model or names[0]
    if args.model not in names and not Path(args.model).exists():
        wanted = " or ".join(names)
        raise ValueError(
            f"{args.model} is neither a file of weights nor {wanted}; give what `fastdl train {names[0]}` wrote, or leave it out: "
            f"{names[0]} comes with fastdl"
        )
    if Path(args.model).suffix.lower() in ENDINGS:
        raise ValueError(
            f"{args.model} is a picture where weights were expected; one picture at a time, after the MODEL if any"
        )
    for file in (args.model, args.image):
        if file not in names:
            with open(file, "rb"):  # the system's own words for a file that is missing or not readable
                pass
    use_machine(args)
    from fastdl.recipes import _vision_bundle as bundle

    name, model, about = bundle.load(args.model, names)
    return bundle, name, model, about, bundle.read_picture(args.image, about["channels"])


def _target(args, ending):
    image = Path(args.image)
    return args.out or str(image.with_name(f"{image.stem}_{ending}.png"))


def detect(args):
    """Prints class, score and box of every object, and draws them."""
    bundle, name, model, about, image = _open(args, ("yolo", "faster_rcnn"))
    if not 0 <= args.score <= 1:
        raise ValueError(f"--score must lie between 0 and 1; got {args.score}")
    found = bundle.detect(model, name, about, image, args.score)
    target = _target(args, "boxes")
    bundle.draw_boxes(image, found, target)
    if args.json:
        print(json.dumps([{"class": c, "score": round(s, 4), "box": b} for c, s, b in found]))
        return
    for label, score, box in found:
        print(f"{label:10} {score:.2f}  {'  '.join(f'{v:.1f}' for v in box)}")
    print(f"{len(found)} object{'' if len(found) == 1 else 's'}; picture: {target}")


def segment(args):
    """Prints the share of every class, and draws the classes over the image."""
    bundle, _, model, about, image = _open(args, ("fcn",))
    labels = bundle.segment(model, about, image)
    target = _target(args, "mask")
    bundle.draw_mask(image, labels, target, about["classes"])
    names = ("background", *about["classes"])
    shares = {names[c]: n / labels.size for c, n in enumerate(np.bincount(labels.ravel(), minlength=len(names))) if n}
    if args.json:
        print(json.dumps({name: round(share, 6) for name, share in shares.items()}))
        return
    for name, share in sorted(shares.items(), key=lambda pair: -pair[1]):
        print(f"{name:12} {share:.1%}")
    print(f"picture: {target}")
