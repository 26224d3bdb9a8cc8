"""From a path to an array of frames: which reader opens it."""

import re
from dataclasses import dataclass
from pathlib import Path

import dask.array as da
import zarr
from natsort import natsorted

from rleseg_core.data.formats.images import PICTURE_SUFFIXES, open_pictures
from rleseg_core.data.formats.tiff import TIFF_SUFFIXES, open_tiff
from rleseg_core.data.formats.video import VIDEO_SUFFIXES, open_video
from rleseg_core.data.stack import ImageStack, LabelStack, image_data, reading
from rleseg_core.errors import DataError

_ZARR_FILES = ("zarr.json", ".zarray", ".zgroup")
_SUFFIXES = (*TIFF_SUFFIXES, *PICTURE_SUFFIXES)


@dataclass(frozen=True)
class Source:
    """What was found at a path: data (T, Y, X, C), a name for people, and the path."""

    data: da.Array
    name: str
    path: Path


def open_source(path: str | Path, *, axes: str | None = None, labels: bool = False) -> Source:
    """Lazy array of frames of a file or folder.

    Parameters
    ----------
    path : str or Path
        See `ImageStack.open`.
    axes : str, optional
        A letter for each axis of TIFF and zarr arrays, where they name them wrongly.
    labels : bool
        Whether ids are wanted: palettes are read by index, never by colour.

    Raises
    ------
    DataError
        If it is missing, damaged or of a kind we cannot read.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"there is no file or folder {path}")
    with reading(path):
        suffix = path.suffix.lower()
        if path.is_dir():
            if any((path / name).is_file() for name in _ZARR_FILES):
                data = _open_zarr(path, axes)
            else:
                data = open_pictures(pictures_in(path), labels)
        elif suffix in TIFF_SUFFIXES:
            data = open_tiff(path, axes)
        elif suffix in PICTURE_SUFFIXES:
            data = open_pictures([path], labels)
        elif suffix in VIDEO_SUFFIXES:
            data = open_video(path)
        else:
            raise DataError(
                f"cannot read {path}: {suffix or 'a file without suffix'} is none of "
                f"{' '.join((*_SUFFIXES, *VIDEO_SUFFIXES))}, a zarr or a folder of pictures"
            )
        return Source(data, path.stem, path.resolve())


def pictures_in(folder: Path) -> list[Path]:
    """Pictures of a folder, in natural order: image_2 before image_10; hidden files are left out.

    Raises
    ------
    DataError
        If there are none.
    """
    found = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in _SUFFIXES and not path.name.startswith(".") and path.is_file()
    ]
    if not found:
        raise DataError(f"there are no pictures ({' '.join(_SUFFIXES)}) in {folder}")
    return natsorted(found, key=lambda path: path.name)


def open_pair(images: str | Path, masks: str | Path) -> tuple[ImageStack, LabelStack]:
    """Images and their masks; in two folders of pictures, matched by name.

    Raises
    ------
    DataError
        If something cannot be read, or a picture has no counterpart.
    """
    images, masks = Path(images), Path(masks)
    if not (_is_picture_folder(images) and _is_picture_folder(masks)):
        return ImageStack.open(images), LabelStack.open(masks)
    pictures = pictures_in(images)
    matched = match_masks(pictures, pictures_in(masks))
    with reading(images):
        stack = ImageStack(open_pictures(pictures, False), images.stem, images.resolve())
    with reading(masks):
        labels = LabelStack.from_data(open_pictures(matched, True), masks.stem, masks.resolve())
    return stack, labels


def match_masks(images: list[Path], masks: list[Path]) -> list[Path]:
    """Mask of each image: of the same stem, else, if none is, of the same number at the end.

    Raises
    ------
    DataError
        If an image or a mask is left over; the message names them.
    """
    for key in (_stem, _number):
        by_key = {key(path): path for path in masks}
        wanted = [key(path) for path in images]
        unique = len(by_key) == len(masks) and len(set(wanted)) == len(wanted)
        if unique and "" not in by_key and set(wanted) == set(by_key):
            return [by_key[name] for name in wanted]
    no_mask = [p.name for p in images if _stem(p) not in {_stem(mask) for mask in masks}]
    no_image = [p.name for p in masks if _stem(p) not in {_stem(image) for image in images}]
    parts = [
        f"{len(left)} of {len(paths)} {kind} ({_listed(left)}) have no {other}"
        for left, paths, kind, other in (
            (no_mask, images, "images", "mask"),
            (no_image, masks, "masks", "image"),
        )
        if left
    ]
    reason = " and ".join(parts) or "two files share a stem"
    raise DataError(
        f"images and masks do not match: {reason} of the same name, between "
        f"{images[0].parent} and {masks[0].parent}"
    )


def _stem(path: Path) -> str:
    return path.stem


def _number(path: Path) -> str:
    found = re.search(r"(\d+)\D*$", path.stem)
    return str(int(found[1])) if found else ""


def _listed(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _is_picture_folder(path: Path) -> bool:
    return path.is_dir() and not any((path / name).is_file() for name in _ZARR_FILES)


def _open_zarr(path: Path, axes: str | None) -> da.Array:
    node = zarr.open(path, mode="r")
    if isinstance(node, zarr.Group):
        node, named = _finest_level(node, path)
    else:
        named = _axis_names(node)
    data = da.from_array(node, chunks=node.chunks, name=False)
    return image_data(data, axes or named, str(path))


def _finest_level(group: zarr.Group, path: Path) -> tuple[zarr.Array, str | None]:
    """First array of an OME-Zarr image and its axes, or the only array of a group."""
    attributes = dict(group.attrs)
    ome = attributes.get("ome", attributes)
    scales = ome.get("multiscales") if isinstance(ome, dict) else None
    if scales:
        level = group[scales[0]["datasets"][0]["path"]]
        axes = scales[0].get("axes", "TCZYX")
        names = [axis["name"] if isinstance(axis, dict) else axis for axis in axes]
        return level, "".join(str(name)[0] for name in names)
    arrays = [array for _, array in group.arrays()]
    if len(arrays) != 1:
        raise DataError(
            f"{path} is a zarr group of {len(arrays)} arrays and no OME-Zarr image; open one of "
            "its arrays"
        )
    return arrays[0], _axis_names(arrays[0])


def _axis_names(array: zarr.Array) -> str | None:
    """Letters of the axes, where the array names all of them."""
    names = getattr(array.metadata, "dimension_names", None)
    names = names or array.attrs.get("_ARRAY_DIMENSIONS")
    if not names or any(not name for name in names):
        return None
    letters = "".join(str(name)[0].upper() for name in names)
    return letters if set(letters) <= set("TZCYXS") and {"Y", "X"} <= set(letters) else None
