"""Masks saved as pictures: grey levels that stand for classes."""

from collections.abc import Mapping

_LEVELS = {1: (255,), 2: (128, 255)}  # by the number of classes
_THRESHOLDS = {1: (128,), 2: (64, 192)}
_EXACT = {0, 127, 128, 255}
_ROUNDED, _NEAR = 2, 32  # distances from a level: of video codecs, of JPEG
_SMALL = 32  # numbers below may be ids as well
_MANY = 16  # so many different numbers are no ids beside a level, but soft edges or noise


def class_of_grey(counts: Mapping[int, int], n_classes: int) -> dict[int, int] | None:
    """Class id of each grey level of a mask saved as a picture.

    Parameters
    ----------
    counts : mapping of int to int
        Pixels of each number, over the whole source.
    n_classes : int
        C, the number of classes.

    Returns
    -------
    dict of int to int or None
        0 and 255 for one class, 0, 128 and 255 for two, and what lies between them after rounding,
        scaling or compression, by the nearer level; None where numbers are something else, or may
        be ids beside a mark of 255.

    Notes
    -----
    The thresholds are those of the published implementation (`mask_vis_to_id`): 128 for one class,
    64 and 192 for two. It also removes false rims of class 1 between background and class 2; we
    leave them.
    """
    levels = _LEVELS.get(n_classes)
    if levels is None or min(counts) < 0 or max(counts) > 255:
        return None
    if not (_is_exact(counts, levels) or _is_blurred(counts, levels)):
        return None
    thresholds = _THRESHOLDS[n_classes]
    return {value: sum(value >= threshold for threshold in thresholds) for value in range(256)}


def _is_exact(counts: Mapping[int, int], levels: tuple[int, ...]) -> bool:
    """Whether nine of ten pixels above 2 are within 2 of a level, and none can be another id."""
    strange = set(counts) - _EXACT
    if any(value < _SMALL for value in strange) and len(strange) < _MANY // 4:
        return False  # 0, 1 and 255: an id, and a mark
    high = sum(n for value, n in counts.items() if value > _ROUNDED)
    return _share(counts, levels, _ROUNDED) >= 0.9 * high > 0


def _is_blurred(counts: Mapping[int, int], levels: tuple[int, ...]) -> bool:
    """Whether nearly all pixels lie around the levels, in many shades, as after JPEG."""
    total = sum(counts.values())
    high = sum(n for value, n in counts.items() if value >= 2 * _NEAR)
    near = _share(counts, levels, _NEAR)
    dark = _share(counts, (0,), _NEAR)
    return len(counts) >= _MANY and dark + near >= 0.95 * total and near >= 0.9 * high > 0 < dark


def _share(counts: Mapping[int, int], levels: tuple[int, ...], distance: int) -> int:
    """Pixels within a distance of a level."""
    return sum(
        n for value, n in counts.items() if any(abs(value - level) <= distance for level in levels)
    )
