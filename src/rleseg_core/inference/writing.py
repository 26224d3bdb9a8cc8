"""The files of a segmentation while they are written: masks, ids of objects, and their table."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import zarr

from rleseg_core.data.formats.zarr_writing import create_labels, list_label
from rleseg_core.data.metadata import StackMetadata
from rleseg_core.data.writers import label_output, write_labels
from rleseg_core.objects import ObjectTable, objects_output
from rleseg_core.objects.paths import ResultPaths
from rleseg_core.outputs import new_output

_ID = np.dtype(np.uint32)


@dataclass(frozen=True, kw_only=True)
class GrowingResult:
    """Arrays to be filled frame by frame, which become files in the end.

    Parameters
    ----------
    classes, objects : zarr.Array
        (T, Y, X) class ids, and uint32 ids of objects.
    """

    classes: zarr.Array
    objects: zarr.Array
    _masks: Path
    _ids: Path
    _table: Path
    _is_zarr: bool
    _metadata: StackMetadata

    def finish(self, table: ObjectTable) -> None:
        """Write all files whole, under their temporary names."""
        if not self._is_zarr:
            write_labels(self._masks, self.classes, metadata=self._metadata)
            write_labels(self._ids, self.objects, metadata=_of_ids(self._metadata))
        table.write_to(self._table, self._metadata)


@contextmanager
def new_result(
    paths: ResultPaths,
    shape: tuple[int, ...],
    dtype: np.dtype,
    metadata: StackMetadata,
    *,
    overwrite: bool,
) -> Iterator[GrowingResult]:
    """A result whose files appear only if the block ends well, the masks last.

    Parameters
    ----------
    paths : ResultPaths
        Where they go.
    shape : (T, Y, X)
        Of the masks.
    dtype : numpy dtype
        Type of the class ids.
    metadata : StackMetadata
        Of the masks.
    overwrite : bool
        Whether older ones are replaced.

    Raises
    ------
    OutputError
        If one of them exists and `overwrite` is not set, or is something else.
    """
    image = paths.image
    with ExitStack() as stack:
        masks = stack.enter_context(new_output(label_output(paths.masks), overwrite=overwrite))
        growing = masks if paths.is_zarr else masks.with_name("labels.zarr")
        classes = create_labels(growing, shape, dtype, metadata, image=image)
        if paths.ids_within:
            ids = growing / paths.ids.relative_to(paths.masks)
            objects = create_labels(ids, shape, _ID, _of_ids(metadata), image=growing)
            list_label(ids)
        else:
            ids = stack.enter_context(new_output(label_output(paths.ids), overwrite=overwrite))
            growing = ids if paths.is_zarr else ids.with_name("objects.zarr")
            objects = create_labels(growing, shape, _ID, _of_ids(metadata), image=image)
        table = stack.enter_context(new_output(objects_output(paths.table), overwrite=overwrite))
        yield GrowingResult(
            classes=classes,
            objects=objects,
            _masks=masks,
            _ids=ids,
            _table=table,
            _is_zarr=paths.is_zarr,
            _metadata=metadata,
        )
    if image is not None:
        list_label(paths.masks)
        list_label(paths.ids)


def _of_ids(metadata: StackMetadata) -> StackMetadata:
    """Metadata of ids, which are no classes."""
    return replace(metadata, class_names=(), class_colours=())
