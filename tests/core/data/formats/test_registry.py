"""One registry feeds readers, writers, dialogs, help texts and messages."""

import subprocess
import sys

import pytest

from rleseg_core.data.formats import registry
from rleseg_core.data.formats.registry import (
    FORMATS,
    dialog_filter,
    file_suffixes,
    format_of,
    input_kinds,
    output_formats,
    output_suffixes,
)

HEAVY = {"av", "dask", "tifffile", "torch", "zarr"}


def test_no_suffix_belongs_to_two_formats():
    suffixes = [suffix for one in FORMATS for suffix in one.suffixes]
    assert len(set(suffixes)) == len(suffixes)
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in suffixes)


def test_dialog_offers_what_is_read():
    everything, *filters = dialog_filter().split(";;")
    assert all(f"*{suffix}" in everything for suffix in file_suffixes())
    assert "*.npy" in everything
    names = everything.partition("(")[2].strip(")").split()
    assert "*.zarr" not in names  # a folder, which the dialog for folders offers
    assert filters[0] == "TIFF (*.tif *.tiff)"
    assert filters[-1] == "All files (*)"


def test_what_is_written_can_be_read():
    assert {one.label for one in output_formats()} >= {"TIFF", "zarr"}
    suffixes = [suffix for one in output_formats() for suffix in one.suffixes]
    assert output_suffixes() == f"{', '.join(suffixes[:-1])} or {suffixes[-1]}"
    assert input_kinds().startswith("TIFF, image, video, NumPy array, zarr, ")
    assert input_kinds().endswith(", or a folder of images")


def test_folder_without_markers_is_no_zarr(tmp_path):
    folder = tmp_path / "frames.zarr"
    folder.mkdir()
    assert format_of(folder) is None
    assert registry.is_frame_folder(folder)
    (folder / "zarr.json").write_text("{}")
    assert format_of(folder).label == "zarr"
    (tmp_path / "file.zarr").write_text("no folder")
    assert format_of(tmp_path / "file.zarr") is None


@pytest.mark.parametrize("module", ["rleseg_core.data.formats.registry", "rleseg_core.cli"])
def test_decoders_are_imported_when_a_file_is_opened(module):
    code = f"import sys, {module}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & {name.partition(".")[0] for name in run.stdout.split()}
