"""What the numbers of masks may mean whose classes nobody has named."""

from collections.abc import Mapping, Sequence

from rleseg_core.data.ids.reader import number_of_classes
from rleseg_core.data.ids.refusals import MARKS
from rleseg_core.data.ids.rules import IdOptions, IdRules

_MOST_CLASSES = 8  # masks with higher numbers hold ids of objects, unless classes are named


def guess_rules(
    counts: Mapping[int, int],
    given: tuple[str, ...],
    noted: tuple[str, ...],
    options: IdOptions,
) -> IdRules:
    """What numbers may mean: classes that are named, or as many as there seem to be.

    Parameters
    ----------
    counts : mapping of int to int
        Pixels of each number, over the whole source.
    given, noted : tuple of str
        Names of the classes that a person gave, and that the masks note.
    options : IdOptions
        What is known of the numbers.

    Returns
    -------
    IdRules
        Of objects, "cell", where numbers go beyond 8 and are no grey levels.
    """
    if given or noted:
        return IdRules(class_names=given or noted, noted=noted, options=options)
    found = sorted(set(counts) - set(options.ignore or ()) - {0})
    if any(value > _MOST_CLASSES for value in found) and not _is_mark(found):
        n_classes = number_of_classes(counts, options)
        if n_classes > _MOST_CLASSES:
            return IdRules(class_names=("cell",), objects=True, options=options)
    small = [value for value in found if 0 < value <= _MOST_CLASSES]
    n_classes = max(small, default=1 if len(found) < 2 else 2)
    names = tuple(f"class {label}" for label in range(1, n_classes + 1))
    return IdRules(class_names=names if n_classes > 1 else ("cell",), options=options)


def _is_mark(found: Sequence[int]) -> bool:
    """Whether the highest number alone is no class, and looks like a mark."""
    *rest, last = found
    return last in MARKS and bool(rest) and max(rest) <= _MOST_CLASSES
