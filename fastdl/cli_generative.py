"""`fastdl sample` and `fastdl translate-image`: pictures from trained generative models."""

import importlib
from importlib.util import find_spec

import numpy as np

from fastdl.cli_common import use_machine
from fastdl.recipes._generative import trained
from fastdl.recipes._samples import save_grid, save_walk


def _recipe(name):
    if not name.isidentifier() or name.startswith("_") or find_spec(f"fastdl.recipes.{name}") is None:
        raise ValueError(f"there is no recipe {name!r}; hint: fastdl sample --help names the models")
    module = importlib.import_module(f"fastdl.recipes.{name}")
    if not hasattr(module, "pictures"):
        raise ValueError(f"{name} is no generative model: it makes no samples")
    return module


def sample(args):
    use_machine(args)
    model, settings = trained(_recipe(args.model), args.model, args.run or f"runs/{args.model}")
    if args.walk:
        if not hasattr(model, "interpolate"):
            raise ValueError(f"{args.model} has no walk between latents; dcgan has one")
        images = (model.interpolate(12, args.seed).array + 1) / 2
        path = save_walk(images, args.out or f"{args.model}_walk.gif")
    elif args.text:
        if not hasattr(model, "vocabulary"):
            raise ValueError(f"{args.model} draws from no text; text2image does")
        images = (model.generate([args.text] * args.n, args.seed).array + 1) / 2
        path = save_grid(images, args.out or f"{args.model}_samples.png")
    else:
        images = _recipe(args.model).pictures(model, args.n, args.seed, settings)
        path = save_grid(images, args.out or f"{args.model}_samples.png")
    if path is None:
        raise RuntimeError("writing a picture needs Pillow: pip install pillow")
    print(path)


def translate_image(args):
    """The image on white, resized to 32x32 (what the styles were learned on), translated, enlarged."""
    use_machine(args)
    recipe = _recipe(args.model)
    model, _ = trained(recipe, args.model, args.run or f"runs/{args.model}")
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise RuntimeError("reading an image needs Pillow: pip install pillow") from None
    try:
        image = Image.open(args.image)
    except UnidentifiedImageError:
        raise ValueError(f"{args.image} is not an image that Pillow can read") from None
    with image:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB").resize((32, 32))
    x = np.asarray(image, np.float32).transpose(2, 0, 1)[None] / 127.5 - 1
    moved = recipe.translate(model, x, args.to).array
    print(save_grid((np.concatenate([x, moved]) + 1) / 2, args.out, columns=2, scale=4))
