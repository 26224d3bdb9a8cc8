"""Tokens read one by one: noisy sequences, and those that a model is still writing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from rleseg_core.errors import DataError
from rleseg_core.tokens.blocks import Blocks
from rleseg_core.tokens.events import BlockClosed, Event, MaskEnded, RunPainted
from rleseg_core.tokens.flattening import Flattening
from rleseg_core.tokens.runs import DecodedRun, RunKind
from rleseg_core.tokens.vocab import Vocabulary


class _Item(NamedTuple):
    """A run, a class that closes a block, or the end (with or without an eos)."""

    what: str
    tokens: tuple[int, ...]
    at: int


@dataclass(frozen=True)
class Walker:
    """Turns tokens into events, each as soon as it is complete.

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

    def events(
        self, tokens: Iterable[int] | Iterable[Iterable[int]], *, strict: bool = False
    ) -> Iterator[Event]:
        """The runs and blocks that tokens say, then the end; see `Parser.read` for the rules.

        Raises
        ------
        DataError
            If `strict`, and the tokens break a rule; the message gives the position.
        """
        painting = _Painting(self, strict)
        for item in self._items(tokens, strict):
            if item.what == "run":
                yield from painting.add(item)
                continue
            yield from painting.finish()
            if item.what == "class":
                yield from painting.close(item)
            else:
                yield painting.end(item)

    @cached_property
    def bounds(self) -> list[tuple[int, int]]:
        """First id of each field, and the one after its last."""
        return [
            (offset, offset + field.n_values)
            for field, offset in zip(self.vocab.fields, self.vocab.offsets, strict=True)
        ]

    @cached_property
    def label_ids(self) -> range:
        """Ids of the classes that close blocks."""
        label = self.vocab.label
        first = self.vocab.label_offset
        return range(first, first + label.n_values) if label is not None else range(0)

    def _items(
        self, tokens: Iterable[int] | Iterable[Iterable[int]], strict: bool
    ) -> Iterator[_Item]:
        if self.vocab.per_field:
            return self._steps(tokens, strict)  # type: ignore[arg-type]
        return self._sequence(tokens, strict)  # type: ignore[arg-type]

    def _sequence(self, tokens: Iterable[int], strict: bool) -> Iterator[_Item]:
        bounds, labels, eos, pad = self.bounds, self.label_ids, self.vocab.eos, self.vocab.pad
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
        bounds, eos, pad = self.bounds, self.vocab.eos, self.vocab.pad
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
            low <= token < high for token, (low, high) in zip(tokens, self.bounds, strict=False)
        )

    def _check_padding(self, rest: Iterable[int], at: int) -> None:
        for more, token in enumerate(rest):
            if int(token) != self.vocab.pad:
                raise self.wrong(int(token), at + more, "pad")

    def _unexpected(self, token: int | None, at: int, field: int, n_unclosed: int) -> DataError:
        expected = self.vocab.fields[field].name
        if field == 0:
            expected += " or class" if n_unclosed else " or eos"
        if token is None:
            return DataError(f"the tokens stop at position {at}, expected {expected}")
        return self.wrong(token, at, expected)

    def wrong(self, token: int, at: int, expected: str) -> DataError:
        """The error that says what a token is and what it should have been."""
        found = "outside the vocabulary"
        if any(segment.offset <= token < segment.end for segment in self.vocab.segments):
            found = self.vocab.text(token)
        return DataError(f"token {token} at position {at} is {found}, expected {expected}")


class _Painting:
    """The runs and blocks of a sequence so far."""

    def __init__(self, walker: Walker, strict: bool) -> None:
        self._walker, self._strict = walker, strict
        self._decoder = walker.kind.decoder()
        self._pending: list[RunPainted] = []  # of the plane that is being painted
        self._said_at: dict[tuple[int, ...], int] = {}  # positions of the runs, by their tokens
        self._n_painted = self._n_runs = self._n_blocks = self._last_label = 0

    def add(self, item: _Item) -> list[RunPainted]:
        """The runs that are complete with the tokens of one more."""
        finished, wrong, counts = self._decoder.add(*self._sum(item.tokens), item.tokens)
        if self._strict:
            if wrong:
                raise DataError(f"the run at position {item.at} {wrong}")
            self._said_at[item.tokens] = item.at
        self._n_runs += counts
        return self._painted(finished)

    def finish(self) -> list[RunPainted]:
        """The runs that are complete because the plane is."""
        painted = self._painted(self._decoder.finish())
        if self._strict and self._walker.kind.independent:
            self._check_overlap()
        return painted

    def close(self, item: _Item) -> Iterator[BlockClosed]:
        """The block that a class closes, if there is one."""
        walker, runs = self._walker, self._pending
        label = item.tokens[0] - walker.vocab.label_offset + 1
        if self._strict and (not runs or label <= self._last_label):
            expected = "a higher class than that of the block before"
            if not runs:
                expected = f"{walker.vocab.fields[0].name}, the block has no runs"
            raise walker.wrong(item.tokens[0], item.at, expected)
        if runs:
            yield BlockClosed(self._n_blocks, label, tuple(runs), item.tokens)
            self._n_blocks += 1
            if walker.blocks is not None and walker.blocks.increasing:
                self._last_label = label
        self._pending, self._decoder = [], walker.kind.decoder()

    def end(self, item: _Item) -> MaskEnded:
        """What there was in all."""
        vocab = self._walker.vocab
        n_ends = item.tokens.count(vocab.eos) if item.what == "eos" else 0
        dropped = tuple(self._pending) if self._walker.blocks is not None else ()
        n_runs = self._n_runs - len(dropped)
        return MaskEnded(
            n_runs=n_runs,
            n_tokens=item.at + n_ends,
            n_skipped=item.at - n_runs * len(vocab.fields) - self._n_blocks,
            dropped=dropped,
        )

    def _sum(self, tokens: tuple[int, ...]) -> tuple[int, int, int]:
        """Start, length and symbol of a record, added up from its fields."""
        walker = self._walker
        start = length = symbol = 0
        for field, token, (low, _) in zip(walker.vocab.fields, tokens, walker.bounds, strict=True):
            amounts = field.read(np.int64(token - low))  # type: ignore[type-var]
            start += int(amounts[0])
            length += int(amounts[1])
            symbol += int(amounts[2])
        return start, length, symbol

    def _painted(self, finished: list[DecodedRun]) -> list[RunPainted]:
        events = []
        for start, length, symbol, said in finished:
            events.append(RunPainted(self._n_painted, start, length, self._labels(symbol), said))
            self._n_painted += 1
        if self._strict or self._walker.blocks is not None:
            self._pending.extend(events)
        return events

    def _labels(self, symbol: int) -> tuple[int, ...]:
        walker = self._walker
        labels = walker.flattening.labels_of(symbol)
        if walker.vocab.label is None:
            return labels
        return tuple(label * (walker.vocab.label.n_values + 1) for label in labels)

    def _check_overlap(self) -> None:
        order = sorted(self._pending, key=lambda run: run.start)
        for first, second in pairwise(order):
            end = first.start + first.length
            if second.start < end:
                raise DataError(
                    f"the run at position {self._said_at[second.tokens]} starts at "
                    f"{second.start}, expected {end} or later, where another run ends"
                )
