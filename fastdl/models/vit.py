"""Vision Transformer: an image is a sentence of patches.

    x (N, 3, H, W) -> a convolution P x P with stride P: one vector of d for each patch -> class token in front, learned
    positions -> L times [x + attention(LN x), x + MLP(LN x)] -> LN -> one dense layer on the class token

S/16, B/16, B/32, L/16, H/14 at 224: 22,050,664 / 86,567,656 / 88,224,232 / 304,326,632 / 632,045,800 parameters.

Ref  Dosovitskiy et al., "An Image is Worth 16x16 Words", 2021, arXiv 2010.11929.
     Keys are torchvision's; load_state_dict takes those of Hugging Face's ViTForImageClassification too (io/vit_keys.py).
"""

from dataclasses import dataclass

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor
from fastdl.nn import functional as F
from fastdl.nn import init
from fastdl.nn.blocks import check_images
from fastdl.nn.parameter import Parameter
from fastdl.ops.shape import cat


@dataclass(frozen=True)
class ViTConfig:
    """Sizes and choices; the defaults are those of B/16."""

    image_size: int = 224
    patch: int = 16
    d: int = 768
    layers: int = 12
    heads: int = 12
    mlp: int = 3072
    num_classes: int = 1000
    in_channels: int = 3
    dropout: float = 0.0
    attention_dropout: float = 0.0
    pool: str = "token"  # what is classified: the class token, or the "mean" of all patches
    eps: float = 1e-6  # of the layer norms; files of Hugging Face mostly have 1e-12


class EncoderBlock(nn.Module):
    """x + attention(LN x), then x + MLP(LN x).

    Shapes      x (N, T, d) -> same
    Parameters  ln_1, self_attention, ln_2, mlp.0, mlp.3
    """

    def __init__(self, c: ViTConfig):
        super().__init__()
        self.ln_1 = nn.LayerNorm(c.d, c.eps)
        self.self_attention = nn.MultiheadAttention(c.d, c.heads, c.attention_dropout, batch_first=True)
        self.dropout = nn.Dropout(c.dropout)
        self.ln_2 = nn.LayerNorm(c.d, c.eps)
        self.mlp = nn.Sequential(
            nn.Linear(c.d, c.mlp), nn.GELU(), nn.Dropout(c.dropout), nn.Linear(c.mlp, c.d), nn.Dropout(c.dropout)
        )

    def forward(self, x):
        y = self.ln_1(x)
        x = x + self.dropout(self.self_attention(y, y, y, need_weights=False)[0])
        return x + self.mlp(self.ln_2(x))


class Encoder(nn.Module):
    """Positions, the blocks, and the last layer norm.

    Shapes      x (N, T, d) -> same
    Parameters  pos_embedding (1, T, d), layers.encoder_layer_{i}, ln
    """

    def __init__(self, c: ViTConfig, tokens: int):
        super().__init__()
        self.pos_embedding = Parameter(np.empty((1, tokens, c.d), np.float32))
        init.normal_(self.pos_embedding, 0.0, 0.02)
        self.dropout = nn.Dropout(c.dropout)
        self.layers = nn.Sequential({f"encoder_layer_{i}": EncoderBlock(c) for i in range(c.layers)})
        self.ln = nn.LayerNorm(c.d, c.eps)

    def forward(self, x):
        return self.ln(self.layers(self.dropout(x + self.pos_embedding)))


class ViT(nn.Module):
    """Scores of the classes.

    Shapes      x (N, in_channels, image_size, image_size) -> (N, num_classes)
    Parameters  class_token, conv_proj, encoder.*, heads.head

    Example
    >>> sum(p.numel() for p in ViT(image_size=28, patch=7, d=64, layers=2, heads=4, mlp=128, in_channels=1).parameters())
    136424
    """

    def __init__(self, config: ViTConfig | None = None, **settings):
        super().__init__()
        self.config = c = ViTConfig(**settings) if config is None else config
        if c.image_size % c.patch:
            raise ValueError(f"ViT: patches of {c.patch} must tile the image of {c.image_size}")
        if c.pool not in ("token", "mean"):
            raise ValueError(f"ViT: pool must be 'token' or 'mean'; got {c.pool!r}")
        self.conv_proj = nn.Conv2d(c.in_channels, c.d, c.patch, c.patch)
        fan_in = c.in_channels * c.patch**2
        init.trunc_normal_(self.conv_proj.weight, 0.0, fan_in**-0.5)
        init.zeros_(self.conv_proj.bias)
        self.class_token = Parameter(np.zeros((1, 1, c.d), np.float32))
        self.encoder = Encoder(c, (c.image_size // c.patch) ** 2 + 1)
        for block in self.encoder.layers:
            for layer in (block.mlp[0], block.mlp[3]):
                init.xavier_uniform_(layer.weight)
                init.normal_(layer.bias, 0.0, 1e-6)
        self.heads = nn.Sequential({"head": nn.Linear(c.d, c.num_classes)})
        init.zeros_(self.heads.head.weight)
        init.zeros_(self.heads.head.bias)

    def tokens(self, x):
        """(N, in_channels, S, S) -> (N, 1 + patches, d): the class token and the patches, encoded."""
        c = self.config
        check_images("ViT", x, c.in_channels)
        if tuple(x.shape[2:]) != (c.image_size, c.image_size):
            raise ValueError(
                f"ViT: expected images of {c.image_size} x {c.image_size}; got {x.shape[2]} x {x.shape[3]}; "
                "hint: load the weights into a ViT made for that image_size, its positions are then interpolated"
            )
        x = self.conv_proj(x).flatten(2).transpose(1, 2)  # (N, patches, d), patches row by row
        token = self.class_token.expand(x.shape[0], 1, c.d)
        return self.encoder(cat([token, x], 1))

    def forward(self, x):
        x = self.tokens(x)
        return self.heads(x[:, 0] if self.config.pool == "token" else x[:, 1:].mean(1))

    def load_state_dict(self, state_dict, strict=True):
        """As Module.load_state_dict; also Hugging Face's keys, and positions of another image size (bicubic)."""
        from fastdl.io.vit_keys import from_hugging_face

        state = from_hugging_face(state_dict)
        name = "encoder.pos_embedding"
        if name in state:
            table = state[name].array if isinstance(state[name], Tensor) else np.asarray(state[name])
            state[name] = interpolate_positions(table, self.encoder.pos_embedding.shape[1])
        return super().load_state_dict(state, strict)


def interpolate_positions(table: np.ndarray, tokens: int) -> np.ndarray:
    """Positions (1, 1 + g g, d) of a square grid as (1, tokens, d) of another: the class token stays, the rest is bicubic."""
    if table.ndim != 3 or table.shape[1] == tokens:
        return table
    old, new = round((table.shape[1] - 1) ** 0.5), round((tokens - 1) ** 0.5)
    if old * old != table.shape[1] - 1 or new * new != tokens - 1:
        return table  # not square grids: load_state_dict says which shapes differ
    grid = Tensor(table[:, 1:].reshape(1, old, old, -1).transpose(0, 3, 1, 2))
    grid = F.interpolate(grid, size=(new, new), mode="bicubic", align_corners=True).array  # (1, d, new, new)
    rest = grid.transpose(0, 2, 3, 1).reshape(1, new * new, -1)
    return np.concatenate([table[:, :1], rest], 1).astype(table.dtype)


def _vit(patch, d, layers, heads, settings):
    return ViT(ViTConfig(**{"patch": patch, "d": d, "layers": layers, "heads": heads, "mlp": 4 * d, **settings}))


def vit_s_16(**settings) -> ViT:
    """ViT-S/16 with settings of ViTConfig."""
    return _vit(16, 384, 12, 6, settings)


def vit_b_16(**settings) -> ViT:
    """ViT-B/16."""
    return _vit(16, 768, 12, 12, settings)


def vit_b_32(**settings) -> ViT:
    """ViT-B/32."""
    return _vit(32, 768, 12, 12, settings)


def vit_l_16(**settings) -> ViT:
    """ViT-L/16."""
    return _vit(16, 1024, 24, 16, settings)


def vit_h_14(**settings) -> ViT:
    """ViT-H/14."""
    return _vit(14, 1280, 32, 16, settings)
