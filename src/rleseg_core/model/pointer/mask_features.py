"""Features at mask resolution: one vector of the image for each mask pixel."""

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
        self.laterals = nn.ModuleList(nn.Conv2d(n * c, width, 1) for c in channels[self.finest :])
        self.mix = nn.Sequential(
            group_norm(width), nn.GELU(), conv(width, width, 3), group_norm(width), nn.GELU(),
            nn.Conv2d(width, config.decoder.dim, 3, padding=1),
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
        features = [f.flatten(1, 2) if f.ndim == 5 else f for f in features]
        height, width = features[-1].shape[-2:]
        coarse = encoded[:, : height * width].transpose(1, 2).unflatten(2, (height, width))
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
        if self.column_major:
            x = x.transpose(2, 3)
        return self.norm(x.flatten(2).transpose(1, 2))


def _finest_stage(config: ModelConfig, grid: StartGrid) -> int:
    """The coarsest stage with at least one feature for each mask pixel, or else the first."""
    per_pixel = config.image_size / max(grid.rows, grid.cols)  # input pixels of a mask pixel
    return max((k for k, s in enumerate(config.backbone.strides) if s <= per_pixel), default=0)


def _resize(x: Tensor, size: tuple[int, ...]) -> Tensor:
    if tuple(x.shape[-2:]) == size:
        return x
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)
