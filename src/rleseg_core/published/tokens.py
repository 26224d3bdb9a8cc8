"""The tokenizer that the authors' parameters describe, and their way of reading noisy tokens.

What their code gets wrong is not here, but for `read_leniently`, which shows what its users saw.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from rleseg_core.errors import SchemeError
from rleseg_core.spec import MaskSpec
from rleseg_core.tokens import Decoded, PublishedLayout, Scheme, Tokenizer

_VOCAB_LIMIT = 2**31


def published_tokenizer(params: Mapping[str, object]) -> Tokenizer:
    """The tokenizer that the authors' parameters describe, with their ids.

    Parameters
    ----------
    params : mapping
        `n_classes` (the background among them) or `C` (without); `shape` (S, S) or (N, S, S), or
        `S`; `vid_len`; `flat_order`; `starts_2d`; `length_as_class`; `time_as_class`;
        `bkg_as_class`; `diff_mask` (1: in each row, 2: in the flat mask); `shared_coord`;
        `class_wise`; `instance_wise`; `mhd`; `max_length_sub`, the longest run in mask pixels, or
        `max_length`, that in patch pixels, with `subsample`; `starts_offset`, `lengths_offset`,
        `class_offset`; `vocab_size`. All but the classes and the size may be missing, others are
        not looked at. `class_names` names the classes.

    Raises
    ------
    SchemeError
        If something needed is missing, or the choices do not go together.
    """
    given = _Given(params)
    n_classes = given.number("n_classes") or given.number("C") + 1
    names = params.get("class_names") or tuple(f"class{k}" for k in range(1, n_classes))
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise SchemeError(f"class_names must be a list of names, got {names!r}")
    n_frames, size = given.shape()
    order, diff = str(params.get("flat_order", "C")), given.number("diff_mask")
    if diff not in (0, 1, 2):
        raise SchemeError(f"diff_mask={diff} is none of 0, 1 (in each row) and 2 (in all)")
    if diff == 1 and order == "F":
        raise SchemeError(
            "diff_mask=1 with flat_order='F' takes differences along rows and writes them by "
            "column; use flat_order='C', or our runs='change', lines='separate', order='F'"
        )
    in_blocks = "class" if given.number("class_wise") else None
    if given.number("instance_wise", default=int("instance_classes" in params)):
        in_blocks = "instance"
    fused, shared = bool(given.number("length_as_class")), bool(given.number("shared_coord"))
    if fused and (in_blocks or shared):
        raise SchemeError(
            "length_as_class=1 goes with neither blocks (class_wise, instance_wise) nor "
            "shared_coord; use length_as_class=0"
        )
    with_background = bool(given.number("bkg_as_class")) and not diff
    time = "class" if given.number("time_as_class") and n_frames > 1 else "volume"
    symbol: str | None = "length" if fused else "token"
    plain = not diff and not with_background and time == "volume"
    if plain and (n_classes == 2 or in_blocks):
        symbol = None
    heads = given.number("mhd")
    coords = given.number("starts_2d") or heads
    scheme = Scheme(
        order=order,
        time=time,
        runs="change" if diff else "tiling" if with_background else "foreground",
        lines="separate" if diff == 1 else "joined",
        start=None if with_background else "coords" if coords else "flat",
        symbol=symbol,  # type: ignore[arg-type]
        blocks=in_blocks,  # type: ignore[arg-type]
        heads="per_field" if heads else "one",
        max_length=None if diff else given.longest(),
    )
    layout = PublishedLayout(
        starts_offset=given.number_or_none("starts_offset"),
        lengths_offset=given.number_or_none("lengths_offset"),
        class_offset=given.number_or_none("class_offset"),
        shared_coord=shared,
        vocab_size=given.number("vocab_size") or given.number("V") or None,
    )
    spec = MaskSpec(size=size, class_names=tuple(map(str, names)), n_frames=n_frames)
    return Tokenizer.build(scheme, spec, vocab_limit=_VOCAB_LIMIT, layout=layout)


class _Given:
    """Parameters by their published names, which configs hold as numbers or as text."""

    def __init__(self, params: Mapping[str, object]) -> None:
        self._params = params

    def number_or_none(self, name: str) -> int | None:
        value = self._params.get(name)
        return None if value is None else _integer(name, value)

    def number(self, name: str, default: int = 0) -> int:
        value = self.number_or_none(name)
        return default if value is None else value

    def shape(self) -> tuple[int, tuple[int, int]]:
        """Frames, and rows and columns."""
        shape, n_frames = self._params.get("shape"), self.number("vid_len")
        if shape is None and self._params.get("S") is not None:
            shape = (self._params["S"],) * 2
        if shape is None:
            raise SchemeError("the mask has no size; give 'shape' as (rows, columns), or 'S'")
        sides = tuple(shape) if isinstance(shape, Iterable) and not isinstance(shape, str) else ()
        if len(sides) not in (2, 3):
            raise SchemeError(
                f"shape={shape!r} must be (rows, columns), or with the frames before them"
            )
        *frames, rows, cols = (_integer("shape", side) for side in sides)
        if frames and n_frames and frames[0] != n_frames:
            raise SchemeError(f"shape={shape!r} has {frames[0]} frames, vid_len is {n_frames}")
        return (frames[0] if frames else n_frames or 1), (rows, cols)

    def longest(self) -> int | None:
        """The longest run in mask pixels; None where it is not given."""
        in_patch = self.number("max_length") // (self.number("subsample") or 1)
        return self.number("max_length_sub") or in_patch or None


def _integer(name: str, value: object) -> int:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    if not number.is_integer():
        raise SchemeError(f"{name}={value!r} must be a whole number")
    return int(number)


def read_leniently(tokenizer: Tokenizer, tokens: np.ndarray) -> Decoded:
    """The mask that the authors' code makes of noisy tokens, its flaws included.

    All zeros go, wherever they are. Then every K tokens are a run, so one token lost or too many
    spoils the rest. A run is dropped if its start is outside the mask, or its length or class is
    not positive; of a video also if the length is over M, and only starts below 0. Otherwise
    lengths and classes have no upper bound: runs are cut at the last pixel, classes wrap at 256,
    those over time at (C + 1)^N. Masks are filled row by row, whatever the order. In blocks, runs
    whose class is missing go to the next block, and those after the last class are dropped.

    Parameters
    ----------
    tokenizer : Tokenizer
        Of runs of foreground in one sequence, without blocks or of images.
    tokens : (L,) integer
        Token ids.

    Returns
    -------
    Decoded
        Class ids, uint8, may be more than C; `n_skipped` counts tokens that belong to no run and
        close no block.

    Raises
    ------
    SchemeError
        If the authors' code has no such reading of this scheme.
    DataError
        If the tokens are not integers of that shape.
    """
    scheme, spec = tokenizer.scheme, tokenizer.spec
    plain = tokenizer.runs.independent and scheme.lines == "joined" and scheme.heads == "one"
    if not plain or (scheme.blocks is not None and spec.n_frames > 1):
        raise SchemeError(
            "the authors' code reads runs of foreground in one sequence, and blocks of images; use "
            "Tokenizer.decode for other schemes"
        )
    tokens = tokenizer.checked(tokens)
    vocab = tokenizer.vocab
    if vocab.eos != vocab.pad:  # our ids
        tokens = tokens[: (tokens == vocab.eos).argmax()] if vocab.eos in tokens else tokens
    tokens = tokens[tokens != vocab.pad]
    if scheme.blocks is None:
        plane, n_skipped = _read_runs(tokenizer, tokens)
        return Decoded(_unflatten(tokenizer, plane), None, n_skipped)
    classes = np.zeros(spec.shape, np.uint8)
    instances = np.zeros(spec.shape, np.int32)
    first = tokenizer.vocab.label_offset
    begins = n_blocks = n_skipped = 0
    for at in np.flatnonzero((tokens >= first) & (tokens < first + spec.n_classes)).tolist():
        said = tokens[begins:at]
        if said.size < 2:
            continue
        plane, n_lost = _read_runs(tokenizer, said)
        if not plane.any():
            continue
        n_blocks += 1
        seen = _unflatten(tokenizer, plane) > 0
        classes[seen], instances[seen] = tokens[at] - first + 1, n_blocks
        n_skipped += n_lost
        begins = at + 1
    n_skipped += int(tokens.size) - begins
    return Decoded(classes, instances if scheme.blocks == "instance" else None, n_skipped)


def _read_runs(tokenizer: Tokenizer, tokens: np.ndarray) -> tuple[np.ndarray, int]:
    """The plane of symbols of runs of K tokens each, and the tokens of none."""
    flattening, k = tokenizer.flattening, tokenizer.tokens_per_run
    video = tokenizer.spec.n_frames > 1
    table = tokens[: tokens.size - tokens.size % k].reshape(-1, k)
    good = np.ones(len(table), np.bool_)
    start, length, symbol = (np.zeros(len(table), np.int64) for _ in range(3))
    for column, (field, offset) in enumerate(tokenizer.columns):
        value = table[:, column] - offset
        good &= value >= 0
        is_bounded = {"coord": True, "start": not video, "length": video}
        if is_bounded.get(field.segment, False):
            good &= value < field.n_values
        part = field.read(value)
        start, length, symbol = start + part.start, length + part.length, symbol + part.symbol
    start, length, symbol = start[good], length[good], symbol[good]
    plane = np.zeros(flattening.n_pixels, np.int64)
    for first, size, said in zip(start.tolist(), length.tolist(), symbol.tolist(), strict=True):
        plane[first : first + size] = said
    return plane, tokens.size - int(good.sum()) * k


def _unflatten(tokenizer: Tokenizer, plane: np.ndarray) -> np.ndarray:
    """Masks (N, S, S) uint8 of a plane of symbols, row by row, without bounds."""
    spec = tokenizer.spec
    if tokenizer.scheme.time == "volume":
        return (plane % 256).astype(np.uint8).reshape(spec.shape)
    n = spec.n_classes + 1
    frames = [plane // n**frame % n for frame in range(spec.n_frames)]
    return np.stack(frames).astype(np.uint8).reshape(spec.shape)
