"""Objects one by one: where each begins, and what it looks like there."""

import torch
from torch import Tensor, nn

from rleseg_core.model.pointer.memory import PackedMemory, PointerMemory
from rleseg_core.model.pointer.token_table import grid_codes
from rleseg_core.spec import StartGrid


class ObjectStarts(nn.Module):
    """What tells objects of one class apart: where they begin, and what each looks like there.

    The first run of a block is a first hit over odds of its own, from the first pixel of the block
    before on, and "no hit" is the end of the sequence. The features of that pixel join every later
    token of the block, and all features know their row and column.
    """

    codes: Tensor

    def __init__(self, dim: int, grid: StartGrid, n_labels: int) -> None:
        super().__init__()
        self.n_labels = n_labels
        self.first = nn.Linear(dim, dim)
        self.input = nn.Linear(dim, dim, bias=False)
        codes = grid_codes(grid)
        self.register_buffer("codes", codes, persistent=False)
        self.place = nn.Linear(codes.shape[1], dim, bias=False)
        self.trust = nn.Parameter(torch.ones(1))

    def places(self) -> Tensor:
        """What is added to the feature of each mask pixel, (G, D)."""
        return self.place(self.codes)

    def query(self, x: Tensor) -> Tensor:
        """What asks the features where an object begins, (B, L, D)."""
        return self.first(x) * x.shape[-1] ** -0.5

    def classes(self, memory: PointerMemory | PackedMemory, block_start: Tensor) -> Tensor | float:
        """Log probabilities (B, L, C) of the class of each open block, at its first pixel."""
        if memory.classes is None or memory.classes.shape[2:] != (self.n_labels,):
            return 0.0
        return memory.pick(memory.classes, block_start.clamp(min=0))
