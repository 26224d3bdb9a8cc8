"""Texts of the command line that stand for several values: frames, numbers, choices, classes."""

from collections.abc import Sequence
from typing import Literal, TypeVar

from rleseg_core.errors import DataError
from rleseg_core.normalisation import ROBUST, Contrast
from rleseg_core.tokens.scheme import PRESETS, preset

Choice = TypeVar("Choice", bound=str)


def parts_of(text: str) -> list[str]:
    """What stands between the commas of a text, without blanks; nothing of an empty text."""
    return [part.strip() for part in text.split(",") if part.strip()]


def frames_of(text: str | None, n_frames: int) -> list[int] | None:
    """Frame numbers of a text such as '0-9,15', ascending; None for all.

    Raises
    ------
    DataError
        If the text is not such a list, or names a frame that is not there.
    """
    if text is None:
        return None
    frames: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        last = last if dash else first
        plain = all(end.isascii() and end.isdecimal() and len(end) < 10 for end in (first, last))
        if not plain or int(first) > int(last):
            raise DataError(f"frames are given like 0-9,15; got {text[:80]!r}")
        if int(last) >= n_frames:
            raise DataError(f"the stack has frames 0 to {n_frames - 1}, got {text!r}")
        frames += range(int(first), int(last) + 1)
    return sorted(set(frames))


def numbers_of(text: str, option: str) -> list[int]:
    """Positive numbers of a text such as '1,2,4', ascending.

    Raises
    ------
    DataError
        If it is not such a list.
    """
    parts = [part.strip() for part in text.split(",")]
    usable = [part for part in parts if part.isascii() and part.isdecimal() and len(part) < 10]
    if len(usable) < len(parts) or not all(map(int, parts)):
        raise DataError(f"{option} takes positive numbers, as 1,2,4; got {text[:80]!r}")
    return sorted({int(part) for part in parts})


def choices_of(text: str, known: Sequence[Choice], option: str) -> list[Choice]:
    """Some of the known choices, of a text such as 'corner,max', in its order.

    Raises
    ------
    DataError
        If the text names none of them, or another one.
    """
    parts = parts_of(text)
    chosen = [choice for part in parts for choice in known if choice == part]
    if not chosen or len(chosen) < len(parts):
        raise DataError(f"{option} takes some of {','.join(known)}; got {text!r}")
    return list(dict.fromkeys(chosen))


def contrast_of(text: str) -> Contrast:
    """Two grey values of a text such as '100,4000', or 'auto'.

    Raises
    ------
    DataError
        If it is neither.
    """
    if text.strip() == "auto":
        return "auto"
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise DataError(
            "--contrast takes the grey values that become black and white, as 100,4000, or auto; "
            f"got {text[:80]!r}"
        ) from None
    return ROBUST.changed(contrast=(low, high)).contrast or "auto"


def diameter_of(text: str | None, image_size: int | None) -> float | Literal["auto"] | None:
    """A diameter of a text such as '37.5', or 'auto'; None of None.

    Raises
    ------
    DataError
        If it is neither, or an image size is given as well.
    """
    if image_size is not None and text is not None:
        raise DataError("both decide on the size of frames: give --image-size or --diameter")
    if text is None or text.strip() == "auto":
        return None if text is None else "auto"
    try:
        return float(text)
    except ValueError:
        raise DataError(
            f"--diameter takes the width of objects in pixels, as 37, or auto; got {text[:80]!r}"
        ) from None


def point_of(text: str) -> tuple[int, int]:
    """Row and column of a text such as '120,85'.

    Raises
    ------
    DataError
        If it is something else.
    """
    parts = parts_of(text)
    if len(parts) != 2 or not all(part.isascii() and part.isdecimal() for part in parts):
        raise DataError(
            f"--at takes the row and the column of a pixel, as 120,85; got {text[:80]!r}"
        )
    return int(parts[0]), int(parts[1])


def numbers_by_name(texts: Sequence[str]) -> dict[str, float]:
    """Numbers by name, of texts such as 'backbone=0.1'.

    Raises
    ------
    DataError
        If a text is something else.
    """
    found = {}
    for text in texts:
        name, _, number = text.partition("=")
        try:
            found[name.strip()] = float(number)
        except ValueError:
            raise DataError(
                f"expected a name and a number, as backbone=0.1; got {text!r}"
            ) from None
    return found


def schemes_of(given: Sequence[str]) -> list[str]:
    """Names of presets of a repeated option whose values may be lists such as 'lac,tac'.

    Raises
    ------
    SchemeError
        If there is no preset of a name.
    """
    names = [name for text in given for name in parts_of(text)]
    if "all" in names or not names:
        return list(PRESETS)
    for name in names:
        preset(name)
    return list(dict.fromkeys(names))


def classes_of(text: str, instances: bool) -> tuple[str, ...]:
    """Names of the classes of a text such as 'ipsc,dfc'.

    Raises
    ------
    DataError
        If there is no name, or masks of instance ids, which are of one class, are given more names.
    """
    names = tuple(parts_of(text))
    if not names:
        raise DataError("the masks do not say their classes; name them, for example --classes cell")
    if instances and len(names) > 1:
        raise DataError(
            f"masks of instance ids have one class, got the names {', '.join(names)}; name it, "
            "for example --classes cell"
        )
    return names
