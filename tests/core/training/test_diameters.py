"""What a trained model knows of the sizes of its objects."""

import math
from dataclasses import replace

import numpy as np
import pytest

from rleseg_core.checkpoints import read_info
from rleseg_core.data import ImageStack, LabelledStack
from rleseg_core.reports import product_of
from rleseg_core.spec import WindowSpec
from rleseg_core.training import TrainConfig, TrainingData, fine_tune
from rleseg_core.training.diameters import diameters_taught

AS_IT_IS = WindowSpec(patch=32, patch_stride=32)


def squares(side, instances=True, n_frames=2):
    """Pairs of touching squares."""
    ids = np.zeros((n_frames, 100, 100), np.int32)
    for name, (row, col) in enumerate([(5, 5), (5, 5 + side), (60, 5), (60, 5 + side)], start=1):
        ids[:, row : row + side, col : col + side] = name
    return LabelledStack(
        images=ImageStack.from_array(np.zeros(ids.shape, np.uint8)),
        classes=(ids > 0).astype(np.uint8),
        class_names=("cell",),
        instances=ids if instances else None,
    )


def test_diameters_are_those_of_objects_by_their_ids():
    found = diameters_taught([squares(10)], AS_IT_IS)
    assert found.median == pytest.approx(20 / math.sqrt(math.pi), abs=0.01)
    half = diameters_taught([squares(10)], replace(AS_IT_IS, image_size=50))
    assert half.median == pytest.approx(found.median / 2, abs=0.01)
    both = diameters_taught([squares(10), squares(20)], AS_IT_IS)
    assert (both.low, both.high) == pytest.approx((found.median, 2 * found.median), abs=0.02)


def test_of_masks_without_ids_the_pieces_count():
    pieces = diameters_taught([squares(20, instances=False)], AS_IT_IS)
    one, two = (2 * math.sqrt(area / math.pi) for area in (400, 800))
    assert one - 1 < pieces.median < two + 1


def test_nothing_is_known_of_empty_masks():
    empty = replace(squares(10), classes=np.zeros((2, 100, 100), np.uint8), instances=None)
    assert diameters_taught([empty], AS_IT_IS) is None
    assert diameters_taught([replace(squares(10), frames=())], AS_IT_IS) is None


def test_header_knows_what_taught_last(small_run, tmp_path):
    config = TrainConfig(n_steps=1, batch_size=1, seed=0)
    base = product_of(small_run(tmp_path / "base", config))
    names = read_info(base).mask_spec.class_names

    def tuned(base, side, folder, resume=False):
        data = TrainingData(stacks=[replace(squares(side), class_names=names)], validation=[])
        run = fine_tune(base, data, config, tmp_path / folder, device="cpu", resume=resume)
        return product_of(run)

    first = tuned(base, 10, "first")
    assert read_info(first).object_diameter == pytest.approx(20 / math.sqrt(math.pi), abs=0.01)
    second = tuned(first, 20, "second")
    assert read_info(second).object_diameter == pytest.approx(40 / math.sqrt(math.pi), abs=0.01)
    again = tuned(first, 10, "second", resume=True)
    assert again == second
    assert read_info(again).object_diameter == read_info(second).object_diameter
