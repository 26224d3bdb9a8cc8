"""A guess of a sequence of tokens, kept in step with what is really written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rleseg_core.errors import SchemeError
from rleseg_core.tokens.fields import CoordStart, FlatStart
from rleseg_core.tokens.records import Runs
from rleseg_core.tokens.runs import Cursor
from rleseg_core.tokens.stages import Stages

_TELLING = ("flat", "coords")


class _BlocksInOrder:
    """The blocks of a guess by the pixels at which they begin.

    Objects that were left out or added shift the count of blocks, but not their places.
    """

    def __init__(self, tokenizer: Stages, first: np.ndarray, owner: np.ndarray) -> None:
        self._tokenizer, self._first, self._owner = tokenizer, first, owner

    def block(self, written: Sequence[int], labels: Sequence[int]) -> int | None:
        """The block that goes on or comes next; None if the open one is not in the guess."""
        opening = labels[-1] + 1 if labels else 0
        open_at = self._start(written[opening:])
        if open_at is not None:
            owner = int(self._owner[open_at])
            return owner if owner >= 0 else None
        before = labels[-2] + 1 if len(labels) > 1 else 0
        last = self._start(written[before:]) if labels else None
        return int(np.searchsorted(self._first, -1 if last is None else last, side="right"))

    def _start(self, tokens: Sequence[int]) -> int | None:
        """The pixel of the first start among tokens of a block, if it is complete."""
        start = 0
        starts = [
            (k, field, offset)
            for k, (field, offset) in enumerate(self._tokenizer.columns)
            if isinstance(field, FlatStart | CoordStart)
        ]
        if not starts or len(tokens) <= starts[-1][0]:
            return None
        for k, field, offset in starts:
            start += int(field.read(np.array([tokens[k] - offset])).start[0])
        return start if 0 <= start < len(self._owner) else None


class Draft:
    """Proposes how a sequence goes on, from the tokens of a mask that may be like it.

    Where the sequence has departed from the guess, the guess goes on with the run that the last
    tokens may have begun, and then with the runs behind the cursor; see `RunKind.continued`.

    Parameters
    ----------
    tokenizer : Tokenizer
        Of one sequence; not one with a head for each field.
    tokens : (L,) integer
        The guess: of the frame before, of an overlapping window, or of any mask that was encoded;
        they are read leniently.

    Raises
    ------
    SchemeError
        If the tokenizer writes a sequence for each field.
    """

    def __init__(self, tokenizer: Stages, tokens: np.ndarray) -> None:
        if tokenizer.vocab.per_field:
            raise SchemeError("drafts are for one sequence of tokens; use heads='one'")
        self._tokenizer = tokenizer
        runs, block, labels, _ = tokenizer.parser.read(np.asarray(tokens, np.int64), strict=False)
        n_blocks = labels.size if tokenizer.blocks is not None else 1
        self._blocks = [Runs(*(column[block == k] for column in runs)) for k in range(n_blocks)]
        self._closing = [int(label) - 1 + tokenizer.vocab.label_offset for label in labels]
        self._in_order = self._blocks_in_order(n_blocks)

    def propose(self, written: Sequence[int], n_tokens: int) -> list[int]:
        """At most `n_tokens` that may come after those written; none if these make no sense."""
        tokenizer, k = self._tokenizer, self._tokenizer.tokens_per_run
        labels = self._labels_written(written)
        block = len(labels)
        if self._in_order is not None:
            at = self._in_order.block(written, labels)
            if at is None:
                return []
            block = at
        in_block = list(written[labels[-1] + 1 :] if labels else written)
        n_partial = len(in_block) % k
        whole = np.array(in_block[: len(in_block) - n_partial], np.int64).reshape(-1, k)
        partial = in_block[len(in_block) - n_partial :]
        cursor = self._cursor(whole)
        proposed: list[int] = []
        while block < len(self._blocks) and len(proposed) < n_tokens:
            tokens = self._rest(self._blocks[block], cursor, partial, n_tokens)
            proposed += tokens
            if tokenizer.blocks is None:
                break
            if not len(whole) and not tokens and self._in_order is None:
                return []
            proposed.append(self._closing[block])
            cursor, partial, whole, block = Cursor(0), [], whole[:0], block + 1
        proposed.append(tokenizer.vocab.eos)
        return proposed[:n_tokens]

    def _blocks_in_order(self, n_blocks: int) -> _BlocksInOrder | None:
        """Where the blocks of objects lie, if a start tells the pixel and blocks are in order."""
        tokenizer = self._tokenizer
        scheme = tokenizer.scheme
        if scheme.blocks != "instance" or tokenizer.runs.start_tokens(scheme) not in _TELLING:
            return None
        runs = [self._blocks[k] for k in range(n_blocks)]
        if any(not each.start.size for each in runs):
            return None
        first = np.array([each.start[0] for each in runs], np.int64)
        if (np.diff(first) <= 0).any():
            return None
        owner = np.full(tokenizer.flattening.n_pixels, -1, np.int64)
        for index, each in enumerate(runs):
            for start, length in zip(each.start.tolist(), each.length.tolist(), strict=True):
                owner[start : start + length] = index
        return _BlocksInOrder(tokenizer, first, owner)

    def _labels_written(self, written: Sequence[int]) -> list[int]:
        """Indices of the tokens that close blocks."""
        if self._tokenizer.blocks is None:
            return []
        k, first = self._tokenizer.tokens_per_run, self._tokenizer.vocab.label_offset
        last = first + self._tokenizer.spec.n_classes
        closing, n_since = [], 0
        for index, token in enumerate(written):
            if n_since and n_since % k == 0 and first <= token < last:
                closing.append(index)
                n_since = 0
            else:
                n_since += 1
        return closing

    def _cursor(self, whole: np.ndarray) -> Cursor:
        """Where a plane goes on after some runs (R, K)."""
        if not len(whole):
            return Cursor(0)
        tokenizer = self._tokenizer
        offsets = np.array(tokenizer.vocab.offsets)[:, None]
        return tokenizer.runs.cursor(tokenizer.parser.sum_columns(whole.T - offsets))

    def _rest(
        self, guess: Runs[np.ndarray], cursor: Cursor, partial: list[int], n_tokens: int
    ) -> list[int]:
        """Tokens of the runs of a plane from the cursor on, without those of the run begun."""
        tokenizer = self._tokenizer
        n_runs = n_tokens // tokenizer.tokens_per_run + 2
        records = tokenizer.runs.continued(guess, cursor, n_runs)
        return self._after(self._written(records), partial)

    def _written(self, records: Runs[np.ndarray]) -> np.ndarray:
        """Tokens (R, K) of records."""
        columns = [field.write(records) + offset for field, offset in self._tokenizer.columns]
        return np.stack(columns, axis=1) if columns else np.empty((0, 0), np.int64)

    def _after(self, table: np.ndarray, partial: list[int]) -> list[int]:
        """Tokens of runs without those that are written of the first.

        The run that is begun is taken for the one whose first token is nearest to its own.
        """
        if not partial:
            return [int(token) for token in table.reshape(-1)]
        if not len(table):
            return []
        run = int(np.abs(table[:, 0] - partial[0]).argmin())
        return [int(token) for token in table[run:].reshape(-1)[len(partial) :]]
