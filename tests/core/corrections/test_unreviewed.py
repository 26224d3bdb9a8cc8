"""Regions that nobody has reviewed: kept in the log, and not taught."""

import shutil

import numpy as np
import pytest
import tifffile

from rleseg_core.corrections import CorrectedDataset, CorrectionLog
from rleseg_core.corrections.header import MARKS
from rleseg_core.corrections.history import read_history
from rleseg_core.corrections.records import Frames
from rleseg_core.data import IGNORED
from rleseg_core.errors import DataError
from rleseg_core.files.lines import to_line

SHAPE = (3, 12, 17)


@pytest.fixture
def log(tmp_path):
    images = np.random.default_rng(1).integers(0, 256, SHAPE, dtype=np.uint8)
    tifffile.imwrite(tmp_path / "images.tif", images, photometric="minisblack")
    prediction = np.random.default_rng(0).integers(0, 3, SHAPE).astype(np.uint8)
    log = CorrectionLog.create(
        tmp_path / "s",
        prediction,
        class_names=("ipsc", "dfc"),
        image_path=tmp_path / "images.tif",
    )
    yield log
    log.close()


def region(box):
    marked = np.zeros(SHAPE[1:], bool)
    marked[box] = True
    return marked


def correct(log, frame):
    labels = log.frame(frame)
    labels[0, 0] = (labels[0, 0] + 1) % 3
    log.record(frame, labels)


def test_marks_are_in_the_log(log):
    left, top = region(np.s_[:, :5]), region(np.s_[:3])
    assert log.mark_unreviewed(1, left) == 60
    assert log.mark_unreviewed(1, left) == 0
    assert log.mark_unreviewed(1, left | top) > 0
    assert log.mark_unreviewed(2, top) == 51
    log.mark_unreviewed(2, np.zeros(SHAPE[1:]))
    for seen in (log, CorrectionLog(log.folder, read_only=True)):
        np.testing.assert_array_equal(seen.unreviewed(1), left | top)
        assert not seen.unreviewed(0).any()
        assert seen.unreviewed_pixels() == {1: np.count_nonzero(left | top)}


def test_marks_survive_the_end_of_the_program(log, tmp_path):
    log.mark_unreviewed(1, region(np.s_[:, :5]))
    log.marks[1, :3] = 1
    log.marks[1, :, 2] = 0
    log.marks[2, 4, 4] = 7  # whatever is painted there marks
    expected = region(np.s_[:, :5]) | region(np.s_[:3])
    expected[:, 2] = False
    killed = shutil.copytree(log.folder, tmp_path / "killed")
    seen = CorrectionLog(killed, read_only=True)
    np.testing.assert_array_equal(seen.marks[1], expected)
    again = CorrectionLog(killed)
    for frame in range(SHAPE[0]):
        again.reconcile(frame)
    np.testing.assert_array_equal(again.unreviewed(1), expected)
    assert again.unreviewed_pixels() == {1: np.count_nonzero(expected), 2: 1}
    assert not (killed / MARKS).stat().st_size
    again.close()

    log.record_marked(1)
    assert (log.folder / MARKS).stat().st_size  # frame 2 is not recorded yet
    log.mark_unreviewed(1, region(np.s_[:0]))  # later than what is still in the journal
    again = CorrectionLog(log.folder, read_only=True)
    assert not again.marks[1].any()
    assert again.marks[2].sum() == 7


def test_strokes_that_cancel_each_other_do_not_come_back(log):
    log.marks[1, :3] = 1
    journal = log.folder / MARKS
    older = journal.read_bytes()
    log.marks[1, :3] = 0
    assert log.record_marked(1) == 0
    journal.write_bytes(older)  # as after a power cut: the journal is not synced
    seen = CorrectionLog(log.folder, read_only=True)
    assert not seen.marks[1].any()
    assert not seen.unreviewed_pixels()


def test_marks_are_no_corrections(log):
    log.mark_unreviewed(1, region(np.s_[:, :5]))
    assert log.corrected_frames() == []
    assert log.n_changes == 0
    correct(log, 1)
    log.mark_unreviewed(1, region(np.s_[:, :7]))
    log.undo()
    assert log.unreviewed_pixels() == {1: 84}
    np.testing.assert_array_equal(log.frame(1), log.prediction[1])


def test_what_is_not_reviewed_is_not_taught(log):
    correct(log, 0)
    correct(log, 1)
    log.accept(2)
    log.mark_unreviewed(1, region(np.s_[:, 5:]))
    log.mark_unreviewed(2, region(np.s_[:]))
    (stack,) = CorrectedDataset([log.folder])
    assert stack.frames == (0, 1)  # nothing is known of frame 2
    assert CorrectedDataset([log.folder]).n_frames == 2
    np.testing.assert_array_equal(stack.class_frame(0), log.frame(0))
    classes = stack.class_frame(1)
    assert (classes[:, 5:] == IGNORED).all()
    np.testing.assert_array_equal(classes[:, :5], log.frame(1)[:, :5])


def test_sessions_match_their_classes_by_name(log, tmp_path):
    swapped = np.array([0, 2, 1], np.uint8)[log.prediction[:]]
    other = CorrectionLog.create(
        tmp_path / "t",
        swapped,
        class_names=("dfc", "ipsc"),
        image_path=tmp_path / "images.tif",
    )
    for one in (log, other):
        one.accept(0)
        one.close()
    first, second = CorrectedDataset([log.folder, other.folder])
    assert first.class_names == second.class_names == ("ipsc", "dfc")
    np.testing.assert_array_equal(first.class_frame(0), second.class_frame(0))


def test_a_mark_that_is_damaged_is_told(log):
    path = log.folder / "corrections.jsonl"
    line = to_line({"kind": "mark", "frame": 0, "time": "2026-01-01T00:00:00", "n": 0, "runs": 3})
    path.write_bytes(line)
    with pytest.raises(DataError, match="'runs' is 3"):
        read_history(path, Frames(SHAPE, np.dtype(np.uint8)))
