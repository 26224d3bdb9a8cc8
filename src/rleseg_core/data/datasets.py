"""Images together with what is known of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np

from rleseg_core.data.arrays import ArrayLike, check_same_shape, frame_of, frames_array
from rleseg_core.data.formats.base import ReadOptions
from rleseg_core.data.ids import IGNORED, IdMapping, IdOptions, IdReader, IdRules, ids_by_name
from rleseg_core.data.labels import components
from rleseg_core.data.pairs import open_pair
from rleseg_core.data.stack import ImageStack, noted_class_names, noted_ids
from rleseg_core.errors import DataError
from rleseg_core.normalisation import Normalisation


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledStack:
    """An image stack and its labels.

    Parameters
    ----------
    images : ImageStack
        (T, Y, X, C).
    classes : (T, Y, X) integer array
        Class ids, a numpy, dask or zarr array; grey levels of masks saved as images (0/255 for one
        class, 0/128/255 for two) are understood.
    class_names : tuple of str
        Names of the class ids from 1 on.
    instances : (T, Y, X) integer array, optional
        Ids of objects, 0 = background.
    frames : tuple of int, optional
        The frames whose labels are to be used; all by default.
    ignored : (T, Y, X) bool array, optional
        Pixels that do not count, such as regions that nobody has reviewed.
    rules : IdRules, optional
        What the numbers of `classes` may mean; by default ids of the classes.
    reader : IdReader, optional
        Decides what they mean; made here, and shared with copies by `dataclasses.replace`, so that
        all of them read the numbers in the same way.
    normalisation : Normalisation, optional
        How grey values become the range 0 to 1; as the model's window says by default.

    Raises
    ------
    DataError
        If the shapes differ, values are no integers, or a frame is out of range.
    """

    images: ImageStack
    classes: ArrayLike
    class_names: tuple[str, ...]
    instances: ArrayLike | None = None
    frames: tuple[int, ...] = None  # type: ignore[assignment]  # always a tuple afterwards
    ignored: ArrayLike | None = None
    rules: IdRules | None = None
    reader: IdReader = None  # type: ignore[assignment]  # always one afterwards
    normalisation: Normalisation | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "class_names", tuple(self.class_names))
        n_frames = self.images.n_frames
        chosen = range(n_frames) if self.frames is None else sorted({int(t) for t in self.frames})
        object.__setattr__(self, "frames", tuple(chosen))
        if self.frames and not 0 <= self.frames[0] <= self.frames[-1] < n_frames:
            raise DataError(
                f"labelled frames must be from 0 to {n_frames - 1}, got {list(self.frames)}"
            )
        for labels in (self.classes, self.instances, self.ignored):
            if labels is None:
                continue
            check_same_shape(self.images, labels)
            if len(labels.shape) != 3 or np.dtype(labels.dtype).kind not in "uifb":
                raise DataError(
                    f"labels must be whole numbers of (T, Y, X), got {labels.dtype} of "
                    f"{labels.shape}"
                )
        if self.reader is None or self.reader.labels is not self.classes:
            rules = self.rules or IdRules(class_names=self.class_names)
            frames = self.frames or None if self.rules is None else None
            reader = IdReader(self.classes, rules, self.images.name or "the mask", frames)
            object.__setattr__(self, "reader", reader)

    @classmethod
    def from_paths(
        cls,
        images: str | Path,
        masks: str | Path,
        class_names: Sequence[str],
        *,
        instances: bool = False,
        frames: Sequence[int] | None = None,
        reading: ReadOptions = ReadOptions(),
        mask_reading: ReadOptions = ReadOptions(),
        ids: IdOptions = IdOptions(),
    ) -> Self:
        """Images and masks from disk.

        Parameters
        ----------
        images, masks : str or Path
            As for `ImageStack.open`. If both are folders of images, masks are found by the names of
            the images, else by the number at their end; the images may be of independent fields.
        class_names : sequence of str
            Names of the class ids from 1 on. If the masks note names of their own, ids are matched
            by name.
        instances : bool
            Whether the masks hold ids of objects rather than classes.
        frames : sequence of int, optional
            The frames to use; all by default.
        reading, mask_reading : ReadOptions
            Which part of the images and of the masks is read, and how.
        ids : IdOptions
            What is known of the numbers: which are ignored, which one is the background; with
            `instances`, which class each object is of.

        Raises
        ------
        DataError
            If something cannot be read, images and masks do not match, or it cannot be told what
            the numbers mean.
        """
        image_stack, labels = open_pair(images, masks, reading, mask_reading)
        check_same_shape(image_stack, labels)
        rules = IdRules(
            class_names=tuple(class_names),
            noted=noted_class_names(labels),
            objects=instances,
            options=noted_ids(labels, ids),
        )
        reader = IdReader(labels.data, rules, str(masks))
        stack = cls(
            images=image_stack,
            classes=labels.data,
            class_names=tuple(class_names),
            instances=labels.data if instances else None,
            frames=None if frames is None else tuple(frames),  # type: ignore[arg-type]
            rules=rules,
            reader=reader,
        )
        if stack.frames:
            _ = stack.mapping  # wrong ids are better told now than in training
        return stack

    @property
    def mapping(self) -> IdMapping:
        """What the numbers of the masks mean; the first time, all frames are read for it.

        Raises
        ------
        DataError
            If it cannot be told; the message says what to do.
        """
        return self.reader.mapping

    def with_class_order(self, class_names: Sequence[str]) -> Self:
        """The same stack with its classes in another order: ids are matched by name.

        Raises
        ------
        DataError
            If it has other classes.
        """
        names = tuple(class_names)
        if names == self.class_names:
            return self
        ids_by_name(self.class_names, names, "the stack")
        rules = self.reader.rules.in_order(names)
        return replace(
            self,
            class_names=names,
            rules=rules,
            reader=IdReader(self.classes, rules, self.reader.what),
        )

    def class_frame(self, frame: int) -> np.ndarray:
        """Class ids of a frame, (Y, X) uint8; `IGNORED` where pixels do not count.

        Raises
        ------
        DataError
            If the numbers of the masks cannot be told.
        """
        classes = self.reader.class_frame(frame)
        if self.ignored is None:
            return classes
        return np.where(frame_of(self.ignored, frame) != 0, np.uint8(IGNORED), classes)

    def instance_frame(self, frame: int) -> np.ndarray | None:
        """Ids of objects of a frame, (Y, X) int32, or None if they are not known."""
        if self._objects is None:
            return None
        objects = self._objects.object_frame(frame)
        if self.ignored is not None or self.reader.rules.options.ignore:
            objects[self.class_frame(frame) == IGNORED] = 0
        return objects

    def with_pieces(self) -> "LabelledStack":
        """The same with the connected pieces of each class as objects, found frame by frame."""
        shape = tuple(self.images.shape[:3])
        pieces = frames_array(
            lambda frame: components(self.class_frame(frame)),
            shape[0],
            shape[1:],
            np.dtype(np.int32),
        )
        return replace(self, instances=pieces)

    @cached_property
    def _objects(self) -> IdReader | None:
        """Reads the ids of objects: those that classes are read off, or others beside them."""
        if self.instances is None:
            return None
        if self.reader.rules.objects and self.instances is self.classes:
            return self.reader
        rules = IdRules(class_names=self.class_names, objects=True)
        return IdReader(self.instances, rules, self.images.name or "the mask", self.frames or None)
