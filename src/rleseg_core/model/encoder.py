"""The encoder, and the projection of its output to the context that the decoder reads."""

from collections.abc import Iterable
from typing import cast

from torch import Tensor, nn

from rleseg_core.errors import SchemeError
from rleseg_core.model.config import ModelConfig
from rleseg_core.model.layers import NORM_EPS, DropPath, Mlp, SelfAttention, embedding
from rleseg_core.model.positions import sincos_grid
from rleseg_core.model.video import MiddleFusion, SparseDense


class EncoderLayer(nn.Module):
    """Pre-norm self-attention and MLP."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim = config.encoder.dim
        self.norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.attention = SelfAttention(dim, config.encoder.n_heads, causal=False)
        self.drop_path = DropPath(config.drop_path)
        self.mlp = Mlp(dim, config.encoder.mlp_dim, config.dropout, config.drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """(B, M, D) to the same."""
        x = x + self.drop_path(self.attention(self.norm(x)))
        return self.mlp(x)


class Encoder(nn.Module):
    """Transformer over the feature positions of the backbone's last map.

    With several frames it attends to all positions at once (early and late fusion), or to each
    frame by itself until the frames are joined at the end (middle fusion).
    """

    def __init__(self, config: ModelConfig, channels: int) -> None:
        super().__init__()
        dim = config.encoder.dim
        self.dropout = nn.Dropout(config.dropout)
        # patches of a vision transformer have the right width already
        self.stem = None if config.backbone.kind == "vit" else nn.Linear(channels, dim)
        self.stem_norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.positions = _learned_positions(config, dim)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder.n_layers))
        self.sampling = SparseDense(config) if config.frames.fusion in ("middle", "late") else None
        self.fusion = MiddleFusion(config) if config.frames.fusion == "middle" else None
        self.norm = nn.LayerNorm(dim, eps=NORM_EPS)

    def forward(self, features: Tensor) -> Tensor:
        """Feature vectors after self-attention.

        Parameters
        ----------
        features : (B, C, h, w) or (B, F, C, h, w) tensor
            One feature map, or those of F frames.

        Returns
        -------
        (B, M, D) tensor
            Row-major, M = h * w; in early and late fusion frame by frame, M = F * h * w, less what
            the pooling of sparse frames takes away.
        """
        features = features if features.ndim == 5 else features[:, None]
        grid = (features.shape[-2], features.shape[-1])
        x = features.flatten(3).transpose(2, 3)  # (B, F, M, C)
        if self.stem is not None:
            x = self.stem(self.dropout(x))
        x = self.stem_norm(x)
        x = x + _position_codes(self.positions, grid, x.shape[1], x)
        if self.fusion is not None and self.sampling is not None:
            dense, sparse = self.sampling.split(x, grid)
            dense = self._each(dense)
            sparse = None if sparse is None else self._each(sparse)
            return self.norm(self.fusion(self.sampling.in_order(dense, sparse)))
        x = x.flatten(1, 2) if self.sampling is None else self.sampling.joined(x, grid)
        return self.norm(self._stack(x))

    def _stack(self, x: Tensor) -> Tensor:
        for layer in cast(Iterable[EncoderLayer], self.layers):
            x = layer(x)
        return x

    def _each(self, x: Tensor) -> Tensor:
        """Run the layers on each frame of (B, F, M, D) by itself."""
        return self._stack(x.flatten(0, 1)).unflatten(0, x.shape[:2])


class Projection(nn.Module):
    """Encoder output in the decoder's width, with position codes added once more."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim = config.decoder.dim
        self.linear = nn.Linear(config.encoder.dim, dim)
        self.norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.positions = _learned_positions(config, dim)
        self.sampling = SparseDense(config) if config.frames.fusion == "late" else None
        self.mlp = Mlp(dim, config.projection_mlp_dim, config.dropout, config.drop_path)

    def forward(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        """(B, M, D_encoder) of a grid (h, w) to (B, M, D_decoder)."""
        x = self.norm(self.linear(x))
        n_frames = 1
        if self.positions is not None:
            n_frames = len(self.positions) // (grid[0] * grid[1])
        codes = _position_codes(self.positions, grid, n_frames, x)[None]
        codes = codes.flatten(1, 2) if self.sampling is None else self.sampling.joined(codes, grid)
        return self.mlp(x + codes)


def _learned_positions(config: ModelConfig, dim: int) -> nn.Parameter | None:
    """A vector for each feature position of each frame; None where fixed codes suffice."""
    if config.frames.n_maps == 1:
        return None
    height, width = config.feature_grid
    return embedding(config.frames.n_maps * height * width, dim)


def _position_codes(
    table: Tensor | None, grid: tuple[int, int], n_frames: int, x: Tensor
) -> Tensor:
    """Codes of feature positions, (F, h * w, D), or (1, h * w, D) if all frames share them."""
    n_positions = grid[0] * grid[1]
    if table is None:
        return sincos_grid(*grid, x.shape[-1], x.device)[None]
    if len(table) != n_frames * n_positions:
        raise SchemeError(
            f"this model has learned {len(table)} positions and got {n_frames} feature maps of "
            f"{grid[0]} x {grid[1]}; use patches of the size it was made for"
        )
    return table.view(n_frames, n_positions, -1)
