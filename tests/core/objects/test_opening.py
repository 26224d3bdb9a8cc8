from dataclasses import replace

import numpy as np
import pytest
import tifffile

from rleseg_core.data.ids import IdOptions
from rleseg_core.data.writers import write_labels
from rleseg_core.errors import DataError, DataWarning
from rleseg_core.objects.opening import ObjectOptions, open_objects, table_beside


@pytest.fixture
def result(tmp_path, ids, table, metadata):
    """What a segmentation leaves: masks of classes, ids of objects and their table."""
    classes = table.class_map(ids)
    write_labels(tmp_path / "out.tif", classes, table.class_names, metadata=metadata)
    write_labels(tmp_path / "out.objects.tif", ids, table.class_names, metadata=metadata)
    table.write_csv(tmp_path / "out.objects.csv")
    return tmp_path


def test_ids_have_the_table_beside_them(result, ids, table):
    stack = open_objects(result / "out.objects.tif")
    assert [one.table.id.tolist() for one in stack.each()] == [[1, 2, 3, 4, 5], [], [80_000]]
    assert stack.class_names == table.class_names
    assert stack.metadata.pixel_size == (0.5, 0.25)
    assert result / "out.objects.csv" in stack.inputs


def test_classes_without_objects_have_the_names_that_ids_note(result, ids, table):
    path = result / "out.objects.csv"
    table.select(table.class_id == 1).write_csv(path, overwrite=True)
    assert open_objects(result / "out.objects.tif").class_names == ("cell", "big one")
    table.select(np.array([], int)).write_csv(path, overwrite=True)
    stack = open_objects(result / "out.objects.tif")
    assert stack.class_names == ("cell", "big one")
    with pytest.warns(DataWarning, match="count as cell"):
        assert set(stack.objects(0).table.class_id.tolist()) == {1}


def test_table_decides_where_ids_note_other_classes(result, ids, table):
    write_labels(result / "out.objects.tif", ids, ("a", "b", "c"), overwrite=True)
    assert open_objects(result / "out.objects.tif").class_names == ("cell", "big one")


def test_masks_name_and_colour_the_classes_of_their_objects(result, ids, table, metadata):
    table.select(table.class_id == 1).write_csv(result / "out.objects.csv", overwrite=True)
    write_labels(result / "out.objects.tif", ids, overwrite=True)  # notes neither
    with pytest.warns(DataWarning, match="their objects"):
        stack = open_objects(result / "out.tif")
    assert stack.class_names == ("cell", "big one")
    assert stack.metadata.colour_of(2) == metadata.class_colours[1]


def test_marks_are_not_ignored_where_a_table_describes_all_ids(result):
    options = ObjectOptions(ids=IdOptions(ignore=(255,)))
    with pytest.raises(DataError, match="leave out --ignore and --background"):
        open_objects(result / "out.objects.tif", options)


def test_masks_of_a_result_stand_for_its_objects(result):
    with pytest.warns(DataWarning, match=r"their objects are those of .*out\.objects\.tif"):
        stack = open_objects(result / "out.tif")
    assert stack.objects(0).table.confidence[0] == 0.875


def test_objects_that_a_model_could_not_tell_apart_are_said_to_be_pieces(result, table):
    pieces = replace(table, state=np.full(len(table), "pieces"))
    pieces.write_csv(result / "out.objects.csv", overwrite=True)
    with pytest.warns(DataWarning, match=r"connected pieces of classes: .* that touch are one"):
        assert open_objects(result / "out.objects.tif").are_pieces


def test_pieces_are_taken_where_they_are_wanted(result):
    with pytest.warns(DataWarning, match="connected pieces are taken"):
        stack = open_objects(result / "out.tif", ObjectOptions(numbers="classes"))
    assert stack.are_pieces
    assert [len(one.table) for one in stack.each()] == [5, 0, 3]


def test_masks_of_classes_alone_give_pieces(result):
    (result / "out.objects.tif").unlink()
    with pytest.warns(DataWarning, match="objects of one class that touch are one") as told:
        stack = open_objects(result / "out.tif")
    assert "--instances" not in str(told[0].message)  # the file notes its classes
    assert stack.class_names == ("cell", "big one")
    assert set(stack.objects(0).table.state) == {"pieces"}


def test_another_table_may_be_given(result, ids, table):
    renamed = result / "mine.csv"
    (result / "out.objects.csv").rename(renamed)
    stack = open_objects(result / "out.objects.tif", ObjectOptions(table=renamed))
    assert stack.objects(0).table.confidence[0] == 0.875
    stack = open_objects(result / "out.objects.tif")  # and without, all are of one class
    assert set(stack.objects(0).table.class_id.tolist()) == {1}


def test_table_lies_beside_whatever_the_result_is(tmp_path):
    table = tmp_path / "a.objects.csv"
    table.touch()
    for name in ("a.tif", "a.ome.tif", "a.objects.tif", "a.zarr", "a.zarr/labels/objects", "a"):
        assert table_beside(tmp_path / name) == table
    assert table_beside(tmp_path / "b.tif") is None


def test_table_may_have_the_name_of_the_ids(tmp_path, ids, table):
    table.write_csv(tmp_path / "objects-2.csv")
    np.save(tmp_path / "objects-2.npy", np.minimum(ids, 2))  # numbers alone looked like classes
    stack = open_objects(tmp_path / "objects-2.npy")
    assert stack.objects(0).table.confidence.tolist() == [0.875, 0.5]
    (tmp_path / "objects-2.csv").write_text("sample,dose")  # of somebody else
    with pytest.warns(DataWarning, match="connected pieces"):
        assert open_objects(tmp_path / "objects-2.npy").are_pieces


def test_folders_of_the_challenge_hold_ids(tmp_path):
    for t in range(2):
        frame = np.zeros((8, 8), np.uint16)
        frame[1:4, 1:4], frame[1:4, 4:7] = 1, 2  # two cells that touch: as classes, there were two
        tifffile.imwrite(tmp_path / f"man_seg{t:03}.tif", frame)
    stack = open_objects(tmp_path)
    assert [one.table.id.tolist() for one in stack.each()] == [[1, 2], [1, 2]]
    assert not stack.are_pieces


def test_ids_of_other_programs_are_told_by_their_numbers(tmp_path, ids):
    np.save(tmp_path / "ids.npy", np.minimum(ids, 60) + 10 * (ids > 0).astype(np.uint32))
    stack = open_objects(tmp_path / "ids.npy")
    assert stack.objects(0).table.id.tolist() == [11, 12, 13, 14, 15]
    assert "objects of cell" in stack.mapping.text


def test_few_ids_are_taken_for_classes_unless_it_is_said(tmp_path):
    few = np.zeros((1, 5, 5), np.uint8)
    few[0, 0, :2], few[0, 0, 2:4] = 1, 2
    np.save(tmp_path / "few.npy", few)
    with pytest.warns(DataWarning, match="say --instances"):
        assert open_objects(tmp_path / "few.npy").class_names == ("class 1", "class 2")
    options = ObjectOptions(numbers="objects", class_names=("yeast",))
    stack = open_objects(tmp_path / "few.npy", options)
    assert (stack.class_names, stack.are_pieces) == (("yeast",), False)
    with pytest.raises(DataError, match="all of one class; got the names a, b"):
        open_objects(tmp_path / "few.npy", ObjectOptions(numbers="objects", class_names=("a", "b")))


def test_what_marks_no_object_is_asked_for(tmp_path):
    marked = np.zeros((1, 6, 6), np.uint16)
    marked[0, 0], marked[0, 1], marked[0, 5] = 1, 2, 65_535
    np.save(tmp_path / "marked.npy", marked)
    with pytest.raises(DataError, match="--ignore 65535"):
        open_objects(tmp_path / "marked.npy", ObjectOptions(numbers="objects"))


def test_what_is_not_there_is_refused(tmp_path):
    with pytest.raises(DataError, match="nothing"):
        open_objects(tmp_path / "nothing.tif")
