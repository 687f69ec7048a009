"""A detector or a labeller of pixels in one .safetensors file, with all that its use needs; and its pictures."""

import colorsys
import json
from pathlib import Path

import numpy as np

from fastdl.autograd import Tensor, no_grad
from fastdl.detection.backbone import ConvStages
from fastdl.detection.transform import scale_boxes
from fastdl.io.safetensors import load_file, read_metadata, save_file
from fastdl.models.faster_rcnn import fasterrcnn_small
from fastdl.models.fcn import fcn_small
from fastdl.models.yolo import yolo_small
from fastdl.nn import functional as F

EMBEDDED = Path(__file__).parent / "embedded"
LARGEST = 640  # longer side of an image that goes through a network of any size; larger ones are resized


def build(name, classes, channels, size, width=1.0, head="conv"):
    """The network of a recipe for scenes with so many classes; width multiplies its channels, head is YOLO's."""
    if name == "yolo":
        return yolo_small(C=classes, size=size, in_channels=channels, width=width, head=head)
    stages = tuple(round(c * width) for c in (16, 32, 64))
    if name == "faster_rcnn":
        return fasterrcnn_small(classes + 1, channels, ConvStages(channels, stages))
    return fcn_small(classes + 1, channels, channels=stages)


def save(name, model, path, maker, stats, width=1.0, half=False, head="conv"):
    """Write the file; half: numbers of 16 bits, which are read as 32 again."""
    about = {"classes": maker.classes, "channels": maker.colours, "size": maker.size, "kind": maker.kind, "width": width,
             "head": head, "mean": stats[0].ravel().tolist(), "std": stats[1].ravel().tolist()}  # fmt: skip
    tensors = {k: v.array for k, v in model.state_dict().items()}
    if half:
        tensors = {k: v.astype(np.float16) if v.dtype == np.float32 else v for k, v in tensors.items()}
    save_file(tensors, path, {"fastdl": name, "scenes": json.dumps(about)})


def load(path, names):
    """(name, model in evaluation mode, about) of a file that save wrote; names: the recipes that are wanted.

    The name of a recipe in place of a path means the weights that come with fastdl (embedded()).
    """
    path = embedded(path) if str(path) in names else path
    metadata = read_metadata(path)
    name = metadata.get("fastdl")
    if name not in names:
        wanted = " or ".join(f"`fastdl train {n}`" for n in names)
        raise ValueError(f"{path} holds {name or 'weights of something else'}; this needs a file that {wanted} wrote")
    try:
        about = json.loads(metadata["scenes"])
        sizes = about["channels"], about["size"], about.get("width", 1.0), about.get("head", "conv")
        model = build(name, len(about["classes"]), *sizes)
        model.load_state_dict(load_file(path))
    except (KeyError, TypeError, json.JSONDecodeError, RuntimeError) as error:
        raise ValueError(f"{path} is damaged, or of another version of fastdl ({error})") from None
    return name, model.eval(), about


def embedded(name):
    """The file of weights of a recipe that comes with fastdl; those of others are made by `fastdl train NAME`."""
    path = EMBEDDED / f"{name}.safetensors"
    if not path.exists():
        have = ", ".join(sorted(file.stem for file in EMBEDDED.glob("*.safetensors")))
        raise ValueError(f"no weights of {name} come with fastdl (there are: {have}); make them: fastdl train {name}")
    return path


def read_picture(path, channels) -> np.ndarray:
    """(channels, H, W) float32 in 0..1 of an image file, transparent parts white."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise RuntimeError(f"reading {path} needs Pillow: pip install pillow") from None
    try:
        with Image.open(path) as image:
            image = image.convert("RGBA")
            paper = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(paper, image).convert("RGB" if channels == 3 else "L")
            x = np.asarray(image, np.float32) / 255
    except (UnidentifiedImageError, SyntaxError, EOFError) as error:
        raise ValueError(f"{path} is not an image that Pillow can read ({error})") from None
    except OSError as error:
        if error.filename is not None:
            raise
        raise ValueError(f"{path} is damaged or cut off ({error})") from None
    return x[None] if x.ndim == 2 else x.transpose(2, 0, 1)


def prepare(image, name, about):
    """(batch of one, standardised and of a size that the network takes)."""
    H, W = image.shape[1:]
    if min(H, W) < 16:
        raise ValueError(f"the image is {W} x {H}; at least 16 x 16 pixels are needed")
    size = (
        (about["size"],) * 2
        if name == "yolo" and about.get("head") == "fc"
        else tuple(max(16, round(s * min(1, LARGEST / max(H, W)))) for s in (H, W))
    )
    x = Tensor(np.ascontiguousarray(image[None]))
    if size != (H, W):
        x = F.interpolate(x, size, mode="bilinear", align_corners=False)
    mean, std = (np.array(about[k], np.float32)[:, None, None] for k in ("mean", "std"))
    return Tensor((x.array - mean) / std)


def detect(model, name, about, image, score=0.3):
    """[(class name, score, [x1, y1, x2, y2]), ...] of an image (C, H, W), best first, in its own pixels."""
    x = prepare(image, name, about)
    with no_grad():
        found = model.detect(x, score=score)[0] if name == "yolo" else model(x)[0]
    boxes = scale_boxes(found["boxes"], x.shape[2:], image.shape[1:])
    first = 0 if name == "yolo" else 1
    rows = zip(found["labels"], found["scores"], boxes)
    return [(about["classes"][c - first], float(s), [round(float(v), 1) for v in b]) for c, s, b in rows if s >= score]


def segment(model, about, image):
    """(H, W) labels of an image (C, H, W): 0 background, class + 1."""
    with no_grad():
        scores = model(prepare(image, "fcn", about))
        if scores.shape[2:] != image.shape[1:]:
            scores = F.interpolate(scores, tuple(image.shape[1:]), mode="bilinear", align_corners=False)
    return scores.array[0].argmax(0)


def as_bytes(image):
    """(H, W, 3) uint8 of an image (C, H, W) in 0..1."""
    return np.ascontiguousarray(
        np.broadcast_to(np.rint(255 * image).clip(0, 255).astype(np.uint8), (3, *image.shape[1:])).transpose(1, 2, 0)
    )


def label_font(size):
    """Letters for a picture whose longer side is `size`."""
    from PIL import ImageFont

    try:
        return ImageFont.load_default(max(12, size // 30))
    except TypeError:  # Pillow before 10.1 has one size
        return ImageFont.load_default()


def draw_boxes(image, found, path, zoom=None):
    """Write a picture of an image (C, H, W) with its detections: boxes, names, scores; small images are enlarged."""
    from PIL import Image, ImageDraw

    zoom = zoom or max(1, 320 // max(image.shape[1:]))
    picture = Image.fromarray(as_bytes(image))
    picture = picture.resize((picture.width * zoom, picture.height * zoom))
    size = max(picture.size)
    thick = max(1, size // 200)
    font = label_font(size)
    pen = ImageDraw.Draw(picture)
    names = sorted({row[0] for row in found})
    colours = bright_colours(len(names) + 1)
    for name, score, box in reversed(found):
        colour = tuple(int(v) // 2 + 127 for v in colours[names.index(name) + 1])
        pen.rectangle([v * zoom for v in box], outline=colour, width=thick)
        text = f"{name}: {score:.2f}"
        width, height = pen.textbbox((0, 0), text, font=font)[2:]
        left = min(box[0] * zoom, max(0, picture.width - width - 4))
        top = (
            box[1] * zoom - height - 4
            if box[1] * zoom >= height + 4
            else min(box[3] * zoom, picture.height - height - 4)
        )
        pen.rectangle([left, top, left + width + 4, top + height + 4], fill=colour)
        pen.text((left + 2, top + 1), text, fill="black", font=font)
    picture.save(path)


def bright_colours(n):
    """(n, 3) uint8 colours that stand out from each other and from grey; the first is black."""
    hues = [colorsys.hsv_to_rgb(k / (n - 1), 1 - k % 2 * 0.4, 1) for k in range(n - 1)]
    return np.rint(np.array([(0, 0, 0), *hues]) * 255).astype(np.uint8)


def draw_mask(image, labels, path, classes, zoom=None):
    """Write a picture of an image (C, H, W) with the classes of its pixels laid over it in colour, and their names below."""
    from PIL import Image, ImageDraw

    zoom = zoom or max(1, 320 // max(image.shape[1:]))
    colours = bright_colours(len(classes) + 1)
    mixed = np.where((labels > 0)[..., None], as_bytes(image) // 4 + colours[labels] // 4 * 3, as_bytes(image))
    picture = Image.fromarray(mixed.astype(np.uint8))
    picture = picture.resize((picture.width * zoom, picture.height * zoom), Image.NEAREST)
    font = label_font(max(picture.size))
    there = [(classes[c - 1], tuple(int(v) for v in colours[c])) for c in np.unique(labels) if c]
    high = ImageDraw.Draw(picture).textbbox((0, 0), "Ag", font=font)[3] + 4
    places, x, y = [], 2, 2
    for name, colour in there:
        wide = int(ImageDraw.Draw(picture).textlength(name, font=font)) + high + 8
        if x > 2 and x + wide > picture.width:
            x, y = 2, y + high
        places.append((x, y, name, colour))
        x += wide
    whole = Image.new("RGB", (picture.width, picture.height + (y + high if there else 0)), "white")
    whole.paste(picture, (0, 0))
    pen = ImageDraw.Draw(whole)
    for x, y, name, colour in places:
        top = picture.height + y
        pen.rectangle([x, top + 2, x + high - 6, top + high - 4], fill=colour)
        pen.text((x + high - 2, top), name, fill="black", font=font)
    whole.save(path)


def pictures(name, model, scenes, about, out, most=3):
    """PNGs of the first held-out scenes as the model sees them, where Pillow is installed."""
    import importlib.util

    if importlib.util.find_spec("PIL") is None:
        return []
    files = []
    for k in range(min(most, len(scenes))):
        image, path = scenes.images[k].astype(np.float32) / 255, Path(out) / f"scene{k}.png"
        if name == "fcn":
            draw_mask(image, segment(model, about, image), path, about["classes"])
        else:
            draw_boxes(image, detect(model, name, about, image), path)
        files.append(path)
    return files
