"""A video has the frames that its container announces, or is refused."""

import av
import numpy as np
import pytest

from rleseg_core.data import ImageStack
from rleseg_core.errors import DataError, DataWarning

FRAMES = np.random.default_rng(0).integers(0, 255, (12, 64, 64), dtype=np.uint8)


def write(path, codec, pix_fmt, times=None, **options):
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = pix_fmt
        for index, pixels in enumerate(FRAMES):
            frame = av.VideoFrame.from_ndarray(pixels, format="gray")
            if times is not None:
                frame.pts = times(index)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def cut(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share) - 7])  # not between two packs
    return path


KINDS = [
    ("a.mkv", "ffv1", "gray", {}),
    ("a.avi", "ffv1", "gray", {}),
    ("b.avi", "mpeg4", "yuv420p", {}),
    ("a.mp4", "mpeg4", "yuv420p", {}),
    ("b.mp4", "mpeg4", "yuv420p", {"movflags": "faststart"}),
    ("c.mp4", "mpeg4", "yuv420p", {"movflags": "frag_keyframe+empty_moov"}),
    ("a.mov", "mpeg4", "yuv420p", {}),
    ("a.gif", "gif", "rgb8", {}),
    ("a.webm", "libvpx", "yuv420p", {}),
    ("a.mpg", "mpeg2video", "yuv420p", {}),
]


@pytest.mark.parametrize(("name", "codec", "pix_fmt", "options"), KINDS)
def test_whole_video_has_all_frames(tmp_path, name, codec, pix_fmt, options):
    stack = ImageStack.open(write(tmp_path / name, codec, pix_fmt, **options))
    assert stack.n_frames == 12
    stack.frame(11)


@pytest.mark.parametrize("share", [0.35, 2 / 3, 0.9])
@pytest.mark.parametrize(("name", "codec", "pix_fmt", "options"), KINDS)
def test_cut_video_is_refused(tmp_path, name, codec, pix_fmt, options, share):
    path = cut(write(tmp_path / name, codec, pix_fmt, **options), share)
    with pytest.raises(DataError, match=name):
        ImageStack.open(path)


@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "ffv1"), ("a.avi", "ffv1")])
def test_rest_of_a_cut_video_is_read_where_that_is_allowed(tmp_path, name, codec):
    path = cut(write(tmp_path / name, codec, "gray"), 2 / 3)
    with pytest.warns(DataWarning, match="truncated"):
        stack = ImageStack.open(path, allow_missing=True)
    assert 5 < stack.n_frames < 9
    for frame in range(stack.n_frames):
        np.testing.assert_array_equal(stack.frame(frame)[..., 0], FRAMES[frame])


@pytest.mark.parametrize(("name", "codec", "pix_fmt"), [k[:3] for k in KINDS[:1] + KINDS[3:4]])
def test_frames_of_a_variable_rate_are_counted(tmp_path, name, codec, pix_fmt):
    path = write(tmp_path / name, codec, pix_fmt, times=lambda index: index**2)
    assert ImageStack.open(path).n_frames == 12
    with pytest.raises(DataError, match=name):
        ImageStack.open(cut(path, 2 / 3))
