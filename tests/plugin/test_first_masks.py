"""What is seen first: the model is loaded beforehand, and the visible frame comes before others."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import zarr

from napari_rleseg import loaded, tasks
from napari_rleseg.first_view import Previewed, View
from napari_rleseg.layers import visible_part
from napari_rleseg.widgets.segment import SegmentWidget
from rleseg_core.checkpoints import load_checkpoint, save_checkpoint
from rleseg_core.data import ImageStack
from rleseg_core.inference import Segmenter
from rleseg_core.reports import product_of

pytestmark = pytest.mark.gui


def segmented(panel: SegmentWidget, session, qtbot) -> list:
    """The reports of a segmentation."""
    reports: list = []
    session.inference.reported.connect(reports.extend)
    with qtbot.waitSignal(panel.segmentation.stopped) as how:
        panel.button.click()
    assert how.args == ["finished"]
    return [report for report in reports if not isinstance(report, str)]


def test_visible_frame_comes_first_with_what_the_dense_heads_see(
    panel, session, cells, tiny_model, qtbot
):
    session.viewer.dims.set_current_step(0, 2)
    previewed, *windows = segmented(panel, session, qtbot)
    assert previewed == Previewed(2)
    assert list(dict.fromkeys(report.frame for report in windows)) == [2, 0, 1, 3]
    stack = ImageStack.from_array(cells.images)
    expected = product_of(Segmenter.from_checkpoint(tiny_model.path, "cpu").predict(stack))
    np.testing.assert_array_equal(np.asarray(session.result.data), expected)
    assert set(session.objects.table.frame.tolist()) == {0, 1, 2, 3}


def test_preview_is_taken_back_if_no_tokens_replace_it(panel, session, qtbot):
    segmented(panel, session, qtbot)
    images, result = session.path_of(session.image), session.path_of(session.result)
    before = np.asarray(session.result.data)
    ids = np.asarray(session.objects.layer.data)
    view = View(frame=1, rows=(0, 96), cols=(0, 64))
    run = tasks.segment(images, result, panel.settings, None, view)
    while next(run) != Previewed(1):
        pass
    shown = zarr.open_array(result, mode="r")
    assert not np.array_equal(shown[1], before[1])
    run.close()
    np.testing.assert_array_equal(shown[:], before)
    np.testing.assert_array_equal(np.asarray(session.objects.layer.data), ids)


def test_model_is_loaded_when_panels_are_shown_and_when_another_is_chosen(
    panel, session, tiny_model, qtbot, tmp_path
):
    other = replace(tiny_model, path=tmp_path / "other.safetensors")
    save_checkpoint(other, load_checkpoint(tiny_model.path).weights)
    loaded._loaded.clear()
    session.model = other  # nobody sees the panels yet
    assert session.inference._warming is None
    session.shown.emit()
    qtbot.waitUntil(lambda: [path for path, *_ in loaded._loaded] == [other.path])
    session.model = tiny_model
    qtbot.waitUntil(lambda: [path for path, *_ in loaded._loaded] == [tiny_model.path])
    (model,) = loaded._loaded.values()
    segmented(panel, session, qtbot)
    assert list(loaded._loaded.values()) == [model]


def test_model_that_cannot_be_loaded_is_told_only_when_it_is_used(
    panel, session, tiny_model, qtbot, tmp_path
):
    session.shown.emit()
    session.model = replace(tiny_model, path=tmp_path / "gone.safetensors")
    qtbot.waitUntil(lambda: session.inference._warming is None)
    assert not panel.status.text()


def layer(corners: list, **changes: object) -> SimpleNamespace:
    shown = {"corner_pixels": np.array(corners), "multiscale": False, "ndim": 3, **changes}
    return SimpleNamespace(data=np.zeros((5, 100, 200)), rgb=False, **shown)


@pytest.mark.parametrize(
    ("corners", "part"),
    [
        ([[2, 10, 20], [2, 59, 119]], ((10, 60), (20, 120))),
        ([[0, -3, 0], [0, 400, 199]], ((0, 100), (0, 200))),
        ([[0, 0, 0], [0, 0, 0]], ((0, 100), (0, 200))),  # before anything is drawn
    ],
)
def test_visible_part_is_that_in_the_canvas(viewer, monkeypatch, corners, part):
    monkeypatch.setattr("napari_rleseg.layers.stack_shape", lambda layer: layer.data.shape)
    dims = SimpleNamespace(displayed=(1, 2), ndim=3)
    assert visible_part(SimpleNamespace(dims=dims), layer(corners)) == part
    turned = SimpleNamespace(displayed=(0, 2), ndim=3)
    assert visible_part(SimpleNamespace(dims=turned), layer(corners)) == ((0, 100), (0, 200))
