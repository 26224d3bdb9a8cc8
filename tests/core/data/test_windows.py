import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rleseg_core.data import (
    ImageStack,
    LabelReader,
    Window,
    WindowReader,
    plan_frames,
    plan_windows,
    resized_shape,
)
from rleseg_core.errors import DataError
from rleseg_core.normalisation import BY_TYPE
from rleseg_core.spec import WindowSpec

SHAPES = [(1, 8, 8), (3, 20, 31), (5, 64, 9), (4, 7, 30), (6, 33, 33)]
SPECS = [
    WindowSpec(patch=p, patch_stride=s, image_size=i, n_frames=n, frame_stride=f)
    for (p, s), i, (n, f) in itertools.product(
        [(8, 8), (8, 5), (9, 1), (40, 40)], [None, 24], [(1, 1), (3, 2), (2, 1)]
    )
]


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("shape", SHAPES)
def test_windows_cover_everything_and_end_flush(shape, spec):
    windows = plan_windows(shape, spec)
    height, width = resized_shape(shape, spec)
    volume = (shape[0], max(height, spec.patch), max(width, spec.patch))
    covered = np.zeros(volume, int)
    for window in windows:
        box = (window.frames, window.rows, window.cols)
        sides = (min(spec.n_frames, shape[0]), spec.patch, spec.patch)
        for (start, stop), side, limit in zip(box, sides, volume, strict=True):
            assert stop - start == side
            assert 0 <= start < stop <= limit
        covered[tuple(slice(*span) for span in box)] += 1
    assert covered.min() >= 1
    assert max(w.frames[1] for w in windows) == volume[0]
    assert max(w.rows[1] for w in windows) == volume[1]
    assert max(w.cols[1] for w in windows) == volume[2]
    assert len(set(windows)) == len(windows)
    assert windows == sorted(windows, key=lambda w: (w.frames, w.rows, w.cols))
    starts = sorted({w.rows[0] for w in windows})
    assert all(b - a <= spec.patch_stride for a, b in itertools.pairwise(starts))


@given(
    n_frames=st.integers(1, 30),
    size=st.integers(1, 9),
    stride=st.integers(1, 9),
    breaks=st.sets(st.integers(1, 29)),
)
def test_frames_of_windows_cover_all_runs_and_end_flush(n_frames, size, stride, breaks):
    stride, breaks = min(stride, size), sorted(b for b in breaks if b < n_frames)
    spec = WindowSpec(patch=8, patch_stride=8, n_frames=size, frame_stride=stride)
    planned = plan_frames(n_frames, spec, breaks)
    covering = [[w for w in planned if w[0] <= t < w[1]] for t in range(n_frames)]
    assert all(covering)
    assert max(map(len, covering)) <= -(-size // stride) + 1  # the last one is moved back
    for first, stop in itertools.pairwise([0, *breaks, n_frames]):
        inside = [w for w in planned if first <= w[0] < stop]
        assert (inside[0][0], inside[-1][1]) == (first, stop)
        assert {b - a for a, b in inside} == {min(size, stop - first)}
        steps = [b[0] - a[0] for a, b in itertools.pairwise(inside)]
        assert all(step == stride for step in steps[:-1])
        assert all(0 < step <= stride for step in steps)


@pytest.mark.parametrize("breaks", [(0,), (3,), (2, 1), (1, 1)])
def test_breaks_are_frames_in_order(breaks):
    spec = WindowSpec(patch=8, patch_stride=8, n_frames=2)
    with pytest.raises(DataError, match="breaks must be frames from 1 to 2 in ascending order"):
        plan_frames(3, spec, breaks)


def test_last_frame_of_a_short_window_is_repeated():
    frames = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)
    spec = WindowSpec(patch=8, patch_stride=8, n_frames=4, normalisation=BY_TYPE)
    short, single = plan_windows(frames.shape, spec, breaks=[2])
    reader = WindowReader(ImageStack.from_array(frames), spec)
    np.testing.assert_allclose(
        reader.read(short)[:, 0] * 255, frames[[0, 1, 1, 1]], rtol=0, atol=1e-4
    )
    np.testing.assert_array_equal(LabelReader(frames, spec).read(single), frames[[2, 2, 2, 2]])


def test_windows_without_overlap_are_as_few_as_can_be():
    spec = WindowSpec(patch=8, patch_stride=8)
    assert len(plan_windows((2, 16, 24), spec)) == 2 * 2 * 3
    assert len(plan_windows((2, 17, 24), spec)) == 2 * 3 * 3


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        ((1, 100, 50), None, (100, 50)),
        ((1, 100, 50, 3), 40, (40, 20)),
        ((1, 30, 60), 120, (60, 120)),
        ((1, 1, 1000), 10, (1, 10)),
    ],
)
def test_longer_side_is_the_image_size(shape, size, expected):
    assert resized_shape(shape, WindowSpec(patch=8, patch_stride=8, image_size=size)) == expected


def test_grey_is_scaled_and_in_all_channels():
    frames = np.random.default_rng(0).integers(0, 256, (3, 20, 30), dtype=np.uint8)
    spec = WindowSpec(patch=8, patch_stride=8, n_frames=2, normalisation=BY_TYPE)
    images = WindowReader(ImageStack.from_array(frames), spec).read(
        Window((1, 3), (4, 12), (2, 10))
    )
    assert images.shape == (2, 3, 8, 8)
    assert images.dtype == np.float32
    for channel in range(3):
        np.testing.assert_allclose(images[:, channel], frames[1:3, 4:12, 2:10] / 255, atol=1e-6)


def test_first_three_samples_of_a_colour_picture_are_read():
    frames = np.zeros((1, 8, 8, 4), np.uint8) + np.array([51, 102, 153, 204], np.uint8)
    spec = WindowSpec(patch=8, patch_stride=8, normalisation=BY_TYPE)
    images = WindowReader(ImageStack.from_array(frames), spec).read(Window((0, 1), (0, 8), (0, 8)))
    np.testing.assert_allclose(images[0, :, 3, 3], [0.2, 0.4, 0.6], atol=1e-6)


def test_frame_smaller_than_the_patch_repeats_its_edge():
    frame = np.arange(30, dtype=np.uint8).reshape(1, 5, 6)
    spec = WindowSpec(patch=8, patch_stride=8, normalisation=BY_TYPE)
    (window,) = plan_windows(frame.shape, spec)
    image = WindowReader(ImageStack.from_array(frame), spec).read(window)[0, 0] * 255
    np.testing.assert_allclose(image, np.pad(frame[0], ((0, 3), (0, 2)), mode="edge"), atol=1e-4)
    labels = LabelReader(frame, spec).read(window)
    np.testing.assert_array_equal(labels[0], np.pad(frame[0], ((0, 3), (0, 2)), mode="edge"))


def test_shrinking_averages_images_and_never_mixes_ids():
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (1, 64, 64), dtype=np.uint8)
    spec = WindowSpec(patch=16, patch_stride=16, image_size=16, normalisation=BY_TYPE)
    (window,) = plan_windows(frame.shape, spec)
    image = WindowReader(ImageStack.from_array(frame), spec).read(window)[0, 0]
    blocks = frame[0].reshape(16, 4, 16, 4).mean(axis=(1, 3)) / 255
    assert image.std() < 2 * blocks.std() < 0.5 * (frame / 255).std()
    assert abs(image.mean() - blocks.mean()) < 0.01
    ids = np.where(frame > 127, 900, 3).astype(np.uint16)
    labels = LabelReader(ids, spec).read(window)
    assert labels.dtype == np.uint16
    np.testing.assert_array_equal(labels, ids[:, 2::4, 2::4])


def test_a_frame_is_read_once_for_all_its_windows():
    frames = np.zeros((4, 32, 32), np.uint16)
    stack = ImageStack.from_array(frames)
    stack.intensity_range()
    read = []
    inner = stack.frame
    stack.frame = lambda t: (read.append(t), inner(t))[1]
    spec = WindowSpec(patch=8, patch_stride=8, n_frames=2)
    reader = WindowReader(stack, spec)
    windows = plan_windows(frames.shape, spec)
    for window in windows:
        reader.read(window)
    assert read == [0, 1, 2, 3]
    part = slice(0, 8)
    for window in windows:  # masks come long after the images were read
        masks = reader.clear(np.ones((2, 8, 8), np.uint8), range(*window.frames), part, part)
        assert not masks.any()  # the frames are constant
    assert read == [0, 1, 2, 3]


def test_window_of_a_16_bit_stack_lies_between_0_and_1():
    frames = np.random.default_rng(0).integers(300, 5000, (3, 32, 32)).astype(np.uint16)
    frames[0, 0, 0] = 65535
    stack = ImageStack.from_array(frames)
    low, high = stack.intensity_range()
    assert 300 <= low < 320
    assert 4900 < high <= 5000
    spec = WindowSpec(patch=32, patch_stride=32, normalisation=BY_TYPE)
    image = WindowReader(stack, spec).read(plan_windows(frames.shape, spec)[0])
    assert image.min() == 0
    assert image.max() == 1


@pytest.mark.parametrize("frame", [np.full((4, 4), 7.0), np.full((4, 4), np.nan)])
def test_empty_pictures_have_a_range_and_no_nan(frame):
    stack = ImageStack.from_array(frame)
    low, high = stack.intensity_range()
    assert high > low
    image = WindowReader(stack, WindowSpec(patch=4, patch_stride=4)).read(
        Window((0, 1), (0, 4), (0, 4))
    )
    assert np.isfinite(image).all()
