import numpy as np
import pytest
import torch

from rleseg_core.checkpoints import build_model, new_model
from rleseg_core.data import ImageStack, SyntheticConfig, synthesize
from rleseg_core.errors import DataError
from rleseg_core.inference import PredictOptions, Segmenter, first_look
from rleseg_core.reports import product_of
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import preset


def segmenter_of(folder, scheme, **changes):
    info = new_model(
        folder / f"{scheme}.safetensors",
        size="test",
        scheme=preset(scheme),
        mask_spec=MaskSpec(size=(16, 16), class_names=("ipsc", "dfc")),
        window_spec=WindowSpec(patch=64, patch_stride=48),
        max_tokens=48,
        **changes,
    )
    torch.manual_seed(1)
    model = build_model(info)
    if model.dense is not None:  # at first it sees background alone
        torch.nn.init.normal_(model.dense.weight)
        torch.nn.init.zeros_(model.dense.bias)
    return Segmenter(info, model, "cpu", copy=False)


@pytest.fixture(scope="module", params=["lac", "iw"])
def segmenter(request, tmp_path_factory):
    return segmenter_of(tmp_path_factory.mktemp("model"), request.param)


@pytest.fixture(scope="module")
def images():
    return synthesize(SyntheticConfig(n_frames=3, size=(100, 130), seed=2)).images


def test_look_at_a_whole_frame_is_its_preview(segmenter, images):
    stack = ImageStack.from_array(images)
    look = first_look(segmenter, stack, PredictOptions(), 1, slice(0, 100), slice(0, 130))
    seen = product_of(segmenter.segment(stack, preview=True, frames=[1]))
    np.testing.assert_array_equal(look.classes, seen.classes[1])
    np.testing.assert_array_equal(look.objects, seen.objects[1])
    assert look.classes.any()


def test_look_at_a_part_sees_it_at_the_size_of_the_frame(segmenter, images):
    stack, options = ImageStack.from_array(images), PredictOptions(image_size=260)
    rows, cols = slice(10, 60), slice(20, 90)
    look = first_look(segmenter, stack, options, 2, rows, cols)
    part = ImageStack.from_array(images[2:, rows, cols])
    seen = product_of(segmenter.segment(part, preview=True, image_size=140))
    assert (look.rows, look.cols) == (rows, cols)
    np.testing.assert_array_equal(look.classes, seen.classes[0])


def test_no_scale_is_looked_for_in_a_part(segmenter, images, monkeypatch):
    looked, scale = [], segmenter._scales.scale

    def watched(stack, options, spec):
        looked.append((stack.shape, options.image_size))
        return scale(stack, options, spec)

    monkeypatch.setattr(segmenter._scales, "scale", watched)
    stack = ImageStack.from_array(images)
    first_look(segmenter, stack, PredictOptions(), 0, slice(0, 9), slice(0, 70))
    assert looked == [((3, 100, 130, 1), None), ((1, 64, 70, 1), 70)]


def test_of_a_large_part_the_middle_is_looked_at(segmenter):
    stack = ImageStack.from_array(np.zeros((1, 600, 300), np.uint8))
    look = first_look(segmenter, stack, PredictOptions(), 0, slice(0, 600), slice(100, 300))
    assert (look.rows, look.cols) == (slice(172, 428), slice(100, 300))
    assert look.classes.shape == look.objects.shape == (256, 200)


@pytest.mark.parametrize(
    ("part", "seen"), [((0, 2), (0, 200)), ((300, 301), (200, 400)), ((598, 600), (400, 600))]
)
def test_around_a_small_part_more_is_looked_at(segmenter, part, seen):
    stack = ImageStack.from_array(np.zeros((1, 600, 600), np.uint8))
    options = PredictOptions(image_size=192)  # 64 of 200 pixels
    look = first_look(segmenter, stack, options, 0, slice(*part), slice(*part))
    assert look.rows == look.cols == slice(*seen)


@pytest.mark.parametrize("frame", [-1, 3])
def test_frame_that_is_not_there_is_refused(segmenter, images, frame):
    stack = ImageStack.from_array(images)
    with pytest.raises(DataError, match=f"there is no frame {frame}; frames are 0 to 2"):
        first_look(segmenter, stack, PredictOptions(), frame, slice(0, 9), slice(0, 9))


def test_models_without_dense_heads_see_nothing_at_first(images, tmp_path):
    blind = segmenter_of(tmp_path, "lac", dense_classes=0)
    stack = ImageStack.from_array(images)
    assert first_look(blind, stack, PredictOptions(), 0, slice(0, 9), slice(0, 9)) is None


def test_frames_are_segmented_in_the_order_given(segmenter, images):
    stack, seen, finished = ImageStack.from_array(images), [], []
    expected = product_of(segmenter.segment(stack))

    def note(result):
        seen.extend(result.frames)
        finished.extend(set(result.finished.frame.tolist()))

    found = product_of(segmenter.segment(stack, frames=[2, 0, 1]), note)
    assert list(dict.fromkeys(seen)) == finished == [2, 0, 1]
    np.testing.assert_array_equal(found.classes, expected.classes)
    np.testing.assert_array_equal(found.objects > 0, expected.objects > 0)
    assert len(found.table) == len(expected.table)
    assert found.table.id.tolist() == list(range(1, len(found.table) + 1))


def test_part_of_a_stack_keeps_its_channel_and_range(images):
    stack = ImageStack.from_array(images.astype(np.uint16) * 100)
    part = stack.part(slice(1, 2), slice(0, 10), slice(5, 20))
    assert part.shape == (1, 10, 15, 1)
    assert part.intensity_range() == stack.intensity_range()
    np.testing.assert_array_equal(part.frame(0)[..., 0], images[1, :10, 5:20] * np.uint16(100))
