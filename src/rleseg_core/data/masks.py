"""Masks without their images, for what looks at masks alone."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

import numpy as np

from rleseg_core.data.arrays import check_same_shape
from rleseg_core.data.formats.base import ReadOptions
from rleseg_core.data.ids import IdMapping, IdOptions, IdReader, IdRules
from rleseg_core.data.stack import LabelStack, noted_class_names, noted_ids
from rleseg_core.data.windows import LabelReader, Window, plan_windows
from rleseg_core.errors import DataError
from rleseg_core.spec import IGNORED, WindowSpec


@dataclass(frozen=True, kw_only=True, eq=False)
class MaskStack:
    """Masks over time, read frame by frame as class ids and, where known, as instance ids.

    Parameters
    ----------
    class_names : tuple of str
        Names of the class ids from 1 on.
    classes : LabelStack or None
        (T, Y, X) class ids or grey levels that stand for them. None: every instance is of class 1.
    instances : LabelStack or None
        (T, Y, X) ids of objects, 0 = background; None: not known.
    ids : IdOptions
        What is known of the numbers: which of them are ignored, which one is the background.
    noted : tuple of str
        Names of the classes as the masks themselves note them; ids are matched by name. Empty where
        there is no note.
    object_ids : IdOptions, optional
        What is known of the numbers of objects beside classes; `ids` by default.

    Raises
    ------
    DataError
        If there are neither, their shapes differ, or the noted classes are others.
    """

    class_names: tuple[str, ...]
    classes: LabelStack | None = None
    instances: LabelStack | None = None
    ids: IdOptions = IdOptions()
    noted: tuple[str, ...] = ()
    object_ids: IdOptions | None = None

    def __post_init__(self) -> None:
        if self.classes is not None and self.instances is not None:
            check_same_shape(self.classes, self.instances)
        if self.classes is None and self.instances is None:
            raise DataError("a stack of masks needs classes or instances, got neither")
        _ = self._classes, self._instances  # classes that do not match are told now

    @classmethod
    def open(
        cls,
        path: str | Path,
        class_names: Sequence[str],
        *,
        instances: bool = False,
        instance_ids: str | Path | None = None,
        reading: ReadOptions = ReadOptions(),
        ids: IdOptions = IdOptions(),
    ) -> Self:
        """Masks of a file or folder, as `LabelStack.open`.

        Parameters
        ----------
        path : str or Path
            The masks.
        class_names : sequence of str
            Names of the class ids from 1 on. If the file notes names of its own, ids are matched by
            name.
        instances : bool
            Whether they hold ids of objects of the only class rather than classes.
        instance_ids : str or Path, optional
            Ids of the objects, a file or folder of its own.
        reading : ReadOptions
            Which part of the file or folder is read, and how.
        ids : IdOptions
            What is known of the numbers.

        Raises
        ------
        DataError
            If something cannot be read, the shapes differ, or the file notes other classes.
        """
        labels = LabelStack.open(path, **reading.keywords())
        objects = None
        if instance_ids is not None:
            objects = LabelStack.open(instance_ids, **reading.keywords())
        return cls(
            class_names=tuple(class_names),
            classes=None if instances else labels,
            instances=labels if instances else objects,
            ids=noted_ids(labels, ids),
            noted=noted_class_names(labels),
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """(T, Y, X)."""
        stack = self.classes or self.instances
        assert stack is not None
        return stack.shape

    @property
    def n_frames(self) -> int:
        """T, the number of frames."""
        return self.shape[0]

    @property
    def breaks(self) -> tuple[int, ...]:
        """Frames that do not follow the one before them; see `ImageStack.breaks`."""
        stack = self.classes or self.instances
        assert stack is not None
        return stack.breaks

    @property
    def mapping(self) -> IdMapping:
        """What the numbers of the masks mean; the first time, all frames are read for it.

        Raises
        ------
        DataError
            If it cannot be told; the message says what to do.
        """
        reader = self._classes or self._instances
        assert reader is not None
        return reader.mapping

    def class_frame(self, frame: int) -> np.ndarray:
        """Class ids of a frame, (Y, X) uint8; `IGNORED` where pixels do not count.

        Raises
        ------
        DataError
            If the numbers of the masks cannot be told; file and frame are named.
        """
        reader = self._classes or self._instances
        assert reader is not None
        return reader.class_frame(frame)

    def instance_frame(self, frame: int) -> np.ndarray | None:
        """Ids of objects of a frame, (Y, X) int32, or None if they are not known."""
        if self._instances is None:
            return None
        objects = self._instances.object_frame(frame)
        if self._classes is not None and self.ids.ignore:
            objects[self._classes.class_frame(frame) == IGNORED] = 0
        return objects

    @cached_property
    def _classes(self) -> IdReader | None:
        return self._reader(self.classes, objects=False)

    @cached_property
    def _instances(self) -> IdReader | None:
        return self._reader(self.instances, objects=True)

    def _reader(self, labels: LabelStack | None, *, objects: bool) -> IdReader | None:
        if labels is None:
            return None
        of_classes = objects and self.classes is not None  # beside them: no class is read off it
        rules = IdRules(
            class_names=self.class_names,
            noted=() if of_classes else self.noted,
            objects=objects,
            options=(self.object_ids or self.ids) if of_classes else self.ids,
        )
        return IdReader(labels, rules, str(labels.path or labels.name or "the mask"))

    def plan(self, spec: WindowSpec) -> list[Window]:
        """Windows of N frames that cover the masks; shorter runs between gaps are left out.

        Raises
        ------
        DataError
            If there are none.
        """
        planned = plan_windows(self.shape, spec, self.breaks)
        whole = [one for one in planned if one.n_frames == spec.n_frames]
        if not whole:
            in_a_row = " in a row" if self.breaks else ""
            raise DataError(
                f"windows of {spec.n_frames} frames need as many{in_a_row}, and a stack of masks "
                f"has {max(one.n_frames for one in planned)}; choose fewer frames"
            )
        return whole

    def windows(
        self, spec: WindowSpec, windows: Iterable[Window] | None = None, *, instances: bool = True
    ) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Class ids and instance ids of windows, as a model would see them.

        Parameters
        ----------
        spec : WindowSpec
            How frames are resized and cut; N + 1 of them are kept in memory.
        windows : iterable of Window, optional
            Which ones; those of `plan` by default.
        instances : bool
            Whether instance ids are wanted.

        Yields
        ------
        (N, P, P) uint8, (N, P, P) int32 or None
            In patch pixels, `IGNORED` where pixels do not count; a frame that is smaller than a
            patch is filled up with its last row and column.
        """
        classes = LabelReader(_Frames(self, "classes"), spec)
        ids = LabelReader(_Frames(self, "instances"), spec)
        wanted = instances and self.instances is not None
        for window in self.plan(spec) if windows is None else windows:
            yield classes.read(window), ids.read(window) if wanted else None


class _Frames:
    """The classes or the instances of a stack, an array as `LabelReader` reads it."""

    def __init__(self, stack: MaskStack, what: Literal["classes", "instances"]) -> None:
        self.shape = stack.shape
        self.dtype = np.dtype(np.uint8 if what == "classes" else np.int32)
        self._read = stack.class_frame if what == "classes" else stack.instance_frame

    def __getitem__(self, frame: int, /) -> object:
        return self._read(frame)
