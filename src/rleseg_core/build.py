"""From the header of a model file to a tokenizer and a model."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from rleseg_core.checkpoint import ModelInfo
from rleseg_core.errors import CheckpointError, SchemeError
from rleseg_core.model import ModelConfig, Pix2Seq, StartGrid, model_config
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import PublishedLayout, Scheme, Tokenizer, for_classes
from rleseg_core.tokens.fields import Length, LengthSymbol


def build_tokenizer(info: ModelInfo) -> Tokenizer:
    """Tokenizer of a model file.

    Raises
    ------
    CheckpointError
        If the header says token ids that this version does not know.
    SchemeError
        If its scheme does not fit its masks.
    """
    scheme = Scheme.from_json(info.scheme)
    if not info.layout:
        return Tokenizer.build(scheme, info.mask_spec)
    try:
        layout = PublishedLayout(**info.layout)  # type: ignore[arg-type]
    except TypeError as error:
        raise CheckpointError(
            f"{info.path} has token ids that this version does not know ({error}); update "
            "napari-rleseg"
        ) from error
    limit = ModelConfig.from_json(info.model).vocab_size
    return Tokenizer.build(scheme, info.mask_spec, vocab_limit=limit, layout=layout)


def build_model(info: ModelInfo, weights: Mapping[str, Tensor] | None = None) -> Pix2Seq:
    """Model of a model file, with given weights or with fresh ones.

    Raises
    ------
    CheckpointError
        If the weights are not those of the model that the header describes.
    """
    model = Pix2Seq(ModelConfig.from_json(info.model))
    if weights is not None:
        try:
            model.load_state_dict(dict(weights))
        except RuntimeError as error:
            first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
            raise CheckpointError(
                f"the weights of {info.path} do not fit its header ({first}); restore the file"
            ) from error
    return model


def new_model(
    path: Path,
    *,
    size: str,
    scheme: Scheme,
    mask_spec: MaskSpec,
    window_spec: WindowSpec,
    max_tokens: int,
    card: Mapping[str, object] | None = None,
) -> ModelInfo:
    """Header of a model that is to be trained.

    Parameters
    ----------
    path : Path
        Where it will be written.
    size : str
        A name of `rleseg_core.model.SIZES`.
    scheme : Scheme
        How masks become tokens.
    mask_spec, window_spec : MaskSpec, WindowSpec
        What it writes and what it reads.
    max_tokens : int
        L, tokens of the longest sequence, its end included.
    card : mapping, optional
        What people should know of it.

    Raises
    ------
    SchemeError
        If the scheme does not fit the mask or the model, or the vocabulary is too large.
    """
    if scheme.heads != "one":
        raise SchemeError(
            f"models write one sequence of tokens, not one with heads={scheme.heads!r}; use "
            "heads='one' (preset 'multiclass')"
        )
    tokenizer = Tokenizer.build(scheme, mask_spec)
    config = model_config(
        size,
        vocab_size=tokenizer.vocab.size,
        max_tokens=max_tokens,
        image_size=window_spec.patch,
        grid=start_grid(tokenizer),
        ramps=() if size == "paper" else length_ramps(tokenizer),
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
    """Header of the same model for other classes: another vocabulary, everything else alike.

    Runs of a single class say no class, so LAC becomes binary there, and binary LAC elsewhere; see
    `for_classes`. Published token ids become compact ones.
    """
    mask_spec = replace(info.mask_spec, class_names=class_names)
    scheme = for_classes(Scheme.from_json(info.scheme), mask_spec.n_classes)
    tokenizer = Tokenizer.build(scheme, mask_spec)
    config = ModelConfig.from_json(info.model)
    grid = start_grid(tokenizer) if config.grid is not None else None
    ramps = length_ramps(tokenizer) if config.ramps else ()
    config = replace(config, vocab_size=tokenizer.vocab.size, grid=grid, ramps=ramps)
    return replace(
        info, mask_spec=mask_spec, scheme=scheme.to_json(), model=config.to_json(), layout={}
    )


def start_grid(tokenizer: Tokenizer) -> StartGrid | None:
    """Where 1D start tokens lie, in the model's words; None for schemes without them."""
    grid = tokenizer.start_grid
    if grid is None:
        return None
    return StartGrid(offset=grid.offset, rows=grid.rows, cols=grid.cols, order=grid.order)


def length_ramps(tokenizer: Tokenizer) -> tuple[tuple[int, int], ...]:
    """Offset and size of each block of ids that stand for lengths 1 to M (one a class for LAC)."""
    longest = tokenizer.max_length
    if longest is None:
        return ()
    return tuple(
        (offset + first, longest)
        for field, offset in tokenizer.columns
        if isinstance(field, Length | LengthSymbol)
        for first in range(0, field.n_values, longest)
    )
