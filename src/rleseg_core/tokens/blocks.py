"""One sequence of runs for each class or each instance of a mask, closed by its class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rleseg_core.errors import DataError
from rleseg_core.tokens.canvas import ArrayT, Canvas, Volume
from rleseg_core.tokens.runs import Foreground, RunKind, Runs

_PLANES_AT_ONCE = 2**22  # cells; more blocks than fit are looked at in turns


@dataclass(frozen=True)
class ClassBlocks:
    """A block for each class that is there, by class id (CW, Sec. IV-C)."""

    increasing: bool = True

    def ids(self, classes: ArrayT, instances: ArrayT | None) -> ArrayT:
        """The block (..., N, S, S) that each pixel belongs to, 0 = none."""
        return classes


@dataclass(frozen=True)
class InstanceBlocks:
    """A block for each instance, by instance id (IW, Sec. IV-D).

    In a window of several frames a block follows its instance through all of them, so the order of
    blocks is that of tracks. The class of an instance is the one at its first cell. Pixels of a
    class that belong to no instance, and instances on the background, are not written.
    """

    increasing: bool = False

    def ids(self, classes: ArrayT, instances: ArrayT | None) -> ArrayT:
        """The block (..., N, S, S) that each pixel belongs to, 0 = none."""
        if instances is None:
            raise DataError(
                "blocks='instance' need the ids of objects beside the class ids, got none; give "
                "masks that number their objects (--instances or --instance-ids)"
            )
        if instances.shape != classes.shape:
            raise DataError(
                f"instance ids are {tuple(instances.shape)}, class ids {tuple(classes.shape)}; "
                "both must have the same shape"
            )
        return instances * (classes != 0)


Blocks = ClassBlocks | InstanceBlocks


def find_in_blocks(
    ids: np.ndarray, classes: np.ndarray, canvas: Canvas, kind: RunKind
) -> tuple[Runs[np.ndarray], np.ndarray, np.ndarray, np.ndarray]:
    """What is written of each block of some masks.

    Parameters
    ----------
    ids : (B, N, S, S) integer
        The block that each pixel belongs to, 0 = none.
    classes : (B, N, S, S) integer
        Class ids.
    canvas : Canvas
        For masks of one class.
    kind : RunKind
        What to find.

    Returns
    -------
    Runs of (R,) int64
        By mask, block and start.
    (R,) int64
        The block of each run, an index into the blocks of all masks.
    (n_blocks,) int64
        The mask of each block; blocks are by mask and id.
    (n_blocks,) int64
        Class ids of the blocks.
    """
    if isinstance(kind, Foreground) and isinstance(canvas, Volume):
        return _sorted_runs(ids, classes, canvas, kind)
    row, block_id, labels = _present(canvas.layers(ids), canvas.layers(classes))
    at_once = max(1, _PLANES_AT_ONCE // canvas.n_cells)
    found: list[tuple[Runs[np.ndarray], np.ndarray]] = []
    for at in range(0, max(row.size, 1), at_once):
        part = slice(at, at + at_once)
        masks = ids[row[part]] == block_id[part, None, None, None]
        if masks.size:
            runs, plane = kind.find(canvas.flatten(masks.view(np.uint8)))
            found.append((runs, plane + at))
    if not found:
        nothing = np.empty(0, np.int64)
        return Runs(nothing, nothing, nothing), nothing, row, labels
    columns = zip(*(runs for runs, _ in found), strict=True)
    runs = Runs(*(np.concatenate(column) for column in columns))
    return runs, np.concatenate([plane for _, plane in found]), row, labels


def _sorted_runs(
    ids: np.ndarray, classes: np.ndarray, canvas: Volume, kind: Foreground
) -> tuple[Runs[np.ndarray], np.ndarray, np.ndarray, np.ndarray]:
    """What `find_in_blocks` gives: runs of equal ids are those of the blocks, in another order."""
    runs, row = kind.find(canvas.flatten(np.maximum(ids, 0)))
    order = np.lexsort((runs.symbol, row))  # stable: by start within a block
    start, length, block_id = (column[order] for column in runs)
    row = row[order]
    begins = np.ones(row.size, np.bool_)
    begins[1:] = (row[1:] != row[:-1]) | (block_id[1:] != block_id[:-1])
    first = begins.nonzero()[0]
    labels = canvas.flatten(classes)[row[first], start[first]].astype(np.int64)
    runs = runs._replace(start=start, length=length, symbol=np.ones_like(length))
    return runs, begins.cumsum() - 1, row[first], labels


def _present(ids: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Masks, ids and classes of the blocks of layers (B, L, P), each (n_blocks,) integer."""
    n_rows = len(ids)
    cells = ids.swapaxes(1, 2).reshape(n_rows, -1)  # by cell, then layer
    cells = np.maximum(cells.astype(np.int64, copy=False), 0)
    highest = int(cells.max(initial=0))
    if highest * n_rows <= cells.size:
        keys = (cells + np.arange(n_rows)[:, None] * (highest + 1)).reshape(-1)
        first = np.full(n_rows * (highest + 1), -1)
        first[keys[::-1]] = np.arange(keys.size)[::-1]  # the last of equal keys counts
        row, block_id = np.divmod((first >= 0).nonzero()[0], highest + 1)
        first = first[first >= 0]
    else:  # ids are far apart
        table, first = np.unique(
            np.stack((np.arange(n_rows).repeat(cells.shape[1]), cells.reshape(-1))),
            axis=1,
            return_index=True,
        )
        row, block_id = table
    is_block = block_id > 0
    labels = classes.swapaxes(1, 2).reshape(-1)[first[is_block]].astype(np.int64)
    return row[is_block], block_id[is_block], labels
