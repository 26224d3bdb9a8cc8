"""Windows of several frames: how frames are joined, and which keep full resolution."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rleseg_core.model.config import ModelConfig
from rleseg_core.model.layers import NORM_EPS, CrossAttention, DropPath, Mlp
from rleseg_core.model.positions import sincos_grid


def dense_frames(config: ModelConfig) -> tuple[int, ...]:
    """The frames that keep all their feature positions: evenly spread, the first among them."""
    n, n_dense = config.frames.n_frames, config.frames.dense_frames or config.frames.n_frames
    return tuple(k * n // n_dense for k in range(n_dense))


class SparseDense(nn.Module):
    """Sparse-dense sampling: T_dense frames keep their features, the others are average-pooled.

    Neighbouring frames look alike, so most of a window can be coarse, which makes attention cheaper
    (VideoLISA, Sec. 3.2). With T_dense = N nothing changes.

    Parameters
    ----------
    config : ModelConfig
        Its `frames` part gives T_dense and the pooling.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.dense, self.side = dense_frames(config), config.frames.sparse_pool
        self.n_frames = config.frames.n_frames

    def split(self, x: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
        """(B, N, h * w, D) as dense (B, T_dense, h * w, D) and sparse (B, N - T_dense, m, D)."""
        if len(self.dense) == self.n_frames:
            return x, None
        sparse = [frame for frame in range(self.n_frames) if frame not in self.dense]
        maps = x[:, sparse].flatten(0, 1).transpose(1, 2).unflatten(2, grid)
        pooled = F.avg_pool2d(maps, self.side, ceil_mode=True, count_include_pad=False)
        pooled = pooled.flatten(2).transpose(1, 2).unflatten(0, (len(x), len(sparse)))
        return x[:, self.dense], pooled

    def in_order(self, dense: Tensor, sparse: Tensor | None) -> list[Tensor]:
        """The N frames one after the other, (B, h * w or m, D) each."""
        coarse = iter(()) if sparse is None else iter(sparse.unbind(1))
        fine = iter(dense.unbind(1))
        return [next(fine) if k in self.dense else next(coarse) for k in range(self.n_frames)]

    def joined(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        """The features that are left of (B, N, h * w, D), frame by frame: (B, M, D)."""
        return torch.cat(self.in_order(*self.split(x, grid)), dim=1)


class MiddleFusion(nn.Module):
    """The first frame attends to each of the others in turn (the paper's video model)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim = config.encoder.dim
        self.norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.attention = CrossAttention(dim, config.encoder.n_heads)
        self.drop_path = DropPath(config.drop_path)
        self.mlp = Mlp(dim, config.encoder.mlp_dim, config.dropout, config.drop_path)

    def forward(self, frames: Sequence[Tensor]) -> Tensor:
        """N × (B, M, D), of which the first gives the result (B, M, D)."""
        x = frames[0]
        for other in frames[1:]:
            seen = self.attention.context(self.norm(other))
            x = x + self.drop_path(self.attention(self.norm(x), *seen))
        return self.mlp(x)


def from_image_model(
    weights: Mapping[str, Tensor], fresh: Mapping[str, Tensor], config: ModelConfig
) -> dict[str, Tensor]:
    """Initial weights of a video model, from those of an image model.

    Parameters
    ----------
    weights : mapping of str to Tensor
        State dict of the image model.
    fresh : mapping of str to Tensor
        State dict of the new video model.
    config : ModelConfig
        Config of the video model.

    Returns
    -------
    dict of str to Tensor
        Weights of the same name and shape are copied. The layers of middle fusion start with
        outputs of zero, so that the model does what the image model does with the first frame (the
        published one starts at random). The learned codes of late fusion start as the fixed codes
        of the image model, the same for all frames. Tokens and a VideoSwin backbone stay fresh.
    """
    filled = {}
    for name, value in fresh.items():
        trained = weights.get(name)
        if trained is not None and trained.shape == value.shape:
            filled[name] = trained
        elif name in ("encoder.positions", "projection.positions"):
            codes = sincos_grid(*config.feature_grid, value.shape[-1])
            filled[name] = codes.repeat(len(value) // len(codes), 1)
        elif name.startswith(("encoder.fusion.attention.out.", "encoder.fusion.mlp.down.")):
            filled[name] = torch.zeros_like(value)
        elif trained is not None and name.startswith("mask_features.laterals.") and value.ndim == 4:
            filled[name] = torch.zeros_like(value)
            filled[name][:, : trained.shape[1]] = trained  # the first frame's channels come first
        elif trained is not None and name in ("dense.weight", "dense.bias"):
            n_frames = len(value) // len(trained)  # each frame starts with the classes of the first
            filled[name] = trained.repeat(n_frames, *(1,) * (trained.ndim - 1))
        else:
            filled[name] = value
    return filled
