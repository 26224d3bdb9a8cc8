import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import zarr

from napari_rleseg.io import read_session, write_masks
from napari_rleseg.layers import class_names_of, current_frame, labels_attributes
from napari_rleseg.widgets.load import LoadWidget
from napari_rleseg.widgets.segment import CURRENT, RANGE, SegmentWidget
from rleseg_core.checkpoints import load_checkpoint, save_checkpoint
from rleseg_core.corrections import CorrectionLog
from rleseg_core.data import ImageStack, LabelStack
from rleseg_core.data.formats.zarr_writing import open_written
from rleseg_core.data.writers import write_labels
from rleseg_core.inference import Segmenter

pytestmark = pytest.mark.gui


def finish(panel: SegmentWidget, qtbot) -> str:
    with qtbot.waitSignal(panel.segmentation.stopped) as how:
        panel.button.click()
    return how.args[0]


def test_masks_are_those_of_the_segmenter(panel, session, cells, tiny_model, qtbot):
    assert finish(panel, qtbot) == "finished"
    run = Segmenter.from_checkpoint(tiny_model.path, "cpu").predict(
        ImageStack.from_array(cells.images)
    )
    while True:
        try:
            next(run)
        except StopIteration as end:
            expected = end.value
            break
    assert expected.any()
    np.testing.assert_array_equal(np.asarray(session.result.data), expected)


def test_result_is_a_zarr_layer_with_class_names_and_the_images_scale(panel, session, qtbot):
    finish(panel, qtbot)
    layer = session.result
    assert isinstance(layer.data, zarr.Array)
    assert layer.data.chunks == (1, 96, 64)
    assert class_names_of(layer) == ("ipsc", "dfc")
    assert tuple(layer.scale) == (1, 0.5, 0.5)
    assert layer.editable
    assert layer.data.attrs["rleseg"]["provenance"]["model"] == "tiny"


def test_frames_are_found_wherever_the_images_begin(panel, session, cells, tiny_model, qtbot):
    place = {"scale": (300, 0.65, 0.5), "translate": (60, 10, -20), "units": ("second", "um", "um")}
    session.viewer.layers.clear()
    session.image = session.viewer.add_image(cells.images, name="calibrated", **place)
    panel.image.layer = session.image
    session.viewer.dims.set_current_step(0, 2)
    panel.frames.setCurrentText(CURRENT)
    assert panel.chosen_frames() == [2]
    assert finish(panel, qtbot) == "finished"
    layer = session.result
    assert [bool(np.any(layer.data[frame])) for frame in range(4)] == [False, False, True, False]
    assert (tuple(layer.scale), tuple(layer.translate)) == (place["scale"], place["translate"])
    assert layer.units == session.image.units
    assert session.viewer.dims.current_step[0] == 2


def test_saved_result_says_which_file_made_it(panel, session, tiny_model, qtbot, tmp_path):
    finish(panel, qtbot)
    data, attributes, _ = session.result.as_layer_data_tuple()
    write_masks(str(tmp_path / "masks.tif"), data, attributes)
    made = LabelStack.open(tmp_path / "masks.tif").metadata.provenance
    assert made["model"] == "tiny"
    assert made["model_sha256"] == tiny_model.file_hash()
    assert "windows segmented" in panel.status.text()


def test_what_is_painted_on_the_result_is_on_the_disk(panel, session, qtbot):
    finish(panel, qtbot)
    layer = session.result
    layer.data_setitem((np.array([1]), np.array([2]), np.array([3])), 2)
    kept = zarr.open_array(session.path_of(layer), mode="r")
    assert kept[1, 2, 3] == 2


def test_panel_shows_to_which_size_frames_are_resized(panel, session, tiny_model, tmp_path):
    assert not panel.scale.text()
    panel.advanced.image_size.setValue(48)
    assert panel.scale.text().startswith("Frames of 64 × 96 pixels are resized to 32 × 48;")
    panel.advanced.image_size.setValue(96)
    assert not panel.scale.text()
    panel.advanced.image_size.setValue(0)
    small = replace(tiny_model.window_spec, image_size=24)
    other = replace(tiny_model, path=tmp_path / "other.safetensors", window_spec=small)
    save_checkpoint(other, load_checkpoint(tiny_model.path).weights)
    session.model = other
    assert "to 16 × 24" in panel.scale.text()


@pytest.mark.parametrize(("choice", "frames"), [(CURRENT, [2]), (RANGE, [1, 2])])
def test_only_chosen_frames_are_segmented(panel, session, qtbot, choice, frames):
    session.viewer.dims.set_current_step(0, 2)
    panel.frames.setCurrentText(choice)
    panel.first.setValue(1)
    panel.last.setValue(2)
    finish(panel, qtbot)
    masks = np.asarray(session.result.data)
    assert [frame for frame in range(4) if masks[frame].any()] == frames


def test_image_size_gives_more_windows(panel, qtbot):
    finish(panel, qtbot)
    usual = panel.status.text()
    panel.advanced.image_size.setValue(192)
    finish(panel, qtbot)
    assert int(panel.status.text().split()[0]) > int(usual.split()[0])


def test_masks_from_outside_the_session_are_never_written_over(panel, session, qtbot, tmp_path):
    """They have the shape and the classes of a result, but they are somebody else's file."""
    finish(panel, qtbot)
    own = session.result
    path = write_labels(
        tmp_path / "foreign.zarr", np.full(own.data.shape, 2, np.uint8), ("ipsc", "dfc")
    )
    foreign, _ = open_written(path, "r+")
    session.result = session.viewer.add_labels(foreign, **labels_attributes(("ipsc", "dfc"), path))
    theirs = session.result
    assert finish(panel, qtbot) == "finished"
    assert session.result not in (own, theirs)
    assert (foreign[:] == 2).all()


def test_same_layer_is_used_again_until_it_is_corrected(panel, session, qtbot):
    finish(panel, qtbot)
    first = session.result
    finish(panel, qtbot)
    assert session.result is first
    masks = np.asarray(first.data[:])
    session.corrections = CorrectionLog.create(
        session.new_path("corrections"), masks, class_names=("ipsc", "dfc")
    )
    panel.advanced.image_size.setValue(192)  # other masks
    finish(panel, qtbot)
    assert session.result is not first
    np.testing.assert_array_equal(first.data[:], masks)


def test_cancel_keeps_what_is_done_and_the_panel_works_again(panel, session, cells, qtbot):
    long = np.tile(cells.images, (10, 2, 2))
    session.image = session.viewer.add_image(long, name="long")
    panel.image.layer = session.image
    visible = current_frame(session.viewer, session.image)
    with qtbot.waitSignal(panel.segmentation.progressed):
        panel.button.click()
    assert panel.button.text() == "Cancel"
    with qtbot.waitSignal(panel.segmentation.stopped) as how:
        panel.button.click()
        assert panel.button.text() == "Cancelling…"
    assert how.args == ["cancelled"]
    assert panel.button.text() == "Segment"
    assert session.result.editable
    assert np.asarray(session.result.data[visible]).any()
    assert not np.asarray(session.result.data[-1]).any()
    panel.frames.setCurrentText(CURRENT)
    assert finish(panel, qtbot) == "finished"


@pytest.mark.processes
def test_killed_process_is_told_once_and_the_next_run_works(panel, session, cells, qtbot):
    long = np.tile(cells.images, (10, 2, 2))
    session.image = session.viewer.add_image(long, name="long")
    panel.image.layer = session.image
    with qtbot.waitSignal(panel.segmentation.progressed):
        panel.button.click()
    with (
        qtbot.captureExceptions() as raised,
        qtbot.waitSignal(panel.segmentation.stopped) as how,
    ):
        os.kill(session.inference._child.process.pid, signal.SIGKILL)
    assert how.args == ["failed"]
    assert not raised
    panel.frames.setCurrentText(CURRENT)
    assert finish(panel, qtbot) == "finished"


def test_damaged_model_leaves_the_panel_ready(panel, session, tiny_model, qtbot, tmp_path):
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(tiny_model.path.read_bytes()[:2000])
    session.model = replace(tiny_model, path=bad)
    assert finish(panel, qtbot) == "failed"
    assert panel.button.text() == "Segment"


def test_session_can_be_opened_again(panel, session, cells, qtbot):
    finish(panel, qtbot)
    images, masks, objects = read_session(str(session.folder))
    np.testing.assert_array_equal(np.asarray(images[0]), cells.images)
    np.testing.assert_array_equal(np.asarray(masks[0]), np.asarray(session.result.data))
    assert masks[1]["features"]["class"] == ["background", "ipsc", "dfc"]
    np.testing.assert_array_equal(np.asarray(objects[0]), np.asarray(session.objects.layer.data))
    assert objects[1]["features"]["index"].tolist() == session.objects.table.id.tolist()


def test_opened_session_has_the_image_size_it_was_segmented_at(panel, session, tiny_model, qtbot):
    panel.advanced.image_size.setValue(48)
    finish(panel, qtbot)
    panel.advanced.image_size.setValue(0)
    load = LoadWidget(session)
    qtbot.addWidget(load)
    with qtbot.waitSignal(load.loaded):
        load.open_session(session.folder)
    assert session.image_size == panel.advanced.image_size.value() == 48
    assert session.model is tiny_model
    assert "simulated" not in load.info.text()


def test_viewer_follows_the_frames_until_the_user_moves(panel, session, qtbot):
    finish(panel, qtbot)
    assert session.viewer.dims.current_step[0] == 3
    session.viewer.dims.set_current_step(0, 0)
    panel.follow_box.setChecked(False)
    finish(panel, qtbot)
    assert session.viewer.dims.current_step[0] == 0
