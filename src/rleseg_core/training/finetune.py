"""From a trained model and a few corrected frames to a better model."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rleseg_core.checkpoints.build import build_model, build_tokenizer, with_classes
from rleseg_core.checkpoints.file import (
    Checkpoint,
    ModelInfo,
    find_model,
    load_checkpoint,
    read_info,
)
from rleseg_core.data import (
    LabelledStack,
    PatchSampler,
    SampleBatch,
    SubsampleRule,
    grid_samples,
)
from rleseg_core.errors import TrainingError
from rleseg_core.model import ModelConfig, from_image_model
from rleseg_core.tokens import Vocabulary
from rleseg_core.training.config import TrainConfig
from rleseg_core.training.reports import LAST, StepReport, logged, noted
from rleseg_core.training.trainer import Trainer, resumed_settings

_TOKEN_CODES = "decoder.tokens.project.weight"
_VALIDATED_WINDOWS = 128  # a validation takes seconds, and is of all held-out frames


def fine_tune(
    base: str | Path,
    stacks: Sequence[LabelledStack],
    config: TrainConfig,
    run_dir: Path,
    *,
    path: Path | None = None,
    validation_stacks: Sequence[LabelledStack] | None = None,
    validation_share: float = 0.2,
    replay: Sequence[LabelledStack] = (),
    replay_share: float = 0.25,
    image_size: int | None = None,
    card: Mapping[str, object] | None = None,
    device: str = "auto",
    resume: bool = False,
) -> Generator[StepReport, None, Path]:
    """Train on from a model with labelled stacks.

    Parameters
    ----------
    base : str or Path
        A model file or the name of an installed model. Where its classes are not those of the
        stacks, its weights are kept and only the tokens of the classes begin anew.
    stacks : sequence of LabelledStack
        Images and their class labels; all with the same class names.
    config : TrainConfig
        How to train.
    run_dir : Path
        Folder of the run: checkpoints, ``reports.jsonl``.
    path : Path, optional
        Where the new model goes; ``model.safetensors`` in `run_dir` by default.
    validation_stacks : sequence of LabelledStack, optional
        Held-out frames; by default the last `validation_share` of the frames of `stacks` (none of
        them if there are fewer than three).
    validation_share : float
        0 to 1.
    replay : sequence of LabelledStack
        Data learnt before, of the same classes, mixed in so that they are not forgotten; see
        `rleseg_core.training.replay.replay_stacks` for those of a bundled model.
    replay_share : float
        Share of the patches that are of `replay`, 0 to less than 1.
    image_size : int, optional
        I, the longer side of a frame after resizing, if not as for the base: choose it so that
        objects are about as large as those the base has seen.
    card : mapping, optional
        What people should know of the new model.
    device : str
        'auto', 'cpu', 'cuda' or 'mps'.
    resume : bool
        Go on with the run in `run_dir`, if there is one, instead of beginning. Its own settings
        stand then, whatever `config` says: with others it would not come to the same losses.

    Yields
    ------
    StepReport
        One per step; closing the generator stops, with a checkpoint to go on from.

    Returns
    -------
    Path
        The new model.

    Raises
    ------
    TrainingError
        If there is nothing to learn from, or the loss is no longer a number.
    CheckpointError
        If the base cannot be read.
    """
    checkpoint = load_checkpoint(find_model(base))
    info, weights = _adapted(checkpoint, _class_names(stacks))
    info = replace(
        info,
        path=path or run_dir / "model.safetensors",
        step=0,
        training={},
        window_spec=replace(info.window_spec, image_size=image_size or info.window_spec.image_size),
        card={"name": f"{checkpoint.info.name}, fine-tuned", "base": checkpoint.info.name}
        | dict(card or {}),
    )
    return train(
        info,
        stacks,
        config,
        run_dir,
        weights=weights,
        validation_stacks=validation_stacks,
        validation_share=validation_share,
        replay=replay,
        replay_share=replay_share,
        device=device,
        resume=resume,
    )


def train(
    info: ModelInfo,
    stacks: Sequence[LabelledStack],
    config: TrainConfig,
    run_dir: Path,
    *,
    weights: dict[str, Tensor] | None = None,
    validation_stacks: Sequence[LabelledStack] | None = None,
    validation_share: float = 0.2,
    replay: Sequence[LabelledStack] = (),
    replay_share: float = 0.25,
    device: str = "auto",
    resume: bool = False,
) -> Generator[StepReport, None, Path]:
    """Train the model of a header (`rleseg_core.checkpoints.build.new_model`) with labelled stacks.

    `info.path` is where it goes, `weights` are what it starts from (fresh ones by default); the
    other parameters, reports and errors are those of `fine_tune`.
    """
    if not replay_share:
        replay = ()
    _class_names(stacks)
    _class_names([*stacks, *replay])  # the same in both
    _check_labels([*stacks, *replay, *(validation_stacks or ())])
    resumed = resume and (run_dir / LAST).is_file()
    if resumed:
        saved, config = resumed_settings(read_info(run_dir / LAST))
        info = replace(saved, path=info.path)
    info = replace(info, card={**info.card, "subsample_rule": config.subsample_rule})
    if validation_stacks is None:
        n_frames = info.window_spec.n_frames
        stacks, validation_stacks = split_frames(stacks, validation_share, n_frames)
    sampler = PatchSampler(
        stacks,
        info.window_spec,
        info.mask_spec,
        batch_size=config.batch_size,
        seed=config.seed,
        augment=config.augment,
        subsample_rule=config.subsample_rule,
        replay=replay,
        replay_share=replay_share,
    )
    validation = _validation_batches(validation_stacks, info, config.subsample_rule)
    if resumed:
        trainer = Trainer.resume(run_dir, sampler, validation=validation, device=device)
        trainer.info = info
    else:
        trainer = Trainer(
            info, config, sampler, run_dir, validation=validation, weights=weights, device=device
        )
    run = noted(trainer.run(), _told_missing([*stacks, *replay]))
    return logged(run, run_dir, resumed=resumed)


def split_frames(
    stacks: Sequence[LabelledStack], share: float, n_frames: int = 1
) -> tuple[list[LabelledStack], list[LabelledStack]]:
    """Training and held-out frames: the last `share` of the labelled frames of each stack.

    Neighbouring frames look alike, so the held-out ones are a block at the end, of at least one
    window of `n_frames`. A stack with fewer labelled frames than three windows gives none.
    """
    kept, held_out = [], []
    for stack in stacks:
        frames = list(stack.frames)
        n_held = 0
        if share > 0 and len(frames) >= 3 * n_frames:
            n_held = min(max(round(share * len(frames)), n_frames), len(frames) - n_frames)
        kept.append(replace(stack, frames=tuple(frames[: len(frames) - n_held])))
        if n_held:
            held_out.append(replace(stack, frames=tuple(frames[len(frames) - n_held :])))
    return kept, held_out


def transfer_weights(
    weights: Mapping[str, Tensor], old: Vocabulary, fresh: Mapping[str, Tensor], new: Vocabulary
) -> dict[str, Tensor]:
    """Weights of a model for another vocabulary.

    Parameters
    ----------
    weights, old : mapping of str to Tensor, Vocabulary
        Of the trained model.
    fresh, new : mapping of str to Tensor, Vocabulary
        Of the model to be filled.

    Returns
    -------
    dict of str to Tensor
        Tensors of the same shape are taken over; in those that have a row for each token, the rows
        of segments that say the same are, as far as both reach. What projects the codes of tokens
        has a column for each block of lengths at its end: those that both have are taken over. The
        rest stays fresh.
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
    theirs = {_role(segment.name): segment for segment in old.segments}
    for segment in new.segments:
        if _role(segment.name) in theirs:
            other = theirs[_role(segment.name)]
            n = min(segment.size, other.size)
            value[segment.offset : segment.offset + n] = trained[other.offset : other.offset + n]
    return value


def _role(segment: str) -> str:
    """Segments that say the same: LAC begins with the lengths of the first class."""
    return "length" if segment == "lac" else segment


def image_weights(base: Checkpoint, info: ModelInfo) -> dict[str, Tensor]:
    """Weights with which the video model of a header (`as_video`) begins as an image model.

    What is not of tokens comes from `from_image_model`, rows of tokens from `transfer_weights`.
    """
    fresh = build_model(info).state_dict()
    weights = from_image_model(base.weights, fresh, ModelConfig.from_json(info.model))
    old, new = build_tokenizer(base.info).vocab, build_tokenizer(info).vocab
    tokens = transfer_weights(base.weights, old, fresh, new)
    return weights | {name: tokens[name] for name in tokens if name.startswith("decoder.tokens.")}


def _adapted(
    checkpoint: Checkpoint, class_names: tuple[str, ...]
) -> tuple[ModelInfo, dict[str, Tensor]]:
    """Header and weights for these classes, from a model that may have others."""
    info = checkpoint.info
    if info.mask_spec.class_names == class_names:
        return info, checkpoint.weights
    adapted = with_classes(info, class_names)
    fresh = build_model(adapted).state_dict()
    weights = transfer_weights(
        checkpoint.weights, build_tokenizer(info).vocab, fresh, build_tokenizer(adapted).vocab
    )
    n_frames = info.mask_spec.n_frames
    for name in ("dense.weight", "dense.bias"):  # a row for each class of each frame
        if name in fresh and name in checkpoint.weights:
            old, new = (
                value.unflatten(0, (n_frames, -1))
                for value in (checkpoint.weights[name], fresh[name])
            )
            n = min(old.shape[1], new.shape[1])
            weights[name] = torch.cat((old[:, :n].to(new.dtype), new[:, n:]), dim=1).flatten(0, 1)
    return adapted, weights


def _class_names(stacks: Sequence[LabelledStack]) -> tuple[str, ...]:
    if not stacks or not any(len(stack.frames) for stack in stacks):
        raise TrainingError("there are no labelled frames to learn from; correct at least one")
    names = {tuple(stack.class_names) for stack in stacks}
    if len(names) > 1:
        raise TrainingError(f"all stacks must have the same classes, got {sorted(names)}")
    return names.pop()


def _check_labels(stacks: Sequence[LabelledStack]) -> None:
    """Read every labelled frame once: wrong ids are better told now than hours later."""
    for stack in stacks:
        for frame in stack.frames:
            stack.class_frame(frame)


def _told_missing(stacks: Sequence[LabelledStack]) -> str:
    """What to say of classes that no frame shows; empty where there are none."""
    names = stacks[0].class_names
    missing = set(range(1, len(names) + 1))
    for stack in stacks:
        for frame in stack.frames:
            missing -= set(np.unique(stack.class_frame(frame)).tolist())
            if not missing:
                return ""
    if len(missing) == len(names):
        return "the masks to learn from show no objects; the model will learn that there are none"
    told = ", ".join(names[label - 1] for label in sorted(missing))
    return f"no mask to learn from shows {told}; the model cannot learn what is not there"


def _validation_batches(
    stacks: Sequence[LabelledStack], info: ModelInfo, rule: SubsampleRule
) -> list[SampleBatch]:
    """Windows of the held-out frames, from all over them."""
    if not stacks:
        return []
    windows = grid_samples(
        stacks,
        info.window_spec,
        info.mask_spec,
        batch_size=16,
        subsample_rule=rule,
        at_most=_VALIDATED_WINDOWS,
    )
    return list(windows)
