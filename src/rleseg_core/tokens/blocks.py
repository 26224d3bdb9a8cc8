"""One sequence of runs for each class or each instance of a mask, closed by its class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rleseg_core.errors import DataError
from rleseg_core.tokens.flattening import Flattening
from rleseg_core.tokens.records import ArrayT, Runs

_PLANES_AT_ONCE = 2**22  # pixels; more blocks than fit are looked at in turns


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
    blocks is that of tracks. The class of an instance is the one at its first pixel. Pixels of a
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


class FoundInBlocks(NamedTuple):
    """What is written of the blocks of some masks."""

    runs: Runs[np.ndarray]
    """(R,) int64 records by mask, block and start."""
    block: np.ndarray
    """(R,) int64, the block of each record, an index into the blocks of all masks."""
    row: np.ndarray
    """(n_blocks,) int64, the mask of each block; blocks are by mask and id."""
    labels: np.ndarray
    """(n_blocks,) int64 class ids of the blocks."""


def find_in_each(
    ids: np.ndarray,
    classes: np.ndarray,
    flattening: Flattening,
    find: Callable[[np.ndarray], tuple[Runs[np.ndarray], np.ndarray]],
) -> FoundInBlocks:
    """What is written of each block of some masks, each block being a plane of its own.

    Parameters
    ----------
    ids : (B, N, S, S) integer
        The block that each pixel belongs to, 0 = none.
    classes : (B, N, S, S) integer
        Class ids.
    flattening : Flattening
        For masks of one class.
    find : callable
        `RunKind.find`.
    """
    row, block_id, labels = _present(flattening.layers(ids), flattening.layers(classes))
    at_once = max(1, _PLANES_AT_ONCE // flattening.n_pixels)
    found: list[tuple[Runs[np.ndarray], np.ndarray]] = []
    for at in range(0, max(row.size, 1), at_once):
        part = slice(at, at + at_once)
        masks = ids[row[part]] == block_id[part, None, None, None]
        if masks.size:
            runs, plane = find(flattening.flatten(masks.view(np.uint8)))
            found.append((runs, plane + at))
    if not found:
        nothing = np.empty(0, np.int64)
        return FoundInBlocks(Runs(nothing, nothing, nothing), nothing, row, labels)
    columns = zip(*(runs for runs, _ in found), strict=True)
    runs = Runs(*(np.concatenate(column) for column in columns))
    return FoundInBlocks(runs, np.concatenate([plane for _, plane in found]), row, labels)


def _present(ids: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Masks, ids and classes of the blocks of layers (B, L, P), each (n_blocks,) integer."""
    n_rows = len(ids)
    pixels = ids.swapaxes(1, 2).reshape(n_rows, -1)  # by position, then layer
    pixels = np.maximum(pixels.astype(np.int64, copy=False), 0)
    highest = int(pixels.max(initial=0))
    if highest * n_rows <= pixels.size:
        keys = (pixels + np.arange(n_rows)[:, None] * (highest + 1)).reshape(-1)
        first = np.full(n_rows * (highest + 1), -1)
        first[keys[::-1]] = np.arange(keys.size)[::-1]  # the last of equal keys counts
        row, block_id = np.divmod((first >= 0).nonzero()[0], highest + 1)
        first = first[first >= 0]
    else:  # ids are far apart
        table, first = np.unique(
            np.stack((np.arange(n_rows).repeat(pixels.shape[1]), pixels.reshape(-1))),
            axis=1,
            return_index=True,
        )
        row, block_id = table
    is_block = block_id > 0
    labels = classes.swapaxes(1, 2).reshape(-1)[first[is_block]].astype(np.int64)
    return row[is_block], block_id[is_block], labels
