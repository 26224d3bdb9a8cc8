import math

import numpy as np
import pytest

from rleseg_core.errors import DataError
from rleseg_core.evaluation.boundary import (
    boundary_counts,
    boundary_f,
    default_tolerance,
    outline_counts,
)


def square(shift=0, label=1, side=100):
    mask = np.zeros((side, side), np.uint8)
    mask[30:60, 20 + shift : 50 + shift] = label
    return mask


def f(truth, predicted, n_classes=1, tolerance=None):
    return boundary_f(boundary_counts(truth, predicted, n_classes, tolerance))


def test_tolerance_is_a_share_of_the_diagonal_and_at_least_a_pixel():
    assert default_tolerance((3, 300, 400)) == 0.0075 * 500
    assert default_tolerance((40, 40)) == 1


@pytest.mark.parametrize("tolerance", [None, 0, 2.5])
def test_identical_masks_score_one(tolerance):
    rng = np.random.default_rng(0)
    mask = np.kron(rng.integers(0, 4, (2, 6, 6)), np.ones((1, 5, 5), int))
    np.testing.assert_array_equal(f(mask, mask, 3, tolerance), 1)


@pytest.mark.parametrize("tolerance", [1, 3, 4])
def test_boundary_shifted_by_the_tolerance_agrees_and_one_beyond_does_not(tolerance):
    assert f(square(), square(tolerance), tolerance=tolerance) == [1]
    beyond = f(square(), square(tolerance + 1), tolerance=tolerance).item()
    # the sides lie too far, top and bottom agree where they overlap
    assert 0 < beyond < 1
    assert f(square(), square(40), tolerance=tolerance) == [0]


def test_known_pair_has_the_score_worked_out_by_hand():
    truth, predicted = np.zeros((2, 8, 8), int)
    truth[1:4, 1:4] = 1  # eight boundary pixels
    predicted[2, 2] = 1  # one
    counts = boundary_counts(truth, predicted, 1, tolerance=1)
    assert counts.tolist() == [[8, 4, 1, 1]]
    assert boundary_f(counts).item() == pytest.approx(2 * 0.5 * 1 / 1.5)


def test_distance_is_euclidean():
    truth, predicted = np.zeros((2, 9, 9), int)
    truth[4, 4] = predicted[5, 5] = 1
    assert f(truth, predicted, tolerance=1.4) == [0]
    assert f(truth, predicted, tolerance=math.sqrt(2)) == [1]


def test_classes_are_scored_apart():
    truth = square() + square(40, label=2)
    predicted = square() + square(40, label=3)
    scores = f(truth, predicted, 4)
    np.testing.assert_array_equal(scores, [1, 0, 0, np.nan])


def test_boundary_between_touching_classes_belongs_to_both():
    mask = np.ones((10, 10), int)
    mask[:, 5:] = 2
    counts = boundary_counts(mask, mask, 2)
    assert counts[:, 0].tolist() == [10, 10]


def test_outlines_between_touching_objects_count():
    truth = np.zeros((8, 10), int)
    truth[2:6, 1:5], truth[2:6, 5:9] = 255, 300  # no id is a region that is ignored
    as_one = np.where(truth > 0, 7, 0)
    # rings of 12 pixels each; the ring around both has 20, and the 4 inside are at its ends
    assert outline_counts(truth, as_one, 0).tolist() == [[24, 20, 20, 20]]
    assert outline_counts(truth, truth[:, ::-1], 0).tolist() == [[24, 24, 24, 24]]
    assert boundary_f(outline_counts(truth, as_one, 0)).item() == pytest.approx(40 / 44)
    # at 1 pixel the inner ones next to the ends agree: they were 4 of each of two rows
    assert outline_counts(truth, as_one, 1).tolist() == [[24, 24, 20, 20]]


def test_outlines_of_stacks_add_up():
    stack = np.random.default_rng(0).integers(0, 3, (2, 3, 9, 9))
    each = sum(outline_counts(*pair, 1) for pair in zip(*stack, strict=True))
    np.testing.assert_array_equal(outline_counts(*stack, 1), each)
    with pytest.raises(DataError, match="tolerance"):
        outline_counts(*stack, -1)


def test_masks_without_boundary_have_no_score_and_a_boundary_against_none_scores_zero():
    empty, full = np.zeros((50, 50), int), np.ones((50, 50), int)
    one = square(side=100)[20:70, :50]
    assert np.isnan(f(empty, empty)).all()
    assert np.isnan(f(full, full)).all()  # the rim of the image is no boundary
    assert f(empty, one) == [0]
    assert f(one, empty) == [0]
    assert f(one, full) == [0]


def test_counts_of_images_add_up():
    rng = np.random.default_rng(1)
    truth, predicted = rng.integers(0, 3, (2, 4, 12, 15))
    parts = sum(boundary_counts(t, p, 2, 1) for t, p in zip(truth, predicted, strict=True))
    np.testing.assert_array_equal(parts, boundary_counts(truth, predicted, 2, 1))


def test_order_of_the_masks_does_not_matter_to_the_score():
    rng = np.random.default_rng(2)
    truth, predicted = np.kron(rng.integers(0, 2, (2, 5, 7)), np.ones((1, 4, 4), int))
    np.testing.assert_allclose(f(truth, predicted), f(predicted, truth))


def test_other_shape_and_negative_tolerance_are_refused():
    with pytest.raises(DataError, match=r"\(2, 3\).*\(3, 2\)"):
        boundary_counts(np.zeros((3, 2), int), np.zeros((2, 3), int), 1)
    with pytest.raises(DataError, match="must be 0 or more"):
        boundary_counts(np.zeros((3, 2), int), np.zeros((3, 2), int), 1, -1)
