"""Part of a TIFF is never read for the whole, and frames are never taken for colours."""

import uuid
import warnings

import numpy as np
import pytest
import tifffile
from napari.utils.io import imsave_tiff

from rleseg_core.data import ImageStack, LabelStack
from rleseg_core.errors import DataError, DataWarning

RNG = np.random.default_rng(0)
FRAMES = RNG.integers(0, 200, (4, 64, 48), dtype=np.uint8)
CHANNELS = RNG.integers(0, 200, (4, 3, 64, 48), dtype=np.uint8)


def write(path, data, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of guessing colours
        tifffile.imwrite(path, data, **options)
    return path


def write_pages(path, pages, description=None):
    with tifffile.TiffWriter(path) as tiff:
        for index, page in enumerate(pages):
            tiff.write(
                page,
                photometric="minisblack",
                contiguous=False,
                metadata=None,
                description=None if index else description,
            )
    return path


def pixels(stack):
    return stack.data.compute().reshape(stack.data.shape)


@pytest.mark.parametrize("n_frames", [3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32"])
@pytest.mark.parametrize("opener", [ImageStack, LabelStack])
def test_three_or_four_frames_are_frames(tmp_path, n_frames, dtype, opener):
    frames = FRAMES[:n_frames].astype(dtype)
    path = write(tmp_path / "a.tif", frames, compression="zlib")
    with pytest.warns(DataWarning, match=f"{n_frames} planes that its writer marked as colour"):
        stack = opener.open(path)
    np.testing.assert_array_equal(pixels(stack).reshape(frames.shape), frames)


def test_three_frames_of_masks_as_napari_saves_them(tmp_path):
    path = str(tmp_path / "a.tif")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        imsave_tiff(path, FRAMES[:3])
    with pytest.warns(DataWarning, match="read as frames"):
        masks = LabelStack.open(path)
    np.testing.assert_array_equal(pixels(masks), FRAMES[:3])


def test_named_axes_decide_before_the_marks_of_colour(tmp_path):
    path = write(tmp_path / "a.tif", FRAMES, metadata={"axes": "TYX"})
    assert ImageStack.open(path).shape == (4, 64, 48, 1)
    path = write(tmp_path / "b.tif", FRAMES[:3])
    stack = ImageStack.open(path, axes="SYX")
    assert (stack.shape, stack.is_colour) == ((1, 64, 48, 3), True)


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colour_that_the_file_describes_is_colour(tmp_path, planar):
    colour = RNG.integers(0, 255, (3, 64, 48) if planar == "separate" else (64, 48, 3), np.uint8)
    path = write(tmp_path / "a.tif", colour, photometric="rgb", planarconfig=planar, metadata=None)
    stack = ImageStack.open(path)
    assert (stack.shape, stack.is_colour) == ((1, 64, 48, 3), True)


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_samples_that_are_no_colours_are_channels(tmp_path, planar):
    data = RNG.integers(0, 255, (4, 64, 48) if planar == "separate" else (64, 48, 4), np.uint8)
    path = write(
        tmp_path / "a.tif", data, photometric="minisblack", planarconfig=planar, metadata=None
    )
    stack = ImageStack.open(path)
    assert (stack.shape, stack.is_colour) == ((1, 64, 48, 4), False)
    assert ImageStack.open(path, channel=3).shape == (1, 64, 48, 1)


def test_axes_that_nobody_names_are_asked_for(tmp_path):
    path = write(tmp_path / "a.tif", CHANNELS)
    with pytest.raises(DataError, match="give them, for example --axes"):
        ImageStack.open(path)
    stack = ImageStack.open(path, axes="TCYX", channel=1)
    np.testing.assert_array_equal(pixels(stack)[..., 0], CHANNELS[:, 1])


def test_hyperstack_of_imagej(tmp_path):
    path = write(tmp_path / "c.tif", CHANNELS, imagej=True, metadata={"axes": "TCYX"})
    assert ImageStack.open(path).shape == (4, 64, 48, 3)
    path = write(tmp_path / "z.tif", CHANNELS, imagej=True, metadata={"axes": "TZYX"})
    with pytest.raises(DataError, match=r"4 time points of 3 planes; choose a plane with --z"):
        ImageStack.open(path)
    np.testing.assert_array_equal(pixels(ImageStack.open(path, z=2))[..., 0], CHANNELS[:, 2])
    projected = pixels(ImageStack.open(path, z="max"))[..., 0]
    np.testing.assert_array_equal(projected, CHANNELS.max(axis=1))
    with pytest.raises(DataError, match="planes 0 to 2, got --z 3"):
        ImageStack.open(path, z=3)
    with pytest.raises(DataError, match="maximum of ids means nothing"):
        LabelStack.open(path, z="max")


def test_several_images_of_an_ome_tiff_are_listed_and_chosen(tmp_path):
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tiff:
        for position in range(3):
            tiff.write(
                FRAMES + position,
                photometric="minisblack",
                metadata={"axes": "TYX", "Name": f"pos{position}"},
            )
    for opener in (ImageStack, LabelStack):
        with pytest.raises(DataError, match=r"3 images: 0 \(pos0\) TYX 4 × 64 × 48, 1 \(pos1\)"):
            opener.open(path)
    for chosen in (2, "2", "pos2"):
        np.testing.assert_array_equal(
            pixels(ImageStack.open(path, series=chosen))[..., 0], FRAMES + 2
        )
    with pytest.raises(DataError, match="has no image 'pos7'"):
        ImageStack.open(path, series="pos7")


def test_channels_are_chosen_by_their_names(tmp_path):
    path = tmp_path / "a.ome.tif"
    names = {"axes": "TCYX", "Channel": {"Name": ["phase", "GFP", "DAPI"]}}
    tifffile.imwrite(path, CHANNELS, ome=True, photometric="minisblack", metadata=names)
    for chosen in (1, "GFP"):
        stack = ImageStack.open(path, channel=chosen)
        np.testing.assert_array_equal(pixels(stack)[..., 0], CHANNELS[:, 1])
    with pytest.raises(DataError, match=r"channels 0 to 2 \(phase, GFP, DAPI\), got --channel Cy5"):
        ImageStack.open(path, channel="Cy5")


def test_pages_of_other_sizes_are_other_images(tmp_path):
    path = write_pages(tmp_path / "a.tif", [FRAMES[0], FRAMES[1], FRAMES[2, :32]])
    with pytest.raises(DataError, match=r"2 images: 0 TYX 2 × 64 × 48, 1 YX 32 × 48"):
        ImageStack.open(path)
    np.testing.assert_array_equal(pixels(ImageStack.open(path, series=0))[..., 0], FRAMES[:2])


def test_reduced_copy_is_no_image_of_its_own(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(FRAMES[0], photometric="minisblack", metadata=None)
        tiff.write(FRAMES[0, ::4, ::4], photometric="minisblack", metadata=None, subfiletype=1)
    assert ImageStack.open(path).shape == (1, 64, 48, 1)


@pytest.mark.parametrize(
    ("announced", "message"),
    [(2, "holds 4 pages, and its description names 2"), (6, "announces 6 images and holds 4")],
)
def test_pages_are_as_many_as_imagej_announces(tmp_path, announced, message):
    description = f"ImageJ=1.54f\nimages={announced}\nframes={announced}\n"
    path = write_pages(tmp_path / "a.tif", FRAMES, description)
    with pytest.raises(DataError, match=message):
        ImageStack.open(path)
    with pytest.warns(DataWarning, match=message):
        ImageStack.open(path, allow_missing=True)


def ome_of_parts(own, *, n_frames=4, n_parts=2):
    """OME-XML of frames that lie two by two in part0.ome.tif, part1.ome.tif, …"""
    ids = [f"urn:uuid:{uuid.UUID(int=part + 1)}" for part in range(n_parts)]
    planes = "".join(
        f'<TiffData FirstT="{t}" IFD="{t % 2}" PlaneCount="1">'
        f'<UUID FileName="part{t // 2}.ome.tif">{ids[t // 2]}</UUID></TiffData>'
        for t in range(n_frames)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
        f'UUID="{ids[own]}"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" '
        f'Type="uint8" SizeX="48" SizeY="64" SizeZ="1" SizeC="1" SizeT="{n_frames}">'
        f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{planes}</Pixels></Image></OME>'
    ).encode()


@pytest.mark.parametrize("present", [0, 1])
def test_part_of_an_ome_tiff_that_is_missing_is_named(tmp_path, present):
    path = tmp_path / f"part{present}.ome.tif"
    frames = FRAMES[2 * present : 2 * present + 2]
    write(path, frames, photometric="minisblack", metadata=None, description=ome_of_parts(present))
    with pytest.raises(DataError, match=rf"4 planes, and 2 .* part{1 - present}\.ome\.tif is not"):
        ImageStack.open(path)
    with pytest.warns(DataWarning, match="2 of them are missing"):
        stack = ImageStack.open(path, allow_missing=True)
    assert [bool(stack.frame(t).any()) for t in range(4)] == [t // 2 == present for t in range(4)]


def test_all_parts_of_an_ome_tiff_are_one_stack(tmp_path):
    for part in (0, 1):
        write(
            tmp_path / f"part{part}.ome.tif",
            FRAMES[2 * part : 2 * part + 2],
            photometric="minisblack",
            metadata=None,
            description=ome_of_parts(part),
        )
    for part in (0, 1):
        stack = ImageStack.open(tmp_path / f"part{part}.ome.tif")
        np.testing.assert_array_equal(pixels(stack)[..., 0], FRAMES)


def test_part_of_an_ome_tiff_that_is_cut_is_refused(tmp_path):
    for part in (0, 1):
        path = tmp_path / f"part{part}.ome.tif"
        write(
            path,
            FRAMES[2 * part : 2 * part + 2],
            photometric="minisblack",
            metadata=None,
            description=ome_of_parts(part),
        )
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(DataError, match=r"part"):
        ImageStack.open(tmp_path / "part0.ome.tif")


def test_part_that_another_file_describes_names_it(tmp_path):
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<BinaryOnly MetadataFile="first.ome.tif" UUID="urn:uuid:0"/></OME>'
    )
    path = write(
        tmp_path / "a.ome.tif",
        FRAMES,
        photometric="minisblack",
        metadata=None,
        description=text.encode(),
    )
    with pytest.raises(DataError, match=r"one part of images that first\.ome\.tif describes"):
        ImageStack.open(path)


@pytest.mark.parametrize("suffix", [".btf", ".tf2", ".tf8", ".ome.btf", ".ome.tf2", ".TIF"])
def test_bigtiff_by_its_own_suffix(tmp_path, suffix):
    axes = {"axes": "TYX"}
    path = write(
        tmp_path / f"a{suffix}", FRAMES, photometric="minisblack", bigtiff=True, metadata=axes
    )
    np.testing.assert_array_equal(pixels(ImageStack.open(path))[..., 0], FRAMES)


def test_header_that_announces_more_than_the_file_holds_is_refused(tmp_path):
    path = write(tmp_path / "a.tif", FRAMES[0], photometric="minisblack", metadata=None)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages[0].tags["ImageWidth"].overwrite(60_000)
    with pytest.raises(DataError, match=r"damaged|truncated"):
        ImageStack.open(path)


def test_frame_that_no_memory_can_hold_is_refused(tmp_path):
    path = write(
        tmp_path / "a.tif", FRAMES[0], photometric="minisblack", metadata=None, compression="zlib"
    )
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        for name in ("ImageWidth", "ImageLength"):
            tiff.pages[0].tags[name].overwrite(4_000_000_000, dtype="I")
    with pytest.raises(DataError, match=r"a\.tif"):
        ImageStack.open(path)
