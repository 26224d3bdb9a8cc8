"""Labelled synthetic stacks whose looks vary with the seed, to learn from."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from rleseg_core.data.datasets import LabelledStack
from rleseg_core.data.labels import classes_from_instances
from rleseg_core.data.stack import ImageStack
from rleseg_core.data.synthetic.config import CultureConfig, Kind, SyntheticConfig
from rleseg_core.data.synthetic.sequence import synthesize

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
    class_names: tuple[str, ...] | None = None,
    kind: Kind | Literal["cells"] = "cells",
    looks: Mapping[str, tuple[float, float]] = LOOKS,
) -> LabelledStack:
    """One synthetic time-lapse with its masks.

    Parameters
    ----------
    seed : int
        The same seed gives the same looks and the same cells.
    n_frames, side : int
        Number of frames, and rows and columns of each.
    class_names : tuple of str or None
        Names of the classes; with a single name, all cells are of this class. None names those of
        the kind.
    kind : str
        ``cells`` of two classes, or a kind of `CultureConfig`.
    looks : mapping of str to (float, float)
        Lowest and highest value of each setting of `SyntheticConfig` that is drawn, for ``cells``;
        other kinds draw theirs themselves.

    Returns
    -------
    LabelledStack
        With instances.
    """
    config = (
        _drawn(seed, looks, n_frames, side)
        if kind == "cells"
        else CultureConfig(kind=kind, n_frames=n_frames, size=(side, side), seed=seed)
    )
    sequence = synthesize(config)
    names = class_names or sequence.class_names
    one_class = len(names) == 1
    return LabelledStack(
        images=ImageStack.from_array(sequence.images, name=f"synthetic {seed}"),
        classes=classes_from_instances(sequence.classes) if one_class else sequence.classes,
        class_names=names,
        instances=sequence.instances,
    )


def _drawn(
    seed: int, looks: Mapping[str, tuple[float, float]], n_frames: int, side: int
) -> SyntheticConfig:
    rng = np.random.default_rng(seed)
    drawn: dict[str, Any] = {name: float(rng.uniform(*ends)) for name, ends in looks.items()}
    return SyntheticConfig(n_frames=n_frames, size=(side, side), seed=seed, **drawn)
