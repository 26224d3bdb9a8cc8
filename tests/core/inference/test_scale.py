"""The size at which a model sees frames: given, its own, or found from the objects."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from rleseg_core.checkpoints import build_model, new_model
from rleseg_core.data import ImageStack
from rleseg_core.errors import DataError, DataWarning
from rleseg_core.inference import PredictOptions, Segmenter
from rleseg_core.reports import product_of
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import preset


@pytest.fixture(scope="module")
def unknowing(tmp_path_factory):
    info = new_model(
        tmp_path_factory.mktemp("model") / "tiny.safetensors",
        size="test",
        scheme=preset("lac"),
        mask_spec=MaskSpec(size=(16, 16), class_names=("ipsc", "dfc")),
        window_spec=WindowSpec(patch=64, patch_stride=48, image_size=96),
        max_tokens=32,
    )
    torch.manual_seed(1)
    return Segmenter(info, build_model(info), "cpu")


@pytest.fixture(scope="module")
def knowing(unknowing):
    info = replace(unknowing.info, object_diameter=20.0, object_diameters=(10.0, 40.0))
    return Segmenter(info, unknowing.model, "cpu")


@pytest.fixture(scope="module")
def stack():
    rng = np.random.default_rng(0)
    return ImageStack.from_array(rng.integers(0, 255, (2, 100, 150), dtype=np.uint8))


def test_given_diameter_decides_on_the_size_of_frames(knowing, stack):
    scale = knowing.scale(stack, diameter=10)
    assert (scale.image_size, scale.diameter, scale.origin) == (300, 10, "diameter")
    assert scale.text == "objects are about 10 px wide; frames are seen at 300 px"
    labels = product_of(knowing.predict(stack, diameter=10, frames=[1]))
    assert np.array_equal(labels, product_of(knowing.predict(stack, image_size=300, frames=[1])))


def test_given_image_size_wins(knowing, stack):
    scale = knowing.scale(stack, image_size=200)
    assert (scale.image_size, scale.origin, scale.text) == (200, "image_size", "")


def test_models_that_know_no_diameter_see_frames_as_before(unknowing, stack, monkeypatch):
    monkeypatch.delattr(type(unknowing._scales), "estimate")
    scale = unknowing.scale(stack)
    assert (scale.image_size, scale.origin, scale.text) == (96, "model", "")
    for diameter in (10, "auto"):
        with pytest.raises(DataError, match="does not know the diameter"):
            unknowing.scale(stack, diameter=diameter)


def test_size_and_diameter_exclude_each_other():
    with pytest.raises(DataError, match="give image_size or diameter"):
        PredictOptions(image_size=100, diameter=10)
    for wrong in (0, -1, float("nan"), "all"):
        with pytest.raises(DataError, match="diameter must be"):
            PredictOptions(diameter=wrong)


def test_objects_too_large_for_the_smallest_frame_are_told(knowing, stack):
    with pytest.warns(DataWarning, match="trained on 10 to 40; choose a model for larger"):
        assert knowing.scale(stack, diameter=140).image_size == 64


def test_frames_that_do_not_exist(knowing, stack):
    with pytest.raises(DataError, match=r"start at frames 0 to 1, got \[2\]"):
        knowing.estimate_diameter(stack, [2])
