"""A guess of a sequence of tokens, kept in step with what is really written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rleseg_core.errors import SchemeError
from rleseg_core.tokens.runs import Change, Foreground, Runs
from rleseg_core.tokens.tokenizer import Tokenizer


class Draft:
    """Proposes how a sequence goes on, from the tokens of a mask that may be like it.

    Where the sequence has departed from the guess, the guess goes on with the run that the last
    tokens may have begun, and then with the runs that start behind the cursor.

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

    def __init__(self, tokenizer: Tokenizer, tokens: np.ndarray) -> None:
        if tokenizer.vocab.per_field:
            raise SchemeError("drafts are for one sequence of tokens; use heads='one'")
        self._tokenizer = tokenizer
        runs, block, labels, _ = tokenizer.parser.read(np.asarray(tokens, np.int64), strict=False)
        n_blocks = labels.size if tokenizer.blocks is not None else 1
        self._blocks = [Runs(*(column[block == k] for column in runs)) for k in range(n_blocks)]
        self._closing = [int(label) - 1 + tokenizer.vocab.label_offset for label in labels]

    def propose(self, written: Sequence[int], n_tokens: int) -> list[int]:
        """At most `n_tokens` that may come after those written; none if these make no sense."""
        tokenizer, k = self._tokenizer, self._tokenizer.tokens_per_run
        labels = self._labels_written(written)
        block = len(labels)
        in_block = list(written[labels[-1] + 1 :] if labels else written)
        n_partial = len(in_block) % k
        whole = np.array(in_block[: len(in_block) - n_partial], np.int64).reshape(-1, k)
        partial = in_block[len(in_block) - n_partial :]
        cursor, symbol = self._cursor(whole)
        proposed: list[int] = []
        while block < len(self._blocks) and len(proposed) < n_tokens:
            tokens = self._rest(self._blocks[block], cursor, symbol, partial, n_tokens)
            proposed += tokens
            if tokenizer.blocks is None:
                break
            if not len(whole) and not tokens:
                return []
            proposed.append(self._closing[block])
            cursor = symbol = 0
            partial, whole, block = [], whole[:0], block + 1
        proposed.append(tokenizer.vocab.eos)
        return proposed[:n_tokens]

    def _labels_written(self, written: Sequence[int]) -> list[int]:
        """Places of the tokens that close blocks."""
        if self._tokenizer.blocks is None:
            return []
        k, first = self._tokenizer.tokens_per_run, self._tokenizer.vocab.label_offset
        last = first + self._tokenizer.spec.n_classes
        places, n_since = [], 0
        for place, token in enumerate(written):
            if n_since and n_since % k == 0 and first <= token < last:
                places.append(place)
                n_since = 0
            else:
                n_since += 1
        return places

    def _cursor(self, whole: np.ndarray) -> tuple[int, int]:
        """The cell behind the last of some runs (R, K), and the symbol there for changes."""
        if not len(whole):
            return 0, 0
        tokenizer = self._tokenizer
        records = tokenizer.parser.sum_columns(whole.T - np.array(tokenizer.vocab.offsets)[:, None])
        runs = tokenizer.runs.settle(records, np.zeros(len(whole), np.int64))
        if runs is None:
            return tokenizer.canvas.n_cells, 0
        if isinstance(tokenizer.runs, Change):
            return int(runs.start[-1]) + 1, int(runs.symbol[-1])
        return int(runs.start[-1] + runs.length[-1]), 0

    def _rest(
        self,
        guess: Runs[np.ndarray],
        cursor: int,
        symbol: int,
        partial: list[int],
        n_tokens: int,
    ) -> list[int]:
        """Tokens of the runs of a plane from the cursor on, without those of the run begun."""
        kind, k = self._tokenizer.runs, self._tokenizer.tokens_per_run
        start, length, said = guess
        if isinstance(kind, Foreground):
            first = int(np.searchsorted(start, cursor))
            window = slice(first, first + n_tokens // k + 2)
            table = self._written(Runs(start[window], length[window], said[window]))
            return self._after(table, partial)
        end = start + length
        first = int(np.searchsorted(end, cursor, side="right"))
        window = slice(first, first + n_tokens // k + 2)
        start, length, said = np.maximum(start[window], cursor), end[window], said[window]
        length = length - start
        if isinstance(kind, Change):
            line = start // kind.line
            line_before = np.append((cursor - 1) // kind.line, line[:-1])[: line.size]
            before = np.append(symbol, said[:-1])[: line.size] * (line == line_before)
            delta = said - before
            table = self._written(Runs(start, length, delta))[delta != 0]
        else:
            limit = kind.max_length
            table = self._written(Runs(start, np.minimum(length, limit), said))
        return self._after(table, partial)

    def _written(self, runs: Runs[np.ndarray]) -> np.ndarray:
        """Tokens (R, K) of records."""
        columns = [field.write(runs) + offset for field, offset in self._tokenizer.columns]
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
