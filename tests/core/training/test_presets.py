from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rleseg_core.augment.config import NO_AUGMENTATION
from rleseg_core.checkpoints import ModelInfo, find_model, new_model, read_info
from rleseg_core.data import ImageStack, LabelledStack
from rleseg_core.errors import DataError, TrainingError
from rleseg_core.normalisation import BY_TYPE
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import preset
from rleseg_core.training import (
    FINE_TUNING,
    PatchSampler,
    SamplingOptions,
    TrainConfig,
    TrainingData,
    count_windows,
    fine_tune,
    from_scratch,
    replay_stacks,
    train,
)

NAMES = ("ipsc", "dfc")


@pytest.fixture(scope="module")
def demo() -> ModelInfo:
    return read_info(find_model("demo"))


def flat(grey: int, n_frames: int = 1, side: int = 64) -> LabelledStack:
    """Frames of one grey value, so that a patch says where it comes from."""
    images = np.full((n_frames, side, side), grey, np.uint8)
    return LabelledStack(
        images=ImageStack.from_array(images), classes=np.zeros_like(images), class_names=NAMES
    )


def sampler(stacks, replay, share: float) -> PatchSampler:
    return PatchSampler(
        stacks,
        WindowSpec(patch=32, patch_stride=32, normalisation=BY_TYPE),
        MaskSpec(size=(16, 16), class_names=NAMES),
        SamplingOptions(batch_size=200, augment=NO_AUGMENTATION, replay_share=share),
        replay=replay,
    )


def test_few_frames_all_teach_and_more_are_held_out(demo):
    thorough = FINE_TUNING["thorough"]
    assert thorough(1, 25, "cpu", demo).validation_share == 0
    assert thorough(4, 100, "cpu", demo).validation_share == 0
    many = thorough(5, 125, "cpu", demo)
    assert many.validation_share == 0.2
    assert many.config.patience > 0
    assert FINE_TUNING["quick"](50, 1250, "cpu", demo).validation_share == 0


def test_thorough_takes_longer_and_more_frames_more_steps(demo):
    quick, thorough = FINE_TUNING["quick"], FINE_TUNING["thorough"]
    steps = [quick(n, 25 * n, "cpu", demo).config.n_steps for n in (1, 4, 16, 64)]
    longer = [thorough(n, 25 * n, "cpu", demo).config.n_steps for n in (1, 4, 16, 64)]
    assert steps == sorted(steps)
    assert longer == sorted(longer)
    assert all(a < b for a, b in zip(steps, longer, strict=True))
    assert thorough(10_000, 250_000, "cpu", demo).config.n_steps == longer[-1]


def test_windows_are_counted_at_the_size_they_are_seen_in():
    stack = replace(flat(0, n_frames=3), frames=(0, 2))
    assert count_windows([stack], WindowSpec(patch=32, patch_stride=32)) == (2, 8)
    assert count_windows([stack], WindowSpec(patch=32, patch_stride=32, image_size=32)) == (2, 2)


def test_replay_data_give_their_share_of_the_patches():
    new, replay = [flat(10, n_frames=8), flat(20)], [flat(200), flat(210, n_frames=5)]
    greys = sampler(new, replay, 0.25).batch(0).crops.images.mean(axis=(1, 2, 3, 4))
    assert 0.15 < np.mean(greys > 100) < 0.35
    assert not (sampler(new, replay, 0.0).batch(0).crops.images > 100).any()


def test_all_patches_cannot_be_replay_data():
    with pytest.raises(DataError, match="replay_share must be a number from 0 to below 1"):
        sampler([flat(1)], [flat(2)], 1.0)


def test_bundled_model_has_learnt_synthetic_cells(demo):
    names = demo.mask_spec.class_names
    first, second = replay_stacks(demo, names, 128, n_sequences=2)
    assert first.images.shape == (1, 128, 128, 1)
    assert first.class_names == names
    assert not np.array_equal(first.class_frame(0), second.class_frame(0))


def test_nothing_is_known_of_the_data_of_other_models_and_classes(demo, tmp_path):
    assert replay_stacks(demo, ("nucleus",), None) == []
    elsewhere = replace(demo, path=tmp_path / "demo.safetensors")
    assert replay_stacks(elsewhere, demo.mask_spec.class_names, None) == []


def tiny(path: Path) -> ModelInfo:
    return new_model(
        path,
        size="test",
        scheme=preset("lac"),
        mask_spec=MaskSpec(size=(16, 16), class_names=NAMES),
        window_spec=WindowSpec(patch=32, patch_stride=32),
        max_tokens=24,
    )


def test_run_learns_new_and_replay_data(tmp_path):
    config = TrainConfig(n_steps=2, batch_size=2, warmup_steps=1)
    run = train(
        tiny(tmp_path / "m.safetensors"),
        TrainingData(stacks=[flat(10)], replay=[flat(200)]),
        config,
        tmp_path,
    )
    assert len(list(run)) == 2


def test_replay_data_without_a_share_do_not_hide_a_missing_class(tmp_path):
    shown = flat(200)
    classes = np.tile(np.arange(len(NAMES) + 1, dtype=np.uint8), (1, 64, 64))[..., :64]
    config = TrainConfig(n_steps=1, batch_size=2, warmup_steps=1)
    data = TrainingData(
        stacks=[flat(10)], replay=[replace(shown, classes=classes)], replay_share=0.0
    )
    run = train(tiny(tmp_path / "m.safetensors"), data, config, tmp_path)
    assert "show no objects" in next(run).message
    run.close()


def test_replay_data_alone_are_nothing_to_learn_from(tmp_path):
    config = TrainConfig(n_steps=1)
    with pytest.raises(TrainingError, match="no labelled frames"):
        train(
            tiny(tmp_path / "m.safetensors"),
            TrainingData(stacks=[], replay=[flat(200)]),
            config,
            tmp_path,
        )
    other = replace(flat(2), class_names=("cell",))
    with pytest.raises(TrainingError, match="same classes"):
        fine_tune("demo", TrainingData(stacks=[flat(10)], replay=[other]), config, tmp_path)


def test_light_models_begin_at_a_high_rate():
    suits = from_scratch("nano")
    assert TrainConfig(**suits).learning_rate > TrainConfig().learning_rate
    assert from_scratch("paper") == {}


def test_heads_that_find_objects_learn_before_the_tokens(demo):
    objects = read_info(find_model("demo-objects"))
    for choose in FINE_TUNING.values():
        assert choose(1, 25, "cpu", objects).config.tokens_from == 0.5
        assert choose(1, 25, "cpu", objects).config.token_share == 0.5
        assert choose(1, 25, "cpu", demo).config.tokens_from == 0
