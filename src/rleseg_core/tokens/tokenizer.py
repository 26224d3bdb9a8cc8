"""Masks to tokens and back: a scheme compiled into one object per stage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from rleseg_core.errors import BudgetError, DataError
from rleseg_core.spec import MaskSpec
from rleseg_core.tokens.canvas import Volume
from rleseg_core.tokens.events import Event, RunPainted
from rleseg_core.tokens.fields import fields_of
from rleseg_core.tokens.grammar import Grammar
from rleseg_core.tokens.parse import Parser
from rleseg_core.tokens.runs import Foreground, Runs
from rleseg_core.tokens.scheme import Scheme, check
from rleseg_core.tokens.vocab import Vocabulary

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class TokenBatch:
    """The token sequences of B masks on their device.

    Parameters
    ----------
    tokens : (B, L) int64 tensor
        Token ids, each row ending in eos and filled up with pad.
    n_tokens : (B,) int64 tensor
        Tokens of each row, the eos included.
    n_dropped_runs : (B,) int64 tensor
        Runs of each mask that did not fit.
    """

    tokens: Tensor
    n_tokens: Tensor
    n_dropped_runs: Tensor


@dataclass(frozen=True, eq=False)
class Decoded:
    """A mask read from tokens.

    Parameters
    ----------
    classes : (N, S, S) unsigned integer
        Class ids, 0 = background; uint8 up to 255 classes.
    instances : (N, S, S) int32 or None
        Instance ids, where the scheme writes them.
    n_skipped : int
        Tokens that belong to no run.
    """

    classes: np.ndarray
    instances: np.ndarray | None
    n_skipped: int


@dataclass(frozen=True)
class StartGrid:
    """Where the 1D start tokens lie in the vocabulary, and the mask whose pixels they name.

    Parameters
    ----------
    offset : int
        Id of the start token of the first pixel; the others follow in `order`.
    rows, cols : int
        Size of the mask.
    order : {"C", "F"}
        Row-major or column-major.
    """

    offset: int
    rows: int
    cols: int
    order: Literal["C", "F"]


@dataclass(frozen=True, eq=False)
class Tokenizer:
    """Writes masks as tokens and reads them back; make one with `build`.

    Parameters
    ----------
    scheme : Scheme
        What was compiled.
    spec : MaskSpec
        The masks it is for.
    canvas : Volume
        Masks as flat planes of symbols.
    runs : Foreground
        Planes as runs.
    vocab : Vocabulary
        Runs as token ids.
    grammar : Grammar
        Which token may follow.
    parser : Parser
        Runs among token ids.
    """

    scheme: Scheme
    spec: MaskSpec
    canvas: Volume
    runs: Foreground
    vocab: Vocabulary
    grammar: Grammar
    parser: Parser

    @classmethod
    def build(cls, scheme: Scheme, spec: MaskSpec, *, vocab_limit: int = 32_000) -> Tokenizer:
        """The tokenizer of a scheme for masks of a spec.

        Raises
        ------
        SchemeError
            If they do not go together, or need more than `vocab_limit` tokens; the message gives
            the values and the remedy.
        """
        check(scheme, spec)
        canvas = Volume(spec, scheme.order)
        max_length = scheme.max_length or canvas.longest_run
        vocab = Vocabulary.build(fields_of(scheme, canvas, max_length), limit=vocab_limit)
        runs = Foreground(canvas.n_cells, max_length)
        grammar = Grammar.build(vocab, canvas.n_cells)
        return cls(scheme, spec, canvas, runs, vocab, grammar, Parser(vocab, canvas.n_cells))

    @property
    def tokens_per_run(self) -> int:
        """K, the tokens that each run takes."""
        return len(self.vocab.fields)

    @property
    def start_grid(self) -> StartGrid | None:
        """The 1D start tokens; None where starts are not one token each."""
        if self.scheme.start != "flat":
            return None
        rows, cols = self.spec.size
        return StartGrid(self.vocab.segment("start").offset, rows, cols, self.scheme.order)

    def encode(
        self,
        classes: np.ndarray,
        instances: np.ndarray | None = None,
        *,
        budget: int | None = None,
        rng: np.random.Generator | None = None,
    ) -> np.ndarray:
        """The tokens of a mask, ending in eos.

        Parameters
        ----------
        classes : (N, S, S) integer
            Class ids from 0 (background) to C, in mask pixels.
        instances : (N, S, S) integer, optional
            Instance ids; only schemes that write instances look at them.
        budget : int, optional
            L, the most tokens to give, the eos included; runs that do not fit are dropped whole,
            from the last on.
        rng : numpy Generator, optional
            Puts the runs in random order (Sec. III-A).

        Returns
        -------
        (L,) int64
            Token ids; without bos.

        Raises
        ------
        DataError
            If the mask is not of this tokenizer's shape and classes.
        BudgetError
            If the budget has no room for the eos.
        """
        self._check_mask(classes)
        runs = self.runs.find(self.canvas.flatten(classes))
        if budget is not None:
            n_runs = self._n_runs(budget)
            runs = Runs(*(column[:n_runs] for column in runs))
        n_runs = runs.start.size
        if rng is not None:
            order = rng.permutation(n_runs)
            runs = Runs(*(column[order] for column in runs))
        tokens = np.empty(n_runs * self.tokens_per_run + 1, np.int64)
        table = tokens[:-1].reshape(n_runs, self.tokens_per_run)
        for k, (field, offset) in enumerate(
            zip(self.vocab.fields, self.vocab.offsets, strict=True)
        ):
            np.add(field.write(runs), offset, out=table[:, k])
        tokens[-1] = self.vocab.eos
        return tokens

    def encode_batch(
        self, classes: Tensor, instances: Tensor | None = None, *, budget: int
    ) -> TokenBatch:
        """The tokens of a batch of masks, made on their device without waiting for it.

        Parameters
        ----------
        classes : (B, N, S, S) integer tensor
            Class ids from 0 to C; not looked through for others, as that would make the host wait.
        instances : (B, N, S, S) integer tensor, optional
            Instance ids; only schemes that write instances look at them.
        budget : int
            L, tokens of each row; runs that do not fit are dropped whole, from the last on.

        Raises
        ------
        DataError
            If the masks are not of this tokenizer's shape.
        BudgetError
            If the budget has no room for the eos.
        """
        from torch import full, stack

        if classes.ndim != 4 or tuple(classes.shape[1:]) != self.spec.shape:
            raise DataError(
                f"masks are {tuple(classes.shape)}, the tokenizer is for (B, N, S, S) with "
                f"{self.spec.shape}"
            )
        n_fields, n_rows = self.tokens_per_run, len(classes)
        n_runs = min(self._n_runs(budget), self.canvas.n_cells)
        runs, n_found = self.runs.find_batch(self.canvas.flatten(classes), n_runs)
        n_kept = n_found.clamp(max=n_runs)
        parts = zip(self.vocab.fields, self.vocab.offsets, strict=True)
        table = stack([field.write(runs) + offset for field, offset in parts], dim=2)  # (B, R, K)
        there = runs.length > 0
        tokens = full((n_rows, budget), self.vocab.pad, device=classes.device)
        tokens[:, : n_runs * n_fields] = table.where(there[..., None], self.vocab.pad).flatten(1)
        tokens.scatter_(1, (n_kept * n_fields)[:, None], self.vocab.eos)
        return TokenBatch(tokens, n_kept * n_fields + 1, n_found - n_kept)

    def decode(self, tokens: np.ndarray, *, strict: bool = False) -> Decoded:
        """The mask that tokens say.

        Without `strict` whatever makes sense is kept: a run is any K tokens in a row that lie in
        the ranges of its K fields, all other tokens are skipped and counted, and a run that reaches
        past the last pixel is cut there. Later runs paint over earlier ones.

        Parameters
        ----------
        tokens : (L,) integer
            Token ids; those after the first eos are not read.
        strict : bool
            Raise where a sequence is not one that `encode` can give (in any order of its runs).

        Raises
        ------
        DataError
            If `strict`, and a token is not the one expected, or runs overlap or leave the mask;
            the message gives the position.
        """
        tokens = np.asarray(tokens)
        if tokens.ndim != 1 or tokens.dtype.kind not in "iu":
            raise DataError(f"tokens are {tokens.dtype} {tokens.shape}, expected integers (L,)")
        if strict:
            runs, n_skipped = self.parser.strict(tokens), 0
        else:
            runs, n_skipped = self.parser.lenient(tokens)
        plane = self.runs.draw(runs, np.min_scalar_type(self.canvas.n_symbols))
        return Decoded(self.canvas.unflatten(plane), None, n_skipped)

    def decode_batch(self, tokens: np.ndarray) -> np.ndarray:
        """Masks (B, N, S, S) of class ids that tokens (B, L) say; see `decode`."""
        return np.stack([self.decode(row).classes for row in np.asarray(tokens)])

    def events(self, tokens: Iterable[int]) -> Iterator[Event]:
        """What tokens do: the runs that `decode` would paint as they come, then `MaskEnded`.

        Parameters
        ----------
        tokens : iterable of int
            Token ids, such as a model that is still writing; no more are taken than the next event
            needs, and none after the eos.
        """
        return self.parser.events(tokens)

    def run_pixels(self, event: RunPainted) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Frames, rows and columns (each (n,) integer, in mask pixels) of a painted run."""
        return self.canvas.locate(np.arange(event.start, event.start + event.length))

    def paint(self, labels: np.ndarray, event: Event) -> None:
        """Paint the run of an event into labels (N, S, S), in place; other events paint nothing."""
        if isinstance(event, RunPainted):
            cells = np.arange(event.start, event.start + event.length)
            self.canvas.paint(labels, cells, event.label)

    def _n_runs(self, budget: int) -> int:
        if budget < 1:
            raise BudgetError(
                f"a budget of {budget} tokens has no room for the eos; give at least 1"
            )
        return (budget - 1) // self.tokens_per_run

    def _check_mask(self, classes: np.ndarray) -> None:
        if classes.shape != self.spec.shape:
            raise DataError(f"mask is {classes.shape}, the tokenizer is for {self.spec.shape}")
        if classes.dtype.kind not in "iub":
            raise DataError(f"mask is {classes.dtype}, expected integer class ids")
        lowest, highest = classes.min(), classes.max()
        if lowest < 0 or highest > self.spec.n_classes:
            raise DataError(
                f"mask has values from {lowest} to {highest}, expected class ids from 0 to "
                f"{self.spec.n_classes}"
            )
