import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linear_sum_assignment

from rleseg_core.errors import DataError
from rleseg_core.evaluation.instances import (
    IOU_THRESHOLDS,
    average_precision,
    components,
    f1_score,
    instance_scores,
    match_counts,
    panoptic_counts,
    panoptic_quality,
)


def brute_force(truth, predicted, threshold):
    """TP, FP and FN by a dense table and the assignment that StarDist and Cellpose use."""
    true_ids, given_ids = (
        [i for i in np.unique(labels) if i != 0] for labels in (truth, predicted)
    )
    iou = np.zeros((len(true_ids), len(given_ids)))
    for row, one in enumerate(true_ids):
        for column, other in enumerate(given_ids):
            a, b = truth == one, predicted == other
            iou[row, column] = (a & b).sum() / (a | b).sum()
    near = iou >= threshold
    rows, columns = linear_sum_assignment(-near.astype(float) - iou / (2 * max(iou.size, 1)))
    found = int(near[rows, columns].sum())
    return [found, len(given_ids) - found, len(true_ids) - found]


def test_counts_by_hand():
    truth = np.array([[1, 1, 1, 1, 0, 0, 7, 7, 0, 9]])
    predicted = np.array([[5, 5, 5, 0, 3, 0, 2, 2, 0, 0]])
    # IoU: 1 with 5 is 3/4, 7 with 2 is 1; 3 is invented, 9 is missed
    counts = match_counts(truth, predicted, (0.5, 0.75, 0.8))
    assert counts.tolist() == [[2, 1, 1], [2, 1, 1], [1, 2, 2]]
    assert average_precision(counts) == pytest.approx([2 / 4, 2 / 4, 1 / 5])
    scores = instance_scores(match_counts(truth, predicted))
    assert (scores.ap50, scores.ap75) == (0.5, 0.5)
    assert scores.ap == pytest.approx((6 * 2 / 4 + 4 * 1 / 5) / 10)
    assert f1_score(counts) == pytest.approx([4 / 6, 4 / 6, 2 / 6])
    assert scores.f1 == pytest.approx(4 / 6)
    assert (scores.n_objects, scores.n_predicted) == (3, 3)
    panoptic = panoptic_counts(truth, predicted)
    assert panoptic.tolist() == [3 / 4 + 1, 2, 1, 1]
    quality = panoptic_quality(panoptic)
    assert quality == pytest.approx((1.75 / (2 + 1 / 2 + 1 / 2), 1.75 / 2, 2 / 3))
    assert quality.pq == pytest.approx(quality.sq * quality.rq)


def test_panoptic_quality_of_images_is_that_of_all_their_objects():
    truth = np.array([[[1, 1, 1, 0, 2, 2]], [[4, 4, 4, 4, 0, 0]]])
    predicted = np.array([[[1, 1, 0, 0, 2, 2]], [[0, 0, 0, 0, 3, 3]]])
    counts = sum(panoptic_counts(*pair) for pair in zip(truth, predicted, strict=True))
    assert panoptic_quality(counts).pq == pytest.approx((2 / 3 + 1) / (2 + 1 / 2 + 1 / 2))


def test_half_of_an_object_is_no_panoptic_match():
    truth, predicted = np.array([[1, 1, 1, 1]]), np.array([[1, 1, 2, 2]])
    assert panoptic_counts(truth, predicted).tolist() == [0, 0, 2, 1]
    scores = panoptic_quality(panoptic_counts(truth, predicted))
    assert (scores.pq, scores.rq) == (0, 0)
    assert np.isnan(scores.sq)


def test_thresholds_are_those_of_the_data_science_bowl():
    assert IOU_THRESHOLDS == (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


def test_halves_of_an_object_are_one_match_at_most():
    truth = np.array([[1, 1, 1, 1]])
    predicted = np.array([[1, 1, 2, 2]])
    assert match_counts(truth, predicted, (0.5,)).tolist() == [[1, 1, 0]]


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.uint8, (6, 7), elements=st.integers(0, 5)),
    arrays(np.uint8, (6, 7), elements=st.integers(0, 5)),
    st.sampled_from([0.05, 0.1, 0.25, 0.5, 0.75]),
)
def test_as_many_as_possible_are_matched(truth, predicted, threshold):
    found = match_counts(truth, predicted, (threshold,))
    assert found.tolist() == [brute_force(truth, predicted, threshold)]


@settings(max_examples=30, deadline=None)
@given(arrays(np.uint8, (6, 7), elements=st.integers(0, 5)), st.permutations(range(1, 6)))
def test_names_of_objects_do_not_matter(labels, names):
    renamed = np.array([0, *(1000 * name for name in names)])[labels]
    counts = match_counts(labels, renamed)
    n_objects = len(set(labels.ravel().tolist()) - {0})
    assert counts.tolist() == [[n_objects, 0, 0]] * len(IOU_THRESHOLDS)


def test_nothing_in_either_is_nan():
    empty = np.zeros((4, 4), np.int32)
    scores = instance_scores(match_counts(empty, empty))
    assert np.isnan([scores.ap, scores.f1, *panoptic_quality(panoptic_counts(empty, empty))]).all()


@pytest.mark.parametrize("missing", ["truth", "predicted"])
def test_nothing_in_one_is_zero(missing):
    empty, full = np.zeros((4, 4), np.int32), np.eye(4, dtype=np.int32)
    pair = (empty, full) if missing == "truth" else (full, empty)
    scores = instance_scores(match_counts(*pair))
    assert (scores.ap50, scores.ap75, scores.ap, scores.f1) == (0, 0, 0, 0)
    assert panoptic_quality(panoptic_counts(*pair)).pq == 0


def test_counts_of_images_add_up():
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 4, (2, 5, 6, 6))
    sums = sum(match_counts(t, p, (0.2,)) for t, p in zip(truth, predicted, strict=True))
    each = [brute_force(t, p, 0.2) for t, p in zip(truth, predicted, strict=True)]
    assert sums.tolist() == [np.sum(each, axis=0).tolist()]


def test_components_touch_by_edges_and_within_a_class():
    classes = np.array([[1, 1, 2], [0, 0, 2], [1, 0, 0], [0, 1, 0]])
    ids = components(classes)
    assert ids.tolist() == [[1, 1, 4], [0, 0, 4], [2, 0, 0], [0, 3, 0]]
    assert ids.dtype == np.int32


def test_components_of_nothing():
    assert not components(np.zeros((3, 3), np.uint8)).any()


def test_shapes_must_fit():
    for count in (match_counts, panoptic_counts):
        with pytest.raises(DataError, match=r"\(2, 3\).*\(3, 2\)"):
            count(np.zeros((3, 2), int), np.zeros((2, 3), int))


def test_ids_below_zero_are_refused():
    for count in (match_counts, panoptic_counts):
        with pytest.raises(DataError, match="id -1"):
            count(np.zeros((2, 2), int), np.full((2, 2), -1))
