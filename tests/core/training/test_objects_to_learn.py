"""Models that tell objects apart learn from masks that number them, or from connected pieces."""

import warnings
from pathlib import Path

import numpy as np
import pytest

from rleseg_core.checkpoints import ModelInfo, new_model
from rleseg_core.data import ImageStack, LabelledStack, SyntheticSequence
from rleseg_core.errors import DataWarning
from rleseg_core.inference import Segmenter
from rleseg_core.reports import product_of
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import preset
from rleseg_core.training import TrainConfig, TrainingData, train


def header(folder: Path, scheme: str, names: tuple[str, ...], **choices: str) -> ModelInfo:
    return new_model(
        folder / "model.safetensors",
        size="test",
        scheme=preset(scheme, **choices),
        mask_spec=MaskSpec(size=(16, 16), class_names=names),
        window_spec=WindowSpec(patch=32, patch_stride=32),
        max_tokens=128,
    )


def labelled(sequence: SyntheticSequence, *, numbered: bool) -> LabelledStack:
    return LabelledStack(
        images=ImageStack.from_array(sequence.images),
        classes=sequence.classes,
        class_names=sequence.class_names,
        instances=sequence.instances if numbered else None,
    )


def test_pieces_are_taken_for_objects_and_said_so(
    tmp_path: Path, sequence: SyntheticSequence
) -> None:
    info = header(tmp_path, "iw", sequence.class_names)
    data = TrainingData(stacks=[labelled(sequence, numbered=False)])
    with pytest.warns(DataWarning, match="connected pieces are taken for objects"):
        (stack,) = data.with_objects(info).stacks
    ids = stack.instance_frame(0)
    assert ids is not None
    np.testing.assert_array_equal(ids > 0, sequence.classes[0] > 0)
    assert 1 < len(np.unique(ids)) <= len(np.unique(sequence.instances[0]))


def test_numbered_masks_and_other_models_need_nothing(
    tmp_path: Path, sequence: SyntheticSequence
) -> None:
    numbered = TrainingData(stacks=[labelled(sequence, numbered=True)])
    plain = TrainingData(stacks=[labelled(sequence, numbered=False)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert numbered.with_objects(header(tmp_path, "iw", sequence.class_names)) is numbered
        assert plain.with_objects(header(tmp_path, "lac", sequence.class_names)) is plain


@pytest.mark.parametrize(("share", "start"), [(0.5, "flat"), (1.0, "coords")])
def test_objects_are_learned_and_found(
    tmp_path: Path, sequence: SyntheticSequence, share: float, start: str
) -> None:
    info = header(tmp_path, "iw", sequence.class_names, start=start)
    config = TrainConfig(
        n_steps=60, batch_size=8, learning_rate=3e-3, warmup_steps=5, validate_every=0,
        checkpoint_every=0, token_share=share,
    )  # fmt: skip
    data = TrainingData(stacks=[labelled(sequence, numbered=True)], validation=())
    losses: list[float] = []
    run = train(info, data, config, tmp_path, device="cpu")
    path = product_of(run, lambda report: losses.append(report.loss))
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:5])
    segmenter = Segmenter.from_checkpoint(path, "cpu")
    stack = ImageStack.from_array(sequence.images)
    found = product_of(segmenter.segment(stack, image_size=64))
    seen = product_of(segmenter.segment(stack, image_size=64, preview=True))
    for result in (found, seen):
        assert len(result.table) > 4
        assert set(result.table.state) == {"predicted"}
        classes = np.asarray(result.classes)
        overlap = ((classes > 0) & (sequence.classes > 0)).sum()
        assert 2 * overlap / ((classes > 0).sum() + (sequence.classes > 0).sum()) > 0.6
    assert np.isfinite(found.table.confidence).all()
    # what is shown being written is what is segmented
    run = segmenter.segment(stack, image_size=64, frames=[0])
    for result in run:
        events = segmenter.trace(stack, result.window, image_size=64)
        traced = segmenter.tokenizer.with_end(
            token for event in events for token in getattr(event, "tokens", ())
        )
        assert traced.tolist() == result.tokens.tolist()
