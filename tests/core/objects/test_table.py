import csv

import numpy as np
import pytest
from skimage.measure import regionprops_table

from rleseg_core.data.metadata import StackMetadata
from rleseg_core.errors import DataError, OutputError
from rleseg_core.objects import ObjectTable


@pytest.fixture
def ids():
    ids = np.zeros((2, 12, 16), np.uint32)
    ids[0, 0:3, 2:5] = 1
    ids[0, 5:9, 4:12] = 2
    ids[0, 6, 5] = 0
    ids[1, 4:8, 6:9] = 7
    return ids


@pytest.fixture
def table(ids):
    classes = np.where(ids == 2, 2, (ids > 0).astype(int))
    return ObjectTable.of(ids, classes, ("ipsc", "dfc"), confidence={1: 0.5, 7: 0.75})


def test_columns_agree_with_scikit_image(ids, table):
    properties = ("label", "area", "bbox", "centroid")
    for frame in range(2):
        rows = table.in_frames([frame])
        expected = regionprops_table(ids[frame].astype(int), properties=properties)
        np.testing.assert_array_equal(rows.id, expected["label"])
        np.testing.assert_array_equal(rows.area, expected["area"])
        for k, side in enumerate(("top", "left", "bottom", "right")):
            np.testing.assert_array_equal(getattr(rows, side), expected[f"bbox-{k}"])
        np.testing.assert_allclose(rows.row, expected["centroid-0"])
        np.testing.assert_allclose(rows.col, expected["centroid-1"])
    assert table.frame.tolist() == [0, 0, 1]
    assert table.touches_border.tolist() == [True, False, False]


def test_object_has_the_class_of_most_of_its_pixels(ids):
    classes = (ids > 0).astype(np.uint8)
    classes[0, 5:8, 4:12][ids[0, 5:8, 4:12] > 0] = 2
    classes[0, 8, 4:12] = 255  # does not count
    table = ObjectTable.of(ids, classes, ("a", "b"))
    assert table.class_id.tolist() == [1, 2, 1]


def test_classes_may_be_given_by_id(ids):
    assert ObjectTable.of(ids, {1: 2, 2: 1, 7: 1}, ("a", "b")).class_id.tolist() == [2, 1, 1]
    assert ObjectTable.of(ids, None, ("a", "b")).class_id.tolist() == [1, 1, 1]


def test_object_without_a_class_is_an_error(ids):
    with pytest.raises(DataError, match="object 7 of frame 4 has no class"):
        ObjectTable.of(ids, {1: 1, 2: 1}, ("a",), first_frame=3)
    with pytest.raises(DataError, match="object 1 of frame 0 has no class"):
        ObjectTable.of(ids, np.zeros_like(ids), ("a",))


def test_confidence_that_is_not_known_is_nan(table):
    np.testing.assert_array_equal(table.confidence, np.array([0.5, np.nan, 0.75], np.float32))


def test_ids_far_apart_are_measured_as_well(ids):
    far = np.where(ids == 7, 4_000_000_000, ids).astype(np.uint32)
    table = ObjectTable.of(far, None, ("cell",))
    assert table.id.tolist() == [1, 2, 4_000_000_000]
    assert table.area.tolist() == [9, 31, 12]
    np.testing.assert_array_equal(table.class_map(far), (ids > 0).astype(np.uint8))


def test_class_map_follows_from_ids(ids, table):
    expected = np.where(ids == 2, 2, (ids > 0).astype(np.uint8))
    np.testing.assert_array_equal(table.class_map(ids), expected)
    stranger = ids.copy()
    stranger[0, 11, 11] = 9
    assert table.class_map(stranger)[0, 11, 11] == 0
    assert table.class_map(ids).dtype == np.uint8
    assert not ObjectTable.empty(("a",)).class_map(ids).any()


def test_counts_are_by_frame_and_class(table):
    assert table.counts().tolist() == [[1, 1], [1, 0]]
    assert table.counts(4).tolist() == [[1, 1], [1, 0], [0, 0], [0, 0]]
    assert ObjectTable.empty(("a", "b")).counts(1).tolist() == [[0, 0]]


def test_empty_frames_give_an_empty_table():
    table = ObjectTable.of(np.zeros((2, 4, 4), np.uint32), None, ("cell",))
    assert len(table) == 0
    assert table.id.dtype == np.uint32


def test_table_comes_back_from_csv(tmp_path, table):
    path = table.write_csv(tmp_path / "objects.csv")
    back = ObjectTable.read_csv(path)
    assert back.class_names == ("ipsc", "dfc")
    for name in ("id", "frame", "class_id", "area", "top", "right", "touches_border", "state"):
        np.testing.assert_array_equal(getattr(back, name), getattr(table, name))
    np.testing.assert_array_equal(back.confidence, table.confidence)
    np.testing.assert_allclose(back.row, table.row, atol=0.01)


def test_csv_has_physical_columns_where_the_pixel_size_is_known(tmp_path, table):
    metadata = StackMetadata(
        pixel_size=(0.5, 0.25), unit="micrometer", origin=(10.0, 0.0), frame_interval=60.0
    )
    path = table.write_csv(tmp_path / "objects.csv", metadata)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["area_um2"]) for row in rows] == [9 / 8, 31 / 8, 12 / 8]
    assert float(rows[0]["y_um"]) == 10.5
    assert float(rows[0]["x_um"]) == 0.75
    assert [float(row["time_s"]) for row in rows] == [0, 0, 60]
    assert rows[1]["class"] == "dfc"
    assert len(ObjectTable.read_csv(path)) == 3


def test_csv_of_other_classes_is_an_error(tmp_path, table):
    path = table.write_csv(tmp_path / "objects.csv")
    assert ObjectTable.read_csv(path, ("ipsc", "dfc", "other")).n_classes == 3
    with pytest.raises(DataError, match="'ipsc' with id 1; expected cell"):
        ObjectTable.read_csv(path, ("cell",))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("a,b\n1,2\n", "has no column 'id'"),
        ("", "has no column 'id'"),
        (
            "id,frame,class,class_id,confidence,area,top,left,bottom,right,row,col,touches_border,"
            "state\n1,0,a,1,0.5,9,0,0,3,3,1,1,perhaps,predicted\n",
            "line 2: 'perhaps' is no value of 'touches_border'",
        ),
        (
            "id,frame,class,class_id,confidence,area,top,left,bottom,right,row,col,touches_border,"
            "state\n1,0,a\n",
            "line 2: '' is no value of 'class_id'",
        ),
    ],
)
def test_file_that_is_no_such_table_is_an_error(tmp_path, text, match):
    path = tmp_path / "other.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=match):
        ObjectTable.read_csv(path)


def test_only_a_table_of_objects_is_replaced(tmp_path, table):
    path = table.write_csv(tmp_path / "objects.csv")
    with pytest.raises(OutputError, match="exists already"):
        table.write_csv(path)
    table.write_csv(path, overwrite=True)
    other = tmp_path / "notes.csv"
    other.write_text("my,notes\n")
    with pytest.raises(OutputError, match="is not a table of objects"):
        table.write_csv(other, overwrite=True)
    assert other.read_text() == "my,notes\n"


def test_tables_are_joined_in_order(table):
    both = ObjectTable.concatenate([table.in_frames([1]), table.in_frames([0])])
    assert both.id.tolist() == [7, 1, 2]
    with pytest.raises(DataError, match="all have the same"):
        ObjectTable.concatenate([table, ObjectTable.empty(("other",))])


def test_columns_must_fit_each_other(table):
    columns = {name: getattr(table, name) for name in ("frame", "class_id", "confidence", "area")}
    columns |= {name: getattr(table, name) for name in ("top", "left", "bottom", "right")}
    columns |= {name: getattr(table, name) for name in ("row", "col", "touches_border")}
    names = table.class_names
    with pytest.raises(DataError, match="one length for all"):
        ObjectTable(class_names=names, id=table.id[1:], state=table.state, **columns)
    with pytest.raises(DataError, match="state 'lost'"):
        ObjectTable(class_names=names, id=table.id, state=np.full(3, "lost"), **columns)
    with pytest.raises(DataError, match="class id 2"):
        ObjectTable(class_names=names[:1], id=table.id, state=table.state, **columns)


def test_table_without_classes_has_no_counts():
    assert ObjectTable.empty(()).counts(3).shape == (3, 0)
