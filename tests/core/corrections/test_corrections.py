import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr

from rleseg_core.corrections import (
    CorrectedDataset,
    Correction,
    CorrectionLog,
    diff_labels,
    recover,
)
from rleseg_core.errors import DataError, DataWarning, InUseError

SHAPE = (4, 12, 17)


@pytest.fixture
def prediction():
    return np.random.default_rng(0).integers(0, 3, SHAPE).astype(np.uint8)


@pytest.fixture
def log(tmp_path, prediction):
    log = CorrectionLog.create(tmp_path / "s", prediction, class_names=("ipsc", "dfc"))
    yield log
    log.close()


def collect(job):
    """What a job returns."""
    while True:
        try:
            next(job)
        except StopIteration as end:
            return end.value


def look(log):
    """The same session, open read-only."""
    return CorrectionLog(log.folder, read_only=True)


def reopened(log):
    """The same session, open to write in place of `log`."""
    log.close()
    return CorrectionLog(log.folder)


def paint(log, frame, rows, cols, value):
    labels = log.frame(frame)
    labels[rows, cols] = value
    return log.record(frame, labels)


@pytest.mark.parametrize("seed", range(5))
def test_diff_applies_and_reverts(seed):
    rng = np.random.default_rng(seed)
    before = rng.integers(0, 3, (9, 14))
    after = np.where(rng.random((9, 14)) < 0.3, rng.integers(0, 3, (9, 14)), before)
    change = diff_labels(before, after, 2)
    assert change.n_pixels == (before != after).sum()
    np.testing.assert_array_equal(change.apply(before.copy()), after)
    np.testing.assert_array_equal(change.revert(after.copy()), before)


def test_equal_labels_make_an_empty_change():
    change = diff_labels(np.ones((3, 4)), np.ones((3, 4)))
    assert change.n_pixels == 0
    assert len(change.starts) == 0


def test_run_ends_where_either_label_changes():
    change = diff_labels(np.array([[0, 0, 1, 1, 1, 0]]), np.array([[2, 2, 2, 0, 0, 0]]))
    assert change.starts.tolist() == [0, 2, 3]
    assert change.lengths.tolist() == [2, 1, 2]
    assert change.before.tolist() == [0, 1, 1]
    assert change.after.tolist() == [2, 2, 0]


def test_text_round_trip():
    change = diff_labels(np.zeros((5, 6), np.uint8), np.eye(5, 6, dtype=np.uint8) * 200, 7)
    again = Correction.from_text(7, change.to_text())
    for name in ("starts", "lengths", "before", "after"):
        np.testing.assert_array_equal(getattr(again, name), getattr(change, name))


def test_labels_of_different_shapes_are_refused():
    with pytest.raises(DataError, match=r"\(2, 3\) and \(3, 2\)"):
        diff_labels(np.zeros((2, 3)), np.zeros((3, 2)))


def test_reopened_log_has_every_change(log, prediction):
    paint(log, 1, slice(2, 5), slice(3, 9), 2)
    paint(log, 3, slice(0, 12), slice(0, 2), 0)
    paint(log, 1, slice(4, 8), slice(3, 9), 1)
    log.accept(0)
    expected = prediction.copy()
    expected[1, 2:5, 3:9], expected[3, :, :2], expected[1, 4:8, 3:9] = 2, 0, 1
    again = look(log)
    np.testing.assert_array_equal(again.replay(), expected)
    np.testing.assert_array_equal(again.replay(prediction), expected)
    np.testing.assert_array_equal(again.frame(1), expected[1])
    np.testing.assert_array_equal(again.prediction[:], prediction)
    assert again.corrected_frames() == [0, 1, 3]
    assert again.changed_pixels()[1] == (expected[1] != prediction[1]).sum()
    assert again.class_names == ("ipsc", "dfc")
    assert again.saved == log.saved


def test_frame_painted_back_is_not_corrected(log):
    old = log.frame(2)
    paint(log, 2, slice(0, 3), slice(0, 3), 2)
    assert log.corrected_frames() == [2]
    log.record(2, old)
    assert log.corrected_frames() == []


def test_undo_and_redo_survive_a_restart(log, prediction):
    paint(log, 0, slice(0, 4), slice(0, 4), 2)
    first = log.frame(0)
    paint(log, 0, slice(4, 8), slice(0, 4), 1)
    second = log.frame(0)
    assert log.undo().frame == 0
    np.testing.assert_array_equal(log.frame(0), first)
    log.undo()
    np.testing.assert_array_equal(log.frame(0), prediction[0])
    assert log.undo() is None
    again = reopened(log)
    assert (again.n_changes, again.n_undone) == (0, 2)
    again.redo()
    again.redo()
    np.testing.assert_array_equal(again.frame(0), second)
    assert again.redo() is None
    again.close()


def test_change_after_undo_drops_what_was_undone(log):
    paint(log, 0, slice(0, 4), slice(0, 4), 2)
    log.undo()
    paint(log, 1, slice(0, 4), slice(0, 4), 2)
    assert log.redo() is None
    assert look(log).n_undone == 0


def test_reopened_frame_is_no_longer_accepted(log):
    log.accept(3)
    log.accept(3, False)
    assert look(log).accepted_frames() == []


def test_log_cut_anywhere_keeps_the_whole_records(log):
    for frame in range(3):
        paint(log, frame, slice(0, 4), slice(0, 4), 2)
    path = log.folder / "corrections.jsonl"
    content = path.read_bytes()
    log.close()
    start = content[:-1].rindex(b"\n") + 1
    for end in range(start, len(content)):
        path.write_bytes(content[:end])
        cut = CorrectionLog(log.folder)
        # without its newline the last record is whole already
        assert cut.n_changes == (3 if end == len(content) - 1 else 2)
        cut.accept(3)
        cut.close()
        again = look(log)
        assert (again.n_changes, again.accepted_frames()) == (cut.n_changes, [3])


def test_damaged_line_is_left_out(log):
    paint(log, 0, slice(0, 4), slice(0, 4), 2)
    paint(log, 1, slice(0, 4), slice(0, 4), 2)
    path = log.folder / "corrections.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"frame": 0', b'"frame": 2', 1))
    again = look(log)
    assert again.n_damaged == 1
    assert again.corrected_frames() == [1]


def test_every_line_is_json(log):
    paint(log, 0, slice(0, 4), slice(0, 4), 2)
    log.accept(1)
    lines = (log.folder / "corrections.jsonl").read_text().splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["change", "accept"]


def test_unrecorded_edits_and_broken_chunks_are_mended(log, prediction):
    paint(log, 1, slice(0, 6), slice(0, 6), 2)
    log.labels[2, :3, :3] = 2  # reached the disk, but not the log
    (log.folder / "labels.zarr" / "c" / "1" / "0" / "0").write_bytes(b"torn")
    log.close()
    again = collect(recover(log.folder))
    expected = prediction.copy()
    expected[1, :6, :6] = expected[2, :3, :3] = 2
    np.testing.assert_array_equal(again.replay(), expected)
    np.testing.assert_array_equal(again.labels[:], expected)
    np.testing.assert_array_equal(zarr.open_array(log.folder / "labels.zarr")[:], expected)
    again.close()


def test_session_is_never_overwritten(log, prediction):
    with pytest.raises(DataError, match="exists already"):
        CorrectionLog.create(log.folder, prediction, class_names=("a",))


def test_failed_start_leaves_nothing(tmp_path, prediction):
    with pytest.raises(DataError, match="do not fit"):
        CorrectionLog.create(tmp_path / "x", prediction, class_names=("a",), images=prediction[:2])
    with pytest.raises(DataError, match=r"must be \(T, Y, X\) integers"):
        CorrectionLog.create(tmp_path / "x", prediction[0], class_names=("a",))
    assert list(tmp_path.iterdir()) == []


def test_folder_without_session_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no correction session"):
        CorrectionLog(tmp_path)


@pytest.mark.parametrize("header", ['{"format": "rleseg masks 1"}', "[]"])
def test_header_of_another_format_is_refused(log, header):
    (log.folder / "session.json").write_text(header)
    with pytest.raises(DataError, match="not the header of a correction session"):
        CorrectionLog(log.folder)


WRITER = """
import sys
from pathlib import Path
import numpy as np
from rleseg_core.corrections import CorrectionLog
log = CorrectionLog(sys.argv[1])
rng = np.random.default_rng(1)
for n in range(100_000):
    labels = log.frame(n % 4)
    labels[rng.random(labels.shape) < 0.2] = n % 3
    log.record(n % 4, labels)
    print(n, labels.sum(), flush=True)
"""


@pytest.mark.parametrize("n_before", [3, 40])
def test_killed_session_has_every_acknowledged_change(log, n_before):
    log.close()
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, log.folder], stdout=subprocess.PIPE, text=True
    )
    seen = [process.stdout.readline() for _ in range(n_before)]
    os.kill(process.pid, signal.SIGKILL)
    seen += process.stdout.readlines()
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    acknowledged = [line.split() for line in seen if line.endswith("\n")]

    again = CorrectionLog(log.folder)
    assert again.n_changes >= len(acknowledged)
    assert again.n_damaged <= 1
    while again.n_changes > len(acknowledged):  # written, but the word of it came too late
        again.undo()
    for number, total in reversed(acknowledged):
        assert again.frame(int(number) % 4).sum() == int(total)
        again.undo()
    np.testing.assert_array_equal(again.replay(), again.prediction[:])
    again.close()


def test_corrected_frames_become_training_data(tmp_path, prediction):
    images = np.random.default_rng(2).integers(0, 255, SHAPE).astype(np.uint8)
    logs = [
        CorrectionLog.create(tmp_path / name, prediction, class_names=("a", "b"), images=images)
        for name in ("one", "two", "three")
    ]
    paint(logs[0], 1, slice(0, 6), slice(0, 6), 2)
    logs[0].accept(3)
    paint(logs[2], 0, slice(0, 6), slice(0, 6), 1)
    for log in logs:
        log.close()
    dataset = CorrectedDataset(log.folder for log in logs)
    stacks = list(dataset)
    assert (len(dataset), dataset.n_frames) == (2, 3)
    assert [tuple(stack.frames) for stack in stacks] == [(1, 3), (0,)]
    np.testing.assert_array_equal(np.asarray(stacks[0].classes), logs[0].replay())
    np.testing.assert_array_equal(stacks[1].images.frame(2)[..., 0], images[2])
    assert stacks[0].class_names == ("a", "b")


def test_sessions_of_other_classes_are_not_mixed(tmp_path, prediction):
    for name in ("a", "b"):
        CorrectionLog.create(tmp_path / name, prediction, class_names=(name,))
    with pytest.raises(DataError, match="same classes"):
        CorrectedDataset([tmp_path / "a", tmp_path / "b"])


def test_missing_images_are_named(tmp_path, prediction):
    log = CorrectionLog.create(
        tmp_path / "a", prediction, class_names=("a",), image_path=tmp_path / "gone.tif"
    )
    log.accept(0)
    log.close()
    with pytest.raises(DataError, match=r"gone\.tif"):
        list(CorrectedDataset([log.folder]))


def session_of_file(tmp_path, prediction):
    """A session of images in a file, which was corrected."""
    images = np.random.default_rng(2).integers(0, 255, SHAPE).astype(np.uint8)
    np.save(tmp_path / "cells.npy", images)
    with CorrectionLog.create(
        tmp_path / "a", prediction, class_names=("a",), image_path=tmp_path / "cells.npy"
    ) as log:
        log.accept(0)
    return images


def test_images_of_another_shape_are_refused(tmp_path, prediction):
    images = session_of_file(tmp_path, prediction)
    np.save(tmp_path / "cells.npy", images[:3])
    with pytest.raises(DataError, match=r"cells\.npy are \(3, 12, 17\), the corrections of"):
        list(CorrectedDataset([tmp_path / "a"]))


def test_images_whose_pixels_changed_are_told(tmp_path, prediction):
    images = session_of_file(tmp_path, prediction)
    assert len(list(CorrectedDataset([tmp_path / "a"]))) == 1
    np.save(tmp_path / "cells.npy", 255 - images)
    with pytest.warns(DataWarning, match="their pixels differ"):
        list(CorrectedDataset([tmp_path / "a"]))


def test_session_is_open_to_write_once(log, prediction):
    with pytest.raises(InUseError, match="in use by this program already"):
        CorrectionLog(log.folder)
    paint(log, 0, slice(0, 4), slice(0, 4), 2)
    before = {path: path.read_bytes() for path in log.folder.rglob("*") if path.is_file()}
    with look(log) as seen:
        np.testing.assert_array_equal(seen.labels[:], log.labels[:])
        for change in (
            seen.undo,
            lambda: seen.accept(1),
            lambda: seen.record(0, prediction[1]),
            lambda: seen.append(diff_labels(prediction[0], prediction[1])),
        ):
            with pytest.raises(DataError, match="open read-only"):
                change()
        with pytest.raises(DataError, match="read-only"):
            seen.labels[0, 0, 0] = 1
    after = {path: path.read_bytes() for path in log.folder.rglob("*") if path.is_file()}
    assert before == after


def test_log_that_another_program_changed_is_not_written_to(log):
    log.close()
    with CorrectionLog(log.folder) as other:
        paint(other, 0, slice(0, 4), slice(0, 4), 2)
    with pytest.raises(DataError, match="changed by another program since it was closed"):
        log.accept(1)
    with pytest.raises(DataError, match="changed by another program since it was closed"):
        log.labels[0, 0, 0] = 1
    with CorrectionLog(log.folder) as other:
        other.undo()


def test_session_in_a_folder_that_cannot_be_written_to(log, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied", str(self.path))

    log.close()
    monkeypatch.setattr("rleseg_core.locks.WriterLock.acquire", refuse)
    with pytest.raises(DataError, match=r"cannot be written to \(Permission denied\); open"):
        CorrectionLog(log.folder)
    look(log).close()


@pytest.mark.parametrize(
    "key",
    [
        2,
        -1,
        (1, slice(2, 5)),
        (slice(None), 3, 4),
        (slice(3, 0, -2), slice(2, 4), slice(None)),
        (..., 0),
        (np.array([0, 2, 2]), np.array([1, 5, 5]), np.array([2, 3, 3])),
        (np.array([[0], [3]]), np.array([1, 5]), np.array([2, 7])),
        (1, np.array([1, 5]), np.array([2, 7])),
        (np.array([1, -1, 1]), np.array([-1, 5, 0]), np.array([2, -7, 3])),
        (np.array([2, 2, 2]), np.array([5, 1, 5]), np.array([3, 2, 3])),
        ([0, 3], slice(2, 4)),
        (np.int64(2), slice(0, 3), [1, 4]),
        np.arange(4 * 12 * 17).reshape(SHAPE) % 3 == 0,
        slice(0, 0),
    ],
)
def test_labels_are_indexed_like_an_array(log, prediction, key):
    np.testing.assert_array_equal(log.labels[key], prediction[key])
    expected = prediction.copy()
    expected[key] = 1
    log.labels[key] = 1
    np.testing.assert_array_equal(log.labels[:], expected)
    values = (np.arange(prediction[key].size) % 3).reshape(prediction[key].shape)
    expected[key] = values
    log.labels[key] = values
    np.testing.assert_array_equal(np.asarray(log.labels), expected)
    assert (log.labels.ndim, log.labels.size, len(log.labels)) == (3, 816, 4)
    for frame in log.labels.painted_frames():
        log.record_painted(frame)
    np.testing.assert_array_equal(look(log).replay(), expected)


WRITTEN_BY_0_1 = Path(__file__).parent / "written_by_0_1"


@pytest.fixture
def session_of_0_1(tmp_path):
    """A copy of a session that version 0.1 wrote: three changes, the last undone, one accepted."""
    with CorrectionLog(shutil.copytree(WRITTEN_BY_0_1, tmp_path / "session")) as log:
        yield log


@pytest.fixture
def masks_of_0_1():
    """Its prediction, and its masks after the first two changes."""
    rows, cols = np.indices((6, 8))
    prediction = np.stack([(rows < 3) & (cols < 4), (rows > 2) * 2]).astype(np.uint8)
    corrected = prediction.copy()
    corrected[0, :2, 2:6], corrected[1, 4:6, :3] = 2, 0
    return prediction, corrected


def test_session_of_version_0_1_opens(session_of_0_1, masks_of_0_1):
    log, (prediction, corrected) = session_of_0_1, masks_of_0_1
    np.testing.assert_array_equal(log.prediction[:], prediction)
    np.testing.assert_array_equal(log.labels[:], corrected)
    np.testing.assert_array_equal(log.replay(), corrected)
    assert log.class_names == ("ipsc", "dfc")
    assert log.provenance == {"model": "demo", "stitch": "centre"}
    assert (log.n_changes, log.n_undone, log.n_damaged) == (2, 1, 0)
    assert (log.accepted_frames(), log.changed_pixels()) == ([1], {0: 8, 1: 6})


def test_session_of_version_0_1_is_undone_and_redone(session_of_0_1, masks_of_0_1):
    log, (prediction, corrected) = session_of_0_1, masks_of_0_1
    assert log.redo().frame == 0
    corrected[0, 5] = 1
    np.testing.assert_array_equal(log.frame(0), corrected[0])
    while log.undo():
        pass
    np.testing.assert_array_equal(log.replay(), prediction)
    log.record(1, corrected[1])
    again = reopened(log)
    np.testing.assert_array_equal(again.replay(), np.stack([prediction[0], corrected[1]]))
    again.close()


def test_session_of_version_0_1_is_training_data(session_of_0_1, masks_of_0_1):
    (stack,) = CorrectedDataset([session_of_0_1.folder])
    rows, cols = np.indices((6, 8))
    assert stack.frames == (0, 1)
    np.testing.assert_array_equal(np.asarray(stack.classes), masks_of_0_1[1])
    np.testing.assert_array_equal(stack.images.frame(1)[..., 0], 20 * rows + cols)
