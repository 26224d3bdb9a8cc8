import math

import numpy as np
import pytest

from rleseg_core.errors import DataError
from rleseg_core.evaluation.tracking import score_tracks
from rleseg_core.reports import product_of

# 1 divides into 2 and 3 after frame 1; 4 stays
TABLE = np.array([[1, 0, 1, 0], [2, 2, 3, 1], [3, 2, 3, 1], [4, 0, 3, 0]])


@pytest.fixture
def truth():
    ids = np.zeros((4, 12, 20), np.uint8)
    ids[:2, 2:6, 2:10] = 1
    ids[2:, 2:6, 2:6], ids[2:, 2:6, 6:10] = 2, 3
    ids[:, 8:11, 12:18] = 4
    return ids


def scores(truth, table, given, tracks):
    return product_of(score_tracks(truth, table, given, tracks))


def test_truth_scores_one_against_itself(truth):
    found = scores(truth, TABLE, truth, TABLE)
    shares = {n: v for n, v in found.to_json().items() if not n.startswith("n_")}
    assert shares == pytest.approx(dict.fromkeys(shares, 1.0), abs=1e-4)
    assert (found.n_id_switches, found.n_true_divisions) == (0, 1)
    assert (found.n_true, found.n_predicted) == (10, 10)


def test_missed_division_and_switched_id_are_counted(truth):
    given, tracks = truth.copy(), np.array([[1, 0, 3, 0], [3, 2, 3, 0], [4, 0, 2, 0], [9, 3, 3, 0]])
    given[2:][truth[2:] == 2] = 1  # goes on as the mother
    given[3][truth[3] == 4] = 9
    found = scores(truth, TABLE, given, tracks)
    assert (found.seg, found.det) == (1, 1)
    # of 8 true links, that to daughter 3 and the last of 4 are missing; none is invented
    assert (found.edge_precision, found.edge_recall) == (1, 6 / 8)
    # that from 1 to 1 should lead to a daughter: AOGM 2 * 1.5 + 1
    assert found.lnk == pytest.approx(1 - 4 / (8 * 1.5))
    assert found.tra == pytest.approx(1 - 4 / (10 * 10 + 8 * 1.5))
    assert (found.division_f1, found.division_f1_near) == (0, 0)
    assert found.n_id_switches == 1


def test_division_one_frame_late_counts_with_tolerance_only(truth):
    given, tracks = truth.copy(), TABLE.copy()
    given[2, 2:6, 2:10] = 1
    tracks[0, 2], tracks[1, 1], tracks[2, 1] = 2, 3, 3
    found = scores(truth, TABLE, given, tracks)
    assert found.division_f1 == 0
    assert found.division_f1_near == pytest.approx(1, abs=1e-4)
    assert found.seg == pytest.approx((8 + 2 * 0.5) / 10)  # both halves are covered by one object


def test_nothing_found_scores_nothing(truth):
    found = scores(truth, TABLE, np.zeros_like(truth), np.empty((0, 4), np.int64))
    assert (found.tra, found.edge_f1, found.division_f1, found.n_predicted) == (0, 0, 0, 0)
    assert math.isnan(found.edge_precision)
    assert found.to_json()["edge_precision"] is None


def test_single_frame_has_no_links(truth):
    table = np.array([[1, 0, 0, 0], [4, 0, 0, 0]])
    found = scores(truth[:1], table, truth[:1], table)
    assert (found.det, found.tra) == (1, 1)
    assert math.isnan(found.lnk)
    assert math.isnan(found.edge_f1)


def test_high_labels_are_scored_as_low_ones(truth):
    table, high = TABLE.copy(), np.where(truth > 0, truth + np.int64(10**9), 0)
    table[:, 0] += 10**9
    table[table[:, 3] > 0, 3] += 10**9
    assert scores(truth, TABLE, high, table) == scores(truth, TABLE, truth, TABLE)


def test_frames_without_objects_are_scored(truth):
    later = np.concatenate([np.zeros_like(truth[:1]), truth])
    table = TABLE + np.array([0, 1, 1, 0])
    assert scores(later, table, later, table).tra == 1
    found = scores(later, table, np.where(later == 4, 0, later), table[:3])
    assert (found.det, found.n_id_switches) == (pytest.approx(6 / 10), 0)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda ids, table: (ids[:, :5], table), "both must be the same"),
        (lambda ids, table: (ids, table[:3]), "label 4 of the tracks is in frames 0 to 3 of the"),
        (lambda ids, table: (ids, table + np.array([0, 0, 0, 7])), "the tracks have the parent 7"),
        (lambda ids, table: (np.where(ids == 4, 0, ids), table), "label 4 of the tracks is in no"),
    ],
)
def test_tracks_that_do_not_fit_are_refused(truth, change, match):
    with pytest.raises(DataError, match=match):
        scores(truth, TABLE, *change(truth, TABLE))


def test_truth_without_objects_is_refused(truth):
    with pytest.raises(DataError, match="no objects"):
        scores(np.zeros_like(truth), np.empty((0, 4), np.int64), truth, TABLE)
