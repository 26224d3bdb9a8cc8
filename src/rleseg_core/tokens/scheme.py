"""Which tokenization: the choices of a scheme, the named ones, and which of them work together."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Literal, Self

from rleseg_core.errors import SchemeError
from rleseg_core.spec import MaskSpec


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """One choice for each stage between a mask and its tokens.

    Parameters
    ----------
    order : {"C", "F"}
        Runs go along rows (C) or along columns (F); Sec. II.
    time : {"volume", "class"}
        Frames share one sequence of runs as a volume (3D-C, 3D-F by `order`), or the classes a
        pixel has over time become one symbol (TAC); Sec. IV. The same thing for one frame.
    runs : {"foreground", "tiling", "change"}
        Runs of foreground, runs of everything (BAC), or changes only (differential); Sec. II, VI.
    start : {"flat", "coords"} or None
        A run's start is one token (1D), a row and a column token (2D), or implied by the runs
        before it; Sec. III-A2.
    symbol : {"token", "length"} or None
        A run's class is a token of its own, or one token together with its length (LAC), or is not
        written because there is only one; Sec. III-C.
    blocks : {"class", "instance"} or None
        One sequence of runs for the mask, or one for each class (CW) or each instance
        (IW); Sec. IV-C, D.
    heads : {"one", "per_field"}
        All tokens of a run in one sequence, or one sequence for each field; Fig. 19.
    max_length : int or None
        M, the longest run that one length can say; longer runs are split. None: as long as a row
        (C) or a column (F), which is the paper's S.
    """

    order: Literal["C", "F"] = "C"
    time: Literal["volume", "class"] = "volume"
    runs: Literal["foreground", "tiling", "change"] = "foreground"
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
}
"""The paper's schemes by name; change a start or an order with `preset`."""

_AVAILABLE: dict[str, tuple[str | None, ...]] = {
    "order": ("C", "F"),
    "time": ("volume",),
    "runs": ("foreground",),
    "start": ("flat", "coords"),
    "symbol": (None, "token", "length"),
    "blocks": (None,),
    "heads": ("one",),
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


def check(scheme: Scheme, spec: MaskSpec) -> None:
    """Raise unless masks of this spec can be written with this scheme.

    Raises
    ------
    SchemeError
        If a choice is not available, or does not fit the number of frames or classes; the message
        gives the values and what works.
    """
    for name, available in _AVAILABLE.items():
        value = getattr(scheme, name)
        if value not in available:
            options = _join([f"{name}={choice!r}" for choice in available], "or")
            raise SchemeError(f"{name}={value!r} is not available; use {options}")
    if spec.n_frames != 1:
        raise SchemeError(f"masks of {spec.n_frames} frames are not available; use n_frames=1")
    n_classes = spec.n_classes
    if n_classes == 1 and scheme.symbol is not None:
        raise SchemeError(
            f"symbol={scheme.symbol!r} would write the only class, {spec.class_names[0]!r}, "
            "with every run and so say nothing; use symbol=None (preset 'binary')"
        )
    if n_classes > 1 and scheme.symbol is None:
        raise SchemeError(
            f"symbol=None cannot tell {n_classes} classes apart; use symbol='length' (preset "
            "'lac') or symbol='token' (preset 'multiclass')"
        )
    max_length = scheme.max_length
    n_pixels = spec.n_frames * spec.n_pixels
    if max_length is not None and not 1 <= max_length <= n_pixels:
        raise SchemeError(
            f"max_length={max_length} must lie between 1 and the {n_pixels} pixels of the mask; "
            "use None for the length of a row or column"
        )


def _join(words: Mapping[str, object] | list[str], last: str = "and") -> str:
    *head, tail = words
    return f"{', '.join(head)} {last} {tail}" if head else tail
