"""Metadata of files as other programs write them."""

import json

import av
import h5py
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from rleseg_core.data import ImageStack
from rleseg_core.data.formats.imagej import imagej_metadata
from rleseg_core.data.formats.ngff import ngff_metadata
from rleseg_core.data.formats.ome import ome_metadata
from rleseg_core.data.metadata import StackMetadata
from rleseg_core.data.writers import write_labels

FRAMES = np.ones((3, 8, 10), np.uint8)


def metadata(path, frames=FRAMES, **options):
    tifffile.imwrite(path, frames, photometric="minisblack", **options)
    return ImageStack.open(path).metadata


@pytest.mark.parametrize(
    ("unit", "factor"),
    [("um", 1), ("micron", 1), ("\\u00B5m", 1), ("nm", 1e-3), ("mm", 1e3), ("inch", 25400)],
)
def test_imagej_scale_and_interval(tmp_path, unit, factor):
    read = metadata(
        tmp_path / "a.tif",
        imagej=True,
        resolution=(1 / 0.65, 1 / 0.5),
        metadata={"axes": "TYX", "unit": unit, "finterval": 300, "spacing": 2.0},
    )
    assert read.pixel_size == pytest.approx((0.5 * factor, 0.65 * factor))
    assert read.z_spacing == pytest.approx(2 * factor)
    assert (read.unit, read.frame_interval) == ("micrometer", 300)


def test_imagej_origin_is_in_pixels():
    entries = {"unit": "um", "xorigin": 10.0, "yorigin": -4.0}
    assert imagej_metadata(entries, (2.0, 4.0)).origin == (2.0, -2.5)


def test_imagej_interval_in_minutes_and_rate():
    assert imagej_metadata({"finterval": 5, "tunit": "min"}, (None, None)).frame_interval == 300
    assert imagej_metadata({"fps": 4.0}, (None, None)).frame_interval == 0.25


def test_imagej_without_calibration(tmp_path):
    read = metadata(tmp_path / "a.tif", imagej=True, metadata={"axes": "TYX"})
    assert (read.pixel_size, read.unit, read.frame_interval) == (None, "", None)


def test_imagej_at_72_dots_per_inch_is_not_calibrated(tmp_path):
    options = {"imagej": True, "resolution": (72, 72), "metadata": {"axes": "TYX", "unit": "inch"}}
    assert metadata(tmp_path / "a.tif", **options).pixel_size is None


def test_ome_scale_interval_and_channels(tmp_path):
    read = metadata(
        tmp_path / "a.ome.tif",
        np.zeros((3, 1, 8, 10), np.uint8),
        metadata={
            "axes": "TCYX",
            **{"PhysicalSizeX": 650.0, "PhysicalSizeXUnit": "nm"},
            **{"PhysicalSizeY": 0.5, "PhysicalSizeYUnit": "µm"},
            **{"TimeIncrement": 5.0, "TimeIncrementUnit": "min"},
            "Channel": {"Name": ["phase"]},
            "AcquisitionDate": "2026-03-01T12:00:00",
        },
    )
    assert read.pixel_size == pytest.approx((0.5, 0.65))
    assert (read.unit, read.frame_interval) == ("micrometer", 300)
    assert (read.channel_names, read.acquired) == (("phase",), "2026-03-01T12:00:00")


def test_ome_interval_from_times_of_planes(tmp_path):
    read = metadata(
        tmp_path / "a.ome.tif",
        metadata={
            "axes": "TYX",
            "Plane": {"DeltaT": [1000.0, 3000.0, 5000.0], "DeltaTUnit": ["ms"] * 3},
        },
    )
    assert (read.start, read.frame_interval) == (1.0, 2.0)


def test_ome_units_that_measure_nothing(tmp_path):
    sizes = {"PhysicalSizeX": 2.0, "PhysicalSizeY": 2.0}
    units = {"PhysicalSizeXUnit": "pixel", "PhysicalSizeYUnit": "pixel"}
    read = metadata(tmp_path / "a.ome.tif", metadata={"axes": "TYX", **sizes, **units})
    assert (read.pixel_size, read.unit) == ((2.0, 2.0), "")


def test_damaged_xml_says_nothing():
    assert ome_metadata("<OME><Image").pixel_size is None
    assert ome_metadata("<OME/>", 3).pixel_size is None


@pytest.mark.parametrize(
    ("resolution", "unit", "size"),
    [
        ((10000, 20000), "CENTIMETER", (0.5, 1.0)),
        ((25400, 50800), "INCH", (0.5, 1.0)),
        ((72, 72), "INCH", None),
        ((96, 96), "INCH", None),
        ((300, 300), "INCH", None),
        ((28.346, 28.346), "CENTIMETER", None),
        ((118.11, 118.11), "CENTIMETER", None),
        ((1, 1), "INCH", None),
        ((5, 5), "NONE", None),
    ],
)
def test_resolution_tags(tmp_path, resolution, unit, size):
    read = metadata(
        tmp_path / "a.tif", FRAMES, metadata=None, resolution=resolution, resolutionunit=unit
    )
    assert read.pixel_size == (None if size is None else pytest.approx(size, rel=1e-5))


def test_micromanager_summary(tmp_path):
    summary = {"PixelSize_um": 0.65, "Interval_ms": 5000.0, "ChNames": ["BF"], "z-step_um": 2.0}
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, FRAMES, photometric="minisblack", metadata=None)
    with tifffile.TiffFile(path) as tiff:
        from rleseg_core.data.formats import tiff_metadata

        tiff.is_micromanager = True
        tiff.__dict__["micromanager_metadata"] = {"Summary": summary}
        read = tiff_metadata.tiff_metadata(tiff)
    assert (read.pixel_size, read.frame_interval) == ((0.65, 0.65), 5.0)
    assert (read.z_spacing, read.channel_names) == (2.0, ("BF",))


AXES = [
    {"name": "t", "type": "time", "unit": "minute"},
    {"name": "c", "type": "channel"},
    {"name": "y", "type": "space", "unit": "nanometer"},
    {"name": "x", "type": "space", "unit": "nanometer"},
]
STEPS = [
    {"type": "scale", "scale": [5, 1, 500, 250]},
    {"type": "translation", "translation": [1, 0, 1000, 2000]},
]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_transformations_of_both_levels(tmp_path, version):
    multiscale = {
        "axes": AXES,
        "datasets": [{"path": "0", "coordinateTransformations": STEPS}],
        "coordinateTransformations": [{"type": "scale", "scale": [2, 1, 2, 2]}],
    }
    ome = {"multiscales": [multiscale], "omero": {"channels": [{"label": "phase"}]}}
    attributes = {"ome": {"version": "0.5", **ome}} if version == "0.5" else ome
    zarr_format = 3 if version == "0.5" else 2
    group = zarr.create_group(tmp_path / "a.zarr", attributes=attributes, zarr_format=zarr_format)
    group.create_array("0", data=FRAMES[:, None])
    read = ImageStack.open(tmp_path / "a.zarr").metadata
    assert read.pixel_size == pytest.approx((1.0, 0.5))
    assert read.origin == pytest.approx((2.0, 4.0))
    assert (read.frame_interval, read.start) == (600, 120)
    assert (read.unit, read.channel_names, read.axes) == ("micrometer", ("phase",), "TCYX")


def test_ome_zarr_without_units_and_scale_is_not_calibrated():
    axes = [{"name": name} for name in "tyx"]
    steps = [{"type": "scale", "scale": [1, 1, 1]}]
    level = {"path": "0", "coordinateTransformations": steps}
    read = ngff_metadata({"multiscales": [{"axes": axes, "datasets": [level]}]})
    assert (read.pixel_size, read.frame_interval) == (None, None)


@pytest.mark.parametrize(
    "steps", [[{"type": "scale", "scale": [1, "x", 2]}], [{"type": "affine"}], [None], "scale"]
)
def test_damaged_transformations_say_nothing(steps):
    axes = [{"name": name, "unit": "micrometer"} for name in "tyx"]
    level = {"path": "0", "coordinateTransformations": steps}
    read = ngff_metadata({"multiscales": [{"axes": axes, "datasets": [level]}]})
    assert read.frame_interval is None


def test_what_another_program_changed_counts(tmp_path):
    """Such as a pixel size that was set anew in Fiji, which keeps our record."""
    known = StackMetadata(
        pixel_size=(0.65, 0.65),
        unit="micrometer",
        origin=(3.0, 4.0),
        frame_interval=300.0,
        class_names=("ipsc",),
    )
    write_labels(tmp_path / "a.tif", FRAMES, metadata=known)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        info = tiff.imagej_metadata["Info"]
    read = metadata(
        tmp_path / "b.tif",
        imagej=True,
        resolution=(2.0, 2.0),
        metadata={"axes": "TYX", "unit": "um", "finterval": 60.0, "Info": info},
    )
    assert (read.pixel_size, read.origin, read.frame_interval) == ((0.5, 0.5), (3.0, 4.0), 60)
    assert read.class_names == ("ipsc",)


def test_record_of_version_0_1_in_a_tiff(tmp_path):
    record = json.dumps({"class_names": ["ipsc"], "model": "cells"})
    read = metadata(tmp_path / "a.tif", metadata={"axes": "TYX", "rleseg": record})
    assert (read.class_names, read.provenance) == (("ipsc",), {"model": "cells"})


def test_record_of_version_0_1_in_a_zarr(tmp_path):
    array = zarr.create_array(store=tmp_path / "a.zarr", shape=(1, 4, 4), dtype="u1")
    array[:] = 1
    array.attrs["rleseg"] = {"class_names": ["ipsc"], "model": "cells"}
    read = ImageStack.open(tmp_path / "a.zarr").metadata
    assert (read.class_names, read.provenance) == (("ipsc",), {"model": "cells"})


def test_resolution_of_a_picture(tmp_path):
    for name, dots, size in (("a.png", 50_800, 0.5), ("b.png", 300, None), ("c.jpg", 72, None)):
        Image.new("L", (8, 8)).save(tmp_path / name, dpi=(dots, dots))
        found = ImageStack.open(tmp_path / name).metadata.pixel_size
        assert found == (None if size is None else pytest.approx((size, size), rel=1e-4))


def test_frames_of_a_folder_have_the_metadata_of_their_files(tmp_path):
    for t in range(2):
        tifffile.imwrite(
            tmp_path / f"t{t}.tif",
            FRAMES[t],
            photometric="minisblack",
            resolution=(20_000, 20_000),
            resolutionunit="CENTIMETER",
        )
    assert ImageStack.open(tmp_path).metadata.pixel_size == pytest.approx((0.5, 0.5))


def test_element_size_of_hdf5(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data"] = FRAMES
        file["data"].attrs["element_size_um"] = (2.0, 0.65, 0.5)
    read = ImageStack.open(tmp_path / "a.h5", axes="TYX").metadata
    assert (read.pixel_size, read.z_spacing, read.unit) == ((0.65, 0.5), 2.0, "micrometer")


@pytest.mark.parametrize(("suffix", "interval"), [(".mp4", 0.25), (".gif", None)])
def test_rate_of_a_video(tmp_path, suffix, interval):
    path = tmp_path / f"a{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4" if suffix == ".mp4" else "gif", rate=4)
        stream.width, stream.height = 32, 16
        stream.pix_fmt = "yuv420p" if suffix == ".mp4" else "rgb8"
        for value in (0, 100, 200):
            pixels = np.full((16, 32, 3), value, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    assert ImageStack.open(path).metadata.frame_interval == interval
