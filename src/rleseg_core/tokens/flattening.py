"""How the frames of a mask become one flat plane of symbols, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, Self

import numpy as np

from rleseg_core.spec import MaskSpec
from rleseg_core.tokens.records import ArrayT


class Axis(NamedTuple):
    """One coordinate of a mask pixel."""

    name: Literal["frame", "row", "col"]
    size: int
    stride: int
    """Positions in the plane from one index to the next."""


@dataclass(frozen=True)
class Volume:
    """Each pixel of each frame has a position in the plane; its symbol is its class.

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

    @classmethod
    def of_block(cls, spec: MaskSpec, order: str) -> Self:
        """The flattening of one block of a mask, in which there is only "object or not"."""
        return cls(_of_objects(spec), order, "object")

    @property
    def n_pixels(self) -> int:
        """Pixels of the plane."""
        return self.spec.n_frames * self.spec.n_pixels

    @property
    def n_layers(self) -> int:
        """Mask pixels behind each position of the plane."""
        return 1

    @property
    def n_symbols(self) -> int:
        """Symbols besides 0, the background."""
        return self.spec.n_classes

    @property
    def line(self) -> int:
        """Pixels of a row (C), or of a column of all frames (F): the paper's longest run."""
        n_frames, n_rows, n_cols = self.spec.shape
        return n_cols if self.order != "F" else n_frames * n_rows

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The coordinates of a pixel; without the frame where there is only one."""
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
        return classes.reshape(*classes.shape[:-3], self.n_pixels)

    def layers(self, ids: ArrayT) -> ArrayT:
        """The mask pixels behind each position, (..., 1, N·S·S) of (..., N, S, S): one."""
        return self.flatten(ids)[..., None, :]

    def from_layers(self, layers: list[np.ndarray]) -> np.ndarray:
        """Masks (N, S, S), C-contiguous, of one layer (N·S·S,)."""
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
        self, positions: np.ndarray, labels: tuple[int, ...]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Frames, rows, columns and labels, each (n,) integer, of n positions of one symbol."""
        return *self.coordinates(positions), np.full(positions.shape, labels[0])

    def coordinates(
        self, positions: np.ndarray, layer: int = 0
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Frames, rows and columns (n,) of positions (n,), which have one layer."""
        frames, rows, cols = np.unravel_index(positions, self.spec.shape, order=_numpy(self.order))
        return frames, rows, cols

    def symbol_text(self, symbol: int) -> str:
        """The name of a symbol from 0 to `n_symbols`."""
        return self.spec.class_names[symbol - 1] if symbol else "background"

    def position_text(self, position: int) -> str:
        """Where a position is, in words, such as "row 1, col 5"."""
        return _coordinates_text(self.axes, position)


@dataclass(frozen=True)
class TimeClass:
    """All frames share one plane; a symbol says the classes of a pixel over time (TAC).

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

    @classmethod
    def of_block(cls, spec: MaskSpec, order: str) -> Self:
        """The flattening of one block of a mask, in which there is only "object or not"."""
        return cls(_of_objects(spec), order)

    @property
    def n_pixels(self) -> int:
        """Pixels of the plane."""
        return self.spec.n_pixels

    @property
    def n_layers(self) -> int:
        """Mask pixels behind each position of the plane, one in each frame."""
        return self.spec.n_frames

    @property
    def n_symbols(self) -> int:
        """Symbols besides 0, background in all frames: (C + 1)^N - 1."""
        return int((self.spec.n_classes + 1) ** self.spec.n_frames - 1)

    @property
    def line(self) -> int:
        """Pixels of a row (C) or of a column (F): the paper's longest run."""
        return self.spec.size[1] if self.order != "F" else self.spec.size[0]

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The row and the column of a pixel."""
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
        return symbols.reshape(*symbols.shape[:-2], self.n_pixels)

    def layers(self, ids: ArrayT) -> ArrayT:
        """The mask pixels behind each position, (..., N, S·S): one in each frame."""
        if self.order == "F":
            ids = ids.swapaxes(-1, -2)
        return ids.reshape(*ids.shape[:-2], self.n_pixels)

    def from_layers(self, layers: list[np.ndarray]) -> np.ndarray:
        """Masks (N, S, S), C-contiguous, of N layers (S·S,)."""
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
        self, positions: np.ndarray, labels: tuple[int, ...]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Frames, rows, columns and labels, each (N·n,) integer, of n positions of one symbol."""
        layers = [self.coordinates(positions, frame) for frame in range(self.spec.n_frames)]
        frames, rows, cols = (np.concatenate(axis) for axis in zip(*layers, strict=True))
        return frames, rows, cols, np.repeat(np.array(labels), positions.size)

    def coordinates(
        self, positions: np.ndarray, layer: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Frames, rows and columns (n,) of positions (n,) in one frame, the layer."""
        rows, cols = np.unravel_index(positions, self.spec.size, order=_numpy(self.order))
        return np.full(positions.shape, layer), rows, cols

    def symbol_text(self, symbol: int) -> str:
        """The classes that a symbol says, the first frame first, such as "ipsc-background"."""
        names = ("background", *self.spec.class_names)
        return "-".join(names[label] for label in self.labels_of(symbol))

    def position_text(self, position: int) -> str:
        """Where a position is, in words, such as "row 1, col 5"."""
        return _coordinates_text(self.axes, position)


Flattening = Volume | TimeClass

FLATTENINGS: dict[tuple[str, str], type[Flattening]] = {
    ("volume", "C"): Volume,
    ("volume", "F"): Volume,
    ("class", "C"): TimeClass,
    ("class", "F"): TimeClass,
}
"""The flattening of each `Scheme.time` and `Scheme.order`: what is here can be chosen."""


def _of_objects(spec: MaskSpec) -> MaskSpec:
    return MaskSpec(size=spec.size, class_names=("object",), n_frames=spec.n_frames)


def _numpy(order: str) -> Literal["C", "F"]:
    return "F" if order == "F" else "C"


def _coordinates_text(axes: tuple[Axis, ...], position: int) -> str:
    return ", ".join(f"{axis.name} {position // axis.stride % axis.size}" for axis in axes)


def _widened(classes: ArrayT, highest: int) -> ArrayT:
    """The same numbers as integers that hold sums up to `highest`."""
    wide = "int32" if highest < 2**31 else "int64"
    if isinstance(classes, np.ndarray):
        return classes.astype(wide)
    import torch

    return classes.to(getattr(torch, wide))
