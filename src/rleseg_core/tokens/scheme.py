"""Which tokenization: the choices of a scheme, and the named ones."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Literal, Self

from rleseg_core.checks import from_mapping
from rleseg_core.errors import SchemeError


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """One choice for each stage between a mask and its tokens.

    Parameters
    ----------
    order : {"C", "F"} or another that `FLATTENINGS` has
        Runs go along rows (C) or along columns (F); Sec. II.
    time : {"volume", "class"}
        Frames share one sequence of runs as a volume (3D-C, 3D-F by `order`), or the classes a
        pixel has over time become one symbol (TAC); Sec. IV. The same thing for one frame.
    runs : {"foreground", "tiling", "change"} or another that `RUN_KINDS` has
        Runs of foreground, runs of everything (BAC), or changes only (differential); Sec. II, VI.
    lines : {"joined", "separate"}
        Whether a run goes on in the next row (C) or column (F), or is cut where a line ends; a
        change is then one from the background at the beginning of each line.
    start : {"flat", "coords"} or None
        A run's start is one token (1D), a row and a column token and before them, of several
        frames, a frame token (2D), or implied by the runs before it; Sec. III-A2.
    symbol : {"token", "length"} or None
        A run's class is a token of its own, or one token together with its length (LAC, LTAC), or
        is not written because there is only one; Sec. III-C.
    blocks : {"class", "instance"} or None
        One sequence of runs for the mask, or one for each class (CW) or each instance
        (IW), closed by a class token; Sec. IV-C, D.
    heads : {"one", "per_field"}
        All tokens of a run in one sequence, or one sequence for each field; Fig. 19.
    max_length : int or None
        M, the longest run that one length can say; longer runs are split. None: as long as a row
        (C) or a column (F), which is the paper's S.
    """

    order: str = "C"
    time: str = "volume"
    runs: str = "foreground"
    lines: Literal["joined", "separate"] = "joined"
    start: Literal["flat", "coords"] | None = "flat"
    symbol: Literal["token", "length"] | None = None
    blocks: Literal["class", "instance"] | None = None
    heads: Literal["one", "per_field"] = "one"
    max_length: int | None = None

    def to_json(self) -> dict[str, object]:
        """Plain values for a JSON header."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, object]) -> Self:
        """The scheme that `to_json` gave.

        Raises
        ------
        SchemeError
            If `values` names a choice that schemes do not have.
        """
        return from_mapping(cls, values, SchemeError)


PRESETS: dict[str, Scheme] = {
    "binary": Scheme(),
    "multiclass": Scheme(symbol="token"),
    "lac": Scheme(symbol="length"),
    "bac": Scheme(runs="tiling", start=None, symbol="token"),
    "bac-lac": Scheme(runs="tiling", start=None, symbol="length"),
    "diff": Scheme(runs="change", symbol="token"),
    "diff-rows": Scheme(runs="change", lines="separate", symbol="token"),
    "cw": Scheme(blocks="class"),
    "iw": Scheme(blocks="instance"),
    "multihead": Scheme(start="coords", symbol="token", heads="per_field"),
    "3d-c": Scheme(symbol="token"),
    "3d-f": Scheme(symbol="token", order="F"),
    "tac": Scheme(time="class", symbol="token"),
    "ltac": Scheme(time="class", symbol="length"),
    "cw-tac": Scheme(blocks="class", time="class", symbol="token"),
    "iw-tac": Scheme(blocks="instance", time="class", symbol="token"),
    "text4seg": Scheme(runs="tiling", lines="separate", start=None, symbol="token"),
}
"""The paper's schemes by name; change a start or an order with `preset`."""


def preset(name: str, **changes: str | int | None) -> Scheme:
    """A named scheme with some of its choices changed.

    Parameters
    ----------
    name : str
        A key of `PRESETS`.
    **changes
        Choices of `Scheme` that differ, e.g. ``preset("lac", order="F", start="coords")``.

    Raises
    ------
    SchemeError
        If there is no such preset or no such choice.
    """
    if name not in PRESETS:
        raise SchemeError(f"there is no scheme {name!r}; choose {join_words(PRESETS, 'or')}")
    unknown = changes.keys() - {field.name for field in fields(Scheme)}
    if unknown:
        raise SchemeError(f"a scheme has no {join_words(sorted(unknown))}")
    return replace(PRESETS[name], **changes)  # type: ignore[arg-type]


def join_words(words: Iterable[str], last: str = "and") -> str:
    """Words with commas between them, and `last` before the last."""
    *head, tail = words
    return f"{', '.join(head)} {last} {tail}" if head else tail
