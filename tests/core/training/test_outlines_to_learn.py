"""The head for outlines learns from all pixels of the patches, and decides on outlines."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rleseg_core.checkpoints import build_model, load_checkpoint, new_model
from rleseg_core.data import ImageStack, LabelledStack
from rleseg_core.inference import Segmenter
from rleseg_core.reports import product_of
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import preset
from rleseg_core.training import TrainConfig, TrainingData, train
from rleseg_core.training.transfer import adapt_classes


@pytest.fixture(scope="module")
def discs() -> LabelledStack:
    """Bright discs, whose outlines masks of 4 x 4 pixels cannot follow."""
    rng = np.random.default_rng(0)
    rows, cols = np.mgrid[:96, :96]
    ids = np.zeros((3, 96, 96), np.int32)
    for frame in ids:
        for number, (row, col) in enumerate(np.ndindex(3, 3), start=1):
            y, x = 16 + 32 * row + rng.integers(-4, 5), 16 + 32 * col + rng.integers(-4, 5)
            frame[(rows - y) ** 2 + (cols - x) ** 2 < rng.uniform(7, 11) ** 2] = number
    images = np.where(ids > 0, 200, 40) + rng.normal(0, 4, ids.shape)
    return LabelledStack(
        images=ImageStack.from_array(images.astype(np.uint8)),
        classes=(ids > 0).astype(np.uint8),
        class_names=("disc",),
        instances=ids,
    )


@pytest.fixture(scope="module")
def trained(discs: LabelledStack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outlines")
    info = new_model(
        folder / "model.safetensors",
        size="test",
        scheme=preset("iw"),
        mask_spec=MaskSpec(size=(8, 8), class_names=("disc",)),
        window_spec=WindowSpec(patch=32, patch_stride=16),
        max_tokens=64,
        outline_dim=8,
    )
    config = TrainConfig(
        n_steps=60, batch_size=8, learning_rate=4e-3, warmup_steps=5, validate_every=0,
        checkpoint_every=0, tokens_from=0.7, bf16_convolutions=False,
    )  # fmt: skip
    data = TrainingData(stacks=[discs], validation=())
    return product_of(train(info, data, config, folder, device="cpu"))


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float(((one > 0) & (other > 0)).sum() / ((one > 0) | (other > 0)).sum())


def test_outlines_are_finer_than_mask_pixels(discs: LabelledStack, trained: Path) -> None:
    segmenter = Segmenter.from_checkpoint(trained, "cpu")
    wanted = np.asarray(discs.classes)
    found = product_of(segmenter.segment(discs.images, preview=True))
    with torch.no_grad():  # what the dense heads say alone
        outline = segmenter.model.outline
        assert outline is not None
        outline.correct.weight.zero_()
        assert outline.correct.bias is not None
        outline.correct.bias.zero_()
    coarse = product_of(segmenter.segment(discs.images, preview=True))
    fine = overlap(np.asarray(found.classes), wanted)
    assert fine > 0.9
    assert fine > overlap(np.asarray(coarse.classes), wanted) + 0.02


def test_other_classes_keep_what_was_learned_of_pairs(trained: Path) -> None:
    checkpoint = load_checkpoint(trained)
    info, weights = adapt_classes(checkpoint, ("disc", "ring"))
    before, after = (w["outline.correct.weight"] for w in (checkpoint.weights, weights))
    assert before.shape[0] + 1 == after.shape[0] == 5
    torch.testing.assert_close(after[[0, 1, 3, 4]], before)
    build_model(replace(info, path=trained), weights)
