"""Objects that are expected in a frame, weighed against what dense heads see there."""

from collections.abc import Sequence

import numpy as np

from rleseg_core.affinities import pair_slices


def add_expected(
    foreground: np.ndarray,
    affinities: np.ndarray,
    offsets: Sequence[tuple[int, int]],
    expected: np.ndarray,
    weight: float,
) -> None:
    """Add what is expected to what the heads see, in place.

    Parameters
    ----------
    foreground : (Y, X) float32
        Log odds that a pixel belongs to some object; it gains half the weight where one is
        expected. Elsewhere nothing changes, since objects may be new.
    affinities : (K, Y, X) float32
        Log odds that a pixel and another belong to the same object: they gain the weight where both
        are expected to be one, and lose it where they are expected to be two.
    offsets : sequence of (int, int)
        Rows and columns from the one to the other, in pixels.
    expected : (Y, X) integer
        Ids of the objects that are expected, 0 = background.
    weight : float
        Log odds, 0 or more.
    """
    foreground += np.float32(weight / 2) * (expected > 0)
    for of_pairs, offset in zip(affinities, offsets, strict=True):
        first, second = pair_slices(expected.shape, offset)
        one, other = expected[first], expected[second]
        sign = np.where(one == other, np.float32(weight), np.float32(-weight))
        of_pairs[first] += np.where((one > 0) & (other > 0), sign, np.float32(0))
