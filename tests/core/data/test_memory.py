"""What is read is let go: files are closed, and caches hold no more than they should."""

import gc
import weakref

import numpy as np
import psutil
import pytest
import tifffile
from PIL import Image

from rleseg_core.data import ImageStack, LabelledStack, LabelReader, WindowReader, plan_windows
from rleseg_core.data import windows as windows_module
from rleseg_core.data.formats.video import VideoFrames
from rleseg_core.data.frames import Frames
from rleseg_core.data.windows import model_frame
from rleseg_core.errors import DataError
from rleseg_core.spec import WindowSpec

from .formats.test_readers import write_video

SPEC = WindowSpec(patch=16, patch_stride=16, n_frames=2)


def open_files(folder):
    """Handles of this process on files of a folder."""
    gc.collect()
    return [one.path for one in psutil.Process().open_files() if one.path.startswith(str(folder))]


def written(folder, kind):
    frames = np.random.default_rng(0).integers(0, 256, (6, 32, 48), dtype=np.uint8)
    if kind == "folder":
        for index, frame in enumerate(frames):
            Image.fromarray(frame).save(folder / f"{index}.png")
        return folder
    path = folder / f"a{kind}"
    if kind == ".tif":
        tifffile.imwrite(path, frames, photometric="minisblack")
    else:
        write_video(path, frames)
    return path


@pytest.mark.parametrize("kind", [".tif", ".mkv", "folder"])
def test_files_are_closed_when_their_stack_is_gone(tmp_path, kind):
    path = written(tmp_path, kind)
    stack = ImageStack.open(path)
    for frame in (5, 0, 3, 1):  # a video is opened anew to go back
        stack.frame(frame)
    assert len(open_files(tmp_path)) <= 1
    del stack
    assert open_files(tmp_path) == []


@pytest.mark.parametrize("kind", [".tif", ".mkv"])
def test_files_that_cannot_be_read_are_closed(tmp_path, kind):
    path = written(tmp_path, kind)
    path.write_bytes(path.read_bytes()[:200])
    for _ in range(3):
        with pytest.raises(DataError, match=r"a\.(tif|mkv)"):
            ImageStack.open(path)
    assert open_files(tmp_path) == []


def alive(references):
    gc.collect()
    return sum(reference() is not None for reference in references)


def counted(call, references):
    """The call, with weak references to what it returns."""

    def run(*values):
        result = call(*values)
        references.append(weakref.ref(result))
        return result

    return run


def test_readers_of_windows_keep_one_frame_more_than_a_window_has(monkeypatch):
    images, labels = [], []
    monkeypatch.setattr(windows_module, "model_frame", counted(model_frame, images))
    prepare = counted(windows_module.model_labels, labels)
    monkeypatch.setattr(windows_module, "model_labels", lambda ids, spec: prepare(ids.copy(), spec))
    frames = np.zeros((9, 32, 48), np.uint8)
    readers = (WindowReader(ImageStack.from_array(frames), SPEC), LabelReader(frames, SPEC))
    for window in plan_windows(frames.shape, SPEC):
        for reader in readers:
            reader.read(window)
    for references in (images, labels):
        assert len(references) == 9  # each frame is prepared once
        assert alive(references) == SPEC.n_frames + 1


def test_frames_to_train_on_keep_to_their_memory():
    frames = np.random.default_rng(0).integers(0, 3, (9, 32, 48), dtype=np.uint8)
    stack = LabelledStack(
        images=ImageStack.from_array(frames), classes=frames, class_names=("ipsc", "dfc")
    )
    one = Frames([stack], SPEC, 1).get(0, 0).n_bytes
    cache = Frames([stack], SPEC, round(3.5 * one))
    references = [weakref.ref(cache.get(0, frame)) for frame in (*range(9), 7, 8)]
    assert alive(references[:9]) == 3
    assert references[7]() is references[9]()  # the last ones are kept


def test_videos_keep_the_last_frames_alone(tmp_path):
    write_video(tmp_path / "a.mkv", np.zeros((40, 32, 48), np.uint8))
    video = VideoFrames(tmp_path / "a.mkv")
    references = [weakref.ref(video.read(frame)) for frame in range(40)]
    assert alive(references) == 16
    assert references[-1]() is video.read(39)
