"""VideoSwin: joins frames from the first layer on, with attention in shifted 3-D windows.

Parameters have the names of the public PyTorch implementation.
"""

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rleseg_core.model.config import ModelConfig
from rleseg_core.model.layers import DropPath, attend

WINDOW = (8, 7, 7)
_EPS = 1e-5
_PATCH = 4  # side of a patch in pixels
_HEAD_DIM = 32

Sides = tuple[int, int, int]


def _relative_positions() -> Tensor:
    """Row of the bias table for each pair of positions of a window, (n, n) integers."""
    axes = [torch.arange(side) for side in WINDOW]
    positions = torch.stack(torch.meshgrid(*axes, indexing="ij")).flatten(1)  # (3, n)
    apart = positions[:, :, None] - positions[:, None]
    rows = torch.zeros_like(apart[0])
    for difference, side in zip(apart, WINDOW, strict=True):
        rows = rows * (2 * side - 1) + difference + side - 1
    return rows


def _clipped(sides: Sides) -> tuple[Sides, Sides]:
    """Window and shift for a feature map: no larger than the map, no shift where it covers it."""
    window = cast(Sides, tuple(min(w, s) for w, s in zip(WINDOW, sides, strict=True)))
    shift = tuple(0 if s <= w else w // 2 for w, s in zip(WINDOW, sides, strict=True))
    return window, cast(Sides, shift)


def _to_windows(x: Tensor, window: Sides) -> Tensor:
    """(B, F, h, w, C) of sides that are multiples of the window to (B, W, n, C)."""
    b, f, h, w, c = x.shape
    x = x.view(
        b, f // window[0], window[0], h // window[1], window[1], w // window[2], window[2], c
    )
    return x.permute(0, 1, 3, 5, 2, 4, 6, 7).reshape(b, -1, math.prod(window), c)


def _from_windows(x: Tensor, window: Sides, sides: Sides) -> Tensor:
    """The inverse of `_to_windows`, (B, F, h, w, C)."""
    f, h, w = (side // of_window for side, of_window in zip(sides, window, strict=True))
    x = x.view(len(x), f, h, w, *window, x.shape[-1])
    return x.permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(len(x), *sides, x.shape[-1])


def _shift_mask(sides: Sides, window: Sides, shift: Sides, like: Tensor) -> Tensor:
    """Bias that separates positions which only the shift brought together, (W, 1, n, n)."""
    region = torch.zeros(sides, device=like.device)
    for axis, (side, of_window, by) in enumerate(zip(sides, window, shift, strict=True)):
        index = torch.arange(side, device=like.device)
        part = index * 0.0
        if by:
            part = (index >= side - of_window).float() + (index >= side - by)
        region = 3 * region + part.view([-1 if k == axis else 1 for k in range(3)])
    regions = _to_windows(region[None, ..., None], window)[0, :, :, 0]  # (W, n)
    apart = regions[:, None] != regions[:, :, None]
    return (apart * -100.0).to(like.dtype)[:, None]


class WindowAttention(nn.Module):
    """Multi-head attention inside windows, with a learned bias for each relative position."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.n_heads = dim // _HEAD_DIM
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        n_relative = math.prod(2 * side - 1 for side in WINDOW)
        self.relative_position_bias_table = nn.Parameter(torch.zeros(n_relative, self.n_heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def forward(self, x: Tensor, positions: Tensor, mask: Tensor | None) -> Tensor:
        """(B, W, n, C) to the same.

        `positions` (n, n) are the rows of the bias table; `mask` (W, 1, n, n) is added.
        """
        b, n_windows, n, _ = x.shape
        qkv = self.qkv(x).view(b, n_windows, n, 3, self.n_heads, _HEAD_DIM)
        q, k, v = qkv.permute(3, 0, 1, 4, 2, 5)  # each (B, W, H, n, D)
        bias = self.relative_position_bias_table[positions].permute(2, 0, 1)  # (H, n, n)
        bias = (bias if mask is None else bias + mask).to(q.dtype)
        mixed = attend(q, k, v, mask=bias)
        return self.proj(mixed.transpose(2, 3).flatten(3))


class SwinMlp(nn.Module):
    """MLP with exact GELU."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) to the same."""
        return self.fc2(F.gelu(self.fc1(x)))


class SwinBlock(nn.Module):
    """Pre-norm attention in windows, and MLP."""

    def __init__(self, dim: int, *, shifted: bool, drop_path: float) -> None:
        super().__init__()
        self.shifted = shifted
        self.norm1 = nn.LayerNorm(dim, eps=_EPS)
        self.attn = WindowAttention(dim)
        self.norm2 = nn.LayerNorm(dim, eps=_EPS)
        self.mlp = SwinMlp(dim)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """(B, F, h, w, C) to the same."""
        x = x + self.drop_path(self._attend(self.norm1(x), positions))
        return x + self.drop_path(self.mlp(self.norm2(x)))

    def _attend(self, x: Tensor, positions: Tensor) -> Tensor:
        f, h, w = x.shape[1:4]
        window, shift = _clipped((f, h, w))
        missing = [-side % n for side, n in zip((f, h, w), window, strict=True)]
        x = F.pad(x, (0, 0, 0, missing[2], 0, missing[1], 0, missing[0]))
        sides = cast(Sides, tuple(x.shape[1:4]))
        mask = None
        if self.shifted and any(shift):
            x = x.roll([-by for by in shift], (1, 2, 3))
            mask = _shift_mask(sides, window, shift, x)
        n = math.prod(window)
        x = self.attn(_to_windows(x, window), positions[:n, :n], mask)
        x = _from_windows(x, window, sides)
        if mask is not None:
            x = x.roll(shift, (1, 2, 3))
        return x[:, :f, :h, :w]


class PatchMerging(nn.Module):
    """Four neighbouring positions become one of twice the width."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim, eps=_EPS)
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, F, h, w, C) to (B, F, h / 2, w / 2, 2 C)."""
        x = F.pad(x, (0, 0, 0, x.shape[3] % 2, 0, x.shape[2] % 2))
        four = [x[:, :, row::2, col::2] for col in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(torch.cat(four, dim=-1)))


class SwinStage(nn.Module):
    """Blocks of one resolution, every second one shifted, then a merge to half the resolution."""

    def __init__(self, dim: int, rates: list[float], *, halve: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            SwinBlock(dim, shifted=k % 2 == 1, drop_path=rate) for k, rate in enumerate(rates)
        )
        self.downsample = PatchMerging(dim) if halve else None

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """(B, F, h, w, C) to the same, or to half of the sides and twice the width."""
        for block in self.blocks:
            x = block(x, positions)
        return x if self.downsample is None else self.downsample(x)


class PatchEmbed(nn.Module):
    """Boxes of frames × 4 × 4 pixels as vectors."""

    def __init__(self, dim: int, n_frames: int) -> None:
        super().__init__()
        self.proj = nn.Conv3d(3, dim, (n_frames, _PATCH, _PATCH), (n_frames, _PATCH, _PATCH))
        self.norm = nn.LayerNorm(dim, eps=_EPS)

    def forward(self, images: Tensor) -> Tensor:
        """(B, N, 3, P, P) to (B, F, P / 4, P / 4, C)."""
        missing = [-side % _PATCH for side in images.shape[-2:]]
        images = F.pad(images, (0, missing[1], 0, missing[0]))
        return self.norm(self.proj(images.transpose(1, 2)).permute(0, 2, 3, 4, 1))


class VideoSwin(nn.Module):
    """The features of a window of frames at stride 32.

    Parameters
    ----------
    config : ModelConfig
        `backbone` gives the stages, `frames` the frames of a patch.
    """

    positions: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        n_blocks = sum(config.backbone.blocks)
        rates = [2 * config.drop_path * k / max(1, n_blocks - 1) for k in range(n_blocks)]
        self.patch_embed = PatchEmbed(config.backbone.widths[0], config.frames.frames_per_patch)
        self.layers = nn.ModuleList()
        for k, (width, n) in enumerate(
            zip(config.backbone.widths, config.backbone.blocks, strict=True)
        ):
            of_stage, rates = rates[:n], rates[n:]
            last = k == len(config.backbone.widths) - 1
            self.layers.append(SwinStage(width, of_stage, halve=not last))
        self.channels = (config.backbone.widths[-1],)
        self.register_buffer("positions", _relative_positions(), persistent=False)
        for part in self.modules():
            if isinstance(part, nn.Linear):
                nn.init.trunc_normal_(part.weight, std=0.02)
                if part.bias is not None:
                    nn.init.zeros_(part.bias)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Windows (B, N, 3, P, P) in [0, 1] to one feature map (B, F, C, P / 32, P / 32)."""
        x = self.patch_embed(images)
        for layer in self.layers:
            x = layer(x, self.positions)
        return [x.permute(0, 1, 4, 2, 3)]
