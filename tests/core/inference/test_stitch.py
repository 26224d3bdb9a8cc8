import numpy as np
import pytest

from rleseg_core.data import plan_windows
from rleseg_core.inference import source_rectangle
from rleseg_core.inference.stitch import Stitcher
from rleseg_core.spec import WindowSpec


def test_last_window_wins():
    labels = np.zeros((1, 4, 6), np.uint8)
    stitcher = Stitcher(labels, 2, "last")
    stitcher.add(0, slice(0, 4), slice(0, 4), np.full((4, 4), 1, np.uint8))
    now = stitcher.add(0, slice(0, 4), slice(2, 6), np.full((4, 4), 2, np.uint8))
    assert labels[0, 0].tolist() == [1, 1, 2, 2, 2, 2]
    assert (now == 2).all()


def test_votes_are_counted_and_ties_go_to_the_smaller_class():
    labels = np.zeros((1, 1, 3), np.uint8)
    stitcher = Stitcher(labels, 2, "vote")
    for row in ([2, 2, 1], [2, 1, 0], [1, 0, 0]):
        now = stitcher.add(0, slice(0, 1), slice(0, 3), np.array([row], np.uint8))
    assert labels[0, 0].tolist() == [2, 0, 0]
    assert now[0].tolist() == [2, 0, 0]


def test_votes_of_a_closed_frame_are_forgotten():
    labels = np.zeros((2, 2, 2), np.uint8)
    stitcher = Stitcher(labels, 1, "vote")
    one = np.ones((2, 2), np.uint8)
    stitcher.add(0, slice(0, 2), slice(0, 2), one)
    stitcher.add(1, slice(0, 2), slice(0, 2), one)
    stitcher.close([0])
    for frame in (0, 1):
        stitcher.add(frame, slice(0, 2), slice(0, 2), 0 * one)
    assert (labels[0] == 0).all()
    stitcher.add(1, slice(0, 2), slice(0, 2), one)
    assert (labels[1] == 1).all()


def test_more_than_255_windows_may_vote_on_a_pixel():
    labels = np.zeros((1, 1, 1), np.uint8)
    stitcher = Stitcher(labels, 1, "vote")
    for _ in range(300):
        stitcher.add(0, slice(0, 1), slice(0, 1), np.ones((1, 1), np.uint8))
    for _ in range(100):
        stitcher.add(0, slice(0, 1), slice(0, 1), np.zeros((1, 1), np.uint8))
    assert labels[0, 0, 0] == 1


def test_the_window_wins_in_which_a_pixel_lies_deepest():
    labels = np.zeros((1, 1, 10), np.uint8)
    stitcher = Stitcher(labels, 3)
    whole = slice(0, 1)
    stitcher.add(0, whole, slice(0, 6), np.full((1, 6), 1, np.uint8))
    stitcher.add(0, whole, slice(2, 8), np.full((1, 6), 2, np.uint8))
    now = stitcher.add(0, whole, slice(4, 10), np.full((1, 6), 3, np.uint8))
    # pixel 4 is two from the end of the first and third from the beginning of the second
    assert labels[0, 0].tolist() == [1, 1, 1, 1, 2, 2, 3, 3, 3, 3]
    assert now[0].tolist() == [2, 2, 3, 3, 3, 3]
    stitcher.close([0])
    stitcher.add(0, whole, slice(2, 8), np.full((1, 6), 1, np.uint8))
    assert labels[0, 0].tolist() == [1, 1, 1, 1, 1, 1, 1, 1, 3, 3]


@pytest.mark.parametrize("shape", [(1, 50, 70), (2, 64, 64), (1, 33, 200), (1, 20, 20)])
@pytest.mark.parametrize("image_size", [None, 48, 150])
@pytest.mark.parametrize("stride", [16, 11])
def test_windows_cover_every_source_pixel(shape, image_size, stride):
    spec = WindowSpec(patch=16, patch_stride=stride, image_size=image_size)
    hits = np.zeros(shape[1:], int)
    for window in plan_windows(shape, spec):
        rows, cols, covered = source_rectangle(window, shape, spec)
        assert 0 < covered[0] <= 16
        assert 0 < covered[1] <= 16
        hits[rows, cols] += 1
    assert hits.min() >= 1
