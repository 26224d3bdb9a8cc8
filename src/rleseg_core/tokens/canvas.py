"""How the frames of a mask become one flat plane of symbols, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np

from rleseg_core.spec import MaskSpec

if TYPE_CHECKING:
    from torch import Tensor

ArrayT = TypeVar("ArrayT", np.ndarray, "Tensor")
"""A numpy array or a torch tensor: what is written for one works for the other."""


@dataclass(frozen=True)
class Volume:
    """Every pixel of every frame is a cell of the plane, and its symbol is its class.

    The plane is the (N, S, S) array in C order (a frame after the other, row by row) or in F order
    (column by column, the frames of a pixel side by side): 3D-C and 3D-F of Sec. IV.

    Parameters
    ----------
    spec : MaskSpec
        Frames, rows, columns and classes of the mask.
    order : {"C", "F"}
        Row-major or column-major.
    """

    spec: MaskSpec
    order: Literal["C", "F"]

    @property
    def n_cells(self) -> int:
        """Cells of the plane."""
        return self.spec.n_frames * self.spec.n_pixels

    @property
    def n_symbols(self) -> int:
        """Symbols besides 0, the background."""
        return self.spec.n_classes

    @property
    def longest_run(self) -> int:
        """The paper's cap on the length of a run: a row (C), or a column of all frames (F)."""
        n_frames, n_rows, n_cols = self.spec.shape
        return n_cols if self.order == "C" else n_frames * n_rows

    @property
    def strides(self) -> tuple[int, int, int]:
        """Cells from one frame, row and column to the next."""
        n_frames, n_rows, n_cols = self.spec.shape
        if self.order == "C":
            return n_rows * n_cols, n_cols, 1
        return 1, n_frames, n_frames * n_rows

    def flatten(self, classes: ArrayT) -> ArrayT:
        """Planes (..., N·S·S) of masks (..., N, S, S) of class ids, numpy or torch."""
        if self.order == "F":
            classes = classes.swapaxes(-1, -3)
        return classes.reshape(*classes.shape[:-3], self.n_cells)

    def unflatten(self, plane: np.ndarray) -> np.ndarray:
        """Masks (..., N, S, S) of planes (..., N·S·S), C-contiguous."""
        shape = self.spec.shape if self.order == "C" else self.spec.shape[::-1]
        classes = plane.reshape(*plane.shape[:-1], *shape)
        return classes if self.order == "C" else np.ascontiguousarray(classes.swapaxes(-1, -3))

    def locate(self, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Frames, rows and columns of some cells, each of their shape and integer."""
        frames, rows, cols = np.unravel_index(cells, self.spec.shape, order=self.order)
        return frames, rows, cols

    def paint(self, labels: np.ndarray, cells: np.ndarray, symbol: int) -> None:
        """Write a symbol into some cells of a mask (N, S, S), in place."""
        labels[self.locate(cells)] = symbol

    def symbol_text(self, symbol: int) -> str:
        """The name of a symbol from 1 to `n_symbols`."""
        return self.spec.class_names[symbol - 1]

    def cell_text(self, cell: int) -> str:
        """Where a cell is, in words."""
        frame, row, col = (
            int(index) for index in np.unravel_index(cell, self.spec.shape, self.order)
        )
        place = f"row {row}, col {col}"
        return place if self.spec.n_frames == 1 else f"frame {frame}, {place}"
