"""Whether a video file is whole: what its container announces against what it holds."""

import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    import av.container
    import av.video

_ANNOUNCING = ("matroska", "mov", "avi")  # containers whose durations are noted, not estimated
_DURATION = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)")
_PACK, _END_OF_PACKS = b"\0\0\1\xba", 0xB9  # of an MPEG program stream
_BOX_TYPES = re.compile(rb"[\x20-\x7e]{4}")


@dataclass(frozen=True, kw_only=True)
class Packets:
    """The packets of a video stream, one a frame.

    Parameters
    ----------
    times : tuple of int or None
        Presentation time of each in units of the stream, ascending; None where the file has none.
    end : float or None
        Second at which the last frame ends; None where that is not known.
    """

    times: tuple[int, ...] | None
    n_frames: int
    end: float | None


def packets_of(container: "av.container.InputContainer", stream: "av.video.VideoStream") -> Packets:
    """What is there of a video, without decoding it."""
    found = [packet for packet in container.demux(stream) if packet.size and not packet.is_discard]
    times = [packet.pts for packet in found]
    if not found or any(time is None for time in times) or len(set(times)) < len(times):
        return Packets(times=None, n_frames=len(found), end=None)
    last = max(found, key=lambda packet: packet.pts)
    end = float((last.pts + (last.duration or 0)) * stream.time_base)
    return Packets(times=tuple(sorted(times)), n_frames=len(found), end=end)


def missing_frames(
    path: Path,
    container: "av.container.InputContainer",
    stream: "av.video.VideoStream",
    packets: Packets,
) -> list[str]:
    """Sentences on frames that a video announces and does not hold."""
    n_frames = packets.n_frames
    if not any(name in container.format.name for name in _ANNOUNCING):
        return _without_end(path)
    if stream.frames > n_frames:
        return [f"{path} announces {stream.frames} frames and holds {n_frames}; it is truncated"]
    announced = _announced_seconds(container, stream)
    if announced is not None and packets.end is not None and n_frames:
        usual = packets.end / n_frames
        if announced - packets.end > max(1.5 * usual, 0.002):
            return [
                f"{path} announces {announced:.3g} s and holds {packets.end:.3g} s "
                f"({n_frames} frames); it is truncated"
            ]
    return _without_end(path)


def _announced_seconds(
    container: "av.container.InputContainer", stream: "av.video.VideoStream"
) -> float | None:
    """Duration of the video stream as the container notes it; None if it does not."""
    noted = _DURATION.match(str(stream.metadata.get("DURATION", "")))
    if noted is not None:
        hours, minutes, seconds = (float(part) for part in noted.groups())
        return 3600 * hours + 60 * minutes + seconds
    start = float((stream.start_time or 0) * stream.time_base)
    if stream.duration is not None:
        return float(stream.duration * stream.time_base) + start
    only = len(container.streams) == 1  # sound may be longer than its pictures
    return container.duration / 1e6 + start if only and container.duration else None


def _without_end(path: Path) -> list[str]:
    """A sentence if a file ends within a part that it has begun."""
    with path.open("rb") as file:
        head = file.read(8)
        size = file.seek(0, 2)
        if head[:3] == b"GIF":
            file.seek(max(size - 16, 0))
            whole = file.read().rstrip(b"\0").endswith(b";")
        elif head[4:] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
            whole = _boxes_end(file, size)
        elif head[:4] == _PACK:
            whole = _packs_end(file, size)
        else:
            whole = True
    return [] if whole else [f"{path} ends within a frame or box; it is truncated"]


def _boxes_end(file: BinaryIO, size: int) -> bool:
    """Whether the boxes of an MP4 or QuickTime file end where the file does."""
    offset = 0
    while offset + 8 <= size:
        file.seek(offset)
        length, kind = struct.unpack(">I4s", file.read(8))
        if not _BOX_TYPES.fullmatch(kind):
            return True  # padding, or something of the writer's own
        if length == 1:
            wide = file.read(8)
            length = struct.unpack(">Q", wide)[0] if len(wide) == 8 else 0
        if length == 0:
            return True  # up to the end of the file
        offset += max(length, 8)
    return offset <= size


def _packs_end(file: BinaryIO, size: int) -> bool:
    """Whether the packets of the last pack of an MPEG program stream end where the file does."""
    file.seek(max(size - (1 << 20), 0))
    tail = file.read()
    offset = tail.rfind(_PACK)
    while 0 <= offset < len(tail):
        head = tail[offset : offset + 14]
        if head[:3] != _PACK[:3]:
            return not head.strip(b"\0\xff")  # padding
        if len(head) == 4 and head[3] == _END_OF_PACKS:
            return True
        if head[:4] == _PACK:
            if len(head) < 14:
                return False
            offset += 14 + (head[13] & 7) if head[4] >> 6 == 1 else 12
        elif len(head) < 6:
            return False
        else:
            offset += 6 + int.from_bytes(head[4:6], "big")
    return offset == len(tail)
