"""The runs that a sequence of tokens says: strictly, leniently, or as the tokens come."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from rleseg_core.errors import DataError
from rleseg_core.tokens.events import Event, MaskEnded, RunPainted
from rleseg_core.tokens.runs import Runs
from rleseg_core.tokens.vocab import Vocabulary


@dataclass(frozen=True)
class Parser:
    """Reads token ids as runs.

    Parameters
    ----------
    vocab : Vocabulary
        The ids, and the K fields of a run.
    n_cells : int
        Cells of the plane that runs must lie in.
    """

    vocab: Vocabulary
    n_cells: int

    @property
    def _n_fields(self) -> int:
        return len(self.vocab.fields)

    def lenient(self, tokens: np.ndarray) -> tuple[Runs[np.ndarray], int]:
        """The runs among tokens (L,), cut where they would leave the plane, and the tokens skipped.

        Any K tokens in a row that lie in the ranges of the K fields are a run. No run can begin
        inside another, since no first field of a scheme shares its segment with a last one.
        Padding at the end is not counted as skipped.
        """
        body, _ = self._body(tokens)
        n_fields = self._n_fields
        n_whole = body.size - body.size % n_fields
        values, legal = self._values(body[:n_whole].reshape(-1, n_fields))
        if n_whole < body.size or not legal.all():
            windows = np.empty((0, n_fields), np.int64)
            if body.size >= n_fields:
                windows = np.lib.stride_tricks.sliding_window_view(body, n_fields)
            values, legal = self._values(windows)
            values = values[legal.all(axis=1)]
        runs = self._runs(values)
        length = np.minimum(runs.length, self.n_cells - runs.start)
        return runs._replace(length=length), body.size - values.size

    def strict(self, tokens: np.ndarray) -> Runs[np.ndarray]:
        """The runs of tokens (L,) that are runs in any order, then eos, then nothing but pad.

        Raises
        ------
        DataError
            If they are not, or runs overlap or leave the plane; the message gives the position.
        """
        body, ended = self._body(tokens)
        n_fields = self._n_fields
        field = np.arange(body.size) % n_fields
        values = body.astype(np.int64) - np.array(self.vocab.offsets)[field]
        sizes = np.array([field.n_values for field in self.vocab.fields])[field]
        wrong = np.flatnonzero((values < 0) | (values >= sizes))
        rest = body.size % n_fields
        after = np.flatnonzero(tokens[body.size + 1 :] != self.vocab.pad)
        if wrong.size:
            at = int(wrong[0])
            raise self._unexpected(tokens, at, self.vocab.fields[at % n_fields].name)
        if rest or not ended:
            expected = self.vocab.fields[rest].name + ("" if rest else " or eos")
            raise self._unexpected(tokens, body.size, expected)
        if after.size:
            raise self._unexpected(tokens, body.size + 1 + int(after[0]), "pad")
        runs = self._runs(values.reshape(-1, n_fields))
        self._check_places(runs)
        return runs

    def events(self, tokens: Iterable[int]) -> Iterator[Event]:
        """The runs of `lenient` one by one, each as soon as its last token is there."""
        bounds = [
            (offset, offset + field.n_values)
            for field, offset in zip(self.vocab.fields, self.vocab.offsets, strict=True)
        ]
        n_fields, (low, high) = len(bounds), bounds[-1]
        recent: deque[int] = deque(maxlen=n_fields)
        n_runs = n_body = n_padding = n_ends = 0
        for token in map(int, tokens):
            if token == self.vocab.eos:
                n_padding, n_ends = 0, 1
                break
            n_body += 1
            n_padding = n_padding + 1 if token == self.vocab.pad else 0
            recent.append(token)
            if not low <= token < high or len(recent) < n_fields:
                continue
            if all(a <= t < b for t, (a, b) in zip(recent, bounds, strict=True)):
                yield self._painted(n_runs, tuple(recent))
                n_runs += 1
                recent.clear()
        n_body -= n_padding
        yield MaskEnded(n_runs, n_body + n_ends, n_body - n_runs * n_fields)

    def _body(self, tokens: np.ndarray) -> tuple[np.ndarray, bool]:
        """The tokens before the eos, or else the padding, and whether there is an eos."""
        ends = np.flatnonzero(tokens == self.vocab.eos)
        if ends.size:
            return tokens[: ends[0]], True
        written = np.flatnonzero(tokens != self.vocab.pad)
        return tokens[: written[-1] + 1 if written.size else 0], False

    def _values(self, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Values (R, K) int64 of token ids as the fields of runs, and which of them are legal."""
        values = table.astype(np.int64) - np.array(self.vocab.offsets)
        sizes = np.array([field.n_values for field in self.vocab.fields])
        return values, (values >= 0) & (values < sizes)

    def _runs(self, values: np.ndarray) -> Runs[np.ndarray]:
        parts = [field.read(values[:, k]) for k, field in enumerate(self.vocab.fields)]
        return Runs(*(sum(amounts[1:], amounts[0]) for amounts in zip(*parts, strict=True)))

    def _painted(self, index: int, tokens: tuple[int, ...]) -> RunPainted:
        values, _ = self._values(np.array([tokens]))
        start, length, label = (int(column[0]) for column in self._runs(values))
        return RunPainted(index, start, min(length, self.n_cells - start), label, tokens)

    def _unexpected(self, tokens: np.ndarray, at: int, expected: str) -> DataError:
        if at >= tokens.size:
            return DataError(f"the tokens stop at position {at}, expected {expected}")
        token = int(tokens[at])
        known = 0 <= token < self.vocab.size
        found = self.vocab.text(token) if known else "outside the vocabulary"
        return DataError(f"token {token} at position {at} is {found}, expected {expected}")

    def _check_places(self, runs: Runs[np.ndarray]) -> None:
        ends = runs.start + runs.length
        outside = np.flatnonzero(ends > self.n_cells)
        if outside.size:
            run = outside[0]
            raise DataError(
                f"the run at position {run * self._n_fields} has {runs.length[run]} pixels from "
                f"{runs.start[run]}, expected at most {self.n_cells - runs.start[run]}"
            )
        order = np.argsort(runs.start, kind="stable")
        within = np.flatnonzero(runs.start[order[1:]] < ends[order[:-1]])
        if within.size:
            first, run = order[within[0] : within[0] + 2]
            raise DataError(
                f"the run at position {run * self._n_fields} starts at {runs.start[run]}, expected "
                f"{ends[first]} or later, where another run ends"
            )
