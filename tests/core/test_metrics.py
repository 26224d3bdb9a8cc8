import numpy as np
import pytest

from rleseg_core.errors import DataError
from rleseg_core.metrics import confusion_matrix, score


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
