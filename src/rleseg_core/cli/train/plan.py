"""What a run of ``rleseg train`` learns from, and how, whatever model it starts from."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rleseg_core.checkpoints import ModelInfo, find_model, read_info
from rleseg_core.cli.ids import tell_mapping
from rleseg_core.cli.reading import spelled_for
from rleseg_core.cli.train.options import DataOptions, TrainOptions
from rleseg_core.cli.values import classes_of, frames_of
from rleseg_core.data import LabelledStack
from rleseg_core.data.formats.base import ReadOptions
from rleseg_core.data.ids import names_in_order
from rleseg_core.devices import choose_device
from rleseg_core.errors import DataError
from rleseg_core.training import (
    FINE_TUNING,
    Recipe,
    TrainConfig,
    TrainingData,
    count_windows,
    from_scratch,
    replay_stacks,
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Data, settings and folder of a run, whichever way it starts.

    Parameters
    ----------
    class_names : tuple of str
        Names of the classes of the masks.
    data : TrainingData
        Images and masks to learn from.
    config : TrainConfig
        Settings of the training.
    folder : Path
        Folder of the run, for checkpoints and log.
    device : str
        As `rleseg_core.training.train` takes it.
    resume : bool
        Whether the run of the folder is resumed.
    overwrite : bool
        Whether an older model and an older run are replaced.
    """

    class_names: tuple[str, ...]
    data: TrainingData
    config: TrainConfig
    folder: Path
    device: str
    resume: bool
    overwrite: bool


def plan_run(images: Path, masks: Path, options: TrainOptions) -> Plan:
    """What the options say, with the defaults that match the model and, if asked for, a preset.

    Raises
    ------
    DataError
        If images and masks cannot be read, or options do not go together.
    """
    settings = options.settings()
    config = TrainConfig(**{**_defaults(options, settings), **settings})
    names = classes_of(options.data.classes, options.data.instances)
    base = None if options.start.base is None else read_info(find_model(options.start.base))
    if base is not None:
        known = base.mask_spec.class_names
        names = names_in_order(known, names, f"the model {options.start.base}")
    plan = Plan(
        class_names=names,
        data=_read(images, masks, options.data, names, base),
        config=config,
        folder=options.run.folder,
        device=options.run.device,
        resume=options.run.resume,
        overwrite=options.overwriting.overwrite,
    )
    return plan if options.start.preset is None else _with_preset(plan, options, settings)


def _defaults(options: TrainOptions, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that match the run, where the user gives none."""
    start, n_steps = options.start, settings.get("n_steps", TrainConfig.n_steps)
    matching = {"warmup_steps": min(50, n_steps // 5), "checkpoint_every": 100}
    if start.base is None and start.backbone is None:
        matching |= from_scratch(start.size or "nano")
    return matching


def _read(
    images: Path,
    masks: Path,
    data: DataOptions,
    names: tuple[str, ...],
    base: ModelInfo | None,
) -> TrainingData:
    """Images and masks, and which of their frames are held out; replay data as the base saw it."""
    how: dict[str, Any] = {
        "instances": data.instances,
        "reading": ReadOptions(**data.reading),
        "mask_reading": ReadOptions(**data.mask_reading),
        "ids": data.ids.options(),
    }
    with spelled_for(masks, "mask-"):
        stack = LabelledStack.from_paths(images, masks, names, **how)
    read = TrainingData(stacks=[stack])
    if (chosen := frames_of(data.holdout, stack.images.n_frames)) is not None:
        kept = tuple(frame for frame in stack.frames if frame not in set(chosen))
        if not kept:
            raise DataError("--holdout leaves no frame to learn from; hold out fewer")
        held_out = [replace(stack, frames=tuple(chosen))]
        read = replace(read, stacks=[replace(stack, frames=kept)], validation=held_out)
    if data.replay is not None:
        replay = LabelledStack.from_paths(*data.replay, names, **how)
        how_seen = None if base is None else base.window_spec.normalisation
        read = replace(read, replay=[replace(replay, normalisation=how_seen)])
    return read if data.replay_share is None else replace(read, replay_share=data.replay_share)


def tell_mappings(plan: Plan, masks: Path, data: DataOptions, quiet: bool) -> None:
    """Say how the numbers of the masks are read; classes that never occur are told by the run."""
    read = [(masks, plan.data.stacks)]
    if data.replay is not None:
        read.append((data.replay[1], plan.data.replay))
    for path, stacks in read:
        for stack in stacks:
            tell_mapping(path, replace(stack.mapping, missing=()), quiet)


def _with_preset(plan: Plan, options: TrainOptions, settings: Mapping[str, Any]) -> Plan:
    """The plan with all that a preset decides, but for what the user gave.

    Raises
    ------
    DataError
        If there is no base, or windows of several frames are asked for.
    """
    base, data = options.start.base, plan.data
    if base is None or options.n_frames > 1:
        raise DataError(
            "--preset is for fine-tuning an image model; give it with --from, without --frames"
        )
    info, image_size = read_info(find_model(base)), options.window.get("image_size")
    recipe = _recipe_of(plan, options, info)
    data = replace(data, validation_share=recipe.validation_share)
    if options.data.replay is None and options.data.replay_share is None:
        data = replace(data, replay_share=recipe.replay_share)
    if data.replay_share and not data.replay:  # those of a bundled model are known
        data = replace(data, replay=replay_stacks(info, plan.class_names, image_size))
    return replace(plan, data=data, config=replace(recipe.config, **settings))


def _recipe_of(plan: Plan, options: TrainOptions, base: ModelInfo) -> Recipe:
    """What the preset decides for these labelled frames."""
    image_size = options.window.get("image_size") or base.window_spec.image_size
    spec = replace(base.window_spec, image_size=image_size)
    preset = FINE_TUNING[options.start.preset or "quick"]
    return preset(*count_windows(plan.data.stacks, spec), choose_device(plan.device).type, base)
