"""Images together with what is known of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from rleseg_core.data.arrays import ArrayLike, check_same_shape, frame_of
from rleseg_core.data.formats.base import ReadOptions
from rleseg_core.data.labels import class_ids, classes_from_instances
from rleseg_core.data.pairs import open_pair
from rleseg_core.data.stack import ImageStack
from rleseg_core.errors import DataError


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

    def __post_init__(self) -> None:
        object.__setattr__(self, "class_names", tuple(self.class_names))
        n_frames = self.images.n_frames
        chosen = range(n_frames) if self.frames is None else sorted({int(t) for t in self.frames})
        object.__setattr__(self, "frames", tuple(chosen))
        if self.frames and not 0 <= self.frames[0] <= self.frames[-1] < n_frames:
            raise DataError(
                f"labelled frames must be from 0 to {n_frames - 1}, got {list(self.frames)}"
            )
        for labels in (self.classes, self.instances):
            if labels is None:
                continue
            check_same_shape(self.images, labels)
            if len(labels.shape) != 3 or np.dtype(labels.dtype).kind not in "uib":
                raise DataError(
                    f"labels must be integers of (T, Y, X), got {labels.dtype} of {labels.shape}"
                )

    @classmethod
    def from_paths(
        cls,
        images: str | Path,
        masks: str | Path,
        class_names: Sequence[str],
        *,
        instances: bool = False,
        class_of_id: Mapping[int, int] | None = None,
        frames: Sequence[int] | None = None,
        reading: ReadOptions = ReadOptions(),
        mask_reading: ReadOptions = ReadOptions(),
    ) -> Self:
        """Images and masks from disk.

        Parameters
        ----------
        images, masks : str or Path
            As for `ImageStack.open`. If both are folders of images, masks are found by the names of
            the images, else by the number at their end; the images may be of independent fields.
        class_names : sequence of str
            Names of the class ids from 1 on.
        instances : bool
            Whether the masks hold ids of objects rather than classes.
        class_of_id : mapping of int to int, optional
            Class of each object, with `instances`; by default all are of class 1.
        frames : sequence of int, optional
            The frames to use; all by default.
        reading, mask_reading : ReadOptions
            Which part of the images and of the masks is read, and how.

        Raises
        ------
        DataError
            If something cannot be read, images and masks do not match, or ids are no classes.
        """
        image_stack, labels = open_pair(images, masks, reading, mask_reading)
        check_same_shape(image_stack, labels)
        classes = labels.data
        if instances:
            classes = classes.map_blocks(classes_from_instances, class_of_id, dtype=np.uint8)
        stack = cls(
            images=image_stack,
            classes=classes,
            class_names=tuple(class_names),
            instances=labels.data if instances else None,
            frames=None if frames is None else tuple(frames),  # type: ignore[arg-type]
        )
        if stack.frames:
            stack.class_frame(stack.frames[0])  # wrong ids are better told now than in training
        return stack

    def class_frame(self, frame: int) -> np.ndarray:
        """Class ids of a frame, (Y, X) uint8.

        Raises
        ------
        DataError
            If an id is neither a class nor a grey level that stands for one.
        """
        try:
            return class_ids(frame_of(self.classes, frame), len(self.class_names))
        except DataError as error:
            raise DataError(f"frame {frame}: {error}") from error

    def instance_frame(self, frame: int) -> np.ndarray | None:
        """Ids of objects of a frame, (Y, X) int32, or None if they are not known."""
        if self.instances is None:
            return None
        return frame_of(self.instances, frame).astype(np.int32, copy=False)
