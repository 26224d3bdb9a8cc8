from dataclasses import replace
from pathlib import Path

import pytest

from rleseg_core.build import new_model
from rleseg_core.checkpoint import read_info
from rleseg_core.data import ImageStack, LabelledStack, SyntheticConfig, synthesize
from rleseg_core.errors import TrainingError
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import preset
from rleseg_core.training import LAST, TrainConfig, train

STILL = TrainConfig(  # learns so little that no validation is better than the first
    n_steps=12,
    batch_size=2,
    learning_rate=1e-12,
    warmup_steps=0,
    validate_every=2,
    patience=2,
)


def run(folder: Path, config: TrainConfig, **options):
    sequence = synthesize(SyntheticConfig(n_frames=4, size=(64, 64), seed=0))
    stack = LabelledStack(
        images=ImageStack.from_array(sequence.images),
        classes=sequence.classes,
        class_names=sequence.class_names,
    )
    info = new_model(
        folder / "model.safetensors",
        size="test",
        scheme=preset("lac"),
        mask_spec=MaskSpec(size=(16, 16), class_names=sequence.class_names),
        window_spec=WindowSpec(patch=32, patch_stride=32),
        max_tokens=64,
    )
    return train(info, [stack], config, folder, device="cpu", **options)


def test_run_ends_when_validations_bring_nothing_better(tmp_path):
    reports = list(run(tmp_path, STILL))
    assert [report.step for report in reports] == list(range(1, 7))  # best at 2; 4 and 6 no better
    assert reports[-1].message == "stopped at step 6: 2 validations brought nothing better"
    assert read_info(tmp_path / "model.safetensors").step == 2
    assert read_info(tmp_path / LAST).training["finished"] is True


def test_run_that_ended_early_does_not_go_on(tmp_path):
    list(run(tmp_path, STILL))
    assert list(run(tmp_path, STILL, resume=True)) == []


def test_patience_is_kept_over_an_interruption(tmp_path):
    first = run(tmp_path, STILL)
    for _ in range(5):
        next(first)
    first.close()
    assert [report.step for report in run(tmp_path, STILL, resume=True)] == [6]


def test_without_patience_or_held_out_frames_it_goes_on(tmp_path):
    assert len(list(run(tmp_path / "a", replace(STILL, patience=0)))) == 12
    assert len(list(run(tmp_path / "b", STILL, validation_stacks=()))) == 12


def test_patience_is_not_negative():
    with pytest.raises(TrainingError, match="patience must be 0"):
        TrainConfig(patience=-1)
