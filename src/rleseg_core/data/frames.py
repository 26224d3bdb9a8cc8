"""Frames with their labels as a model sees them, the last used kept in memory."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from rleseg_core.data.datasets import LabelledStack
from rleseg_core.data.windows import model_frame, model_labels
from rleseg_core.spec import IGNORED, WindowSpec

COARSE = 4  # foreground is remembered on every fourth row and column


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame as the model sees it: image (Y, X, 1 or 3) uint8, labels (Y, X)."""

    image: np.ndarray
    classes: np.ndarray
    instances: np.ndarray | None
    foreground: tuple[np.ndarray, ...]  # for each class that is there, flat coarse pixels
    known: np.ndarray | None = None  # flat coarse pixels that count; None where all do

    @property
    def n_bytes(self) -> int:
        """Memory that it takes."""
        arrays = (self.image, self.classes, self.instances, self.known, *self.foreground)
        return sum(array.nbytes for array in arrays if array is not None)


class Frames:
    """Prepared frames of labelled stacks, the last used kept in memory."""

    def __init__(self, stacks: Sequence[LabelledStack], spec: WindowSpec, limit: int) -> None:
        self.stacks, self._spec, self._limit = stacks, spec, limit
        self._with_instances = all(stack.instances is not None for stack in stacks)
        self._kept: OrderedDict[tuple[int, int], Frame] = OrderedDict()
        self._n_bytes = 0

    def get(self, stack: int, frame: int) -> Frame:
        """A frame of a stack, prepared."""
        key = (stack, frame)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        prepared = self._kept[key] = self._prepare(self.stacks[stack], frame)
        self._n_bytes += prepared.n_bytes
        while self._n_bytes > self._limit and len(self._kept) > 1:
            self._n_bytes -= self._kept.popitem(last=False)[1].n_bytes
        return prepared

    def _prepare(self, stack: LabelledStack, frame: int) -> Frame:
        spec = self._spec
        if stack.normalisation is not None:
            spec = replace(spec, normalisation=stack.normalisation)
        seen = model_frame(stack.images, frame, spec)
        ids = stack.class_frame(frame)
        if seen.no_data is not None:
            # what is not there cannot be learned; what is ignored stays so
            ids = np.where(seen.no_data & (ids != IGNORED), np.uint8(0), ids)
        classes = model_labels(ids, self._spec)
        instances = stack.instance_frame(frame) if self._with_instances else None
        coarse = classes[::COARSE, ::COARSE]
        return Frame(
            image=np.rint(seen.image * 255).astype(np.uint8),
            classes=classes,
            instances=None if instances is None else model_labels(instances, self._spec),
            foreground=tuple(
                np.flatnonzero(coarse == label).astype(np.int32)
                for label in np.unique(coarse)
                if label not in (0, IGNORED)
            ),
            known=_known(classes, coarse),
        )


def _known(classes: np.ndarray, coarse: np.ndarray) -> np.ndarray | None:
    """Flat coarse pixels that count; None where all pixels do."""
    if not (classes == IGNORED).any():
        return None
    return np.flatnonzero(coarse != IGNORED).astype(np.int32)
