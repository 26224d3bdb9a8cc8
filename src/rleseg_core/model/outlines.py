"""Outlines at the resolution of the patch: what dense heads say, corrected by what pixels show.

Masks have one pixel for several of the patch. A few narrow convolutions over the patch and the
features of its mask pixels decide on what lies between.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rleseg_core.model.backbones.resnet import conv, group_norm
from rleseg_core.model.config import ModelConfig

NEIGHBOURS = ((0, -1), (-1, 0))
"""Pairs of `PointerConfig.affinities` that are corrected: they show where objects touch."""


class OutlineHead(nn.Module):
    """Corrects the maps of the dense heads between mask pixels.

    Parameters
    ----------
    config : ModelConfig
        Of single frames, with dense heads and ``pointer.outline_dim`` above 0.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.pointer.outline_dim
        pairs = config.pointer.affinities
        self.pairs = [pairs.index(pair) for pair in NEIGHBOURS] if pairs else []
        n_maps = config.pointer.dense_classes + len(self.pairs)
        self.look = nn.Sequential(conv(3, width, 3), group_norm(width), nn.GELU())
        self.narrow = nn.Conv2d(config.decoder.dim, width, 1)
        self.mix = nn.Sequential(conv(2 * width, width, 3), group_norm(width), nn.GELU())
        self.correct = nn.Conv2d(width, n_maps, 1)
        nn.init.zeros_(self.correct.weight)  # it begins with what the dense heads say
        assert self.correct.bias is not None
        nn.init.zeros_(self.correct.bias)

    def forward(
        self, images: Tensor, features: Tensor, classes: Tensor, affinities: Tensor | None
    ) -> Tensor:
        """Logits of the pixels of patches.

        Parameters
        ----------
        images : (B, 3, P, P) tensor
            Patches, values in [0, 1].
        features : (B, D, S, S) tensor
            Features of the mask pixels.
        classes : (B, C + 1, S, S) tensor
            What the dense class head says.
        affinities : (B, K, S, S) tensor or None
            What the head of affinities says.

        Returns
        -------
        (B, C + 1 + 2, P, P) float32 tensor
            Classes, and the affinities of `NEIGHBOURS`, one mask pixel apart; without affinities
            classes alone.
        """
        side = images.shape[-2:]
        maps = classes if affinities is None else torch.cat((classes, affinities[:, self.pairs]), 1)
        seen = self.look(4 * images - 2)
        known = _resized(self.narrow(features), side).to(seen)
        corrections = self.correct(self.mix(torch.cat((seen, known), dim=1)))
        return _resized(maps, side).float() + corrections.float()


def _resized(maps: Tensor, side: tuple[int, ...]) -> Tensor:
    return F.interpolate(maps, side, mode="bilinear", align_corners=False)
