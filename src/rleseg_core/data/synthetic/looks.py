"""Labelled synthetic stacks whose looks vary with the seed, to learn from."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rleseg_core.data.datasets import LabelledStack
from rleseg_core.data.labels import classes_from_instances
from rleseg_core.data.stack import ImageStack
from rleseg_core.data.synthetic.config import SyntheticConfig
from rleseg_core.data.synthetic.sequence import CLASS_NAMES, synthesize

LOOKS: Mapping[str, tuple[float, float]] = {
    "ipsc_share": (0.3, 0.7),
    "cell_radius": (14.0, 20.0),
    "noise": (1.5, 4.0),
    "blur": (0.5, 1.0),
    "contrast": (0.8, 1.3),
    "illumination": (0.0, 0.2),
}
"""Lowest and highest values of the looks that the demo model has seen, drawn in this order."""


def varied_stack(
    seed: int,
    *,
    n_frames: int = 4,
    side: int = 256,
    class_names: tuple[str, ...] = CLASS_NAMES,
    looks: Mapping[str, tuple[float, float]] = LOOKS,
) -> LabelledStack:
    """One synthetic time-lapse with its masks.

    Parameters
    ----------
    seed : int
        The same seed gives the same looks and the same cells.
    n_frames, side : int
        Number of frames, and rows and columns of each.
    class_names : tuple of str
        Names of the classes; with a single name, all cells are of this class.
    looks : mapping of str to (float, float)
        Lowest and highest value of each setting of `SyntheticConfig` that is drawn.

    Returns
    -------
    LabelledStack
        With instances.
    """
    rng = np.random.default_rng(seed)
    drawn: dict[str, Any] = {name: float(rng.uniform(*ends)) for name, ends in looks.items()}
    sequence = synthesize(SyntheticConfig(n_frames=n_frames, size=(side, side), seed=seed, **drawn))
    one_class = len(class_names) == 1
    return LabelledStack(
        images=ImageStack.from_array(sequence.images, name=f"synthetic {seed}"),
        classes=classes_from_instances(sequence.classes) if one_class else sequence.classes,
        class_names=class_names,
        instances=sequence.instances,
    )
