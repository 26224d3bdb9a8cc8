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
    if grid is not None and grid.start == "flat":
        blocks.append(block(grid.offset, grid_codes(grid)))
    elif grid is not None and grid.start == "coords":
        blocks.append(block(grid.offset, ordinal_codes(grid.n_ids, _N_RATES)))
    for size in sorted({size for _, size in config.tokens.ordinal_ranges}):
        codes = ordinal_codes(size, _N_RATES)
        offsets = [o for o, n in config.tokens.ordinal_ranges if n == size]
        blocks.append(torch.stack([block(offset, codes) for offset in offsets]).sum(dim=0))
        blocks += [block(offset, torch.ones(size, 1)) for offset in offsets]
    return torch.cat(blocks, dim=1) if blocks else torch.zeros(config.tokens.vocab_size, 0)


def grid_codes(grid: StartGrid) -> Tensor:
    """Codes of each start's row and column, (G, 4 * rates)."""
    rows, cols = ordinal_codes(grid.rows, _N_RATES), ordinal_codes(grid.cols, _N_RATES)
    starts = torch.arange(grid.size)
    if grid.order == "C":
        row, col = starts // grid.cols, starts % grid.cols
    else:
        row, col = starts % grid.rows, starts // grid.rows
    return torch.cat((rows[row], cols[col]), dim=1)
