"""What a run of ``rleseg train`` learns from, and how, whatever model it begins with."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rleseg_core.cli.train_options import named_split, settings
from rleseg_core.errors import DataError

if TYPE_CHECKING:
    from rleseg_core.checkpoints import ModelInfo
    from rleseg_core.data import LabelledStack
    from rleseg_core.training import PresetName, Recipe, TrainConfig, TrainingData


@dataclass(frozen=True, kw_only=True)
class Frames:
    """The labelled frames that the user gave.

    Parameters
    ----------
    class_names : tuple of str
        Of the masks.
    kept : list of LabelledStack
        To learn from.
    held_out : list of LabelledStack or None
        For validation; None leaves the choice to the training.
    replay : list of LabelledStack
        Replay data of the same classes, so that they are not forgotten.
    """

    class_names: tuple[str, ...]
    kept: "list[LabelledStack]"
    held_out: "list[LabelledStack] | None"
    replay: "list[LabelledStack]"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is the same for all ways to begin.

    Parameters
    ----------
    frames : Frames
        What is learnt from.
    recipe : Recipe
        How; shares of frames held out and of replay data.
    folder : Path
        The run's, of checkpoints and log.
    device : str
        As of `rleseg_core.training.train`.
    resume : bool
        Whether the run of the folder goes on.
    """

    frames: Frames
    recipe: "Recipe"
    folder: Path
    device: str
    resume: bool

    @property
    def data(self) -> "TrainingData":
        """The labelled frames by their role, with the shares of the recipe."""
        from rleseg_core.training import TrainingData

        return TrainingData(
            stacks=self.frames.kept,
            validation=self.frames.held_out,
            validation_share=self.recipe.validation_share,
            replay=self.frames.replay,
            replay_share=self.recipe.replay_share,
        )


def read_frames(
    images: Path,
    masks: Path,
    class_names: tuple[str, ...],
    *,
    instances: bool,
    holdout: str | None,
    mix: tuple[Path, Path] | None,
) -> Frames:
    """Images and masks as the command names them; see the options of the same names.

    Raises
    ------
    DataError
        If they cannot be read, or do not go together.
    """
    from rleseg_core.data import LabelledStack

    stack = LabelledStack.from_paths(images, masks, class_names, instances=instances)
    kept, held_out = named_split(stack, holdout)
    replay = []
    if mix is not None:
        replay = [LabelledStack.from_paths(*mix, class_names, instances=instances)]
    return Frames(class_names=class_names, kept=kept, held_out=held_out, replay=replay)


def suited_to_size(config: "TrainConfig", size: str, chosen: frozenset[str]) -> "TrainConfig":
    """Settings that suit a new model of a size, but for what the user chose."""
    from rleseg_core.training import from_scratch

    suits = from_scratch(size)
    return replace(config, **{name: suits[name] for name in suits.keys() - settings(chosen)})


def with_preset(
    plan: Plan,
    name: "PresetName",
    base: str | None,
    chosen: frozenset[str],
    *,
    n_frames: int,
    image_size: int | None,
) -> Plan:
    """The plan with all that a preset decides, but for what the user chose.

    Raises
    ------
    DataError
        If there is no base, or windows of several frames are asked for.
    """
    from rleseg_core.checkpoints import find_model, read_info
    from rleseg_core.training import replay_stacks

    if base is None or n_frames > 1:
        raise DataError(
            "--preset is for training an image model on; give it with --from, without --frames"
        )
    info = read_info(find_model(base))
    own, frames = plan.recipe, plan.frames
    recipe = _recipe_of(name, info, frames.kept, image_size, plan.device)
    config = replace(
        recipe.config,
        select_metric=own.config.select_metric,
        select_class=own.config.select_class,
        **{setting: getattr(own.config, setting) for setting in settings(chosen)},
    )
    share = own.replay_share if {"mix", "mix_share"} & chosen else recipe.replay_share
    if share and not frames.replay:  # those of a bundled model are known
        replay = replay_stacks(info, frames.class_names, image_size)
        frames = replace(frames, replay=replay)
    return replace(plan, frames=frames, recipe=replace(recipe, config=config, replay_share=share))


def _recipe_of(
    name: "PresetName",
    base: "ModelInfo",
    stacks: "Sequence[LabelledStack]",
    image_size: int | None,
    device: str,
) -> "Recipe":
    """What a preset decides for these labelled frames."""
    from rleseg_core.devices import choose_device
    from rleseg_core.training import FINE_TUNING, count_windows

    spec = replace(base.window_spec, image_size=image_size or base.window_spec.image_size)
    return FINE_TUNING[name](*count_windows(stacks, spec), choose_device(device).type, base)
