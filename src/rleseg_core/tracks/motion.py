"""How far objects move from one frame to the next, before it is known which of them is which."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from scipy.signal import fftconvolve
from scipy.spatial import KDTree

from rleseg_core.objects.stack import FrameObjects

_SIDE = 128  # cells of the grid on which two frames are compared, along the longer side
_NEIGHBOURS = 5  # whose displacement an object is expected to have
_FEW = 3  # links, below which the shift of the whole frame is the better guess


@dataclass(frozen=True, kw_only=True, eq=False)
class Objects:
    """Objects that may go on in the next frame, or those of the next frame.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of a frame.
    rows, cols, index : (p,) int64
        Their pixels, and which object each belongs to.
    area : (n,) int64
        In pixels.
    centroids : (n, 2) float64
        Row and column in pixels.
    node : (n,) int64
        Which of all objects of the stack they are.
    missed : (n,) int64
        In how many frames each was not found; 0 for those of the latest frame.
    """

    shape: tuple[int, int]
    rows: np.ndarray
    cols: np.ndarray
    index: np.ndarray
    area: np.ndarray
    centroids: np.ndarray
    node: np.ndarray
    missed: np.ndarray

    @classmethod
    def of_frame(cls, found: FrameObjects, first_node: int) -> Self:
        """The objects of a frame, numbered from `first_node` on."""
        rows, cols = found.index.nonzero()
        table = found.table
        return cls(
            shape=found.index.shape,
            rows=rows,
            cols=cols,
            index=found.index[rows, cols].astype(np.int64) - 1,
            area=table.area,
            centroids=np.column_stack([table.row, table.col]),
            node=np.arange(first_node, first_node + len(table)),
            missed=np.zeros(len(table), np.int64),
        )

    def __len__(self) -> int:
        return self.area.size

    def moved(self, displacement: np.ndarray) -> Self:
        """The same objects elsewhere, by a displacement (n, 2) in pixels.

        What leaves the frame is cut off: area and centroid are those of the part that stays. An
        object that has left as a whole has the area 0.
        """
        step = np.rint(displacement).astype(np.int64)[self.index]
        rows, cols = self.rows + step[:, 0], self.cols + step[:, 1]
        inside = (rows >= 0) & (rows < self.shape[0]) & (cols >= 0) & (cols < self.shape[1])
        moved = replace(
            self,
            rows=rows[inside],
            cols=cols[inside],
            index=self.index[inside],
            centroids=self.centroids + displacement,
        )
        if inside.all():
            return moved
        n = len(self)
        area = np.bincount(moved.index, minlength=n)
        sums = [np.bincount(moved.index, side, n) for side in (moved.rows, moved.cols)]
        is_cut = ((area < self.area) & (area > 0))[:, None]
        visible = np.column_stack(sums) / np.maximum(area, 1)[:, None]
        return replace(moved, area=area, centroids=np.where(is_cut, visible, moved.centroids))

    def lost(self, is_lost: np.ndarray, max_gap: int) -> Self:
        """Those that were not found in one more frame, but for those that have left the frame.

        Objects that were not found in `max_gap` frames before are left out.
        """
        keep = is_lost & (self.missed < max_gap) & (self.area > 0)
        number = np.cumsum(keep) - 1
        pixels = keep[self.index]
        return replace(
            self,
            rows=self.rows[pixels],
            cols=self.cols[pixels],
            index=number[self.index[pixels]],
            area=self.area[keep],
            centroids=self.centroids[keep],
            node=self.node[keep],
            missed=self.missed[keep] + 1,
        )

    def with_others(self, others: Self) -> Self:
        """These objects, and others after them."""
        return replace(
            self,
            rows=np.concatenate([self.rows, others.rows]),
            cols=np.concatenate([self.cols, others.cols]),
            index=np.concatenate([self.index, others.index + len(self)]),
            area=np.concatenate([self.area, others.area]),
            centroids=np.concatenate([self.centroids, others.centroids]),
            node=np.concatenate([self.node, others.node]),
            missed=np.concatenate([self.missed, others.missed]),
        )


def shift_between(first: Objects, second: Objects) -> np.ndarray:
    """By how many pixels (2,) a whole frame has moved, where objects of both lie best on another.

    It is known up to 1/128 of the longer side, which is enough to find the first links.
    """
    step = max(1, -(-max(first.shape) // _SIDE))
    shape = tuple(-(-side // step) for side in first.shape)
    ours, theirs = (_cover(objects, step, shape) for objects in (first, second))
    agreement = fftconvolve(theirs, ours[::-1, ::-1])
    best = np.array(np.unravel_index(agreement.argmax(), agreement.shape))
    return (best - np.array(shape) + 1) * float(step)


def _cover(objects: Objects, step: int, shape: tuple[int, ...]) -> np.ndarray:
    """How many pixels of objects lie in each cell of a coarse grid."""
    latest = (objects.missed == 0)[objects.index]
    cells = objects.rows[latest] // step * shape[1] + objects.cols[latest] // step
    return np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)


def local_displacements(
    objects: Objects, linked: np.ndarray, displacements: np.ndarray, shift: np.ndarray
) -> np.ndarray:
    """The displacement (n, 2) that each object is expected to have: that of its neighbours.

    Parameters
    ----------
    objects : Objects
        The objects.
    linked : (m,) int64
        Those of which the displacement is known, as far as links can be trusted.
    displacements : (m, 2) float64
        How far they have moved, in pixels.
    shift : (2,) float64
        That of the whole frame, where too few are known.

    Notes
    -----
    An object is none of its own neighbours: a wrong link must not confirm itself. In a colony that
    grows, objects at the rim move by more than their width while those in the middle stay.
    """
    if linked.size < _FEW:
        return np.tile(shift, (len(objects), 1))
    known = KDTree(objects.centroids[linked])
    n = min(_NEIGHBOURS + 1, linked.size)
    _, nearest = known.query(objects.centroids, k=n)
    is_itself = linked[nearest] == np.arange(len(objects))[:, None]
    # the object itself goes last, and the last one is left out
    order = np.argsort(is_itself, axis=1, kind="stable")
    others = np.take_along_axis(nearest, order, axis=1)[:, : n - 1]
    return np.median(displacements[others], axis=1)
