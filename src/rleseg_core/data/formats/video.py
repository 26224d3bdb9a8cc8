"""Video files, decoded frame by frame."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rleseg_core.data.arrays import frames_array
from rleseg_core.data.formats.base import Format, ReadOptions, Series
from rleseg_core.errors import DataError

_KEPT_FRAMES = 16


class VideoFrames:
    """Frames of a video file by index.

    Reading onwards is fast; going back decodes from the start again, but for the last few frames,
    which are kept: many codecs can begin only there, or at frames that they do not report reliably.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    DataError
        If it holds no video, or cannot be decoded.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()
        self._decoder: Iterator[np.ndarray] = iter(())
        self._position = 0
        import av

        with av.open(str(path)) as container:
            if not container.streams.video:
                raise DataError(f"{path} holds no video")
            stream = container.streams.video[0]
            self.is_grey = str(stream.codec_context.pix_fmt).startswith("gray")
            self.n_frames = sum(packet.size > 0 for packet in container.demux(stream))
        if not self.n_frames:
            raise DataError(f"{path} holds no frames")
        self.shape = self.read(0).shape

    def read(self, frame: int) -> np.ndarray:
        """Frame (Y, X, 1 or 3) uint8.

        Raises
        ------
        DataError
            If the file ends before it.
        """
        with self._lock:  # one decoder, and dask reads from many threads
            if frame not in self._kept:
                self._decode_to(frame)
            return self._kept[frame]

    def _decode_to(self, frame: int) -> None:
        if frame < self._position or self._position == 0:
            self._decoder, self._position = self._frames(), 0
        while self._position <= frame:
            pixels = next(self._decoder, None)
            if pixels is None:
                raise DataError(
                    f"{self.path} ends after {self._position} frames, {self.n_frames} were "
                    "announced; it may be truncated"
                )
            self._kept[self._position] = pixels
            self._position += 1
            if len(self._kept) > _KEPT_FRAMES:
                self._kept.popitem(last=False)

    def _frames(self) -> Iterator[np.ndarray]:
        import av

        with av.open(str(self.path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            for frame in container.decode(stream):
                if self.is_grey:
                    yield frame.to_ndarray(format="gray")[..., None]
                else:
                    yield frame.to_ndarray(format="rgb24")


def video_series(path: Path, _options: ReadOptions, _masks: bool) -> list[Series]:
    """Frames of a video, (T, Y, X, 1 or 3) uint8, decoded when they are looked at.

    Raises
    ------
    DataError
        If it holds no video, or cannot be decoded.
    """
    video = VideoFrames(path)
    shape = (video.n_frames, *video.shape)
    data = frames_array(video.read, video.n_frames, video.shape, np.dtype(np.uint8))
    return [Series(shape=shape, dtype=data.dtype, axes="TYXS", read=lambda: data)]


VIDEO = Format(
    label="video",
    suffixes=(".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mpg", ".mpeg", ".gif"),
    series=video_series,
)
