"""Colours of classes, the same in files, images, animations and the viewer."""

PALETTE = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#cc79a7", "#d55e00", "#0072b2", "#999999")
"""Okabe and Ito's colours: told apart by people who see red and green alike."""


def class_colour(class_id: int) -> str:
    """Colour of a foreground class from 1 on, "#rrggbb"; the palette repeats after its end."""
    return PALETTE[(class_id - 1) % len(PALETTE)]


def class_rgb(class_id: int) -> tuple[int, int, int]:
    """The same as red, green and blue from 0 to 255."""
    return as_rgb(class_colour(class_id))


def as_rgb(code: str) -> tuple[int, int, int]:
    """Red, green and blue from 0 to 255 of "#rrggbb"."""
    return int(code[1:3], 16), int(code[3:5], 16), int(code[5:7], 16)


def as_code(rgb: tuple[int, int, int]) -> str:
    """The code "#rrggbb" of red, green and blue from 0 to 255."""
    return "#" + "".join(f"{value:02x}" for value in rgb)
