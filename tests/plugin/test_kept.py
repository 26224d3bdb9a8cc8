"""A layer is read from its file only while it shows what is in there."""

import numpy as np
import pytest
import tifffile
from napari.layers._layer_actions import _duplicate_layer, _project, _split_stack

from napari_rleseg import tasks
from napari_rleseg.layers import notes, show_image
from napari_rleseg.widgets.segment import SegmentWidget
from rleseg_core.data import ImageStack

pytestmark = pytest.mark.gui


@pytest.fixture
def layer(session, tmp_path):
    """An image layer of a file, the session's image."""
    path = tmp_path / "images.tif"
    pixels = np.random.default_rng(0).integers(0, 99, (4, 32, 48), np.uint8)
    tifffile.imwrite(path, pixels, photometric="minisblack")
    session.image = show_image(session.viewer, ImageStack.open(path))
    return session.image


def projected(layers, layer):
    _project(layers, axis=0, mode="max")
    return layers[-1]


def split(layers, layer):
    _split_stack(layers, axis=0)
    return layers[-1]


def duplicated(layers, layer):
    _duplicate_layer(layers)
    copy = next(other for other in layers if other is not layer)
    copy.data = np.asarray(copy.data) // 2
    return copy


def filtered(layers, layer):
    layer.data = 99 - np.asarray(layer.data)
    return layer


@pytest.mark.parametrize("change", [projected, split, duplicated, filtered])
def test_what_was_made_of_a_layer_is_not_read_from_its_file(
    session, layer, change, qtbot, tiny_model
):
    assert session.path_of(layer) == ImageStack.open(notes(layer)["path"]).path
    notes(layer)["session"] = str(session.folder.with_name("earlier.rleseg"))
    session.viewer.layers.selection = {layer}
    changed = change(session.viewer.layers, layer)
    assert session.path_of(changed) is None

    panel = SegmentWidget(session)
    qtbot.addWidget(panel)
    session.model, session.image = tiny_model, changed
    if changed is not layer:
        assert session.folder.name != "earlier.rleseg"
    with qtbot.waitSignal(panel.segmentation.stopped) as stopped:
        panel.segmentation.start(tiny_model, tasks.SegmentSettings(model=tiny_model.path))
    assert stopped.args == ["finished"]
    seen = ImageStack.open(session.path_of(changed)).data[..., 0]
    shown = np.asarray(changed.data)
    np.testing.assert_array_equal(np.asarray(seen).reshape(shown.shape), shown)
    assert session.result.data.shape[-2:] == shown.shape[-2:]
