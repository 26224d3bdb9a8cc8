"""The rules that a kind of run owns; the rest of the package never asks which kind it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, Protocol, Self

import numpy as np

from rleseg_core.spec import MaskSpec
from rleseg_core.tokens.blocks import FoundInBlocks, find_in_each
from rleseg_core.tokens.fields import CoordStart, Field, FlatStart
from rleseg_core.tokens.flattening import Flattening
from rleseg_core.tokens.records import Runs
from rleseg_core.tokens.scheme import Scheme

if TYPE_CHECKING:
    from torch import Tensor

    from rleseg_core.tokens.runs.spans_torch import Spans


class DecodedRun(NamedTuple):
    """One run of pixels, and the tokens that said so."""

    start: int
    length: int
    symbol: int
    tokens: tuple[int, ...]


class RunDecoder(Protocol):
    """Turns the records of one plane into runs of pixels, one record at a time."""

    def add(
        self, start: int, length: int, symbol: int, tokens: tuple[int, ...]
    ) -> tuple[list[DecodedRun], str | None, bool]:
        """The runs that are now complete, what is wrong with the record, and whether it counts."""

    def finish(self) -> list[DecodedRun]:
        """The runs that were waiting for another record."""


class Cursor(NamedTuple):
    """Where a plane goes on after some records."""

    position: int
    """First pixel that the next run may begin at."""
    symbol: int = 0
    """Symbol in front of it, for kinds whose records depend on that."""


@dataclass(frozen=True, kw_only=True)
class GrammarRules:
    """What a grammar needs to know of a kind of run.

    Parameters
    ----------
    from_cursor : bool
        Starts are counted from the end of the run before, not from the first pixel of the plane. A
        run without a start begins there.
    n_symbols : int or None
        The highest symbol, if a record says by how much the symbol changes.
    """

    from_cursor: bool = False
    n_symbols: int | None = None


@dataclass(frozen=True, kw_only=True)
class RunKind(ABC):
    """A kind of run: what is written of a plane of symbols, and how it is read back.

    Its *records* are `Runs` whose columns have a meaning of its own; its fields write them as
    tokens. `rleseg_core.tokens.runs.RUN_KINDS` names the kinds.

    Parameters
    ----------
    n_pixels : int
        Pixels of the plane.
    line : int
        Pixels after which runs are cut; it divides `n_pixels`.
    max_length : int
        M, pixels of the longest run.
    n_symbols : int
        The highest symbol.
    """

    n_pixels: int
    line: int
    max_length: int
    n_symbols: int

    independent: ClassVar[bool] = False
    """Whether each record says by itself which pixels it covers. Such runs may come in any order,
    be dropped by length and, in noisy tokens, overlap."""
    has_lengths: ClassVar[bool] = True
    """Whether `max_length` means anything."""
    read_off: ClassVar[Literal["foreground", "tiling", "change"] | None] = None
    """How a model can read off the image where such runs begin and end; None: it cannot."""

    @classmethod
    def on(cls, flattening: Flattening, line: int, max_length: int) -> Self:
        """The kind for the planes of a flattening."""
        return cls(
            n_pixels=flattening.n_pixels,
            line=line,
            max_length=max_length,
            n_symbols=flattening.n_symbols,
        )

    # which schemes, which tokens

    @classmethod
    @abstractmethod
    def check(cls, scheme: Scheme, spec: MaskSpec) -> None:
        """Raise `SchemeError` unless the start and the symbol of a scheme go with the kind."""

    @classmethod
    def for_classes(cls, scheme: Scheme, n_classes: int) -> Scheme:
        """The scheme that writes masks of that many classes in the same way."""
        return scheme

    @abstractmethod
    def fields(self, scheme: Scheme, flattening: Flattening) -> tuple[Field, ...]:
        """The K fields of a record in the order in which they are written."""

    @abstractmethod
    def rules(self) -> GrammarRules:
        """What the grammar needs to know."""

    def start_tokens(self, scheme: Scheme) -> Literal["flat", "coords", "implied"] | None:
        """How a model can tell from tokens at which pixel a run begins; None: it cannot."""
        return None

    # masks to records, on the host

    @abstractmethod
    def find(self, planes: np.ndarray) -> tuple[Runs[np.ndarray], np.ndarray]:
        """Records (R,) of planes (B, n_pixels) by plane and start, and the plane of each (R,)."""

    def find_in_blocks(
        self, ids: np.ndarray, classes: np.ndarray, flattening: Flattening
    ) -> FoundInBlocks:
        """Records of the blocks of masks (B, N, S, S); see `blocks.find_in_each`."""
        return find_in_each(ids, classes, flattening, self.find)

    def truncate(
        self, records: Runs[np.ndarray], block: np.ndarray, kept: np.ndarray
    ) -> tuple[Runs[np.ndarray], np.ndarray]:
        """The records that a budget has room for, changed where the dropped ones need that.

        Parameters
        ----------
        records : Runs of (R,) integers
            All records, by block and start.
        block : (R,) integer
            The block of each.
        kept : (R',) integer
            Indices of those that fit, in order.

        Returns
        -------
        Runs of (R'',) integers
            Records that say the runs that are kept.
        (R'',) integer
            Indices of them among all.
        """
        return Runs(*(column[kept] for column in records)), kept

    # masks to records, on a device

    @abstractmethod
    def find_batch(
        self, planes: Tensor, n_records: int, longest: bool = False
    ) -> tuple[Runs[Tensor], Tensor]:
        """The first records of each plane, padded, and how many there are.

        Parameters
        ----------
        planes : (B, n_pixels) integer tensor
            Symbols, 0 = background.
        n_records : int
            R, records to give for each plane; the rest are dropped as `truncate` does.
        longest : bool
            Give the longest runs instead, in order of their starts; only for independent kinds.

        Returns
        -------
        Runs of (B, R) int64 tensors
            Padding has length 0.
        (B,) int64 tensor
            Records of each plane, those dropped included.
        """

    @abstractmethod
    def find_batch_in_blocks(self, spans: Spans, n_records: int) -> tuple[Spans, Tensor]:
        """The first records of the blocks of masks as spans, before a budget is kept to.

        Parameters
        ----------
        spans : Spans of (B, W) tensors
            Ranges of foreground by block; see `spans_torch.find_spans`.
        n_records : int
            R; a kind may give more or fewer of them if it needs or knows that.

        Returns
        -------
        Spans of (B, R) tensors
            By block and start; padding has length 0.
        (B,) tensor
            Records of each mask, those dropped included.
        """

    def keep_in_blocks(self, spans: Spans, kept: Tensor) -> Runs[Tensor]:
        """Records of the spans of `find_batch_in_blocks` that are `kept`, (B, R) bool.

        Those dropped have length 0. Unless the kind is independent, `kept` are the first ones.
        """
        return Runs(spans.start, spans.length * kept, spans.symbol)

    # records to masks

    @abstractmethod
    def resolve(self, records: Runs[np.ndarray], plane: np.ndarray) -> Runs[np.ndarray] | None:
        """The runs of pixels of records (R,), or None unless all are as `find` gives them.

        `plane` (R,) is the plane of each record, sorted; what begins a plane counts from 0 again.
        """

    @abstractmethod
    def decoder(self) -> RunDecoder:
        """For the records of one plane, whatever comes."""

    # drafts

    def cursor(self, records: Runs[np.ndarray]) -> Cursor:
        """Where a plane goes on after records (R,), R > 0; at its end if they make no sense."""
        runs = self.resolve(records, np.zeros(records.start.size, np.int64))
        if runs is None:
            return Cursor(self.n_pixels)
        return Cursor(int(runs.start[-1] + runs.length[-1]))

    @abstractmethod
    def continued(
        self, guess: Runs[np.ndarray], cursor: Cursor, n_records: int
    ) -> Runs[np.ndarray]:
        """The next records, at least `n_records` if there are, of a plane as it may turn out.

        Parameters
        ----------
        guess : Runs of (R,) integers
            Runs of pixels of a plane that may be like it, by start.
        cursor : Cursor
            Where the plane goes on.
        n_records : int
            How many are wanted.
        """


def start_fields(scheme: Scheme, flattening: Flattening) -> tuple[Field, ...]:
    """The fields of a start that is counted from the first pixel of the plane."""
    if scheme.start == "flat":
        return (FlatStart(flattening),)
    if scheme.start == "coords":
        return tuple(CoordStart(axis) for axis in flattening.axes)
    return ()
