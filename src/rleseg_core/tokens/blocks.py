"""One sequence of runs for each class or each instance of a mask, closed by its class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rleseg_core.errors import DataError
from rleseg_core.tokens.canvas import ArrayT, Canvas

if TYPE_CHECKING:
    from rleseg_core.tokens.runs import RunKind, Runs

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
            raise DataError("blocks='instance' needs instance ids beside the class ids; give them")
        if instances.shape != classes.shape:
            raise DataError(
                f"instance ids are {tuple(instances.shape)}, class ids {tuple(classes.shape)}; "
                "both must have the same shape"
            )
        return instances * (classes != 0)


Blocks = ClassBlocks | InstanceBlocks


def find_in_blocks(
    ids: np.ndarray, classes: np.ndarray, canvas: Canvas, kind: RunKind
) -> tuple[Runs[np.ndarray], np.ndarray, np.ndarray]:
    """What is written of each block of a mask.

    Parameters
    ----------
    ids : (N, S, S) integer
        The block that each pixel belongs to, 0 = none.
    classes : (N, S, S) integer
        Class ids.
    canvas : Canvas
        For masks of one class.
    kind : RunKind
        What to find.

    Returns
    -------
    Runs of (R,) int64
        By block and start.
    (R,) int64
        The block of each run, from 0, by block id.
    (n_blocks,) int64
        Class ids of the blocks.
    """
    from rleseg_core.tokens.runs import Runs

    cells = canvas.layers(ids).T.reshape(-1)  # by cell, then frame
    present, first = np.unique(cells, return_index=True)
    labels = canvas.layers(classes).T.reshape(-1)[first]
    present, labels = present[present > 0], labels[present > 0].astype(np.int64)
    at_once = max(1, _PLANES_AT_ONCE // canvas.n_cells)
    found: list[tuple[Runs[np.ndarray], np.ndarray]] = []
    for at in range(0, present.size, at_once):
        masks = ids == present[at : at + at_once, None, None, None]
        runs, plane = kind.find(canvas.flatten(masks.view(np.uint8)))
        found.append((runs, plane + at))
    if not found:
        nothing = np.empty(0, np.int64)
        return Runs(nothing, nothing, nothing), nothing, labels
    columns = zip(*(runs for runs, _ in found), strict=True)
    return (
        Runs(*(np.concatenate(column) for column in columns)),
        np.concatenate([plane for _, plane in found]),
        labels,
    )
