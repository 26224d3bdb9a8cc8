"""Prediction, log and strokes are the truth; ``labels.zarr`` is written again where it differs."""

import json
import os
import shutil

import numpy as np
import pytest
import zarr

from rleseg_core.corrections import CorrectionLog, recover
from rleseg_core.corrections.cache import LabelCache
from rleseg_core.errors import DataError

SHAPE = (3, 32, 40)
CHANGED = (slice(4, 20), slice(3, 35))  # 512 pixels


def collect(job):
    reports = []
    while True:
        try:
            reports.append(next(job))
        except StopIteration as end:
            return reports, end.value


def on_disk(folder):
    return zarr.open_array(folder / "labels.zarr", mode="r")[:]


@pytest.fixture
def prediction():
    labels = np.zeros(SHAPE, np.uint8)
    labels[:, 8:16, 10:20] = 1
    return labels


@pytest.fixture
def corrected(prediction):
    labels = prediction.copy()
    labels[(1, *CHANGED)] = 2
    labels[2, 8:16, 10:20] = 0
    return labels


@pytest.fixture
def folder(tmp_path, prediction, corrected):
    """A closed session with two changes; the chunks of its masks before them are kept beside it."""
    with CorrectionLog.create(tmp_path / "s", prediction, class_names=("a", "b")) as log:
        shutil.copytree(tmp_path / "s" / "labels.zarr", tmp_path / "old.zarr")
        for frame in (1, 2):
            log.record(frame, corrected[frame])
    return tmp_path / "s"


def test_chunk_that_is_older_than_the_log_is_restored(folder, corrected):
    shutil.copy(folder.parent / "old.zarr/c/1/0/0", folder / "labels.zarr/c/1/0/0")
    lines = (folder / "corrections.jsonl").read_bytes()
    reports, log = collect(recover(folder))
    with log:
        np.testing.assert_array_equal(log.labels[:], corrected)
        assert [report.n_restored for report in reports] == [0, 512, 0]
        assert log.n_changes == 2
    np.testing.assert_array_equal(on_disk(folder), corrected)
    assert (folder / "corrections.jsonl").read_bytes() == lines


def test_older_state_in_the_middle_of_a_frame_s_history_is_restored(folder, corrected):
    with CorrectionLog(folder) as log:
        labels = log.frame(1)
        labels[:] = 1
        log.record(1, labels)
        log.undo()
        old = zarr.open_array(folder / "labels.zarr", mode="r+")
        old[1] = labels  # the undo reached only the log
    reports, log = collect(recover(folder))
    with log:
        assert (log.n_changes, log.n_undone) == (2, 1)
        np.testing.assert_array_equal(log.replay(), corrected)
    np.testing.assert_array_equal(on_disk(folder), corrected)
    assert reports[1].n_restored == (corrected[1] != 1).sum()


def break_metadata(folder, text):
    (folder / "labels.zarr" / "zarr.json").write_bytes(text)


def replace(folder, **changes):
    shutil.rmtree(folder / "labels.zarr")
    options = {"shape": SHAPE, "chunks": (1, *SHAPE[1:]), "dtype": np.uint8, **changes}
    zarr.create_array(folder / "labels.zarr", **options)[:] = 1


DAMAGE = {
    "missing": lambda folder: shutil.rmtree(folder / "labels.zarr"),
    "a file": lambda folder: (
        shutil.rmtree(folder / "labels.zarr"),
        (folder / "labels.zarr").write_text("?"),
    ),
    "empty folder": lambda folder: (
        shutil.rmtree(folder / "labels.zarr"),
        (folder / "labels.zarr").mkdir(),
    ),
    "empty zarr.json": lambda folder: break_metadata(folder, b""),
    "no zarr.json": lambda folder: (folder / "labels.zarr" / "zarr.json").unlink(),
    "garbled zarr.json": lambda folder: break_metadata(folder, b'{"zarr_format": 3, "shape": [1'),
    "nested zarr.json": lambda folder: break_metadata(folder, b"[" * 10_000),
    "zarr.json of a group": lambda folder: break_metadata(
        folder, b'{"zarr_format": 3, "node_type": "group"}'
    ),
    "missing chunk": lambda folder: (folder / "labels.zarr/c/1/0/0").unlink(),
    "empty chunk": lambda folder: (folder / "labels.zarr/c/1/0/0").write_bytes(b""),
    "short chunk": lambda folder: (folder / "labels.zarr/c/1/0/0").write_bytes(
        (folder / "labels.zarr/c/1/0/0").read_bytes()[:9]
    ),
    "garbled chunk": lambda folder: (folder / "labels.zarr/c/1/0/0").write_bytes(b"x" * 200),
    "a folder for a chunk": lambda folder: (
        (folder / "labels.zarr/c/1/0/0").unlink(),
        (folder / "labels.zarr/c/1/0/0").mkdir(),
    ),
    "another shape": lambda folder: replace(folder, shape=(3, 40, 32), chunks=(1, 40, 32)),
    "another dtype": lambda folder: replace(folder, dtype=np.int64),
    "other chunks": lambda folder: replace(folder, chunks=(3, 16, 16)),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_masks_are_written_again_whatever_is_wrong_with_them(folder, corrected, damage):
    DAMAGE[damage](folder)
    reports, log = collect(recover(folder))
    with log:
        assert len(reports) == 3
        np.testing.assert_array_equal(log.labels[:], corrected)
        assert log.n_changes == 2
        if damage != "a folder for a chunk":  # zarr cannot write there
            np.testing.assert_array_equal(on_disk(folder), corrected)
            assert log.cache_failure is None
            assert sum(report.n_restored for report in reports)


def test_classes_that_do_not_exist_are_damage(folder, corrected):
    masks = zarr.open_array(folder / "labels.zarr", mode="r+")
    masks[0] = np.arange(SHAPE[1] * SHAPE[2]).reshape(SHAPE[1:]) % 251
    _, log = collect(recover(folder))
    with log:
        np.testing.assert_array_equal(log.labels[:], corrected)
        assert log.n_changes == 2


def test_what_another_program_painted_is_kept_and_can_be_undone(folder, corrected):
    masks = zarr.open_array(folder / "labels.zarr", mode="r+")
    masks[1, 25:30, :10] = 1  # never was a class 1 there
    masks[1, 4:6, 3:10] = 0  # as the prediction had it: may be older than the log
    reports, log = collect(recover(folder))
    expected = corrected.copy()
    expected[1, 25:30, :10] = 1
    with log:
        np.testing.assert_array_equal(log.labels[:], expected)
        assert (reports[1].n_pixels, reports[1].n_restored) == (50, 14)
        assert log.n_changes == 3
        log.undo()
        np.testing.assert_array_equal(log.labels[:], corrected)
    np.testing.assert_array_equal(on_disk(folder), corrected)


def test_log_without_masks_on_disk_goes_on(folder, corrected, monkeypatch):
    def refuse(*args, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(LabelCache, "_opened", lambda self, mode: None)
    monkeypatch.setattr("rleseg_core.corrections.cache.create_stack", refuse)
    with CorrectionLog(folder) as log:
        corrected[0, :5, :5] = 2
        log.record(0, corrected[0])
        assert "labels.zarr cannot be written to" in log.cache_failure
        np.testing.assert_array_equal(log.labels[:], corrected)
    monkeypatch.undo()
    collect(recover(folder))[1].close()
    np.testing.assert_array_equal(on_disk(folder), corrected)


PREDICTION = {
    "missing chunk": lambda path: (path / "c/1/0/0").unlink(),
    "garbled chunk": lambda path: (path / "c/1/0/0").write_bytes(b"x" * 200),
    "chunk of another frame": lambda path: shutil.copy(path / "c/0/0/0", path / "c/1/0/0"),
    "empty zarr.json": lambda path: (path / "zarr.json").write_bytes(b""),
    "all of it": shutil.rmtree,
}


@pytest.mark.parametrize("damage", PREDICTION)
def test_prediction_is_worked_out_from_masks_and_log(tmp_path, corrected, damage):
    prediction = np.zeros(SHAPE, np.uint8)
    for frame in range(3):
        prediction[frame, 8:16, 10 + frame : 20] = 1
    with CorrectionLog.create(tmp_path / "s", prediction, class_names=("a", "b")) as log:
        for frame in (1, 2):
            log.record(frame, corrected[frame])
        log.undo()
        corrected[2], corrected[0] = prediction[2], prediction[0]
    PREDICTION[damage](tmp_path / "s" / "prediction.zarr")
    _, log = collect(recover(tmp_path / "s"))
    with log:
        np.testing.assert_array_equal(log.labels[:], corrected)
        np.testing.assert_array_equal(log.prediction[:], prediction)


def test_prediction_that_cannot_be_worked_out_is_named(folder):
    (folder / "prediction.zarr/c/1/0/0").write_bytes(b"x")
    (folder / "labels.zarr/c/1/0/0").write_bytes(b"x")
    with CorrectionLog(folder) as log, pytest.raises(DataError, match=r"frame 1 of .*prediction"):
        log.frame(1)


def test_prediction_of_another_shape_is_refused(folder):
    header = json.loads((folder / "session.json").read_text())
    header["shape"] = [3, 40, 32]
    (folder / "session.json").write_text(json.dumps(header))
    with pytest.raises(DataError, match=r"\(3, 32, 40\) uint8, the session's header says"):
        CorrectionLog(folder)


def test_session_reaches_the_disk_before_its_name_does(tmp_path, prediction, monkeypatch):
    synced, kept = [], os.fsync

    def note(descriptor):
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        kept(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    CorrectionLog.create(tmp_path / "s", prediction, class_names=("a",)).close()
    for name in ("prediction.zarr/zarr.json", "prediction.zarr/c/2/0/0", "session.json"):
        assert any(path.endswith(name) for path in synced), name
