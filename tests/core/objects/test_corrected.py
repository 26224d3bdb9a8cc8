"""What becomes of the objects of a frame when its class mask is corrected."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rleseg_core.errors import DataError
from rleseg_core.evaluation.instances import components
from rleseg_core.objects.corrected import corrected_ids, corrected_pieces, ids_of_new
from rleseg_core.spec import IGNORED

NEW = ids_of_new(9, 4, 2)  # 12, 16, 20, …


@pytest.fixture
def cells() -> tuple[np.ndarray, np.ndarray]:
    """Two cells of class 1 that touch, ids 3 and 4, and one of class 2, id 9."""
    ids = np.zeros((12, 20), np.uint32)
    ids[2:6, 2:6], ids[2:6, 6:10], ids[8:11, 12:18] = 3, 4, 9
    classes = np.array([0, 0, 0, 1, 1, 0, 0, 0, 0, 2], np.uint8)[ids]
    return ids, classes


def test_objects_of_an_uncorrected_mask_stay(cells):
    ids, classes = cells
    np.testing.assert_array_equal(corrected_ids(ids, classes, classes, NEW), ids)
    np.testing.assert_array_equal(
        corrected_pieces(components(classes), classes, classes, NEW), components(classes)
    )


def test_removed_pixels_are_removed_and_the_rest_stays(cells):
    ids, classes = cells
    corrected = classes.copy()
    corrected[2:4, :] = 0
    expected = ids.copy()
    expected[2:4] = 0
    np.testing.assert_array_equal(corrected_ids(ids, classes, corrected, NEW), expected)


def test_object_that_is_removed_leaves_the_others_their_ids(cells):
    ids, classes = cells
    corrected = np.where(ids == 3, 0, classes)
    found = corrected_ids(ids, classes, corrected, NEW)
    np.testing.assert_array_equal(found, np.where(ids == 3, 0, ids))


def test_added_pixels_go_to_the_nearest_object_that_they_touch(cells):
    ids, classes = cells
    corrected = classes.copy()
    corrected[6:8, 2:10] = 1  # below both cells of class 1
    found = corrected_ids(ids, classes, corrected, NEW)
    assert (found[6:8, 2:5] == 3).all()
    assert (found[6:8, 7:10] == 4).all()
    assert set(np.unique(found)) == {0, 3, 4, 9}


def test_added_pixels_that_touch_no_object_of_their_class_are_new_objects(cells):
    ids, classes = cells
    corrected = classes.copy()
    corrected[0, 15:17] = 2
    corrected[11, 0:3] = 1
    corrected[7, 12:18] = 1  # beside the cell of class 2
    found = corrected_ids(ids, classes, corrected, NEW)
    assert found[0, 15] == 12
    assert found[7, 12] == 16
    assert found[11, 0] == 20
    np.testing.assert_array_equal(np.where(found > 9, 0, found), ids)


def test_object_of_another_class_is_a_new_one(cells):
    ids, classes = cells
    corrected = np.where(ids == 4, 2, classes)
    found = corrected_ids(ids, classes, corrected, NEW)
    np.testing.assert_array_equal(found, np.where(ids == 4, 12, ids))


def test_largest_piece_of_a_cut_object_keeps_its_id(cells):
    ids, classes = cells
    corrected = classes.copy()
    corrected[:, 14] = 0  # 2 columns at the left, 3 at the right
    found = corrected_ids(ids, classes, corrected, NEW)
    assert (found[8:11, 12:14] == 12).all()
    assert (found[8:11, 15:18] == 9).all()


def test_object_that_was_predicted_in_two_pieces_stays_one(cells):
    ids, classes = cells
    ids[0:2, 15:19], classes[0:2, 15:19] = 9, 2
    corrected = classes.copy()
    corrected[0, 18] = 0
    found = corrected_ids(ids, classes, corrected, NEW)
    np.testing.assert_array_equal(found, np.where(corrected > 0, ids, 0))


def test_pixels_that_do_not_count_belong_to_no_object(cells):
    ids, classes = cells
    corrected = np.where(ids == 9, IGNORED, classes).astype(np.uint8)
    found = corrected_ids(ids, classes, corrected, NEW)
    np.testing.assert_array_equal(found, np.where(ids == 9, 0, ids))


def test_pieces_that_are_joined_become_one_with_the_id_of_the_larger(cells):
    _, classes = cells
    classes[2:6, 5] = 0
    ids = components(classes)
    small, large = int(ids[2, 2]), int(ids[2, 7])
    corrected = classes.copy()
    corrected[3, 5] = 1
    found = corrected_pieces(ids, classes, corrected, NEW)
    assert small != large
    assert set(np.unique(found[2:6, 2:10])) == {0, large}


@pytest.mark.parametrize("rule", [corrected_ids, corrected_pieces])
@settings(max_examples=60, deadline=None)
@given(
    classes=arrays(np.uint8, (7, 9), elements=st.integers(0, 2)),
    corrected=arrays(np.uint8, (7, 9), elements=st.integers(0, 2)),
)
def test_every_pixel_of_a_class_has_an_object_of_that_class(rule, classes, corrected):
    ids = components(classes).astype(np.uint32)
    found = rule(ids, classes, corrected, ids_of_new(int(ids.max()), 1, 0))
    np.testing.assert_array_equal(found > 0, corrected > 0)
    for object_id in np.unique(found[found > 0]):
        assert len(np.unique(corrected[found == object_id])) == 1
    if rule is corrected_pieces:
        assert len(np.unique(found)) == len(np.unique(components(corrected)))


def test_new_ids_of_frames_differ():
    ids = [set(ids_of_new(9, 3, frame)[:50]) for frame in range(3)]
    assert len(set.union(*ids)) == 150
    assert min(set.union(*ids)) == 10


def test_shapes_that_differ_are_refused(cells):
    ids, classes = cells
    with pytest.raises(DataError, match="all must be one"):
        corrected_ids(ids, classes, classes[:-1], NEW)


def test_too_many_new_objects_are_refused(cells):
    ids, classes = cells
    with pytest.raises(DataError, match="1 new objects need ids of their own, and 0 are left"):
        corrected_ids(ids, classes, np.where(ids == 4, 2, classes), range(0))
