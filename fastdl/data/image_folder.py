"""Pictures in folders, one folder a class: root/cat/1.jpg, root/dog/2.png. Reading them needs Pillow."""

from pathlib import Path

import numpy as np

from fastdl.data.dataset import Dataset

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp")


def read_image(path, mode: str = "RGB") -> np.ndarray:
    """(H, W, 3) uint8 of a picture; mode "L": (H, W) grey, "RGBA": (H, W, 4). ValueError if it cannot be read."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise ImportError(f"reading {path} needs Pillow: pip install pillow") from None
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert(mode))
    except (UnidentifiedImageError, SyntaxError, EOFError) as error:
        raise ValueError(f"{path} is not a picture that Pillow can read ({error})") from None


class ImageFolder(Dataset):
    """Item i is (picture (3, H, W) float32 in 0..1, class int); pictures are read when asked for.

    classes: the folders' names, sorted. transform(picture (H, W, 3) uint8) -> array takes the place of the conversion, e.g.
    to bring all pictures to one size. mode "L" gives (1, H, W).
    """

    def __init__(self, root, transform=None, mode="RGB"):
        root = Path(root)
        if not root.is_dir():
            raise FileNotFoundError(f"ImageFolder: there is no folder {root}")
        self.transform, self.mode = transform, mode
        self.classes = sorted(p.name for p in root.iterdir() if p.is_dir())
        self.files = [
            (path, label)
            for label, name in enumerate(self.classes)
            for path in sorted((root / name).rglob("*"))
            if path.suffix.lower() in ENDINGS
        ]
        if not self.files:
            raise FileNotFoundError(f"ImageFolder: {root} has no pictures in folders, like {root}/cat/1.jpg")

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        path, label = self.files[index]
        image = read_image(path, self.mode)
        if self.transform is not None:
            return self.transform(image), label
        image = image[..., None] if image.ndim == 2 else image
        return np.ascontiguousarray(image.transpose(2, 0, 1), np.float32) / np.float32(255), label
