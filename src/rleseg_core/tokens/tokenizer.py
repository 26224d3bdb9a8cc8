"""Masks to tokens and back: the facade over a compiled scheme."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from rleseg_core.errors import DataError
from rleseg_core.tokens.blocks import InstanceBlocks
from rleseg_core.tokens.budget import Drop
from rleseg_core.tokens.encode import check_order, count, encode
from rleseg_core.tokens.events import BlockClosed, Event, RunPainted
from rleseg_core.tokens.painting import draw_mask, paint, pixels_of
from rleseg_core.tokens.results import Counts, Decoded, TokenBatch
from rleseg_core.tokens.stages import Stages

if TYPE_CHECKING:
    from torch import Tensor


class Tokenizer(Stages):
    """Writes masks as tokens and reads them back; make one with `build`."""

    def encode(
        self,
        classes: np.ndarray,
        instances: np.ndarray | None = None,
        *,
        budget: int | None = None,
        drop: Drop = "tail",
        rng: np.random.Generator | None = None,
    ) -> np.ndarray:
        """The tokens of a mask, ending in eos.

        Parameters
        ----------
        classes : (N, S, S) integer
            Class ids from 0 (background) to C, in mask pixels.
        instances : (N, S, S) integer, optional
            Instance ids, 0 = none; only schemes that write instances look at them.
        budget : int, optional
            L, the most tokens to give, the eos included; runs that do not fit are dropped whole.
            With `per_field` heads, the most of each head.
        drop : {"tail", "shortest"}
            Which runs are dropped: from the last on, or from the shortest on (of equal ones, those
            of higher classes and then the later ones first).
        rng : numpy Generator, optional
            Puts the runs, in each block, in random order (Sec. III-A).

        Returns
        -------
        (L,) int64, or (K, L) with `per_field` heads
            Token ids; without bos.

        Raises
        ------
        DataError
            If the mask is not of this tokenizer's shape and classes, or instance ids are missing.
        BudgetError
            If the budget has no room for the eos.
        SchemeError
            If runs that follow from one another are to be dropped by length or shuffled.
        """
        return encode(self, classes, instances, budget, drop, rng)

    def count(self, classes: np.ndarray, instances: np.ndarray | None = None) -> Counts:
        """How much `encode` writes of a mask without a budget."""
        return count(self, classes, instances)

    def encode_batch(
        self,
        classes: Tensor,
        instances: Tensor | None = None,
        *,
        budget: int,
        drop: Drop = "tail",
    ) -> TokenBatch:
        """The tokens of a batch of masks, made on their device without waiting for it.

        Parameters
        ----------
        classes : (B, N, S, S) integer tensor
            Class ids from 0 to C; not looked through for others, as that would make the host wait.
        instances : (B, N, S, S) integer tensor, optional
            Instance ids; only schemes that write instances look at them.
        budget : int
            L, tokens of each row; runs that do not fit are dropped whole.
        drop : {"tail", "shortest"}
            Which runs are dropped; see `encode`.

        Raises
        ------
        DataError
            If the masks are not of this tokenizer's shape, or instance ids are missing.
        BudgetError
            If the budget has no room for the eos.
        SchemeError
            If runs that follow from one another are to be dropped by length.
        """
        if classes.ndim != 4 or tuple(classes.shape[1:]) != self.spec.shape:
            raise DataError(
                f"masks are {tuple(classes.shape)}, the tokenizer is for (B, N, S, S) with "
                f"{self.spec.shape}"
            )
        for ids in (classes, instances):
            if ids is not None and (ids.is_floating_point() or ids.is_complex()):
                raise DataError(f"masks are {ids.dtype}, expected integer ids")
        check_order(self, drop, None)
        from rleseg_core.tokens.batch import encode_batch

        return encode_batch(self, classes, instances, budget, drop)

    def decode(self, tokens: np.ndarray, *, strict: bool = False) -> Decoded:
        """The mask that tokens say.

        Without `strict` whatever makes sense is kept: a run is any K tokens in a row that lie in
        the ranges of its K fields, all other tokens are skipped and counted, and a run that reaches
        past its line or the last pixel is cut there. Later runs paint over earlier ones. See
        `Parser.read`; `rleseg_core.published.read_leniently` has the rules of the authors' code.

        Parameters
        ----------
        tokens : (L,) integer, or (K, L) with `per_field` heads
            Token ids; those after the first eos are not read.
        strict : bool
            Raise where a sequence breaks its rules: the order of its fields, its end and padding;
            runs of a plane that overlap, leave their line or are out of range; blocks without runs
            or classes out of order. Runs may come in any order, and blocks lie on each other.

        Raises
        ------
        DataError
            If `strict`, and a token is not the one expected, or runs overlap or leave the mask;
            the message gives the position.
        """
        tokens = self.checked(tokens)
        runs, block, labels, n_skipped = self.parser.read(tokens, strict=strict)
        if self.blocks is None:
            classes = draw_mask(self, runs, runs.symbol, self.class_dtype)
            return Decoded(classes, None, n_skipped)
        classes = draw_mask(self, runs, labels[block], self.class_dtype)
        if not isinstance(self.blocks, InstanceBlocks):
            return Decoded(classes, None, n_skipped)
        instances = draw_mask(self, runs, block + 1, np.dtype(np.int32))
        return Decoded(classes, instances, n_skipped)

    def checked(self, tokens: np.ndarray) -> np.ndarray:
        """Tokens as int64, (L,) or (K, L).

        Raises
        ------
        DataError
            If they are not integers of that shape.
        """
        tokens = np.asarray(tokens)
        n_axes, shape = (2, "(K, L)") if self.vocab.per_field else (1, "(L,)")
        if tokens.ndim != n_axes or tokens.dtype.kind not in "iu":
            raise DataError(f"tokens are {tokens.dtype} {tokens.shape}, expected integers {shape}")
        if n_axes == 2 and len(tokens) != self.tokens_per_run:
            raise DataError(f"tokens of {len(tokens)} heads, expected {self.tokens_per_run}")
        return tokens.astype(np.int64, copy=False)

    def decode_batch(self, tokens: np.ndarray) -> np.ndarray:
        """Masks (B, N, S, S) of class ids that tokens (B, L) or (B, K, L) say; see `decode`."""
        masks = [self.decode(row).classes for row in np.asarray(tokens)]
        return np.stack(masks) if masks else np.zeros((0, *self.spec.shape), self.class_dtype)

    def events(self, tokens: Iterable[int] | Iterable[Iterable[int]]) -> Iterator[Event]:
        """What tokens do: the runs that `decode` would paint as they come, then `MaskEnded`.

        A change paints when the next one says how far it reaches. In schemes with blocks, runs come
        before the class that closes their block.

        Parameters
        ----------
        tokens : iterable of int, or of K int with `per_field` heads
            Token ids, such as a model that is still writing; no more are taken than the next event
            needs, and none after the eos. An array is taken as `encode` gives it: (L,) or (K, L).
        """
        if isinstance(tokens, np.ndarray):
            tokens = tokens.T
        return self.parser.events(tokens)

    def with_end(self, tokens: Iterable[int]) -> np.ndarray:
        """The sequence (L,) or (K, L), as `encode` gives it, of the tokens of events and the end.

        Parameters
        ----------
        tokens : iterable of int
            The `tokens` of runs and of closed blocks, one event after the other.
        """
        joined = np.array([*tokens, *[self.vocab.eos] * len(self.vocab.prompts)], np.int64)
        return joined.reshape(-1, self.tokens_per_run).T if self.vocab.per_field else joined

    def texts(self, event: Event) -> tuple[str, ...]:
        """What each token of an event says."""
        if isinstance(event, RunPainted):
            return tuple(self.vocab.text(token, k) for k, token in enumerate(event.tokens))
        if isinstance(event, BlockClosed):
            return (f"class {self.spec.class_names[event.label - 1]}",)
        return ()

    def run_pixels(self, event: Event) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Frames, rows and columns (each (n,) integer, in mask pixels) that an event can paint."""
        return pixels_of(self, event)[:3]

    def paint(self, labels: np.ndarray, event: Event) -> None:
        """Paint what an event says into labels (N, S, S), in place.

        In schemes with blocks, a run whose block is still open paints `open_label` where nothing is
        yet; its block paints the class when it is closed, and the end takes away what was not.
        """
        paint(self, labels, event)
