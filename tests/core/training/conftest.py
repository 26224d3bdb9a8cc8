"""What the training tests share: a few small frames, and a tiny model that learns from them."""

from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from rleseg_core.checkpoints import new_model
from rleseg_core.data import (
    ImageStack,
    LabelledStack,
    SyntheticConfig,
    SyntheticSequence,
    synthesize,
)
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import preset
from rleseg_core.training import StepReport, TrainConfig, TrainingData, train

SmallRun = Callable[..., Generator[StepReport, None, Path]]


@pytest.fixture(scope="session")
def sequence() -> SyntheticSequence:
    return synthesize(SyntheticConfig(n_frames=4, size=(64, 64), seed=0))


@pytest.fixture
def small_run(sequence: SyntheticSequence) -> SmallRun:
    """Begins the training of a tiny model in a folder; `data` are options of `TrainingData`."""
    stack = LabelledStack(
        images=ImageStack.from_array(sequence.images),
        classes=sequence.classes,
        class_names=sequence.class_names,
    )

    def begin(
        folder: Path, config: TrainConfig, *, resume: bool = False, **data: object
    ) -> Generator[StepReport, None, Path]:
        info = new_model(
            folder / "model.safetensors",
            size="test",
            scheme=preset("lac"),
            mask_spec=MaskSpec(size=(16, 16), class_names=sequence.class_names),
            window_spec=WindowSpec(patch=32, patch_stride=32),
            max_tokens=24,
        )
        learned = TrainingData(stacks=[stack], **data)
        return train(info, learned, config, folder, device="cpu", resume=resume)

    return begin
