"""Objects in correction sessions: they follow the masks, and come back with the session."""

import numpy as np
import pytest

from rleseg_core.corrections import CorrectedDataset, CorrectionLog
from rleseg_core.corrections.objects import TABLE, keep_objects, open_objects
from rleseg_core.data import ImageStack
from rleseg_core.data.writers import write_labels
from rleseg_core.objects import ObjectTable

NAMES = ("ipsc", "dfc")


@pytest.fixture
def ids() -> np.ndarray:
    """Three frames with two cells that touch in each: ids 1 and 2, 3 and 4, 5 and 6."""
    ids = np.zeros((3, 16, 24), np.uint32)
    for frame in range(3):
        ids[frame, 2:6, 2:6], ids[frame, 2:6, 6:10] = 2 * frame + 1, 2 * frame + 2
    return ids


@pytest.fixture
def log(tmp_path, ids):
    with CorrectionLog.create(
        tmp_path / "session", (ids > 0).astype(np.uint8), class_names=NAMES
    ) as log:
        yield log


@pytest.fixture
def objects(log, ids):
    confidence = {int(number): 0.5 + number / 100 for number in range(1, 7)}
    table = ObjectTable.of(ids, (ids > 0).astype(np.uint8), NAMES, confidence=confidence)
    list(keep_objects(log.folder, ids, table))
    return open_objects(log)


def correct(log: CorrectionLog, frame: int, rows: slice, cols: slice, class_id: int) -> None:
    labels = log.frame(frame).copy()
    labels[rows, cols] = class_id
    log.record(frame, labels)


def test_objects_of_an_uncorrected_session_are_those_of_the_prediction(objects, ids):
    list(objects.update_all())
    np.testing.assert_array_equal(objects.ids[:], ids)
    assert objects.table.id.tolist() == [1, 2, 3, 4, 5, 6]
    assert set(objects.table.state) == {"predicted"}


def test_corrected_frame_has_new_objects_and_the_others_stay(log, objects, ids):
    correct(log, 1, slice(10, 13), slice(10, 14), 2)
    correct(log, 1, slice(2, 4), slice(2, 6), 0)
    rows = objects.update(1)
    assert rows.id.tolist() == [3, 4, 8]
    assert rows.class_id.tolist() == [1, 1, 2]
    assert rows.area.tolist() == [8, 16, 12]
    assert rows.state.tolist() == ["corrected", "predicted", "corrected"]
    np.testing.assert_allclose(rows.confidence, [np.nan, 0.54, np.nan], rtol=1e-6)
    assert objects.table.counts(3).tolist() == [[2, 0], [2, 1], [2, 0]]
    assert (objects.ids[1, 10:13, 10:14] == 8).all()
    np.testing.assert_array_equal(objects.ids[0], ids[0])


def test_undone_correction_gives_the_objects_of_the_prediction_back(log, objects, ids):
    correct(log, 1, slice(2, 6), slice(2, 6), 0)
    objects.update(1)
    assert len(objects.table) == 5
    log.undo()
    objects.update(1)
    np.testing.assert_array_equal(objects.ids[:], ids)
    assert set(objects.table.state) == {"predicted"}


def test_first_correction_of_objects_is_nothing_to_warn_of(log, objects, caplog):
    correct(log, 1, slice(2, 6), slice(2, 6), 0)
    objects.update(1)
    assert not caplog.records


def test_objects_of_an_accepted_frame_are_accepted(log, objects):
    log.accept(2)
    objects.update(2)
    assert objects.table.state.tolist() == ["predicted"] * 4 + ["accepted"] * 2
    log.accept(2, False)
    objects.update(2)
    assert set(objects.table.state) == {"predicted"}


def test_reopened_session_has_the_same_objects(log, objects):
    correct(log, 1, slice(10, 13), slice(10, 14), 2)
    correct(log, 0, slice(2, 6), slice(4, 5), 0)
    log.accept(2)
    list(objects.update_all())
    now, table = objects.ids[:], objects.table
    log.close()
    with CorrectionLog(log.folder) as again:
        reopened = open_objects(again)
        list(reopened.update_all())
        np.testing.assert_array_equal(reopened.ids[:], now)
        assert reopened.table.id.tolist() == table.id.tolist()
        assert reopened.table.state.tolist() == table.state.tolist()


def test_pieces_that_are_joined_by_a_correction_count_as_one(tmp_path, ids):
    ids[:, 2:6, 5] = 0  # a gap
    classes = (ids > 0).astype(np.uint8)
    with CorrectionLog.create(tmp_path / "pieces", classes, class_names=NAMES) as log:
        list(keep_objects(log.folder, ids, ObjectTable.of(ids, classes, NAMES, state="pieces")))
        objects = open_objects(log)
        correct(log, 0, slice(3, 4), slice(5, 6), 1)
        rows = objects.update(0)
    assert rows.id.tolist() == [2]
    assert rows.area.tolist() == [12 + 16 + 1]
    assert rows.state.tolist() == ["corrected"]


def test_session_that_is_looked_at_stays_as_it_is(log, objects):
    correct(log, 1, slice(2, 6), slice(2, 6), 0)
    log.close()
    before = sorted(path for path in log.folder.rglob("*"))
    with CorrectionLog(log.folder, read_only=True) as again:
        seen = open_objects(again)
        list(seen.update_all())
        assert not (seen.ids[1] == 3).any()
        assert len(seen.table) == 5
    assert sorted(path for path in log.folder.rglob("*")) == before


def test_session_without_objects_opens_without_them(log):
    assert open_objects(log) is None


def test_damaged_objects_are_left_out(log, objects):
    (log.folder / TABLE).write_text("id,frame\nx,y\n")
    assert open_objects(log) is None


def test_written_table_has_what_was_corrected(log, objects):
    correct(log, 1, slice(2, 6), slice(2, 6), 0)
    objects.update(1)
    objects.write_table()
    table = ObjectTable.read_csv(log.folder / "corrected_objects.csv", NAMES)
    assert table.id.tolist() == [1, 2, 4, 5, 6]


def test_objects_of_corrected_frames_teach(tmp_path, ids):
    images = tmp_path / "images.tif"
    write_labels(images, (ids > 0).astype(np.uint8) * 200)
    classes = (ids > 0).astype(np.uint8)
    stack = ImageStack.open(images)
    with CorrectionLog.create(
        tmp_path / "session", classes, class_names=NAMES, images=stack
    ) as log:
        list(keep_objects(log.folder, ids, ObjectTable.of(ids, classes, NAMES)))
        correct(log, 1, slice(10, 13), slice(10, 14), 2)
        log.accept(0)
    (taught,) = CorrectedDataset([tmp_path / "session"])
    assert taught.frames == (0, 1)
    np.testing.assert_array_equal(taught.instance_frame(0), ids[0])  # they touch, and are two
    found = taught.instance_frame(1)
    assert len(np.unique(found)) == 4
    np.testing.assert_array_equal(found > 0, taught.class_frame(1) > 0)


def test_sessions_without_objects_teach_classes(tmp_path, ids):
    images = tmp_path / "images.tif"
    write_labels(images, (ids > 0).astype(np.uint8) * 200)
    stack = ImageStack.open(images)
    with CorrectionLog.create(
        tmp_path / "session", (ids > 0).astype(np.uint8), class_names=NAMES, images=stack
    ) as log:
        log.accept(0)
    (taught,) = CorrectedDataset([tmp_path / "session"])
    assert taught.instances is None
