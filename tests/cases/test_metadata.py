"""What belongs to the images goes into every mask that can hold it, and comes back."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from ome_types import from_tiff
from yaozarrs import v04, validate_zarr_store

from rleseg_core.cli import main
from rleseg_core.data import ImageStack, LabelStack, SyntheticConfig, synthesize
from rleseg_core.data.formats.registry import output_formats
from rleseg_core.data.metadata import StackMetadata
from rleseg_core.data.writers import write_labels

CELLS = synthesize(SyntheticConfig(n_frames=2, size=(64, 96), seed=3)).images
SUFFIXES = [suffix for one in output_formats() for suffix in one.suffixes]
AXES = [
    {"name": "t", "type": "time", "unit": "second"},
    {"name": "y", "type": "space", "unit": "micrometer"},
    {"name": "x", "type": "space", "unit": "micrometer"},
]
STEPS = [
    {"type": "scale", "scale": [300.0, 0.65, 0.5]},
    {"type": "translation", "translation": [0.0, 30.0, 40.0]},
]


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return int(end.value.code or 0)


def imagej(folder: Path) -> Path:
    tifffile.imwrite(
        folder / "cal.tif",
        CELLS,
        imagej=True,
        resolution=(1 / 0.5, 1 / 0.65),
        metadata={"axes": "TYX", "unit": "um", "finterval": 300},
    )
    return folder / "cal.tif"


def ome(folder: Path) -> Path:
    sizes = {"PhysicalSizeX": 500.0, "PhysicalSizeY": 650.0}
    units = {"PhysicalSizeXUnit": "nm", "PhysicalSizeYUnit": "nm"}
    metadata = {"axes": "TYX", **sizes, **units, "TimeIncrement": 5, "TimeIncrementUnit": "min"}
    tifffile.imwrite(folder / "cal.ome.tif", CELLS, metadata=metadata)
    return folder / "cal.ome.tif"


def ngff(folder: Path, version: str = "0.5") -> Path:
    path = folder / "cal.zarr"
    is_old = version == "0.4"
    level = {"path": "0", "coordinateTransformations": STEPS}
    scales = {"multiscales": [{"axes": AXES, "datasets": [level]}]}
    if is_old:
        scales["multiscales"][0]["version"] = "0.4"
    attributes = scales if is_old else {"ome": {"version": "0.5", **scales}}
    group = zarr.create_group(path, zarr_format=2 if is_old else 3, attributes=attributes)
    separator = {"chunk_key_encoding": {"name": "v2", "separator": "/"}} if is_old else {}
    names = {} if is_old else {"dimension_names": ("t", "y", "x")}
    group.create_array("0", data=CELLS, **separator, **names)
    return path


@pytest.fixture
def predicted(quick_model: Path) -> Callable[[Path, Path], StackMetadata]:
    """Segments images into a file of masks, and gives what is known about these."""

    def predict(images: Path, masks: Path) -> StackMetadata:
        options = ("--device", "cpu", "-m", quick_model, "-q")
        assert run("predict", images, *options, "-o", masks) == 0
        return LabelStack.open(masks).metadata

    return predict


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("make", [imagej, ome, ngff])
def test_masks_are_calibrated_as_their_images(make, suffix, tmp_path, predicted, quick_model):
    images = make(tmp_path)
    found = predicted(images, tmp_path / f"m{suffix}")
    assert found.pixel_size == pytest.approx((0.65, 0.5), rel=1e-6)
    assert (found.unit, found.frame_interval) == ("micrometer", 300)
    assert found.origin == (None if make is not ngff else (30.0, 40.0))
    assert found.class_names == ("ipsc", "dfc")
    made = found.provenance
    assert (made["model_file"], made["source"]) == (quick_model.name, images.name)
    assert made["model_sha256"] == hashlib.sha256(quick_model.read_bytes()).hexdigest()
    assert {"version", "date", "stitch", "preview"} <= set(made)


def test_other_programs_read_the_scale_of_masks(tmp_path, predicted):
    images = imagej(tmp_path)
    predicted(images, tmp_path / "m.tif")
    with tifffile.TiffFile(tmp_path / "m.tif") as tiff:
        width, height = (tiff.pages[0].tags[f"{axis}Resolution"].value for axis in "XY")
        assert width[1] / width[0] == pytest.approx(0.5)
        assert height[1] / height[0] == pytest.approx(0.65)
        assert tiff.imagej_metadata["unit"] == "um"
        assert tiff.imagej_metadata["finterval"] == 300
        assert (tiff.series[0].axes, tiff.series[0].shape) == ("TYX", CELLS.shape)
    predicted(images, tmp_path / "m.ome.tif")
    pixels = from_tiff(tmp_path / "m.ome.tif", validate=True).images[0].pixels
    assert pixels.physical_size_y == pytest.approx(0.65)
    assert (pixels.physical_size_x_unit.value, pixels.time_increment) == ("µm", 300)
    predicted(images, tmp_path / "m.ome.zarr")
    noted = validate_zarr_store(tmp_path / "m.ome.zarr").ome_metadata()
    (level,) = noted.multiscales[0].datasets
    assert level.coordinateTransformations[0].scale == pytest.approx([300, 0.65, 0.5])
    assert [axis.unit for axis in noted.multiscales[0].axes] == [axis["unit"] for axis in AXES]
    assert [entry.label_value for entry in noted.image_label.colors] == [1, 2]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_masks_join_the_labels_of_their_ome_zarr_image(version, tmp_path, predicted):
    images = ngff(tmp_path, version)
    before = {path: path.read_bytes() for path in images.rglob("*") if path.is_file()}
    for name in ("cells", "again"):
        found = predicted(images, images / "labels" / name)
        assert found.scale == (300, 0.65, 0.5)
    assert all(path.read_bytes() == content for path, content in before.items())
    labels = dict(zarr.open_group(images / "labels", mode="r").attrs)
    label = dict(zarr.open_group(images / "labels" / "cells", mode="r").attrs)
    if version == "0.5":
        validate_zarr_store(images)  # the image, its labels, and each of them
        labels, label = labels["ome"], label["ome"]
    else:
        v04.LabelImage.model_validate(label)
    assert labels["labels"] == ["cells", "cells.objects", "again", "again.objects"]
    assert label["image-label"]["source"]["image"] == "../../"
    assert ImageStack.open(images).shape[:3] == CELLS.shape
    assert not [path for path in images.rglob(".*") if path.name[:2] != ".z"]


def test_labels_of_an_image_are_replaced_only_when_told(tmp_path, capfd, predicted, quick_model):
    images = ngff(tmp_path)
    target = images / "labels" / "cells"
    predicted(images, target)
    before = target.joinpath("zarr.json").read_bytes()
    options = ("--device", "cpu", "-m", quick_model, "-q", "-o", target)
    assert run("predict", images, *options) == 2
    assert "--overwrite" in capfd.readouterr().err
    assert target.joinpath("zarr.json").read_bytes() == before
    assert run("predict", images, *options, "--overwrite") == 0
    labels = zarr.open_group(images / "labels", mode="r").attrs["ome"]["labels"]
    assert labels == ["cells", "cells.objects"]


def test_labels_in_a_folder_that_is_no_image_are_refused(tmp_path, capfd, quick_model):
    images = imagej(tmp_path)
    zarr.create_group(tmp_path / "other.zarr")
    target = tmp_path / "other.zarr" / "labels" / "cells"
    assert run("predict", images, "-m", quick_model, "-q", "-o", target) == 2
    assert "no OME-Zarr image" in " ".join(capfd.readouterr().err.split())
    assert not target.parent.exists()


def test_info_lists_what_masks_hold(tmp_path, capfd, predicted):
    predicted(imagej(tmp_path), tmp_path / "m.ome.zarr")
    capfd.readouterr()
    assert run("info", tmp_path / "m.ome.zarr", "--masks", "--json") == 0
    (image,) = json.loads(capfd.readouterr().out)["images"]
    assert image["metadata"]["pixel_size"] == pytest.approx([0.65, 0.5])
    assert image["metadata"]["class_names"] == ["ipsc", "dfc"]


def test_results_of_version_0_1_still_open(tmp_path):
    record = {"class_names": ["ipsc", "dfc"], "model": "cells", "version": "0.1.0"}
    masks = (CELLS > 100).astype(np.uint8)
    array = zarr.create_array(store=tmp_path / "old.zarr", data=masks, chunks=(1, 64, 96))
    array.attrs["rleseg"] = record
    tifffile.imwrite(
        tmp_path / "old.tif",
        masks,
        photometric="minisblack",
        metadata={"axes": "TYX", "rleseg": json.dumps(record)},
    )
    for name in ("old.zarr", "old.tif"):
        stack = LabelStack.open(tmp_path / name)
        np.testing.assert_array_equal(stack.data, masks)
        assert stack.metadata.class_names == ("ipsc", "dfc")
        assert stack.metadata.provenance == {"model": "cells", "version": "0.1.0"}


def test_stack_of_more_than_2_gib_is_big_ome_tiff(tmp_path, monkeypatch):
    from rleseg_core.data.formats import tiff_writing

    monkeypatch.setattr(tiff_writing, "_CLASSIC_BYTES", 1000)
    metadata = StackMetadata(pixel_size=(0.65, 0.5), unit="micrometer", frame_interval=300.0)
    write_labels(tmp_path / "m.tif", CELLS, metadata=metadata)
    with tifffile.TiffFile(tmp_path / "m.tif") as tiff:
        assert (tiff.is_bigtiff, tiff.is_ome) == (True, True)
    stack = LabelStack.open(tmp_path / "m.tif")
    np.testing.assert_array_equal(stack.data, CELLS)
    assert stack.metadata.scale == metadata.scale
