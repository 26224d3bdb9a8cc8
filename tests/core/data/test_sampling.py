from dataclasses import replace

import numpy as np
import pytest

from rleseg_core.data import (
    ImageStack,
    LabelledStack,
    WindowSource,
    cut_crops,
    grid_samples,
    subsample_labels,
)
from rleseg_core.data.crops import DrawnWindow, mirrored
from rleseg_core.data.frames import Frames
from rleseg_core.data.sampling import labelled_windows
from rleseg_core.errors import DataError
from rleseg_core.normalisation import BY_TYPE
from rleseg_core.spec import MaskSpec, WindowSpec

NAMES = ("ipsc", "dfc")


def labelled(shape=(4, 48, 64), *, instances=True, frames=None, dtype=np.uint8):
    """Squares whose grey value is 100 times their class; instance ids count them."""
    classes, ids = np.zeros(shape, np.uint8), np.zeros(shape, np.int32)
    for t in range(shape[0]):
        classes[t, 4:14, 6 + t : 16 + t], ids[t, 4:14, 6 + t : 16 + t] = 1, 5
        classes[t, 30:44, 40:54], ids[t, 30:44, 40:54] = 2, 9
    images = (classes * (100 if dtype == np.uint8 else 20000)).astype(dtype)
    return LabelledStack(
        images=ImageStack.from_array(images),
        classes=classes,
        class_names=NAMES,
        instances=ids if instances else None,
        frames=frames,
    )


def specs(patch=16, size=4, n_frames=1):
    return (
        WindowSpec(patch=patch, patch_stride=patch, n_frames=n_frames, normalisation=BY_TYPE),
        MaskSpec(size=(size, size), class_names=NAMES, n_frames=n_frames),
    )


def test_some_of_the_windows_are_from_all_over():
    grey = np.arange(4 * 12, dtype=np.uint8).reshape(4, 3, 4).repeat(16, 1).repeat(16, 2)
    stack = replace(labelled(), images=ImageStack.from_array(grey))

    def greys(**options):
        batches = grid_samples([stack], *specs(), **options)
        return [batch.images[:, 0, 0, 0, 0].tolist() for batch in batches]

    everything = greys(batch_size=48)[0]
    some = greys(batch_size=8, at_most=8)[0]
    assert len(set(everything)) == 48
    assert all(grey in everything[6 * k : 6 * k + 6] for k, grey in enumerate(some))
    assert greys(batch_size=5, at_most=8) == [some[:5], some[5:]]
    assert greys(batch_size=48, at_most=49) == [everything]


def test_grid_samples_are_all_windows_in_order():
    stack = labelled((3, 48, 64), frames=(0, 2))
    batches = list(grid_samples([stack, stack], *specs(), batch_size=10))
    assert [len(batch) for batch in batches] == [10] * 4 + [8]
    images = np.concatenate([batch.images for batch in batches])
    assert images.shape == (2 * 2 * 3 * 4, 1, 3, 16, 16)
    classes = np.concatenate([batch.classes for batch in batches])
    whole = classes[12:24, 0].reshape(3, 4, 4, 4).transpose(0, 2, 1, 3).reshape(12, 16)
    np.testing.assert_array_equal(whole, stack.classes[2][2::4, 2::4])


@pytest.mark.parametrize("rule", ["corner", "max"])
def test_masks_are_subsampled_by_the_rule_given(rule):
    window, mask = specs(patch=16, size=4)
    batch = next(grid_samples([labelled()], window, mask, subsample_rule=rule))
    seen = np.rint(batch.images[:, :, 0] / 100).astype(np.uint8)  # grey says the class
    np.testing.assert_array_equal(batch.classes, subsample_labels(seen, (4, 4), rule))
    np.testing.assert_array_equal(batch.instances > 0, batch.classes > 0)


def test_specs_that_do_not_fit_are_refused():
    window, mask = specs()
    with pytest.raises(DataError, match="no labelled stacks"):
        next(grid_samples([], window, mask))
    with pytest.raises(DataError, match="both need the same"):
        next(grid_samples([labelled()], window, MaskSpec(size=(4, 4), class_names=("cell",))))
    with pytest.raises(DataError, match="windows have 1 frames, masks 2"):
        next(grid_samples([labelled()], window, specs(n_frames=2)[1]))
    with pytest.raises(DataError, match="does not divide"):
        next(grid_samples([labelled()], window, MaskSpec(size=(5, 5), class_names=NAMES)))


def drawn(source, seed):
    rng = np.random.default_rng(seed)
    frames = source.draw_frames(rng)
    return DrawnWindow(frames, source.draw_start(frames, rng))


def greys_of(stack, n_frames, n_windows=64, **options):
    """Grey values of the frames of windows, one of each frame."""
    source = WindowSource([stack], specs(n_frames=n_frames)[0], **options)
    crops = cut_crops([drawn(source, row) for row in range(n_windows)], 16, 0)
    return {tuple(frames) for frames in crops.images[:, :, 0, 0, 0].tolist()}


def numbered(n_frames, known):
    """Frames whose grey value is their number."""
    numbers = np.arange(n_frames, dtype=np.uint8)[:, None, None]
    return LabelledStack(
        images=ImageStack.from_array(np.zeros((n_frames, 32, 64), np.uint8) + numbers),
        classes=np.zeros((n_frames, 32, 64), np.uint8),
        class_names=NAMES,
        frames=known,
    )


def test_foreground_share_is_met():
    shape = (2, 200, 200)
    classes = np.zeros(shape, np.uint8)
    classes[:, 100:108, 100:108] = 2
    stack = LabelledStack(
        images=ImageStack.from_array(np.zeros(shape, np.uint8)), classes=classes, class_names=NAMES
    )
    for share, low, high in ((1.0, 1, 1), (0.0, 0, 0.2), (0.5, 0.35, 0.75)):
        source = WindowSource([stack], specs(patch=32)[0], foreground_share=share)
        crops = cut_crops([drawn(source, row) for row in range(100)], 32, 0)
        assert low <= crops.classes.any(axis=(1, 2, 3)).mean() <= high


def test_only_labelled_frames_are_drawn():
    stack = numbered(6, (1, 2, 5))
    assert greys_of(stack, 1) == {(1,), (2,), (5,)}
    assert greys_of(stack, 2) == {(1, 2)}
    with pytest.raises(DataError, match="no stack has 3 labelled frames in a row"):
        greys_of(stack, 3)


def test_frames_of_a_window_can_be_apart():
    stack = numbered(12, (0, 1, 2, 3, 4, 6, 8, 10))
    assert greys_of(stack, 3, 200, frame_gap=(1, 2)) == {
        *((start, start + 1, start + 2) for start in range(3)),
        *((start, start + 2, start + 4) for start in (0, 2, 4, 6)),
    }
    with pytest.raises(DataError, match="3 labelled frames 7 apart"):
        greys_of(stack, 3, frame_gap=(7, 7))


def test_windows_end_where_frames_are_missing():
    stack = numbered(7, None)
    stack.images.breaks = (3,)
    assert greys_of(stack, 2) == {(0, 1), (1, 2), (3, 4), (4, 5), (5, 6)}
    assert greys_of(stack, 2, frame_gap=(2, 2)) == {(0, 2), (3, 5), (4, 6)}
    window_spec, mask_spec = specs(n_frames=4)
    planned = labelled_windows(stack, window_spec)
    assert {window.frames for window in planned} == {(3, 7)}
    (first, *_) = grid_samples([stack], window_spec, mask_spec)
    assert first.images[0, :, 0, 0, 0].tolist() == [3, 4, 5, 6]
    part = stack.images.part(slice(2, 6), slice(0, 8), slice(0, 8))
    assert part.breaks == (1,)


@pytest.mark.parametrize("share", [{"foreground_share": 1.5}, {"replay_share": 1.0}])
def test_shares_out_of_range_are_refused(share):
    with pytest.raises(DataError, match="share of"):
        WindowSource([labelled()], specs()[0], **share)


def prepared(stack):
    return Frames([stack], specs()[0], 1 << 20).get(0, 0)


def test_crop_is_the_patch_and_what_lies_around_it():
    frame = prepared(labelled((1, 48, 64)))
    crops = cut_crops([DrawnWindow([frame], (10, 20))], 16, 4)
    box = (slice(6, 30), slice(16, 40))
    np.testing.assert_array_equal(crops.images[0, 0], frame.image[box])
    np.testing.assert_array_equal(crops.classes[0, 0], frame.classes[box])
    np.testing.assert_array_equal(crops.instances[0, 0], frame.instances[box])


@pytest.mark.parametrize("start", [(0, 0), (32, 48), (0, 48), (32, 20)])
def test_crop_beyond_the_frame_is_mirrored(start):
    frame = prepared(labelled((1, 48, 64)))
    crops = cut_crops([DrawnWindow([frame], start)], 16, 12)
    padded = np.pad(frame.instances, 12, mode="reflect")
    expected = padded[start[0] : start[0] + 40, start[1] : start[1] + 40]
    np.testing.assert_array_equal(crops.instances[0, 0], expected)


def test_far_beyond_the_frame_its_last_pixel_is_repeated():
    assert mirrored(-5, 13, 3).tolist() == [0, 0, 1, 2, 1, 0, 1, 2, 1, 0, 0, 0, 0]


def test_frames_of_one_channel_go_to_those_of_three():
    grey, colour = labelled((1, 48, 64)), labelled((1, 48, 64))
    images = np.zeros((1, 48, 64, 3), np.uint8) + np.array([10, 20, 30], np.uint8)
    colour = replace(colour, images=ImageStack.from_array(images))
    windows = [DrawnWindow([prepared(stack)], (8, 40)) for stack in (grey, colour)]
    crops = cut_crops(windows, 16, 0)
    assert crops.images.shape == (2, 1, 16, 16, 3)
    assert (crops.images[0] == crops.images[0, ..., :1]).all()
    assert crops.images[1, 0, 0, 0].tolist() == [10, 20, 30]


def test_frame_smaller_than_the_patch_can_be_drawn():
    source = WindowSource([labelled((2, 48, 64))], specs(patch=80)[0])
    assert cut_crops([drawn(source, 0)], 80, 0).images.shape == (1, 1, 80, 80, 1)
