"""Results that exist already: refused, replaced, or updated in some of their frames."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import zarr

from rleseg_core.data import ImageStack, LabelStack
from rleseg_core.data.formats.sources import source_files
from rleseg_core.data.labels import components
from rleseg_core.data.metadata import StackMetadata
from rleseg_core.data.writers import metadata_of
from rleseg_core.errors import DataError, OutputError
from rleseg_core.objects import ObjectTable
from rleseg_core.objects.paths import ResultPaths
from rleseg_core.objects.table import ObjectState
from rleseg_core.outputs import check_outputs, exists

_OF_UPDATES = ("model", "model_file", "model_sha256", "step", "version", "date", "stitch", "device")


def check_result(
    path: Path,
    stack: ImageStack,
    inputs: Iterable[Path] = (),
    *,
    frames: Sequence[int] | None = None,
    overwrite: bool = False,
    update: bool = False,
) -> None:
    """Raise an error unless masks of a stack, and their objects, can be written to `path`.

    Parameters
    ----------
    path : Path
        The masks to write.
    stack : ImageStack
        Their images.
    inputs : iterable of Path
        What else is read, such as the model.
    frames, overwrite, update
        As for `predict_to_file`.

    Raises
    ------
    DataError
        If no format of that suffix can be written, or there is a result to be updated that is none
        for this stack.
    OutputError
        If it is, contains or lies inside what is read; or it exists, and neither `overwrite` nor
        `update` is set, or both are.
    """
    if overwrite and update:
        raise OutputError(
            "--update keeps the frames that are not segmented anew, --overwrite does not; choose "
            "one of them"
        )
    outputs, read = ResultPaths.of(path).outputs(), [*source_files(stack.path), *inputs]
    check_outputs(outputs, read, overwrite=True)
    if frames is not None and exists(path) and not (overwrite or update):
        raise OutputError(
            f"{path} exists already; update these frames and keep the others with --update, or "
            "replace it with --overwrite (in Python, update=True or overwrite=True)"
        )
    check_outputs(outputs, read, overwrite=overwrite or update)
    if update and exists(path):
        ExistingResult.read(path).check(stack)


@dataclass(frozen=True)
class ExistingResult:
    """Masks that were written earlier, and what was recorded with them.

    Parameters
    ----------
    path : Path
        The file or folder.
    labels : LabelStack
        The masks.
    objects : LabelStack or None
        The ids of their objects; None where there are none.
    metadata : StackMetadata
        What `write_labels` noted; little of masks of other programs.
    """

    path: Path
    labels: LabelStack
    objects: LabelStack | None
    metadata: StackMetadata

    @classmethod
    def read(cls, path: Path) -> Self:
        """The masks at a path, and their objects.

        Raises
        ------
        DataError
            If there are none, or they are damaged.
        """
        ids = ResultPaths.of(path).ids
        objects = LabelStack.open(ids) if exists(ids) else None
        return cls(path, LabelStack.open(path), objects, metadata_of(path))

    def check(self, stack: ImageStack) -> None:
        """Raise an error unless these are masks of a stack.

        Raises
        ------
        DataError
            If they have another shape, or were made for a source of another name.
        """
        if self.labels.shape != stack.shape[:3]:
            raise DataError(
                f"{self.path} is {self.labels.shape}, the images are {stack.shape[:3]}; only a "
                "result for the same (T, Y, X) can be updated"
            )
        if self.objects is not None and self.objects.shape != self.labels.shape:
            raise DataError(
                f"the objects of {self.path} are {self.objects.shape}, its masks "
                f"{self.labels.shape}; remove the objects, which belong to other masks"
            )
        source = self.metadata.provenance.get("source")
        if source and stack.path is not None and source != stack.path.name:
            raise DataError(
                f"{self.path} holds the masks of {source}, not those of {stack.path.name}; choose "
                "another name for the output"
            )

    def record_with(
        self, record: Mapping[str, object], frames: Sequence[int] | None
    ) -> dict[str, object]:
        """The record of the masks once some of their frames come from another run.

        Raises
        ------
        DataError
            If the classes of the two are not the same.
        """
        names, new = self.metadata.class_names, record["class_names"]
        if names and list(names) != new:
            raise DataError(
                f"{self.path} has the classes {_listed(names)}, the model {_listed(new)}; choose "
                "another model, or another name for the output"
            )
        step = {key: record[key] for key in _OF_UPDATES if key in record}
        step["frames"] = "all" if frames is None else [int(frame) for frame in frames]
        before = self.metadata.provenance
        updates = before.get("updates")
        updates = [*(updates if isinstance(updates, list) else ()), step]
        return {"source": record.get("source"), **before, "updates": updates}

    def copy_to(
        self,
        labels: zarr.Array,
        objects: zarr.Array,
        frames: Sequence[int] | None,
        class_names: Sequence[str],
    ) -> ObjectTable:
        """Write what is kept of masks and ids to other stacks (T, Y, X).

        Masks without ids, as earlier versions wrote them, get those of their connected pieces.

        Returns
        -------
        ObjectTable
            The objects of the frames that are kept.
        """
        updated = range(self.labels.n_frames) if frames is None else set(frames)
        kept = [frame for frame in range(self.labels.n_frames) if frame not in updated]
        tables = [ObjectTable.empty(class_names)]
        noted, n_before = self._table(class_names), 0
        for frame in kept:
            classes = np.asarray(self.labels.frame(frame))
            labels[frame] = classes
            if self.objects is not None:
                ids = np.asarray(self.objects.frame(frame)).astype(np.uint32)
            else:
                ids = components(classes).astype(np.uint32)
                ids[ids > 0] += np.uint32(n_before)
                n_before = max(n_before, int(ids.max(initial=0)))
            objects[frame] = ids
            if noted is None:
                state: ObjectState = "pieces" if self.objects is None else "predicted"
                tables.append(
                    ObjectTable.of(
                        ids[None], classes[None], class_names, first_frame=frame, state=state
                    )
                )
        return ObjectTable.concatenate(tables) if noted is None else noted.in_frames(kept)

    def _table(self, class_names: Sequence[str]) -> ObjectTable | None:
        table = ResultPaths.of(self.path).table
        if self.objects is None or not table.is_file():
            return None
        return ObjectTable.read_csv(table, class_names)


def _listed(names: object) -> str:
    return ", ".join(map(str, names)) if isinstance(names, list | tuple) else str(names)
