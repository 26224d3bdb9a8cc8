"""Named ranges of token ids, and what each id means."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from rleseg_core.errors import SchemeError
from rleseg_core.tokens.fields import BlockLabel, Field

ANY_VOCABULARY = 2**63 - 1
"""A limit on the vocabulary that nothing exceeds."""
SPECIAL = ("pad", "bos", "eos")
"""What the ids of the segment "special" are, from 0."""


@dataclass(frozen=True)
class Segment:
    """A named range of token ids.

    Parameters
    ----------
    name : str
        What its tokens stand for, e.g. "start".
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
    """All token ids of a scheme; a `Layout` gives their ids.

    Parameters
    ----------
    fields : tuple of Field
        The fields of a run in the order they are written.
    label : BlockLabel or None
        What closes a block, in schemes that have blocks.
    segments : tuple of Segment
        By offset. Segments of different names may share ids only where a token's position in the
        sequence says which of them is meant; with `per_field` heads they all do.
    per_field : bool
        Each field has a sequence, and so ids, of its own.
    pad : int
        Id that fills up a batch.
    prompts : tuple of int
        Ids that a model is given to begin with, one for each head; sequences do not hold them.
    eos : int
        Id that ends a sequence.
    size : int
        V, the number of ids; with `per_field` heads that of the largest.
    """

    fields: tuple[Field, ...]
    label: BlockLabel | None
    segments: tuple[Segment, ...]
    per_field: bool
    pad: int
    prompts: tuple[int, ...]
    eos: int
    size: int

    @property
    def bos(self) -> int:
        """The first of the `prompts`."""
        return self.prompts[0]

    @property
    def parts(self) -> tuple[Field, ...]:
        """The fields, and the label if there is one."""
        return self.fields if self.label is None else (*self.fields, self.label)

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """For each field of a run, the id of its value 0."""
        return tuple(self.segment(field.segment).offset for field in self.fields)

    @cached_property
    def label_offset(self) -> int:
        """The id of the first class that closes a block; -1 without blocks."""
        return -1 if self.label is None else self.segment(self.label.segment).offset

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
        """The segment that a token id from 0 to V - 1 lies in; the first of those that share it.

        Raises
        ------
        SchemeError
            If the id lies outside the vocabulary, or in a gap of it.
        """
        for segment in self.segments:
            if segment.offset <= token < segment.end:
                return segment
        where = "in no segment of" if 0 <= token < self.size else "outside"
        raise SchemeError(f"token {token} is {where} the vocabulary, 0 to {self.size - 1}")

    def text(self, token: int, field: int | None = None) -> str:
        """What a token means, e.g. "start 37 · row 1, col 5" or "length 4 · ipsc".

        Parameters
        ----------
        token : int
            Its id.
        field : int, optional
            Index of the field of a run that it stands for. Without it the id alone must do, and of
            fields that share ids the first that has it speaks for all.

        Raises
        ------
        SchemeError
            If the id lies outside the vocabulary.
        """
        if field is not None:
            return self.fields[field].text(token - self.offsets[field])
        segment = self.segment_of(token)
        value = token - segment.offset
        sharing = [part for part in self.parts if part.segment == segment.name]
        if not sharing:
            return SPECIAL[value] if segment.name == "special" else segment.name
        part = next(part for part in sharing if value < part.n_values)
        if len(sharing) > 1 and part.segment == "coord":
            return f"row or col {value}"
        return part.text(value)

    def describe(self) -> str:
        """A table of the segments: name, number of ids, range, and what the ends say."""
        rows = [("segment", "tokens", "ids", "from", "to")]
        for segment in self.segments:
            first, last = segment.offset, segment.end - 1
            ids = f"{first} … {last}"
            rows.append((segment.name, f"{segment.size}", ids, *self._ends(segment)))
        rows.append(("all", f"{self.size}", f"0 … {self.size - 1}", "", ""))
        widths = [max(len(row[k]) for row in rows) for k in range(5)]
        lines = ("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows)
        return "\n".join(line.rstrip() for line in lines)

    def _ends(self, segment: Segment) -> tuple[str, str]:
        """What the first and the last id of a segment say."""
        sharing = [part for part in self.parts if part.segment == segment.name]
        if not sharing:
            names = SPECIAL if segment.name == "special" else (segment.name,)
            return names[0], names[-1]
        if len(sharing) > 1 and segment.name == "coord":
            return "row or col 0", f"row or col {segment.size - 1}"
        part = max(sharing, key=lambda part: part.n_values)
        return part.text(0), part.text(part.n_values - 1)
