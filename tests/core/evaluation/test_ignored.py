"""Pixels that do not count have no influence on any score."""

import numpy as np
import pytest

from rleseg_core.evaluation.base import Masks
from rleseg_core.evaluation.boundary import BoundaryScore
from rleseg_core.evaluation.concentration import ConcentrationError
from rleseg_core.evaluation.instances import ObjectPrecision, PanopticQuality
from rleseg_core.evaluation.registry import IMAGE_METRICS
from rleseg_core.evaluation.report import Evaluation
from rleseg_core.evaluation.scores import confusion_matrix
from rleseg_core.spec import IGNORED


def blobs(seed, n_classes=2, side=48):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, n_classes + 1, (side // 6, side // 6))
    return np.kron(coarse, np.ones((6, 6), int)).astype(np.uint8)


def tables(truth, predicted, n_classes=2):
    evaluation = Evaluation(
        class_names=tuple("ab"[:n_classes]), metrics=tuple(one() for one in IMAGE_METRICS.values())
    )
    evaluation.add("0", truth, predicted)
    return evaluation.to_json()


def test_the_registry_is_covered():
    assert set(IMAGE_METRICS.values()) == {
        BoundaryScore,
        ConcentrationError,
        ObjectPrecision,
        PanopticQuality,
    }


@pytest.mark.parametrize("n_classes", [1, 2])
@pytest.mark.parametrize("with_objects", [False, True])
def test_no_score_depends_on_what_is_ignored(n_classes, with_objects):
    ignored = np.zeros((48, 48), bool)
    ignored[5:30, 11:40] = True
    ignored[:, 44] = True  # a whole column
    truth, predicted = blobs(0, n_classes), blobs(1, n_classes)
    found = []
    for seed in (2, 3):
        there, given = (
            np.where(ignored, blobs(seed + k, n_classes), m)
            for k, m in enumerate((truth, predicted))
        )
        ids = [m.astype(int) * 7 + np.arange(48) // 6 * (m > 0) for m in (there, given)]
        marked = np.where(ignored, np.uint8(IGNORED), there)
        found.append(
            tables(
                Masks(marked, ids[0] if with_objects else None),
                Masks(given, ids[1] if with_objects else None),
                n_classes,
            )
        )
    assert found[0] == found[1]


def test_only_known_pixels_are_counted():
    truth = np.array([0, 1, IGNORED, 1, 0], np.uint8)
    predicted = np.array([0, 1, 1, 0, IGNORED], np.uint8)
    assert confusion_matrix(truth, predicted, 1).tolist() == [[1, 0], [1, 1]]
    assert confusion_matrix(np.full(3, IGNORED), np.zeros(3, int), 1).sum() == 0


def test_a_perfect_prediction_around_a_hole_is_perfect():
    truth = blobs(4)
    truth[10:20, 10:20] = IGNORED
    predicted = np.where(truth == IGNORED, 2, truth)
    scores = tables(Masks(truth), Masks(predicted))
    for row in scores["classes"].values():
        assert row["dice"] == row["boundary_f"] == row["ap"] == row["pq"] == 1
        assert row["concentration_mae"] == 0


def test_an_image_of_which_nothing_is_known_scores_nothing():
    scores = tables(Masks(np.full((48, 48), IGNORED, np.uint8)), Masks(blobs(5)))
    assert scores["mean_dice"] is None
    assert scores["classes"]["a"]["n_pixels"] == 0
