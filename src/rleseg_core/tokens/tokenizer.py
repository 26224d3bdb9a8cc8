"""Masks to tokens and back: a scheme compiled into one object per stage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from rleseg_core.errors import BudgetError, DataError, SchemeError
from rleseg_core.spec import MaskSpec, StartGrid
from rleseg_core.tokens import published
from rleseg_core.tokens.blocks import Blocks, ClassBlocks, InstanceBlocks, find_in_blocks
from rleseg_core.tokens.budget import Drop, fit
from rleseg_core.tokens.canvas import CANVASES, Canvas, Volume
from rleseg_core.tokens.events import BlockClosed, Event, RunPainted
from rleseg_core.tokens.fields import BlockLabel, Field, fields_of
from rleseg_core.tokens.grammar import Grammar
from rleseg_core.tokens.parse import Parser
from rleseg_core.tokens.runs import RUN_KINDS, Change, Foreground, RunKind, Runs, draw
from rleseg_core.tokens.scheme import Scheme, check
from rleseg_core.tokens.vocab import Layout, Vocabulary

if TYPE_CHECKING:
    from torch import Tensor


class Counts(NamedTuple):
    """What `encode` writes of a mask without a budget."""

    n_runs: int
    n_blocks: int
    n_tokens: int
    """The eos included; with `per_field` heads those of one head."""


@dataclass(frozen=True, eq=False)
class TokenBatch:
    """The token sequences of B masks on their device.

    Parameters
    ----------
    tokens : (B, L) or (B, K, L) int64 tensor
        Token ids, each row ending in eos and filled up with pad; with `per_field` heads a row for
        each of the K fields.
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
        Instance ids, from 1 in the order of the blocks, where the scheme writes instances.
    n_skipped : int
        Tokens that belong to no run.
    """

    classes: np.ndarray
    instances: np.ndarray | None
    n_skipped: int


@dataclass(frozen=True, eq=False)
class Tokenizer:
    """Writes masks as tokens and reads them back; make one with `build`.

    Parameters
    ----------
    scheme : Scheme
        What was compiled.
    spec : MaskSpec
        The masks it is for.
    canvas : Canvas
        Masks, or what is one block of them, as flat planes of symbols.
    blocks : Blocks or None
        What has a sequence of runs of its own; None: the mask as a whole.
    runs : RunKind
        Planes as runs.
    vocab : Vocabulary
        Runs as token ids.
    parser : Parser
        Runs among token ids.
    """

    scheme: Scheme
    spec: MaskSpec
    canvas: Canvas
    blocks: Blocks | None
    runs: RunKind
    vocab: Vocabulary
    parser: Parser

    @classmethod
    def build(
        cls,
        scheme: Scheme,
        spec: MaskSpec,
        *,
        vocab_limit: int = 32_000,
        layout: Layout | None = None,
    ) -> Tokenizer:
        """The tokenizer of a scheme for masks of a spec.

        Parameters
        ----------
        scheme : Scheme
            How masks become tokens.
        spec : MaskSpec
            The masks.
        vocab_limit : int
            The largest vocabulary that is wanted.
        layout : Layout, optional
            Which ids tokens have; None: `CompactLayout`. `PublishedLayout` gives those of the
            authors' implementation.

        Raises
        ------
        SchemeError
            If they do not go together, or need more than `vocab_limit` tokens; the message gives
            the values and the remedy.
        """
        check(scheme, spec)
        blocks: Blocks | None = None
        if scheme.blocks is not None:
            blocks = ClassBlocks() if scheme.blocks == "class" else InstanceBlocks()
        canvas = _canvas(scheme, spec)
        line = canvas.line if scheme.lines == "separate" else canvas.n_cells
        max_length = scheme.max_length or canvas.line
        kind = RUN_KINDS[scheme.runs].on(canvas, line, max_length)
        vocab = Vocabulary.build(
            fields_of(scheme, canvas, max_length),
            BlockLabel(spec.class_names) if blocks is not None else None,
            scheme,
            spec,
            limit=vocab_limit,
            layout=layout,
        )
        return cls(scheme, spec, canvas, blocks, kind, vocab, Parser(vocab, canvas, kind, blocks))

    @cached_property
    def grammar(self) -> Grammar:
        """Which token may follow."""
        return Grammar.build(self.vocab, self.runs, self.blocks)

    @property
    def tokens_per_run(self) -> int:
        """K, the tokens that each run takes."""
        return len(self.vocab.fields)

    @cached_property
    def _class_dtype(self) -> np.dtype:
        return np.min_scalar_type(self.spec.n_classes)

    @cached_property
    def columns(self) -> tuple[tuple[Field, int], ...]:
        """The K fields of a run, and the id of the value 0 of each."""
        return tuple(zip(self.vocab.fields, self.vocab.offsets, strict=True))

    @property
    def max_length(self) -> int | None:
        """M, the longest run that one length can say; None for changes."""
        return None if isinstance(self.runs, Change) else self.runs.max_length

    @property
    def open_label(self) -> int:
        """What `paint` gives pixels of a block that is not closed yet: C + 1."""
        return self.spec.n_classes + 1

    @property
    def start_grid(self) -> StartGrid | None:
        """Where runs begin, told from tokens; None where a start is not a pixel of one plane.

        So it is for several frames as a volume, for other orders than "C" and "F", for rows that
        are tiled one by one, and where each field has a sequence of its own.
        """
        scheme, vocab = self.scheme, self.vocab
        if (
            self.canvas.n_cells != self.spec.n_pixels
            or scheme.order not in ("C", "F")
            or scheme.heads != "one"
            or (scheme.runs == "tiling" and (scheme.lines == "separate" or self.blocks is not None))
        ):
            return None
        offsets = {field.name: offset for field, offset in self.columns}
        if scheme.start == "coords" and offsets["row"] != offsets["col"]:
            return None
        stops = [(vocab.eos, 1)]
        if vocab.label is not None:
            segment = vocab.segment(vocab.label.segment)
            stops.append((segment.offset, segment.size))
        rows, cols = self.spec.size
        return StartGrid(
            offset=offsets.get("start", offsets.get("row", 0)),
            rows=rows,
            cols=cols,
            order="C" if scheme.order == "C" else "F",
            start=scheme.start or "implied",
            stops=tuple(stops),
        )

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
            If runs whose place follows from others are to be dropped by length or shuffled.
        """
        runs, block, labels = self._find_one(classes, instances)
        self._check_free(drop, rng)
        if budget is not None:
            runs, kept = self.fit(runs, block, np.zeros_like(block), budget, drop)
            block = block[kept]
        if rng is not None:
            order = rng.permutation(runs.start.size)
            order = order[block[order].argsort(kind="stable")]
            runs = Runs(*(column[order] for column in runs))
        k, n_runs = self.tokens_per_run, runs.start.size
        n_ends = len(self.vocab.prompts)
        tokens = np.empty(n_runs * k + n_ends, np.int64)
        tokens[-n_ends:] = self.vocab.eos
        self._write(runs, tokens[:-n_ends].reshape(n_runs, k))
        if self.blocks is not None:
            last = np.flatnonzero(np.diff(block, append=-1))
            closing = labels[block[last]] + (self.vocab.label_offset - 1)
            tokens = np.insert(tokens, (last + 1) * k, closing)
        if self.vocab.per_field:
            return np.ascontiguousarray(tokens.reshape(n_runs + 1, k).T)
        return tokens

    def count(self, classes: np.ndarray, instances: np.ndarray | None = None) -> Counts:
        """How much `encode` writes of a mask without a budget."""
        runs, block, _ = self._find_one(classes, instances)
        n_runs = runs.start.size
        if self.vocab.per_field:
            return Counts(n_runs, 0, n_runs + 1)
        n_blocks = np.unique(block).size if self.blocks is not None else 0
        return Counts(n_runs, n_blocks, n_runs * self.tokens_per_run + n_blocks + 1)

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
            If runs whose place follows from others are to be dropped by length.
        """
        if classes.ndim != 4 or tuple(classes.shape[1:]) != self.spec.shape:
            raise DataError(
                f"masks are {tuple(classes.shape)}, the tokenizer is for (B, N, S, S) with "
                f"{self.spec.shape}"
            )
        for ids in (classes, instances):
            if ids is not None and (ids.is_floating_point() or ids.is_complex()):
                raise DataError(f"masks are {ids.dtype}, expected integer ids")
        self._check_free(drop, None)
        from rleseg_core.tokens.batch import encode_batch

        return encode_batch(self, classes, instances, budget, drop)

    def decode(
        self,
        tokens: np.ndarray,
        *,
        strict: bool = False,
        rules: Literal["ours", "published"] = "ours",
    ) -> Decoded:
        """The mask that tokens say.

        Without `strict` whatever makes sense is kept: a run is any K tokens in a row that lie in
        the ranges of its K fields, all other tokens are skipped and counted, and a run that reaches
        past its line or the last pixel is cut there. Later runs paint over earlier ones. See
        `Parser.read`.

        Parameters
        ----------
        tokens : (L,) integer, or (K, L) with `per_field` heads
            Token ids; those after the first eos are not read.
        strict : bool
            Raise where a sequence breaks its rules: the order of its fields, its end and padding;
            runs of a plane that overlap, leave their line or are out of range; blocks without runs
            or classes out of order. Runs may come in any order, and blocks lie on each other.
        rules : {"ours", "published"}
            Whose lenient reading: that of the authors' implementation keeps to a stride of K
            tokens, has no upper bound for lengths or classes, and takes every order for C; see
            `published.read_leniently`.

        Raises
        ------
        DataError
            If `strict`, and a token is not the one expected, or runs overlap or leave the mask;
            the message gives the position.
        SchemeError
            If the published rules do not know the scheme, or there are no such rules.
        """
        tokens = np.asarray(tokens)
        n_axes, shape = (2, "(K, L)") if self.vocab.per_field else (1, "(L,)")
        if tokens.ndim != n_axes or tokens.dtype.kind not in "iu":
            raise DataError(f"tokens are {tokens.dtype} {tokens.shape}, expected integers {shape}")
        if n_axes == 2 and len(tokens) != self.tokens_per_run:
            raise DataError(f"tokens of {len(tokens)} heads, expected {self.tokens_per_run}")
        tokens = tokens.astype(np.int64, copy=False)
        if rules not in ("ours", "published"):
            raise SchemeError(f"there are no rules={rules!r}; use rules='ours' or 'published'")
        if rules == "published":
            if strict:
                raise DataError("rules='published' are lenient ones; use strict=False with them")
            return Decoded(*published.read_leniently(self, tokens))
        runs, block, labels, n_skipped = self.parser.read(tokens, strict=strict)
        if self.blocks is None:
            return Decoded(self._draw(runs, runs.symbol, self._class_dtype), None, n_skipped)
        classes = self._draw(runs, labels[block], self._class_dtype)
        if not isinstance(self.blocks, InstanceBlocks):
            return Decoded(classes, None, n_skipped)
        return Decoded(classes, self._draw(runs, block + 1, np.dtype(np.int32)), n_skipped)

    def decode_batch(self, tokens: np.ndarray) -> np.ndarray:
        """Masks (B, N, S, S) of class ids that tokens (B, L) or (B, K, L) say; see `decode`."""
        masks = [self.decode(row).classes for row in np.asarray(tokens)]
        return np.stack(masks) if masks else np.zeros((0, *self.spec.shape), self._class_dtype)

    def events(self, tokens: Iterable[int] | Iterable[Iterable[int]]) -> Iterator[Event]:
        """What tokens do: the runs that `decode` would paint as they come, then `MaskEnded`.

        A change paints when the next one says how far it reaches. In schemes with blocks, runs come
        before the class that closes their block.

        Parameters
        ----------
        tokens : iterable of int, or of K int with `per_field` heads
            Token ids, such as a model that is still writing; no more are taken than the next event
            needs, and none after the eos. Of heads also what `encode` gives, (K, L).
        """
        if isinstance(tokens, np.ndarray) and tokens.ndim == 2:
            tokens = tokens.T
        return self.parser.events(tokens)

    def texts(self, event: Event) -> tuple[str, ...]:
        """What each token of an event says."""
        if isinstance(event, RunPainted):
            return tuple(self.vocab.text(token, k) for k, token in enumerate(event.tokens))
        if isinstance(event, BlockClosed):
            return (f"class {self.spec.class_names[event.label - 1]}",)
        return ()

    def run_pixels(self, event: Event) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Frames, rows and columns (each (n,) integer, in mask pixels) that an event can paint."""
        return self._pixels(event)[:3]

    def paint(self, labels: np.ndarray, event: Event) -> None:
        """Paint what an event says into labels (N, S, S), in place.

        In schemes with blocks, a run whose block is still open paints `open_label` where nothing is
        yet; its block paints the class when it is closed, and the end takes away what was not.
        """
        frames, rows, cols, said = self._pixels(event)
        where = (frames, rows, cols)
        if self.blocks is None:
            labels[where] = said
            return
        seen = said > 0
        where = (frames[seen], rows[seen], cols[seen])
        if isinstance(event, BlockClosed):
            labels[where] = event.label
            return
        now = labels[where]
        if isinstance(event, RunPainted):
            labels[where] = np.where(now == 0, self.open_label, now)
        else:
            labels[where] = np.where(now == self.open_label, 0, now)

    def _pixels(self, event: Event) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Frames, rows, columns and labels (n,) of the runs of an event."""
        if isinstance(event, RunPainted):
            cells = np.arange(event.start, event.start + event.length)
            return self.canvas.pixels(cells, event.labels)
        runs = event.runs if isinstance(event, BlockClosed) else event.dropped
        parts = [self._pixels(run) for run in runs] or [(np.empty(0, np.int64),) * 4]
        frames, rows, cols, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
        return frames, rows, cols, labels

    def find(
        self, classes: np.ndarray, instances: np.ndarray | None
    ) -> tuple[Runs[np.ndarray], np.ndarray, np.ndarray, np.ndarray]:
        """The records of masks (B, N, S, S), before they are fields.

        Returns
        -------
        Runs of (R,) int64
            By mask, block and start.
        (R,) int64
            The block of each, an index into the blocks of all masks; without blocks, the mask.
        (R,) int64
            The mask of each.
        (n_blocks,) int64
            Class ids of the blocks; none without blocks.
        """
        if self.blocks is None:
            runs, row = self.runs.find(self.canvas.flatten(classes))
            return runs, row, row, row[:0]
        ids = self.blocks.ids(classes, instances)
        runs, block, row_of_block, labels = find_in_blocks(ids, classes, self.canvas, self.runs)
        return runs, block, row_of_block[block], labels

    def _find_one(
        self, classes: np.ndarray, instances: np.ndarray | None
    ) -> tuple[Runs[np.ndarray], np.ndarray, np.ndarray]:
        """Records of a mask (N, S, S), the block of each, and the classes of blocks."""
        self._check_mask(classes)
        if self.blocks is not None and instances is not None:
            self._check_instances(instances)
        runs, block, _, labels = self.find(
            classes[None], None if instances is None else instances[None]
        )
        return runs, block, labels

    def fit(
        self,
        runs: Runs[np.ndarray],
        block: np.ndarray,
        row: np.ndarray,
        budget: int,
        drop: Drop,
    ) -> tuple[Runs[np.ndarray], np.ndarray]:
        """The records that `find` gave and a budget for each mask has room for; see `budget.fit`.

        Raises
        ------
        BudgetError
            If there is no room for the eos.
        """
        return fit(
            runs,
            block,
            row,
            self.runs,
            room=self.room(budget),
            cost_of_run=self.cost_of_run,
            cost_of_block=int(self.blocks is not None),
            drop=drop,
        )

    def _write(self, runs: Runs[np.ndarray], table: np.ndarray) -> None:
        for k, (field, offset) in enumerate(self.columns):
            np.add(field.write(runs), offset, out=table[:, k])

    def _draw(self, runs: Runs[np.ndarray], labels: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """A mask (N, S, S) of labels where runs are; in blocks, where their objects are."""
        layers = []
        for digit in self.canvas.digits(runs.symbol):
            if self.blocks is None:
                shown = Runs(runs.start, runs.length, digit)
            else:
                seen = digit.nonzero()[0]
                shown = Runs(runs.start[seen], runs.length[seen], labels[seen])
            layers.append(draw(shown, self.canvas.n_cells, dtype))
        return self.canvas.from_layers(layers)

    @property
    def cost_of_run(self) -> int:
        """Tokens of a budget that each run takes: K, or 1 of each head."""
        return 1 if self.vocab.per_field else self.tokens_per_run

    def room(self, budget: int) -> int:
        """Tokens that a budget leaves beside the eos.

        Raises
        ------
        BudgetError
            If there is no room for the eos.
        """
        if budget < 1:
            raise BudgetError(
                f"a budget of {budget} tokens has no room for the eos; give at least 1"
            )
        return budget - 1

    def _check_free(self, drop: Drop, rng: np.random.Generator | None) -> None:
        if drop not in ("tail", "shortest"):
            raise SchemeError(f"there is no drop={drop!r}; use drop='tail' or drop='shortest'")
        if (drop == "shortest" or rng is not None) and not isinstance(self.runs, Foreground):
            what = "be shuffled" if rng is not None else "be dropped by length"
            raise SchemeError(
                f"runs='{self.scheme.runs}' cannot {what}, as their places follow from those "
                "before; use drop='tail' and no rng, or runs='foreground'"
            )

    def _check_instances(self, instances: np.ndarray) -> None:
        if instances.dtype.kind not in "iub":
            raise DataError(f"instance ids are {instances.dtype}, expected integers")
        if instances.dtype.kind == "i" and instances.min() < 0:
            raise DataError(
                f"instance ids go down to {instances.min()}, expected 0 (none) and higher"
            )

    def _check_mask(self, classes: np.ndarray) -> None:
        if classes.shape != self.spec.shape:
            raise DataError(f"mask is {classes.shape}, the tokenizer is for {self.spec.shape}")
        if classes.dtype.kind not in "iub":
            raise DataError(f"mask is {classes.dtype}, expected integer class ids")
        highest = classes.max()
        lowest = 0 if classes.dtype.kind in "ub" else classes.min()
        if lowest < 0 or highest > self.spec.n_classes:
            raise DataError(
                f"mask has values from {lowest} to {highest}, expected class ids from 0 to "
                f"{self.spec.n_classes}"
            )


def _canvas(scheme: Scheme, spec: MaskSpec) -> Canvas:
    """The plane of a mask, or of one block of it: a mask of one class, the object."""
    in_block = scheme.blocks is not None
    if in_block:
        spec = MaskSpec(size=spec.size, class_names=("object",), n_frames=spec.n_frames)
    canvas = CANVASES[scheme.time, scheme.order]
    if in_block and issubclass(canvas, Volume):
        return canvas(spec, scheme.order, "object")
    return canvas(spec, scheme.order)
