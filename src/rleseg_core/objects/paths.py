"""Where the objects of masks are kept: ids and their table, beside the masks or within them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from rleseg_core.data.formats.registry import FORMATS, plain_name, suffix_format
from rleseg_core.data.formats.zarr import ZARR
from rleseg_core.data.formats.zarr_writing import LABELS, image_of
from rleseg_core.data.writers import label_output
from rleseg_core.objects.table import objects_output
from rleseg_core.outputs import Output

OBJECTS = "objects"
_OME = ("", ".ome")
ENDING = f".{OBJECTS}"  # of the names of ids and tables, before the suffix


@dataclass(frozen=True, kw_only=True)
class ResultPaths:
    """The files of a segmentation.

    Parameters
    ----------
    masks : Path
        Class masks.
    ids : Path
        Ids of objects: ``movie.objects.tif`` for ``movie.tif``, ``movie.zarr/labels/objects`` for
        ``movie.zarr``, and ``labels/cells.objects`` for masks ``labels/cells`` of an OME-Zarr
        image.
    table : Path
        The table of the objects, ``movie.objects.csv``; if that is the table of ``movie.tif``, the
        one of ``movie.zarr`` is ``movie.zarr.objects.csv``. Of masks in an OME-Zarr image it is
        ``movie.cells.objects.csv``, beside the image.
    image : Path or None
        The OME-Zarr image among whose labels the masks lie.
    is_zarr : bool
        Whether masks and ids are zarr.
    """

    masks: Path
    ids: Path
    table: Path
    image: Path | None
    is_zarr: bool

    @classmethod
    def of(cls, masks: Path) -> Self:
        """The files that belong to masks, whether they are there or not."""
        image = image_of(masks)
        if image is not None:
            table = image.with_name(f"{plain_name(image)}.{masks.name}{ENDING}.csv")
            ids = masks.with_name(f"{masks.name}{ENDING}")
            return cls(masks=masks, ids=ids, table=table, image=image, is_zarr=True)
        ids, is_zarr = _ids(masks), suffix_format(masks.name) is ZARR
        return cls(masks=masks, ids=ids, table=_table(masks, ids), image=None, is_zarr=is_zarr)

    @classmethod
    def of_ids(cls, ids: Path) -> Self:
        """The files to which ids belong, if their name is one of those that `of` gives."""
        if ids.name == OBJECTS and ids.parent.name == LABELS:
            return cls.of(ids.parent.parent)
        if ids.parent.name == LABELS:
            return cls.of(ids.with_name(ids.name.removesuffix(ENDING)))
        name = plain_name(ids)
        return cls.of(ids.with_name(name.removesuffix(ENDING) + ids.name[len(name) :]))

    @property
    def ids_within(self) -> bool:
        """Whether the ids lie within the masks and are written with them."""
        return self.is_zarr and self.image is None

    def outputs(self) -> list[Output]:
        """All that is written, for `check_outputs`.

        Raises
        ------
        DataError
            If no format of the suffix can be written.
        """
        ids = [] if self.ids_within else [label_output(self.ids)]
        return [label_output(self.masks), *ids, objects_output(self.table)]


def objects_beside(path: Path) -> ResultPaths | None:
    """The files of a result of ours, by its masks or its ids; None if it has not both."""
    for paths in (ResultPaths.of(path), ResultPaths.of_ids(path)):
        if path in (paths.masks, paths.ids) and paths.masks.exists() and paths.ids.exists():
            return paths
    return None


def _ids(masks: Path) -> Path:
    name = plain_name(masks)
    if suffix_format(masks.name) is ZARR:
        return masks / LABELS / OBJECTS
    return masks.with_name(f"{name}{ENDING}{masks.name[len(name) :]}")


def _table(masks: Path, ids: Path) -> Path:
    """The table of masks; a name of their own where it is that of others of the same name."""
    name = plain_name(masks)
    short, own = (masks.with_name(f"{start}{ENDING}.csv") for start in (name, masks.name))
    if own.exists() or ids.exists() or not short.exists():
        return own if own.exists() else short
    endings = [ome + s for form in FORMATS if form.write for s in form.suffixes for ome in _OME]
    others = (_ids(masks.with_name(name + ending)) for ending in endings)
    return own if any(other.exists() for other in others) else short
