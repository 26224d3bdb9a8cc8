"""What a run learns from: labelled stacks by their role, split, checked and cut into windows."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rleseg_core.checkpoints import ModelInfo, build_tokenizer
from rleseg_core.checks import Rate, Share, check_fields
from rleseg_core.data import LabelledStack, SampleBatch, SubsampleRule, grid_samples
from rleseg_core.errors import DataWarning, TrainingError
from rleseg_core.tokens import Scheme
from rleseg_core.training.config import TrainConfig
from rleseg_core.training.ignoring import is_exact
from rleseg_core.training.sampling import PatchSampler, SamplingOptions

_VALIDATED_WINDOWS = 128  # a validation takes seconds, and is of all held-out frames


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """Labelled stacks of a run; all must have the same classes, which are matched by name.

    Parameters
    ----------
    stacks : sequence of LabelledStack
        Images and masks to learn from.
    validation : sequence of LabelledStack or None
        Held-out frames; empty for none. By default the last `validation_share` of the frames of
        each stack is held out, and none of a stack with fewer than three windows.
    validation_share : float
        Share of the labelled frames to hold out where `validation` does not name them, 0 to 1.
    replay : sequence of LabelledStack
        Data that the base model learned from, drawn again so that it does not forget; see
        `rleseg_core.training.replay_stacks` for those of a bundled model.
    replay_share : float
        Share of the patches that come from `replay`, 0 to less than 1.
    """

    stacks: Sequence[LabelledStack]
    validation: Sequence[LabelledStack] | None = None
    validation_share: Share = 0.2
    replay: Sequence[LabelledStack] = ()
    replay_share: Rate = 0.25

    def __post_init__(self) -> None:
        check_fields(self, TrainingError, only=("validation_share", "replay_share"))
        if not self.stacks:
            return
        first = self.stacks[0].class_names
        for name in ("stacks", "validation", "replay"):
            stacks = getattr(self, name)
            if stacks is not None:
                ordered = [_in_order(stack, first) for stack in stacks]
                object.__setattr__(self, name, ordered)

    @property
    def replayed(self) -> Sequence[LabelledStack]:
        """The replay data, or nothing where their share is 0."""
        return self.replay if self.replay_share else ()

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names of the stacks.

        Raises
        ------
        TrainingError
            If no frame is labelled, or the stacks have different classes.
        """
        if not any(len(stack.frames) for stack in self.stacks):
            raise TrainingError("there are no labelled frames to learn from; correct at least one")
        names = {tuple(stack.class_names) for stack in [*self.stacks, *self.replayed]}
        if len(names) > 1:
            raise TrainingError(f"all stacks must have the same classes, got {sorted(names)}")
        return names.pop()

    def check(self) -> None:
        """Read every labelled frame once: a wrong id should stop a run now, not hours later.

        Raises
        ------
        TrainingError
            As `class_names` does.
        DataError
            If a label is not one of the classes.
        """
        _ = self.class_names
        for stack in (*self.stacks, *self.replayed, *(self.validation or ())):
            for frame in stack.frames:
                stack.class_frame(frame)

    def in_order(self, class_names: Sequence[str]) -> "TrainingData":
        """The same data with its classes in the order of a model that has the same ones."""
        return replace(self, stacks=[_in_order(stack, class_names) for stack in self.stacks])

    def split(self, n_frames: int) -> "TrainingData":
        """The same data with `validation` decided, by `split_frames` where it was None."""
        if self.validation is not None:
            return self
        taught, held_out = split_frames(self.stacks, self.validation_share, n_frames)
        return replace(self, stacks=taught, validation=held_out)

    def with_objects(self, info: ModelInfo) -> "TrainingData":
        """The same data with objects in all stacks, if the model tells objects apart.

        Where masks do not number them, connected pieces are taken for objects, with a
        `DataWarning`.

        Raises
        ------
        TrainingError
            If the model follows objects over several frames: pieces of frames have no lasting ids.
        """
        every = [*self.stacks, *self.replay, *(self.validation or ())]
        if Scheme.from_json(info.scheme).blocks != "instance" or all(
            stack.instances is not None for stack in every
        ):
            return self
        if info.window_spec.n_frames > 1:
            raise TrainingError(
                f"the model follows objects over {info.window_spec.n_frames} frames, but masks do "
                "not number them; give masks in which an object has the same id in all frames "
                "(--instances), such as those that `rleseg track` writes"
            )
        warnings.warn(
            "the model tells objects apart, but masks do not number them: their connected pieces "
            "are taken for objects, so those that touch are one; give masks that number them if "
            "there are such",
            DataWarning,
            stacklevel=2,
        )

        def known(stacks: Iterable[LabelledStack]) -> list[LabelledStack]:
            return [one if one.instances is not None else one.with_pieces() for one in stacks]

        validation = None if self.validation is None else known(self.validation)
        return replace(
            self, stacks=known(self.stacks), replay=known(self.replay), validation=validation
        )

    def sampler(self, info: ModelInfo, config: TrainConfig) -> PatchSampler:
        """The training batches of a model."""
        return PatchSampler(
            self.stacks,
            info.window_spec,
            info.mask_spec,
            SamplingOptions(
                batch_size=config.batch_size,
                seed=config.seed,
                augment=config.augment,
                subsample_rule=config.subsample_rule,
                replay_share=self.replay_share,
                # what cannot leave out single pixels leaves out the tokens of the whole window
                most_ignored=0.5 if is_exact(build_tokenizer(info)) else 0.0,
            ),
            replay=self.replayed,
        )

    def validation_batches(self, info: ModelInfo, rule: SubsampleRule) -> list[SampleBatch]:
        """Windows of the held-out frames, evenly chosen from all of them."""
        if not self.validation:
            return []
        windows = grid_samples(
            self.validation,
            info.window_spec,
            info.mask_spec,
            batch_size=16,
            subsample_rule=rule,
            at_most=_VALIDATED_WINDOWS,
        )
        return list(windows)

    def missing_classes_message(self) -> str:
        """A warning about classes that no training mask shows; empty where there are none."""
        names = self.class_names
        missing = set(range(1, len(names) + 1))
        for stack in (*self.stacks, *self.replayed):
            for frame in stack.frames:
                missing -= set(np.unique(stack.class_frame(frame)).tolist())
                if not missing:
                    return ""
        if len(missing) == len(names):
            return "the training masks show no objects; the model will learn that there are none"
        listed = ", ".join(names[label - 1] for label in sorted(missing))
        return f"no training mask shows {listed}; the model cannot learn what is not there"


def _in_order(stack: LabelledStack, class_names: Sequence[str]) -> LabelledStack:
    """The stack with classes in this order, if it has the same ones."""
    if set(stack.class_names) != set(class_names):
        return stack  # an error of its own, once it is known what the data are for
    return stack.with_class_order(class_names)


def split_frames(
    stacks: Sequence[LabelledStack], share: float, n_frames: int = 1
) -> tuple[list[LabelledStack], list[LabelledStack]]:
    """Training and held-out frames: the last `share` of the labelled frames of each stack.

    Neighbouring frames look alike, so the held-out ones are a block at the end, of at least one
    window of `n_frames`. A stack with fewer labelled frames than three windows gives none.
    """
    taught, held_out = [], []
    for stack in stacks:
        frames = list(stack.frames)
        n_held = 0
        if share > 0 and len(frames) >= 3 * n_frames:
            n_held = min(max(round(share * len(frames)), n_frames), len(frames) - n_frames)
        taught.append(replace(stack, frames=tuple(frames[: len(frames) - n_held])))
        if n_held:
            held_out.append(replace(stack, frames=tuple(frames[len(frames) - n_held :])))
    return taught, held_out
