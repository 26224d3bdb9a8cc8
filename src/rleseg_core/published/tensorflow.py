"""TensorFlow 2 checkpoints, read without TensorFlow.

``ckpt-N.index`` is a sorted table in LevelDB's format: blocks of (key, value), each block with a
checksum, and a footer with the position of the index of the blocks. The value of a key is a small
protocol buffer: type, shape, and the offset, size and checksum of the bytes in ``ckpt-N.data-*``.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from google_crc32c import value as crc32c

from rleseg_core.checks import MOST
from rleseg_core.errors import CheckpointError

_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
_MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
_FOOTER = 48
_TRAILER = 5  # after each block: how it is compressed, and its checksum
_STRING = 7
_MOST_BITS = 64
_BFLOAT16 = 14
_DTYPES: dict[int, str] = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8", 10: "?", 19: "<f2"}
_DTYPES[_BFLOAT16] = "<u2"  # the upper half of a float32


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """Type, shape and position of a variable, as the index has it."""

    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    checksum: int


def read_tf_checkpoint(prefix: str | Path, *, under: str = "") -> dict[str, np.ndarray]:
    """The variables of a TensorFlow 2 checkpoint, by key.

    Parameters
    ----------
    prefix : str or Path
        ``ckpt-N``, its ``.index`` or a ``.data-*`` file, or the folder, whose file ``checkpoint``
        names the newest.
    under : str
        Read only keys with this prefix; ``"model/"`` leaves out the optimizer.

    Returns
    -------
    dict of str to array
        Keys lack the suffix that all variables share. bfloat16 is converted to float32; strings,
        such as the graph of the objects, are left out.

    Raises
    ------
    CheckpointError
        If files are missing, cut short, damaged, or not those of a checkpoint.
    """
    index = find_index(prefix)
    n_shards, entries = _read_index(index)
    wanted: dict[int, list[tuple[str, _Entry]]] = {}
    for key, entry in entries.items():
        if key.startswith(under) and entry.dtype != _STRING:
            wanted.setdefault(entry.shard, []).append((key, entry))
    values: dict[str, np.ndarray] = {}
    for shard, members in wanted.items():
        path = index.with_suffix(f".data-{shard:05d}-of-{n_shards:05d}")
        values |= _read_shard(path, members)
    return {key.removesuffix(_SUFFIX): values[key] for key in entries if key in values}


def find_index(prefix: str | Path) -> Path:
    """The ``.index`` file of a checkpoint, given as for `read_tf_checkpoint`.

    Raises
    ------
    CheckpointError
        If it is missing, or the folder has several and does not say which.
    """
    path = Path(prefix)
    if path.is_dir():
        return _newest(path)
    index = path if path.suffix == ".index" else Path(f"{path}.index")
    if re.search(r"\.data-\d+-of-\d+$", path.name):
        index = path.with_suffix(".index")
    if not index.is_file():
        raise CheckpointError(
            f"there is no TensorFlow checkpoint {path}: {index.name} is missing; give the "
            "ckpt-N.index file or the folder that holds it"
        )
    return index


def _newest(folder: Path) -> Path:
    """The checkpoint that the folder's text file names, or else the only one."""
    indices = sorted(folder.glob("*.index"))
    named = ""
    listing = folder / "checkpoint"
    if listing.is_file():
        text = listing.read_text(errors="replace")
        found = re.search(r'^\s*model_checkpoint_path:\s*"(.*)"', text, re.MULTILINE)
        named = re.split(r"[/\\]", found[1])[-1] if found else ""
    if (index := folder / f"{named}.index") in indices:
        return index
    if len(indices) == 1:
        return indices[0]
    if not indices:
        raise CheckpointError(
            f"{folder} holds no TensorFlow checkpoint (no .index file); give the folder with "
            "ckpt-N.index and ckpt-N.data-*"
        )
    raise CheckpointError(
        f"{folder} holds {len(indices)} checkpoints and its file 'checkpoint' names none of them; "
        f"give one, such as {indices[-1]}"
    )


def _read_index(path: Path) -> tuple[int, dict[str, _Entry]]:
    """Number of data files, and the entries by key."""
    data = path.read_bytes()
    if len(data) < _FOOTER or not data.endswith(_MAGIC):
        raise CheckpointError(
            f"{path} is not the index of a TensorFlow checkpoint, or is cut short; fetch it again, "
            "or choose a ckpt-N.index file"
        )
    try:
        # the first handle is that of extra data, which checkpoints do not have
        _, at = _block_handle(data, len(data) - _FOOTER)
        root, _ = _block_handle(data, at)
        header: dict[int, list[int | bytes]] = {}
        entries: dict[str, _Entry] = {}
        for _, leaf in _records(_block(data, *root)):
            for key, value in _records(_block(data, *_block_handle(leaf, 0)[0])):
                if key:
                    entries[key.decode()] = _entry(value)
                else:
                    header = _fields(value)
    except (IndexError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); fetch it again") from error
    if header.get(2, [0]) != [0]:
        raise CheckpointError(f"{path} was written on a big-endian machine, which is not supported")
    return _number(header, 1, 1), entries


def _read_shard(path: Path, members: list[tuple[str, _Entry]]) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise CheckpointError(
            f"{path} is missing; keep the .index and all .data files of a checkpoint together"
        )
    length = path.stat().st_size
    values = {}
    with path.open("rb") as file:
        for key, entry in sorted(members, key=lambda member: member[1].offset):
            name = key.removesuffix(_SUFFIX)
            if entry.offset + entry.size > length:
                raise CheckpointError(
                    f"{path} is cut short: it has {length:,} bytes, and {name} ends at "
                    f"{entry.offset + entry.size:,}; fetch it again"
                )
            file.seek(entry.offset)
            raw = file.read(entry.size)
            if _masked(crc32c(raw)) != entry.checksum:
                raise CheckpointError(
                    f"{path} is damaged at {name} (its checksum differs); fetch it again"
                )
            values[key] = _array(name, entry, raw)
    return values


def _array(name: str, entry: _Entry, raw: bytes) -> np.ndarray:
    if entry.dtype not in _DTYPES:
        raise CheckpointError(f"{name} has TensorFlow's type {entry.dtype}, which is not supported")
    dtype = np.dtype(_DTYPES[entry.dtype])
    if prod(entry.shape) * dtype.itemsize != entry.size or max(entry.shape, default=0) > MOST:
        raise CheckpointError(
            f"{name} has {entry.size:,} bytes, which is not the size of {entry.shape}; fetch the "
            "checkpoint again"
        )
    values = np.frombuffer(raw, dtype).reshape(entry.shape)
    if entry.dtype == _BFLOAT16:
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.copy()  # writable, and independent of the bytes


def _entry(value: bytes) -> _Entry:
    fields = _fields(value)
    if 7 in fields:
        raise ValueError("it has variables in slices, which are not supported")
    shape = _fields(_message(fields, 2))
    return _Entry(
        dtype=_number(fields, 1),
        shape=tuple(_number(_fields(part), 1) for part in shape.get(2, []) if type(part) is bytes),
        shard=_number(fields, 3),
        offset=_number(fields, 4),
        size=_number(fields, 5),
        checksum=_number(fields, 6),
    )


def _block(data: bytes, start: int, size: int) -> bytes:
    """The content of a block, after checking its checksum."""
    end = start + size
    if end + _TRAILER > len(data):
        raise ValueError(f"a block ends at byte {end}, after the end of the file")
    stored = int.from_bytes(data[end + 1 : end + _TRAILER], "little")
    if _masked(crc32c(data[start : end + 1])) != stored:
        raise ValueError(f"the checksum of the block at byte {start} differs")
    if data[end] != 0:
        raise ValueError("its blocks are compressed, which is not supported")
    return data[start:end]


def _records(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block; each key shares a prefix with the one before."""
    n_restarts = int.from_bytes(block[-4:], "little")
    end, at, key = len(block) - 4 * (n_restarts + 1), 0, b""
    while at < end:
        shared, at = _varint(block, at)
        n_new, at = _varint(block, at)
        n_value, at = _varint(block, at)
        key = key[:shared] + block[at : at + n_new]
        at += n_new
        yield key, block[at : at + n_value]
        at += n_value


def _fields(message: bytes) -> dict[int, list[int | bytes]]:
    """The fields of a protocol buffer by number; values in the order of the message."""
    fields: dict[int, list[int | bytes]] = {}
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        value: int | bytes
        if tag & 7 == 0:
            value, at = _varint(message, at)
        else:
            size = {1: 8, 5: 4}.get(tag & 7)
            if size is None:
                size, at = _varint(message, at)
            value, at = message[at : at + size], at + size
            if tag & 7 != 2:
                value = int.from_bytes(value, "little")
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _number(fields: dict[int, list[int | bytes]], number: int, default: int = 0) -> int:
    value = fields.get(number, [default])[-1]
    if isinstance(value, bytes):
        raise ValueError(f"field {number} of an entry is not a number")
    return value


def _message(fields: dict[int, list[int | bytes]], number: int) -> bytes:
    value = fields.get(number, [b""])[-1]
    if not isinstance(value, bytes):
        raise ValueError(f"field {number} of an entry is not a message")
    return value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number stored as seven bits a byte, and the offset after it."""
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at += 1
        if shift > _MOST_BITS:
            raise ValueError(f"a number before byte {at} has no end")
        if byte < 0x80:
            return number, at
        shift += 7


def _block_handle(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    """Start and size of a block, and the offset after them."""
    start, at = _varint(data, at)
    size, at = _varint(data, at)
    return (start, size), at


def _masked(checksum: int) -> int:
    """A CRC as files store it: rotated and shifted, so that a CRC of CRCs is not degenerate."""
    rotated = checksum >> 15 | checksum << 17
    return (rotated + 0xA282EAD8) & 0xFFFFFFFF
