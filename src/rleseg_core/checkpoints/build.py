"""From the header of a model file to a model, and headers of new models."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from rleseg_core.affinities import AFFINITIES
from rleseg_core.checkpoints.header import ModelInfo, check_max_tokens
from rleseg_core.devices import free_memory
from rleseg_core.errors import BudgetError, CheckpointError, SchemeError
from rleseg_core.model import (
    Fusion,
    Head,
    HeadField,
    ModelConfig,
    Pix2Seq,
    is_published,
    model_config,
)
from rleseg_core.model.config import setting_name
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import Scheme, Tokenizer, for_classes
from rleseg_core.tokens.fields import CoordStart, Field, FlatStart, Length, LengthSymbol, Symbol


def build_model(info: ModelInfo, weights: Mapping[str, Tensor] | None = None) -> Pix2Seq:
    """Model of a model file, with given weights or with fresh ones.

    Raises
    ------
    CheckpointError
        If the weights are not those of the model that the header describes, or are no numbers.
    BudgetError
        If a fresh model would not fit into memory.
    """
    config = ModelConfig.from_json(info.model)
    if weights is None:
        _check_memory(_shapes(config))
        return Pix2Seq(config)
    try:
        with _Bounded(sum(value.numel() for value in weights.values())):
            model = Pix2Seq(config)
    except RuntimeError:  # a damaged header may ask for terabytes
        misfit = _misfit(_shapes(config), weights) or "it asks for much larger tensors"
    else:
        misfit = _misfit(model.state_dict(), weights)
    if misfit:
        raise CheckpointError(
            f"the weights of {info.path} do not fit its header ({misfit}); restore the file"
        )
    model.load_state_dict(dict(weights))
    return model


class _Bounded(TorchFunctionMode):
    """Refuses tensors that are far larger than the weights that a model is made for.

    Parameters
    ----------
    n_weights : int
        Values in all weights; tensors many times as large raise a RuntimeError.
    """

    def __init__(self, n_weights: int) -> None:
        super().__init__()
        self._most = 16 * n_weights + (1 << 20)  # fixed codes may be larger than the weights

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Iterable[type],
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, Tensor) and made.numel() > self._most:
            raise RuntimeError(f"{tuple(made.shape)} is too large")
        return made


def _shapes(config: ModelConfig) -> dict[str, Tensor]:
    """Weights that take no memory.

    They come late to those that only load a model: torch imports its compiler for such tensors.
    """
    with torch.device("meta"):
        return Pix2Seq(config).state_dict()


def _misfit(expected: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> str:
    """The first difference between weights and those that a model needs; empty if there is none."""
    if missing := expected.keys() - weights.keys():
        return f"{min(missing)} is missing"
    if surplus := weights.keys() - expected.keys():
        return f"{min(surplus)} is not in such a model"
    for name, empty in expected.items():
        value = weights[name]
        if value.shape != empty.shape:
            return f"{name} is {tuple(value.shape)}, expected {tuple(empty.shape)}"
        if value.is_floating_point() != empty.is_floating_point():
            return f"{name} holds {value.dtype}, expected {empty.dtype}"
        if value.is_floating_point() and not value.isfinite().all():
            return f"{name} has values that are no numbers"
    return ""


def _check_memory(expected: Mapping[str, Tensor]) -> None:
    n_bytes = sum(4 * value.numel() for value in expected.values())
    if n_bytes > (free := free_memory(torch.device("cpu"))):
        raise BudgetError(
            f"the weights of such a model take {n_bytes / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB "
            "of memory are free; choose a smaller model, vocabulary or number of tokens"
        )


def new_model(
    path: Path,
    *,
    size: str,
    scheme: Scheme,
    mask_spec: MaskSpec,
    window_spec: WindowSpec,
    max_tokens: int,
    card: Mapping[str, object] | None = None,
    **changes: Any,
) -> ModelInfo:
    """Header of a model that has yet to be trained.

    Parameters
    ----------
    path : Path
        Where it will be written.
    size : str
        A name of `rleseg_core.model.SIZES`.
    scheme : Scheme
        How masks become tokens.
    mask_spec, window_spec : MaskSpec, WindowSpec
        The masks it writes and the windows it reads.
    max_tokens : int
        L, tokens of the longest sequence, its end included; with `per_field` heads of each head.
    card : mapping, optional
        What people should know of it.
    **changes : object
        Settings of `ModelConfig` that differ from those of the size, by the names of
        `ModelConfig.with_changes`, such as ``fusion='late'``; None keeps that of the size.

    Raises
    ------
    SchemeError
        If the scheme does not fit the mask or the model, the windows do not fit the masks, the
        vocabulary is too large, or `max_tokens` too small for a single run.
    """
    if any(window_spec.patch % side for side in mask_spec.size):
        raise SchemeError(
            f"a mask of {mask_spec.size} does not divide a patch of {window_spec.patch}; choose a "
            "mask size that divides the patch"
        )
    if mask_spec.n_frames != window_spec.n_frames:
        raise SchemeError(
            f"masks have {mask_spec.n_frames} frames and windows {window_spec.n_frames}; both need "
            "the same n_frames"
        )
    tokenizer = Tokenizer.build(scheme, mask_spec)
    check_max_tokens(tokenizer, max_tokens)
    grid = tokenizer.start_grid
    changes = {setting_name(name): value for name, value in changes.items() if value is not None}
    changes["frames.n_frames"] = mask_spec.n_frames
    blind = changes.get("pointer.starts") in ("table", "codes")  # such starts do not see the image
    looks = grid is not None and not is_published(size) and not blind
    if looks:
        changes.setdefault("pointer.dense_classes", mask_spec.n_classes + 1)
        if scheme.blocks == "instance":
            changes.setdefault("pointer.object_starts", changes.get("pointer.starts") != "pointer")
            if mask_spec.n_frames == 1 and changes["pointer.dense_classes"]:
                changes.setdefault("pointer.affinities", AFFINITIES)
    config = model_config(
        size,
        **_of_tokens(tokenizer),
        max_tokens=max_tokens,
        image_size=window_spec.patch,
        grid=grid,
        symbols=tokenizer.symbol_tokens if looks else None,
        ordinal_ranges=() if is_published(size) else length_ranges(tokenizer),
        **changes,
    )
    return ModelInfo(
        path=path,
        model=config.to_json(),
        scheme=scheme.to_json(),
        mask_spec=mask_spec,
        window_spec=window_spec,
        step=0,
        card=dict(card or {}),
    )


def with_classes(info: ModelInfo, class_names: tuple[str, ...]) -> ModelInfo:
    """Header of the same model for other classes: only the vocabulary changes.

    Runs of a single class carry no class, so LAC becomes binary for one class, and binary becomes
    LAC for several; see `for_classes`. Published token ids become compact ones.
    """
    mask_spec = replace(info.mask_spec, class_names=class_names)
    scheme = for_classes(Scheme.from_json(info.scheme), mask_spec.n_classes)
    tokenizer = Tokenizer.build(scheme, mask_spec)
    config = ModelConfig.from_json(info.model)
    grid = tokenizer.start_grid if config.tokens.grid is not None else None
    symbols = tokenizer.symbol_tokens if config.tokens.symbols is not None else None
    ordinal_ranges = length_ranges(tokenizer) if config.tokens.ordinal_ranges else ()
    dense = mask_spec.n_classes + 1 if config.pointer.dense_classes else 0
    config = config.with_changes(
        grid=grid,
        symbols=symbols,
        ordinal_ranges=ordinal_ranges,
        dense_classes=dense,
        **_of_tokens(tokenizer),
    )
    return replace(
        info, mask_spec=mask_spec, scheme=scheme.to_json(), model=config.to_json(), layout={}
    )


def as_video(
    info: ModelInfo,
    path: Path,
    *,
    scheme: Scheme,
    n_frames: int,
    frame_stride: int = 1,
    fusion: Fusion = "middle",
    dense_frames: int | None = None,
    max_tokens: int | None = None,
) -> ModelInfo:
    """Header of a video model with the shape of an image model.

    Parameters
    ----------
    info : ModelInfo
        The header of the image model.
    path : Path
        The file of the video model.
    scheme : Scheme
        How masks of several frames become tokens.
    n_frames, frame_stride : int
        N, and frames from the beginning of one window to that of the next, 1 to N.
    fusion : {'middle', 'late', 'early', 'first'}
        Where frames are joined; see `FramesConfig`.
    dense_frames : int, optional
        Frames of a window that keep all their features; see `FramesConfig`.
    max_tokens : int, optional
        L; that of the image model by default.

    Raises
    ------
    SchemeError
        If these do not go together.
    """
    mask_spec = replace(info.mask_spec, n_frames=n_frames)
    scheme = for_classes(scheme, mask_spec.n_classes)
    tokenizer = Tokenizer.build(scheme, mask_spec)
    config = ModelConfig.from_json(info.model)
    check_max_tokens(tokenizer, max_tokens or config.tokens.max_tokens)
    grid = tokenizer.start_grid if config.pointer.starts != "table" else None
    config = config.with_changes(
        **_of_tokens(tokenizer),
        max_tokens=max_tokens or config.tokens.max_tokens,
        starts="table" if grid is None else config.pointer.starts,
        ends="table" if grid is None else config.pointer.ends,
        dense_classes=0 if grid is None else config.pointer.dense_classes,
        affinities=(),  # of one frame, like outlines
        outline_dim=0,
        object_starts=(
            grid is not None
            and scheme.blocks == "instance"
            and config.pointer.starts == "first_hit"
        ),
        grid=grid,
        symbols=tokenizer.symbol_tokens
        if grid is not None and config.pointer.reads_image
        else None,
        ordinal_ranges=length_ranges(tokenizer) if config.tokens.ordinal_ranges else (),
        n_frames=n_frames,
        fusion=fusion,
        dense_frames=dense_frames,
    )
    return replace(
        info,
        path=path,
        model=config.to_json(),
        scheme=scheme.to_json(),
        layout={},
        mask_spec=mask_spec,
        window_spec=replace(info.window_spec, n_frames=n_frames, frame_stride=frame_stride),
        step=0,
        training={},
    )


def _of_tokens(tokenizer: Tokenizer) -> dict[str, Any]:
    """The settings of a model that follow from its tokens: the vocabulary and the heads."""
    heads = token_heads(tokenizer)
    return {
        "vocab_size": heads[-1].offset + heads[-1].size if heads else tokenizer.vocab.size,
        "heads": heads,
    }


def token_heads(tokenizer: Tokenizer) -> tuple[Head, ...]:
    """A head for each field of a run, one after the other; empty where there is one sequence."""
    vocab = tokenizer.vocab
    if not vocab.per_field:
        return ()
    heads: list[Head] = []
    for (field, offset), prompt in zip(tokenizer.columns, vocab.prompts, strict=True):
        size = max(offset + field.n_values, vocab.eos + 1, vocab.pad + 1, prompt + 1)
        first = heads[-1].offset + heads[-1].size if heads else 0
        heads.append(Head(offset=first, size=size, prompt=prompt, field=_head_field(field)))
    return tuple(heads)


def _head_field(field: Field) -> HeadField | None:
    """What the tokens of a head say, if a model can read that off the image."""
    if isinstance(field, Length | LengthSymbol):
        return "length"
    if isinstance(field, Symbol):
        return "symbol"
    if isinstance(field, CoordStart):
        axis = field.axis.name
        return None if axis == "frame" else axis
    return "start" if isinstance(field, FlatStart) else None


def length_ranges(tokenizer: Tokenizer) -> tuple[tuple[int, int], ...]:
    """Offset and size of each block of ids that stand for lengths 1 to M (one a class for LAC)."""
    longest = tokenizer.max_length
    if longest is None:
        return ()
    firsts = [head.offset for head in token_heads(tokenizer)] or [0] * len(tokenizer.columns)
    return tuple(
        (base + offset + first, longest)
        for (field, offset), base in zip(tokenizer.columns, firsts, strict=True)
        if isinstance(field, Length | LengthSymbol)
        for first in range(0, field.n_values, longest)
    )
