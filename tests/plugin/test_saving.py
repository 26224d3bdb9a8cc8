"""What a save from napari may write over: through the real writer, and the real dialog."""

import napari
import numpy as np
import pytest
import tifffile
from napari.components import LayerList
from napari.layers._source import layer_source
from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_rleseg.io import write_masks
from napari_rleseg.kept import file_notes
from napari_rleseg.layers import show_image
from rleseg_core.data import ImageStack, LabelStack
from rleseg_core.data.formats.zarr_writing import create_stack
from rleseg_core.data.writers import write_labels
from rleseg_core.errors import OutputError

MASKS = np.zeros((2, 20, 30), np.uint8)
MASKS[1, 3:6, 4:9] = 2


def save(layer, path):
    data, attributes, _ = layer.as_layer_data_tuple()
    return write_masks(str(path), data, attributes)


def _save_layers_dialog(layer, filename, path=None):
    """A save after napari's dialog has asked about `filename`."""
    return save(layer, path or filename)


@pytest.fixture
def labels(viewer, monkeypatch):
    monkeypatch.setattr(napari, "current_viewer", lambda: viewer)
    return viewer.add_labels(MASKS, name="masks")


@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
def test_masks_that_exist_are_replaced_once_the_dialog_has_asked(labels, tmp_path, suffix):
    target = write_labels(tmp_path / f"masks{suffix}", MASKS + 1)
    with pytest.raises(OutputError, match=r"exists already; .* File > Save Selected"):
        save(labels, target)
    assert LabelStack.open(target).frame(0).all()
    assert _save_layers_dialog(labels, str(target)) == [str(target)]
    np.testing.assert_array_equal(LabelStack.open(target).data, MASKS)
    assert [path.name for path in tmp_path.iterdir() if path.name != "data"] == [target.name]


@pytest.mark.parametrize("wanted", [True, False])
def test_name_that_the_dialog_did_not_know_is_asked_about(labels, tmp_path, monkeypatch, wanted):
    target = write_labels(tmp_path / "masks.tif", MASKS + 1)
    button = QMessageBox.StandardButton
    asked = []
    monkeypatch.setattr(
        QMessageBox,
        "question",
        lambda *words: asked.append(words) or (button.Yes if wanted else button.No),
    )
    name = str(tmp_path / "masks")  # napari appends the suffix
    if wanted:
        _save_layers_dialog(labels, name, target)
    else:
        with pytest.raises(OutputError, match="was not replaced"):
            _save_layers_dialog(labels, name, target)
    assert len(asked) == 1
    assert LabelStack.open(target).frame(0).any() != wanted


def test_images_of_the_viewer_are_never_replaced(labels, viewer, tmp_path):
    path = tmp_path / "images.tif"
    tifffile.imwrite(path, np.ones((2, 20, 30), np.uint8))
    before = path.read_bytes()
    image = viewer.add_image(np.ones((2, 20, 30)), metadata={"napari_rleseg": {"path": str(path)}})
    with pytest.raises(OutputError, match="is the input"):
        _save_layers_dialog(labels, str(path))
    image.metadata = {}
    viewer.layers.remove(image)
    with layer_source(path=str(path), reader_plugin="napari"):  # as if it was opened by napari
        viewer.add_image(np.ones((2, 20, 30)))
    with pytest.raises(OutputError, match="is the input"):
        _save_layers_dialog(labels, str(path))
    assert path.read_bytes() == before


def test_masks_are_not_saved_among_the_frames_that_are_shown(labels, viewer, tmp_path):
    frames = tmp_path / "frames"
    frames.mkdir()
    tifffile.imwrite(frames / "t0.tif", np.ones((20, 30), np.uint8))
    viewer.add_image(np.ones((20, 30)), metadata={"napari_rleseg": {"path": str(frames)}})
    with pytest.raises(OutputError, match="lies inside the input"):
        save(labels, frames / "masks.tif")
    assert [path.name for path in frames.iterdir()] == ["t0.tif"]


def test_masks_that_are_shown_from_disk_and_sessions_stay(labels, viewer, tmp_path):
    shown = tmp_path / "cells.rleseg" / "segmentation.zarr"
    data = create_stack(shown, MASKS.shape, MASKS.dtype, {"class_names": []})
    notes = {"path": str(shown), "session": str(shown.parent)}
    viewer.add_labels(data, metadata={"napari_rleseg": notes})
    for target in (shown, shown.parent / "masks.tif"):
        with pytest.raises(OutputError, match=r"is the input|lies inside the input"):
            _save_layers_dialog(labels, str(target))
    assert [path.name for path in shown.parent.iterdir()] == [shown.name]


def test_folder_of_others_is_not_wiped(labels, tmp_path):
    folder = tmp_path / "lab.zarr"
    folder.mkdir()
    (folder / "notes.txt").write_text("precious")
    with pytest.raises(OutputError, match="stays as it is"):
        _save_layers_dialog(labels, str(folder))
    assert (folder / "notes.txt").read_text() == "precious"


@pytest.mark.gui
def test_dialog_of_napari_is_the_one_that_asks(make_napari_viewer, tmp_path, monkeypatch):
    viewer = make_napari_viewer()
    layer = viewer.add_labels(MASKS, name="masks")
    target = write_labels(tmp_path / "masks.tif", MASKS + 1)
    monkeypatch.setattr(LayerList, "save", lambda _, filename, **__: save(layer, filename))
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (str(target), ""))
    monkeypatch.setattr(QMessageBox, "question", lambda *_: pytest.fail("asked twice"))
    viewer.window._qt_viewer._save_layers_dialog(selected=True)
    np.testing.assert_array_equal(LabelStack.open(target).data, MASKS)


def test_file_of_which_a_part_is_shown_is_never_replaced(labels, viewer, tmp_path):
    path = tmp_path / "channels.ome.tif"
    pixels = np.ones((2, 2, 20, 30), np.uint8)
    tifffile.imwrite(path, pixels, photometric="minisblack", metadata={"axes": "TCYX"})
    before = path.read_bytes()
    image = show_image(viewer, ImageStack.open(path, channel=1))
    with pytest.raises(OutputError, match="is the input"):
        _save_layers_dialog(labels, str(path))
    image.metadata["napari_rleseg"] |= file_notes(image.data, tmp_path / "images.zarr")
    with pytest.raises(OutputError, match="is the input"):  # also once the part was written
        _save_layers_dialog(labels, str(path))
    assert path.read_bytes() == before
