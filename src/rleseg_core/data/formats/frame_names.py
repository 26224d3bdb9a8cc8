"""What the names of a folder's images tell: doubles, gaps, masks among images."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import groupby, pairwise
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


def check_names(folder: Path, files: Sequence[Path], *, join_gaps: bool = False) -> list[str]:
    """Sentences on what the names of a folder's images leave open.

    Parameters
    ----------
    folder : Path
        The folder.
    files : sequence of Path
        Its images, in order.
    join_gaps : bool
        Whether gaps in their numbers do not matter.

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
        counted = _counted_in_several_places(folder, form, alike)
        notes += counted if counted or join_gaps else _gaps(folder, alike)
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
    counting = _counting(alike)
    if counting is None:
        return []
    order = sorted(range(len(alike)), key=counting.__getitem__)
    jumps = _jumps([counting[k] for k in order])
    if not jumps:
        return []
    before, after = (alike[order[jumps[0] + k]].path.name for k in (-1, 0))
    more = f", and {len(jumps) - 1} more times" if len(jumps) > 1 else ""
    return [
        f"the numbers of the files of {folder} leave some out between {before} and {after}{more}; "
        "what follows is read as the next frame, but windows of several frames do not reach across "
        "(--join-gaps: they do)"
    ]


def find_breaks(files: Sequence[Path]) -> tuple[int, ...]:
    """Indices of files that do not follow the one before them, by their names.

    A file follows if its name has the same form and the number in which all differ counts on, by
    the usual step. If there is none, names count in several places, such as positions and times:
    then a file follows if only one of its numbers is another. Without numbers all files follow.

    Parameters
    ----------
    files : sequence of Path
        The frames of a stack, in order.
    """
    found: list[int] = []
    first = 0
    for form, group in groupby(map(_Name.of, files), lambda name: name.form):
        names = list(group)
        if first and "#" in form:
            found.append(first)
        found += [first + index for index in _breaks_among(names)]
        first += len(names)
    return tuple(found)


def _breaks_among(alike: Sequence[_Name]) -> list[int]:
    """Indices of names of one form that do not follow the one before them."""
    counting = _counting(alike)
    if counting is not None:
        return _jumps(counting)
    bounds = [0, *(k for k in range(1, len(alike)) if _n_changes(*alike[k - 1 : k + 1]) > 1)]
    if len(bounds) == 1:
        return []
    found = []
    for first, stop in pairwise([*bounds, len(alike)]):
        found += [first, *(first + jump for jump in _jumps(_counting(alike[first:stop]) or ()))]
    return found[1:]


def _n_changes(before: _Name, after: _Name) -> int:
    return sum(one != other for one, other in zip(before.numbers, after.numbers, strict=True))


def _counting(alike: Sequence[_Name]) -> tuple[int, ...] | None:
    """The last of the numbers that differs in all names of one form, of three or more."""
    columns = zip(*(name.numbers for name in alike), strict=True)
    counting = [column for column in columns if len(set(column)) == len(alike)]
    return counting[-1] if counting and len(alike) > 2 else None


def _jumps(numbers: Sequence[int]) -> list[int]:
    """Indices of numbers before which some are left out, or the order is another."""
    steps = [after - before for before, after in pairwise(numbers)]
    usual = min((step for step in steps if step > 0), default=1)
    return [index for index, step in enumerate(steps, start=1) if not 0 < step < 2 * usual]
