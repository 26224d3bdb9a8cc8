"""Which records of masks fit into a number of tokens: whole runs or none, never half a run."""

from __future__ import annotations

from typing import Literal

import numpy as np

from rleseg_core.tokens.records import Runs, sum_within
from rleseg_core.tokens.runs import RunKind

Drop = Literal["tail", "shortest"]
"""Drop runs from the last on, or from the shortest on."""


def fit(
    runs: Runs[np.ndarray],
    block: np.ndarray,
    row: np.ndarray,
    kind: RunKind,
    *,
    room: int,
    cost_of_run: int,
    cost_of_block: int,
    drop: Drop,
) -> tuple[Runs[np.ndarray], np.ndarray]:
    """The records of each mask that fit, and which they are.

    Of equally long runs those of lower symbols and then the earlier ones stay. Records are changed
    where the dropped ones need that; see `RunKind.truncate`.

    Parameters
    ----------
    runs : Runs of (R,) integers
        By mask, block and start.
    block : (R,) integer
        The block of each, no two masks having one in common; without blocks, the mask.
    row : (R,) integer
        The mask of each.
    kind : RunKind
        Their kind.
    room : int
        Tokens for each mask.
    cost_of_run, cost_of_block : int
        Tokens that each takes.
    drop : {"tail", "shortest"}
        Which runs have to go.

    Returns
    -------
    Runs of (R',) integers
        In the same order.
    (R',) int64
        Indices of them among all.
    """
    order = np.arange(block.size)
    if drop == "shortest":
        order = np.lexsort((runs.start, block, runs.symbol, -runs.length, row))
    cost = np.full(block.size, cost_of_run)
    if cost_of_block:
        cost[np.unique(block[order], return_index=True)[1]] += cost_of_block
    fits = sum_within(cost, row[order]) <= room
    kept = np.sort(order[fits]) if drop == "shortest" else fits.nonzero()[0]
    return kind.truncate(runs, block, kept)
