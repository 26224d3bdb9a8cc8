"""The runs that a sequence of tokens says: strictly, leniently, or as the tokens come.

Tokens as `encode` gives them are read all at once (`regular`). Whatever is not in that order is
walked through token by token (`events`), which also serves models that are still writing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from rleseg_core.errors import DataError
from rleseg_core.tokens.blocks import Blocks
from rleseg_core.tokens.canvas import Canvas
from rleseg_core.tokens.events import BlockClosed, Event, MaskEnded, RunPainted
from rleseg_core.tokens.runs import Foreground, Painted, RunKind, Runs
from rleseg_core.tokens.vocab import Vocabulary


class Reading(NamedTuple):
    """The runs of a sequence, and the block of each."""

    runs: Runs[np.ndarray]
    block: np.ndarray
    """(R,) index of the block of each run, 0 without blocks."""
    labels: np.ndarray
    """(n_blocks,) class id of each block; none without blocks."""
    n_skipped: int


class _Item(NamedTuple):
    """A run, a class that closes a block, or the end (with or without an eos)."""

    what: str
    tokens: tuple[int, ...]
    at: int


_NOTHING = np.empty(0, np.int64)
_LARGEST_TABLE = 2**20


@dataclass(frozen=True)
class Parser:
    """Reads token ids as runs.

    Parameters
    ----------
    vocab : Vocabulary
        The ids, and the K fields of a run.
    canvas : Canvas
        The plane, or the plane of each block, that runs lie in.
    kind : RunKind
        What the records of a plane are.
    blocks : Blocks or None
        Whether a mask is several planes.
    """

    vocab: Vocabulary
    canvas: Canvas
    kind: RunKind
    blocks: Blocks | None

    def read(self, tokens: np.ndarray, *, strict: bool) -> Reading:
        """The runs of tokens, (L,) or with a head for each field (K, L).

        Without `strict` whatever makes sense is kept. A run is any K tokens in a row that lie in
        the ranges of the K fields; with heads, K tokens of one step. It is cut where it would
        leave its line. What has no place is skipped: runs after a full tiling, changes that go
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
        n_fields = len(self.vocab.fields)
        painter = self.kind.painter()
        pending: list[RunPainted] = []  # of the plane that is being painted
        places: dict[tuple[int, ...], int] = {}
        n_painted = n_runs = n_blocks = last_label = 0

        def painted(finished: list[Painted]) -> list[RunPainted]:
            nonlocal n_painted
            events = []
            for start, length, symbol, said in finished:
                labels = self._labels(symbol)
                events.append(RunPainted(n_painted, start, length, labels, said))
                n_painted += 1
            if strict or self.blocks is not None:
                pending.extend(events)
            return events

        for item in self._items(tokens, strict):
            if item.what == "run":
                values = [self._value(k, token) for k, token in enumerate(item.tokens)]
                finished, wrong, counts = painter.add(*self._sum(values), item.tokens)
                if wrong and strict:
                    raise DataError(f"the run at position {item.at} {wrong}")
                if strict:
                    places[item.tokens] = item.at
                n_runs += counts
                yield from painted(finished)
                continue
            yield from painted(painter.finish())
            if strict:
                self._check_overlap(pending, places)
            if item.what == "class":
                label = item.tokens[0] - self.vocab.label_offset + 1
                if strict and (not pending or label <= last_label):
                    raise self._misplaced(item, label, bool(pending))
                if pending:
                    yield BlockClosed(n_blocks, label, tuple(pending), item.tokens)
                    n_blocks += 1
                    if self.blocks is not None and self.blocks.increasing:
                        last_label = label
                pending, painter = [], self.kind.painter()
                continue
            n_ends = item.tokens.count(self.vocab.eos) if item.what == "eos" else 0
            dropped = tuple(pending) if self.blocks is not None else ()
            n_runs -= len(dropped)
            yield MaskEnded(
                n_runs=n_runs,
                n_tokens=item.at + n_ends,
                n_skipped=item.at - n_runs * n_fields - n_blocks,
                dropped=dropped,
            )

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
    def _bounds(self) -> list[tuple[int, int]]:
        """First id of each field, and the one after its last."""
        return [
            (offset, offset + field.n_values)
            for field, offset in zip(self.vocab.fields, self.vocab.offsets, strict=True)
        ]

    @cached_property
    def _labels_range(self) -> range:
        label = self.vocab.label
        first = self.vocab.label_offset
        return range(first, first + label.n_values) if label is not None else range(0)

    @cached_property
    def _ids_are_plain(self) -> bool:
        """Whether an id alone tells the end and the classes that close blocks."""
        spans = [range(low, high) for low, high in self._bounds]
        alone = [*self._labels_range, self.vocab.eos, self.vocab.pad]
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
            labels_range = self._labels_range
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
        runs = self.kind.settle(self.sum_columns(values), block)
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
        if not isinstance(self.kind, Foreground):
            return False
        start = runs.start + block * self.canvas.n_cells
        end = start + runs.length
        if (start[1:] >= end[:-1]).all():
            return False
        order = start.argsort()
        return bool((start[order[1:]] < end[order[:-1]]).any())

    def _items(
        self, tokens: Iterable[int] | Iterable[Iterable[int]], strict: bool
    ) -> Iterator[_Item]:
        if self.vocab.per_field:
            return self._steps(tokens, strict)  # type: ignore[arg-type]
        return self._sequence(tokens, strict)  # type: ignore[arg-type]

    def _sequence(self, tokens: Iterable[int], strict: bool) -> Iterator[_Item]:
        bounds, labels, eos, pad = self._bounds, self._labels_range, self.vocab.eos, self.vocab.pad
        n_fields = len(bounds)
        prefix: list[int] = []
        n_padding, at = 0, -1
        stream = iter(tokens)
        n_unclosed = 0
        for at, token in enumerate(stream):
            token = int(token)
            n_padding = n_padding + 1 if token == pad else 0
            low, high = bounds[len(prefix)]
            if low <= token < high:
                prefix.append(token)
            elif token == eos and not (strict and (prefix or n_unclosed)):
                if strict:
                    self._check_padding(stream, at + 1)
                yield _Item("eos", (token,), at)
                return
            elif strict and (prefix or token not in labels):
                raise self._unexpected(token, at, len(prefix), n_unclosed)
            elif token in labels:
                prefix.clear()
                n_unclosed = 0
                yield _Item("class", (token,), at)
            else:
                prefix.append(token)
                while not self._begins_run(prefix):
                    del prefix[0]
            if len(prefix) == n_fields:
                n_unclosed += self.blocks is not None
                yield _Item("run", tuple(prefix), at + 1 - n_fields)
                prefix.clear()
        if strict:
            raise self._unexpected(None, at + 1, len(prefix), n_unclosed)
        yield _Item("tokens", (), at + 1 - n_padding)

    def _steps(self, steps: Iterable[Iterable[int]], strict: bool) -> Iterator[_Item]:
        bounds, eos, pad = self._bounds, self.vocab.eos, self.vocab.pad
        n_fields = len(bounds)
        n_padding = at = 0
        stream = iter(steps)
        for step in stream:
            said = tuple(map(int, step))
            if len(said) != n_fields:
                raise DataError(f"a step has {len(said)} tokens, expected one of {n_fields} heads")
            wrong = [k for k, (low, high) in enumerate(bounds) if not low <= said[k] < high]
            if not wrong:
                yield _Item("run", said, at)
            elif eos in said and not (strict and said != (eos,) * n_fields):
                if strict:
                    self._check_padding((t for rest in stream for t in rest), at + n_fields)
                yield _Item("eos", said, at + n_fields - said.count(eos))
                return
            elif strict:
                raise self._unexpected(said[wrong[0]], at + wrong[0], wrong[0], 0)
            n_padding = n_padding + n_fields if said == (pad,) * n_fields else 0
            at += n_fields
        if strict:
            raise self._unexpected(None, at, 0, 0)
        yield _Item("tokens", (), at - n_padding)

    def _begins_run(self, tokens: list[int]) -> bool:
        return all(
            low <= token < high for token, (low, high) in zip(tokens, self._bounds, strict=False)
        )

    def _value(self, field: int, token: int) -> int:
        return token - self._bounds[field][0]

    def _sum(self, values: list[int]) -> tuple[int, int, int]:
        start = length = symbol = 0
        for field, value in zip(self.vocab.fields, values, strict=True):
            amounts = field.read(np.int64(value))  # type: ignore[type-var]
            start += int(amounts[0])
            length += int(amounts[1])
            symbol += int(amounts[2])
        return start, length, symbol

    def _labels(self, symbol: int) -> tuple[int, ...]:
        labels = self.canvas.labels_of(symbol)
        if self.vocab.label is None:
            return labels
        return tuple(label * (self.vocab.label.n_values + 1) for label in labels)

    def _symbol_of(self, run: RunPainted) -> int:
        base = self.canvas.spec.n_classes + 1
        open_label = 1 if self.vocab.label is None else self.vocab.label.n_values + 1
        digits = [label // open_label for label in run.labels]
        return sum(digit * base**k for k, digit in enumerate(digits))

    def _check_padding(self, rest: Iterable[int], at: int) -> None:
        for more, token in enumerate(rest):
            if int(token) != self.vocab.pad:
                raise self._wrong(int(token), at + more, "pad")

    def _check_overlap(self, runs: list[RunPainted], places: dict[tuple[int, ...], int]) -> None:
        if not isinstance(self.kind, Foreground):
            return
        order = sorted(runs, key=lambda run: run.start)
        for first, second in pairwise(order):
            end = first.start + first.length
            if second.start < end:
                raise DataError(
                    f"the run at position {places[second.tokens]} starts at {second.start}, "
                    f"expected {end} or later, where another run ends"
                )

    def _misplaced(self, item: _Item, label: int, has_runs: bool) -> DataError:
        if has_runs:
            expected = "a higher class than that of the block before"
        else:
            expected = f"{self.vocab.fields[0].name}, the block has no runs"
        return self._wrong(item.tokens[0], item.at, expected)

    def _unexpected(self, token: int | None, at: int, field: int, n_unclosed: int) -> DataError:
        expected = self.vocab.fields[field].name
        if field == 0:
            expected += " or class" if n_unclosed else " or eos"
        if token is None:
            return DataError(f"the tokens stop at position {at}, expected {expected}")
        return self._wrong(token, at, expected)

    def _wrong(self, token: int, at: int, expected: str) -> DataError:
        found = "outside the vocabulary"
        if any(segment.offset <= token < segment.end for segment in self.vocab.segments):
            found = self.vocab.text(token)
        return DataError(f"token {token} at position {at} is {found}, expected {expected}")
