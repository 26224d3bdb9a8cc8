"""What a zarr hierarchy announces is there, is chosen by name, or is said to be missing."""

import json
import shutil

import numpy as np
import pytest
import zarr

from rleseg_core.data import ImageStack, LabelStack
from rleseg_core.data.writers import write_labels
from rleseg_core.errors import DataError, DataWarning

FRAMES = np.random.default_rng(0).integers(1, 200, (4, 64, 48), dtype=np.uint8)
VERSIONS = pytest.mark.parametrize("version", [2, 3])


def chunk(version, *where):
    return f"c/{'/'.join(map(str, where))}" if version == 3 else ".".join(map(str, where))


def mark(group, version, **ome):
    if version == 3:
        group.attrs["ome"] = {"version": "0.5", **ome}
    else:
        group.attrs.update(ome)


def image(group, version, data, axes="tyx"):
    names = [{"name": name} for name in axes]
    group.create_array("0", data=data)
    mark(group, version, multiscales=[{"axes": names, "datasets": [{"path": "0"}]}])
    return group


def pixels(stack):
    return stack.data.compute()[..., 0]


@pytest.fixture
def stored(tmp_path, request):
    version = request.param
    array = zarr.create_array(
        store=tmp_path / "a.zarr",
        shape=FRAMES.shape,
        chunks=(1, 32, 48),
        dtype="u1",
        zarr_format=version,
    )
    array[:] = FRAMES
    return tmp_path / "a.zarr", version


@pytest.mark.parametrize("stored", [2, 3], indirect=True)
def test_frame_without_a_chunk_is_refused_in_images(stored):
    path, version = stored
    for row in (0, 1):
        (path / chunk(version, 2, row, 0)).unlink()
    with pytest.raises(DataError, match=r"2 of 8 chunks are not stored .*one frame has none"):
        ImageStack.open(path)
    with pytest.warns(DataWarning, match="2 of 8 chunks"):
        stack = ImageStack.open(path, allow_missing=True)
    np.testing.assert_array_equal(pixels(stack)[[0, 1, 3]], FRAMES[[0, 1, 3]])


@pytest.mark.parametrize("stored", [2, 3], indirect=True)
@pytest.mark.parametrize("opener", [ImageStack, LabelStack])
def test_part_of_a_frame_without_a_chunk_is_said(stored, opener):
    path, version = stored
    (path / chunk(version, 2, 1, 0)).unlink()
    with pytest.warns(DataWarning, match="1 of 8 chunks are not stored and count as 0"):
        opener.open(path)


@pytest.mark.parametrize("stored", [2, 3], indirect=True)
def test_empty_chunk_file_counts_as_missing(stored):
    path, version = stored
    for row in (0, 1):
        (path / chunk(version, 2, row, 0)).write_bytes(b"")
    with pytest.raises(DataError, match="one frame has none"):
        ImageStack.open(path)


@pytest.mark.parametrize("stored", [2, 3], indirect=True)
def test_sparse_masks_of_others_are_read_and_said(stored):
    path, version = stored
    for row in (0, 1):
        (path / chunk(version, 2, row, 0)).unlink()
    with pytest.warns(DataWarning, match="one frame has none"):
        masks = LabelStack.open(path)
    assert not masks.frame(2).any()


def test_own_masks_of_some_frames_are_read(tmp_path):
    ids = FRAMES.copy()
    ids[2] = 0
    path = write_labels(tmp_path / "a.zarr", ids, ["cell"])
    np.testing.assert_array_equal(LabelStack.open(path).data.compute(), ids)


def test_missing_shard_is_missing(tmp_path):
    array = zarr.create_array(
        store=tmp_path / "a.zarr",
        shape=FRAMES.shape,
        chunks=(1, 16, 16),
        shards=(1, 64, 48),
        dtype="u1",
    )
    array[:] = FRAMES
    np.testing.assert_array_equal(pixels(ImageStack.open(tmp_path / "a.zarr")), FRAMES)
    (tmp_path / "a.zarr" / "c/1/0/0").unlink()
    with pytest.raises(DataError, match="1 of 4 chunks"):
        ImageStack.open(tmp_path / "a.zarr")


def test_axes_that_are_advised_can_be_given(tmp_path):
    path = tmp_path / "a.zarr"
    zarr.create_array(store=path, data=np.stack([FRAMES, FRAMES + 1], axis=1))
    with pytest.raises(DataError, match="--axes"):
        ImageStack.open(path)
    np.testing.assert_array_equal(pixels(ImageStack.open(path, axes="TCYX", channel=1)), FRAMES + 1)


@VERSIONS
def test_series_of_bioformats2raw_are_chosen(tmp_path, version):
    path = tmp_path / "a.zarr"
    root = zarr.open_group(path, mode="w", zarr_format=version)
    mark(root, version, **{"bioformats2raw.layout": 3})
    for index in range(2):
        image(root.create_group(str(index)), version, (FRAMES + index)[:, None, None], "tczyx")
    (path / "OME").mkdir()
    (path / "OME" / "METADATA.ome.xml").write_text(
        '<OME xmlns="x"><Image Name="left"/><Image Name="right"/></OME>'
    )
    with pytest.raises(DataError, match=r"2 images: 0 \(0 left\) TCZYX 4 × 1 × 1 × 64 × 48, 1"):
        ImageStack.open(path)
    for chosen in (1, "1 right"):
        np.testing.assert_array_equal(pixels(ImageStack.open(path, series=chosen)), FRAMES + 1)
    np.testing.assert_array_equal(pixels(ImageStack.open(path / "1")), FRAMES + 1)
    # the level knows no axes of its own in version 2: the group above does
    np.testing.assert_array_equal(pixels(ImageStack.open(path / "1" / "0")), FRAMES + 1)


@VERSIONS
def test_only_image_of_a_series_needs_no_choice(tmp_path, version):
    root = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=version)
    mark(root, version, **{"bioformats2raw.layout": 3})
    image(root.create_group("0"), version, FRAMES)
    np.testing.assert_array_equal(pixels(ImageStack.open(tmp_path / "a.zarr")), FRAMES)


@VERSIONS
def test_fields_of_a_plate_are_chosen(tmp_path, version):
    root = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=version)
    mark(root, version, plate={"wells": [{"path": "A/1"}, {"path": "B/2"}]})
    well = root.create_group("A/1")
    mark(well, version, well={"images": [{"path": "0"}, {"path": "1"}]})
    for index in range(2):
        image(well.create_group(str(index)), version, FRAMES + index)
    with pytest.raises(DataError, match=r"0 \(A/1/0\) TYX 4 × 64 × 48, 1 \(A/1/1\)"):
        ImageStack.open(tmp_path / "a.zarr")
    with pytest.warns(DataWarning, match="also names B/2, which is not there"):
        stack = ImageStack.open(tmp_path / "a.zarr", series="A/1/1")
    np.testing.assert_array_equal(pixels(stack), FRAMES + 1)


@VERSIONS
def test_masks_of_an_image_are_its_labels(tmp_path, version):
    path = tmp_path / "a.zarr"
    root = image(zarr.open_group(path, mode="w", zarr_format=version), version, FRAMES)
    labels = root.create_group("labels")
    mark(labels, version, labels=["cells", "nuclei"])
    for index, name in enumerate(("cells", "nuclei")):
        image(labels.create_group(name), version, FRAMES // 100 + index)
    np.testing.assert_array_equal(pixels(ImageStack.open(path)), FRAMES)
    with pytest.raises(DataError, match=r"0 \(cells\) .* 1 \(nuclei\)"):
        LabelStack.open(path)
    with pytest.warns(DataWarning, match="its masks are those of labels/"):
        masks = LabelStack.open(path, series="nuclei")
    np.testing.assert_array_equal(masks.data.compute(), FRAMES // 100 + 1)


def test_arrays_of_a_group_are_chosen(tmp_path):
    root = zarr.open_group(tmp_path / "a.zarr", mode="w")
    root.create_array("x", data=FRAMES)
    root.create_array("y", data=FRAMES + 1)
    root.create_array("time", data=np.arange(4))
    with pytest.raises(DataError, match=r"2 images: 0 \(x\) 4 × 64 × 48, 1 \(y\)"):
        ImageStack.open(tmp_path / "a.zarr")
    np.testing.assert_array_equal(
        pixels(ImageStack.open(tmp_path / "a.zarr", series="y")), FRAMES + 1
    )


@VERSIONS
@pytest.mark.parametrize("name", ["a.zarr.zip", "a.ome.zarr.zip", "a.ozx"])
@pytest.mark.parametrize("is_nested", [False, True])
def test_zipped_zarr(tmp_path, version, name, is_nested):
    folder = tmp_path / "zipped" / "a.zarr"
    image(zarr.open_group(folder, mode="w", zarr_format=version), version, FRAMES)
    made = shutil.make_archive(
        str(tmp_path / "made"), "zip", folder.parent if is_nested else folder
    )
    (tmp_path / name).unlink(missing_ok=True)
    shutil.move(made, tmp_path / name)
    np.testing.assert_array_equal(pixels(ImageStack.open(tmp_path / name)), FRAMES)


def test_zip_that_holds_no_zarr_is_refused(tmp_path):
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.txt").write_text("a")
    made = shutil.make_archive(str(tmp_path / "made"), "zip", tmp_path / "files")
    shutil.move(made, tmp_path / "a.zarr.zip")
    with pytest.raises(DataError, match="no zarr hierarchy"):
        ImageStack.open(tmp_path / "a.zarr.zip")


@pytest.mark.parametrize("shape", [(4, 10**9, 10**9), (10**12, 64, 48), (10**15, 10**9, 10**9)])
@pytest.mark.parametrize("allow_missing", [False, True])
def test_sizes_that_nothing_can_hold_are_refused(tmp_path, shape, allow_missing):
    zarr.create_array(store=tmp_path / "a.zarr", data=FRAMES)
    header = tmp_path / "a.zarr" / "zarr.json"
    header.write_text(json.dumps({**json.loads(header.read_text()), "shape": shape}))
    with pytest.raises(DataError, match=r"a\.zarr"):
        ImageStack.open(tmp_path / "a.zarr", allow_missing=allow_missing)


def test_images_of_older_sessions_may_have_black_frames(tmp_path):
    array = zarr.create_array(
        store=tmp_path / "images.zarr",
        shape=FRAMES.shape,
        chunks=(1, 64, 48),
        dtype="u1",
        dimension_names=("t", "y", "x"),
    )
    for frame in (0, 1, 3):
        array[frame] = FRAMES[frame]
    with pytest.warns(DataWarning, match="1 of 4 chunks are not stored"):
        stack = ImageStack.open(tmp_path / "images.zarr")
    assert not stack.frame(2).any()
