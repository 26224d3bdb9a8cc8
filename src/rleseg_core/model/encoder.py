"""From feature maps to the context a decoder reads."""

from torch import Tensor, nn

from rleseg_core.model.config import ModelConfig
from rleseg_core.model.layers import NORM_EPS, DropPath, Mlp, SelfAttention
from rleseg_core.model.positions import sincos_grid


class EncoderLayer(nn.Module):
    """Pre-norm self-attention and MLP."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim = config.encoder_dim
        self.norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.attention = SelfAttention(dim, config.encoder_heads, causal=False)
        self.drop_path = DropPath(config.drop_path)
        self.mlp = Mlp(dim, config.encoder_ff, config.dropout, config.drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """(B, M, D) to the same."""
        x = x + self.drop_path(self.attention(self.norm(x)))
        return self.mlp(x)


class Encoder(nn.Module):
    """Transformer over the cells of the trunk's last feature map."""

    def __init__(self, config: ModelConfig, channels: int) -> None:
        super().__init__()
        dim = config.encoder_dim
        self.dropout = nn.Dropout(config.dropout)
        self.stem = nn.Linear(channels, dim)
        self.stem_norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        self.norm = nn.LayerNorm(dim, eps=NORM_EPS)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, C, h, w) to (B, h * w, D), row-major."""
        height, width = features.shape[-2:]
        x = self.stem(self.dropout(features.flatten(2).transpose(1, 2)))
        x = self.stem_norm(x)
        x = x + sincos_grid(height, width, x.shape[-1], x.device)
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)


class Bridge(nn.Module):
    """Encoder output in the decoder's width, its places coded once more."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim = config.decoder_dim
        self.project = nn.Linear(config.encoder_dim, dim)
        self.norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.mlp = Mlp(dim, config.bridge_ff, config.dropout, config.drop_path)

    def forward(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        """(B, h * w, D_encoder) of a grid (h, w) to (B, h * w, D_decoder)."""
        x = self.norm(self.project(x))
        return self.mlp(x + sincos_grid(*grid, x.shape[-1], x.device))
