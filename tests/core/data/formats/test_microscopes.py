"""BioIO is stood in for by a module that has what is used of it; HDF5 is real."""

import sys
from collections import namedtuple
from datetime import timedelta
from types import ModuleType, SimpleNamespace

import dask.array as da
import h5py
import numpy as np
import pytest

from rleseg_core.data import ImageStack
from rleseg_core.data.formats import microscopes
from rleseg_core.errors import DataError

FRAMES = np.random.default_rng(0).integers(0, 200, (4, 32, 48), dtype=np.uint16)
Sizes = namedtuple("Sizes", "Z Y X")


class StandIn:
    """A BioImage of two scenes, TCZYX."""

    scenes = ("left", "right")
    dims = SimpleNamespace(order="TCZYX")
    channel_names = ("phase", "GFP")
    physical_pixel_sizes = Sizes(None, 0.5, 0.25)
    time_interval = timedelta(seconds=30)

    def __init__(self, path):
        self.set_scene("left")

    def set_scene(self, scene):
        frames = FRAMES + 1000 * self.scenes.index(scene)
        self.dask_data = da.from_array(np.stack([frames, frames + 1], axis=1)[:, :, None])


@pytest.fixture
def bioio(monkeypatch):
    module = ModuleType("bioio")
    module.BioImage = StandIn
    monkeypatch.setitem(sys.modules, "bioio", module)
    monkeypatch.setattr(microscopes, "find_spec", lambda name: name)


@pytest.mark.parametrize("suffix", [".czi", ".nd2", ".lif", ".CZI"])
def test_missing_plugin_is_named_with_the_extra(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(microscopes, "find_spec", lambda _name: None)
    (tmp_path / f"a{suffix}").write_bytes(b"a file of a microscope")
    with pytest.raises(DataError, match=rf"bioio-{suffix[1:].lower()}.*napari-rleseg\[bioio\]"):
        ImageStack.open(tmp_path / f"a{suffix}")


@pytest.mark.usefixtures("bioio")
def test_scenes_and_channels_are_chosen(tmp_path):
    path = tmp_path / "a.czi"
    path.write_bytes(b"a file of a microscope")
    with pytest.raises(DataError, match=r"0 \(left\) TCZYX 4 × 2 × 1 × 32 × 48, 1 \(right\)"):
        ImageStack.open(path)
    stack = ImageStack.open(path, series="right", channel="GFP")
    np.testing.assert_array_equal(stack.data.compute()[..., 0], FRAMES + 1001)
    assert stack.metadata.pixel_size == (0.5, 0.25)
    assert stack.metadata.frame_interval == 30


def test_hdf5_array(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("volume", data=FRAMES, chunks=(1, 32, 48))
        file.create_dataset("times", data=np.arange(4))
    np.testing.assert_array_equal(ImageStack.open(tmp_path / "a.h5").data.compute()[..., 0], FRAMES)


def test_arrays_of_hdf5_are_chosen(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("raw/a", data=FRAMES)
        file.create_dataset("raw/b", data=FRAMES[:, :, :3])
    with pytest.raises(DataError, match=r"0 \(raw/a\) 4 × 32 × 48, 1 \(raw/b\) 4 × 32 × 3"):
        ImageStack.open(tmp_path / "a.h5")
    assert ImageStack.open(tmp_path / "a.h5", series="raw/a").n_frames == 4
    assert ImageStack.open(tmp_path / "a.h5", series="raw/b", axes="YXS").is_colour


@pytest.mark.parametrize("content", [b"", b"no HDF5", None])
def test_hdf5_without_images_is_refused(tmp_path, content):
    if content is None:
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file.create_dataset("times", data=np.arange(4))
    else:
        (tmp_path / "a.h5").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.h5"):
        ImageStack.open(tmp_path / "a.h5")


def test_missing_h5py_is_named_with_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(microscopes, "find_spec", lambda _name: None)
    (tmp_path / "a.h5").write_bytes(b"a")
    with pytest.raises(DataError, match=r"needs h5py: pip install 'napari-rleseg\[bioio\]'"):
        ImageStack.open(tmp_path / "a.h5")
