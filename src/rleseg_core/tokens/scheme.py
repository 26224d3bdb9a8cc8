"""Which tokenization: the choices of a scheme, the named ones, and which of them work together."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Literal, Self

from rleseg_core.errors import SchemeError
from rleseg_core.spec import MaskSpec
from rleseg_core.tokens.canvas import CANVASES
from rleseg_core.tokens.runs import RUN_KINDS


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """One choice for each stage between a mask and its tokens.

    Parameters
    ----------
    order : {"C", "F"} or another that `CANVASES` has
        Runs go along rows (C) or along columns (F); Sec. II.
    time : {"volume", "class"}
        Frames share one sequence of runs as a volume (3D-C, 3D-F by `order`), or the classes a
        pixel has over time become one symbol (TAC); Sec. IV. The same thing for one frame.
    runs : {"foreground", "tiling", "change"}
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
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise SchemeError(
                f"a scheme has no {_join(sorted(unknown))}; it was written by a newer version"
            )
        return cls(**values)  # type: ignore[arg-type]


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

_CHOICES: dict[str, Iterable[str | None]] = {
    "lines": ("joined", "separate"),
    "start": ("flat", "coords", None),
    "symbol": (None, "token", "length"),
    "blocks": (None, "class", "instance"),
    "heads": ("one", "per_field"),
}


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
        raise SchemeError(f"there is no scheme {name!r}; choose {_join(PRESETS, 'or')}")
    unknown = changes.keys() - {field.name for field in fields(Scheme)}
    if unknown:
        raise SchemeError(f"a scheme has no {_join(sorted(unknown))}")
    return replace(PRESETS[name], **changes)  # type: ignore[arg-type]


def for_classes(scheme: Scheme, n_classes: int) -> Scheme:
    """The scheme that writes masks of that many classes in the same way.

    Runs of a single class say no class, so LAC becomes binary there, and binary LAC elsewhere;
    schemes whose symbols say more than a class stay as they are.
    """
    if scheme.runs != "foreground" or scheme.blocks is not None or scheme.time == "class":
        return scheme
    if n_classes == 1:
        return replace(scheme, symbol=None)
    return scheme if scheme.symbol is not None else replace(scheme, symbol="length")


def check(scheme: Scheme, spec: MaskSpec) -> None:
    """Raise unless masks of this spec can be written with this scheme.

    Raises
    ------
    SchemeError
        If a choice does not exist, or does not fit the others or the number of frames or classes;
        the message gives the values and what works.
    """
    _check_choices(scheme)
    if scheme.time == "class" and spec.n_frames == 1:
        raise SchemeError(
            "time='class' makes one symbol of the classes of several frames, the masks have 1; use "
            "time='volume' or n_frames=2 or more"
        )
    if scheme.time == "class" and spec.n_frames * math.log2(spec.n_classes + 1) > 60:
        raise SchemeError(
            f"time='class' has over 10^18 symbols for {spec.n_frames} frames and "
            f"{spec.n_classes} classes; use time='volume' or fewer frames"
        )
    if scheme.runs == "tiling" and scheme.start is not None:
        raise SchemeError(
            f"start={scheme.start!r} would be written in vain: runs='tiling' follow one another "
            "without gaps; use start=None or runs='foreground'"
        )
    if scheme.runs != "tiling" and scheme.start is None:
        raise SchemeError(
            f"runs={scheme.runs!r} cannot be placed with start=None; use start='flat', "
            "start='coords' or runs='tiling'"
        )
    _check_symbol(scheme, spec)
    if scheme.heads == "per_field":
        _check_heads(scheme)
    _check_max_length(scheme, spec)


def _check_choices(scheme: Scheme) -> None:
    times, orders = (dict.fromkeys(names) for names in zip(*CANVASES, strict=True))
    offered: dict[str, Iterable[str | None]] = {"order": orders, "time": times, "runs": RUN_KINDS}
    offered |= _CHOICES
    for name, choices in offered.items():
        value = getattr(scheme, name)
        if value not in list(choices):
            options_text = _join([f"{name}={choice!r}" for choice in choices], "or")
            raise SchemeError(f"there is no {name}={value!r}; use {options_text}")
    if (scheme.time, scheme.order) not in CANVASES:
        fitting = [f"order={order!r}" for time, order in CANVASES if time == scheme.time]
        options_text = _join(fitting, "or")
        raise SchemeError(
            f"time={scheme.time!r} knows no order={scheme.order!r}; use {options_text}"
        )


def _check_symbol(scheme: Scheme, spec: MaskSpec) -> None:
    if scheme.runs == "change":
        if scheme.symbol != "token":
            what = "has no length to fuse" if scheme.symbol else "must say what changes"
            raise SchemeError(
                f"runs='change' with symbol={scheme.symbol!r}: a change {what}; use symbol='token'"
            )
        return
    if scheme.runs == "tiling":
        if scheme.symbol is None:
            raise SchemeError(
                "runs='tiling' with symbol=None cannot tell the background from the rest; use "
                "symbol='token' or symbol='length'"
            )
        return
    if scheme.time == "class":
        if scheme.symbol is None:
            raise SchemeError(
                "time='class' with symbol=None cannot tell when a pixel is covered; use "
                "symbol='token' (preset 'tac') or symbol='length' (preset 'ltac')"
            )
        return
    if scheme.blocks is not None:
        if scheme.symbol is not None:
            raise SchemeError(
                f"symbol={scheme.symbol!r} would say with every run what closes its block: "
                f"blocks={scheme.blocks!r} write the class once; use symbol=None or blocks=None"
            )
        return
    if spec.n_classes == 1 and scheme.symbol is not None:
        raise SchemeError(
            f"symbol={scheme.symbol!r} would write the only class, {spec.class_names[0]!r}, "
            "with every run and so say nothing; use symbol=None (preset 'binary')"
        )
    if spec.n_classes > 1 and scheme.symbol is None:
        raise SchemeError(
            f"symbol=None cannot tell {spec.n_classes} classes apart; use symbol='length' (preset "
            "'lac'), symbol='token' (preset 'multiclass') or blocks='class' (preset 'cw')"
        )


def _check_heads(scheme: Scheme) -> None:
    if scheme.blocks is not None:
        raise SchemeError(
            f"heads='per_field' writes runs only, and blocks={scheme.blocks!r} need a token to "
            "close each block; use heads='one' or blocks=None"
        )
    if scheme.runs == "tiling" and scheme.symbol == "length":
        raise SchemeError(
            "heads='per_field' needs runs of several tokens, runs='tiling' with symbol='length' "
            "have one; use heads='one' or symbol='token'"
        )


def _check_max_length(scheme: Scheme, spec: MaskSpec) -> None:
    max_length = scheme.max_length
    if max_length is None:
        return
    if not isinstance(max_length, int) or isinstance(max_length, bool):
        raise SchemeError(f"max_length={max_length!r} must be a whole number, or None")
    if scheme.runs == "change":
        raise SchemeError(
            f"max_length={max_length} says nothing of runs='change', which have no lengths; use "
            "max_length=None"
        )
    canvas = CANVASES[scheme.time, scheme.order](spec, scheme.order)
    longest, what = canvas.n_cells, "pixels of the mask"
    if scheme.lines == "separate":
        longest, what = canvas.line, "pixels of a line with lines='separate'"
    if not 1 <= max_length <= longest:
        raise SchemeError(
            f"max_length={max_length} must lie between 1 and the {longest} {what}; use None for "
            "the length of a row or column"
        )


def _join(words: Mapping[str, object] | list[str], last: str = "and") -> str:
    *head, tail = words
    return f"{', '.join(head)} {last} {tail}" if head else tail
