from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import tifffile
from napari.layers import Image, Labels

from napari_rleseg.layers import class_names_of
from napari_rleseg.widgets.load import LoadWidget

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
    assert session.model.path.stem == "demo"  # the model that knows these classes


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


def test_instance_masks_become_one_class(load, session, qtbot, tmp_path):
    ids = np.zeros((2, 20, 30), np.uint16)
    ids[:, 2:5, 3:9] = 41
    tifffile.imwrite(tmp_path / "ids.tif", ids, photometric="minisblack")
    wait_for(qtbot, load, load.open_masks, tmp_path / "ids.tif")
    (layer,) = session.viewer.layers
    assert class_names_of(layer) == ("cell",)
    np.testing.assert_array_equal(np.asarray(layer.data), ids > 0)
    assert "41 instances" in load.info.text()


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
