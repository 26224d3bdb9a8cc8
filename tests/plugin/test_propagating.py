"""Frames written again from a corrected one in the Correct panel."""

import numpy as np
import pytest

from napari_rleseg.layers import show_labels
from napari_rleseg.objects import objects_layer
from napari_rleseg.widgets.correct import CorrectWidget
from rleseg_core.inference.follow.region import RegionFinder
from rleseg_core.objects import ObjectTable

pytestmark = pytest.mark.gui

NAMES = ("cell",)


def movie(*, merged: bool) -> np.ndarray:
    """Ids (5, 50, 80): two squares that drift side by side, one object where they are merged."""
    ids = np.zeros((5, 50, 80), np.uint32)
    for frame in range(5):
        left = 6 + 2 * frame
        ids[frame, 8:20, left : left + 24] = 2 * frame + 1
        if not merged:
            ids[frame, 8:20, left + 12 : left + 24] = 2 * frame + 2
    return ids


@pytest.fixture
def seeing(monkeypatch):
    """Let the model see one object, unless two are expected."""

    def find(_, frame, box, expected=None):
        is_cut = expected is not None and np.unique(expected[0]).size > 2
        return movie(merged=not is_cut)[frame]

    monkeypatch.setattr(RegionFinder, "find", find)


@pytest.fixture
def panel(session, tiny_model, qtbot):
    ids = movie(merged=True)
    session.image = session.viewer.add_image(ids.astype(np.float32), name="cells")
    session.model = tiny_model
    classes = (ids > 0).astype(np.uint8)
    masks = show_labels(session.viewer, classes, NAMES, name="masks", image=session.image)
    session.result = masks
    session.objects.show(objects_layer(ids, masks), masks, ObjectTable.of(ids, classes, NAMES))
    panel = CorrectWidget(session)
    qtbot.addWidget(panel)
    panel.show()
    with qtbot.waitSignal(panel.correction.opened):
        panel.correction.start(masks)
    yield panel
    panel.correction.finish()


def cut(session) -> None:
    """Cut the object of frame 1 in two."""
    rows = np.arange(8, 20)
    where = (np.full(rows.size, 1), rows, np.full(rows.size, 19))
    session.result.data_setitem(where, np.zeros(rows.size, np.uint8))


def run(controls, qtbot) -> None:
    controls.button.click()
    qtbot.waitUntil(lambda: not controls.proposal.running)


def test_cut_is_propagated_shown_kept_and_undone(panel, session, seeing, qtbot):
    controls, log = panel.propagate, session.corrections
    panel.correction.go_to(3)
    panel.correction.accept()
    panel.correction.go_to(1)
    cut(session)
    run(controls, qtbot)
    told = controls.told.text().splitlines()
    assert told[1:] == ["Frame 2: 2 new, 1 gone; 12 px"]  # no half is most of the whole
    assert controls.proposal.layer.visible
    change = np.asarray(controls.proposal.layer.data)
    assert set(np.unique(change[2])) == {0, 1}
    assert (change[2] == 1).sum() == 12  # a line through the object
    assert not change[[0, 1, 3, 4]].any()  # frame 4 is written from frame 3, where it is whole
    assert log.n_changes == 1  # the cut: nothing is taken yet
    controls.keep.click()
    qtbot.waitUntil(lambda: not controls.proposal.keeping)
    assert controls.told.text().startswith("Kept: 12 px in 1 frame corrected.")
    assert log.n_changes == 2
    assert not controls.proposal.layer.visible
    qtbot.waitUntil(lambda: not panel.correction.objects.pending)
    assert session.objects.table.counts(5).sum(axis=1).tolist() == [1, 2, 2, 1, 1]
    panel.review.undo_button.click()
    np.testing.assert_array_equal(log.frame(2), log.predicted(2))
    qtbot.waitUntil(lambda: not panel.correction.objects.pending)


def test_discarded_changes_leave_all_as_it_was_and_paint_meanwhile_stays(
    panel, session, seeing, qtbot
):
    controls, log = panel.propagate, session.corrections
    controls.number.setValue(2)
    panel.correction.go_to(1)
    cut(session)
    run(controls, qtbot)
    assert np.asarray(controls.proposal.layer.data)[[2, 3]].any(axis=(1, 2)).all()
    controls.discard.click()
    assert log.n_changes == 1
    assert controls.told.text() == "Discarded; nothing has changed."
    run(controls, qtbot)
    session.result.data_setitem(
        (np.array([2]), np.array([40]), np.array([40])), np.ones(1, np.uint8)
    )
    controls.keep.click()
    qtbot.waitUntil(lambda: not controls.proposal.keeping)
    assert log.frame(2)[40, 40] == 1
    assert (log.frame(2) != log.predicted(2)).sum() == 13
    panel.correction.go_to(2)
    run(controls, qtbot)
    folder = log.folder
    panel.correction.finish()
    with qtbot.waitSignal(panel.correction.opened):
        panel.correction.resume(folder)
    controls.keep.click()
    assert "that were finished; discard them" in controls.told.text()
    assert session.corrections.n_changes == log.n_changes


def test_what_cannot_be_propagated_is_said(panel, session, qtbot):
    controls = panel.propagate
    panel.correction.go_to(4)
    controls.button.click()
    assert controls.told.text() == "This is the last frame; there is none after it to write."
    panel.correction.accept()
    panel.correction.go_to(3)
    controls.button.click()
    assert controls.told.text() == "The next frames are accepted; they stay as they are."
    session.model = None
    controls.button.click()
    assert controls.told.text() == "There is no model; choose one in the Segment tab."


def test_masks_without_objects_say_that_they_need_some(panel, session, qtbot):
    panel.correction.finish()
    with qtbot.waitSignal(panel.correction.opened):
        panel.correction.start(
            show_labels(
                session.viewer, movie(merged=True) % 2, NAMES, name="x", image=session.image
            )
        )
    panel.correction.go_to(1)
    run(panel.propagate, qtbot)
    assert panel.propagate.told.text().startswith("These masks have no objects yet;")
