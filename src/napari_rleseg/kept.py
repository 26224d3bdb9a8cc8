"""Which file holds the image of a layer: known for as long as the layer has the data read from it.

napari and other plugins hand the metadata of a layer on to what they make of it, such as a
projection or a filtered image; the file that is noted there does not hold those pictures.
"""

import uuid
import weakref
from pathlib import Path

from napari.layers import Image

from napari_rleseg.calibration import NOTES

_MARKED: "weakref.WeakValueDictionary[str, object]" = weakref.WeakValueDictionary()


def file_notes(data: object, path: str | Path) -> dict[str, str]:
    """Entries of our notes that say which file holds the data of a layer."""
    mark = uuid.uuid4().hex
    _MARKED[mark] = data
    return {"path": str(path), "data": mark}


def file_of(layer: Image) -> Path | None:
    """The file that holds the data of a layer as they are; None if there is none."""
    notes = layer.metadata.get(NOTES, {})
    path, mark = notes.get("path"), notes.get("data")
    is_its = _MARKED.get(str(mark)) is layer.data
    return Path(str(path)) if path and is_its and Path(str(path)).exists() else None
