import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rleseg_core.errors import DataError
from rleseg_core.evaluation.scores import CLASS_METRICS, METRICS, confusion_matrix, score


def test_scores_of_a_known_pair():
    truth = np.array([[0, 1, 1, 1], [0, 0, 2, 2]])
    predicted = np.array([[0, 1, 1, 0], [0, 1, 2, 0]])
    confusion = confusion_matrix(truth, predicted, 2)
    assert confusion.tolist() == [[2, 1, 0], [1, 2, 0], [1, 0, 1]]
    scores = score(confusion, ("ipsc", "dfc"))
    ipsc, dfc = scores.classes
    assert ipsc.dice == pytest.approx(2 * 2 / (3 + 3))
    assert ipsc.iou == pytest.approx(2 / 4)
    assert ipsc.precision == pytest.approx(2 / 3)
    assert dfc.recall == pytest.approx(1 / 2)
    assert dfc.precision == 1.0
    assert scores.mean_dice == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert scores.pixel_accuracy == pytest.approx(5 / 8)


def test_class_that_never_occurs_is_left_out_of_the_mean():
    mask = np.ones((2, 2), np.uint8)
    scores = score(confusion_matrix(mask, mask, 2), ("a", "b"))
    assert scores.mean_dice == 1.0
    assert scores.to_json()["classes"]["b"]["dice"] is None


def test_confusions_of_images_add_up():
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 4, (2, 6, 5, 5))
    parts = sum(confusion_matrix(t, p, 3) for t, p in zip(truth, predicted, strict=True))
    assert np.array_equal(parts, confusion_matrix(truth, predicted, 3))


def test_other_shape_is_refused():
    with pytest.raises(DataError, match=r"\(2, 3\).*\(3, 2\)"):
        confusion_matrix(np.zeros((3, 2), int), np.zeros((2, 3), int), 1)


def test_unknown_class_is_refused():
    with pytest.raises(DataError, match="class id 3"):
        confusion_matrix(np.full((2, 2), 3), np.zeros((2, 2), int), 2)


def test_ids_below_zero_are_refused():
    with pytest.raises(DataError, match="class id -1"):
        confusion_matrix(np.zeros((2, 2), int), np.full((2, 2), -1), 2)


def test_unsigned_and_signed_ids_count_alike():
    truth = np.array([[0, 1], [2, 2]])
    counts = confusion_matrix(truth, truth.astype(np.uint64), 2)
    assert counts.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 2]]


def test_averages_by_hand():
    #   true 0: 10 pixels, 8 right; true 1: 6, 3 right; true 2: 4, 4 right
    confusion = np.array([[8, 2, 0], [1, 3, 2], [0, 0, 4]])
    scores = score(confusion, ("anchor", "frazil"), "ice")
    assert scores.mean.recall == pytest.approx((3 / 6 + 4 / 4) / 2)  # eq. 1
    assert scores.mean.iou == pytest.approx((3 / 8 + 4 / 6) / 2)  # eq. 2
    assert scores.mean.fw_recall == pytest.approx((3 + 4) / 10)  # eq. 3, weights normalised
    assert scores.mean.fw_iou == pytest.approx((6 * 3 / 8 + 4 * 4 / 6) / 10)  # eq. 4
    assert scores.mean.dice == pytest.approx((2 * 3 / 11 + 2 * 4 / 10) / 2)  # eq. 5
    whole = scores.with_background
    assert whole.recall == pytest.approx((8 / 10 + 3 / 6 + 4 / 4) / 3)
    assert whole.fw_recall == scores.pixel_accuracy == pytest.approx(15 / 20)
    assert whole.fw_iou == pytest.approx((10 * 8 / 11 + 6 * 3 / 8 + 4 * 4 / 6) / 20)
    assert scores.agnostic.name == "ice"
    assert scores.agnostic.recall == pytest.approx(9 / 10)
    assert scores.agnostic.iou == pytest.approx(9 / 12)
    assert scores.agnostic.precision == pytest.approx(9 / 11)


@given(
    arrays(np.int64, (4, 4), elements=st.integers(0, 50)),
)
def test_identities_of_scores(confusion):
    scores = score(confusion, ("a", "b", "c"))
    for row in (*scores.classes, scores.agnostic):
        if not np.isnan(row.iou):
            assert row.dice == pytest.approx(2 * row.iou / (1 + row.iou))
        if row.precision + row.recall > 0:
            assert row.dice == pytest.approx(
                2 * row.precision * row.recall / (row.precision + row.recall)
            )
    there = [row for row in scores.classes if row.n_pixels]
    if there:
        assert scores.mean.fw_recall == pytest.approx(
            np.average([row.recall for row in there], weights=[row.n_pixels for row in there])
        )
        assert scores.mean.fw_iou <= scores.mean.fw_recall + 1e-12
        # what is confused among the classes is no error where they are one
        assert scores.agnostic.recall >= scores.mean.fw_recall - 1e-12
    if confusion.sum():
        assert scores.pixel_accuracy == pytest.approx(np.trace(confusion) / confusion.sum())


def test_scores_of_nothing_are_nan():
    scores = score(np.zeros((3, 3), np.int64), ("a", "b"))
    assert all(np.isnan(value) for value in dataclasses.asdict(scores.mean).values())
    assert np.isnan(scores.pixel_accuracy)
    assert scores.to_json()["mean"]["fw_iou"] is None


def test_class_that_is_only_predicted_scores_zero_but_has_no_recall():
    confusion = confusion_matrix(np.zeros((2, 2), int), np.ones((2, 2), int), 1)
    (row,) = score(confusion, ("a",)).classes
    assert (row.dice, row.iou, row.precision) == (0, 0, 0)
    assert np.isnan(row.recall)


@pytest.mark.parametrize("metric", METRICS)
def test_any_score_can_be_asked_for(metric):
    scores = score(np.array([[8, 2, 0], [1, 3, 2], [0, 0, 4]]), ("a", "b"), "any")
    average = scores.pixel_accuracy if metric == "pixel_accuracy" else getattr(scores.mean, metric)
    assert scores.value(metric) == average
    if metric in CLASS_METRICS:
        assert scores.value(metric, "b") == getattr(scores.classes[1], metric)
        assert scores.value(metric, "any") == getattr(scores.agnostic, metric)
