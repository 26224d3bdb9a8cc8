"""COCO: one JSON file, with the mask of each object as run lengths."""

import json
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import numpy as np

from rleseg_core.objects.exports.base import Export, ExportOptions, Frames
from rleseg_core.objects.stack import FrameObjects, ObjectStack
from rleseg_core.outputs import Output, begins_with

_BEGIN = '{"info": {"description": "objects, by rleseg"'
_CHARACTERS = 13  # of five bits: what an int64 takes at most


def coco_counts(index: np.ndarray, n_objects: int) -> list[str]:
    """Run lengths of the masks of all objects of a frame, as COCO compresses them.

    Parameters
    ----------
    index : (Y, X) integer
        Number of the object of each pixel, 1 to n, each of which occurs; 0 = background.
    n_objects : int
        n.

    Returns
    -------
    list of str
        The `counts` of each object, as `pycocotools.mask.encode` gives them for the mask of the
        whole frame: runs along columns, background first.
    """
    by_column = index.T.ravel()
    pixels = np.flatnonzero(by_column)
    order = np.argsort(by_column[pixels], kind="stable")
    pixels, owners = pixels[order], by_column[pixels][order]
    goes_on = (np.diff(pixels, prepend=-2) == 1) & (np.diff(owners, prepend=0) == 0)
    begins = np.flatnonzero(~goes_on)
    starts, lengths = pixels[begins], np.diff(begins, append=len(pixels))
    bounds = np.searchsorted(owners[begins], np.arange(1, n_objects + 2)).tolist()
    return [
        _compressed(_counts(starts[first:last], lengths[first:last], by_column.size))
        for first, last in pairwise(bounds)
    ]


def _counts(starts: np.ndarray, lengths: np.ndarray, size: int) -> np.ndarray:
    """Pixels of background and object in turns, to the end of the frame."""
    ends = starts + lengths
    gaps = starts - np.concatenate([[0], ends[:-1]])
    counts = np.stack([gaps, lengths], axis=1).ravel()
    return counts if ends[-1] == size else np.append(counts, size - ends[-1])


def _compressed(counts: np.ndarray) -> str:
    """Counts as text: differences to the count two before, five bits a character."""
    rest = counts.astype(np.int64)
    rest[3:] -= counts[1:-2]
    characters = np.zeros((_CHARACTERS, len(rest)), np.uint8)
    is_open = np.ones(len(rest), bool)
    for row in characters:
        bits = rest & 0x1F
        rest >>= 5
        more = np.where(bits & 0x10, rest != -1, rest != 0)
        row[is_open] = (bits + 32 * more + 48)[is_open]
        is_open &= more
    by_count = characters.T
    return by_count[by_count > 0].tobytes().decode("ascii")


def _write(stack: ObjectStack, path: Path, frames: Sequence[int], options: ExportOptions) -> Frames:
    _, height, width = stack.shape
    source = stack.metadata.provenance.get("source")
    names = options.image_names or (str(source or stack.title),)
    images = [
        {
            "id": frame + 1,
            "file_name": names[frame if len(names) > 1 else 0],
            "frame": frame,
            "height": height,
            "width": width,
        }
        for frame in frames
    ]
    categories = [
        {"id": class_id, "name": name, "supercategory": "object"}
        for class_id, name in enumerate(stack.class_names, start=1)
    ]
    with path.open("w", encoding="utf-8") as file:
        file.write(f'{_BEGIN}, "version": "{version("napari-rleseg")}"}}, "licenses": [],\n')
        file.write(f'"categories": {json.dumps(categories)},\n"images": {json.dumps(images)},\n')
        file.write('"annotations": [')
        n_written = 0
        for objects in stack.each(frames):
            for entry in _annotations(objects):
                file.write(",\n" if n_written else "\n")
                n_written += 1
                file.write(json.dumps({"id": n_written, **entry}, allow_nan=False))
            yield objects
        file.write("\n]}\n")


def _annotations(objects: FrameObjects) -> Iterator[dict[str, object]]:
    table = objects.table
    for row, counts in enumerate(coco_counts(objects.index, len(table))):
        top, left = int(table.top[row]), int(table.left[row])
        entry: dict[str, object] = {
            "image_id": objects.frame + 1,
            "category_id": int(table.class_id[row]),
            "object_id": int(table.id[row]),
            "segmentation": {"size": list(objects.index.shape), "counts": counts},
            "area": int(table.area[row]),
            "bbox": [left, top, int(table.right[row]) - left, int(table.bottom[row]) - top],
            "iscrowd": 0,
        }
        if not np.isnan(table.confidence[row]):
            entry["score"] = round(float(table.confidence[row]), 4)
        yield entry


def _output(path: Path) -> Output:
    return Output(path, "a file of COCO annotations", begins_with(_BEGIN.encode()))


COCO = Export(
    summary="COCO annotations (JSON; masks as run lengths)",
    suffixes=(".json",),
    output=_output,
    write=_write,
)
