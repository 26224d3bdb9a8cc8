import numpy as np
import pytest

from rleseg_core.errors import DataError
from rleseg_core.evaluation.concentration import column_concentration, concentration_mae


def test_errors_by_hand():
    truth = np.array([[1, 0, 2], [1, 0, 2], [0, 0, 1], [0, 2, 1]])
    predicted = np.array([[1, 0, 2], [0, 1, 2], [0, 0, 2], [0, 2, 2]])
    assert column_concentration(truth, 2).tolist() == [[50, 75, 0], [50, 0, 50], [0, 25, 50]]
    # class 1: 50, 0, 50 against 25, 25, 0; class 2: 0, 25, 50 against 0, 25, 100
    expected = [(25 + 25 + 0) / 3, (25 + 25 + 50) / 3, (0 + 0 + 50) / 3]
    assert concentration_mae(truth, predicted, 2) == pytest.approx(expected)


def test_background_has_the_error_of_all_classes_as_one():
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 4, (2, 9, 7))
    as_one = concentration_mae(truth > 0, predicted > 0, 1)
    assert concentration_mae(truth, predicted, 3)[0] == pytest.approx(as_one[1])


def test_what_lies_elsewhere_in_its_column_is_no_error():
    truth = np.array([[1, 0], [0, 1]])
    assert concentration_mae(truth, truth[::-1], 1).tolist() == [0, 0]


def test_class_that_neither_has_is_right():
    assert concentration_mae(np.zeros((3, 3), int), np.zeros((3, 3), int), 2).tolist() == [0] * 3


def test_shapes_must_fit():
    with pytest.raises(DataError, match=r"\(2, 3\).*\(3, 2\)"):
        concentration_mae(np.zeros((3, 2), int), np.zeros((2, 3), int), 1)
