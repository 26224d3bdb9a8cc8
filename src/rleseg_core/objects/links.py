"""Which parts are one object: a union-find that keeps apart what one window told apart."""

import numpy as np

from rleseg_core.objects.overlap import Pairs


class Links:
    """Links parts that windows saw; the parts of one window are never linked with each other.

    Attributes
    ----------
    n_parts : int
        Parts so far.
    n_refused : int
        Links that would have joined two parts of one window.
    """

    def __init__(self) -> None:
        self.n_parts = self.n_refused = 0
        self._above: list[int] = []  # another part of the same object, itself for the root
        self._windows: list[set[int]] = []  # of each root, the windows that saw its object
        self._n_windows = 0

    def add_window(self, n_parts: int) -> None:
        """Add the parts of one more window."""
        self._above.extend(range(self.n_parts, self.n_parts + n_parts))
        self._windows.extend({self._n_windows} for _ in range(n_parts))
        self._n_windows += 1
        self.n_parts += n_parts

    def root(self, part: int) -> int:
        """The part that stands for the object of a part."""
        above = self._above
        while above[part] != part:
            above[part] = part = above[above[part]]
        return part

    def roots(self) -> np.ndarray:
        """The roots of all parts, (n_parts,) int64."""
        return np.array([self.root(part) for part in range(self.n_parts)], np.int64)

    def link(self, pairs: Pairs) -> None:
        """Link matches in their order, but for those that would join parts of one window."""
        sides = pairs.first[pairs.is_match].tolist(), pairs.second[pairs.is_match].tolist()
        for first, second in zip(*sides, strict=True):
            kept, joined = sorted((self.root(first), self.root(second)))
            if kept == joined:
                continue
            if not self._windows[kept].isdisjoint(self._windows[joined]):
                self.n_refused += 1
                continue
            self._above[joined] = kept  # the earlier one stands for both: ids change little
            self._windows[kept] |= self._windows[joined]
            self._windows[joined] = set()
