"""Reader of our session folders and of zarr, writer of class masks.

Images of other kinds are opened in the Load tab or by napari itself: a reader of ours for ``.tif``
would make napari ask at every file which reader to take.
"""

import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from napari.types import LayerData

from napari_rleseg.calibration import NOTES, check_upright, layer_notes, metadata_of
from napari_rleseg.layers import image_data, labels_attributes
from napari_rleseg.object_colours import object_colormap
from napari_rleseg.object_files import MASKS, ObjectFiles, load_objects, objects_of
from napari_rleseg.objects import object_features, objects_attributes, objects_name
from napari_rleseg.overwriting import check_save
from rleseg_core.corrections import CorrectionLog, with_marks
from rleseg_core.corrections.header import HEADER, LABELS, LOG
from rleseg_core.corrections.objects import CORRECTED, open_objects
from rleseg_core.data import ImageStack, LabelStack
from rleseg_core.data.arrays import ArrayLike
from rleseg_core.data.formats.zarr import is_zarr
from rleseg_core.data.formats.zarr_writing import holds_labels, labels_in, open_written
from rleseg_core.data.ids.mapping import IGNORED_IDS
from rleseg_core.data.metadata import StackMetadata, pair
from rleseg_core.data.units import positive
from rleseg_core.data.writers import label_output, write_labels
from rleseg_core.data.writers import metadata_of as recorded_metadata
from rleseg_core.errors import DataError
from rleseg_core.files import whole_file
from rleseg_core.locks import lock_beside
from rleseg_core.objects import ObjectTable
from rleseg_core.spec import IGNORED

RECORD = "viewer.json"  # in a session folder: which image its masks belong to
FORMAT = "rleseg session 1"


def session_reader(path: str | Sequence[str]) -> Callable[[str], list[LayerData]] | None:
    """A function that reads a folder of ours, or None if `path` is something else.

    Folders of sessions are read, masks that this program wrote as zarr, and OME-Zarr images with
    their labels.
    """
    if not isinstance(path, str):
        return None
    if (Path(path) / RECORD).is_file():
        return read_session
    return read_zarr if is_zarr(Path(path)) else None


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
    name = str(record.get("name", stack.name))
    metadata = _recorded(record, stack.metadata)
    image = image_data(stack, metadata)
    image[1]["name"] = name
    image[1]["metadata"][NOTES]["session"] = str(folder)
    layers = [image]
    masks = newest_masks(folder)
    if masks is not None and (masks.parent / HEADER).is_file():
        layers += _corrected(masks.parent, name, metadata, folder)
    elif masks is not None:
        being_written = lock_beside(masks, "the masks").in_use()
        data, noted = open_written(masks, "r" if being_written else "r+")
        of_image = replace(metadata.for_masks(), class_colours=noted.class_colours)
        attributes = labels_attributes(noted.class_names, masks, noted.provenance, of_image)
        attributes["metadata"][NOTES]["session"] = str(folder)  # type: ignore[index]
        title = f"{name} masks" + (" (being written elsewhere)" if being_written else "")
        layers.append((data, attributes | {"name": title}, "labels"))
        files = ObjectFiles.beside(masks)
        if files.ids.is_dir() and not being_written:
            deque(load_objects(files, data, noted.class_names, of_image), maxlen=0)
        found = None if being_written else files.read(noted.class_names)
        if found is not None:
            layers.append(_objects_data(*found, files.ids, title, of_image))
    return layers


def _objects_data(
    ids: ArrayLike, table: ObjectTable, path: Path, masks: str, metadata: StackMetadata
) -> LayerData:
    """Objects as layer data, with their table among the notes of the layer."""
    attributes = objects_attributes(ids.shape, metadata, path, metadata.provenance)
    attributes["metadata"][NOTES]["table"] = table  # type: ignore[index]
    features, colours = object_features(table), object_colormap(table, "id")
    made = {"name": objects_name(masks), "features": features, "colormap": colours}
    return (ids, attributes | made, "labels")


def _corrected(
    corrections: Path, name: str, metadata: StackMetadata, folder: Path
) -> list[LayerData]:
    """The masks of a correction session as layer data, to be looked at: the log has the truth."""
    log = CorrectionLog(corrections, read_only=True)
    masks = corrections / LABELS
    attributes = labels_attributes(log.class_names, masks, log.provenance, metadata.for_masks())
    attributes["metadata"][NOTES]["session"] = str(folder)  # type: ignore[index]
    title = f"{name} masks, corrected"
    layers = [(log.labels, attributes | {"name": title}, "labels")]
    objects = open_objects(log, metadata)
    if objects is not None:
        deque(objects.update_all(), maxlen=0)
        ids, path = objects.ids, corrections / CORRECTED
        layers.append(_objects_data(ids, objects.table, path, title, metadata.for_masks()))
    return layers


def _recorded(record: Mapping[str, object], metadata: StackMetadata) -> StackMetadata:
    """Metadata of the image of a session as it was used there."""
    noted, scale = record.get("metadata"), record.get("scale")
    if isinstance(noted, Mapping):
        return StackMetadata.from_json(noted)
    if isinstance(scale, list) and len(scale) == 3:  # version 0.1 kept no more
        size = pair(scale[1:], positive)
        if size is not None and size != metadata.pixel_size:
            unit = metadata.unit if metadata.pixel_size is None else ""
            return replace(metadata, pixel_size=size, unit=unit, origin=None, z_spacing=None)
    return metadata


def read_zarr(path: str) -> list[LayerData]:
    """An OME-Zarr image with its labels, or masks, as napari's layer data.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    folder = Path(path)
    if holds_labels(folder):
        masks, others = _labels_data(folder), labels_in(folder)
        found = objects_of(folder)
        if found is None:
            return [masks, *map(_labels_data, others)]
        known = LabelStack.open(folder).metadata
        name = str(masks[1]["name"])
        objects = _objects_data(found.ids, found.table, found.path, name, known)
        others = [one for one in others if one != found.path]
        return [masks, objects, *map(_labels_data, others)]
    stack = ImageStack.open(folder)
    return [image_data(stack, stack.metadata), *map(_labels_data, labels_in(folder))]


def _labels_data(folder: Path) -> LayerData:
    """Masks in a zarr as layer data, read when they are looked at."""
    stack = LabelStack.open(folder)
    known = stack.metadata
    attributes = labels_attributes(known.class_names, folder, known.provenance, known)
    if not known.class_names:
        del attributes["colormap"], attributes["features"]  # ids of objects
    return (stack.data, attributes | {"name": stack.name}, "labels")


def newest_masks(folder: Path) -> Path | None:
    """The masks that were written last: corrected ones, or those of a model."""
    logs = [path.parent for path in folder.glob(f"corrections*/{LOG}")]
    found = {path: path.stat().st_mtime for path in folder.glob(f"{MASKS}*.zarr")}
    found |= {path / LABELS: (path / LOG).stat().st_mtime for path in logs}
    return max(found, key=lambda path: found[path], default=None)


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
    """Write a labels layer as TIFF or zarr with its scale, class names and where it is from.

    Parameters
    ----------
    path : str
        As for `write_labels`.
    data : (Y, X) or (T, Y, X) integer
        The ids; of a multiscale layer, its levels, of which the finest is written.
    attributes : dict
        Of the layer, as napari hands them over.

    Raises
    ------
    DataError
        If it has more axes than (T, Y, X), or is rotated or sheared, or the suffix is not one of
        ours.
    OutputError
        If something would be replaced that the viewer shows, that is not ours, or that the user
        was not asked about.
    """
    finest = data[0] if attributes.get("multiscale") or isinstance(data, list | tuple) else data
    shape = tuple(finest.shape)
    if len(shape) not in (2, 3):
        raise DataError(f"masks are (Y, X) or (T, Y, X), this layer has shape {shape}")
    stack: ArrayLike = finest if len(shape) == 3 else finest[None]
    check_upright(attributes)
    metadata = replace(metadata_of(attributes, len(shape)), axes="")
    source = layer_notes(attributes).get("path")
    if source is not None:  # jobs note there what the viewer does not know, such as hashes
        made = {**recorded_metadata(str(source)).provenance, **metadata.provenance}
        metadata = replace(metadata, provenance=made)
    stack, marked = _with_marks(stack, source)
    overwrite = check_save(label_output(path))
    written = write_labels(path, stack, (), marked, metadata=metadata, overwrite=overwrite)
    return [str(written)]


def _with_marks(labels: ArrayLike, path: object) -> tuple[ArrayLike, dict[str, object]]:
    """Labels (T, Y, X) with what nobody has reviewed as `IGNORED`, and a note that says so."""
    folder = None if path is None else Path(str(path)).parent
    if folder is None or not (folder / HEADER).is_file():
        return labels, {}
    log = CorrectionLog(folder, read_only=True)
    if not log.unreviewed_pixels() or tuple(labels.shape) != log.shape:
        return labels, {}
    return with_marks(log, labels), {IGNORED_IDS: [IGNORED]}
