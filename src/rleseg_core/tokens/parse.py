"""Sequences of tokens read as runs: strictly, leniently, or as the tokens come.

Tokens as `encode` gives them are read all at once. Whatever is not in that order is walked through
token by token (`walk`), which also serves models that are still writing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from rleseg_core.tokens.blocks import Blocks
from rleseg_core.tokens.events import BlockClosed, Event, RunPainted
from rleseg_core.tokens.flattening import Flattening
from rleseg_core.tokens.records import Runs
from rleseg_core.tokens.runs import RunKind
from rleseg_core.tokens.vocab import Vocabulary
from rleseg_core.tokens.walk import Walker


class Reading(NamedTuple):
    """The runs of a sequence, and the block of each."""

    runs: Runs[np.ndarray]
    block: np.ndarray
    """(R,) index of the block of each run, 0 without blocks."""
    labels: np.ndarray
    """(n_blocks,) class id of each block; none without blocks."""
    n_skipped: int


_NOTHING = np.empty(0, np.int64)
_LARGEST_TABLE = 2**20


@dataclass(frozen=True)
class Parser:
    """Reads token ids as runs.

    Parameters
    ----------
    vocab : Vocabulary
        The ids, and the K fields of a run.
    flattening : Flattening
        The plane, or the plane of each block, that runs lie in.
    kind : RunKind
        What the records of a plane are.
    blocks : Blocks or None
        Whether a mask is several planes.
    """

    vocab: Vocabulary
    flattening: Flattening
    kind: RunKind
    blocks: Blocks | None

    def read(self, tokens: np.ndarray, *, strict: bool) -> Reading:
        """The runs of tokens, (L,) or with a head for each field (K, L).

        Without `strict` whatever makes sense is kept. A run is any K tokens in a row that lie in
        the ranges of the K fields; with heads, K tokens of one step. It is cut where it would
        leave its line. What has no room is skipped: runs after a full tiling, changes that go
        back or lead out of the classes, classes that close no run, runs that no class closes.
        Padding at the end is not counted as skipped.

        Raises
        ------
        DataError
            If `strict`, and the tokens break a rule, see `Tokenizer.decode`; the message gives the
            position.
        """
        reading = self._regular(tokens, strict)
        if reading is not None:
            return reading
        runs: list[RunPainted] = []
        blocks: list[BlockClosed] = []
        n_skipped = 0
        steps = tokens.T.tolist() if self.vocab.per_field else tokens.tolist()
        for event in self.events(steps, strict=strict):
            if isinstance(event, RunPainted):
                runs.append(event)
            elif isinstance(event, BlockClosed):
                blocks.append(event)
            else:
                n_skipped = event.n_skipped
        if self.blocks is not None:
            runs = [run for block in blocks for run in block.runs]
        table = np.array([(run.start, run.length) for run in runs], np.int64).reshape(-1, 2)
        symbols = np.array([self._symbol_of(run) for run in runs], np.int64)
        sizes = [len(block.runs) for block in blocks]
        return Reading(
            Runs(table[:, 0], table[:, 1], symbols),
            np.repeat(np.arange(len(blocks)), sizes)
            if self.blocks is not None
            else np.zeros(len(runs), np.int64),
            np.array([block.label for block in blocks], np.int64),
            n_skipped,
        )

    def events(
        self, tokens: Iterable[int] | Iterable[Iterable[int]], *, strict: bool = False
    ) -> Iterator[Event]:
        """The runs of `read` one by one, each as soon as it is complete."""
        return self._walker.events(tokens, strict=strict)

    @cached_property
    def _walker(self) -> Walker:
        return Walker(self.vocab, self.flattening, self.kind, self.blocks)

    @cached_property
    def _n_ends(self) -> int:
        return len(self.vocab.prompts)

    @cached_property
    def _offsets(self) -> np.ndarray:
        return np.array(self.vocab.offsets)[:, None]

    @cached_property
    def _sizes(self) -> np.ndarray:
        return np.array([field.n_values for field in self.vocab.fields], np.uint64)[:, None]

    @cached_property
    def _reads(self) -> list[list[tuple[int, Callable[[np.ndarray], np.ndarray] | None]]]:
        """Of start, length and symbol: the fields that add to it, and how; None: their value."""
        reads: list[list[tuple[int, Callable[[np.ndarray], np.ndarray] | None]]] = [[], [], []]
        for k, field in enumerate(self.vocab.fields):
            values = np.arange(min(field.n_values, _LARGEST_TABLE))
            for part, amounts in enumerate(field.read(values)):
                if np.array_equal(amounts, values):
                    reads[part].append((k, None))
                elif field.n_values > _LARGEST_TABLE:
                    read = lambda v, f=field, p=part: f.read(v)[p]  # noqa: E731
                    reads[part].append((k, read))
                elif amounts.any():
                    reads[part].append((k, amounts.take))
        return reads

    @cached_property
    def _ids_are_plain(self) -> bool:
        """Whether an id alone tells the end and the classes that close blocks."""
        spans = [range(low, high) for low, high in self._walker.bounds]
        alone = [*self._walker.label_ids, self.vocab.eos, self.vocab.pad]
        return not any(token in span for token in alone for span in spans)

    def _regular(self, tokens: np.ndarray, strict: bool) -> Reading | None:
        """What `read` gives for tokens in the order of `encode`; None for all others."""
        if not self._ids_are_plain:
            return None
        n_fields = len(self.vocab.fields)
        flat = tokens.T.reshape(-1) if self.vocab.per_field else tokens
        ends = (flat == self.vocab.eos).nonzero()[0]
        if ends.size:
            n_body = int(ends[0])
            after = flat[n_body:]
            n_ends = self._n_ends
            if n_ends > 1 and np.count_nonzero(after[:n_ends] == self.vocab.eos) < n_ends:
                return None  # some heads go on
            if strict and (after[n_ends:] != self.vocab.pad).any():
                return None
        elif strict:
            return None
        else:
            written = (flat != self.vocab.pad).nonzero()[0]
            n_body = int(written[-1]) + 1 if written.size else 0
        body = flat[:n_body]
        block, labels = None, _NOTHING
        if self.blocks is not None:
            labels_range = self._walker.label_ids
            closes = (body >= labels_range.start) & (body < labels_range.stop)
            where = closes.nonzero()[0]
            n_before = where - np.arange(where.size)  # tokens of runs before each
            sizes, rest = np.divmod(np.diff(n_before, prepend=0), n_fields)
            if rest.any() or (sizes == 0).any() or (where.size and where[-1] != n_body - 1):
                return None
            if n_body and not where.size:
                return None
            labels = body[where].astype(np.int64) - (labels_range.start - 1)
            if strict and self.blocks.increasing and (np.diff(labels) <= 0).any():
                return None
            block = np.repeat(np.arange(sizes.size), sizes)
            body = body[~closes]
        if body.size % n_fields:
            return None
        values = body.reshape(-1, n_fields).T - self._offsets  # (K, R)
        if np.count_nonzero(values.view(np.uint64) >= self._sizes):  # negative ones too
            return None
        if block is None:
            block = np.zeros(values.shape[1], np.int64)
        runs = self.kind.resolve(self.sum_columns(values), block)
        if runs is None or (strict and self._overlap(runs, block)):
            return None
        return Reading(runs, block, labels, 0)

    def sum_columns(self, values: np.ndarray) -> Runs[np.ndarray]:
        """Runs of values (K, R); as adding up `Field.read`, but looked up."""
        columns = []
        for adds in self._reads:
            total = None
            for k, read in adds:
                amount = values[k] if read is None else read(values[k])
                total = amount if total is None else total + amount
            columns.append(np.zeros(values.shape[1], np.int64) if total is None else total)
        return Runs(*columns)

    def _overlap(self, runs: Runs[np.ndarray], block: np.ndarray) -> bool:
        if not self.kind.independent:
            return False
        start = runs.start + block * self.flattening.n_pixels
        end = start + runs.length
        if (start[1:] >= end[:-1]).all():
            return False
        order = start.argsort()
        return bool((start[order[1:]] < end[order[:-1]]).any())

    def _symbol_of(self, run: RunPainted) -> int:
        base = self.flattening.spec.n_classes + 1
        open_label = 1 if self.vocab.label is None else self.vocab.label.n_values + 1
        digits = [label // open_label for label in run.labels]
        return sum(digit * base**k for k, digit in enumerate(digits))
