"""What becomes of the remains of objects that other windows contradict."""

import numpy as np

from rleseg_core.data.blocks import looked_up


def absorbing(
    objects: np.ndarray,
    is_left: np.ndarray,
    pairs: tuple[np.ndarray, np.ndarray],
    shared: np.ndarray,
) -> np.ndarray:
    """The object that takes the pixels of each remainder, (n,) int64; -1 where none does.

    It is the one that shares most pixels with what a window saw there, of those that touch it.

    Parameters
    ----------
    objects : (Y, X) integer
        Index of the object of each pixel plus 1, 0 = background.
    is_left : (n,) bool
        Which objects are remainders.
    pairs : ((m,), (m,)) int64
        Indices of objects of which windows saw parts that overlap.
    shared : (m,) int64
        By how many pixels.
    """
    n = is_left.size
    first, second = (np.concatenate(sides) for sides in (pairs, pairs[::-1]))
    wanted = is_left[first] & ~is_left[second]
    keys, index = np.unique(first[wanted] * n + second[wanted], return_inverse=True)
    strength = np.bincount(index, np.tile(shared, 2)[wanted], minlength=keys.size)
    touches = np.isin(keys, _touching(objects, is_left))
    keys, strength = keys[touches], strength[touches]
    order = np.argsort(strength, kind="stable")
    found = np.full(n, -1)
    left, taker = np.divmod(keys[order], max(n, 1))
    found[left] = taker  # of several, the last and so the strongest
    return found


def _touching(objects: np.ndarray, is_left: np.ndarray) -> np.ndarray:
    """Keys ``left * n + other`` of remainders and other objects with a common edge of a pixel."""
    rows, cols = looked_up(np.concatenate([[False], is_left]), objects).nonzero()
    own = objects[rows, cols].astype(np.int64) - 1
    keys = []
    for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        at = (
            np.clip(rows + down, 0, objects.shape[0] - 1),
            np.clip(cols + right, 0, objects.shape[1] - 1),
        )
        other = objects[at].astype(np.int64) - 1
        keys.append((own * is_left.size + other)[other >= 0])
    return np.unique(np.concatenate(keys))
