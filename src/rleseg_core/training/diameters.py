"""How large the objects are that a model learns: for its header."""

from collections.abc import Sequence

import numpy as np

from rleseg_core.data import LabelledStack
from rleseg_core.data.windows import resized_shape
from rleseg_core.objects.scale import Diameters, TrainedDiameters
from rleseg_core.spec import IGNORED, WindowSpec

_FRAMES = 48  # of all stacks, that are looked at


def diameters_taught(stacks: Sequence[LabelledStack], spec: WindowSpec) -> TrainedDiameters | None:
    """Diameters of the objects of labelled stacks, as a model sees them.

    They are those of the objects by their ids where stacks have some, else those of the pieces of
    each class, of which touching ones are parted at their necks. Up to 48 frames, evenly taken from
    all, are looked at.

    Parameters
    ----------
    stacks : sequence of LabelledStack
        What is taught.
    spec : WindowSpec
        With the image size I.

    Returns
    -------
    TrainedDiameters or None
        In resized pixels; None where no object is whole.
    """
    frames = [(stack, frame) for stack in stacks for frame in stack.frames]
    if not frames:
        return None
    chosen = np.unique(np.linspace(0, len(frames) - 1, _FRAMES).round().astype(int)).tolist()
    sample = [frames[index] for index in chosen]
    found = Diameters.joined(diameters_of_frame(stack, frame, spec) for stack, frame in sample)
    return TrainedDiameters.of(found) if len(found) else None


def diameters_of_frame(stack: LabelledStack, frame: int, spec: WindowSpec) -> Diameters:
    """Diameters of the objects of a frame of a stack, in resized pixels."""
    shape = stack.images.shape
    scale = max(resized_shape(shape, spec)) / max(shape[1:3])
    ids = stack.instance_frame(frame)
    if ids is not None:
        return Diameters.of_ids(ids).scaled(scale)
    classes = stack.class_frame(frame)
    return Diameters.of_classes(np.where(classes == IGNORED, np.uint8(0), classes)).scaled(scale)
