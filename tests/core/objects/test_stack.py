import warnings

import numpy as np
import pytest

from rleseg_core.data.metadata import StackMetadata
from rleseg_core.errors import DataError, DataWarning
from rleseg_core.objects import ObjectTable
from rleseg_core.objects.stack import ObjectStack, PieceIds


@pytest.fixture
def classes():
    classes = np.zeros((3, 6, 8), np.uint8)
    classes[:, 1:3, 1:4], classes[0, 1:3, 4:6], classes[2, 5, 7] = 1, 2, 255
    classes[0, 3, 0] = 1  # touches the first at a corner
    return classes


def test_frames_have_the_rows_of_the_table(ids, table):
    stack = ObjectStack.of(ids, table)
    first, none, last = stack.each()
    assert first.table.id.tolist() == [1, 2, 3, 4, 5]
    assert first.table.class_id.tolist() == [1, 2, 1, 2, 1]
    assert first.table.confidence[:2].tolist() == [0.875, 0.5]
    assert (len(none.table), last.table.id.tolist()) == (0, [80_000])
    assert stack.class_names == ("cell", "big one")
    np.testing.assert_array_equal(first.index, ids[0])  # 1 to 5, as it happens


def test_size_and_place_are_those_of_the_pixels(ids, table):
    ids[0, :, :6] = 0  # part of object 1 was rubbed out after the table was written
    found = ObjectStack.of(ids, table).objects(0).table
    assert found.area[0] == (ids[0] == 1).sum() < table.area[0]


def test_rows_are_found_whatever_their_order(ids, table):
    turned = table.select(np.arange(len(table))[::-1])
    assert ObjectStack.of(ids, turned).objects(0).table.class_id.tolist() == [1, 2, 1, 2, 1]


def test_ids_that_occur_in_several_frames_have_a_row_for_each(ids):
    again = np.repeat(ids[:1], 2, axis=0)
    rows = [
        ObjectTable.of(again[:1], dict.fromkeys(range(1, 6), t + 1), ("a", "b"), first_frame=t)
        for t in range(2)
    ]
    stack = ObjectStack.of(again, ObjectTable.concatenate(rows))
    assert [set(one.table.class_id.tolist()) for one in stack.each()] == [{1}, {2}]


def test_objects_that_the_table_lacks_are_told_once(ids, table):
    stack = ObjectStack.of(ids, table.select(table.id != 2).select(np.arange(3)))
    with pytest.warns(DataWarning, match="has no object 2 in frame 0") as told:
        found = list(stack.each())
    assert len(told) == 1
    assert found[0].table.class_id.tolist() == [1, 1, 1, 2, 1]
    assert np.isnan(found[2].table.confidence).all()
    assert found[0].table.state[:2].tolist() == ["predicted", "corrected"]


def test_table_of_a_longer_stack_is_refused(ids, table):
    with pytest.raises(DataError, match="objects in frame 2, and the stack has frames 0 to 1"):
        ObjectStack.of(ids[:2], table)


def test_ids_without_a_table_are_of_one_class(ids):
    stack = ObjectStack.of(ids, metadata=StackMetadata(class_names=("nucleus",)))
    assert stack.class_names == ("nucleus",)
    assert set(stack.objects(0).table.class_id.tolist()) == {1}
    assert (stack.states_known, stack.are_pieces) == (False, False)


def test_pieces_of_classes_are_numbered_on(classes):
    stack = ObjectStack(ids=PieceIds(classes), class_names=("a", "b"))
    found = list(stack.each())
    assert [one.table.id.tolist() for one in found] == [[1, 2, 3], [4], [5]]
    assert found[0].table.class_id.tolist() == [1, 1, 2]
    assert set(found[2].table.state) == {"pieces"}
    assert stack.are_pieces
    again = ObjectStack(ids=PieceIds(classes), class_names=("a", "b"))
    np.testing.assert_array_equal(again.objects(2).ids, found[2].ids)  # in any order
    np.testing.assert_array_equal(again.objects(0).ids, found[0].ids)


def test_whole_floats_are_ids():
    ids = np.full((1, 2, 2), 3.0, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ObjectStack.of(ids).objects(0).table.id.tolist() == [3]


@pytest.mark.parametrize(
    ("value", "about"),
    [(-1, "id -1"), (2**32, "id 4294967296"), (0.5, "holds 0.5"), (1j, "complex")],
)
def test_values_that_are_no_ids_are_refused(value, about):
    with pytest.raises(DataError, match=about):
        ObjectStack.of(np.full((1, 2, 2), value)).objects(0)


def test_frames_that_are_not_there_are_refused(ids):
    with pytest.raises(DataError, match="no frame 3; frames are 0 to 2"):
        ObjectStack.of(ids).objects(3)
