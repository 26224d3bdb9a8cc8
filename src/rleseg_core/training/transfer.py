"""Weights carried over from one model to another that differs in its classes or frames."""

from collections.abc import Mapping

import torch
from torch import Tensor

from rleseg_core.checkpoints import (
    Checkpoint,
    ModelInfo,
    build_model,
    build_tokenizer,
    with_classes,
)
from rleseg_core.model import ModelConfig, from_image_model
from rleseg_core.model.outlines import NEIGHBOURS
from rleseg_core.tokens import Vocabulary

_TOKEN_CODES = "decoder.tokens.project.weight"


def transfer_weights(
    weights: Mapping[str, Tensor], old: Vocabulary, fresh: Mapping[str, Tensor], new: Vocabulary
) -> dict[str, Tensor]:
    """Weights of a model for another vocabulary.

    Parameters
    ----------
    weights, old : mapping of str to Tensor, Vocabulary
        State dict and vocabulary of the trained model.
    fresh, new : mapping of str to Tensor, Vocabulary
        State dict and vocabulary of the model to fill.

    Returns
    -------
    dict of str to Tensor
        Tensors of the same shape are copied. Tensors with a row for each token get the rows of
        segments that mean the same, as far as both reach. The projection of token codes ends with
        a column for each block of lengths; those that both models have are copied. The rest stays
        fresh.
    """
    filled = {}
    for name, value in fresh.items():
        trained = weights.get(name)
        if trained is not None and trained.shape == value.shape and old.segments == new.segments:
            filled[name] = trained
        elif trained is not None and value.ndim and value.shape[0] == new.size:
            filled[name] = _rows_by_segment(trained, old, value.clone(), new)
        elif trained is not None and trained.shape == value.shape:
            filled[name] = trained
        elif name == _TOKEN_CODES and trained is not None:
            n = min(trained.shape[1], value.shape[1])
            filled[name] = torch.cat((trained[:, :n], value[:, n:]), dim=1)
        else:
            filled[name] = value
    return filled


def _rows_by_segment(trained: Tensor, old: Vocabulary, value: Tensor, new: Vocabulary) -> Tensor:
    segments = {_meaning(segment.name): segment for segment in old.segments}
    for segment in new.segments:
        if _meaning(segment.name) in segments:
            other = segments[_meaning(segment.name)]
            n = min(segment.size, other.size)
            value[segment.offset : segment.offset + n] = trained[other.offset : other.offset + n]
    return value


def _meaning(segment: str) -> str:
    """What a segment's tokens mean: LAC begins with the lengths of the first class."""
    return "length" if segment == "lac" else segment


def image_weights(base: Checkpoint, info: ModelInfo) -> dict[str, Tensor]:
    """Weights of an image model for the video model of a header (`as_video`).

    `transfer_weights` gives the rows of tokens, `from_image_model` everything else.
    """
    fresh = build_model(info).state_dict()
    weights = from_image_model(base.weights, fresh, ModelConfig.from_json(info.model))
    old, new = build_tokenizer(base.info).vocab, build_tokenizer(info).vocab
    tokens = transfer_weights(base.weights, old, fresh, new)
    return weights | {name: tokens[name] for name in tokens if name.startswith("decoder.tokens.")}


def adapt_classes(
    checkpoint: Checkpoint, class_names: tuple[str, ...]
) -> tuple[ModelInfo, dict[str, Tensor]]:
    """Header and weights of a model for these classes, from one that may have others."""
    info = checkpoint.info
    if info.mask_spec.class_names == class_names:
        return info, checkpoint.weights
    adapted = with_classes(info, class_names)
    model = build_model(adapted)
    fresh, n_frames = model.state_dict(), model.frames_of_pixel
    weights = transfer_weights(
        checkpoint.weights, build_tokenizer(info).vocab, fresh, build_tokenizer(adapted).vocab
    )
    for name in ("dense.weight", "dense.bias"):  # a row for each class of each frame
        if name in fresh and name in checkpoint.weights:
            old, new = (
                value.unflatten(0, (n_frames, -1))
                for value in (checkpoint.weights[name], fresh[name])
            )
            n = min(old.shape[1], new.shape[1])
            weights[name] = torch.cat((old[:, :n].to(new.dtype), new[:, n:]), dim=1).flatten(0, 1)
    affinities = ModelConfig.from_json(adapted.model).pointer.affinities
    n_pairs = len(NEIGHBOURS) if affinities else 0
    for name in ("outline.correct.weight", "outline.correct.bias"):  # classes, then pairs
        if name in fresh and name in checkpoint.weights:
            old, new = checkpoint.weights[name], fresh[name]
            n_old, n_new = len(old) - n_pairs, len(new) - n_pairs
            n = min(n_old, n_new)
            weights[name] = torch.cat((old[:n].to(new.dtype), new[n:n_new], old[n_old:]))
    return adapted, weights
