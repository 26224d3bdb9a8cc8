"""The header of a model file: what it says, how it is written, and how it is checked."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

from rleseg_core.checkpoints.old_names import model_settings, training_state, window_settings
from rleseg_core.checks import Within, from_mapping
from rleseg_core.errors import CheckpointError, SchemeError
from rleseg_core.files import time_stamp
from rleseg_core.model.config import ModelConfig
from rleseg_core.spec import MaskSpec, StartGrid, WindowSpec
from rleseg_core.tokens import ANY_VOCABULARY, PublishedLayout, Scheme, Tokenizer

FORMAT = "rleseg-2"
READABLE = ("rleseg-1", FORMAT)  # of the first, `old_names` translates
_MOST_CHARACTERS = 2**24
_DEEPEST = 32  # levels of a header; ours have six

Diameter = Annotated[float, Within(0, 2**16, above=True)]
"""Diameter of an object, in pixels."""


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """The header of a model file, which is read without torch.

    Parameters
    ----------
    path : Path
        The file.
    model, scheme : dict
        JSON forms of `rleseg_core.model.ModelConfig` and `rleseg_core.tokens.Scheme`.
    mask_spec : MaskSpec
        Size, frames and class names of the masks that the model writes.
    window_spec : WindowSpec
        The windows that it reads.
    step : int
        Optimizer steps that it was trained for.
    card : dict
        Information for people: name, data, recipe, scores, licence, base model.
    training : dict
        Settings and counters that a run needs to resume; empty in a released model.
    layout : dict
        JSON form of the `rleseg_core.tokens.PublishedLayout` of its token ids; empty: compact ids.
    object_diameter : float or None
        Median diameter of the objects that it was trained on, 2·sqrt(area/π), in resized pixels;
        None where it is not known, as in models of version 0.1.
    object_diameters : (float, float) or None
        Their 5th and 95th percentiles.
    """

    path: Path
    model: dict[str, object]
    scheme: dict[str, object]
    mask_spec: MaskSpec
    window_spec: WindowSpec
    step: int
    card: dict[str, object] = field(default_factory=dict)
    training: dict[str, object] = field(default_factory=dict)
    layout: dict[str, object] = field(default_factory=dict)
    object_diameter: float | None = None
    object_diameters: tuple[float, float] | None = None

    @property
    def name(self) -> str:
        """The name on its card, or else of its file."""
        return str(self.card.get("name") or self.path.stem)

    def file_hash(self) -> str:
        """SHA-256 of the file, as ``sha256sum`` gives it; empty if it is gone.

        The file is read whole, which takes about a second for a gigabyte.
        """
        try:
            with self.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return ""

    def provenance(self, **settings: object) -> dict[str, object]:
        """What is stored with masks of this model: classes, model, version, date, `settings`."""
        return {
            "class_names": list(self.mask_spec.class_names),
            "model": self.name,
            "model_file": self.path.name,
            "step": self.step,
            "version": version("napari-rleseg"),
            "date": time_stamp(),
            **settings,
        }


@dataclass(frozen=True, kw_only=True)
class _Header:
    """The JSON object in a file, by its own names; see `ModelInfo`."""

    format: str
    model: Mapping[str, object]
    scheme: Mapping[str, object]
    mask_spec: MaskSpec
    window_spec: WindowSpec
    step: Annotated[int, Within(0, 2**62)]
    card: Mapping[str, object] | None = None
    training: Mapping[str, object] | None = None
    layout: Mapping[str, object] | None = None
    object_diameter: Diameter | None = None
    object_diameters: tuple[Diameter, Diameter] | None = None


def header_text(info: ModelInfo) -> str:
    """The JSON of a header."""
    header: dict[str, object] = {
        "format": FORMAT,
        "model": info.model,
        "scheme": info.scheme,
        "mask_spec": info.mask_spec.to_json(),
        "window_spec": info.window_spec.to_json(),
        "step": info.step,
        "card": info.card,
        "training": info.training,
    }
    if info.layout:
        header["layout"] = info.layout
    if info.object_diameter is not None:
        header["object_diameter"] = info.object_diameter
        header["object_diameters"] = info.object_diameters
    return json.dumps(header)


def parse_header(path: Path, text: str) -> ModelInfo:
    """The header that `header_text`, or version 0.1, wrote.

    Raises
    ------
    CheckpointError
        If it is not such a header, or if a value in it has another type, lies outside of its range,
        or does not go with the others; the message names it.
    """
    try:
        values = _json_object(text)
        if values.get("format") not in READABLE:
            raise CheckpointError(
                f"{path} has format {str(values.get('format'))[:40]!r}, this version reads "
                f"{' and '.join(READABLE)}; update napari-rleseg"
            )
        windows = window_settings(values.get("window_spec"))
        header = from_mapping(_Header, {**values, "window_spec": windows}, SchemeError)
        info = ModelInfo(
            path=path,
            model=model_settings(header.model),
            scheme=dict(header.scheme),
            mask_spec=header.mask_spec,
            window_spec=header.window_spec,
            step=header.step,
            card={name: _without_nan(value) for name, value in (header.card or {}).items()},
            training=training_state(header.training or {}),
            layout=dict(header.layout or {}),
            object_diameter=header.object_diameter,
            object_diameters=header.object_diameters,
        )
        check_header(info)
    except (ValueError, SchemeError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise CheckpointError(f"{path} has a damaged header ({why}); restore the file") from error
    return info


def check_header(info: ModelInfo) -> None:
    """Raise unless the parts of a header are valid, and go together.

    Raises
    ------
    SchemeError
        If a setting of the model, the scheme or the token layout cannot be, or if the model has
        other frames, token ids or places of starts than its masks.
    """
    for name in ("name", "title", "licence", "note"):
        if not isinstance(info.card.get(name, ""), str | None):
            raise SchemeError(f"card.{name} must be text, got {str(info.card[name])[:40]!r}")
    _check_diameters(info.object_diameter, info.object_diameters)
    config = ModelConfig.from_json(info.model)
    frames = {
        "mask_spec": info.mask_spec.n_frames,
        "window_spec": info.window_spec.n_frames,
        "model": config.frames.n_frames,
    }
    if len(set(frames.values())) > 1:
        said = ", ".join(f"{name} {number}" for name, number in frames.items())
        raise SchemeError(f"masks, windows and the model need the same n_frames, got {said}")
    if max(info.mask_spec.size) > info.window_spec.patch:
        raise SchemeError(
            f"masks of {info.mask_spec.size} have more pixels than patches of "
            f"{info.window_spec.patch}"
        )
    tokenizer = tokenizer_of(info)
    check_max_tokens(tokenizer, config.tokens.max_tokens)
    _check_tokens(tokenizer, config)


def _check_diameters(median: float | None, ends: tuple[float, float] | None) -> None:
    """Raise unless the diameters of objects are all there and in order, or all missing."""
    if median is None and ends is None:
        return
    if median is None or ends is None or not ends[0] <= median <= ends[1]:
        raise SchemeError(
            f"object_diameter must lie between the two object_diameters, got {median} and {ends}"
        )


def check_max_tokens(tokenizer: Tokenizer, max_tokens: int) -> None:
    """Raise unless a mask with a single run can be written.

    Raises
    ------
    SchemeError
        If its tokens and the end are more than `max_tokens`.
    """
    per_run = 1 if tokenizer.vocab.per_field else tokenizer.tokens_per_run
    needed = per_run + (tokenizer.vocab.label is not None) + 1
    if max_tokens < needed:
        raise SchemeError(
            f"max_tokens must be at least {needed}, for one run and the end, got {max_tokens}"
        )


def _check_tokens(tokenizer: Tokenizer, config: ModelConfig) -> None:
    """Raise unless the model has a row for each token, and looks for starts where they are."""
    tokens, vocab, grid = config.tokens, tokenizer.vocab, tokenizer.start_grid
    if vocab.per_field != bool(tokens.heads):
        raise SchemeError(
            f"the scheme writes {'several sequences' if vocab.per_field else 'one sequence'}, and "
            f"the model has {len(tokens.heads)} heads"
        )
    if not tokens.heads and tokens.vocab_size < vocab.size:
        raise SchemeError(f"the scheme has {vocab.size} tokens, and the model {tokens.vocab_size}")
    if len(tokens.heads) not in (0, len(vocab.prompts)):
        raise SchemeError(
            f"a run has {len(vocab.prompts)} fields, and the model {len(tokens.heads)} heads"
        )
    if tokens.grid is not None:
        expected, found = (_place(each) for each in (grid, tokens.grid))
        if found != expected or (grid is not None and grid.start != tokens.grid.start):
            raise SchemeError(f"starts are at {expected}, and the model looks at {found}")
    if tokens.symbols is not None and tokens.symbols != tokenizer.symbol_tokens:
        raise SchemeError(
            f"classes are said by {tokenizer.symbol_tokens}, and the model reads {tokens.symbols}"
        )


def _place(grid: StartGrid | None) -> tuple[object, ...] | None:
    """Where starts are."""
    if grid is None:
        return None
    return (grid.offset, grid.rows, grid.cols, grid.order, grid.n_frames)


def tokenizer_of(info: ModelInfo) -> Tokenizer:
    """The tokenizer that a header describes.

    Raises
    ------
    SchemeError
        If its scheme or its token layout cannot be, or does not fit its masks.
    """
    scheme = Scheme.from_json(info.scheme)
    if not info.layout:
        return Tokenizer.build(scheme, info.mask_spec)
    layout = from_mapping(PublishedLayout, info.layout, SchemeError, "layout.")
    # the layout says how many ids there are; the model in the same file has a row for each
    return Tokenizer.build(scheme, info.mask_spec, vocab_limit=ANY_VOCABULARY, layout=layout)


def _json_object(text: str) -> dict[str, object]:
    """The JSON object of a header.

    Raises
    ------
    ValueError
        If it is none, is longer or deeper than any header, or says something twice.
    RecursionError
        If it is so deep that it cannot be read.
    """
    if len(text) > _MOST_CHARACTERS:
        raise ValueError(f"it has {len(text):,} characters, a header has few thousand")
    values = json.loads(text, object_pairs_hook=_once)
    if not isinstance(values, dict):
        raise ValueError(f"expected an object, found a {type(values).__name__}")
    level: list[object] = [values]
    for _ in range(_DEEPEST):
        inner = [list(each.values()) if isinstance(each, dict) else each for each in level]
        level = [e for each in inner for e in each if isinstance(e, dict | list)]  # type: ignore[attr-defined]
        if not level:
            return values
    raise ValueError("it is nested too deeply")


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object whose names differ."""
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it says {twice[:40]!r} twice")
    return values


def _without_nan(value: object) -> object:
    """The value, with None for numbers that JSON does not have, as scores of absent classes."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {name: _without_nan(each) for name, each in value.items()}
    return [_without_nan(each) for each in value] if isinstance(value, list) else value
