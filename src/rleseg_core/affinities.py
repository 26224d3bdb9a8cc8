"""Affinities: which pixels of a mask are looked at in pairs to tell objects apart.

Between touching objects of one class a map of classes has no edge. The affinity of a pair of pixels
is whether both belong to the same object: that of neighbours shows where objects meet, that of
pixels farther apart which parts belong together (Wolf et al., "The Mutex Watershed", ECCV 2018).
"""

from collections.abc import Sequence

AFFINITIES = (
    (0, -1), (-1, 0),
    (0, -3), (-3, 0), (-2, -2), (-2, 2),
    (0, -7), (-7, 0), (-5, -5), (-5, 5),
)  # fmt: skip
"""Offsets (rows, columns) in mask pixels of the pairs of new models; objects are about 8 wide."""


def pair_slices(
    shape: Sequence[int], offset: tuple[int, int]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where the first and the second pixels of the pairs of an offset lie in a map.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the map.
    offset : (int, int)
        Rows and columns from the first pixel to the second.

    Returns
    -------
    first, second : (slice, slice)
        Both of one shape, which has no pixels where the offset is larger than the map.
    """
    first, second = [], []
    for length, step in zip(shape, offset, strict=True):
        n = max(length - abs(step), 0)
        first.append(slice(max(-step, 0), max(-step, 0) + n))
        second.append(slice(max(step, 0), max(step, 0) + n))
    return (first[0], first[1]), (second[0], second[1])
