"""How the frames of a mask become one flat plane of symbols, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

import numpy as np

from rleseg_core.spec import MaskSpec

if TYPE_CHECKING:
    from torch import Tensor

ArrayT = TypeVar("ArrayT", np.ndarray, "Tensor")
"""A numpy array or a torch tensor: what is written for one works for the other."""


class Axis(NamedTuple):
    """One coordinate of a cell."""

    name: Literal["frame", "row", "col"]
    size: int
    stride: int
    """Cells from one index to the next."""


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
    symbol_name : str
        What a symbol is, for people.
    """

    spec: MaskSpec
    order: str
    symbol_name: str = "class"

    @property
    def n_cells(self) -> int:
        """Cells of the plane."""
        return self.spec.n_frames * self.spec.n_pixels

    @property
    def n_symbols(self) -> int:
        """Symbols besides 0, the background."""
        return self.spec.n_classes

    @property
    def line(self) -> int:
        """Cells of a row (C), or of a column of all frames (F): the paper's longest run."""
        n_frames, n_rows, n_cols = self.spec.shape
        return n_cols if self.order != "F" else n_frames * n_rows

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The coordinates of a cell; without the frame where there is only one."""
        n_frames, n_rows, n_cols = self.spec.shape
        strides = (
            (n_rows * n_cols, n_cols, 1) if self.order != "F" else (1, n_frames, n_frames * n_rows)
        )
        frame, row, col = strides
        axes = (Axis("frame", n_frames, frame), Axis("row", n_rows, row), Axis("col", n_cols, col))
        return axes if n_frames > 1 else axes[1:]

    def flatten(self, classes: ArrayT) -> ArrayT:
        """Planes (..., N·S·S) of masks (..., N, S, S) of class ids, numpy or torch."""
        if self.order == "F":
            classes = classes.swapaxes(-1, -3)
        return classes.reshape(*classes.shape[:-3], self.n_cells)

    def layers(self, ids: ArrayT) -> ArrayT:
        """What each cell is made of, (..., 1, N·S·S) of (..., N, S, S): the pixel itself."""
        return self.flatten(ids)[..., None, :]

    def from_layers(self, layers: list[np.ndarray]) -> np.ndarray:
        """Masks (N, S, S), C-contiguous, of what cells are made of, one plane (N·S·S,)."""
        shape = self.spec.shape if self.order != "F" else self.spec.shape[::-1]
        classes = layers[0].reshape(shape)
        return classes if self.order != "F" else np.ascontiguousarray(classes.swapaxes(0, 2))

    def digits(self, symbols: np.ndarray) -> list[np.ndarray]:
        """The class ids that symbols say in each layer."""
        return [symbols]

    def labels_of(self, symbol: int) -> tuple[int, ...]:
        """The class id that a symbol says, as the only item."""
        return (symbol,)

    def pixels(
        self, cells: np.ndarray, labels: tuple[int, ...]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Frames, rows, columns and labels, each (n,) integer, of n cells of one symbol."""
        return *self.places(cells), np.full(cells.shape, labels[0])

    def places(
        self, cells: np.ndarray, layer: int = 0
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Frames, rows and columns (n,) of cells (n,), which have one layer."""
        frames, rows, cols = np.unravel_index(cells, self.spec.shape, order=_numpy(self.order))
        return frames, rows, cols

    def symbol_text(self, symbol: int) -> str:
        """The name of a symbol from 0 to `n_symbols`."""
        return self.spec.class_names[symbol - 1] if symbol else "background"

    def cell_text(self, cell: int) -> str:
        """Where a cell is, in words."""
        return _place(self.axes, cell)


@dataclass(frozen=True)
class TimeClass:
    """Every pixel position is a cell, and its symbol says the classes it has over the frames (TAC).

    A symbol is a number with N digits of base C + 1, the class in each frame, the first frame being
    the lowest digit (Sec. IV-A; Table 1 lists the binary ones the other way round). The plane is
    the (S, S) array in C or F order.

    Parameters
    ----------
    spec : MaskSpec
        Frames, rows, columns and classes of the mask.
    order : {"C", "F"}
        Row-major or column-major.
    symbol_name : str
        What a symbol is, for people.
    """

    spec: MaskSpec
    order: str
    symbol_name: str = "tac"

    @property
    def n_cells(self) -> int:
        """Cells of the plane."""
        return self.spec.n_pixels

    @property
    def n_symbols(self) -> int:
        """Symbols besides 0, background in all frames: (C + 1)^N - 1."""
        return int((self.spec.n_classes + 1) ** self.spec.n_frames - 1)

    @property
    def line(self) -> int:
        """Cells of a row (C) or of a column (F): the paper's longest run."""
        return self.spec.size[1] if self.order != "F" else self.spec.size[0]

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The row and the column of a cell."""
        n_rows, n_cols = self.spec.size
        row, col = (n_cols, 1) if self.order != "F" else (1, n_rows)
        return (Axis("row", n_rows, row), Axis("col", n_cols, col))

    def flatten(self, classes: ArrayT) -> ArrayT:
        """Planes (..., S·S) of masks (..., N, S, S) of class ids, numpy or torch."""
        base = self.spec.n_classes + 1
        weights = [base**frame for frame in range(self.spec.n_frames)]
        symbols: ArrayT = _widened(classes[..., 0, :, :], self.n_symbols)
        for frame, weight in enumerate(weights[1:], 1):
            symbols = symbols + _widened(classes[..., frame, :, :], self.n_symbols) * weight
        if self.order == "F":
            symbols = symbols.swapaxes(-1, -2)
        return symbols.reshape(*symbols.shape[:-2], self.n_cells)

    def layers(self, ids: ArrayT) -> ArrayT:
        """What each cell is made of, (..., N, S·S) of (..., N, S, S): its pixel in each frame."""
        if self.order == "F":
            ids = ids.swapaxes(-1, -2)
        return ids.reshape(*ids.shape[:-2], self.n_cells)

    def from_layers(self, layers: list[np.ndarray]) -> np.ndarray:
        """Masks (N, S, S), C-contiguous, of what cells are made of, N planes (S·S,)."""
        shape = self.spec.size if self.order != "F" else self.spec.size[::-1]
        classes = np.stack(layers).reshape(-1, *shape)
        return classes if self.order != "F" else np.ascontiguousarray(classes.swapaxes(1, 2))

    def digits(self, symbols: np.ndarray) -> list[np.ndarray]:
        """The class ids that symbols say in each layer."""
        base = self.spec.n_classes + 1
        digits = []
        for _ in range(self.spec.n_frames):
            rest = symbols // base
            digits.append(symbols - rest * base)
            symbols = rest
        return digits

    def labels_of(self, symbol: int) -> tuple[int, ...]:
        """The class ids that a symbol says, one for each frame."""
        base = self.spec.n_classes + 1
        return tuple(symbol // base**frame % base for frame in range(self.spec.n_frames))

    def pixels(
        self, cells: np.ndarray, labels: tuple[int, ...]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Frames, rows, columns and labels, each (N·n,) integer, of n cells of one symbol."""
        layers = [self.places(cells, frame) for frame in range(self.spec.n_frames)]
        frames, rows, cols = (np.concatenate(axis) for axis in zip(*layers, strict=True))
        return frames, rows, cols, np.repeat(np.array(labels), cells.size)

    def places(self, cells: np.ndarray, layer: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Frames, rows and columns (n,) of cells (n,) in one frame, the layer."""
        rows, cols = np.unravel_index(cells, self.spec.size, order=_numpy(self.order))
        return np.full(cells.shape, layer), rows, cols

    def symbol_text(self, symbol: int) -> str:
        """The classes that a symbol says, the first frame first, such as "ipsc-background"."""
        names = ("background", *self.spec.class_names)
        return "-".join(names[label] for label in self.labels_of(symbol))

    def cell_text(self, cell: int) -> str:
        """Where a cell is, in words."""
        return _place(self.axes, cell)


Canvas = Volume | TimeClass

CANVASES: dict[tuple[str, str], type[Canvas]] = {
    ("volume", "C"): Volume,
    ("volume", "F"): Volume,
    ("class", "C"): TimeClass,
    ("class", "F"): TimeClass,
}
"""The canvas of each `Scheme.time` and `Scheme.order`: what is here can be chosen."""


def _numpy(order: str) -> Literal["C", "F"]:
    return "F" if order == "F" else "C"


def _place(axes: tuple[Axis, ...], cell: int) -> str:
    return ", ".join(f"{axis.name} {cell // axis.stride % axis.size}" for axis in axes)


def _widened(classes: ArrayT, highest: int) -> ArrayT:
    """The same numbers as integers that hold sums up to `highest`."""
    wide = "int32" if highest < 2**31 else "int64"
    if isinstance(classes, np.ndarray):
        return classes.astype(wide)
    import torch

    return classes.to(getattr(torch, wide))
