"""The size at which a model sees frames: given, its own, or found from the objects."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from rleseg_core.checkpoints import build_model, new_model
from rleseg_core.data import ImageStack, SyntheticConfig, synthesize
from rleseg_core.data.windows import resize_image
from rleseg_core.decoding import DecodedSequence
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


@pytest.fixture(scope="module")
def cells():
    return Segmenter.from_checkpoint("cells", "cpu")


@pytest.fixture(scope="module")
def field():
    """A synthetic field, 256 × 256, and where its cells are, about 38 pixels wide."""
    sequence = synthesize(SyntheticConfig(n_frames=1, size=(256, 256), seed=5))
    return sequence.images[0], sequence.classes[0] > 0


def tiled(plane, n):
    """A plane and its mirror images, n by n of them: no cell ends at a seam."""
    four = np.block([[plane, plane[:, ::-1]], [plane[::-1], plane[::-1, ::-1]]])
    return np.tile(four, (n // 2, n // 2))


@pytest.fixture(scope="module")
def small(field):
    """Stack of one frame of the field, 512 × 512; what a model sees in it is found once."""
    return ImageStack.from_array(tiled(field[0], 2)[None])


@pytest.fixture(scope="module")
def wide(field):
    """Stack of one frame of the field, 1024 × 1024."""
    return ImageStack.from_array(tiled(field[0], 4)[None])


def dice(found, true):
    return 2 * (found & true).sum() / (found.sum() + true.sum())


def test_more_cells_need_larger_frames_and_larger_cells_do_not(cells, small, wide):
    trained = cells.info.object_diameter
    few = cells.estimate_diameter(small)
    assert few.diameter == pytest.approx(38, rel=0.1)
    assert few.image_size == round(512 * trained / few.diameter)
    many = cells.estimate_diameter(wide)
    assert many.diameter == pytest.approx(few.diameter, rel=0.1)
    assert many.image_size == pytest.approx(2 * few.image_size, rel=0.1)
    large = resize_image(np.asarray(small.data[0]).astype(np.float32), (1024, 1024))
    enlarged = cells.estimate_diameter(ImageStack.from_array(large[None]))
    assert enlarged.diameter == pytest.approx(2 * few.diameter, rel=0.1)
    assert enlarged.image_size == pytest.approx(few.image_size, rel=0.1)


def test_large_frames_of_known_cells_are_segmented_as_well_as_small_ones(cells, field, small, wide):
    true = field[1]
    assert cells.scale(small).origin == "model"
    expected = dice(product_of(cells.predict(small, preview=True))[0] > 0, tiled(true, 2))
    scale = cells.scale(wide, diameter="auto")
    assert scale.text.startswith("objects are about 3")
    found = product_of(cells.predict(wide, diameter="auto", preview=True))[0] > 0
    assert dice(found, tiled(true, 4)) > expected - 0.02


def test_estimate_is_made_once_for_a_stack_and_for_all_its_frames(cells, field, monkeypatch):
    stack = ImageStack.from_array(np.stack([field[0]] * 5))
    first = cells.scale(stack, diameter="auto")
    monkeypatch.setattr(cells._source, "encode", lambda *_: pytest.fail("looked again"))
    assert cells.scale(stack, diameter="auto") == first
    assert cells.scale(stack).image_size is not None
    assert cells.estimate_diameter(stack).diameter == first.diameter


def test_noise_and_nothing_have_no_scale(cells):
    noise = np.random.default_rng(0).normal(100, 10, (1, 200, 200))
    with pytest.warns(DataWarning, match="no scale gives objects like those"):
        scale = cells.scale(ImageStack.from_array(noise.astype(np.float32)))
    assert (scale.image_size, scale.origin) == (512, "model")
    empty = ImageStack.from_array(np.full((1, 200, 200), 7, np.uint8))
    assert cells.scale(empty).origin == "model"
    assert cells.estimate_diameter(empty).diameter is None


def test_models_that_write_tokens_alone_see_them(field, monkeypatch):
    monkeypatch.setattr("rleseg_core.inference.scale.N_WINDOWS", 6)
    demo = Segmenter.from_checkpoint("demo", "cpu")
    stack = ImageStack.from_array(field[0][None])
    assert demo.scale(stack).origin == "model"
    assert demo.estimate_diameter(stack).diameter == pytest.approx(38, rel=0.2)


@pytest.mark.parametrize("pointer", [{}, {"affinities": (), "dense_classes": 0}])
def test_models_of_instances_are_measured_by_their_ids(tmp_path, monkeypatch, pointer):
    info = new_model(
        tmp_path / "iw.safetensors",
        size="test",
        scheme=preset("iw"),
        mask_spec=MaskSpec(size=(16, 16), class_names=("cell",)),
        window_spec=WindowSpec(patch=64, patch_stride=48),
        max_tokens=32,
        **pointer,
    )
    info = replace(info, object_diameter=20.0, object_diameters=(10.0, 40.0))
    segmenter = Segmenter(info, build_model(info), "cpu")
    ids = np.zeros((1, 16, 16), np.int32)
    ids[0, 2:6, 2:6], ids[0, 2:6, 6:10], ids[0, 9:13, 4:8] = 1, 2, 3  # two of them touch
    classes = (ids > 0).astype(np.uint8)
    tokens = segmenter.tokenizer.encode(classes, ids)

    def decode(batches, *_):
        for windows in batches:
            for _ in windows:
                yield DecodedSequence(0, tokens, np.zeros(tokens.shape, np.float32), 0)

    monkeypatch.setattr(segmenter._source, "decode", decode)
    monkeypatch.setattr(
        "rleseg_core.inference.scale.objects_of_windows",
        lambda _, memory: [(classes, ids)] * len(memory),
    )
    images = np.random.default_rng(0).integers(0, 9, (1, 64, 64))
    found = segmenter.estimate_diameter(ImageStack.from_array(images))
    at_own = next(rung for rung in found.rungs if rung.scale == 1)
    assert at_own.diameter == pytest.approx(4 * 2 * np.sqrt(16 / np.pi))
