import csv

import numpy as np
import pytest

from rleseg_core import product_of
from rleseg_core.data import ImageStack
from rleseg_core.data.metadata import StackMetadata
from rleseg_core.errors import DataError, OutputError
from rleseg_core.objects.feature_table import measure_to_file
from rleseg_core.objects.stack import ObjectStack


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def images_of(array, **metadata):
    images = ImageStack.from_array(array, "TYXC")
    images.metadata = StackMetadata(**metadata)
    return images


def test_table_is_joined_with_what_is_measured(tmp_path, ids, table, metadata):
    stack = ObjectStack.of(ids, table, metadata)
    summary = product_of(measure_to_file(stack, tmp_path / "a.csv"))
    rows = rows_of(tmp_path / "a.csv")
    assert [(row["id"], row["frame"], row["class"]) for row in rows] == [
        *(("1", "0", "cell"), ("2", "0", "big one"), ("3", "0", "cell"), ("4", "0", "big one")),
        *(("5", "0", "cell"), ("80000", "2", "big one")),
    ]
    assert [row["confidence"] for row in rows] == ["0.875", "0.5", "", "", "", ""]
    assert {row["state"] for row in rows} == {"predicted"}
    assert [row["touches_border"] for row in rows] == [*["False"] * 3, "True", "False", "True"]
    assert float(rows[0]["area_um2"]) == (ids == 1).sum() * 0.125
    assert "time_s" not in rows[0]
    assert tuple(rows[0]) == summary.columns


def test_summary_counts_each_class(tmp_path, ids, table, metadata):
    stack = ObjectStack.of(ids, table, metadata)
    summary = product_of(measure_to_file(stack, tmp_path / "a.csv"))
    cell, big = summary.classes
    assert (cell.name, cell.n_objects, big.n_objects, summary.n_objects) == ("cell", 3, 3, 6)
    areas = [0.125 * (ids == k).sum() for k in (1, 3, 5)]
    assert cell.medians["area_um2"] == pytest.approx(np.median(areas))


def test_intensities_of_all_channels_are_measured(tmp_path, ids, table):
    array = np.zeros((*ids.shape, 2), np.float32)
    array[..., 0] = ids
    images = images_of(array, channel_names=("DAPI", "phase"))
    product_of(measure_to_file(ObjectStack.of(ids, table), tmp_path / "a.csv", images))
    rows = rows_of(tmp_path / "a.csv")
    assert [float(row["intensity_mean_DAPI"]) for row in rows] == [1, 2, 3, 4, 5, 80_000]
    assert {row["intensity_max_phase"] for row in rows} == {"0"}


def test_scale_and_times_may_be_those_of_the_images(tmp_path, ids):
    images = images_of(
        np.zeros((*ids.shape, 1), np.uint8),
        pixel_size=(2.0, 2.0),
        unit="micrometer",
        frame_interval=30.0,
        start=5.0,
    )
    product_of(measure_to_file(ObjectStack.of(ids), tmp_path / "a.csv", images))
    rows = rows_of(tmp_path / "a.csv")
    assert float(rows[0]["area_um2"]) == 4 * (ids == 1).sum()
    assert [row["time_s"] for row in rows] == ["5"] * 5 + ["65"]
    assert {row["state"] for row in rows} == {""}  # nobody knows where these ids come from


def test_some_frames_may_be_measured(tmp_path, ids):
    run = measure_to_file(ObjectStack.of(ids), tmp_path / "a.csv", frames=[1, 2])
    assert [(one.frame, one.n_objects, one.n_done, one.n_frames) for one in run] == [
        *((1, 0, 1, 2), (2, 1, 2, 2))
    ]
    assert [row["id"] for row in rows_of(tmp_path / "a.csv")] == ["80000"]


def test_one_frame_is_in_memory_at_a_time(tmp_path, ids):
    read = []

    class Frames:
        shape, dtype = ids.shape, ids.dtype

        def __getitem__(self, frame):
            read.append(frame)
            return ids[frame]

    run = measure_to_file(ObjectStack.of(Frames()), tmp_path / "a.csv")
    next(run)
    assert read == [0]
    list(run)
    assert read == [0, 1, 2]


def test_stack_without_objects_has_a_table_of_headings(tmp_path):
    stack = ObjectStack.of(np.zeros((2, 4, 4), np.uint8))
    summary = product_of(measure_to_file(stack, tmp_path / "a.csv"))
    assert (summary.n_objects, summary.classes[0].medians) == (0, {})
    assert (tmp_path / "a.csv").read_text().startswith("id,frame,class,confidence,state,")


def test_cancelled_measurement_leaves_nothing(tmp_path, ids):
    run = measure_to_file(ObjectStack.of(ids), tmp_path / "a.csv")
    next(run)
    run.close()
    assert list(tmp_path.iterdir()) == []


def test_only_tables_of_features_are_replaced(tmp_path, ids, table):
    path, stack = tmp_path / "a.csv", ObjectStack.of(ids)
    product_of(measure_to_file(stack, path))
    with pytest.raises(OutputError, match="exists already"):
        product_of(measure_to_file(stack, path))
    product_of(measure_to_file(stack, path, overwrite=True))
    table.write_csv(tmp_path / "b.csv")  # is no table of features
    with pytest.raises(OutputError, match="could have written"):
        product_of(measure_to_file(stack, tmp_path / "b.csv", overwrite=True))


def test_images_of_another_shape_are_refused(tmp_path, ids):
    images = images_of(np.zeros((2, 40, 50, 1), np.uint8))
    with pytest.raises(DataError, match=r"is \(2, 40, 50\), its objects are \(3, 40, 50\)"):
        product_of(measure_to_file(ObjectStack.of(ids), tmp_path / "a.csv", images))
