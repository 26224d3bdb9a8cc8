"""The backbone of a vision transformer: one feature vector for each square patch."""

from torch import Tensor, nn

from rleseg_core.model.config import ModelConfig


class PatchBackbone(nn.Module):
    """Patches of 16 × 16 pixels as vectors of the encoder's width."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        side = config.backbone.strides[-1]
        self.conv = nn.Conv2d(3, config.encoder.dim, side, side)
        self.channels = (config.encoder.dim,)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images (B, 3, P, P) in [0, 1] to one feature map (B, D, P / 16, P / 16)."""
        return [self.conv(images)]
