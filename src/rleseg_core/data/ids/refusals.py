"""What is said where the numbers in a mask cannot be told, and what to do then."""

from collections.abc import Iterable, Mapping, Sequence

from rleseg_core.data.ids.names import listed

MARKS = (255, 65535, 2**32 - 1)  # by which programs mark pixels that do not count
_FEW = 20  # classes that a person may name


def some(values: Iterable[int]) -> str:
    """Up to six numbers in words, and how many more there are."""
    shown = [str(value) for value in values]
    if len(shown) > 6:
        return f"{', '.join(shown[:5])} and {len(shown) - 5:,} more up to {shown[-1]}"
    return listed(shown)


def wrong_classes(counts: Mapping[int, int], names: Sequence[str], background: int) -> str:
    """Why numbers are no class ids, and what to do."""
    values, n_classes = list(counts), len(names)
    classes = f"1 class ({names[0]})" if n_classes == 1 else f"{n_classes} classes"
    if n_classes > 1:
        classes += f" ({', '.join(names)})"
    said = (
        f"holds the ids {some(values)}, but there {'is' if n_classes == 1 else 'are'} {classes} "
        f"and {background} is the background; "
    )
    if background not in counts and background != 0:
        return f"has no pixel of the id {background}, which is to be the background; it {said}" + (
            "say another --background"
        )
    others = [value for value in values if value != background]
    mark = _mark(others, n_classes)
    if mark is not None:
        return said + (
            f"if {mark} marks pixels that do not count, say so (--ignore {mark}); else save the "
            f"mask with ids from 0 to {n_classes} only"
        )
    if values[0] < 0:
        return said + _negative(values, n_classes)
    if 0 not in counts and values[0] == 1 and values[-1] <= n_classes + 1:
        return said + "if 1 is the background, say so (--background 1)"
    if len(values) > _FEW:
        return said + _many(values, n_classes)
    if len(values) == values[-1] - values[0] + 1:
        return said + (
            f"name all {values[-1]} classes in the order of their ids (--classes), or, if the ids "
            "number objects of one class, read them as such (--instances)"
        )
    if values[-1] in MARKS and others[:-1] and others[:-1] == list(range(1, values[-2] + 1)):
        return said + (
            f"name all {values[-2]} classes in the order of their ids (--classes), and if "
            f"{values[-1]} marks pixels that do not count, say so (--ignore {values[-1]})"
        )
    return said + (
        f"save the mask with ids from 0 to {n_classes} only, or, if the ids number objects of one "
        "class, read them as such (--instances)"
    )


def wrong_objects(counts: Mapping[int, int], background: int, *, asks: bool) -> str:
    """Why numbers are no ids of objects, and what to do; empty where they are."""
    values = list(counts)
    others = [value for value in values if value != background]
    if any(value < 0 for value in others):
        negative = next(value for value in others if value < 0)
        return (
            f"holds the id {negative}, but ids of objects are above 0, which is the background; if "
            f"{negative} is the background, say so (--background {negative}); if it marks pixels "
            f"that do not count, --ignore {negative}"
        )
    if background not in counts and background != 0:
        return (
            f"has no pixel of the id {background}, which is to be the background; it holds the ids "
            f"{some(values)}: say another --background"
        )
    largest = max(counts, key=lambda value: counts[value])
    share = counts[largest] / sum(counts.values())
    if background not in counts and share > 0.5:
        return (
            f"has no pixel of the id {background}, the background, and the id {largest} covers "
            f"{share:.0%} of it; if that is the background, say so (--background {largest})"
        )
    if asks and len(others) > 2 and others[-1] in MARKS and others[-2] < others[-1] / 2:
        return (
            f"holds the ids {some(values)}; if {others[-1]} marks pixels that do not count, say so "
            f"(--ignore {others[-1]}), and if it numbers an object, --ignore none"
        )
    return ""


def _mark(others: Sequence[int], n_classes: int) -> int | None:
    """The number that looks like a mark of pixels that do not count, beside ids of classes."""
    rest = [value for value in others if not 0 <= value <= n_classes]
    if len(rest) == 1 and rest[0] in MARKS and len(others) > 1:
        return rest[0]
    return None


def _negative(values: Sequence[int], n_classes: int) -> str:
    lowest, rest = values[0], values[1:]
    advice = []
    if all(0 <= value <= n_classes for value in rest):
        if 0 not in rest or len(rest) <= n_classes:
            advice.append(f"if {lowest} is the background, say so (--background {lowest})")
        advice.append(f"if {lowest} marks pixels that do not count, say so (--ignore {lowest})")
    return "; ".join(advice) or "save the mask with ids from 0 on, 0 = background"


def _many(values: Sequence[int], n_classes: int) -> str:
    if values[-1] <= 255:
        return (
            "they look like grey levels, not ids: save the mask without loss (as PNG or TIFF, not "
            f"JPEG) with ids from 0 to {n_classes}, or, if the ids number objects of one class, "
            "read them as such (--instances)"
        )
    return "if its ids number objects of one class, read them as such (--instances)"
