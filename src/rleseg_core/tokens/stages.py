"""What a compiled scheme consists of: one object for each stage between a mask and its tokens."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from rleseg_core.errors import BudgetError
from rleseg_core.spec import MaskSpec, StartGrid, SymbolTokens
from rleseg_core.tokens.blocks import Blocks, ClassBlocks, InstanceBlocks
from rleseg_core.tokens.choices import check
from rleseg_core.tokens.fields import BlockLabel, Delta, Field, Symbol
from rleseg_core.tokens.flattening import FLATTENINGS, Flattening
from rleseg_core.tokens.grammar import Grammar
from rleseg_core.tokens.layouts import CompactLayout, Layout, build_vocabulary
from rleseg_core.tokens.parse import Parser
from rleseg_core.tokens.runs import RUN_KINDS, RunKind
from rleseg_core.tokens.scheme import Scheme
from rleseg_core.tokens.vocab import Vocabulary


@dataclass(frozen=True, eq=False)
class Stages:
    """A compiled scheme.

    Parameters
    ----------
    scheme : Scheme
        What was compiled.
    spec : MaskSpec
        The masks it is for.
    flattening : Flattening
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
    flattening: Flattening
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
    ) -> Self:
        """The stages of a scheme for masks of a spec.

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
        in_blocks: dict[str | None, Blocks | None] = {
            None: None,
            "class": ClassBlocks(),
            "instance": InstanceBlocks(),
        }
        blocks = in_blocks[scheme.blocks]
        flatten = FLATTENINGS[scheme.time, scheme.order]
        flattening: Flattening = (
            flatten(spec, scheme.order) if blocks is None else flatten.of_block(spec, scheme.order)
        )
        line = flattening.line if scheme.lines == "separate" else flattening.n_pixels
        kind = RUN_KINDS[scheme.runs].on(flattening, line, scheme.max_length or flattening.line)
        vocab = build_vocabulary(
            layout or CompactLayout(),
            kind.fields(scheme, flattening),
            BlockLabel(spec.class_names) if blocks is not None else None,
            scheme,
            spec,
            limit=vocab_limit,
        )
        parser = Parser(vocab, flattening, kind, blocks)
        return cls(scheme, spec, flattening, blocks, kind, vocab, parser)

    @cached_property
    def grammar(self) -> Grammar:
        """Which token may follow."""
        return Grammar.build(self.vocab, self.runs, self.blocks)

    @property
    def tokens_per_run(self) -> int:
        """K, the tokens that each run takes."""
        return len(self.vocab.fields)

    @property
    def cost_of_run(self) -> int:
        """Tokens of a budget that each run takes: K, or 1 of each head."""
        return 1 if self.vocab.per_field else self.tokens_per_run

    @cached_property
    def class_dtype(self) -> np.dtype:
        """The smallest unsigned type that holds all class ids."""
        return np.min_scalar_type(self.spec.n_classes)

    @cached_property
    def columns(self) -> tuple[tuple[Field, int], ...]:
        """The K fields of a run, and the id of the value 0 of each."""
        return tuple(zip(self.vocab.fields, self.vocab.offsets, strict=True))

    @property
    def max_length(self) -> int | None:
        """M, the longest run that one length can say; None where runs have no lengths."""
        return self.runs.max_length if self.runs.has_lengths else None

    @property
    def open_label(self) -> int:
        """What `Tokenizer.paint` gives pixels of a block that is not closed yet: C + 1."""
        return self.spec.n_classes + 1

    @property
    def start_grid(self) -> StartGrid | None:
        """Where runs begin, told from tokens; None where a start is not a pixel of one plane.

        So it is for other orders than "C" and "F", and for rows and columns of several frames. Of
        several heads the ids are those of each.
        """
        scheme, vocab = self.scheme, self.vocab
        start = self.runs.start_tokens(scheme)
        n_frames = self.flattening.n_pixels // self.spec.n_pixels
        if start is None or scheme.order not in ("C", "F") or (start == "coords" and n_frames > 1):
            return None
        offsets = {field.name: offset for field, offset in self.columns}
        if start == "coords" and offsets["row"] != offsets["col"]:
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
            start=start,
            stops=tuple(stops),
            n_frames=n_frames,
        )

    @property
    def symbol_tokens(self) -> SymbolTokens | None:
        """What runs say of classes; None where a model needs no more than their starts and ends.

        So it is for runs of foreground whose class is that of their block, the only one, or one
        token with the length.
        """
        runs, scheme, flattening = self.runs.read_off, self.scheme, self.flattening
        fused = scheme.symbol != "token"
        if runs is None or (fused and runs == "foreground" and flattening.n_layers == 1):
            return None
        if runs == "change" and flattening.n_layers > 1:
            return None
        offsets = [offset for field, offset in self.columns if isinstance(field, Symbol | Delta)]
        return SymbolTokens(
            runs=runs,
            n_classes=1 if self.blocks is not None else self.spec.n_classes,
            n_frames=flattening.n_layers,
            offset=None if fused else offsets[0],
            line=self.runs.line,
        )

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
