"""What every image network does first: look at the shape of its input, and scale its widths."""

import numpy as np


def scaled(channels: int, width_mult: float) -> int:
    """`channels` times width_mult, rounded, at least 1."""
    return max(1, round(channels * width_mult))


def check_images(name: str, x, channels: int, least: int = 1, why: str = "") -> None:
    """A ValueError unless x has shape (N, channels, H, W) with H and W of at least `least`."""
    wanted = f"{name}: expected images (N, {channels}, H, W)"
    if isinstance(x, (np.ndarray, list, tuple)):
        given = f"an array of shape {x.shape}" if isinstance(x, np.ndarray) else f"a {type(x).__name__} of {len(x)}"
        how = "fastdl.tensor(x)" if isinstance(x, np.ndarray) else "fastdl.stack(x) of tensors of one size"
        raise ValueError(f"{wanted} as a Tensor; got {given}; hint: {how}")
    shape = tuple(x.shape)
    if len(shape) != 4:
        hint = "; hint: x.unsqueeze(0) makes a batch of one" if len(shape) == 3 else ""
        raise ValueError(f"{wanted}; got shape {shape}{hint}")
    if shape[1] != channels:
        hint = ""
        if shape[1] == 1:
            hint = (
                f"; a grey image: repeat it, x.expand(-1, {channels}, -1, -1), or make the network with in_channels=1"
            )
        elif shape[3] == channels:
            hint = "; the channels come last: x.permute(0, 3, 1, 2)"
        elif shape[1] in (3, 4):
            hint = f"; or make the network with in_channels={shape[1]}"
        raise ValueError(f"{wanted}; got shape {shape}{hint}")
    if min(shape[2:]) < least:
        raise ValueError(
            f"{name}: images of {shape[2]} x {shape[3]} are too small: at least {least} x {least}{why and ', ' + why}"
        )
