"""Colours of classes and of what tokens paint."""

from rleseg_core.data.colours import PALETTE, as_rgb, class_colour, class_rgb

__all__ = ["OPEN_COLOUR", "PALETTE", "as_rgb", "class_colour", "class_rgb", "label_colour"]

OPEN_COLOUR = "#aaaaaa"
"""Colour of runs whose class is not known yet, because their block is not closed."""


def label_colour(label: int, n_classes: int) -> str:
    """Colour of what tokens paint: the background, a class, or a block that is not closed yet."""
    if label == 0:
        return "#ffffff"
    return class_colour(label) if label <= n_classes else OPEN_COLOUR
