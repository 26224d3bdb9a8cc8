"""Write docs/formats.md from the registry of formats: what is read, written, kept and lost.

    python scripts/make_formats_page.py

The types that masks come back in are tried, not told.
"""

from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from rleseg_core.data import LabelStack
from rleseg_core.data.formats.base import Format, ReadOptions
from rleseg_core.data.formats.registry import FORMATS, output_formats
from rleseg_core.data.writers import write_labels
from rleseg_core.docstrings import field_descriptions
from rleseg_core.errors import DataError

PAGE = Path(__file__).parents[1] / "docs" / "formats.md"
DTYPES = ("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")

HEAD = """# Formats

<!-- made by scripts/make_formats_page.py from the registry of formats; do not edit -->

What can be opened and written, and what belongs to the images besides their pixels: pixel size,
position, frame interval, names of channels and classes, colours, and how masks were made
(provenance). `rleseg info FILE` shows what a file holds. Lengths become micrometres and times
seconds, however a file spells its units; a length without a unit stays as it is.

Masks take all of it from their images, in every command and in the plugin. Where a standard has no
place for something, it is in a record of ours beside the standard fields. If another program
changes the standard fields afterwards, they count.
"""

AXES = """## Axes

T is time, Z depth, C channels, S samples of a colour, Y rows, X columns. Frames are (Y, X) with
their channels; `--z` chooses a plane, `--channel` a channel, `--series` an image of several. The
planes of a z-stack without time are taken for frames, with a note. Masks are written as
(T, Y, X).
"""


COUNTED = """## What is counted

What a file announces, what is there and what is read are compared. A difference is refused with a
sentence that says what is missing; `--allow-missing` reads what is there, and says so. Where a file
holds several images, channels or planes, `rleseg info FILE` lists them and options choose; in the
plugin, choosers appear in the Load tab. What is assumed is reported: a note on stderr in the
command line, a `DataWarning` in Python, a line in the panel.

* **TIFF**: pages, planes in other files of an OME-TIFF, bytes of each page. Whether samples are
  colours is what the file says, not a length of 3 or 4: stacks of 3 or 4 frames that napari and
  tifffile marked as colour without naming the axes are frames, with a note. Images of OME-XML,
  positions, and pages of other sizes are images of their own (`--series`); reduced copies are not.
* **Video**: the frames or the duration that MKV, MP4 and AVI announce, the boxes of MP4, the end of
  a GIF, and the times of decoded frames.
* **Zarr**: chunks or shards. One that is not stored holds the fill value by the standard: in
  images, a frame without any is refused, and a part of one is reported; in masks, which may be
  sparse, both are reported. Images of bioformats2raw, fields of plates and arrays of groups are
  chosen by `--series`. The masks of an OME-Zarr image are its `labels/`.
* **Folders of images**: frames are in the natural order of their names (`t2` before `t10`); hidden
  files are left out. Broken links, named pipes, empty and unreadable files are refused; so are a
  frame that is there twice (`t1.tif` and `t1.png`) and masks beside images (`t1_masks.tif`), of
  which `--pattern` chooses. Numbers that leave some out, names that count in two places (`t1_ch2`)
  and files that cannot be a frame are reported.
* **Single images**: `rleseg predict A B C --each --out FOLDER`, or a folder with `--each`, gives
  each a file of masks of its own size. Those that are done are left; failures are listed at the
  end.

`info`, `predict`, `evaluate`, `train` and `tokens` have the same options. For masks, `train` has
`--mask-axes` and so on; `evaluate` has `--truth-axes` and so on for TRUTH.

`pip install 'napari-rleseg[bioio]'` brings BioIO with its plug-ins for ND2 (MIT) and LIF (BSD 3),
and h5py. The plug-in for CZI, `bioio-czi`, is under the GPL 3: install it yourself if that licence
suits you.
"""


def page() -> str:
    """The page, in Markdown."""
    parts = [HEAD, _reading(), AXES, _options(), COUNTED, _writing(), _types()]
    return "\n".join(part.strip("\n") + "\n" for part in parts)


def _reading() -> str:
    rows = [
        (_name(one), _suffixes(one), one.notes.axes, one.notes.dtypes, one.notes.metadata)
        for one in FORMATS
    ]
    rows.append(
        (
            "Folder of images",
            "files of " + ", ".join(one.label for one in FORMATS if one.is_frame),
            "T, and those of the files",
            "as the files, which are all the same",
            "that of the first file",
        )
    )
    table = _table(("Format", "Names", "Axes", "Types", "Metadata from"), rows)
    return f"## What is read\n\n{table}"


def _options() -> str:
    told = field_descriptions(ReadOptions)
    rows = [
        (f"`--{one.name.replace('_', '-')}`", f"`{one.name}=`", told[one.name])
        for one in fields(ReadOptions)
    ]
    return f"## Options of reading\n\n{_table(('Command line', 'Python', 'What it does'), rows)}"


def _writing() -> str:
    rows = [(_name(one), _suffixes(one), one.notes.written) for one in output_formats()]
    table = _table(("Format", "Names", "What is kept, and where"), rows)
    return (
        f"## What masks are written as\n\n{table}\n\nNot written: NumPy arrays, pictures and "
        "videos, which have no place for any of it."
    )


def _types() -> str:
    names = [name for one in output_formats() for name in _file_names(one)]
    rows = [(dtype, *(_tried(name, dtype) for name in names)) for dtype in DTYPES]
    table = _table(("Ids in memory", *(f"`{name}`" for name in names)), rows)
    return (
        "## Types of ids\n\nIds are never changed. Signed ids, and those of 64 bits, are written "
        "as the smallest unsigned type that holds all of them; this is what comes back for ids up "
        f"to 100, and up to the largest of the type:\n\n{table}"
    )


def _tried(name: str, dtype: str) -> str:
    """The types in which small and large ids of a type come back."""
    highest = 1 if dtype == "bool" else int(np.iinfo(dtype).max)
    found = [_written(name, np.array([[[0, ids]]], dtype)) for ids in (min(100, highest), highest)]
    return found[0] if found[0] == found[1] else f"{found[0]}, {found[1]}"


def _written(name: str, ids: np.ndarray) -> str:
    with TemporaryDirectory() as folder:
        try:
            stack = LabelStack.open(write_labels(Path(folder) / name, ids))
        except DataError:
            return "refused"
        assert np.array_equal(np.asarray(stack.data), ids)
        return str(stack.dtype)


def _file_names(one: Format) -> list[str]:
    suffix = one.suffixes[0]
    return [f"m{suffix}", f"m.ome{suffix}"] if one.is_folder is None else [f"m{suffix}"]


def _name(one: Format) -> str:
    return one.label[0].upper() + one.label[1:]


def _suffixes(one: Format) -> str:
    return " ".join(f"`{suffix}`" for suffix in one.suffixes)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
