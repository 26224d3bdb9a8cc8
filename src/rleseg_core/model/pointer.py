"""Start tokens that look at the image: cells at mask resolution, and tokens that know their place.

The row of a start token is, in the paper, a learned vector: with thousands of starts, each seen a
few times, training is long. Here a start also carries a code of its row and column, the image at
its cell goes into the decoder when it is written, and its logit grows with the likeness of its
cell to what the decoder asks for, as in pointer networks.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rleseg_core.model.config import ModelConfig, StartGrid
from rleseg_core.model.layers import NORM_EPS, embedding
from rleseg_core.model.positions import ramp_codes
from rleseg_core.model.resnet import conv, group_norm

_N_RATES = 12


def _grid_codes(grid: StartGrid) -> Tensor:
    """Codes of each start's row and column, (G, 4 * rates)."""
    rows, cols = ramp_codes(grid.rows, _N_RATES), ramp_codes(grid.cols, _N_RATES)
    starts = torch.arange(grid.size)
    if grid.order == "C":
        row, col = starts // grid.cols, starts % grid.cols
    else:
        row, col = starts % grid.rows, starts // grid.rows
    return torch.cat((rows[row], cols[col]), dim=1)


class TokenTable(nn.Module):
    """The vectors of all tokens, which read them in and write them out.

    Each has a learned row. Starts on a pointer's grid add a projected code of their cell; ids on a
    ramp add a code of their place, whose projection all ramps of one size share, and a vector of
    their ramp.
    """

    codes: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.rows = embedding(config.vocab_size, config.decoder_dim)
        self.bias = embedding(config.vocab_size)
        codes = _token_codes(config)
        self.register_buffer("codes", codes, persistent=False)
        self.project = None
        if codes.shape[1]:
            self.project = nn.Linear(codes.shape[1], config.decoder_dim, bias=False)
            # about as loud as the learned rows
            nn.init.normal_(self.project.weight, std=0.03 / (2 * _N_RATES) ** 0.5)

    def forward(self) -> Tensor:
        """All vectors, (V, D)."""
        return self.rows if self.project is None else self.rows + self.project(self.codes)


def _token_codes(config: ModelConfig) -> Tensor:
    """What is known beforehand of each token, (V, K); no columns without pointers or ramps.

    The columns that tell ramps of one size apart come last, so that a model for fewer classes has
    the first columns of one for more.
    """
    blocks: list[Tensor] = []

    def block(offset: int, codes: Tensor) -> Tensor:
        return F.pad(codes, (0, 0, offset, config.vocab_size - offset - len(codes)))

    if config.starts == "pointer" and config.grid is not None:
        blocks.append(block(config.grid.offset, _grid_codes(config.grid)))
    for size in sorted({size for _, size in config.ramps}):
        codes, offsets = ramp_codes(size, _N_RATES), [o for o, n in config.ramps if n == size]
        blocks.append(torch.stack([block(offset, codes) for offset in offsets]).sum(dim=0))
        blocks += [block(offset, torch.ones(size, 1)) for offset in offsets]
    return torch.cat(blocks, dim=1) if blocks else torch.zeros(config.vocab_size, 0)


class CellPath(nn.Module):
    """Brings trunk and encoder to mask resolution, coarse to fine."""

    def __init__(self, config: ModelConfig, grid: StartGrid, channels: tuple[int, ...]) -> None:
        super().__init__()
        width = config.cell_dim
        self.size = (grid.rows, grid.cols)
        self.column_major = grid.order == "F"
        self.finest = _finest_stage(config, grid)
        self.top = nn.Conv2d(config.encoder_dim, width, 1)
        n = config.n_frames if config.fusion in ("middle", "late") else 1
        self.laterals = nn.ModuleList(nn.Conv2d(n * c, width, 1) for c in channels[self.finest :])
        self.mix = nn.Sequential(
            group_norm(width), nn.GELU(), conv(width, width, 3), group_norm(width), nn.GELU(),
            nn.Conv2d(width, config.decoder_dim, 3, padding=1),
        )  # fmt: skip
        self.norm = nn.LayerNorm(config.decoder_dim, eps=NORM_EPS)

    def forward(self, features: list[Tensor], encoded: Tensor) -> Tensor:
        """The cells in the order of their starts, (B, G, D).

        Parameters
        ----------
        features : list of (B, C, h, w) or (B, F, C, h, w) tensor
            Outputs of the trunk's stages, finest first, of one frame or of F.
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
            x = _resize(x, tuple(feature.shape[-2:])) + lateral(feature)
        x = self.mix(_resize(x, self.size))
        if self.column_major:
            x = x.transpose(2, 3)
        return self.norm(x.flatten(2).transpose(1, 2))


def _finest_stage(config: ModelConfig, grid: StartGrid) -> int:
    """The coarsest stage with at least one feature per cell, or else the first."""
    per_cell = config.image_size / max(grid.rows, grid.cols)
    return max((k for k, s in enumerate(config.trunk_strides) if s <= per_cell), default=0)


def _resize(x: Tensor, size: tuple[int, ...]) -> Tensor:
    if tuple(x.shape[-2:]) == size:
        return x
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


class PointerMemory(NamedTuple):
    """What pointers need of a window's cells, computed once.

    Parameters
    ----------
    keys, inputs : (B, G, D) tensor
        What logits compare with, and what a written start adds to the decoder's input.
    """

    keys: Tensor
    inputs: Tensor

    def select(self, rows: Tensor) -> "PointerMemory":
        """That of some of the windows, `rows` (B',) integers."""
        return PointerMemory(self.keys[rows], self.inputs[rows])


class Pointer(nn.Module):
    """Ties start tokens to the cells of the image."""

    def __init__(self, grid: StartGrid, dim: int) -> None:
        super().__init__()
        self.first, self.n_cells = grid.offset, grid.size
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim, bias=False)
        self.input = nn.Linear(dim, dim, bias=False)

    def remember(self, cells: Tensor) -> PointerMemory:
        """What the other two methods need of the cells (B, G, D)."""
        return PointerMemory(self.key(cells) / cells.shape[-1] ** 0.5, self.input(cells))

    def embed(self, tokens: Tensor, memory: PointerMemory) -> Tensor:
        """The image at the cell of each start among `tokens` (B, L), 0 for others: (B, L, D)."""
        cells = tokens - self.first
        is_start = (cells >= 0) & (cells < self.n_cells)
        at = cells.clamp(0, self.n_cells - 1)[..., None].expand(-1, -1, memory.inputs.shape[-1])
        return memory.inputs.gather(1, at) * is_start[..., None]

    def add_logits(self, logits: Tensor, x: Tensor, memory: PointerMemory) -> Tensor:
        """`logits` (B, L, V) of states `x` (B, L, D) with the likeness of cells added."""
        likeness = self.query(x) @ memory.keys.transpose(1, 2)  # (B, L, G)
        after = logits.shape[-1] - self.first - self.n_cells
        return logits + F.pad(likeness, (self.first, after))
