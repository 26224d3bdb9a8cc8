"""Features at mask resolution: one vector of the image for each mask pixel.

Of a volume of frames, each frame has its own, from its own maps of the backbone.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from rleseg_core.model.backbones.resnet import conv, group_norm
from rleseg_core.model.config import ModelConfig
from rleseg_core.model.layers import NORM_EPS
from rleseg_core.spec import StartGrid


class MaskFeatures(nn.Module):
    """Adds the backbone's finer maps to the encoder's output, coarse to fine, up to the mask."""

    def __init__(self, config: ModelConfig, grid: StartGrid, channels: tuple[int, ...]) -> None:
        super().__init__()
        width = config.pointer.mask_dim
        self.size = (grid.rows, grid.cols)
        self.column_major = grid.order == "F"
        self.finest = _finest_stage(config, grid)
        self.top = nn.Conv2d(config.encoder.dim, width, 1)
        n = config.frames.n_frames if config.frames.fusion in ("middle", "late") else 1
        self.n_frames, n_written = grid.n_frames, 1
        if grid.n_frames > 1:  # the frames of each map; maps are looked at one by one
            n, n_written = 1, grid.n_frames // max(n, config.frames.n_maps)
        self.laterals = nn.ModuleList(nn.Conv2d(n * c, width, 1) for c in channels[self.finest :])
        self.mix = nn.Sequential(
            group_norm(width), nn.GELU(), conv(width, width, 3), group_norm(width), nn.GELU(),
            nn.Conv2d(width, n_written * config.decoder.dim, 3, padding=1),
        )  # fmt: skip
        self.norm = nn.LayerNorm(config.decoder.dim, eps=NORM_EPS)

    def forward(self, features: list[Tensor], encoded: Tensor) -> Tensor:
        """The features of the mask pixels in the order of their starts, (B, G, D).

        Parameters
        ----------
        features : list of (B, C, h, w) or (B, F, C, h, w) tensor
            Outputs of the backbone's stages, finest first, of one frame or of F.
        encoded : (B, M, D_encoder) tensor
            Encoder output; its first h * w are on the grid of the last stage.
        """
        height, width = features[-1].shape[-2:]
        n_maps = features[-1].shape[1] if features[-1].ndim == 5 and self.n_frames > 1 else 1
        coarse = self._coarse(encoded, n_maps, (height, width))
        joined = 0 if n_maps > 1 else 1
        features = [f.flatten(joined, joined + 1) if f.ndim == 5 else f for f in features]
        x = self.top(coarse)
        for lateral, feature in zip(
            reversed(list(self.laterals)), reversed(features[self.finest :]), strict=True
        ):
            side = tuple(feature.shape[-2:])
            if side[0] * side[1] > self.size[0] * self.size[1]:
                # both are linear, so the order does not matter: fewer pixels are mixed
                x = _resize(_resize(x, side), self.size) + lateral(_resize(feature, self.size))
            else:
                x = _resize(x, side) + lateral(feature)
        x = self.mix(_resize(x, self.size))
        if self.n_frames > 1:
            return self.norm(self._volume(x))
        if self.column_major:
            x = x.transpose(2, 3)
        return self.norm(x.flatten(2).transpose(1, 2))

    def _coarse(self, encoded: Tensor, n_maps: int, grid: tuple[int, int]) -> Tensor:
        """What the encoder says of the frames that have maps (B * F, D, h, w), F = `n_maps`.

        Frames of which it gives nothing by themselves share what it says of the first.
        """
        n = grid[0] * grid[1]
        if n_maps == 1:
            return encoded[:, :n].transpose(1, 2).unflatten(2, grid)
        own = encoded.shape[1] == n_maps * n
        each = encoded.unflatten(1, (-1, n)) if own else encoded[:, None, :n]
        each = each.expand(-1, n_maps, -1, -1).flatten(0, 1)
        return each.transpose(1, 2).unflatten(2, grid)

    def _volume(self, x: Tensor) -> Tensor:
        """Maps (B * F, N / F * D, S, S) in the order of a volume's starts, (B, N * S * S, D)."""
        dim = self.norm.normalized_shape[0]
        x = x.unflatten(1, (-1, dim)).flatten(0, 1).unflatten(0, (-1, self.n_frames))
        order = (0, 4, 3, 1, 2) if self.column_major else (0, 1, 3, 4, 2)
        return x.permute(*order).flatten(1, 3)


def _finest_stage(config: ModelConfig, grid: StartGrid) -> int:
    """The coarsest stage with at least one feature for each mask pixel, or else the first."""
    per_pixel = config.image_size / max(grid.rows, grid.cols)  # input pixels of a mask pixel
    return max((k for k, s in enumerate(config.backbone.strides) if s <= per_pixel), default=0)


def _resize(x: Tensor, size: tuple[int, ...]) -> Tensor:
    if tuple(x.shape[-2:]) == size:
        return x
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)
