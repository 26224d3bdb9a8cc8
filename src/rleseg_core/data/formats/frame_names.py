"""What the names of a folder's images tell: doubles, gaps, masks among images."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path

from rleseg_core.errors import DataError

_NUMBER = re.compile(r"\d+")
_MASK = re.compile(
    r"(?<![a-z])(masks?|seg|segmentations?|labels?|gt|truth|annotations?)(?![a-z])", re.IGNORECASE
)


@dataclass(frozen=True)
class _Name:
    """A file's name as text with numbers in it: t01_ch2 is t#_ch# with 1 and 2."""

    path: Path
    form: str
    numbers: tuple[int, ...]

    @classmethod
    def of(cls, path: Path) -> "_Name":
        numbers = tuple(int(digits) for digits in _NUMBER.findall(path.stem))
        return cls(path, _NUMBER.sub("#", path.stem), numbers)


def check_names(folder: Path, files: Sequence[Path]) -> list[str]:
    """Sentences on what the names of a folder's images leave open.

    Parameters
    ----------
    folder : Path
        The folder.
    files : sequence of Path
        Its images, in order.

    Raises
    ------
    DataError
        If two files are the same frame, or masks stand beside images.
    """
    names = [_Name.of(path) for path in files]
    _refuse_doubles(folder, names)
    _refuse_masks_beside_images(folder, files)
    by_form: dict[str, list[_Name]] = defaultdict(list)
    for name in names:
        by_form[name.form].append(name)
    notes = _several_forms(folder, by_form)
    for form, alike in by_form.items():
        notes += _counted_in_several_places(folder, form, alike) or _gaps(folder, alike)
    return notes


def _refuse_doubles(folder: Path, names: Sequence[_Name]) -> None:
    seen: dict[tuple[str, tuple[int, ...]], _Name] = {}
    for name in names:
        key = (name.form.casefold(), name.numbers)
        if key in seen:
            raise DataError(
                f"{folder} holds the same frame twice: {seen[key].path.name} and "
                f"{name.path.name}; remove one of them, or choose with --pattern"
            )
        seen[key] = name


def _refuse_masks_beside_images(folder: Path, files: Sequence[Path]) -> None:
    masks = [path for path in files if _MASK.search(path.stem)]
    if masks and len(masks) < len(files):
        images = [path for path in files if path not in masks]
        # a number, then the same ending: 't*[0-9].png' leaves t1_masks.png out, 't*.png' does not
        pattern = _NUMBER.sub("*[0-9]", images[0].name)
        chosen = any(fnmatchcase(path.name, pattern) for path in masks)
        raise DataError(
            f"{folder} holds masks beside images ({masks[0].name} and {images[0].name}, by their "
            "names); "
            + (
                "put them into different folders"
                if chosen
                else f"choose with --pattern, for example --pattern '{pattern}'"
            )
        )


def _several_forms(folder: Path, by_form: dict[str, list[_Name]]) -> list[str]:
    """A sentence if files of differently formed names have the same numbers, such as channels."""
    numbered = {form: {n.numbers for n in alike} for form, alike in by_form.items() if "#" in form}
    forms = list(numbered)
    shared = any(
        numbered[one] & numbered[other]
        for index, one in enumerate(forms)
        for other in forms[index + 1 :]
        if one.count("#") == other.count("#")
    )
    if not shared or len(forms) > len(by_form[forms[0]]) * 2:
        return []
    shown = ", ".join(f"{form} ({len(by_form[form])})" for form in forms[:4])
    return [
        f"{folder} holds files of {len(forms)} kinds of names: {shown}; every file is read as a "
        "frame (--pattern chooses some)"
    ]


def _counted_in_several_places(folder: Path, form: str, alike: Sequence[_Name]) -> list[str]:
    """A sentence if names count frames and, say, channels: then frames are not just frames."""
    columns = list(zip(*(name.numbers for name in alike), strict=True))
    repeating = [set(column) for column in columns if 1 < len(set(column)) < len(alike)]
    if len(repeating) < 2 or any(len(set(column)) == len(alike) for column in columns):
        return []
    counts = " and ".join(f"{min(values)} to {max(values)}" for values in repeating)
    return [
        f"the names of the files of {folder} count in {len(repeating)} places ({form}: {counts}); "
        "every file is read as a frame, in the order of the names (--pattern chooses some)"
    ]


def _gaps(folder: Path, alike: Sequence[_Name]) -> list[str]:
    """A sentence if the numbers that count the files leave some out."""
    columns = list(zip(*(name.numbers for name in alike), strict=True))
    counting = [column for column in columns if len(set(column)) == len(alike)]
    if not counting or len(alike) < 3:
        return []
    order = sorted(range(len(alike)), key=lambda k: counting[-1][k])
    values = [counting[-1][k] for k in order]
    steps = [after - before for before, after in pairwise(values)]
    usual = min(steps)
    jumps = [index for index, step in enumerate(steps) if step != usual]
    if not jumps:
        return []
    before, after = (alike[order[jumps[0] + k]].path.name for k in (0, 1))
    more = f", and {len(jumps) - 1} more times" if len(jumps) > 1 else ""
    return [
        f"the numbers of the files of {folder} leave some out between {before} and {after}{more}; "
        "what follows is read as the next frame"
    ]
