"""The masks of a session as an array to paint on: a stroke is on disk when it returns."""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from types import EllipsisType

import numpy as np

from rleseg_core.corrections.delta import Correction, diff_labels, pixel_changes
from rleseg_core.corrections.history import Covered
from rleseg_core.corrections.records import Frames
from rleseg_core.corrections.strokes import Stroke, StrokeFile, read_strokes
from rleseg_core.errors import DataError

_log = logging.getLogger(__name__)


class SessionLabels:
    """Labels (T, Y, X) that a person paints on, to be used like an array.

    A frame is what the log says, and the strokes that are not in the log yet. Each assignment is
    written to a journal before it returns, so that it survives the end of the program, however that
    comes. Nothing is read from ``labels.zarr``.

    Parameters
    ----------
    shape : (int, int, int)
        (T, Y, X).
    dtype : numpy dtype
        Type of the class ids.
    logged : callable
        Gives the labels (Y, X) of a frame as the log has them, not to be changed.
    journal : StrokeFile or None
        Takes the strokes; None for labels that can only be looked at.

    Attributes
    ----------
    failure : OSError or None
        Why the last stroke is only in memory; None if it is on disk.
    on_painted : callable or None
        Called after each assignment that changed something.

    Notes
    -----
    Several threads may use one object. No method waits for the log to be written.
    """

    ndim = 3

    def __init__(
        self,
        shape: tuple[int, int, int],
        dtype: np.dtype,
        logged: Callable[[int], np.ndarray],
        journal: StrokeFile | None,
    ):
        self.shape, self.dtype = shape, dtype
        self.failure: OSError | None = None
        self.on_painted: Callable[[], object] | None = None
        self._logged = logged
        self._journal = journal
        self._lock = threading.RLock()
        self._painted: dict[int, np.ndarray] = {}  # frames with strokes that are not in the log
        self._last_of: dict[int, int] = {}  # the last stroke of each of them
        self._unwritten: set[int] = set()  # those of them whose strokes are only in memory
        self.last_stroke = 0

    @property
    def size(self) -> int:
        """Pixels of all frames."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def writable(self) -> bool:
        """Whether the labels can be painted on."""
        return self._journal is not None

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)

    def __getitem__(self, key: object) -> np.ndarray:
        key = _plain(key, self.shape)
        first, rest = key[0], key[1:]
        with self._lock:
            if _is_index(first):
                whole = self._frame(_frame_index(first, self.shape[0]))
                return np.array(whole[np.newaxis][(0, *rest)])  # as numpy counts the index
            if isinstance(first, slice):
                frames = [self._frame(n)[rest] for n in range(self.shape[0])[first]]
                empty = np.empty(self.shape[1:], self.dtype)[rest]
                return np.stack(frames) if frames else np.empty((0, *empty.shape), self.dtype)
            if not _all_arrays(key):
                return self[:][key]
            places = np.broadcast_arrays(*key)
            found = np.empty(places[0].shape, self.dtype)
            for frame, chosen in _by_frame(places[0], self.shape[0]):
                found[chosen] = self._frame(frame)[places[1][chosen], places[2][chosen]]
            return found

    def __setitem__(self, key: object, value: object) -> None:
        self._check_writable()
        key = _plain(key, self.shape)
        with self._lock:
            changes = [change for change in self._changes(key, value) if change.n_pixels]
            for correction in changes:
                self._paint(correction)
        if changes and self.on_painted is not None:
            self.on_painted()

    def take_over(self, strokes: Iterable[Stroke]) -> None:
        """Take over strokes that a killed program left in the journal.

        Parameters
        ----------
        strokes : iterable of Stroke
            In the order in which they were painted.
        """
        with self._lock:
            for stroke in strokes:
                frame = stroke.correction.frame
                if stroke.fresh or frame not in self._painted:
                    self._painted[frame] = self._logged(frame).copy()
                stroke.correction.apply(self._painted[frame])
                self._last_of[frame] = stroke.number
            self._clear()

    def painted_frames(self) -> list[int]:
        """Frames with strokes that are not in the log yet, in order."""
        with self._lock:
            return sorted(self._painted)

    def snapshot(self, frame: int) -> tuple[np.ndarray, int]:
        """A copy of the labels of a frame, and the number of the last stroke."""
        with self._lock:
            return self._frame(frame).copy(), self.last_stroke

    def recorded(self, frame: int, stroke: int) -> None:
        """Take note that the log has the strokes of a frame up to `stroke`, or replaces them."""
        with self._lock:
            if self._last_of.get(frame, 0) <= stroke:
                for table in (self._painted, self._last_of):
                    table.pop(frame, None)
                self._unwritten.discard(frame)
            self._clear()

    def _clear(self) -> None:
        """Empty the journal if the log has all of its strokes."""
        if not self._painted and self._journal is not None:
            self.failure = None
            try:
                self._journal.clear()
            except OSError as error:  # harmless: the log says that it has these strokes
                _log.warning("the journal of strokes cannot be emptied: %s", error)

    def _frame(self, frame: int) -> np.ndarray:
        painted = self._painted.get(frame)
        return self._logged(frame) if painted is None else painted

    def _changes(self, key: tuple, value: object) -> Iterator[Correction]:
        """What an assignment changes, frame by frame."""
        first, rest = key[0], key[1:]
        if _all_arrays(key):
            places = np.broadcast_arrays(*key)
            values = np.broadcast_to(np.asarray(value), places[0].shape)
            for frame, chosen in _by_frame(places[0], self.shape[0]):
                yield self._pixel_changes(
                    frame, places[1][chosen], places[2][chosen], values[chosen]
                )
            return
        frames = np.unique(np.atleast_1d(np.arange(self.shape[0])[first]))
        block = np.stack([self._frame(n) for n in frames]) if len(frames) else self[:0]
        before = block.copy()
        if _is_index(first):
            block[(0, *rest)] = value
        elif isinstance(first, slice):
            step = slice(None, None, -1 if (first.step or 1) < 0 else None)
            block[(step, *rest)] = value
        else:
            whole = self[:]
            whole[key] = value
            block = whole[frames]
        for frame, old, new in zip(frames, before, block, strict=True):
            yield diff_labels(old, new, int(frame))

    def _pixel_changes(
        self, frame: int, rows: np.ndarray, cols: np.ndarray, values: np.ndarray
    ) -> Correction:
        labels = self._frame(frame)
        rows, cols, values = rows.reshape(-1), cols.reshape(-1), values.reshape(-1)
        inside = (min(rows.min(), cols.min()) >= 0) if rows.size else True
        if not inside:  # counted from the end
            rows = np.where(rows < 0, rows + labels.shape[0], rows)
            cols = np.where(cols < 0, cols + labels.shape[1], cols)
        pixels = np.ravel_multi_index((rows, cols), labels.shape, mode="raise")
        new = values.astype(self.dtype, casting="unsafe")
        if (pixels[1:] <= pixels[:-1]).any():
            order = np.argsort(pixels, kind="stable")
            last = np.append(np.diff(pixels[order]) != 0, True)  # of a pixel that is named twice
            pixels, new = pixels[order][last], new[order][last]
        old = labels.reshape(-1)[pixels]
        changed = old != new
        return pixel_changes(frame, pixels[changed], old[changed], new[changed])

    def _paint(self, correction: Correction) -> None:
        frame = correction.frame
        if frame not in self._painted:
            self._painted[frame] = self._logged(frame).copy()
        correction.apply(self._painted[frame])
        self.last_stroke += 1
        self._last_of[frame] = self.last_stroke
        assert self._journal is not None
        fresh = frame in self._unwritten
        if fresh:  # the strokes that are only in memory with it
            correction = diff_labels(self._logged(frame), self._painted[frame], frame)
        try:
            self._journal.append(Stroke(self.last_stroke, fresh, correction))
        except OSError as error:
            self._unwritten.add(frame)
            self.failure = error
            _log.warning("a stroke is only in memory: %s", error)
        else:
            self._unwritten.discard(frame)
            self.failure = None if not self._unwritten else self.failure

    def _check_writable(self) -> None:
        if not self.writable:
            raise DataError("these masks are open read-only; open the session to correct them")


def with_strokes(
    frames: Frames,
    logged: Callable[[int], np.ndarray],
    covered: Covered,
    journal: StrokeFile,
    *,
    writable: bool,
) -> SessionLabels:
    """An array to paint on, with the strokes of a journal that the log does not have.

    Parameters
    ----------
    frames : Frames
        Shape and type.
    logged : callable
        Gives a frame (Y, X) as the log has it, not to be changed.
    covered : Covered
        The strokes that the log has.
    journal : StrokeFile
        Has the others, and takes new ones.
    writable : bool
        Whether the array can be painted on.
    """
    last, strokes = read_strokes(journal.path, frames, covered)
    labels = SessionLabels(frames.shape, frames.dtype, logged, journal if writable else None)
    labels.last_stroke = last
    labels.take_over(strokes)
    return labels


def _plain(key: object, shape: tuple[int, ...]) -> tuple:
    """An index with an entry for each axis: masks of all axes as places, no ellipsis."""
    if isinstance(key, np.ndarray) and key.dtype == bool and key.shape == shape:
        return np.nonzero(key)
    parts = list(key) if isinstance(key, tuple) else [key]
    where = next((n for n, part in enumerate(parts) if part is Ellipsis), None)
    if where is not None:
        parts[where : where + 1] = [slice(None)] * (len(shape) - len(parts) + 1)
    return (*parts, *[slice(None)] * (len(shape) - len(parts)))


def _is_index(part: object) -> bool:
    return isinstance(part, int | np.integer) or (isinstance(part, np.ndarray) and part.ndim == 0)


def _all_arrays(key: tuple) -> bool:
    """Whether an index names single pixels."""
    arrays = [np.asarray(part) for part in key if isinstance(part, np.ndarray | list)]
    return (
        len(arrays) == len(key) == 3
        and all(array.dtype.kind in "iu" for array in arrays)
        and all(array.ndim > 0 for array in arrays)
    )


def _frame_index(index: object, n_frames: int) -> int:
    return range(n_frames)[int(index)]  # type: ignore[call-overload]


def _by_frame(frames: np.ndarray, n_frames: int) -> Iterator[tuple[int, np.ndarray | EllipsisType]]:
    """Each frame that is named, and where it is named."""
    if frames.size and frames.min() == frames.max():
        yield _frame_index(frames.flat[0], n_frames), ...
        return
    for frame in np.unique(frames):
        yield _frame_index(frame, n_frames), frames == frame
