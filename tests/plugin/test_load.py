from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import tifffile
from napari.layers import Image, Labels
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMessageBox

from napari_rleseg.layers import class_names_of, notes
from napari_rleseg.widgets.load import LoadWidget
from rleseg_core.data import ImageStack
from rleseg_core.data.metadata import StackMetadata
from rleseg_core.data.writers import write_labels

pytestmark = pytest.mark.gui


@pytest.fixture
def load(session, qtbot) -> LoadWidget:
    widget = LoadWidget(session)
    qtbot.addWidget(widget)
    return widget


def wait_for(qtbot, load: LoadWidget, start, *args) -> None:
    with qtbot.waitSignal(load.loaded):
        start(*args)


def test_sample_shows_images_and_hides_the_truth(load, session, qtbot):
    with qtbot.waitSignal(load.loaded):
        load.sample.click()
    image, truth = session.viewer.layers
    assert isinstance(image, Image)
    assert isinstance(truth, Labels)
    assert session.image is image
    assert not truth.visible
    assert class_names_of(truth) == ("ipsc", "dfc")
    assert "12 frames of 256 × 256, uint8" in load.info.text()
    assert load.busy.isHidden()
    assert session.model is not None
    assert session.model.path.stem == "demo-objects"  # the model that knows these classes


def test_sample_leaves_a_model_of_its_classes_chosen(load, session, qtbot, tiny_model):
    session.model = tiny_model
    wait_for(qtbot, load, load.open_sample)
    assert session.model is tiny_model


def test_tiff_is_opened_lazily_with_its_scale(load, session, qtbot, tmp_path):
    frames = np.arange(3 * 20 * 30, dtype=np.uint16).reshape(3, 20, 30)
    tifffile.imwrite(tmp_path / "a.tif", frames, photometric="minisblack")
    load.pixel_size.setValue(0.25)
    wait_for(qtbot, load, load.open_images, tmp_path / "a.tif")
    (layer,) = session.viewer.layers
    assert isinstance(layer.data, da.Array)
    np.testing.assert_array_equal(np.asarray(layer.data), frames)
    assert tuple(layer.scale) == (1, 0.25, 0.25)
    assert session.path_of(layer) == tmp_path / "a.tif"
    assert session.viewer.dims.current_step[0] == 0


def test_images_and_masks_stand_where_their_files_say(load, session, qtbot, tmp_path):
    frames = np.arange(2 * 20 * 30, dtype=np.uint16).reshape(2, 20, 30)
    known = StackMetadata(
        pixel_size=(0.65, 0.5),
        unit="micrometer",
        origin=(10.0, -20.0),
        frame_interval=300.0,
        class_names=("ipsc", "dfc"),
        class_colours=("#ff0000", "#00ff80"),
    )
    write_labels(tmp_path / "images.ome.tif", frames, metadata=known.calibration)
    write_labels(tmp_path / "masks.ome.tif", (frames % 3).astype(np.uint8), metadata=known)
    wait_for(qtbot, load, load.open_images, tmp_path / "images.ome.tif")
    wait_for(qtbot, load, load.open_masks, tmp_path / "masks.ome.tif")
    image, masks = session.viewer.layers
    for layer in (image, masks):
        np.testing.assert_allclose(layer.scale, (300, 0.65, 0.5))
        np.testing.assert_allclose(layer.translate, (0, 10, -20))
        assert [str(unit) for unit in layer.units] == ["second", "micrometer", "micrometer"]
    assert class_names_of(masks) == ("ipsc", "dfc")
    np.testing.assert_allclose(masks.get_color(1), (1, 0, 0, 1))


def test_instance_masks_become_one_class(load, session, qtbot, tmp_path):
    ids = np.zeros((2, 20, 30), np.uint16)
    ids[:, 2:5, 3:9] = 41
    tifffile.imwrite(tmp_path / "ids.tif", ids, photometric="minisblack")
    wait_for(qtbot, load, load.open_masks, tmp_path / "ids.tif")
    (layer,) = session.viewer.layers
    assert class_names_of(layer) == ("cell",)
    np.testing.assert_array_equal(np.asarray(layer.data), ids > 0)
    assert "0 → background, 1 id → objects of cell" in load.info.text()


def test_class_masks_take_the_names_that_were_typed(load, session, qtbot, tmp_path):
    classes = np.zeros((2, 20, 30), np.uint8)
    classes[0, 2:5, 3:9] = 2
    tifffile.imwrite(tmp_path / "classes.tif", classes, photometric="minisblack")
    load.class_names.setText("ipsc, dfc")
    wait_for(qtbot, load, load.open_masks, tmp_path / "classes.tif")
    (layer,) = session.viewer.layers
    assert class_names_of(layer) == ("ipsc", "dfc")
    assert list(layer.features["class"]) == ["background", "ipsc", "dfc"]


def test_missing_file_is_told_in_the_panel(load, session, qtbot):
    with qtbot.waitSignal(session.reading.stopped):
        load.open_images(Path("no-such-file.tif"))
    assert "no-such-file.tif" in load.info.text()
    assert not session.viewer.layers


def open_masks(load, session, qtbot, path, labels):
    tifffile.imwrite(path, labels, photometric="minisblack")
    wait_for(qtbot, load, load.open_masks, path)
    return session.viewer.layers[-1]


def test_how_numbers_are_read_is_told(load, session, qtbot, tmp_path):
    grey = np.zeros((2, 20, 30), np.uint8)
    grey[1, 2:5, 3:9] = 255  # the first frame alone would not tell
    layer = open_masks(load, session, qtbot, tmp_path / "grey.tif", grey)
    assert "0 → background, 255 → cell" in load.info.text()
    np.testing.assert_array_equal(np.asarray(layer.data), grey > 0)
    assert class_names_of(layer) == ("cell",)


def test_noted_names_are_matched(load, session, qtbot, tmp_path):
    classes = np.zeros((2, 20, 30), np.uint8)
    classes[0, 2:5, 3:9] = 2
    write_labels(tmp_path / "named.tif", classes, ("dfc", "ipsc"))
    load.class_names.setText("ipsc, dfc")
    wait_for(qtbot, load, load.open_masks, tmp_path / "named.tif")
    (layer,) = session.viewer.layers
    assert class_names_of(layer) == ("ipsc", "dfc")
    np.testing.assert_array_equal(np.asarray(layer.data), classes > 0)
    load.class_names.setText("ipsc, other")
    with qtbot.waitSignal(session.reading.stopped):
        load.open_masks(tmp_path / "named.tif")
    assert "use the names that it notes, in any order" in load.info.text()
    assert "--" not in load.info.text()  # there are no options here


def answer(qtbot, load, text):
    """Press a button of the question that is open."""
    (question,) = load.findChildren(QMessageBox)
    (button,) = [one for one in question.buttons() if one.text().replace("&", "") == text]
    with qtbot.waitSignal(load.loaded):
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_a_mark_beside_ids_is_asked_for(load, session, qtbot, tmp_path):
    classes = np.zeros((2, 20, 30), np.uint8)
    classes[0, 2:5, 3:9] = 1
    classes[1, 10:] = 255
    tifffile.imwrite(tmp_path / "void.tif", classes, photometric="minisblack")
    with qtbot.waitSignal(session.reading.stopped):
        load.open_masks(tmp_path / "void.tif")
    assert not session.viewer.layers
    assert "if 255 marks pixels that do not count, say so;" in load.info.text()
    answer(qtbot, load, "Ignore 255")
    (layer,) = session.viewer.layers
    assert "255 → ignored" in load.info.text()
    np.testing.assert_array_equal(np.asarray(layer.data), classes)
    assert notes(layer)["ignores"]


def test_another_background_is_asked_for(load, session, qtbot, tmp_path):
    ids = np.full((2, 20, 30), -1, np.int32)
    ids[:, 2:5, 3:9] = 41
    tifffile.imwrite(tmp_path / "neg.tif", ids, photometric="minisblack")
    with qtbot.waitSignal(session.reading.stopped):
        load.open_masks(tmp_path / "neg.tif")
    answer(qtbot, load, "-1 is background")
    (layer,) = session.viewer.layers
    np.testing.assert_array_equal(np.asarray(layer.data), ids > 0)


def test_fractions_are_told(load, session, qtbot, tmp_path):
    labels = np.zeros((2, 20, 30), np.float32)
    labels[1, 3, 4] = 0.5
    tifffile.imwrite(tmp_path / "f.tif", labels, photometric="minisblack")
    with qtbot.waitSignal(session.reading.stopped):
        load.open_masks(tmp_path / "f.tif")
    assert "whole numbers" in load.info.text()


def offered(qtbot, load: LoadWidget, path) -> None:
    load.open_images(path)
    qtbot.waitUntil(lambda: not load.parts.isHidden())


def test_file_without_a_choice_shows_no_choosers(load, session, qtbot, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((2, 20, 30), np.uint8), photometric="minisblack")
    wait_for(qtbot, load, load.open_images, tmp_path / "a.tif")
    assert load.parts.isHidden()


def test_image_and_channel_of_a_file_are_chosen(load, session, qtbot, tmp_path):
    path = tmp_path / "a.ome.tif"
    data = np.random.default_rng(0).integers(0, 200, (3, 2, 20, 30), np.uint8)
    names = {"axes": "TCYX", "Channel": {"Name": ["phase", "GFP"]}}
    with tifffile.TiffWriter(path, ome=True) as tiff:
        for index in range(2):
            tiff.write(
                data + index, photometric="minisblack", metadata={**names, "Name": f"pos{index}"}
            )
    offered(qtbot, load, path)
    assert not session.viewer.layers
    parts = load.parts
    assert "pos1" in parts.series.itemText(1)
    parts.series.setCurrentIndex(1)
    assert [parts.channel.itemText(k) for k in range(2)] == ["0 phase", "1 GFP"]
    assert parts.plane.count() == 0
    parts.channel.setCurrentIndex(1)
    wait_for(qtbot, load, parts.open.click)
    (layer,) = session.viewer.layers
    np.testing.assert_array_equal(np.asarray(layer.data), data[:, 1] + 1)
    assert parts.isHidden()
    # a path alone would not tell which part: jobs read what is shown, from the session
    assert session.path_of(layer) is None
    kept = []
    session.when_on_disk(layer, kept.append)
    qtbot.waitUntil(lambda: bool(kept))
    np.testing.assert_array_equal(ImageStack.open(kept[0]).data[..., 0].compute(), layer.data)


@pytest.mark.parametrize(("choice", "expected"), [(0, "max"), (1, 0), (3, 2)])
def test_plane_of_a_z_stack_is_chosen(load, session, qtbot, tmp_path, choice, expected):
    data = np.random.default_rng(0).integers(0, 200, (2, 3, 20, 30), np.uint8)
    tifffile.imwrite(tmp_path / "z.tif", data, imagej=True, metadata={"axes": "TZYX"})
    offered(qtbot, load, tmp_path / "z.tif")
    load.parts.plane.setCurrentIndex(choice)
    wait_for(qtbot, load, load.parts.open.click)
    (layer,) = session.viewer.layers
    shown = data.max(axis=1) if expected == "max" else data[:, expected]
    np.testing.assert_array_equal(np.asarray(layer.data), shown)


def test_axes_that_are_not_named_are_asked_for(load, session, qtbot, tmp_path):
    data = np.random.default_rng(0).integers(0, 200, (2, 5, 20, 30), np.uint8)
    np.save(tmp_path / "a.npy", data)
    offered(qtbot, load, tmp_path / "a.npy")
    load.parts.axes.setText("CTYX")
    load.parts.open.click()
    qtbot.waitUntil(lambda: load.parts.channel.count() == 2)  # the axes tell what there is
    load.parts.channel.setCurrentIndex(1)
    wait_for(qtbot, load, load.parts.open.click)
    np.testing.assert_array_equal(np.asarray(session.viewer.layers[0].data), data[1])


def test_what_is_assumed_is_said_in_the_panel(load, session, qtbot, tmp_path):
    with pytest.warns(DeprecationWarning, match="photometric"):
        tifffile.imwrite(tmp_path / "four.tif", np.zeros((4, 20, 30), np.uint8))
    wait_for(qtbot, load, load.open_images, tmp_path / "four.tif")
    assert session.viewer.layers[0].data.shape == (4, 20, 30)
    assert not session.viewer.layers[0].rgb
    assert "marked as colour" in load.info.text()


def test_masks_of_three_frames_as_napari_saves_them_are_shown(load, session, qtbot, tmp_path):
    ids = np.zeros((3, 20, 30), np.uint8)
    ids[1, 3:6, 4:8] = 1
    with pytest.warns(DeprecationWarning, match="photometric"):
        tifffile.imwrite(tmp_path / "ids.tif", ids)
    wait_for(qtbot, load, load.open_masks, tmp_path / "ids.tif")
    np.testing.assert_array_equal(np.asarray(session.viewer.layers[0].data), ids)


def test_missing_part_is_said_in_the_panel(load, session, qtbot, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("napari_rleseg.widgets.load.show_failure", lambda *text: said.append(text))
    for index in (0, 2):
        tifffile.imwrite(tmp_path / f"t{index}.tif", np.zeros((20, 30), np.uint8))
    (tmp_path / "t1.tif").symlink_to("/nonexistent/t1.tif")
    load.open_images(tmp_path)
    qtbot.waitUntil(lambda: bool(said))
    assert "t1.tif is no image: it is a link" in load.info.text()
    assert not session.viewer.layers
