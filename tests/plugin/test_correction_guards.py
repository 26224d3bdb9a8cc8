"""Corrections begin only where they belong, and never replace what is there already."""

import json

import numpy as np
import pytest
import zarr

from napari_rleseg.correction import MaskCorrection
from napari_rleseg.layers import show_labels
from rleseg_core.corrections import CorrectionLog
from rleseg_core.errors import DataError

pytestmark = pytest.mark.gui

NAMES = ("ipsc", "dfc")


@pytest.fixture
def correction(session, cells):
    return MaskCorrection(session)


@pytest.fixture
def masks(session, cells):
    return show_labels(session.viewer, cells.classes, NAMES, name="masks", image=session.image)


def begin(correction, masks, qtbot):
    with qtbot.waitSignal(correction.opened, timeout=10_000):
        correction.start(masks)
    return correction.recorder.log.folder


def look(folder):
    return CorrectionLog(folder, read_only=True)


def test_each_start_has_a_folder_of_its_own(correction, masks, session, qtbot):
    first = begin(correction, masks, qtbot)
    session.result.data_setitem((np.array([1]), np.array([2]), np.array([3])), 2)
    correction.finish()
    labels = np.asarray(look(first).labels[:])
    second = begin(correction, masks, qtbot)
    assert second != first
    np.testing.assert_array_equal(look(first).labels[:], labels)
    correction.finish()


def test_corrections_of_another_image_are_not_offered(correction, masks, session, qtbot):
    folder = begin(correction, masks, qtbot)
    correction.finish()
    assert [earlier.folder for earlier in correction.earlier_sessions()] == [folder]
    header = json.loads((folder / "session.json").read_text())
    header["image"] = str(folder / "another.zarr")
    (folder / "another.zarr").mkdir()
    (folder / "session.json").write_text(json.dumps(header))
    assert correction.earlier_sessions() == []


def test_corrections_of_an_image_that_was_renamed_are_offered(correction, masks, session, qtbot):
    folder = begin(correction, masks, qtbot)
    correction.finish()
    header = json.loads((folder / "session.json").read_text())
    header["image"] = str(folder / "before.tif")
    (folder / "session.json").write_text(json.dumps(header))
    (earlier,) = correction.earlier_sessions()
    assert earlier.title.endswith("(its image was before.tif)")
    with qtbot.waitSignal(correction.opened):
        correction.resume(folder)
    assert any("is no longer at" in note for note in correction.notes)
    assert not any("pixels differ" in note for note in correction.notes)
    correction.finish()


def test_image_whose_pixels_changed_is_told(correction, masks, session, qtbot):
    folder = begin(correction, masks, qtbot)
    correction.finish()
    image = zarr.open_array(session.path_of(session.image), mode="r+")
    image[0] = 7
    with qtbot.waitSignal(correction.opened):
        correction.resume(folder)
    assert any("its pixels differ" in note for note in correction.notes)
    correction.finish()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("session.json", b""),
        ("session.json", b"[" * 10_000),
        ("session.json", b'{"format": "rleseg corrections 1"}'),
        ("session.json", b'{"format": "rleseg corrections 9"}'),
    ],
)
def test_sessions_that_cannot_be_read_are_listed_as_such(
    correction, masks, qtbot, name, content, monkeypatch
):
    monkeypatch.setattr("napari_rleseg.correction.show_failure", lambda *_: None)
    folder = begin(correction, masks, qtbot)
    correction.finish()
    (folder / name).write_bytes(content)
    (earlier,) = correction.earlier_sessions()
    assert earlier.title.endswith("(unreadable)")
    assert str(folder) in earlier.problem
    with qtbot.waitSignal(correction.failed) as told:
        correction.resume(folder)
    assert told.args == [earlier.problem]


def test_damaged_logs_and_folders_are_told_when_they_are_opened(
    correction, masks, qtbot, monkeypatch
):
    monkeypatch.setattr("napari_rleseg.correction.show_failure", lambda *_: None)
    folder = begin(correction, masks, qtbot)
    correction.finish()
    (folder / "corrections.jsonl").unlink()
    (earlier,) = correction.earlier_sessions()
    with qtbot.waitSignal(correction.failed) as told:
        correction.resume(earlier.folder)
    assert "corrections.jsonl is missing" in told.args[0]


def test_corrections_under_way_are_not_offered(correction, masks, qtbot):
    begin(correction, masks, qtbot)
    assert correction.earlier_sessions() == []
    correction.finish()


def test_corrections_of_another_size_do_not_open(correction, session, tmp_path, qtbot, monkeypatch):
    monkeypatch.setattr("napari_rleseg.correction.show_failure", lambda *_: None)
    small = CorrectionLog.create(
        tmp_path / "small", np.zeros((4, 5, 6), np.uint8), class_names=NAMES
    )
    small.close()
    with qtbot.waitSignal(correction.failed, timeout=10_000) as failure:
        correction.resume(small.folder)
    assert "of an image of (4, 5, 6)" in failure.args[0]
    assert correction.recorder is None
    assert session.corrections is None


def test_nothing_begins_while_another_job_runs(correction, masks, session, monkeypatch, tmp_path):
    monkeypatch.setattr(type(session.reading), "busy", property(lambda self: True))
    with pytest.raises(DataError, match="another job is running"):
        correction.start(masks)
    with pytest.raises(DataError, match="another job is running"):
        correction.resume(tmp_path)


def test_nothing_begins_without_an_image(correction, masks, session):
    session.image = None
    with pytest.raises(DataError, match="there is no image; open one"):
        correction.start(masks)
