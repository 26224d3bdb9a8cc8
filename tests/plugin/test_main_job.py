"""The whole work in one window, as a person does it: segment, watch, correct, train, use."""

from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_rleseg.session import Session

pytestmark = [pytest.mark.gui, pytest.mark.window, pytest.mark.slow]
FRAME = 2


def paint(viewer, qtbot) -> None:
    """Draw a stroke through the middle of the canvas with the mouse."""
    canvas = viewer.window._qt_viewer.canvas.native
    middle, left = canvas.rect().center(), Qt.MouseButton.LeftButton
    qtbot.mouseMove(canvas, middle)
    qtbot.mousePress(canvas, left, pos=middle)
    for step in range(1, 5):
        qtbot.mouseMove(canvas, middle + QPoint(5 * step, 0))
        qtbot.wait(20)
    qtbot.mouseRelease(canvas, left, pos=middle + QPoint(20, 0))


def test_segment_animate_correct_fine_tune_and_segment_again(session, cells, tiny_model, qtbot):
    viewer = session.viewer
    _, bench = viewer.window.add_plugin_dock_widget("napari-rleseg", "Workbench")
    assert bench.session is session is Session.of(viewer)
    session.model = tiny_model

    bench.show_tab("Segment")
    with qtbot.waitSignal(bench.segment.segmentation.stopped) as how:
        bench.segment.button.click()
    assert how.args == ["finished"]
    masks = session.result

    bench.show_tab("Animate")
    viewer.dims.set_current_step(0, FRAME)
    with qtbot.waitSignal(bench.animate.animation.completed):
        bench.animate.load_button.click()
    qtbot.waitUntil(lambda: bench.animate.player.position > 0)
    bench.animate.player.pause()
    bench.animate.hide_box.setChecked(False)

    bench.show_tab("Correct")
    correct = bench.correct
    with qtbot.waitSignal(correct.correction.opened):
        correct.start_page.start_button.click()
    viewer.dims.set_current_step(0, FRAME)
    viewer.reset_view()
    correct.tools.classes.button(2).click()
    with qtbot.waitSignal(correct.correction.recorder.saved):
        paint(viewer, qtbot)
    assert list(session.corrections.changed_pixels()) == [FRAME]
    assert (np.asarray(session.result.data[FRAME]) == 2).any()
    correct.review.accept_button.click()

    bench.show_tab("Fine-tune")
    tune = bench.finetune
    assert tune.base.model.path == tiny_model.path
    assert tune.frames.ticked() == (FRAME,)
    tune.recipe_box.form.value = replace(
        tune.recipe_box.form.value, n_steps=8, batch_size=2, validate_every=4
    )
    with qtbot.waitSignal(tune.finetuning.stopped) as how:
        tune.button.click()
    assert how.args == ["finished"]
    assert len(tune.curves.losses) == 8
    tune.use.click()
    assert session.model.path.stem == "tiny-tuned-1"
    assert bench.segment.model.model.path == session.model.path

    bench.show_tab("Segment")
    with qtbot.waitSignal(bench.segment.segmentation.stopped) as how:
        bench.segment.button.click()
    assert how.args == ["finished"]
    assert session.result is not masks
    assert session.result.data.attrs["rleseg"]["provenance"]["model"] == "tiny-tuned-1"
