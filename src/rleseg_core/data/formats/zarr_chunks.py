"""Which chunks of a zarr array are stored: what is not there counts as its fill value."""

import math
import os
import zipfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import zarr

_MOST_CHUNKS = 2_000_000  # more are counted, not looked up one by one


def missing_chunks(array: "zarr.Array", axes: str | None, masks: bool) -> tuple[str, bool]:
    """What is to be said of chunks that are not stored, and whether data must be missing.

    By the standard, a chunk that is not stored holds the fill value everywhere, and writers leave
    out chunks that do. So a part of a frame without a chunk is said. A whole frame without any is
    an image that is missing, or masks of a frame without objects.

    Parameters
    ----------
    array : zarr.Array
        On disk or in a zip.
    axes : str, optional
        A letter for each of its axes.
    masks : bool
        Whether it holds ids, of which frames may be empty.

    Returns
    -------
    str, bool
        A part of a sentence, empty if all are stored; whether it is to be refused.
    """
    stored = _stored(array)
    shard = array.shards or array.chunks
    grid = tuple(math.ceil(length / side) for length, side in zip(array.shape, shard, strict=True))
    n_chunks = math.prod(grid)
    if stored is None or n_chunks == 0:
        return "", False
    if n_chunks > _MOST_CHUNKS:
        n_stored = sum("/c/" in f"/{key}" or key[:1].isdigit() for key in stored)
        if n_stored >= n_chunks:
            return "", False
        return _said(n_chunks - n_stored, n_chunks, array), not masks and n_stored == 0
    lost = [
        where
        for where in product(*map(range, grid))
        if array.metadata.encode_chunk_key(where) not in stored
    ]
    if not lost:
        return "", False
    frame_axes = [k for k, name in enumerate(axes or "") if name not in "YXS"]
    if not axes:
        frame_axes = [0] if len(grid) > 2 else []
    frames = {tuple(where[k] for k in frame_axes) for where in lost}
    per_frame = n_chunks // math.prod(grid[k] for k in frame_axes)
    counts = dict.fromkeys(frames, 0)
    for where in lost:
        counts[tuple(where[k] for k in frame_axes)] += 1
    empty = sum(count == per_frame for count in counts.values())
    said = _said(len(lost), n_chunks, array)
    if empty and frame_axes:
        said += f"; {empty} frames or planes have none" if empty > 1 else "; one frame has none"
    return said, bool(empty) and not masks


def _said(n_lost: int, n_chunks: int, array: "zarr.Array") -> str:
    value = array.fill_value
    return (
        f"{n_lost:,} of {n_chunks:,} chunks are not stored and count as "
        f"{value if value is not None else 0}"
    )


def _stored(array: "zarr.Array") -> set[str] | None:
    """Keys of what is stored below an array; None where that cannot be told."""
    store, prefix = array.store, array.path
    root = getattr(store, "root", None)
    if isinstance(root, Path):
        return set(_files_below(root / prefix))
    archive = getattr(store, "path", None)
    if isinstance(archive, Path) and archive.is_file() and zipfile.is_zipfile(archive):
        start = f"{prefix}/" if prefix else ""
        with zipfile.ZipFile(archive) as file:
            names = file.namelist()
        return {name.removeprefix(start) for name in names if name.startswith(start)}
    return None


def _files_below(folder: Path) -> Iterator[str]:
    """Paths of the files below a folder, relative to it, that are not empty."""
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent) / name
            if path.is_file() and path.stat().st_size:
                yield path.relative_to(folder).as_posix()
