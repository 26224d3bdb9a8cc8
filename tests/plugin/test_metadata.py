"""What belongs to an image stays with its layers, and goes into what they are saved as."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from napari.layers import Image, Labels, Layer
from npe2 import PluginManager

from napari_rleseg.calibration import layer_metadata
from napari_rleseg.io import read_session, session_reader, write_masks, write_record
from napari_rleseg.layers import (
    class_names_of,
    image_data,
    labels_attributes,
    labels_layer,
    stack_transform,
)
from rleseg_core.data import ImageStack, LabelStack
from rleseg_core.data.formats.zarr_writing import create_stack
from rleseg_core.data.metadata import StackMetadata
from rleseg_core.data.writers import write_labels
from rleseg_core.errors import DataError

IDS = np.zeros((2, 20, 30), np.uint8)
IDS[1, 3:6, 4:9] = 2
KNOWN = StackMetadata(
    pixel_size=(0.65, 0.5),
    unit="micrometer",
    origin=(10.0, -20.0),
    frame_interval=300.0,
    start=60.0,
    acquired="2026-03-01T12:00:00",
    class_names=("ipsc", "dfc"),
    class_colours=("#ff0000", "#00ff80"),
    provenance={"model": "demo"},
)
NAMES = ("masks.tif", "masks.ome.tif", "masks.zarr", "masks.ome.zarr")


@pytest.fixture(autouse=True)
def contributions():
    """Our writers, as napari finds them when it starts."""
    manager = PluginManager.instance()
    if "napari-rleseg" not in manager:
        manager.discover()


def save(layer: Layer, path: Path) -> LabelStack:
    """Save a layer through napari's own list of writers, and open it again."""
    assert layer.save(str(path), plugin="napari-rleseg") == [str(path)]
    return LabelStack.open(path)


@pytest.mark.parametrize("name", NAMES)
def test_layer_as_opened_is_the_layer_that_was_saved(name, tmp_path):
    attributes = labels_attributes(KNOWN.class_names, None, KNOWN.provenance, KNOWN)
    read = save(Labels(IDS, name="masks", **attributes), tmp_path / name)
    np.testing.assert_array_equal(read.data, IDS)
    assert read.metadata.to_json() == {**KNOWN.to_json(), "axes": read.metadata.axes}
    again = labels_attributes(("ipsc", "dfc"), None, {}, read.metadata)
    layer = Labels(np.asarray(read.data), **again)
    np.testing.assert_allclose(layer.scale, (300, 0.65, 0.5))
    np.testing.assert_allclose(layer.translate, (60, 10, -20))
    assert [str(unit) for unit in layer.units] == ["second", "micrometer", "micrometer"]
    np.testing.assert_allclose(layer.get_color(1), (1, 0, 0, 1))


@pytest.mark.parametrize("name", NAMES)
def test_layer_without_units_keeps_its_scale(name, tmp_path):
    metadata = save(Labels(IDS, scale=(1, 0.65, 0.65)), tmp_path / name).metadata
    assert (metadata.scale, metadata.unit) == ((1, 0.65, 0.65), "")
    if name == "masks.tif":
        with tifffile.TiffFile(tmp_path / name) as tiff:
            rows, per = tiff.pages[0].tags["YResolution"].value
            assert per / rows == pytest.approx(0.65)


def test_layer_in_other_units_is_written_in_micrometers(tmp_path):
    layer = Labels(IDS, scale=(5, 650, 500), units=("minute", "nm", "nm"))
    metadata = save(layer, tmp_path / "masks.zarr").metadata
    assert metadata.pixel_size == pytest.approx((0.65, 0.5))
    assert (metadata.unit, metadata.frame_interval) == ("micrometer", 300)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n_axes", [2, 3])
def test_finest_level_of_multiscale_labels_is_written(name, n_axes, tmp_path):
    levels = [np.full((3,) * (n_axes - 2) + (side, side), 7) for side in (64, 32)]
    layer = Labels(levels, multiscale=True, scale=(1.0, 0.5, 0.5)[-n_axes:])
    read = save(layer, tmp_path / name)
    assert read.shape == (3 if n_axes == 3 else 1, 64, 64)
    assert (np.asarray(read.data) == 7).all()
    assert read.metadata.pixel_size == (0.5, 0.5)


def test_ids_of_napari_are_written_in_fewer_bits(tmp_path):
    read = save(Labels(np.full((2, 8, 8), 70_000)), tmp_path / "masks.tif")
    assert (read.dtype, int(read.data.max())) == (np.uint32, 70_000)


@pytest.mark.parametrize(
    ("moved", "what"),
    [
        ({"rotate": 30.0}, "rotated"),
        ({"shear": (0.0, 0.0, 0.2)}, "sheared"),
        ({"scale": (1.0, -0.5, 0.5)}, "mirrored"),
        ({"affine": np.diag([1.0, 2.0, 2.0, 1.0])}, "affine"),
    ],
)
def test_layer_that_no_file_can_hold_is_refused(moved, what, tmp_path):
    data, attributes, _ = Labels(IDS, name="turned", **moved).as_layer_data_tuple()
    with pytest.raises(DataError, match=f"'turned' is .*{what}"):
        write_masks(str(tmp_path / "masks.tif"), data, attributes)
    assert not list(tmp_path.iterdir())


def test_layer_of_two_units_is_refused(tmp_path):
    layer = Labels(IDS, units=("pixel", "pixel", "um"))
    data, attributes, _ = layer.as_layer_data_tuple()
    with pytest.raises(DataError, match="give both axes a unit"):
        write_masks(str(tmp_path / "masks.tif"), data, attributes)


def test_axes_in_two_units_of_length_become_micrometers(tmp_path):
    layer = Labels(IDS, scale=(1, 650, 0.5), units=("pixel", "nm", "um"))
    assert save(layer, tmp_path / "masks.tif").metadata.pixel_size == pytest.approx((0.65, 0.5))


def test_turned_image_is_still_segmented():
    """Where it was turned to is not kept, but its masks have its scale."""
    image = Image(IDS, rotate=30, scale=(1, 0.5, 0.5), units=("pixel", "um", "um"))
    assert layer_metadata(image).pixel_size == (0.5, 0.5)


def images(path: Path) -> ImageStack:
    tifffile.imwrite(
        path,
        np.zeros((2, 20, 30), np.uint8),
        imagej=True,
        resolution=(2.0, 1 / 0.65),
        metadata={"axes": "TYX", "unit": "um", "finterval": 300.0},
    )
    return ImageStack.open(path)


def test_image_layer_stands_where_its_file_says(tmp_path):
    stack = images(tmp_path / "images.tif")
    layer = Layer.create(*image_data(stack, stack.metadata))
    np.testing.assert_allclose(layer.scale, (300, 0.65, 0.5), rtol=1e-6)
    assert [str(unit) for unit in layer.units] == ["second", "micrometer", "micrometer"]
    assert layer.axis_labels == ("t", "y", "x")


def test_masks_of_an_image_layer_take_its_place_and_say_so_when_saved(tmp_path):
    stack = images(tmp_path / "images.tif")
    image = Layer.create(*image_data(stack, stack.metadata))
    image.translate = (0, 7, 8)
    masks = labels_layer(IDS, ("ipsc", "dfc"), name="masks", image=image)
    assert {k: list(v) for k, v in stack_transform(masks).items()} == {
        k: list(v) for k, v in stack_transform(image).items()
    }
    metadata = save(masks, tmp_path / "masks.tif").metadata
    assert metadata.scale == pytest.approx((300, 0.65, 0.5), rel=1e-6)
    assert metadata.origin == pytest.approx((7, 8))
    assert metadata.class_names == ("ipsc", "dfc")


def test_colours_changed_in_the_viewer_are_saved(tmp_path):
    from napari.utils.colormaps import DirectLabelColormap

    layer = Labels(IDS, **labels_attributes(("ipsc", "dfc")))
    assert layer_metadata(layer).class_colours == ()
    colours = {None: "#000000", 0: "transparent", 1: "#102030", 2: "#405060"}
    layer.colormap = DirectLabelColormap(color_dict=colours)
    metadata = save(layer, tmp_path / "masks.zarr").metadata
    assert metadata.class_colours == ("#102030", "#405060")


def test_ome_zarr_opens_with_its_labels(tmp_path):
    path = tmp_path / "movie.zarr"
    axes = [{"name": "t", "type": "time", "unit": "second"}]
    axes += [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    steps = [{"type": "scale", "scale": [300, 0.65, 0.5]}]
    level = {"path": "0", "coordinateTransformations": steps}
    ome = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [level]}]}
    zarr.create_group(path, attributes={"ome": ome}).create_array("0", data=IDS + 1)
    write_labels(path / "labels" / "cells", IDS, metadata=KNOWN)
    reader = session_reader(str(path))
    assert reader is not None
    image, masks = (Layer.create(*data) for data in reader(str(path)))
    assert isinstance(image, Image)
    assert isinstance(masks, Labels)
    np.testing.assert_allclose(image.scale, masks.scale)
    np.testing.assert_allclose(masks.translate, (60, 10, -20))
    assert (masks.name, class_names_of(masks)) == ("cells", ("ipsc", "dfc"))
    np.testing.assert_array_equal(masks.data, IDS)


def test_masks_of_objects_open_in_as_many_colours(tmp_path):
    path = write_labels(tmp_path / "objects.zarr", IDS)
    reader = session_reader(str(path))
    assert reader is not None
    (data,) = reader(str(path))
    layer = Layer.create(*data)
    assert class_names_of(layer) == ()
    assert tuple(layer.get_color(1)) != tuple(layer.get_color(2))


def test_other_folders_are_left_to_others(tmp_path):
    assert session_reader(str(tmp_path)) is None


def test_session_keeps_place_units_and_colours(tmp_path):
    stack = images(tmp_path / "images.tif")
    image = Layer.create(*image_data(stack, stack.metadata))
    image.translate = (0, 7, 8)
    folder = tmp_path / "a.rleseg"
    folder.mkdir()
    record = {"image": str(tmp_path / "images.tif"), "name": "cells"}
    write_record(folder, {**record, "metadata": layer_metadata(image).to_json()})
    known = layer_metadata(image).for_masks(("ipsc", "dfc"), {"model": "demo"}, KNOWN.class_colours)
    create_stack(folder / "segmentation.zarr", IDS.shape, IDS.dtype, known.to_json())[:] = IDS
    again, masks = (Layer.create(*data) for data in read_session(str(folder)))
    for layer in (again, masks):
        np.testing.assert_allclose(layer.scale, (300, 0.65, 0.5), rtol=1e-6)
        np.testing.assert_allclose(layer.translate, (0, 7, 8))
        assert [str(unit) for unit in layer.units] == ["second", "micrometer", "micrometer"]
    assert isinstance(masks, Labels)
    assert class_names_of(masks) == ("ipsc", "dfc")
    np.testing.assert_allclose(masks.get_color(1), (1, 0, 0, 1))
    read = save(masks, tmp_path / "out.ome.tif").metadata
    assert read.class_colours == KNOWN.class_colours
    assert (read.provenance["model"], read.origin) == ("demo", (7, 8))


def test_session_of_version_0_1_keeps_its_scale(tmp_path):
    images(tmp_path / "images.tif")
    folder = tmp_path / "a.rleseg"
    folder.mkdir()
    record = {"image": str(tmp_path / "images.tif"), "scale": [1.0, 0.25, 0.25]}
    write_record(folder, record)
    old = create_stack(folder / "segmentation.zarr", IDS.shape, IDS.dtype, {"class_names": ["a"]})
    old[:] = IDS
    image, masks = (Layer.create(*data) for data in read_session(str(folder)))
    for layer in (image, masks):
        np.testing.assert_allclose(layer.scale[1:], (0.25, 0.25))
