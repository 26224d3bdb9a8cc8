"""A TensorFlow checkpoint, written without TensorFlow: for tests, and to damage it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from google_crc32c import value as crc32c

SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
TYPES = {"float32": 1, "int64": 9, "float16": 19, "bool": 10}


def varint(number: int) -> bytes:
    """A number as seven bits a byte."""
    parts = []
    while number >= 0x80:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])


def masked(data: bytes) -> bytes:
    """The checksum of bytes, as files store it."""
    crc = crc32c(data)
    return (((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")


def field(number: int, value: int | bytes) -> bytes:
    """A field of a protocol buffer."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def block(records: list[tuple[bytes, bytes]]) -> bytes:
    """As LevelDB writes it: of each key only what differs from the one before, then restarts."""
    body, restarts, before = b"", [], b""
    for k, (key, value) in enumerate(records):
        shared = 0
        if k % 16 == 0:
            restarts.append(len(body))
        else:
            while shared < min(len(key), len(before)) and key[shared] == before[shared]:
                shared += 1
        rest = key[shared:]
        body += varint(shared) + varint(len(rest)) + varint(len(value)) + rest + value
        before = key
    numbers = [*restarts, len(restarts)]
    body += b"".join(number.to_bytes(4, "little") for number in numbers) + b"\0"
    return body + masked(body)


def write_tf_checkpoint(
    prefix: Path, variables: Mapping[str, np.ndarray], n_shards: int = 1
) -> Path:
    """A checkpoint as TensorFlow writes it, and the text file that names it."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    shards = [b""] * n_shards
    records = [(b"", field(1, n_shards) + field(3, field(1, 1)))]
    for k, name in enumerate(sorted(variables)):
        value = np.ascontiguousarray(variables[name]).reshape(variables[name].shape)
        shard, raw = k % n_shards, value.tobytes()
        shape = b"".join(field(2, field(1, side)) for side in value.shape)
        entry = field(1, TYPES[value.dtype.name]) + field(2, shape) + field(3, shard)
        entry += field(4, len(shards[shard])) + field(5, len(raw))
        entry += varint(6 << 3 | 5) + masked(raw)
        records.append(((name + SUFFIX).encode(), entry))
        shards[shard] += raw
    index, leaves = b"", []
    for first in range(0, len(records), 50):
        part = records[first : first + 50]
        written = block(part)
        leaves.append((part[-1][0], varint(len(index)) + varint(len(written) - 5)))
        index += written
    places = b""
    for written in (block([]), block(leaves)):
        places += varint(len(index)) + varint(len(written) - 5)
        index += written
    magic = (0xDB4775248B80FB57).to_bytes(8, "little")
    Path(f"{prefix}.index").write_bytes(index + places.ljust(40, b"\0") + magic)
    for k, data in enumerate(shards):
        Path(f"{prefix}.data-{k:05d}-of-{n_shards:05d}").write_bytes(data)
    (prefix.parent / "checkpoint").write_text(f'model_checkpoint_path: "{prefix.name}"\n')
    return prefix
