import numpy as np
import pytest
from PIL import Image as Picture

from napari_rleseg.layers import show_labels
from napari_rleseg.player import HIGHLIGHT
from napari_rleseg.widgets.animate import AnimateWidget
from napari_rleseg.widgets.segment import SegmentWidget
from rleseg_core.data import ImageStack, LabelReader, subsample_labels
from rleseg_core.inference import Segmenter

pytestmark = pytest.mark.gui

NAMES = ("ipsc", "dfc")


@pytest.fixture
def widget(qtbot, session, cells, tiny_model):
    session.viewer.dims.set_current_step(0, 1)
    session.model = tiny_model
    widget = AnimateWidget(session)
    qtbot.addWidget(widget)
    widget.show()
    yield widget
    widget.animation.close()


@pytest.fixture
def truth(session, cells):
    return show_labels(session.viewer, cells.classes, NAMES, name="truth", image=session.image)


@pytest.fixture
def cell_window(widget, cells, tiny_model):
    """The window of the frame that has most foreground, and its mask (1, S, S)."""
    reader = LabelReader(cells.classes, tiny_model.window_spec)
    masks = [subsample_labels(reader.read(window), (16, 16)) for window in windows(widget)]
    best = int(np.argmax([np.count_nonzero(mask) for mask in masks]))
    return best, masks[best]


def windows(widget):
    return [widget.window_box.itemData(i) for i in range(1, widget.window_box.count())]


def show(qtbot, widget, truth, index):
    widget.source.layer = truth
    widget.window_box.setCurrentIndex(index + 1)
    with qtbot.waitSignal(widget.animation.completed):
        widget.start()
    qtbot.waitUntil(lambda: widget.player.complete)


def test_windows_are_those_of_the_frame_that_is_shown(widget, session):
    assert len(windows(widget)) == 3 * 2
    assert {window.frames for window in windows(widget)} == {(1, 2)}
    session.viewer.dims.set_current_step(0, 3)
    assert {window.frames for window in windows(widget)} == {(3, 4)}


def test_window_and_tokens_are_those_that_were_segmented(qtbot, widget, session, cells):
    segment = SegmentWidget(session)
    qtbot.addWidget(segment)
    segment.advanced.image_size.setValue(192)
    model = Segmenter.from_checkpoint(session.model.path, "cpu")
    stack = ImageStack.from_array(cells.images)
    results = list(model.predict(stack, frames=[1], image_size=192))
    assert windows(widget) == [result.window for result in results]
    widget.window_box.setCurrentIndex(len(results))
    with qtbot.waitSignal(widget.animation.completed, timeout=60_000):
        widget.start()
    qtbot.waitUntil(lambda: widget.player.complete)
    expected = results[-1].tokens.tolist()
    assert widget.player.tokens() == expected[: len(widget.player.tokens())]
    assert len(expected) - len(widget.player.tokens()) < model.tokenizer.tokens_per_run + 1
    low, high = widget.animation.preview.extent.world  # of pixel centres
    np.testing.assert_allclose((high - low)[1:], 15 * 0.5)  # a mask pixel is one source pixel


def test_window_in_the_middle_of_the_view_is_found(widget, session):
    for window in windows(widget):
        row, col = sum(window.rows) / 2, sum(window.cols) / 2
        session.viewer.scene.camera.center = (0, row * 0.5, col * 0.5)
        assert widget.animation.window_in_view() == window


def test_tokens_of_masks_are_played(qtbot, widget, session, truth, cell_window):
    index, mask = cell_window
    widget.player.speed = 2000
    show(qtbot, widget, truth, index)
    preview = widget.animation.preview
    assert preview.visible
    assert not truth.visible
    qtbot.waitUntil(lambda: not widget.player.playing)
    np.testing.assert_array_equal(preview.data, mask)
    assert widget.playback.tokens.rows.rowCount() == widget.player.n_events
    assert widget.playback.tokens.currentIndex().row() == widget.player.n_events - 1
    assert (
        widget.playback.scrubber.value()
        == widget.playback.scrubber.maximum()
        == widget.player.n_events
    )


def test_preview_lies_on_its_window(qtbot, widget, session, truth, cell_window):
    index, _ = cell_window
    show(qtbot, widget, truth, index)
    widget.player.seek(widget.player.n_events)
    preview, window = widget.animation.preview, windows(widget)[index]
    found = np.argwhere(preview.data)
    for cell in found[:: max(1, len(found) // 20)]:
        world = preview.data_to_world(cell)
        t, row, col = truth.world_to_data(world)
        assert round(float(t)) == window.frames[0]
        assert window.rows[0] <= row < window.rows[1]
        # a cell takes the class of its centre, which lies between four pixels
        near = truth.data[1, int(row) : int(row) + 2, int(col) : int(col) + 2]
        assert preview.data[tuple(cell)] in near
    half = np.array(preview.scale) / 2  # the extent is that of the cells' centres
    low, high = preview.extent.world
    step = np.array(session.image.scale)
    expected = (np.array([window.rows, window.cols]) - 0.5) * step[1:, None]
    np.testing.assert_allclose(np.array([low - half, high + half]).T[1:], expected)


def test_steps_seek_and_the_list_go_together(qtbot, widget, truth, cell_window):
    show(qtbot, widget, truth, cell_window[0])
    player = widget.player
    player.seek(0)
    widget.playback.step_button.click()
    widget.playback.step_button.click()
    assert player.position == 2
    assert widget.playback.tokens.currentIndex().row() == 1
    assert (widget.animation.preview.data == HIGHLIGHT).any()
    widget.playback.back_button.click()
    assert player.position == 1
    widget.playback.scrubber.setValue(4)
    assert player.position == 4
    widget.playback.tokens.clicked.emit(widget.playback.tokens.rows.index(2))
    assert player.position == 3
    widget.playback.play_button.click()
    assert player.playing
    assert widget.playback.play_button.text() == "Pause"
    widget.playback.play_button.click()
    assert not player.playing


def test_speed_is_logarithmic(widget):
    widget.playback.speed.setValue(0)
    assert widget.player.speed == 1
    widget.playback.speed.setValue(widget.playback.speed.maximum())
    assert widget.player.speed == pytest.approx(1000)


@pytest.mark.slow
def test_model_is_watched_while_it_writes(qtbot, widget, session):
    with qtbot.waitSignal(widget.animation.completed):
        widget.start()
    qtbot.waitUntil(lambda: widget.player.complete)
    assert widget.player.n_events >= 1
    assert widget.player.tokenizer.spec.class_names == NAMES
    assert session.path_of(session.image) is not None


def test_another_window_replaces_the_first(qtbot, widget, session, truth, cell_window):
    show(qtbot, widget, truth, cell_window[0])
    first = widget.animation.preview
    show(qtbot, widget, truth, (cell_window[0] + 1) % 6)
    assert widget.animation.preview is first  # napari can crash where layers come and go
    assert [layer.name for layer in session.viewer.layers].count("tokens") == 1
    assert first.visible


def test_closing_restores_the_viewer(qtbot, widget, session, truth, cell_window):
    camera = session.viewer.scene.camera
    before = tuple(camera.center), camera.zoom
    show(qtbot, widget, truth, cell_window[0])
    widget.animation.zoom()
    assert camera.zoom != before[1]
    widget.close_button.click()
    assert truth.visible
    assert widget.animation.preview is None
    assert [layer.name for layer in session.viewer.layers if layer.visible] == ["cells", "truth"]
    assert (tuple(camera.center), camera.zoom) == before
    assert widget.playback.tokens.rows.rowCount() == 0
    assert not widget.export_button.isEnabled()


def test_removed_preview_ends_the_animation(qtbot, widget, session, truth, cell_window):
    show(qtbot, widget, truth, cell_window[0])
    session.viewer.layers.remove(widget.animation.preview)
    assert widget.player.tokenizer is None
    assert truth.visible
    assert widget.animation.preview is None


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gif", "mp4"])
def test_film_is_exported(qtbot, widget, truth, cell_window, tmp_path, kind):
    show(qtbot, widget, truth, cell_window[0])
    path = tmp_path / f"film.{kind}"
    with qtbot.waitSignal(widget.animation.exported):
        widget.export(path)
    assert str(path) in widget.status.text()
    assert path.stat().st_size > 1000
    if kind == "gif":
        with Picture.open(path) as film:
            assert film.n_frames == widget.player.n_events + 1


def test_what_is_missing_is_told(qtbot, widget, session, tmp_path):
    widget.export(tmp_path / "film.gif")
    assert "nothing to export" in widget.status.text()
    small = show_labels(session.viewer, np.zeros((2, 5, 6), np.uint8), NAMES, name="small")
    widget.source.layer = small
    widget.start()
    assert "(2, 5, 6), the image is (4, 96, 64)" in widget.status.text()
    session.image = None
    widget.start()
    assert "there is no image" in widget.status.text()


@pytest.mark.window
def test_closed_panel_hears_nothing(qtbot, session, cells, tiny_model, truth):
    session.model = tiny_model
    panel = AnimateWidget(session)
    session.viewer.window.add_dock_widget(panel, name="Animate")
    show(qtbot, panel, truth, 0)
    preview = panel.animation.preview
    session.viewer.window.remove_dock_widget(panel)
    panel.deleteLater()
    qtbot.wait(100)
    session.viewer.dims.set_current_step(0, 2)
    session.viewer.layers.remove(preview)
