"""The token table: one vector for each token, which reads it in and writes it out."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rleseg_core.model.config import ModelConfig
from rleseg_core.model.layers import embedding
from rleseg_core.model.positions import ordinal_codes
from rleseg_core.spec import StartGrid

_N_RATES = 12


class TokenTable(nn.Module):
    """The vectors of all tokens.

    Each has a learned row. Starts, unless ``starts='table'``, add a projected code of their row and
    column. Tokens of an ordinal range, such as lengths, add a projected code of their value, whose
    projection all ranges of one size share, and a vector of their range.
    """

    codes: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.rows = embedding(config.tokens.vocab_size, config.decoder.dim)
        self.bias = embedding(config.tokens.vocab_size)
        codes = _token_codes(config)
        self.register_buffer("codes", codes, persistent=False)
        self.project = None
        if codes.shape[1]:
            self.project = nn.Linear(codes.shape[1], config.decoder.dim, bias=False)
            # about as loud as the learned rows
            nn.init.normal_(self.project.weight, std=0.03 / (2 * _N_RATES) ** 0.5)

    def forward(self) -> Tensor:
        """All vectors, (V, D)."""
        return self.rows if self.project is None else self.rows + self.project(self.codes)


def _token_codes(config: ModelConfig) -> Tensor:
    """Fixed codes of the tokens, (V, K); K is 0 where there is nothing to code.

    The columns that tell ranges of one size apart come last, so that a model for fewer classes has
    the first columns of one for more.
    """
    blocks: list[Tensor] = []

    def block(offset: int, codes: Tensor) -> Tensor:
        return F.pad(codes, (0, 0, offset, config.tokens.vocab_size - offset - len(codes)))

    grid = config.tokens.grid if config.pointer.starts != "table" else None
    firsts = {head.offset for head in config.tokens.heads if head.field in ("start", "row", "col")}
    for first in sorted(firsts) if config.tokens.heads else [0]:
        if grid is not None and grid.start == "flat":
            blocks.append(block(first + grid.offset, grid_codes(grid)))
        elif grid is not None and grid.start == "coords":
            codes = ordinal_codes(grid.n_ids, _N_RATES)
            blocks.append(block(first + grid.offset, codes))
    for size in sorted({size for _, size in config.tokens.ordinal_ranges}):
        codes = ordinal_codes(size, _N_RATES)
        offsets = [o for o, n in config.tokens.ordinal_ranges if n == size]
        blocks.append(torch.stack([block(offset, codes) for offset in offsets]).sum(dim=0))
        blocks += [block(offset, torch.ones(size, 1)) for offset in offsets]
    return torch.cat(blocks, dim=1) if blocks else torch.zeros(config.tokens.vocab_size, 0)


def grid_codes(grid: StartGrid) -> Tensor:
    """Codes of each start's row and column, and of its frame in volumes, (G, 4 or 6 * rates)."""
    frame, row, col = _coordinates(grid)
    parts = [ordinal_codes(grid.rows, _N_RATES)[row], ordinal_codes(grid.cols, _N_RATES)[col]]
    if grid.n_frames > 1:
        parts.append(ordinal_codes(grid.n_frames, _N_RATES)[frame])
    return torch.cat(parts, dim=1)


def _coordinates(grid: StartGrid) -> tuple[Tensor, Tensor, Tensor]:
    """Frame, row and column (G,) of each start."""
    at, n_frames, rows, cols = torch.arange(grid.size), grid.n_frames, grid.rows, grid.cols
    if grid.order == "C":
        return at // (rows * cols), at // cols % rows, at % cols
    return at % n_frames, at // n_frames % rows, at // (n_frames * rows)
