"""The change of one frame, as runs of pixels."""

import base64
import zlib
from dataclasses import dataclass
from typing import Self

import numpy as np

from rleseg_core.errors import DataError


@dataclass(frozen=True, eq=False)
class Correction:
    """Changed pixels of one frame, as runs in row-major order.

    Parameters
    ----------
    frame : int
        Index of the frame in the stack.
    starts, lengths : (R,) int64
        Flat index of the first pixel of each run, and its number of pixels; the runs are sorted and
        do not overlap.
    before, after : (R,) int64
        Class id of the run's pixels before and after the change.
    """

    frame: int
    starts: np.ndarray
    lengths: np.ndarray
    before: np.ndarray
    after: np.ndarray

    @property
    def n_pixels(self) -> int:
        """Number of changed pixels."""
        return int(self.lengths.sum())

    def pixels(self) -> np.ndarray:
        """Flat indices of the changed pixels, (n_pixels,) int64, in rising order."""
        first = np.cumsum(self.lengths) - self.lengths
        return np.arange(self.n_pixels) + np.repeat(self.starts - first, self.lengths)

    def apply(self, labels: np.ndarray) -> np.ndarray:
        """Apply the change to `labels` (Y, X) in place, and return them."""
        return self._assign(labels, self.after)

    def revert(self, labels: np.ndarray) -> np.ndarray:
        """Revert the change in `labels` (Y, X) in place, and return them."""
        return self._assign(labels, self.before)

    def _assign(self, labels: np.ndarray, values: np.ndarray) -> np.ndarray:
        pixels, new = self.pixels(), np.repeat(values, self.lengths)
        if labels.flags.c_contiguous:
            labels.reshape(-1)[pixels] = new
        else:
            labels[np.unravel_index(pixels, labels.shape)] = new
        return labels

    def to_text(self) -> str:
        """The runs as compressed, printable text."""
        gaps = np.diff(self.starts, prepend=0)
        table = np.stack([gaps, self.lengths, self.before, self.after]).astype("<i8")
        return base64.b64encode(zlib.compress(table.tobytes())).decode("ascii")

    @classmethod
    def from_text(cls, frame: int, text: str, *, n_pixels: int = 2**62, n_ids: int = 2**62) -> Self:
        """The correction of a frame from the text of `to_text`.

        Parameters
        ----------
        frame : int
            Index of the frame in the stack.
        text : str
            The runs.
        n_pixels : int
            Pixels of the frame; all runs must lie in it.
        n_ids : int
            Class ids are below this.

        Raises
        ------
        DataError
            If the text is damaged, or its runs are impossible.
        """
        n_bytes = min(32 * n_pixels, 2**31)  # a run has at least a pixel, and four numbers
        try:
            unpack = zlib.decompressobj()
            content = unpack.decompress(base64.b64decode(text, validate=True), n_bytes)
            table = np.frombuffer(content, "<i8").reshape(4, -1).astype(np.int64)
        except (ValueError, zlib.error) as error:
            raise DataError(f"the runs of frame {frame} are damaged ({error})") from error
        gaps, lengths, before, after = table
        ends = np.cumsum(gaps) + lengths
        whole = unpack.eof and (lengths > 0).all() and (gaps >= 0).all()
        # each run starts behind the one before; the sums cannot overflow where every part is small
        small = (table[:2] <= n_pixels).all()
        whole = whole and small and (gaps[1:] >= lengths[:-1]).all()
        if not whole or (len(ends) and ends[-1] > n_pixels):
            raise DataError(f"the runs of frame {frame} do not lie in its {n_pixels} pixels")
        if len(ends) and (min(before.min(), after.min()) < 0 or table[2:].max() >= n_ids):
            raise DataError(f"the runs of frame {frame} have class ids outside 0 to {n_ids - 1}")
        return cls(frame, np.cumsum(gaps), lengths, before, after)


def diff_labels(before: np.ndarray, after: np.ndarray, frame: int = 0) -> Correction:
    """The change that turns `before` into `after`.

    Parameters
    ----------
    before, after : (Y, X) int
        Labels of the same frame.
    frame : int
        Index of that frame in the stack.

    Raises
    ------
    DataError
        If the shapes differ.
    """
    if before.shape != after.shape or before.ndim != 2:
        raise DataError(
            f"labels to compare must be two (Y, X) arrays of one shape, got {before.shape} and "
            f"{after.shape}"
        )
    pixels = np.flatnonzero(before != after)
    return pixel_changes(frame, pixels, before.reshape(-1)[pixels], after.reshape(-1)[pixels])


def pixel_changes(
    frame: int, pixels: np.ndarray, before: np.ndarray, after: np.ndarray
) -> Correction:
    """The change of single pixels.

    Parameters
    ----------
    frame : int
        Index of the frame in the stack.
    pixels : (N,) int
        Flat indices of the changed pixels, in rising order.
    before, after : (N,) int
        Their class ids before and after.
    """
    opens = np.ones(len(pixels), bool)
    opens[1:] = pixels[1:] != pixels[:-1] + 1
    for values in (before, after):
        opens[1:] |= values[1:] != values[:-1]
    first = np.flatnonzero(opens)
    lengths = np.diff(first, append=len(pixels))
    old, new = before[first].astype(np.int64), after[first].astype(np.int64)
    return Correction(frame, pixels[first], lengths, old, new)
