"""Start tokens that look at the image: cells at mask resolution, and tokens that know their place.

The row of a start token is, in the paper, a learned vector: with thousands of starts, each seen a
few times, training is long. Here a start also carries a code of its row and column, the image at
its cell goes into the decoder when it is written, and its logit grows with the likeness of its
cell to what the decoder asks for, as in pointer networks.

A scan goes further. The likeness says how probably a run begins at a cell if the scan gets there;
a start is then as probable as that it begins a run and no cell between the last run and it does,
and the end of the sequence as that none does. Lengths are read off in the same way: a run goes on
to the first cell that ends it. So a sequence is learned from what each cell looks like. Where there
is a dense class head, scans start out from what it says: a run begins where the class changes to
one of the foreground.
"""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rleseg_core.model.backbones.resnet import conv, group_norm
from rleseg_core.model.config import ModelConfig
from rleseg_core.model.layers import NORM_EPS, embedding
from rleseg_core.model.places import Places, Trail
from rleseg_core.model.positions import ramp_codes
from rleseg_core.spec import StartGrid

_N_RATES = 12
_LEAST = 1e-3  # probability of anything, as far as the dense head is trusted
_NEVER = -10.0  # logit of what cannot come next
_BEGINS, _ENDS = -5.0, -2.0  # log odds of a cell to begin, to end a run, before all learning


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

    grid = config.grid if config.starts != "table" else None
    if grid is not None and grid.start == "flat":
        blocks.append(block(grid.offset, _grid_codes(grid)))
    elif grid is not None and grid.start == "coords":
        blocks.append(block(grid.offset, ramp_codes(grid.n_ids, _N_RATES)))
    for size in sorted({size for _, size in config.ramps}):
        codes, offsets = ramp_codes(size, _N_RATES), [o for o, n in config.ramps if n == size]
        blocks.append(torch.stack([block(offset, codes) for offset in offsets]).sum(dim=0))
        blocks += [block(offset, torch.ones(size, 1)) for offset in offsets]
    return torch.cat(blocks, dim=1) if blocks else torch.zeros(config.vocab_size, 0)


class CellPath(nn.Module):
    """Brings backbone and encoder to mask resolution, coarse to fine."""

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
            x = _resize(x, tuple(feature.shape[-2:])) + lateral(feature)
        x = self.mix(_resize(x, self.size))
        if self.column_major:
            x = x.transpose(2, 3)
        return self.norm(x.flatten(2).transpose(1, 2))


def _finest_stage(config: ModelConfig, grid: StartGrid) -> int:
    """The coarsest stage with at least one feature per cell, or else the first."""
    per_cell = config.image_size / max(grid.rows, grid.cols)
    return max((k for k, s in enumerate(config.backbone_strides) if s <= per_cell), default=0)


def _resize(x: Tensor, size: tuple[int, ...]) -> Tensor:
    if tuple(x.shape[-2:]) == size:
        return x
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


class PointerMemory(NamedTuple):
    """What pointers need of a window's cells, computed once.

    Parameters
    ----------
    cells : (B, G, D) tensor
        The image at each cell.
    seen : (B, G, 2) float32 tensor or None
        Log odds of cells to begin and to end a run, of what the dense head says.
    classes : (B, G, C) float32 tensor or None
        Log probabilities of the foreground classes, of one frame.
    """

    cells: Tensor
    seen: Tensor | None = None
    classes: Tensor | None = None

    def select(self, rows: Tensor) -> "PointerMemory":
        """That of some of the windows, `rows` (B',) integers."""
        seen, classes = (None if part is None else part[rows] for part in self[1:])
        return PointerMemory(self.cells[rows], seen, classes)

    def replace(self, rows: Tensor, other: "PointerMemory") -> None:
        """Put that of other windows in place of some, `rows` (B',)."""
        for part, new in zip(self, other, strict=True):
            if part is not None and new is not None:
                part[rows] = new


class Pointer(nn.Module):
    """Ties the tokens of starts and lengths to the cells of the image."""

    def __init__(self, config: ModelConfig, grid: StartGrid) -> None:
        super().__init__()
        dim = config.decoder_dim
        self.grid = grid
        self.scans = config.starts == "scan"
        self.places = Places(grid, config)
        self.lengths = tuple(config.ramps)
        self.query = self.key = self.end_query = self.end_key = None
        if grid.start != "implied":
            self.query = nn.Linear(dim, dim)
            self.key = nn.Linear(dim, dim, bias=False)
        self.input = nn.Linear(dim, dim, bias=False)
        if config.ends == "scan" and self.lengths:
            self.end_query = nn.Linear(dim, dim)
            self.end_key = nn.Linear(dim, dim, bias=False)

        self.trust = nn.Parameter(torch.ones(3)) if config.dense_classes and self.scans else None

    def remember(self, cells: Tensor, dense: Tensor | None = None) -> PointerMemory:
        """What the other two methods need of cells (B, G, D) and their classes (B, G, N, C + 1)."""
        seen = classes = None
        if self.trust is not None and dense is not None:
            seen = _edges(dense.softmax(-1)) * self.trust[:2].float()
            if dense.shape[2] == 1:
                classes = dense[:, :, 0, 1:].log_softmax(-1) * self.trust[2].float()
        return PointerMemory(cells, seen, classes)

    def embed(self, trail: Trail, memory: PointerMemory) -> Tensor:
        """The image at the cells where sequences stand, 0 where they stand at none: (B, L, D)."""
        at = trail.cell.clamp(min=0)[..., None].expand(-1, -1, memory.cells.shape[-1])
        return self.input(memory.cells.gather(1, at)) * (trail.cell >= 0)[..., None]

    def add_logits(self, logits: Tensor, x: Tensor, trail: Trail, memory: PointerMemory) -> Tensor:
        """`logits` (B, L, V) of states `x` (B, L, D) with what the cells say added."""
        added = torch.zeros_like(logits)
        in_run = trail.cell >= 0
        if self.query is not None:
            self._add_starts(added, x, trail, memory, ~in_run)
        if self.end_query is not None:
            self._add_lengths(added, x, trail, memory, in_run)
        return logits + added

    def _add_starts(
        self, added: Tensor, x: Tensor, trail: Trail, memory: PointerMemory, wanted: Tensor
    ) -> None:
        first_id = self.grid.offset
        if not self.scans:
            likeness = _asked(x, self.query, self.key) @ memory.cells.transpose(1, 2)
            _put(added, first_id, self._of_starts(likeness, trail.row))
            return
        _rule_out(added, ((first_id, self.grid.n_ids), *self.grid.stops))
        at = _some(wanted)
        if at is not None:
            first, none = self._first_start(x[:, at], trail.cursor[:, at], memory)
            _put(added, first_id, self._of_starts(first, trail.row[:, at]), at, wanted)
            for first_id, n in self.grid.stops:
                _put(added, first_id, none.expand(-1, -1, n), at, wanted)

    def _add_lengths(
        self, added: Tensor, x: Tensor, trail: Trail, memory: PointerMemory, wanted: Tensor
    ) -> None:
        _rule_out(added, self.lengths)
        at = _some(wanted)
        if at is not None:
            cell = trail.cell[:, at].clamp(min=0)
            found = self._first_end(x[:, at], cell, memory)
            for k, (first_id, n) in enumerate(self.lengths):
                _put(added, first_id, found[..., :n] + self._of_class(k, cell, memory), at, wanted)

    def _first_start(
        self, x: Tensor, cursor: Tensor, memory: PointerMemory
    ) -> tuple[Tensor, Tensor]:
        """Log probabilities of the next run to begin at each cell (B, L, G), and of none (B, L, 1).

        A single token on the CPU asks no cell that all sequences have passed.
        """
        passed = 0
        if x.shape[1] == 1 and x.device.type == "cpu":
            passed = min(int(cursor.min()), self.grid.size - 1)
        cells = memory.cells[:, passed:]
        likeness = (_asked(x, self.query, self.key) @ cells.transpose(1, 2)).float()
        prior = _BEGINS if memory.seen is None else memory.seen[:, None, passed:, 0]
        first, none = _first_from(likeness + prior, cursor - passed)
        return F.pad(first, (passed, 0), value=2 * _NEVER), none

    def _first_end(self, x: Tensor, cell: Tensor, memory: PointerMemory) -> Tensor:
        """Log probabilities (B, L, M) of the run that begins at `cell` (B, L) to have each length.

        Few tokens ask the cells of their longest run only; many together ask all of them at once.
        """
        longest = max(size for _, size in self.lengths)
        n_cells = memory.cells.shape[1]
        at = cell[..., None] + torch.arange(longest, device=cell.device)
        last = at.clamp(max=n_cells - 1)
        asked = _asked(x, self.end_query, self.end_key)
        rows = torch.arange(len(cell), device=cell.device)[:, None, None]
        if x.shape[1] * longest < n_cells:
            likeness = (memory.cells[rows, last] @ asked[..., None]).squeeze(-1).float()
        else:
            likeness = (asked @ memory.cells.transpose(1, 2)).float().gather(-1, last)
        odds = likeness + (_ENDS if memory.seen is None else memory.seen[..., 1][rows, last])
        return _first_end(odds, at < n_cells)

    def _of_class(self, k: int, cell: Tensor, memory: PointerMemory) -> Tensor | float:
        """Log probabilities (B, L, 1) of runs at `cell` to be of the class of the k-th lengths."""
        if memory.classes is None or len(self.lengths) != memory.classes.shape[-1]:
            return 0.0
        return memory.classes[..., k].gather(1, cell)[..., None]

    def _of_starts(self, likeness: Tensor, row: Tensor) -> Tensor:
        """Logits of the ids of starts, from those of the cells (B, L, G); rows are as in trails."""
        grid = self.grid
        if grid.start == "flat":
            return likeness
        cells = likeness.unflatten(
            -1, (grid.rows, grid.cols) if grid.order == "C" else (-1, grid.rows)
        )
        if grid.order == "F":
            cells = cells.transpose(-1, -2)
        rows = cells.logsumexp(dim=-1)
        if not self.scans:
            rows = rows - math.log(grid.cols)
        at = row.clamp(min=0)[..., None, None].expand(-1, -1, 1, grid.cols)
        cols = cells.gather(2, at).squeeze(2)
        rows, cols = (F.pad(part, (0, grid.n_ids - part.shape[-1])) for part in (rows, cols))
        return torch.where((row >= 0)[..., None], cols, rows)


def _asked(x: Tensor, query: nn.Linear | None, key: nn.Linear | None) -> Tensor:
    """What the queries of states (B, L, D) come to on the side of the cells.

    Its products with cells are those of queries and the cells' keys. There are far more cells than
    queries, so it is cheaper than to make these keys.
    """
    assert query is not None
    assert key is not None
    return (query(x) @ key.weight) * x.shape[-1] ** -0.5


def _edges(classes: Tensor) -> Tensor:
    """Log odds of cells to begin and to end a run, (B, G, 2).

    Parameters
    ----------
    classes : (B, G, N, C + 1) tensor
        Probabilities of the classes of each cell in each frame, background first. The first cell
        has background before it, and the last behind it.
    """
    outside = F.one_hot(torch.zeros(1, dtype=torch.int64, device=classes.device), classes.shape[-1])
    outside = outside.to(classes).expand(len(classes), 1, classes.shape[2], -1)
    padded = torch.cat((outside, classes, outside), dim=1)
    same = (padded[:, 1:] * padded[:, :-1]).sum(-1).prod(-1)  # (B, G + 1)
    inside = 1 - classes[..., 0].prod(-1)
    p = torch.stack((inside * (1 - same[:, :-1]), inside * (1 - same[:, 1:])), dim=-1)
    return p.clamp(_LEAST, 1 - _LEAST).logit()


def _first_from(likeness: Tensor, cursor: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of each cell to be the first from the cursor on that begins a run, and of none.

    Parameters
    ----------
    likeness : (B, L, G) float32 tensor
        Log odds of each cell to begin a run.
    cursor : (B, L) int64 tensor
        The first cell that may.

    Returns
    -------
    first : (B, L, G) tensor
        Log probabilities; those of cells before the cursor are very low.
    none : (B, L, 1) tensor
        That of no cell at all.
    """
    ahead = torch.arange(likeness.shape[-1], device=likeness.device) >= cursor[..., None]
    through = (F.logsigmoid(-likeness) * ahead).cumsum(-1)
    # log p + log of none before = log odds + log of none up to here
    return torch.where(ahead, likeness + through, 2 * _NEVER), through[..., -1:]


def _first_end(odds: Tensor, there: Tensor) -> Tensor:
    """Log probabilities (..., M) of each of the next M cells to be the first that ends a run.

    `odds` (..., M) are their log odds to end one; those that are not `there` lie beyond the mask.
    """
    return torch.where(there, odds + F.logsigmoid(-odds).cumsum(-1), 2 * _NEVER)


def _some(wanted: Tensor) -> Any:
    """Places at which one of the sequences (B, L) is wanted; all where to ask costs time.

    Not one is None.
    """
    if wanted.device.type != "cpu":
        return slice(None)
    if wanted.shape[1] == 1:
        return slice(None) if wanted.any() else None
    at = wanted.any(dim=0).nonzero().squeeze(1)
    return at if len(at) else None


def _rule_out(added: Tensor, ids: Iterable[tuple[int, int]]) -> None:
    """Ids, n of them from a first one on, cannot come until something else is put there."""
    for first, n in ids:
        added[..., first : first + n] = _NEVER


def _put(
    added: Tensor, first: int, values: Tensor, at: Any = slice(None), where: Tensor | None = None
) -> None:
    """Write logits of the ids from `first` on at some places, only `where` (B, L) they can come."""
    values = values.to(added.dtype)
    if where is not None:
        values = values.where(where[:, at, None], _NEVER)
    added[:, at, first : first + values.shape[-1]] = values
