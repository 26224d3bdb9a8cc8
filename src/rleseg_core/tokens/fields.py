"""What one run writes: each field is one token of a run, as a value of a named range.

A value says how much it adds to the start, the length and the symbol of its run. So a run is read
by adding up its fields, and the grammar knows from the same numbers how far a token reaches.
Fields work on numpy arrays and torch tensors alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from rleseg_core.tokens.canvas import ArrayT, Volume
from rleseg_core.tokens.runs import Runs
from rleseg_core.tokens.scheme import Scheme


class Field(Protocol):
    """One token of a run."""

    @property
    def name(self) -> str:
        """What the token says."""

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
    """The start as one number, the cell in the flat plane (1D starts)."""

    canvas: Volume
    name: str = "start"
    segment: str = "start"
    remedy: str = "use start='coords' or a smaller mask"

    @property
    def n_values(self) -> int:
        """As many as cells."""
        return self.canvas.n_cells

    def write(self, runs: Runs[ArrayT]) -> ArrayT:
        """The starts as they are."""
        return runs.start

    def read(self, values: ArrayT) -> Runs[ArrayT]:
        """Starts."""
        nothing = values * 0
        return Runs(values, nothing, nothing)

    def text(self, value: int) -> str:
        """Such as "start 37 · row 1, col 5"."""
        return f"start {value} · {self.canvas.cell_text(value)}"


@dataclass(frozen=True)
class CoordStart:
    """The row or the column of the start (2D starts); both draw from one range."""

    canvas: Volume
    name: Literal["row", "col"]
    segment: str = "coord"
    remedy: str = "use a smaller mask"

    @property
    def _axis(self) -> int:
        return 1 if self.name == "row" else 2

    @property
    def n_values(self) -> int:
        """As many as rows or columns."""
        return self.canvas.spec.shape[self._axis]

    def write(self, runs: Runs[ArrayT]) -> ArrayT:
        """Rows or columns of the starts."""
        return runs.start // self.canvas.strides[self._axis] % self.n_values

    def read(self, values: ArrayT) -> Runs[ArrayT]:
        """Parts of starts."""
        nothing = values * 0
        return Runs(values * self.canvas.strides[self._axis], nothing, nothing)

    def text(self, value: int) -> str:
        """Such as "row or col 5": which one depends on the token before."""
        return f"row or col {value}"


@dataclass(frozen=True)
class Length:
    """The length, from 1 to M.

    With one class a length says the symbol as well: it is always `symbol`, 1. Otherwise that is 0
    and another field says it.
    """

    max_length: int
    symbol: Literal[0, 1] = 0
    name: str = "length"
    segment: str = "length"
    remedy: str = "use a smaller max_length"

    @property
    def n_values(self) -> int:
        """M."""
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
    """The class, as a token of its own."""

    canvas: Volume
    name: str = "class"
    segment: str = "class"
    remedy: str = "use fewer classes"

    @property
    def n_values(self) -> int:
        """As many as symbols besides the background."""
        return self.canvas.n_symbols

    def write(self, runs: Runs[ArrayT]) -> ArrayT:
        """Symbols from 0."""
        return runs.symbol - 1

    def read(self, values: ArrayT) -> Runs[ArrayT]:
        """Symbols."""
        nothing = values * 0
        return Runs(nothing, nothing, values + 1)

    def text(self, value: int) -> str:
        """Such as "class ipsc"."""
        return f"class {self.canvas.symbol_text(value + 1)}"


@dataclass(frozen=True)
class LengthSymbol:
    """Length and class as one token, the lengths of the first class first (LAC, Sec. III-C)."""

    canvas: Volume
    max_length: int
    name: str = "length and class"
    segment: str = "lac"
    remedy: str = "use symbol='token' or a smaller max_length"

    @property
    def n_values(self) -> int:
        """M for each symbol besides the background."""
        return self.max_length * self.canvas.n_symbols

    def write(self, runs: Runs[ArrayT]) -> ArrayT:
        """M·(symbol - 1) + length - 1."""
        return (runs.symbol - 1) * self.max_length + runs.length - 1

    def read(self, values: ArrayT) -> Runs[ArrayT]:
        """Lengths and symbols."""
        return Runs(values * 0, values % self.max_length + 1, values // self.max_length + 1)

    def text(self, value: int) -> str:
        """Such as "length 4 · ipsc"."""
        symbol, length = divmod(value, self.max_length)
        return f"length {length + 1} · {self.canvas.symbol_text(symbol + 1)}"


def fields_of(scheme: Scheme, canvas: Volume, max_length: int) -> tuple[Field, ...]:
    """The K fields of a run in the order they are written."""
    start: tuple[Field, ...] = (
        (FlatStart(canvas),)
        if scheme.start == "flat"
        else (CoordStart(canvas, "row"), CoordStart(canvas, "col"))
    )
    if scheme.symbol == "length":
        return (*start, LengthSymbol(canvas, max_length))
    if scheme.symbol == "token":
        return (*start, Length(max_length), Symbol(canvas))
    return (*start, Length(max_length, symbol=1))
