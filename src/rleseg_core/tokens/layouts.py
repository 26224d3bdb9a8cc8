"""Which ids tokens have: ours without gaps, or those of the authors' implementation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from rleseg_core.checks import Index, check_fields
from rleseg_core.errors import SchemeError
from rleseg_core.spec import MaskSpec
from rleseg_core.tokens.fields import (
    BlockLabel,
    CoordStart,
    Delta,
    Field,
    FlatStart,
    Length,
    LengthSymbol,
    Symbol,
)
from rleseg_core.tokens.scheme import Scheme
from rleseg_core.tokens.vocab import SPECIAL, Segment, Vocabulary

PAD, BOS, EOS = 0, 1, 2
_HEADS_OFFSET = 5


class Layout(Protocol):
    """Gives the tokens of a scheme their ids."""

    def place(
        self, fields: tuple[Field, ...], label: BlockLabel | None, scheme: Scheme, spec: MaskSpec
    ) -> Vocabulary:
        """The vocabulary of these fields."""


def build_vocabulary(
    layout: Layout,
    fields: tuple[Field, ...],
    label: BlockLabel | None,
    scheme: Scheme,
    spec: MaskSpec,
    *,
    limit: int,
) -> Vocabulary:
    """The vocabulary of a scheme's fields in a layout.

    Raises
    ------
    SchemeError
        If it has more than `limit` tokens; the message names the largest segment and the remedy.
    """
    vocabulary = layout.place(fields, label, scheme, spec)
    if vocabulary.size > limit:
        largest = max(vocabulary.segments, key=lambda segment: segment.size)
        parts = vocabulary.parts
        part = next((part for part in parts if part.segment == largest.name), parts[0])
        raise SchemeError(
            f"the vocabulary has {vocabulary.size:,} tokens, over the limit of {limit:,}: the "
            f"largest segment, {largest.name}, takes {largest.size:,}; {part.remedy}"
        )
    return vocabulary


@dataclass(frozen=True)
class CompactLayout:
    """Pad, bos, eos, then a segment for each kind of token, without gaps.

    With `per_field` heads each field has ids of its own after the three.
    """

    def place(
        self, fields: tuple[Field, ...], label: BlockLabel | None, scheme: Scheme, spec: MaskSpec
    ) -> Vocabulary:
        """The vocabulary of these fields."""
        per_field = scheme.heads == "per_field"
        parts = fields if label is None else (*fields, label)
        sizes: dict[str, int] = {}
        for part in parts:
            sizes[part.segment] = max(sizes.get(part.segment, 0), part.n_values)
        segments = [Segment("special", 0, len(SPECIAL))]
        for name, size in sizes.items():
            offset = len(SPECIAL) if per_field else segments[-1].end
            segments.append(Segment(name, offset, size))
        return Vocabulary(
            fields=fields,
            label=label,
            segments=tuple(segments),
            per_field=per_field,
            pad=PAD,
            prompts=(BOS,) * (len(fields) if per_field else 1),
            eos=EOS,
            size=max(segment.end for segment in segments),
        )


@dataclass(frozen=True, kw_only=True)
class PublishedLayout:
    """Ids as in the authors' code: offsets for starts, lengths and classes.

    Pixel s has start id ``starts_offset + 1 + s`` (rows and columns likewise), length l has
    ``lengths_offset + l``, class k ``class_offset + k``; a class fused with a length counts from
    `class_offset` too.

    Parameters
    ----------
    starts_offset, lengths_offset, class_offset : int, optional
        None: chosen as the authors' scripts do, from 1000, 200 and 100 (1000, 100 and 0 for one
        class in images), each raised to the next hundred where the range before it needs that.
        With a head for each field all are 5.
    shared_coord : bool
        Lengths have the ids of 2D starts, if no offset says otherwise.
    prompt : int, optional
        What a model is given to begin with. None: 21 for images, 22 for videos, 1, 2, ... for
        heads; their models that see only the first frame of a video have 24.
    vocab_size : int, optional
        V of a checkpoint, if larger than needed.
    """

    starts_offset: int | None = None
    lengths_offset: int | None = None
    class_offset: int | None = None
    shared_coord: bool = False
    prompt: Index | None = None
    vocab_size: Index | None = None

    def __post_init__(self) -> None:
        check_fields(self, SchemeError, "layout.")

    def place(
        self, fields: tuple[Field, ...], label: BlockLabel | None, scheme: Scheme, spec: MaskSpec
    ) -> Vocabulary:
        """The vocabulary of these fields.

        Raises
        ------
        SchemeError
            If the authors' ids have no room for a token, or `vocab_size` is too small.
        """
        offsets = self.offsets(fields, scheme, spec)
        segments: dict[str, Segment] = {}
        for part in fields if label is None else (*fields, label):
            offset = _first_id(part, *offsets)
            placed = segments.get(part.segment)
            size = max(part.n_values, placed.size if placed is not None else 0)
            segments[part.segment] = Segment(part.segment, offset, size)
        if label is not None:
            _check_apart(segments[label.segment], segments[fields[0].segment])
        end = max(segment.end for segment in segments.values())
        if self.vocab_size is not None and self.vocab_size < end:
            raise SchemeError(
                f"vocab_size={self.vocab_size} is too small for ids up to {end - 1}; use {end} or "
                "more, or other offsets"
            )
        per_field = scheme.heads == "per_field"
        first = self.prompt or (1 if per_field else 22 if spec.n_frames > 1 else 21)
        prompts = tuple(range(first, first + len(fields))) if per_field else (first,)
        special = [Segment("pad, eos", 0, 1), Segment("prompt", first, len(prompts))]
        return Vocabulary(
            fields=fields,
            label=label,
            segments=(*sorted(segments.values(), key=lambda s: s.offset), *special),
            per_field=per_field,
            pad=0,
            prompts=prompts,
            eos=0,
            size=max(end, self.vocab_size or 0, prompts[-1] + 1),
        )

    def offsets(
        self, fields: tuple[Field, ...], scheme: Scheme, spec: MaskSpec
    ) -> tuple[int, int, int]:
        """Offsets of starts, lengths and classes, those given and those chosen."""
        n = spec.n_classes + 1
        video = spec.n_frames > 1
        if scheme.heads == "per_field":
            defaults = (_HEADS_OFFSET,) * 3
        elif n == 2 and not video and not any(map(_writes_background, fields)):
            defaults = (1000, 100, 0)
        else:
            defaults = (1000, 200, 100)
        starts, lengths, classes = defaults
        classes = classes if self.class_offset is None else self.class_offset
        lengths = lengths if self.lengths_offset is None else self.lengths_offset
        longest = max((getattr(field, "max_length", 0) for field in fields), default=0)
        n_symbols = n**spec.n_frames if scheme.time == "class" else n
        needed = 0
        if scheme.heads == "per_field":
            pass
        elif any(isinstance(field, Delta) for field in fields):
            needed = classes + 2 * n_symbols
        elif scheme.symbol == "length":
            lengths = classes
            needed = _to_hundred(starts, classes + longest * (n_symbols - 1))
        else:
            if self.lengths_offset is None:
                lengths = max(lengths, _to_hundred(lengths, classes + n_symbols))
            needed = _to_hundred(starts, lengths + longest)
        starts = lengths if self.shared_coord else max(starts, needed)
        return starts if self.starts_offset is None else self.starts_offset, lengths, classes


def _writes_background(field: Field) -> bool:
    return isinstance(field, Symbol | LengthSymbol) and field.first == 0


def _first_id(part: Field, starts: int, lengths: int, classes: int) -> int:
    """The id of the value 0 of a field or label, from the offsets of starts, lengths and classes.

    Raises
    ------
    SchemeError
        If the authors' ids have no room for it.
    """
    if min(starts, lengths, classes) < 0:
        raise SchemeError(
            f"offsets must not be negative, got {starts} for starts, {lengths} for lengths and "
            f"{classes} for classes"
        )
    offset = classes + 1
    match part:
        case CoordStart() if part.segment == "frame":
            raise SchemeError(
                "start='coords' of several frames has no published ids; use start='flat' or "
                "time='class'"
            )
        case FlatStart() | CoordStart():
            offset = starts + 1
        case Length():
            offset = lengths + 1
        case LengthSymbol() if part.first == 0:
            offset = classes + 1 - part.max_length  # background lies below the classes
        case Symbol() if part.first == 0:
            offset = classes
        case LengthSymbol() | Symbol() | Delta() | BlockLabel():
            pass
        case _:
            raise SchemeError(f"{part.name} tokens have no published ids; use layout=None")
    if offset < 0 or (offset == 0 and not isinstance(part, Symbol)):
        raise SchemeError(
            f"class_offset={classes} gives {part.name} tokens ids from {offset} on, where 0 is "
            f"padding; use class_offset={classes + 1 - offset} or more"
        )
    return offset


def _to_hundred(offset: int, needed: float) -> int:
    """The offset, or if it is below what is needed, the next hundred above that."""
    return offset if offset >= needed else math.ceil(needed / 100) * 100


def _check_apart(label: Segment, start: Segment) -> None:
    if label.offset < start.end and start.offset < label.end:
        raise SchemeError(
            f"the classes that close blocks, {label.offset} to {label.end - 1}, share ids with "
            f"{start.name}, {start.offset} to {start.end - 1}; use offsets that keep them apart"
        )
