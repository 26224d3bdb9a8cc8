"""A file of lines that grows: JSON objects with a checksum, each there whole or not at all."""

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO


class LineFile:
    """A file to which whole lines are appended: a line that fails leaves no trace if it can.

    Parameters
    ----------
    path : Path
        The file, which is made when the first line is written.
    """

    def __init__(self, path: Path):
        self.path = path
        self._file: BinaryIO | None = None
        self._size = 0  # bytes that are written for good, while the file is open
        self._torn = self._torn_before = False  # whether the last line has no end: now, at _size

    def append(self, line: bytes) -> None:
        """Append a line; it survives the end of this process, but not yet a power cut.

        Raises
        ------
        OSError
            If the disk is full, or the file cannot be written to.
        """
        file = self._opened()
        if self._torn:
            line = b"\n" + line
        self._torn = True
        try:
            if file.write(line) != len(line):
                raise OSError(f"{self.path}: the disk is full")
        except OSError as error:
            self.cut_off()
            if error.errno is not None and error.filename is None:
                error.filename = str(self.path)
            raise
        self._torn = False

    def commit(self) -> None:
        """Count the lines so far as written for good."""
        self._size, self._torn_before = os.fstat(self.fileno()).st_size, False

    def cut_off(self) -> None:
        """Cut off what was appended since the last `commit`, if the disk lets us."""
        try:
            os.ftruncate(self.fileno(), self._size)
            self._torn = self._torn_before
        except OSError:
            self._torn = True

    def clear(self) -> None:
        """Remove all lines, if there are any."""
        if self._file is not None or self.path.exists():
            os.ftruncate(self.fileno(), 0)
            self._size, self._torn, self._torn_before = 0, False, False

    def fileno(self) -> int:
        """Descriptor of the file, which is opened if need be."""
        return self._opened().fileno()

    def close(self) -> None:
        """Close the file; the next line opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _opened(self) -> BinaryIO:
        if self._file is None:
            self._file = self.path.open("a+b", buffering=0)
            self._size = os.fstat(self._file.fileno()).st_size
            if self._size:
                self._file.seek(self._size - 1)
                self._torn = self._torn_before = self._file.read(1) != b"\n"
        return self._file


def to_line(record: Mapping[str, object]) -> bytes:
    """A record as a line with its checksum, newline included."""
    body = json.dumps(record)[:-1].encode("utf-8")
    return body + b', "crc": "%08x"}\n' % zlib.crc32(body)


def from_line(line: bytes) -> dict | None:
    """The fields of a line without its newline; None if it is torn or damaged."""
    body, mark, seal = line.rpartition(b', "crc": "')
    if not mark or seal != b'%08x"}' % zlib.crc32(body):
        return None
    try:
        fields = json.loads(body + b"}")
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None


def read_lines(content: bytes) -> Iterator[tuple[int, dict | None]]:
    """Number, from 1, and fields of each line that is not empty; None for a damaged one."""
    for number, line in enumerate(content.split(b"\n"), 1):
        if line:
            yield number, from_line(line)
