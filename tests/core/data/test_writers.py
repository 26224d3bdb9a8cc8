import numpy as np
import pytest
import tifffile
import zarr

from rleseg_core.data import LabelStack
from rleseg_core.data.writers import write_labels
from rleseg_core.errors import DataError, OutputError

LABELS = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)


def test_tiff_holds_labels_and_provenance(tmp_path):
    path = write_labels(tmp_path / "masks.tif", LABELS, ("cell",), {"model": "demo"})
    assert np.array_equal(tifffile.imread(path), LABELS)
    with tifffile.TiffFile(path) as file:
        assert len(file.pages) == 3
        assert file.is_imagej
    metadata = LabelStack.open(path).metadata
    assert metadata.class_names == ("cell",)
    assert metadata.provenance == {"model": "demo"}


def test_zarr_has_one_chunk_a_frame(tmp_path):
    path = write_labels(tmp_path / "masks.zarr", LABELS, ("cell",), {"model": "demo"})
    group = zarr.open_group(path, mode="r")
    assert group["0"].chunks == (1, 4, 5)
    assert np.array_equal(group["0"][:], LABELS)
    assert group.attrs["rleseg"] == {"class_names": ["cell"], "provenance": {"model": "demo"}}


def test_other_suffix_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(DataError, match=r"must end in \.tif"):
        write_labels(tmp_path / "masks.png", LABELS)
    assert not list(tmp_path.iterdir())


def test_folder_and_file_do_not_replace_each_other(tmp_path):
    (tmp_path / "masks.tif").mkdir()
    (tmp_path / "masks.zarr").write_text("a file")
    for name, kind in (("masks.tif", "folder"), ("masks.zarr", "file")):
        with pytest.raises(OutputError, match=f"is a {kind}, where a label stack"):
            write_labels(tmp_path / name, LABELS, overwrite=True)


class Broken(np.ndarray):
    """An array whose last frame cannot be read."""

    def __getitem__(self, key):
        if key == 2:
            raise OSError("gone")
        return super().__getitem__(key)


@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
def test_failed_write_leaves_nothing(tmp_path, suffix):
    with pytest.raises(OSError, match="gone"):
        write_labels(tmp_path / f"masks{suffix}", LABELS.view(Broken))
    assert not list(tmp_path.iterdir())
