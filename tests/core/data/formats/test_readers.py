import struct

import av
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from rleseg_core.data import ImageStack, LabelStack, check_same_shape, open_labels
from rleseg_core.errors import DataError, DataWarning

MOVIES = [
    {},
    {"imagej": True, "metadata": {"axes": "TYX"}},
    {"ome": True, "metadata": {"axes": "TYX"}},
    {"compression": "zlib"},
]


@pytest.fixture
def frames():
    return np.random.default_rng(0).integers(0, 256, (5, 24, 32), dtype=np.uint8)


@pytest.fixture
def colour():
    return np.random.default_rng(0).integers(0, 256, (3, 24, 32, 3), dtype=np.uint8)


def read(stack):
    return np.stack([stack.frame(t) for t in range(stack.n_frames)])


@pytest.mark.parametrize(
    ("shape", "dtype", "axes", "expected"),
    [
        ((8, 9), np.uint8, None, (1, 8, 9, 1)),
        ((4, 8, 9), np.uint16, None, (4, 8, 9, 1)),
        ((8, 9, 3), np.uint8, None, (1, 8, 9, 3)),
        ((8, 9, 4), np.uint8, None, (1, 8, 9, 4)),
        ((8, 9, 3), np.uint16, None, (1, 8, 9, 3)),
        ((4, 4, 3), np.uint16, None, (4, 4, 3, 1)),
        ((4, 8, 9, 3), np.float32, None, (4, 8, 9, 3)),
        ((3, 8, 9), np.uint8, "CYX", (1, 8, 9, 3)),
        ((4, 2, 8, 9), np.uint8, "TCYX", (4, 8, 9, 2)),
        ((4, 1, 2, 8, 9), np.uint8, "tzcyx", (4, 8, 9, 2)),
        ((1, 6, 8, 9), np.uint8, "TZYX", (6, 8, 9, 1)),
        ((8, 9, 3), np.uint8, "XYT", (3, 9, 8, 1)),
        ((8, 9), bool, None, (1, 8, 9, 1)),
    ],
)
def test_axes_of_arrays(shape, dtype, axes, expected):
    array = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    stack = ImageStack.from_array(array, axes)
    assert stack.shape == expected
    assert stack.n_frames == expected[0]
    assert read(stack).shape == expected
    assert stack.dtype == (np.uint8 if dtype is bool else dtype)


def test_axes_bring_the_values_to_their_place():
    array = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    np.testing.assert_array_equal(
        read(ImageStack.from_array(array, "XTYC")), array.transpose(1, 2, 0, 3)
    )


@pytest.mark.parametrize(
    ("shape", "axes", "message"),
    [
        ((8,), None, "cannot tell the axes"),
        ((2, 3, 8, 9), None, "axes='TCYX'"),
        ((2, 3, 8, 9), "TZYX", "2 time points of 3 planes"),
        ((2, 3, 8, 9), "CSYX", "channels"),
        ((3, 8, 9), "TCYX", "does not fit the axes"),
        ((3, 8, 9), "TYY", "one column axis X"),
        ((3, 8, 9), "WYX", "besides time"),
        ((0, 8, 9), None, "not empty"),
    ],
)
def test_arrays_that_are_no_stack_are_refused(shape, axes, message):
    with pytest.raises(DataError, match=message):
        ImageStack.from_array(np.zeros(shape), axes)


def test_values_that_are_no_image_are_refused():
    with pytest.raises(DataError, match="complex128"):
        ImageStack.from_array(np.zeros((2, 2), complex))


def test_frame_out_of_range_is_refused(frames):
    with pytest.raises(DataError, match="frames are 0 to 4"):
        ImageStack.from_array(frames).frame(5)


@pytest.mark.parametrize(
    "options",
    [
        *MOVIES,
        {"metadata": None},
        {"compression": "lzw", "tile": (16, 16)},
        {"bigtiff": True},
        {"byteorder": ">"},
    ],
)
def test_multi_page_tiff(tmp_path, frames, options):
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, frames, photometric="minisblack", **options)
    stack = ImageStack.open(path)
    assert stack.shape == (5, 24, 32, 1)
    assert stack.name == "movie"
    assert stack.path == path
    np.testing.assert_array_equal(read(stack)[..., 0], frames)


def test_ome_tiff_axes_are_honoured(tmp_path):
    data = np.random.default_rng(0).integers(0, 60000, (2, 4, 24, 32), dtype=np.uint16)
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, data, ome=True, photometric="minisblack", metadata={"axes": "CTYX"})
    stack = ImageStack.open(path)
    np.testing.assert_array_equal(read(stack), data.transpose(1, 2, 3, 0))
    tifffile.imwrite(path, data, ome=True, photometric="minisblack", metadata={"axes": "TZYX"})
    with pytest.raises(DataError, match="2 time points of 4 planes"):
        ImageStack.open(path)
    tifffile.imwrite(path, data[0], ome=True, photometric="minisblack", metadata={"axes": "ZYX"})
    with pytest.warns(DataWarning, match="4 planes and no time points"):
        stack = ImageStack.open(path)
    np.testing.assert_array_equal(read(stack)[..., 0], data[0])


def test_pyramid_is_read_at_its_finest_level(tmp_path, frames):
    path = tmp_path / "pyramid.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tiff:
        tiff.write(frames, subifds=1, photometric="minisblack", metadata={"axes": "TYX"})
        tiff.write(frames[:, ::2, ::2], subfiletype=1, photometric="minisblack")
    np.testing.assert_array_equal(read(ImageStack.open(path))[..., 0], frames)


def test_colour_tiff(tmp_path, colour):
    path = tmp_path / "colour.tif"
    tifffile.imwrite(path, colour, photometric="rgb")
    np.testing.assert_array_equal(read(ImageStack.open(path)), colour)


@pytest.mark.parametrize("keep", [0.02, 0.3, 0.9])
@pytest.mark.parametrize(
    "options",
    [*MOVIES, {"metadata": None}],
)
def test_truncated_tiff_is_one_sentence(tmp_path, frames, options, keep):
    whole, path = tmp_path / "whole.tif", tmp_path / "cut.tif"
    tifffile.imwrite(whole, frames, photometric="minisblack", **options)
    content = whole.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    for opened in (ImageStack.open, open_labels):
        with pytest.raises(DataError, match=r"cut\.tif") as caught:
            opened(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("options", MOVIES)
def test_tiff_cut_anywhere_is_refused_or_whole(tmp_path, frames, options):
    whole, path = tmp_path / "whole.tif", tmp_path / "cut.tif"
    tifffile.imwrite(whole, frames, photometric="minisblack", **options)
    content = whole.read_bytes()
    for n_bytes in [*range(0, len(content), 97), *range(len(content) - 20, len(content))]:
        path.write_bytes(content[:n_bytes])
        try:
            seen = read(ImageStack.open(path))
        except DataError:
            continue
        np.testing.assert_array_equal(seen[..., 0], frames)


def test_tiff_that_was_appended_page_by_page_and_cut(tmp_path, frames):
    path = tmp_path / "cut.tif"
    for frame in frames:
        tifffile.imwrite(path, frame, append=True, photometric="minisblack")
    np.testing.assert_array_equal(read(ImageStack.open(path))[..., 0], frames)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(DataError, match="truncated"):
        ImageStack.open(path)


def test_chain_of_pages_that_bites_its_tail_is_refused(tmp_path):
    path = tmp_path / "loop.tif"
    path.write_bytes(struct.pack("<2sHIHI", b"II", 42, 8, 0, 8))
    with pytest.raises(DataError, match="truncated"):
        ImageStack.open(path)


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.mp4", "a.txt", "a"])
def test_files_that_are_something_else(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"this is none of the formats " * 10)
    with pytest.raises(DataError, match="a"):
        ImageStack.open(path)
    path.write_bytes(b"")
    with pytest.raises(DataError, match="a"):
        ImageStack.open(path)


@pytest.mark.parametrize("open_it", [ImageStack.open, open_labels])
def test_missing_file(tmp_path, open_it):
    with pytest.raises(DataError, match=r"there is no file or folder .*missing\.tif"):
        open_it(tmp_path / "missing.tif")


def test_folder_in_natural_order(tmp_path, frames):
    for index, frame in zip((1, 2, 10, 11, 100), frames, strict=True):
        Image.fromarray(frame).save(tmp_path / f"image{index}.png")
    (tmp_path / "notes.txt").write_text("not a frame")
    (tmp_path / "._image1.png").write_bytes(b"left by a Mac")
    with pytest.warns(DataWarning, match=r"leave some out between image2\.png and image10\.png"):
        stack = ImageStack.open(tmp_path)
    np.testing.assert_array_equal(read(stack)[..., 0], frames)
    assert stack.data.chunks[0] == (1,) * 5


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".tiff", ".jpg"])
def test_folder_of_each_format(tmp_path, colour, suffix):
    for index, frame in enumerate(colour):
        flat = np.full_like(frame, 40 * index) if suffix == ".jpg" else frame
        if suffix.startswith(".tif"):
            tifffile.imwrite(tmp_path / f"{index}{suffix}", flat, photometric="rgb")
        else:
            Image.fromarray(flat).save(tmp_path / f"{index}{suffix}")
    seen = read(ImageStack.open(tmp_path))
    assert seen.shape == colour.shape
    if suffix == ".jpg":
        np.testing.assert_allclose(seen[:, 0, 0, 0], [0, 40, 80], atol=2)
    else:
        np.testing.assert_array_equal(seen, colour)


def test_16_bit_folder(tmp_path):
    data = np.random.default_rng(0).integers(0, 65536, (2, 8, 9), dtype=np.uint16)
    Image.fromarray(data[0]).save(tmp_path / "0.png")
    tifffile.imwrite(tmp_path / "1.tif", data[1])
    stack = ImageStack.open(tmp_path)
    assert stack.dtype == np.uint16
    np.testing.assert_array_equal(read(stack)[..., 0], data)


def test_grey_frames_among_colour_ones_become_colour(tmp_path, colour, frames):
    Image.fromarray(colour[0]).save(tmp_path / "0.png")
    Image.fromarray(frames[0]).save(tmp_path / "1.png")
    seen = read(ImageStack.open(tmp_path))
    np.testing.assert_array_equal(seen[1], np.repeat(frames[0][..., None], 3, axis=2))


def test_folder_of_two_sizes_names_the_file_and_the_sizes(tmp_path, frames):
    Image.fromarray(frames[0]).save(tmp_path / "a.png")
    Image.fromarray(frames[1][:-4]).save(tmp_path / "b.png")
    with pytest.raises(DataError, match=r"a.png has 24 rows and 32 columns, b.png has 20 and 32"):
        ImageStack.open(tmp_path)


def test_folder_of_two_types_is_refused(tmp_path, frames):
    Image.fromarray(frames[0]).save(tmp_path / "a.png")
    Image.fromarray(frames[0].astype(np.uint16)).save(tmp_path / "b.png")
    with pytest.raises(DataError, match=r"a.png is uint8, b.png is uint16"):
        ImageStack.open(tmp_path)


def test_folder_with_a_movie_in_it_is_refused(tmp_path, frames):
    tifffile.imwrite(tmp_path / "a.tif", frames)
    with pytest.raises(DataError, match="5 frames"):
        ImageStack.open(tmp_path)


def test_empty_folder(tmp_path):
    with pytest.raises(DataError, match="no images"):
        ImageStack.open(tmp_path)


def test_picture_cut_short_is_refused_when_it_is_read(tmp_path, frames):
    Image.fromarray(frames[0]).save(tmp_path / "a.png")
    path = tmp_path / "b.png"
    Image.fromarray(frames[1]).save(path)
    path.write_bytes(path.read_bytes()[:-300])
    stack = ImageStack.open(tmp_path)
    stack.frame(0)
    with pytest.raises(DataError, match=r"b\.png"):
        stack.frame(1)


def test_zarr_array(tmp_path, frames):
    path = tmp_path / "a.zarr"
    array = zarr.create_array(store=path, shape=frames.shape, chunks=(2, 8, 32), dtype="u1")
    array[:] = frames
    np.testing.assert_array_equal(read(ImageStack.open(path))[..., 0], frames)
    np.testing.assert_array_equal(read(ImageStack.from_array(array))[..., 0], frames)


@pytest.mark.parametrize("version", [2, 3])
def test_ome_zarr_is_read_at_its_finest_level(tmp_path, version):
    data = np.random.default_rng(0).integers(0, 999, (3, 2, 1, 16, 24), dtype=np.uint16)
    group = zarr.create_group(store=tmp_path / "a.ome.zarr", zarr_format=version)
    group.create_array("fine", shape=data.shape, dtype="u2", chunks=(1, 1, 1, 16, 24))[:] = data
    half = data[..., ::2, ::2]
    group.create_array("coarse", shape=half.shape, dtype="u2")[:] = half
    scales = [
        {
            "axes": [
                {"name": name, "type": kind}
                for name, kind in zip("tczyx", ("time", "channel", *["space"] * 3), strict=True)
            ],
            "datasets": [{"path": "fine"}, {"path": "coarse"}],
        }
    ]
    if version == 3:
        group.attrs["ome"] = {"version": "0.5", "multiscales": scales}
    else:
        group.attrs["multiscales"] = scales
    stack = ImageStack.open(tmp_path / "a.ome.zarr")
    np.testing.assert_array_equal(read(stack), data[:, :, 0].transpose(0, 2, 3, 1))


def test_named_dimensions_of_zarr_are_honoured(tmp_path):
    zarr.create_array(
        store=tmp_path / "a.zarr", data=np.ones((3, 8, 9), "u1"), dimension_names=("c", "y", "x")
    )
    assert ImageStack.open(tmp_path / "a.zarr").shape == (1, 8, 9, 3)


def test_zarr_group_of_several_arrays_is_refused(tmp_path):
    group = zarr.create_group(store=tmp_path / "a.zarr")
    for name in "ab":
        group.create_array(name, shape=(2, 2), dtype="u1")
    with pytest.raises(DataError, match=r"holds 2 images: 0 \(a\) 2 × 2, 1 \(b\) 2 × 2;"):
        ImageStack.open(tmp_path / "a.zarr")


def test_damaged_zarr_is_refused(tmp_path):
    (tmp_path / "zarr.json").write_text("{")
    with pytest.raises(DataError, match="cannot read"):
        ImageStack.open(tmp_path)


def write_video(path, frames, codec="ffv1", pix_fmt="gray"):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pix_fmt
        for pixels in frames:
            kind = "gray" if pixels.ndim == 2 else "rgb24"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format=kind)))
        container.mux(stream.encode())


def test_video_frames_in_any_order(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (40, 32, 48), dtype=np.uint8)
    write_video(tmp_path / "a.mkv", frames)
    stack = ImageStack.open(tmp_path / "a.mkv")
    assert stack.shape == (40, 32, 48, 1)
    for t in (39, 0, 20, 19, 5, 6, 38):
        np.testing.assert_array_equal(stack.frame(t)[..., 0], frames[t])
    np.testing.assert_array_equal(stack.data[..., 0].compute(), frames)


def test_colour_video(tmp_path):
    frames = np.zeros((12, 32, 48, 3), np.uint8)
    frames[..., 0] = np.arange(12, dtype=np.uint8)[:, None, None] * 20
    write_video(tmp_path / "a.mp4", frames, codec="mpeg4", pix_fmt="yuv420p")
    stack = ImageStack.open(tmp_path / "a.mp4")
    assert stack.shape == (12, 32, 48, 3)
    np.testing.assert_allclose(stack.frame(7)[16, 24], [140, 0, 0], atol=12)


def test_truncated_video_is_refused(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (12, 32, 48), dtype=np.uint8)
    path = tmp_path / "a.mp4"
    write_video(path, frames, codec="mpeg4", pix_fmt="yuv420p")
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError, match=r"a\.mp4"):
        ImageStack.open(path)


def test_palette_masks_are_read_by_index(tmp_path):
    ids = np.random.default_rng(0).integers(0, 3, (2, 8, 9), dtype=np.uint8)
    for index, frame in enumerate(ids):
        picture = Image.fromarray(frame).convert("L")
        picture = Image.frombytes("P", picture.size, picture.tobytes())
        picture.putpalette([0, 0, 0, 0, 255, 0, 255, 0, 0])
        picture.save(tmp_path / f"image{index}.png")
    labels = open_labels(tmp_path)
    assert isinstance(labels, LabelStack)
    assert labels.shape == (2, 8, 9)
    np.testing.assert_array_equal(read(labels), ids)
    assert ImageStack.open(tmp_path).shape == (2, 8, 9, 3)  # as a picture it is green and red


def test_grey_masks_stored_as_colour_are_read(tmp_path):
    ids = np.random.default_rng(0).integers(0, 3, (2, 8, 9), dtype=np.uint8)
    as_colour = np.repeat(ids[..., None], 3, axis=-1)
    folder = tmp_path / "masks"
    folder.mkdir()
    Image.fromarray(ids[0]).save(folder / "0.png")
    Image.fromarray(as_colour[1]).save(folder / "1.png")
    np.testing.assert_array_equal(read(open_labels(folder)), ids)
    tifffile.imwrite(tmp_path / "masks.tif", as_colour, photometric="rgb")
    np.testing.assert_array_equal(read(open_labels(tmp_path / "masks.tif")), ids)
    np.testing.assert_array_equal(read(LabelStack.from_array(as_colour)), ids)


def test_colour_masks_are_refused(tmp_path, colour):
    Image.fromarray(colour[0]).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", colour, photometric="rgb")
    for name in ("a.png", "a.tif"):
        with pytest.raises(DataError, match="is a colour image, from which ids cannot be read"):
            open_labels(tmp_path / name)


def test_whole_floats_are_ids_and_fractions_are_refused(tmp_path):
    labels = np.zeros((2, 8, 9), np.float32)
    labels[0, 1, 2] = 70000
    labels[1, 3, 4] = 0.5
    tifffile.imwrite(tmp_path / "a.tif", labels)
    stack = open_labels(tmp_path / "a.tif")
    assert stack.dtype == np.int64
    assert stack.frame(0)[1, 2] == 70000
    with pytest.raises(DataError, match=r"a\.tif holds 0\.5, .*a mask needs whole numbers"):
        stack.frame(1)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.int32])
def test_instance_ids_keep_their_type(tmp_path, dtype):
    ids = np.zeros((2, 8, 9), dtype)
    ids[1, 3, 4] = np.iinfo(dtype).max
    tifffile.imwrite(tmp_path / "a.tif", ids)
    labels = open_labels(tmp_path / "a.tif")
    assert labels.dtype == dtype
    np.testing.assert_array_equal(read(labels), ids)


def test_masks_of_another_shape_are_refused(frames):
    images = ImageStack.from_array(frames)
    check_same_shape(images, LabelStack.from_array(frames))
    with pytest.raises(DataError, match=r"mask is \(4, 24, 32\), the image is \(5, 24, 32\)"):
        check_same_shape(images, LabelStack.from_array(frames[:4]))
