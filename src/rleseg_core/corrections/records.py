"""A line of the log: one JSON object, whose last key is a checksum of what stands before it."""

import json
import zlib


def to_line(record: dict[str, object]) -> bytes:
    """A record as a line with its checksum, newline included."""
    body = json.dumps(record)[:-1].encode("utf-8")
    return body + b', "crc": "%08x"}\n' % zlib.crc32(body)


def from_line(line: bytes) -> dict | None:
    """The record of a line without its newline; None if it is torn or damaged."""
    body, mark, seal = line.rpartition(b', "crc": "')
    if not mark or seal != b'%08x"}' % zlib.crc32(body):
        return None
    return json.loads(body + b"}")
