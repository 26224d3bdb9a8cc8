"""Which choices of a scheme there are, and which of them go together."""

import math
from collections.abc import Iterable

from rleseg_core.errors import SchemeError
from rleseg_core.spec import MaskSpec
from rleseg_core.tokens.flattening import FLATTENINGS
from rleseg_core.tokens.runs import RUN_KINDS
from rleseg_core.tokens.scheme import Scheme, join_words

_CHOICES: dict[str, Iterable[str | None]] = {
    "lines": ("joined", "separate"),
    "start": ("flat", "coords", None),
    "symbol": (None, "token", "length"),
    "blocks": (None, "class", "instance"),
    "heads": ("one", "per_field"),
}


def for_classes(scheme: Scheme, n_classes: int) -> Scheme:
    """The scheme that writes masks of that many classes in the same way.

    Runs of a single class say no class, so LAC becomes binary there, and binary LAC elsewhere;
    schemes whose symbols say more than a class stay as they are.
    """
    kind = RUN_KINDS.get(scheme.runs)
    return scheme if kind is None else kind.for_classes(scheme, n_classes)


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
    RUN_KINDS[scheme.runs].check(scheme, spec)
    if scheme.heads == "per_field":
        _check_heads(scheme)
    _check_max_length(scheme, spec)


def _check_choices(scheme: Scheme) -> None:
    times, orders = (dict.fromkeys(names) for names in zip(*FLATTENINGS, strict=True))
    offered: dict[str, Iterable[str | None]] = {"order": orders, "time": times, "runs": RUN_KINDS}
    offered |= _CHOICES
    for name, choices in offered.items():
        value = getattr(scheme, name)
        if value not in list(choices):
            options_text = join_words([f"{name}={choice!r}" for choice in choices], "or")
            raise SchemeError(f"there is no {name}={value!r}; use {options_text}")
    if (scheme.time, scheme.order) not in FLATTENINGS:
        fitting = [f"order={order!r}" for time, order in FLATTENINGS if time == scheme.time]
        options_text = join_words(fitting, "or")
        raise SchemeError(
            f"time={scheme.time!r} knows no order={scheme.order!r}; use {options_text}"
        )


def _check_heads(scheme: Scheme) -> None:
    if scheme.blocks is not None:
        raise SchemeError(
            f"heads='per_field' writes runs only, and blocks={scheme.blocks!r} need a token to "
            "close each block; use heads='one' or blocks=None"
        )
    if scheme.start is None and scheme.symbol == "length":
        raise SchemeError(
            f"heads='per_field' needs runs of several tokens, runs={scheme.runs!r} with "
            "symbol='length' have one; use heads='one' or symbol='token'"
        )


def _check_max_length(scheme: Scheme, spec: MaskSpec) -> None:
    max_length = scheme.max_length
    if max_length is None:
        return
    if not isinstance(max_length, int) or isinstance(max_length, bool):
        raise SchemeError(f"max_length={max_length!r} must be a whole number, or None")
    if not RUN_KINDS[scheme.runs].has_lengths:
        raise SchemeError(
            f"max_length={max_length} says nothing of runs={scheme.runs!r}, which have no "
            "lengths; use max_length=None"
        )
    flattening = FLATTENINGS[scheme.time, scheme.order](spec, scheme.order)
    longest, what = flattening.n_pixels, "pixels of the mask"
    if scheme.lines == "separate":
        longest, what = flattening.line, "pixels of a line with lines='separate'"
    if not 1 <= max_length <= longest:
        raise SchemeError(
            f"max_length={max_length} must lie between 1 and the {longest} {what}; use None for "
            "the length of a row or column"
        )
