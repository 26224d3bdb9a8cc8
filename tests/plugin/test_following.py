"""Following the chosen object in the Track panel, and what becomes of what is found."""

import numpy as np
import pytest
from skimage.draw import disk

from napari_rleseg.layers import notes
from napari_rleseg.taking import classes_for, with_object
from napari_rleseg.widgets.correct import CorrectWidget
from napari_rleseg.widgets.track import TrackWidget
from rleseg_core.inference.follow.region import RegionFinder
from rleseg_core.objects import corrected

from .test_tracks import SHAPE, click, files, link, movie  # noqa: F401 `files` is a fixture

pytestmark = pytest.mark.gui


@pytest.fixture
def seeing(monkeypatch):
    """Let the model see the first cell somewhat larger than it was segmented, and a new one."""
    seen = movie()
    for t in range(SHAPE[0]):
        seen[t][disk((32, 12), 9, shape=SHAPE[1:])] = 1

    def find(_, frame, box):
        met = np.isin(seen[frame], seen[frame][box])
        return np.where((seen[frame] > 0) & met, seen[frame] + 100, 0)

    monkeypatch.setattr(RegionFinder, "find", find)
    return seen


@pytest.fixture
def panel(session, files, tiny_model, qtbot):  # noqa: F811
    panel = TrackWidget(session)
    qtbot.addWidget(panel)
    panel.show()
    session.model = tiny_model
    return panel


@pytest.fixture
def begin(session, qtbot):
    """Begins to correct the masks."""
    begun = []

    def begin() -> CorrectWidget:
        correct = CorrectWidget(session)
        qtbot.addWidget(correct)
        begun.append(correct)
        with qtbot.waitSignal(correct.correction.opened):
            correct.correction.start(session.result)
        return correct

    yield begin
    for correct in begun:
        correct.correction.finish()


def run(controls, qtbot) -> None:
    controls.button.click()
    qtbot.waitUntil(lambda: not controls.proposal.running)


def keep(controls, qtbot) -> None:
    controls.keep.click()
    qtbot.waitUntil(lambda: not controls.proposal.keeping)


def test_chosen_cell_is_followed_shown_and_discarded(panel, session, seeing, qtbot):
    follow = panel.follow
    click(session.viewer, 2, 32, 12)
    follow.number.setValue(1)
    before = session.result.data.copy()
    run(follow, qtbot)
    assert follow.told.text() == "Object 21 of frame 2 was found in 2 frames, 1 to 3."
    layer = follow.proposal.layer
    assert layer.visible
    assert not layer.editable
    assert notes(layer)["preview"]
    found = np.asarray(layer.data)
    np.testing.assert_array_equal(found[2] > 0, movie()[2] == 21)
    for t in (1, 3):
        np.testing.assert_array_equal(found[t] > 0, seeing[t] == 1)
    assert not found[[0, 4]].any()
    follow.discard.click()
    assert not layer.visible
    assert follow.keep.isHidden()
    np.testing.assert_array_equal(session.result.data, before)


def test_kept_cell_replaces_that_of_its_track_and_undo_brings_it_back(
    panel, session, seeing, begin, qtbot
):
    link(panel, qtbot)
    correct = begin()
    qtbot.waitUntil(lambda: not panel.tracking.busy)
    correct.correction.go_to(4)
    correct.correction.accept()
    click(session.viewer, 2, 32, 12)
    run(panel.follow, qtbot)
    keep(panel.follow, qtbot)
    assert "in 3 frames corrected" in panel.follow.told.text()
    assert "1 frame stayed as accepted." in panel.follow.told.text()
    log = session.corrections
    assert log.n_changes == 3
    for t in (0, 1, 3):
        others = movie()[t] % 10 > 1
        np.testing.assert_array_equal(log.frame(t) > 0, (seeing[t] == 1) | others)
    np.testing.assert_array_equal(log.frame(4), log.predicted(4))
    qtbot.waitUntil(lambda: not correct.correction.objects.pending)
    ids = np.asarray(session.objects.layer.data[3])
    assert set(ids[seeing[3] == 1]) == {31}  # the id of the object that it was
    for _ in range(3):
        correct.review.undo_button.click()
    for t in range(SHAPE[0]):
        np.testing.assert_array_equal(log.frame(t), log.predicted(t))


def test_what_cannot_be_followed_or_kept_is_said(panel, session, seeing, qtbot):
    follow = panel.follow
    follow.button.click()
    assert follow.told.text() == "Choose an object first: click on it."
    click(session.viewer, 2, 32, 12)
    model, session.model = session.model, None
    follow.button.click()
    assert follow.told.text() == "There is no model; choose one in the Segment tab."
    session.model = model
    run(follow, qtbot)
    follow.keep.click()
    assert follow.told.text().startswith("The masks are not being corrected; press Start in the")
    assert follow.proposal.proposed  # it waits until they are


def test_masks_that_lost_their_objects_are_not_touched(panel, session, seeing, begin, qtbot):
    begin()
    qtbot.waitUntil(lambda: not panel.tracking.busy)
    click(session.viewer, 2, 32, 12)
    run(panel.follow, qtbot)
    session.objects.clear()
    panel.follow.keep.click()
    assert panel.follow.told.text().startswith("These masks have no objects;")
    assert session.corrections.n_changes == 0


def test_follower_that_is_cancelled_or_fails_gives_the_button_back(
    panel, session, qtbot, monkeypatch
):
    follow = panel.follow
    click(session.viewer, 2, 32, 12)
    follow.button.click()
    assert follow.button.text() == "Cancel"
    follow.button.click()
    qtbot.waitUntil(lambda: not follow.proposal.running)
    assert follow.told.text() == "Cancelled."
    assert follow.button.text() == "Follow this cell"
    session.model.path.rename(session.model.path.with_suffix(".gone"))
    try:
        run(follow, qtbot)
    finally:
        session.model.path.with_suffix(".gone").rename(session.model.path)
    assert "tiny" in follow.told.text()
    assert follow.button.isEnabled()


def test_half_of_an_object_is_cut_off_by_a_line():
    ids = np.zeros((12, 20), np.uint32)
    ids[2:10, 2:18] = 5
    classes = (ids > 0).astype(np.uint8)
    mask = np.zeros(ids.shape, bool)
    mask[2:10, 11:18] = True
    now, name = with_object(ids, mask)
    assert name == 6
    wanted = classes_for(classes, ids, now, {6: 1})
    found = corrected.corrected_ids(ids, classes, wanted, range(9, 20))
    assert set(found[2:10, 2:10].ravel()) == {5}
    assert set(found[2:10, 11:18].ravel()) == {9}
    assert (wanted != classes).sum() == 8  # one column


def test_other_objects_keep_their_pixels_and_their_classes():
    ids = np.zeros((12, 20), np.uint32)
    ids[2:10, 2:8], ids[2:10, 8:14] = 3, 4
    classes = np.select([ids == 3, ids == 4], [1, 2]).astype(np.uint8)
    classes[4, 8] = 255  # does not count
    mask = np.zeros(ids.shape, bool)
    mask[2:11, 2:9] = True
    now, name = with_object(ids, mask, 3)
    assert name == 3
    wanted = classes_for(classes, ids, now, {3: 1})
    np.testing.assert_array_equal(wanted[:, 8:14][:10], classes[:, 8:14][:10])
    assert (wanted[10, 2:9] == 1).all()


def test_pixels_that_pass_between_touching_objects_make_no_fragments():
    ids = np.zeros((12, 20), np.uint32)
    ids[2:10, 2:9], ids[2:10, 9:16] = 3, 4
    now = ids.copy()
    now[2:10, 8] = 4
    now[5:9, 9] = 3
    classes = (ids > 0).astype(np.uint8)
    wanted = classes_for(classes, ids, now, {})
    np.testing.assert_array_equal(wanted, classes)
