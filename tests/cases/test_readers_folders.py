"""Each file of a folder of frames is a frame, is said not to be one, or is refused."""

import os
import socket
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from rleseg_core.data import ImageStack, LabelledStack, LabelStack
from rleseg_core.data.formats.frame_names import find_breaks
from rleseg_core.errors import DataError, DataWarning

FRAMES = np.random.default_rng(0).integers(0, 200, (4, 32, 48), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "frames"
    path.mkdir()
    for index, frame in enumerate(FRAMES):
        tifffile.imwrite(path / f"t{index}.tif", frame, photometric="minisblack")
    return path


def pixels(stack):
    return stack.data.compute()[..., 0]


def replace_by_link(path):
    path.unlink()
    path.symlink_to("/nonexistent/t1.tif")


def replace_by_pipe(path):
    path.unlink()
    os.mkfifo(path)


def replace_by_folder(path):
    path.unlink()
    path.mkdir()


def replace_by_nothing(path):
    path.write_bytes(b"")


def replace_by_half(path):
    path.write_bytes(path.read_bytes()[:600])


ODD = [
    (replace_by_link, "link to /nonexistent/t1.tif, which does not exist"),
    (replace_by_pipe, "a named pipe, not a file"),
    (replace_by_folder, "it is a folder"),
    (replace_by_nothing, "0 bytes"),
    (replace_by_half, "truncated"),
]


@pytest.mark.parametrize(("spoil", "message"), ODD)
@pytest.mark.parametrize("opener", [ImageStack, LabelStack])
def test_file_that_is_no_frame_is_refused(folder, spoil, message, opener):
    spoil(folder / "t1.tif")
    with pytest.raises(DataError, match=rf"t1\.tif.*{message}"):
        opener.open(folder)


@pytest.mark.parametrize(("spoil", "message"), ODD)
def test_file_that_is_no_frame_is_said_where_that_is_allowed(folder, spoil, message):
    spoil(folder / "t1.tif")
    with pytest.warns(DataWarning, match=message):
        stack = ImageStack.open(folder, allow_missing=True)
    np.testing.assert_array_equal(pixels(stack), FRAMES[[0, 2, 3]])


def test_gap_in_the_numbers_is_said(folder):
    (folder / "t1.tif").unlink()
    with pytest.warns(DataWarning, match=r"leave some out between t0\.tif and t2\.tif"):
        stack = ImageStack.open(folder)
    assert stack.n_frames == 3
    assert stack.breaks == (1,)
    assert ImageStack.open(folder, join_gaps=True).breaks == ()


@pytest.mark.parametrize(
    ("names", "breaks"),
    [
        ("t1 t2 t3 t4", ()),
        ("t10 t20 t30 t50 t60", (3,)),
        ("at0_1003 at1_2001 at2_3010", ()),
        ("a b c", ()),
        ("a0 a1 b0 b1", (2,)),
        ("p1_t0 p1_t1 p1_t2 p2_t0 p2_t1 p2_t2", (3,)),
        ("p1_t0 p1_t1 p1_t4 p1_t5 p2_t0 p2_t1", (2, 4)),
        ("t3 t2 t1", (1, 2)),
        ("t0 t7", ()),
    ],
)
def test_frames_that_do_not_follow_are_found_by_their_names(names, breaks):
    assert find_breaks([Path(f"{name}.tif") for name in names.split()]) == breaks


def test_numbers_with_a_step_are_no_gap(folder):
    for index in (3, 2, 1):
        (folder / f"t{index}.tif").rename(folder / f"t{index * 5}.tif")
    np.testing.assert_array_equal(pixels(ImageStack.open(folder)), FRAMES)


@pytest.mark.parametrize("twin", ["t1.png", "t01.tif", "T1.tif", "t1.TIFF"])
def test_frame_that_is_there_twice_is_refused(folder, twin):
    if twin.endswith(".png"):
        Image.fromarray(FRAMES[1]).save(folder / twin)
    else:
        tifffile.imwrite(folder / twin, FRAMES[1], photometric="minisblack")
    with pytest.raises(DataError, match="the same frame twice"):
        ImageStack.open(folder)
    assert ImageStack.open(folder, pattern="t?.tif").n_frames == 4


def test_masks_that_no_pattern_parts_from_images_go_elsewhere(tmp_path):
    for name in ("1.tif", "mask1.tif"):
        tifffile.imwrite(tmp_path / name, FRAMES[0], photometric="minisblack")
    with pytest.raises(DataError, match="put them into different folders"):
        ImageStack.open(tmp_path)


@pytest.mark.parametrize("word", ["masks", "seg", "cp_masks", "labels"])
def test_masks_beside_images_are_refused_and_chosen_by_pattern(folder, word):
    for index, frame in enumerate(FRAMES):
        ids = (frame > 100).astype(np.uint8)
        tifffile.imwrite(folder / f"t{index}_{word}.tif", ids, photometric="minisblack")
    for opener in (ImageStack, LabelStack):
        with pytest.raises(DataError, match=r"masks beside images .* --pattern '(.*)'") as refusal:
            opener.open(folder)
        advised = str(refusal.value).rpartition("--pattern ")[2].strip("'")
        assert opener.open(folder, pattern=advised).n_frames == 4
    masks = LabelStack.open(folder, pattern=f"*_{word}.tif")
    np.testing.assert_array_equal(masks.data.compute(), FRAMES > 100)


def test_images_and_masks_of_one_folder_are_paired_by_pattern(folder):
    from rleseg_core.data.formats.base import ReadOptions

    for index, frame in enumerate(FRAMES):
        ids = (frame > 100).astype(np.uint8)
        tifffile.imwrite(folder / f"t{index}_masks.tif", ids, photometric="minisblack")
    stack = LabelledStack.from_paths(
        folder,
        folder,
        ["cell"],
        reading=ReadOptions(pattern="t?.tif"),
        mask_reading=ReadOptions(pattern="*_masks.tif"),
    )
    np.testing.assert_array_equal(pixels(stack.images), FRAMES)
    np.testing.assert_array_equal(stack.class_frame(2), FRAMES[2] > 100)


def test_channels_in_files_of_their_own_are_said(tmp_path):
    for index, frame in enumerate(FRAMES):
        for channel in (1, 2):
            Image.fromarray(frame).save(tmp_path / f"img_{index}_ch{channel}.png")
    with pytest.warns(DataWarning, match=r"count in 2 places \(img_#_ch#: 0 to 3 and 1 to 2\)"):
        assert ImageStack.open(tmp_path).n_frames == 8
    np.testing.assert_array_equal(pixels(ImageStack.open(tmp_path, pattern="*_ch2.png")), FRAMES)


def test_files_of_other_kinds_are_said(folder):
    np.save(folder / "all.npy", FRAMES)
    (folder / "notes.txt").write_text("not an image")
    (folder / ".t9.tif").write_bytes(b"hidden")
    with pytest.warns(DataWarning, match=r"also holds all\.npy, which cannot be a frame"):
        assert ImageStack.open(folder).n_frames == 4


def test_names_in_other_digits_and_capitals(tmp_path):
    for name, frame in zip(("t٣.TIF", "t١.tif", "t٢.Tiff"), FRAMES, strict=False):
        tifffile.imwrite(tmp_path / name, frame, photometric="minisblack")
    np.testing.assert_array_equal(pixels(ImageStack.open(tmp_path)), FRAMES[[1, 2, 0]])


def test_z_stacks_as_frames_need_a_plane(tmp_path):
    for index in range(2):
        tifffile.imwrite(tmp_path / f"t{index}.tif", FRAMES, imagej=True, metadata={"axes": "ZYX"})
    with pytest.raises(DataError, match="holds 4 frames"):
        ImageStack.open(tmp_path)
    stack = ImageStack.open(tmp_path, z="max")
    np.testing.assert_array_equal(pixels(stack), np.stack([FRAMES.max(axis=0)] * 2))


def test_channels_of_frames_are_chosen(tmp_path):
    for index in range(2):
        tifffile.imwrite(
            tmp_path / f"t{index}.tif", FRAMES[:2] + index, imagej=True, metadata={"axes": "CYX"}
        )
    stack = ImageStack.open(tmp_path)
    assert (stack.shape, stack.is_colour) == ((2, 32, 48, 2), False)
    stack = ImageStack.open(tmp_path, channel=1)
    np.testing.assert_array_equal(pixels(stack), np.stack([FRAMES[1], FRAMES[1] + 1]))


def test_pattern_without_a_match_is_refused(folder):
    with pytest.raises(DataError, match=r"no images .* whose names match '\*\.jpg'"):
        ImageStack.open(folder, pattern="*.jpg")
    with pytest.raises(DataError, match="--pattern chooses files of a folder"):
        ImageStack.open(folder / "t0.tif", pattern="*")


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.mkv", "a.npy", "a.zarr", "a"])
def test_pipe_is_refused_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    for opener in (ImageStack, LabelStack):
        with pytest.raises(DataError, match="it is a named pipe, not a file"):
            opener.open(tmp_path / name)


def test_devices_and_sockets_are_refused(tmp_path):
    with pytest.raises(DataError, match="it is a device, not a file"):
        ImageStack.open("/dev/zero")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "s.tif"))
        with pytest.raises(DataError, match="it is a socket, not a file"):
            ImageStack.open(tmp_path / "s.tif")
    (tmp_path / "l.tif").symlink_to("gone.tif")
    with pytest.raises(DataError, match=r"it is a link to gone\.tif, which does not exist"):
        ImageStack.open(tmp_path / "l.tif")


def test_large_png_opens(tmp_path):
    Image.new("1", (15_000, 13_000)).save(tmp_path / "mosaic.png")
    stack = ImageStack.open(tmp_path / "mosaic.png")
    assert stack.shape == (1, 13_000, 15_000, 1)
    assert Image.MAX_IMAGE_PIXELS is not None  # other programs keep their limit


def test_animated_png_is_read_whole(tmp_path):
    first, *others = (Image.fromarray(frame) for frame in FRAMES)
    first.save(tmp_path / "a.png", save_all=True, append_images=others)
    np.testing.assert_array_equal(pixels(ImageStack.open(tmp_path / "a.png")), FRAMES)


@pytest.mark.parametrize("shape", [(3, 32, 48), (4, 32, 48)])
@pytest.mark.parametrize("dtype", ["uint8", "int32"])
@pytest.mark.parametrize("kind", ["npy", "zarr"])
def test_three_or_four_frames_without_axes_are_frames(tmp_path, shape, dtype, kind):
    import zarr

    array = FRAMES[: shape[0]].astype(dtype) + 1
    path = tmp_path / f"a.{kind}"
    if kind == "npy":
        np.save(path, array)
    else:
        zarr.create_array(store=path, data=array)
    np.testing.assert_array_equal(pixels(ImageStack.open(path)), array)
    np.testing.assert_array_equal(LabelStack.open(path).data.compute(), array)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_colour_without_axes_is_said(tmp_path, dtype):
    np.save(tmp_path / "a.npy", np.ones((32, 48, 3), dtype))
    with pytest.warns(DataWarning, match=r"\(32, 48, 3\) is read as YXS"):
        assert ImageStack.open(tmp_path / "a.npy").shape == (1, 32, 48, 3)
    assert ImageStack.open(tmp_path / "a.npy", axes="TYX").shape == (32, 48, 3, 1)
