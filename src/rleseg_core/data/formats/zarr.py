"""Zarr: arrays, OME-Zarr images, plates and series of them, in folders and zip files."""

import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from natsort import natsorted

from rleseg_core.data.formats.base import Format, FormatNotes, ReadOptions, Series
from rleseg_core.data.formats.ngff import RECORD, ngff_metadata
from rleseg_core.data.formats.zarr_chunks import missing_chunks
from rleseg_core.data.formats.zarr_writing import LABELS, is_our_zarr, write_zarr
from rleseg_core.errors import DataError

if TYPE_CHECKING:
    import zarr

_MARKERS = ("zarr.json", ".zarray", ".zgroup")
_DEPTH = 3  # of groups within groups


@dataclass(frozen=True)
class _Image:
    """An array that is an image: what to call it, its axes, and its group if it has one."""

    name: str
    array: "zarr.Array"
    axes: str | None
    attributes: Mapping[str, object]
    multiscale: int = 0


def zarr_series(path: Path, options: ReadOptions, masks: bool) -> list[Series]:
    """The images of a zarr hierarchy, each at its finest level; of masks, the labels of an image.

    Raises
    ------
    DataError
        If it holds none.
    """
    import zarr

    node = zarr.open(path, mode="r")
    if isinstance(node, zarr.Array):
        return [_series(_lone_array(node, path), path, options, masks)]
    return _series_of_group(node, path, options, masks)


def zipped_series(path: Path, options: ReadOptions, masks: bool) -> list[Series]:
    """The images of a zarr hierarchy in a zip file, as `zarr_series`.

    Raises
    ------
    DataError
        If there is no zarr hierarchy in it.
    """
    import zarr
    from zarr.storage import ZipStore

    with zipfile.ZipFile(path) as file:
        roots = [name.rpartition("/")[0] for name in file.namelist() if _is_marker(name)]
    if not roots:
        raise DataError(f"{path} is no zarr hierarchy: no {' or '.join(_MARKERS)} is in it")
    node = zarr.open(ZipStore(path, mode="r"), path=min(roots, key=len), mode="r")
    if isinstance(node, zarr.Array):
        return [_series(_Image("", node, _axis_names(node), node.attrs), path, options, masks)]
    return _series_of_group(node, path, options, masks)


def is_zarr(folder: Path) -> bool:
    """Whether a folder is a zarr array or group."""
    return any((folder / name).is_file() for name in _MARKERS)


def _is_marker(name: str) -> bool:
    return name.rpartition("/")[2] in _MARKERS


def _series(
    image: _Image, path: Path, options: ReadOptions, masks: bool, notes: Sequence[str] = ()
) -> Series:
    array, axes = image.array, image.axes
    if axes is not None and len(axes) != array.ndim:
        axes = None
    where = f"{path}/{image.name}" if image.name else str(path)
    said, is_refused = "", False
    if not (masks and RECORD in image.attributes):  # our masks may be of some frames only
        said, is_refused = missing_chunks(array, options.axes or axes, masks)
        is_refused = is_refused and not _as_version_0_1_wrote(array)
    sentences = (f"{where}: {said}",) if said else ()
    return Series(
        name=image.name,
        shape=tuple(array.shape),
        dtype=array.dtype,
        axes=axes,
        read=lambda: array,
        metadata=ngff_metadata(dict(image.attributes), image.multiscale),
        notes=(*notes, *(() if is_refused else sentences)),
        missing=sentences if is_refused else (),
    )


def _series_of_group(
    group: "zarr.Group", path: Path, options: ReadOptions, masks: bool
) -> list[Series]:
    notes: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr's, of files beside the arrays
        labels = _labels(group) if masks else []
        images = labels or list(_images(group, notes))
    if labels:
        notes.append(f"{path} is an image; its masks are those of {LABELS}/")
    if not images:
        raise DataError(f"{path} is a zarr group that holds no image; open one of its arrays")
    named = _ome_names(path)
    if len(named) == len(images) and all(image.name.isdecimal() for image in images):
        images = [
            replace(image, name=f"{image.name} {n}".strip())
            for image, n in zip(images, named, strict=True)
        ]
    return [_series(image, path, options, masks, notes) for image in images]


def _labels(group: "zarr.Group") -> list[_Image]:
    """The label images of an OME-Zarr image; masks are none, even if their objects lie in them."""
    ome = _ome(group)
    if not ome.get("multiscales") or "image-label" in ome or LABELS not in group:
        return []
    below = group[LABELS]
    names = _ome(below).get("labels") or sorted(dict(below.groups()))
    found = [(str(name), below[str(name)]) for name in _list(names) if str(name) in below]
    return [image for name, one in found for image in _multiscales(one, name)]


def _images(
    group: "zarr.Group", notes: list[str], prefix: str = "", depth: int = 0
) -> Iterator[_Image]:
    """The images of a group: its own, those of a plate or a series, or its arrays."""
    ome = _ome(group)
    if ome.get("multiscales"):
        yield from _multiscales(group, prefix)
        return
    if isinstance(ome.get("plate"), Mapping):
        yield from _plate(group, notes)
        return
    for name, array in sorted(group.arrays()):
        if array.ndim > 1:
            yield _Image(_below(prefix, name), array, _axis_names(array), dict(array.attrs))
    if depth < _DEPTH:
        groups = {name: below for name, below in group.groups() if name != "OME"}
        for name in natsorted(groups):
            yield from _images(groups[name], notes, _below(prefix, name), depth + 1)


def _multiscales(group: "zarr.Group", prefix: str) -> Iterator[_Image]:
    """The multiscale images of a group, each at its finest level."""
    scales = _list(_ome(group).get("multiscales"))
    for index, scale in enumerate(scales):
        level = str(scale["datasets"][0]["path"])
        if level not in group:
            raise DataError(f"{group.name} names a level {level!r}, which is not there")
        array = group[level]
        name = prefix if len(scales) == 1 else _below(prefix, str(scale.get("name") or index))
        axes = _letters(scale.get("axes", "TCZYX"))
        yield _Image(name, array, axes, dict(group.attrs), index)


def _plate(group: "zarr.Group", notes: list[str]) -> Iterator[_Image]:
    """The fields of the wells of a plate, named such as A/1/0."""
    lost = []
    for well in _list(_ome(group)["plate"].get("wells")):
        where = str(well["path"])
        if where not in group:
            lost.append(where)
            continue
        for field in _list((_ome(group[where]).get("well") or {}).get("images")):
            name = _below(where, str(field["path"]))
            if name in group:
                yield from _multiscales(group[name], name)
            else:
                lost.append(name)
    if lost:
        notes.append(f"the plate also names {', '.join(lost[:5])}, which is not there")


def _lone_array(array: "zarr.Array", path: Path) -> _Image:
    """An array that was opened by itself; one that is a level of an image has the image's axes."""
    import zarr

    if is_zarr(path.parent):
        parent = zarr.open(path.parent, mode="r")
        for index, scale in enumerate(_list(_ome(parent).get("multiscales"))):
            levels = [str(level.get("path")) for level in scale.get("datasets", [])]
            if path.name in levels:
                finest = path.name == levels[0]  # of the others the scale is another
                attributes = dict((parent if finest else array).attrs)
                return _Image("", array, _letters(scale.get("axes", "TCZYX")), attributes, index)
    return _Image("", array, _axis_names(array), dict(array.attrs))


def _as_version_0_1_wrote(array: "zarr.Array") -> bool:
    """Whether an array looks like images of a session, of which black frames were not stored."""
    names = getattr(array.metadata, "dimension_names", None) or ()
    whole_frames = (1, *array.shape[1:])
    return tuple(names) == ("t", "y", "x", "c")[: array.ndim] and array.chunks == whole_frames


def _ome(node: "zarr.Group | zarr.Array") -> Mapping:
    """OME-Zarr metadata of a group: of version 0.5 in "ome", of older ones beside the others."""
    attributes = dict(node.attrs)
    ome = attributes.get("ome", attributes)
    return ome if isinstance(ome, Mapping) else {}


def _letters(axes: Sequence) -> str:
    """Letters of the axes of a multiscale image; channels by their type, whatever their name."""
    kinds = {"channel": "C", "time": "T"}
    found = []
    for axis in axes:
        name = axis.get("name", " ") if isinstance(axis, Mapping) else axis
        kind = axis.get("type") if isinstance(axis, Mapping) else None
        found.append(kinds.get(str(kind), str(name)[:1].upper()))
    return "".join(found)


def _axis_names(array: "zarr.Array") -> str | None:
    """Letters of the axes, where the array names all of them."""
    names = getattr(array.metadata, "dimension_names", None)
    names = names or array.attrs.get("_ARRAY_DIMENSIONS")
    if not names or any(not name for name in names):
        return None
    letters = "".join(str(name)[0].upper() for name in names)
    return letters if set(letters) <= set("TZCYXS") and {"Y", "X"} <= set(letters) else None


def _ome_names(path: Path) -> list[str]:
    """Names of the images of a series that bioformats2raw wrote."""
    file = path / "OME" / "METADATA.ome.xml"
    if not file.is_file():
        return []
    try:
        root = ElementTree.parse(file).getroot()
    except ElementTree.ParseError:
        return []
    return [image.get("Name", "") for image in root if image.tag.endswith("}Image")]


def _below(prefix: str, name: str) -> str:
    return f"{prefix}/{name}" if prefix else name


def _list(value: object) -> list:
    return list(value) if isinstance(value, list | tuple) else []


_METADATA = (
    "OME-Zarr 0.4 and 0.5: scale and translation of both levels, units, channel names; of labels, "
    "names and colours of the classes; our record"
)

ZARR = Format(
    label="zarr",
    suffixes=(".zarr",),
    series=zarr_series,
    is_folder=is_zarr,
    write=write_zarr,
    is_ours=is_our_zarr,
    notes=FormatNotes(
        metadata=_METADATA,
        written="OME-Zarr 0.5, one level, one chunk per frame: scale, translation, units, and "
        "`image-label` with names and colours of the classes; the rest in our record. "
        "`movie.zarr/labels/NAME` adds the masks to an OME-Zarr image, in its version (0.4 or "
        "0.5), and lists them there.",
    ),
)

ZIPPED_ZARR = Format(
    label="zipped zarr",
    suffixes=(".zarr.zip", ".ozx"),
    series=zipped_series,
    notes=FormatNotes(metadata=_METADATA),
)
