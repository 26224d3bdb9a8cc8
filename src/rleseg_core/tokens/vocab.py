"""Named ranges of token ids, and what an id says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from rleseg_core.errors import SchemeError
from rleseg_core.tokens.fields import Field

PAD, BOS, EOS = 0, 1, 2
_SPECIAL = ("pad", "bos", "eos")


@dataclass(frozen=True)
class Segment:
    """A named range of token ids.

    Parameters
    ----------
    name : str
        What its tokens say, e.g. "start".
    offset : int
        Its first id.
    size : int
        How many ids it has.
    """

    name: str
    offset: int
    size: int

    @property
    def end(self) -> int:
        """The id after its last."""
        return self.offset + self.size


@dataclass(frozen=True)
class Vocabulary:
    """All token ids of a scheme: pad, bos, eos, then a segment for each kind of token.

    Parameters
    ----------
    fields : tuple of Field
        The fields of a run in the order they are written; those of one segment share its ids.
    """

    fields: tuple[Field, ...]

    @classmethod
    def build(cls, fields: Sequence[Field], *, limit: int) -> Vocabulary:
        """The vocabulary of a run's fields.

        Raises
        ------
        SchemeError
            If it has more than `limit` tokens; the message names the largest segment
            and the remedy.
        """
        vocabulary = cls(tuple(fields))
        if vocabulary.size > limit:
            largest = max(vocabulary.segments, key=lambda segment: segment.size)
            field = next(field for field in fields if field.segment == largest.name)
            raise SchemeError(
                f"the vocabulary has {vocabulary.size:,} tokens, over the limit of {limit:,}: the "
                f"largest segment, {largest.name}, takes {largest.size:,}; {field.remedy}"
            )
        return vocabulary

    @property
    def pad(self) -> int:
        """Id that fills up a batch."""
        return PAD

    @property
    def bos(self) -> int:
        """Id that a model is given to begin with; sequences do not hold it."""
        return BOS

    @property
    def eos(self) -> int:
        """Id that ends a sequence."""
        return EOS

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """The segments by offset: "special" (pad, bos, eos), then those of the fields."""
        sizes: dict[str, int] = {"special": len(_SPECIAL)}
        for field in self.fields:
            sizes[field.segment] = max(sizes.get(field.segment, 0), field.n_values)
        segments: list[Segment] = []
        for name, size in sizes.items():
            segments.append(Segment(name, segments[-1].end if segments else 0, size))
        return tuple(segments)

    @property
    def size(self) -> int:
        """V, the number of ids."""
        return self.segments[-1].end

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """For each field of a run, the id of its value 0."""
        return tuple(self.segment(field.segment).offset for field in self.fields)

    def segment(self, name: str) -> Segment:
        """The segment of that name.

        Raises
        ------
        SchemeError
            If there is none.
        """
        for segment in self.segments:
            if segment.name == name:
                return segment
        names = ", ".join(segment.name for segment in self.segments)
        raise SchemeError(f"there is no segment {name!r} in this vocabulary, only {names}")

    def segment_of(self, token: int) -> Segment:
        """The segment that a token id from 0 to V - 1 lies in.

        Raises
        ------
        SchemeError
            If the id lies outside the vocabulary.
        """
        for segment in self.segments:
            if segment.offset <= token < segment.end:
                return segment
        raise SchemeError(f"token {token} is outside the vocabulary, 0 to {self.size - 1}")

    def text(self, token: int) -> str:
        """What a token says, e.g. "start 37 · row 1, col 5" or "length 4 · ipsc"."""
        segment = self.segment_of(token)
        if segment.name == "special":
            return _SPECIAL[token]
        sharing = [field for field in self.fields if field.segment == segment.name]
        field = max(sharing, key=lambda field: field.n_values)
        return field.text(token - segment.offset)

    def describe(self) -> str:
        """A table of the segments: name, number of ids, range, and what the ends say."""
        rows = [("segment", "tokens", "ids", "from", "to")]
        for segment in self.segments:
            first, last = segment.offset, segment.end - 1
            ids = f"{first} … {last}"
            rows.append((segment.name, f"{segment.size}", ids, self.text(first), self.text(last)))
        rows.append(("all", f"{self.size}", f"0 … {self.size - 1}", "", ""))
        widths = [max(len(row[k]) for row in rows) for k in range(5)]
        lines = ("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows)
        return "\n".join(line.rstrip() for line in lines)
