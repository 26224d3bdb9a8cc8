"""The tokens of one run: each field is one of them, a value of a named range.

A value says how much it adds to the start, the length and the symbol of its run. So a run is read
by adding up its fields, and the grammar knows from the same numbers how far a token reaches.
Fields work on numpy arrays and torch tensors alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from rleseg_core.tokens.flattening import Axis, Flattening
from rleseg_core.tokens.records import ArrayT, Runs


class Field(Protocol):
    """One token of a run."""

    @property
    def name(self) -> str:
        """What the token stands for."""

    @property
    def segment(self) -> str:
        """Range of the vocabulary it comes from; fields may share one."""

    @property
    def n_values(self) -> int:
        """Values 0 ... n_values - 1 are legal."""

    @property
    def remedy(self) -> str:
        """What to change when there are too many values."""

    def write(self, runs: Runs[ArrayT]) -> ArrayT:
        """Value for each run."""

    def read(self, values: ArrayT) -> Runs[ArrayT]:
        """What each value adds to the start, length and symbol of its run."""

    def text(self, value: int) -> str:
        """A value in words."""


@dataclass(frozen=True)
class FlatStart:
    """The start as one number, its position in the flat plane (1D starts)."""

    flattening: Flattening
    name: str = "start"
    segment: str = "start"
    remedy: str = "use start='coords' or a smaller mask"

    @property
    def n_values(self) -> int:
        """As many as pixels of the plane."""
        return self.flattening.n_pixels

    def write(self, runs: Runs[ArrayT]) -> ArrayT:
        """The starts as they are."""
        return runs.start

    def read(self, values: ArrayT) -> Runs[ArrayT]:
        """The values, as starts."""
        nothing = values * 0
        return Runs(values, nothing, nothing)

    def text(self, value: int) -> str:
        """Such as "start 37 · row 1, col 5"."""
        return f"start {value} · {self.flattening.position_text(value)}"


@dataclass(frozen=True)
class CoordStart:
    """The row, the column or the frame of the start (2D starts).

    Rows and columns draw from one range.
    """

    axis: Axis
    remedy: str = "use a smaller mask"

    @property
    def name(self) -> str:
        """What the axis is: frame, row or col."""
        return self.axis.name

    @property
    def segment(self) -> str:
        """One range, coord, for rows and columns, and one for frames."""
        return "frame" if self.axis.name == "frame" else "coord"

    @property
    def n_values(self) -> int:
        """As many as rows, columns or frames."""
        return self.axis.size

    def write(self, runs: Runs[ArrayT]) -> ArrayT:
        """Rows, columns or frames of the starts."""
        return runs.start // self.axis.stride % self.axis.size

    def read(self, values: ArrayT) -> Runs[ArrayT]:
        """What the rows, columns or frames add to starts."""
        nothing = values * 0
        return Runs(values * self.axis.stride, nothing, nothing)

    def text(self, value: int) -> str:
        """Such as "row 5"."""
        return f"{self.axis.name} {value}"


@dataclass(frozen=True)
class Length:
    """The length, from 1 to M.

    Where there is only one symbol, a length stands for that as well, and `symbol` is 1. Otherwise
    it is 0, and another field gives the symbol.
    """

    max_length: int
    symbol: Literal[0, 1] = 0
    name: str = "length"
    segment: str = "length"
    remedy: str = "use a smaller max_length"

    @property
    def n_values(self) -> int:
        """M, the longest length."""
        return self.max_length

    def write(self, runs: Runs[ArrayT]) -> ArrayT:
        """Lengths from 0."""
        return runs.length - 1

    def read(self, values: ArrayT) -> Runs[ArrayT]:
        """Lengths, and the symbol if there is only one."""
        nothing = values * 0
        return Runs(nothing, values + 1, nothing + self.symbol)

    def text(self, value: int) -> str:
        """Such as "length 4"."""
        return f"length {value + 1}"


@dataclass(frozen=True)
class Symbol:
    """The class, or the classes over time (TAC), as a token of its own.

    `first` is the lowest symbol there is: 0 where runs of background are written, 1 elsewhere.
    """

    flattening: Flattening
    first: Literal[0, 1] = 1
    remedy: str = "use fewer classes or frames"

    @property
    def name(self) -> str:
        """One of class, tac and, within blocks, object."""
        return self.flattening.symbol_name

    @property
    def segment(self) -> str:
        """The name, as no other field has the range."""
        return self.flattening.symbol_name

    @property
    def n_values(self) -> int:
        """As many as symbols, the background among them if it is written."""
        return self.flattening.n_symbols + 1 - self.first

    def write(self, runs: Runs[ArrayT]) -> ArrayT:
        """Symbols from 0."""
        return runs.symbol - self.first

    def read(self, values: ArrayT) -> Runs[ArrayT]:
        """The values as symbols, the first one being `first`."""
        nothing = values * 0
        return Runs(nothing, nothing, values + self.first)

    def text(self, value: int) -> str:
        """Such as "class ipsc"."""
        return f"{self.name} {self.flattening.symbol_text(value + self.first)}"


@dataclass(frozen=True)
class LengthSymbol:
    """Length and class as one token, the lengths of the first class first (LAC, LTAC; Sec. III-C).

    `first` is the lowest symbol there is: 0 where runs of background are written, 1 elsewhere.
    """

    flattening: Flattening
    max_length: int
    first: Literal[0, 1] = 1
    remedy: str = "use symbol='token' or a smaller max_length"

    @property
    def name(self) -> str:
        """Such as "length and class"."""
        return f"length and {self.flattening.symbol_name}"

    @property
    def segment(self) -> str:
        """One of lac, ltac and, within blocks, length and object."""
        names = {"class": "lac", "tac": "ltac"}
        return names.get(self.flattening.symbol_name, self.name)

    @property
    def n_values(self) -> int:
        """M times the number of symbols."""
        return self.max_length * (self.flattening.n_symbols + 1 - self.first)

    def write(self, runs: Runs[ArrayT]) -> ArrayT:
        """M·(symbol - first) + length - 1."""
        return runs.symbol * self.max_length + (runs.length - (self.first * self.max_length + 1))

    def read(self, values: ArrayT) -> Runs[ArrayT]:
        """Lengths and symbols of the values."""
        symbol = values // self.max_length
        length = values - symbol * self.max_length + 1
        return Runs(values * 0, length, symbol + self.first)

    def text(self, value: int) -> str:
        """Such as "length 4 · ipsc"."""
        symbol, length = divmod(value, self.max_length)
        return f"length {length + 1} · {self.flattening.symbol_text(symbol + self.first)}"


@dataclass(frozen=True)
class Delta:
    """By how much the symbol changes: first the increases, the largest first, then the decreases.

    The authors' order of ids. Its length is 1, the pixel of the change.
    """

    flattening: Flattening
    name: str = "change"
    segment: str = "change"
    remedy: str = "use fewer classes or frames"

    @property
    def n_values(self) -> int:
        """As many as increases and decreases."""
        return 2 * self.flattening.n_symbols

    def write(self, runs: Runs[ArrayT]) -> ArrayT:
        """Increases by C ... 1 are 0 ... C - 1, decreases by 1 ... C are C ... 2C - 1."""
        delta = runs.symbol
        return self.flattening.n_symbols - delta - (delta < 0) * 1

    def read(self, values: ArrayT) -> Runs[ArrayT]:
        """The values as differences of the symbol."""
        n_symbols = self.flattening.n_symbols
        delta = n_symbols - values - (values >= n_symbols) * 1
        nothing = values * 0
        return Runs(nothing, nothing + 1, delta)

    def text(self, value: int) -> str:
        """Such as "change +2"."""
        n_symbols = self.flattening.n_symbols
        return f"change {n_symbols - value - (value >= n_symbols):+d}"


@dataclass(frozen=True)
class BlockLabel:
    """The class of a block, the token that closes it (CW, IW)."""

    class_names: tuple[str, ...]
    name: str = "class"
    segment: str = "class"
    remedy: str = "use fewer classes"

    @property
    def n_values(self) -> int:
        """C, the number of classes."""
        return len(self.class_names)

    def write(self, runs: Runs[ArrayT]) -> ArrayT:
        """Class ids, as symbols of runs, from 0."""
        return runs.symbol - 1

    def read(self, values: ArrayT) -> Runs[ArrayT]:
        """Class ids as symbols."""
        nothing = values * 0
        return Runs(nothing, nothing, values + 1)

    def text(self, value: int) -> str:
        """Such as "class ipsc"."""
        return f"class {self.class_names[value]}"
