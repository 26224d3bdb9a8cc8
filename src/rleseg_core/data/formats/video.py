"""Video files, decoded frame by frame."""

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rleseg_core.data.arrays import frames_array
from rleseg_core.data.formats.base import Format, FormatNotes, ReadOptions, Series
from rleseg_core.data.formats.video_whole import missing_frames, packets_of
from rleseg_core.data.metadata import StackMetadata
from rleseg_core.errors import DataError

_KEPT_FRAMES = 16
_WITH_HIDDEN_FRAMES = ("vp8", "libvpx", "vp9", "libvpx-vp9", "av1", "libdav1d")


class VideoFrames:
    """Frames of a video file by index.

    Reading onwards is fast; going back decodes from the start again, but for the last few frames,
    which are kept: many codecs can begin only there, or at frames that they do not report reliably.

    Parameters
    ----------
    path : Path
        The file.

    Attributes
    ----------
    n_frames : int
        Frames that the file holds.
    missing : list of str
        Sentences on frames that it announces besides.

    Raises
    ------
    DataError
        If it holds no video, or cannot be decoded.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()
        self._decoder: Iterator[tuple[int | None, np.ndarray]] = iter(())
        self._position = 0
        import av

        with av.open(str(path)) as container:
            if not container.streams.video:
                raise DataError(f"{path} holds no video")
            stream = container.streams.video[0]
            self.n_videos = len(container.streams.video)
            # that of a GIF is how it is to be played
            rate = None if path.suffix.lower() == ".gif" else stream.average_rate
            self.frame_interval = None if not rate else float(1 / rate)
            self.is_grey = str(stream.codec_context.pix_fmt).startswith("gray")
            hidden = stream.codec_context.name in _WITH_HIDDEN_FRAMES
            packets = packets_of(container, stream)
            self.missing = missing_frames(path, container, stream, packets)
        self.n_frames, self._times = packets.n_frames, packets.times
        if hidden:  # not each packet is a frame to show
            self.count_decodable()
        if not self.n_frames:
            raise DataError(f"{path} holds no frames")
        self.shape = self.read(0).shape

    def count_decodable(self) -> None:
        """Take for frames what can be decoded, whatever the packets announce."""
        self._times, self.n_frames = None, 0
        with contextlib.suppress(OSError, ValueError):  # as av's errors are
            for _ in self._frames():
                self.n_frames += 1

    def read(self, frame: int) -> np.ndarray:
        """Frame (Y, X, 1 or 3) uint8.

        Raises
        ------
        DataError
            If the file ends before it, or a frame up to it cannot be decoded.
        """
        with self._lock:  # one decoder, and dask reads from many threads
            if frame not in self._kept:
                self._decode_to(frame)
            return self._kept[frame]

    def _decode_to(self, frame: int) -> None:
        if frame < self._position or self._position == 0:
            self._decoder, self._position = self._frames(), 0
        while self._position <= frame:
            time, pixels = next(self._decoder, (None, None))
            if pixels is None:
                raise DataError(
                    f"{self.path} ends after {self._position} frames, {self.n_frames} were "
                    "announced; it may be truncated"
                )
            if self._times is not None and time != self._times[self._position]:
                raise DataError(
                    f"frame {self._position} of {self.path} cannot be decoded; it is damaged"
                )
            self._kept[self._position] = pixels
            self._position += 1
            if len(self._kept) > _KEPT_FRAMES:
                self._kept.popitem(last=False)

    def _frames(self) -> Iterator[tuple[int | None, np.ndarray]]:
        """Time and pixels of each frame."""
        import av

        with av.open(str(self.path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            for frame in container.decode(stream):
                if self.is_grey:
                    yield frame.pts, frame.to_ndarray(format="gray")[..., None]
                else:
                    yield frame.pts, frame.to_ndarray(format="rgb24")


def video_series(path: Path, options: ReadOptions, _masks: bool) -> list[Series]:
    """Frames of a video, (T, Y, X, 1 or 3) uint8, decoded when they are looked at.

    Raises
    ------
    DataError
        If it holds no video, or cannot be decoded.
    """
    video = VideoFrames(path)
    if video.missing and options.allow_missing:
        video.count_decodable()
    data = frames_array(video.read, video.n_frames, video.shape, np.dtype(np.uint8))
    notes = []
    if video.n_videos > 1:
        notes.append(f"{path} holds {video.n_videos} videos; the first is read")
    return [
        Series(
            shape=data.shape,
            dtype=data.dtype,
            axes="TYXS",
            read=lambda: data,
            metadata=StackMetadata(frame_interval=video.frame_interval),
            notes=tuple(notes),
            missing=tuple(video.missing),
        )
    ]


VIDEO = Format(
    label="video",
    suffixes=(".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mpg", ".mpeg", ".gif"),
    series=video_series,
    notes=FormatNotes(
        axes="T, Y, X; S in colour",
        dtypes="uint8",
        metadata="frame interval from the frame rate, but for GIF, where it says how to play it",
    ),
)
