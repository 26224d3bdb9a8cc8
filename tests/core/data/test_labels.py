import sys
from collections.abc import Callable

import numpy as np
import pytest

from rleseg_core.data import (
    classes_from_instances,
    resize_labels,
    subsample_labels,
    upsample_labels,
)
from rleseg_core.errors import DataError


def test_every_instance_is_of_the_single_class():
    ids = np.array([[0, 7], [70000, 1]], np.uint32)
    assert classes_from_instances(ids).tolist() == [[0, 1], [1, 1]]


def test_instances_take_their_mapped_class():
    ids = np.array([[[0, 5], [900, 5]]], np.uint16)
    classes = classes_from_instances(ids, {5: 2, 900: 1})
    assert classes.dtype == np.uint8
    assert classes.tolist() == [[[0, 2], [1, 2]]]


def test_instance_without_class_is_named():
    with pytest.raises(DataError, match="none is given for 3, 9"):
        classes_from_instances(np.array([0, 3, 9]), {1: 1})


def test_negative_instances_are_refused():
    with pytest.raises(DataError, match="id -1 in a mask of objects"):
        classes_from_instances(np.array([-1, 3]))


@pytest.mark.parametrize(("side", "cells"), [(8, 2), (8, 8), (9, 3), (12, 4), (128, 32)])
def test_cell_takes_its_centre_pixel(side, cells):
    labels = np.arange(side * side).reshape(1, side, side)
    step = side // cells
    expected = labels[:, step // 2 :: step, step // 2 :: step]
    np.testing.assert_array_equal(subsample_labels(labels, (cells, cells)), expected)


def test_mask_that_does_not_divide_the_patch_is_refused():
    with pytest.raises(DataError, match=r"\(3, 4\) does not divide a patch of \(8, 8\)"):
        subsample_labels(np.zeros((1, 8, 8), np.uint8), (3, 4))


@pytest.mark.parametrize("rule", ["nearest", "smooth"])
@pytest.mark.parametrize("factor", [1, 2, 3, 4, 8])
def test_upsampled_mask_subsamples_to_itself(rule, factor):
    rng = np.random.default_rng(factor)
    coarse = np.kron(rng.integers(0, 3, (2, 5, 4)), np.ones((1, 3, 3), int)).astype(np.uint8)
    coarse[0] = 0
    fine = upsample_labels(coarse, (15 * factor, 12 * factor), rule)
    assert fine.dtype == np.uint8
    np.testing.assert_array_equal(subsample_labels(fine, (15, 12)), coarse)


def test_nearest_is_replication_and_any_size_will_do():
    coarse = np.random.default_rng(0).integers(0, 4, (1, 4, 6))
    np.testing.assert_array_equal(
        upsample_labels(coarse, (12, 18)), coarse.repeat(3, axis=1).repeat(3, axis=2)
    )
    assert upsample_labels(coarse, (7, 11)).shape == (1, 7, 11)
    assert upsample_labels(coarse, (7, 11), "smooth").shape == (1, 7, 11)


def test_smooth_edges_follow_a_disc_more_closely_than_replication():
    rows, cols = np.mgrid[:128, :128]
    disc = (np.hypot(rows - 63.5, cols - 63.5) < 40).astype(np.uint8)[None]
    coarse = subsample_labels(disc, (32, 32))
    wrong = [(upsample_labels(coarse, (128, 128), r) != disc).sum() for r in ("nearest", "smooth")]
    assert wrong[1] < 0.8 * wrong[0]


def test_ties_between_classes_go_to_the_class_of_the_cell():
    coarse = np.array([[[2, 1], [1, 2]]], np.uint8)
    fine = upsample_labels(coarse, (3, 3), "smooth")
    assert fine[0].tolist() == [[2, 1, 1], [1, 2, 2], [1, 2, 2]]


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
def test_smooth_objects_keep_their_area_whatever_their_class(factor):
    halves = np.array([[[2, 2, 1, 1, 1, 0]]] * 4, np.uint8)
    fine = upsample_labels(halves.reshape(4, 6), (4 * factor, 6 * factor), "smooth")
    assert np.bincount(fine.ravel()).tolist() == [n * 4 * factor**2 for n in (1, 3, 2)]
    rows, cols = np.mgrid[:240, :240]
    disc = (np.hypot(rows - 119.5, cols - 119.5) < 80).astype(np.uint8)
    coarse = subsample_labels(disc, (240 // factor, 240 // factor))
    area = np.count_nonzero(upsample_labels(coarse, (240, 240), "smooth"))
    assert area == pytest.approx(np.count_nonzero(disc), rel=0.01)


@pytest.mark.parametrize("value", [0, 3])
def test_uniform_mask_stays_uniform(value):
    fine = upsample_labels(np.full((2, 1, 5), value), (6, 20), "smooth")
    assert (fine == value).all()


def test_labels_of_that_size_are_given_back_as_they_are():
    labels = np.zeros((1, 4, 4))
    assert resize_labels(labels, (4, 4)) is labels


def n_calls(work: Callable[[], object]) -> int:
    """Functions that were called, of Python and of C."""
    calls = 0

    def count(_frame: object, event: str, _arg: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


def test_smooth_upsampling_has_no_loop_over_pixels():
    def work(side: int) -> int:
        blocks = np.random.default_rng(0).integers(0, 3, (8, 8))
        coarse = np.kron(blocks, np.ones((side // 32, side // 32), int))[None]
        return n_calls(lambda: upsample_labels(coarse, (side, side), "smooth"))

    work(128)  # what is imported or compiled at first is left out
    assert work(128) == work(512)
