"""Reader of our session folders, writer of class masks.

Images of other kinds are opened in the Load tab or by napari itself: a reader of ours for ``.tif``
would make napari ask at every file which reader to take.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import zarr
from napari.types import LayerData

from napari_rleseg.layers import AXES, NOTES, labels_attributes
from napari_rleseg.overwriting import check_save
from rleseg_core.corrections import CorrectionLog, with_marks
from rleseg_core.corrections.header import HEADER
from rleseg_core.data import ImageStack
from rleseg_core.data.arrays import ArrayLike
from rleseg_core.data.formats.writers import label_output, write_labels
from rleseg_core.data.ids.mapping import IGNORED_IDS
from rleseg_core.errors import DataError
from rleseg_core.files import whole_file
from rleseg_core.spec import IGNORED

RECORD = "viewer.json"  # in a session folder: which image its masks belong to
FORMAT = "rleseg session 1"
MASKS = "segmentation"


def session_reader(path: str | Sequence[str]) -> Callable[[str], list[LayerData]] | None:
    """A function that reads the folder of a session, or None if `path` is something else."""
    if not isinstance(path, str) or not (Path(path) / RECORD).is_file():
        return None
    return read_session


def read_session(path: str) -> list[LayerData]:
    """Image and newest masks of a session folder, as napari's layer data.

    Raises
    ------
    DataError
        If its record is damaged or its image is gone.
    """
    folder = Path(path)
    record = read_record(folder)
    source = Path(str(record["image"]))
    if not source.exists():
        raise DataError(f"the image of {folder} is no longer at {source}; put it back there")
    stack = ImageStack.open(source)
    colour = stack.shape[3] >= 3
    name = str(record.get("name", stack.name))
    scale = record.get("scale")
    layers: list[LayerData] = [
        (
            stack.data if colour else stack.data[..., 0],
            {
                "name": name,
                "rgb": colour,
                "scale": scale,
                "axis_labels": AXES,
                "contrast_limits": None if colour else stack.intensity_range(),
                "metadata": {NOTES: {"path": str(source), "session": str(folder)}},
            },
            "image",
        )
    ]
    masks = newest_masks(folder)
    if masks is not None:
        data = zarr.open_array(masks, mode="r+")
        kept = dict(data.attrs.get("rleseg", {}))
        names = tuple(kept.pop("class_names", ()))
        attributes = labels_attributes(names, masks, kept)
        attributes["metadata"][NOTES]["session"] = str(folder)  # type: ignore[index]
        attributes |= {"name": f"{name} masks", "scale": scale}
        layers.append((data, attributes, "labels"))
    return layers


def newest_masks(folder: Path) -> Path | None:
    """The masks that were written last: corrected ones, or those of a model."""
    found = [*folder.glob(f"{MASKS}*.zarr"), *folder.glob("corrections*/labels.zarr")]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def write_record(folder: Path, record: dict[str, object]) -> Path:
    """Keep with a session which image it belongs to."""
    with whole_file(folder / RECORD) as temporary:
        temporary.write_text(json.dumps({"format": FORMAT, **record}, indent=2) + "\n", "utf-8")
    return folder / RECORD


def read_record(folder: Path) -> dict[str, object]:
    """What `write_record` kept.

    Raises
    ------
    DataError
        If there is none, or it is not one of ours.
    """
    try:
        record = json.loads((folder / RECORD).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{folder} is not the folder of a session ({error})") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT or "image" not in record:
        raise DataError(f"{folder / RECORD} is not the record of a session")
    return record


def write_masks(path: str, data: np.ndarray, attributes: dict) -> list[str]:
    """Write a labels layer as TIFF or zarr with its class names and where it is from.

    Raises
    ------
    DataError
        If it has more axes than (T, Y, X), or the suffix is not one of ours.
    OutputError
        If something would be replaced that the viewer shows, that is not ours, or that the user
        was not asked about.
    """
    shape = tuple(data.shape)
    if len(shape) not in (2, 3):
        raise DataError(f"masks are (Y, X) or (T, Y, X), this layer has shape {shape}")
    stack: ArrayLike = data if len(shape) == 3 else data[None]
    kept = attributes.get("metadata", {}).get(NOTES, {})
    names, provenance = kept.get("class_names", ()), kept.get("provenance", {})
    stack, marked = _with_marks(stack, kept.get("path"))
    provenance = {**provenance, **marked}
    overwrite = check_save(label_output(path))
    return [str(write_labels(path, stack, names, provenance, overwrite=overwrite))]


def _with_marks(labels: ArrayLike, path: str | None) -> tuple[ArrayLike, dict[str, object]]:
    """Labels (T, Y, X) with what nobody has reviewed as `IGNORED`, and a note that says so."""
    folder = None if path is None else Path(path).parent
    if folder is None or not (folder / HEADER).is_file():
        return labels, {}
    log = CorrectionLog(folder, read_only=True)
    if not log.unreviewed_pixels() or tuple(labels.shape) != log.shape:
        return labels, {}
    return with_marks(log, labels), {IGNORED_IDS: [IGNORED]}
