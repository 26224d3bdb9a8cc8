"""The same picture gives the same masks in the viewer; inversion, and contrasts of one's own."""

import numpy as np
import pytest
import tifffile
import zarr
from napari.layers import Image

from napari_rleseg.session import Session
from napari_rleseg.tasks import SegmentSettings, segment
from napari_rleseg.widgets.greys import GreyValues
from napari_rleseg.widgets.segment import SegmentWidget
from rleseg_core.checkpoints import find_model, read_info
from rleseg_core.data import SyntheticConfig, synthesize
from rleseg_core.data.formats.zarr_writing import create_stack
from rleseg_core.normalisation import GreyChoice

GREY = synthesize(SyntheticConfig(n_frames=1, size=(128, 128), seed=3)).images


@pytest.fixture
def panel(qtbot, viewer):
    session = Session.of(viewer)
    session.model = read_info(find_model("demo"))
    panel = GreyValues(session)
    qtbot.addWidget(panel)
    yield panel, session
    session.close()


def masks_of(path, folder, **greys):
    """Masks that the job of the Segment tab writes for a file."""
    target = folder / f"{len(list(folder.iterdir()))}.zarr"
    create_stack(target, (1, 128, 128), np.dtype(np.uint8))
    settings = SegmentSettings(
        model=find_model("demo"), device="cpu", image_size=128, greys=GreyChoice(**greys)
    )
    list(segment(path, target, settings))
    return np.asarray(zarr.open_array(target)[:])


def test_job_gives_the_same_masks_for_the_same_picture(tmp_path):
    pictures = {
        "u8": GREY,
        "u16": GREY.astype(np.uint16) * 200,
        "f32": GREY.astype(np.float32) / 255,
        "dark": 255 - GREY,
        "i16": GREY.astype(np.int16) - 300,
    }
    for name, images in pictures.items():
        tifffile.imwrite(tmp_path / f"{name}.tif", images, photometric="minisblack")
    both = np.stack([np.full_like(GREY, 3), GREY], 1)
    tifffile.imwrite(tmp_path / "two.tif", both, imagej=True, metadata={"axes": "TCYX"})
    clean = masks_of(tmp_path / "u8.tif", tmp_path)
    assert clean.any()
    for name in ("u16", "f32", "i16"):
        np.testing.assert_array_equal(masks_of(tmp_path / f"{name}.tif", tmp_path), clean)
    np.testing.assert_array_equal(masks_of(tmp_path / "dark.tif", tmp_path, invert=True), clean)
    with pytest.warns(match="channel 1 is read"):
        np.testing.assert_array_equal(masks_of(tmp_path / "two.tif", tmp_path), clean)


def test_choice_goes_to_the_session(panel):
    box, session = panel
    specs = []
    session.window_spec_changed.connect(specs.append)
    assert "own contrast" in box.explanation.text()
    box.invert.setChecked(True)
    assert session.greys == GreyChoice(invert=True)
    assert specs[-1].normalisation.invert
    box.invert.setChecked(False)
    assert not session.window_spec.normalisation.invert


def test_displayed_contrast_is_taken_when_asked_for(panel):
    box, session = panel
    layer = Image(GREY, contrast_limits=(90, 140))
    session.viewer.layers.append(layer)
    session.image = layer
    before = session.window_spec
    layer.contrast_limits = (95, 130)  # looking at images changes no masks
    assert session.window_spec == before
    box.fixed.setChecked(True)
    assert session.window_spec.normalisation.contrast == (95, 130)
    assert "95 to 130" in box.explanation.text()
    layer.contrast_limits = (100, 120)
    assert session.window_spec.normalisation.contrast == (95, 130)
    box.take.click()
    assert session.window_spec.normalisation.contrast == (100, 120)
    box.fixed.setChecked(False)
    assert session.window_spec == before


def test_another_model_brings_its_own(panel, tiny_model):
    box, session = panel
    box.invert.setChecked(True)
    session.model = tiny_model
    assert session.greys == GreyChoice()
    assert not box.invert.isChecked()


def test_the_segment_tab_passes_it_on(qtbot, viewer):
    session = Session.of(viewer)
    widget = SegmentWidget(session)
    qtbot.addWidget(widget)
    widget.greys.invert.setChecked(True)
    assert widget.settings.greys.invert
    session.close()


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (
            {"invert": True, "contrast": [3, 40], "stitch": "vote"},
            GreyChoice(invert=True, contrast=(3, 40)),
        ),
        ({"contrast": "auto"}, GreyChoice(contrast="auto")),
        ({"invert": "perhaps"}, GreyChoice()),
        ({}, GreyChoice()),
    ],
)
def test_records_of_masks_give_the_choice_back(record, expected):
    assert GreyChoice.from_record(record) == expected
