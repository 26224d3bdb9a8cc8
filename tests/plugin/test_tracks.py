"""Tracks in the viewer: linked, looked at, corrected, kept and exported."""

import numpy as np
import pytest
import zarr
from napari.components import ViewerModel
from napari.layers import Tracks
from napari.utils._test_utils import read_only_mouse_event
from napari.utils.interactions import mouse_press_callbacks, mouse_release_callbacks
from skimage.draw import disk

from napari_rleseg.exporting import TRACK_KINDS
from napari_rleseg.layers import show_labels
from napari_rleseg.object_colours import colours_of_ids
from napari_rleseg.object_files import IDS, ObjectFiles
from napari_rleseg.objects import objects_layer
from napari_rleseg.session import Session
from napari_rleseg.widgets.correct import CorrectWidget
from napari_rleseg.widgets.track import TrackWidget
from rleseg_core.data.formats.zarr_writing import create_stack
from rleseg_core.objects import ObjectTable
from rleseg_core.tracks.files.ctc import read_challenge
from rleseg_core.tracks.files.geff_store import read_geff
from rleseg_core.tracks.files.table_file import read_tracks

pytestmark = pytest.mark.gui

NAMES = ("cell",)
SHAPE = (5, 64, 96)
CHALLENGE, GEFF, TABLE = TRACK_KINDS


def movie() -> np.ndarray:
    """Two cells side by side that pulsate, and a third that divides after frame 2.

    Objects of frame t are 10 t + 1, 10 t + 2, … from left to right.
    """
    ids = np.zeros(SHAPE, np.uint32)
    for t in range(SHAPE[0]):
        places = [(32, 12, 7 + t % 2), (32, 30, 7)]
        places += [(32, 70, 9)] if t < 3 else [(26, 64, 6), (38, 76, 6)]
        for number, (row, col, radius) in enumerate(places, 10 * t + 1):
            ids[t][disk((row, col), radius, shape=SHAPE[1:])] = number
    return ids


def show(session: Session, ids: "np.ndarray | zarr.Array", files: ObjectFiles) -> None:
    classes = (np.asarray(ids) > 0).astype(np.uint8)
    masks = show_labels(session.viewer, classes, NAMES, name="masks", image=session.image)
    session.result = masks
    table = ObjectTable.of(ids, classes, NAMES)
    session.objects.show(objects_layer(ids, masks, files.ids), masks, table)


@pytest.fixture
def files(session) -> ObjectFiles:
    """Objects in the session's folder."""
    session.image = session.viewer.add_image(movie().astype(np.float32), name="cells")
    files = ObjectFiles.beside(session.new_path("segmentation.zarr"))
    create_stack(files.ids, SHAPE, IDS)[:] = movie()
    show(session, files.open(), files)
    return files


@pytest.fixture
def panel(session, files, qtbot) -> TrackWidget:
    panel = TrackWidget(session)
    qtbot.addWidget(panel)
    panel.show()
    return panel


def link(panel: TrackWidget, qtbot, *, divisions: bool = True) -> None:
    panel.divisions.setChecked(divisions)
    with qtbot.waitSignal(panel.tracking.stopped):
        panel.button.click()


def click(viewer: ViewerModel, frame: int, row: float, col: float) -> None:
    """Show a frame, and press and release the mouse on it."""
    viewer.dims.set_current_step(0, frame)
    how = {"position": (frame, row, col), "view_direction": None, "dims_displayed": [1, 2]}
    mouse_press_callbacks(viewer, read_only_mouse_event("mouse_press", button=1, **how))
    how["pos"] = np.zeros(2)
    mouse_release_callbacks(viewer, read_only_mouse_event("mouse_release", button=1, **how))


def press(layer: Tracks, key: str) -> None:
    layer.keymap[next(known for known in layer.keymap if str(known) == key)](layer)


def spans(session: Session) -> list[list[int]]:
    return session.tracks.editor.tracks.spans().tolist()


def test_objects_are_linked_and_drawn_in_the_colours_of_their_tracks(panel, session, qtbot):
    assert panel.tracking._files.table.name == "tracks.csv"
    link(panel, qtbot)
    assert spans(session) == [[1, 0, 4, 0], [2, 0, 4, 0], [3, 0, 2, 0], [4, 3, 4, 3], [5, 3, 4, 3]]
    assert panel.about.text() == "5 tracks, 1 division"
    layer = session.tracks.layer
    assert layer in session.viewer.layers
    assert layer.graph == {4: [3], 5: [3]}
    assert layer.data[layer.data[:, 0] == 3][:, 1:].round().tolist() == [
        [0, 32, 70],
        [1, 32, 70],
        [2, 32, 70],
    ]
    for track, number in ((1, 1), (1, 21), (4, 33)):
        drawn = layer.track_colors[layer.data[:, 0] == track]
        np.testing.assert_allclose(drawn, colours_of_ids(np.full(len(drawn), track)), atol=1e-6)
        np.testing.assert_allclose(session.objects.layer.get_color(number), drawn[0], atol=1e-6)
    assert session.viewer.layers.selection.active is layer  # its keys press the buttons
    panel.hide()
    assert session.viewer.layers.selection.active is not layer


def test_wrong_link_and_missed_division_are_corrected_and_exported(panel, session, qtbot, tmp_path):
    viewer, tools = session.viewer, panel.tools
    link(panel, qtbot, divisions=False)
    assert spans(session)[:2] == [[1, 0, 4, 0], [2, 0, 4, 0]]
    assert len(session.tracks.editor.tracks.divisions()) == 0

    click(viewer, 2, 32, 70)  # the cell that divides
    press(session.tracks.layer, "D")
    assert tools.divide.isChecked()
    assert viewer.dims.current_step[0] == 3
    known = session.tracks.editor.tracks.before >= 0
    lost = next(n for n in (33, 34) if not known[session.tracks.editor.tracks.object == n][0])
    click(viewer, 3, *((26, 64) if lost == 33 else (38, 76)))
    assert not tools.divide.isChecked()
    assert tools.told.text() == f"Object 23 divides; {lost} is one of its daughters."
    assert list(session.tracks.editor.tracks.divisions()) == [3]

    click(viewer, 2, 32, 12)  # the two at the left had changed places
    tools.link.click()
    click(viewer, 3, 32, 30)
    click(viewer, 2, 32, 30)
    tools.link.click()
    click(viewer, 3, 32, 12)
    assert tools.told.text() == "Object 22 goes on as 31."
    assert panel.about.text() == "5 tracks, 1 division"
    assert tools.undo.text() == "Undo (3)"
    tools.undo.click()
    assert tools.told.text() == "Undone: Object 22 goes on as 31."
    tools.redo.click()

    tracks = session.tracks.editor.tracks
    for kind, name in ((CHALLENGE, "ctc"), (GEFF, "tracks.geff"), (TABLE, "tracks.csv")):
        with qtbot.waitSignal(panel.export.export.stopped) as told:
            panel.export.write(kind, tmp_path / name)
        assert told.args[0] == f"5 tracks written to {name}"
    stack, found = read_challenge(tmp_path / "ctc")
    wanted = {(22, 31), (21, 32), (23, 33), (23, 34)}
    assert wanted <= links(tracks)
    of_label = {  # the object whose pixels have a label of the challenge
        (t, int(label)): int(movie()[t][stack.objects(t).ids == label][0])
        for t in range(SHAPE[0])
        for label in np.unique(stack.objects(t).ids)[1:]
    }
    named = [of_label[t, n] for t, n in zip(found.frame, found.object, strict=True)]
    assert links(found, np.array(named)) == links(tracks)
    for again in (read_geff(tmp_path / "tracks.geff"), read_tracks(tmp_path / "tracks.csv")):
        assert links(again) == links(tracks)
        assert again.parents == tracks.parents
        assert again.track.tolist() == tracks.track.tolist()


def links(tracks, names: np.ndarray | None = None) -> set[tuple[int, int]]:
    names = tracks.object if names is None else names
    source, target, _ = tracks.links()
    return {(int(names[a]), int(names[b])) for a, b in zip(source, target, strict=True)}


def test_lineage_of_the_chosen_object_is_listed_and_chooses_it(panel, session, qtbot):
    link(panel, qtbot)
    tree = panel.lineage
    assert tree.listed == []
    click(session.viewer, 4, 26, 64)
    assert tree.listed == [3, 4, 5]
    assert tree.currentItem().text(0) == "4"
    root = tree.topLevelItem(0)
    assert [root.text(column) for column in range(3)] == ["3", "0–2", "divides"]
    assert [root.child(n).text(1) for n in range(2)] == ["3–4", "3–4"]
    tree.itemClicked.emit(root, 0)
    assert session.objects.chosen_id == 23  # of the last frame of that track
    assert session.viewer.dims.current_step[0] == 2
    panel.only_lineage.setChecked(True)
    assert set(session.tracks.layer.data[:, 0]) == {3, 4, 5}
    click(session.viewer, 2, 32, 12)
    assert set(session.tracks.layer.data[:, 0]) == {1}
    click(session.viewer, 2, 2, 2)  # the background
    assert not session.tracks.layer.visible
    panel.only_lineage.setChecked(False)
    assert session.tracks.layer.visible
    assert set(session.tracks.layer.data[:, 0]) == {1, 2, 3, 4, 5}


def test_doubtful_links_come_one_by_one_until_all_are_accepted(panel, session, qtbot):
    link(panel, qtbot)
    editor, tools = session.tracks.editor, panel.tools
    n_doubtful = editor.doubtful().size
    first = editor.node(int(editor.doubtful()[0]))
    session.viewer.dims.set_current_step(0, 0)
    tools.next.click()
    assert session.objects.chosen_id == first.object
    assert session.viewer.dims.current_step[0] == first.frame
    centre = editor.centroids[:, editor.row_of(first)]
    np.testing.assert_allclose(session.viewer.scene.camera.center[-2:], centre)
    assert tools.told.text().startswith(f"Doubtful link 1 of {n_doubtful}. Object ")
    tools.next.click()
    assert session.objects.chosen_id != first.object
    click(session.viewer, 1, 32, 30)
    tools.next.click()  # from another object it begins with the least certain again
    assert session.objects.chosen_id == first.object
    for _ in range(n_doubtful):
        tools.accept.click()
    assert editor.doubtful().size == 0
    assert tools.told.text() == "Every link is sure, or was accepted."
    tools.back.click()
    tools.forward.click()


def test_corrections_that_are_not_possible_are_said(panel, session, qtbot):
    link(panel, qtbot)
    tools = panel.tools
    tools.cut.click()
    assert tools.told.text() == "Choose an object first: click on it."
    click(session.viewer, 0, 32, 12)
    tools.cut.click()
    assert tools.told.text() == "That is how the tracks are already; nothing was changed."
    tools.unite.click()
    assert tools.told.text().startswith("This track has no parent")
    tools.swap.click()
    click(session.viewer, 0, 2, 2)  # the background: nothing is exchanged
    assert session.tracks.editor.n_edits == 0
    assert not tools.swap.isChecked()


def test_tracks_and_corrections_are_there_when_the_objects_are_opened_again(
    panel, session, files, qtbot
):
    link(panel, qtbot)
    click(session.viewer, 2, 32, 12)
    panel.tools.cut.click()
    now = spans(session)
    viewer = ViewerModel()
    other = Session.of(viewer)  # as in another program: this one closed nothing
    try:
        other.image = other.viewer.add_image(movie().astype(np.float32), name="cells")
        again = TrackWidget(other)
        qtbot.addWidget(again)
        with qtbot.waitSignal(again.tracking.stopped):
            show(other, files.open(), files)
        assert spans(other) == now
        assert again.about.text().startswith("1 correction of links kept.")
        other.objects.choose(32)
        again.tools.cut.click()
        assert "is in use by this program" in again.tools.told.text()
        assert spans(other) == now
    finally:
        other.close()
    link(panel, qtbot)  # linked anew, the correction holds
    assert spans(session) == now
    panel.tools.undo.click()
    assert len(spans(session)) == 5


def test_cancelled_tracking_leaves_what_was_there(panel, session, qtbot):
    link(panel, qtbot)
    editor = session.tracks.editor
    with qtbot.waitSignal(panel.tracking.stopped) as told:
        panel.button.click()
        panel.button.click()
    assert told.args[0] == "Cancelled; nothing has changed"
    assert session.tracks.editor is editor
    assert panel.button.text() == "Track"


def test_counts_and_areas_over_time_follow_objects_and_slider(panel, session, qtbot):
    plots = panel.over_time
    link(panel, qtbot)
    assert plots._curves["n0"].getData()[1].tolist() == [3, 3, 3, 4, 4]
    table = session.objects.table
    areas = [table.area[table.frame == t].mean() for t in range(SHAPE[0])]
    assert plots._curves["a0"].getData()[1].tolist() == areas
    click(session.viewer, 1, 32, 70)
    assert plots._chosen.getData()[0].tolist() == [0, 1, 2]
    assert plots._lines[0].value() == 1


def test_changed_objects_are_said_to_have_no_track(panel, session, qtbot):
    link(panel, qtbot)
    table = session.objects.table.in_frames([1])
    session.objects.replace([1], ObjectTable(**{**vars(table), "id": table.id + 100}))
    assert "3 objects have changed since, without a track" in panel.about.text()


def test_objects_that_lie_elsewhere_are_other_ones(panel, session, qtbot):
    link(panel, qtbot)
    table = session.objects.table.in_frames([1])  # three objects; the middle one stays
    session.objects.replace([1], ObjectTable(**{**vars(table), "col": table.col[[2, 1, 0]]}))
    assert "2 objects have changed since, without a track" in panel.about.text()


def test_linking_ends_with_the_objects(panel, session, qtbot):
    panel.button.click()
    assert panel.button.text() == "Cancel"
    session.objects.clear()
    assert panel.button.text() == "Track"
    assert not panel.progress.isVisible()


def test_tracks_go_along_with_corrected_masks_and_come_back_with_them(panel, session, files, qtbot):
    correct = CorrectWidget(session)
    qtbot.addWidget(correct)
    link(panel, qtbot)
    click(session.viewer, 2, 32, 12)
    panel.tools.cut.click()
    now = spans(session)
    with qtbot.waitSignal(panel.tracking.stopped):
        correct.correction.start(session.result)
    folder = session.corrections.folder
    assert (folder / "tracks.csv").read_bytes() == (files.ids.parent / "tracks.csv").read_bytes()
    assert spans(session) == now
    click(session.viewer, 4, 32, 30)
    panel.tools.cut.click()
    masks, recorder = session.result, correct.correction.recorder
    masks.data_setitem((np.full(2, 1), np.array([5, 5]), np.array([50, 51])), np.ones(2, np.uint8))
    recorder.flush()
    qtbot.waitUntil(lambda: "1 object has changed" in panel.about.text())
    link(panel, qtbot)  # the new object is a track of its own
    later = spans(session)
    assert len(later) == len(now) + 2
    correct.correction.finish()
    session.objects.clear()
    assert session.tracks.editor is None
    with qtbot.waitSignal(panel.tracking.stopped):
        correct.correction.resume(folder)
    assert spans(session) == later
    assert panel.tools.undo.text() == "Undo (2)"
    correct.correction.finish()
