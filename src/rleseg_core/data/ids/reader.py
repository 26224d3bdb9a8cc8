"""The ids of one source, frame by frame, after one look at all of them."""

import threading
from collections.abc import Generator, Mapping, Sequence

import numpy as np

from rleseg_core.data.arrays import ArrayLike, frame_of
from rleseg_core.data.ids.counting import add_counts, count_values, whole_numbers
from rleseg_core.data.ids.mapping import IdMapping
from rleseg_core.data.ids.refusals import MARKS
from rleseg_core.data.ids.rules import IdOptions, IdRules, decide
from rleseg_core.errors import DataError


class IdReader:
    """Reads the ids of a stack of masks; what they mean is decided once, over all its frames.

    Parameters
    ----------
    labels : (T, Y, X) integer array
        Any kind of array; a frame is read when it is asked for.
    rules : IdRules
        What the numbers may mean.
    what : str
        Name of the masks in errors.
    frames : sequence of int, optional
        The frames that decide; all by default.
    counts : mapping of int to int, optional
        Pixels of each number, if they are known already.

    Notes
    -----
    Several threads may use one object.
    """

    def __init__(
        self,
        labels: ArrayLike,
        rules: IdRules,
        what: str = "the mask",
        frames: Sequence[int] | None = None,
        *,
        counts: Mapping[int, int] | None = None,
    ) -> None:
        self.labels, self.rules, self.what = labels, rules, what
        self._counts = counts
        self._frames = range(labels.shape[0]) if frames is None else tuple(frames)
        self._mapping: IdMapping | None = None
        self._lock = threading.RLock()

    @property
    def mapping(self) -> IdMapping:
        """What the numbers mean; the first time, all frames are read for it, one after another.

        Raises
        ------
        DataError
            If it cannot be told; the message says what to do.
        """
        with self._lock:
            if self._mapping is None:
                for _ in self.decide():
                    pass
            assert self._mapping is not None
            return self._mapping

    def decide(self) -> Generator[int, None, IdMapping]:
        """Decide what the numbers mean, with a report of the frames done after each.

        Raises
        ------
        DataError
            If it cannot be told; the message says what to do.
        """
        if self._mapping is None:
            yield from self.count()
            try:
                self._mapping = decide(self.counts, self.rules, self.dtype)
            except DataError as error:
                raise DataError(f"{self.what} {error}") from error
        return self._mapping

    def count(self) -> Generator[int, None, None]:
        """Count the pixels of each number, with a report of the frames done after each."""
        if self._counts is None:
            counts: dict[int, int] = {}
            for done, frame in enumerate(self._frames, 1):
                add_counts(counts, count_values(self._read(frame)))
                yield done
            self._counts = counts

    @property
    def counts(self) -> Mapping[int, int]:
        """Pixels of each number in the frames that decide."""
        for _ in self.count():
            pass
        assert self._counts is not None
        return self._counts

    @property
    def dtype(self) -> np.dtype:
        """Type of the numbers as they are read: whole floats are int64."""
        dtype = np.dtype(self.labels.dtype)
        return np.dtype({"f": np.int64, "b": np.uint8}.get(dtype.kind, dtype))

    def class_frame(self, frame: int) -> np.ndarray:
        """Class ids of a frame, (Y, X) uint8; `IGNORED` where pixels do not count.

        Raises
        ------
        DataError
            If the frame cannot be read, or its ids cannot be told.
        """
        mapping = self.mapping
        try:
            return mapping.class_ids(self._read(frame))
        except DataError as error:
            raise DataError(f"{self.what}, frame {frame}: {error}") from error

    def object_frame(self, frame: int) -> np.ndarray:
        """Ids of the objects of a frame, (Y, X) int32, 0 for none.

        Raises
        ------
        DataError
            If the frame cannot be read, or its ids cannot be told.
        """
        mapping = self.mapping
        try:
            return mapping.object_ids(self._read(frame))
        except DataError as error:
            raise DataError(f"{self.what}, frame {frame}: {error}") from error

    def _read(self, frame: int) -> np.ndarray:
        labels = frame_of(self.labels, frame)
        if labels.dtype.kind == "f":
            return whole_numbers(labels, f"{self.what}, frame {frame},")
        return labels.view(np.uint8) if labels.dtype == bool else labels


def number_of_classes(counts: Mapping[int, int], options: IdOptions) -> int:
    """How many classes masks have whose classes nobody has named, at least 1.

    Grey levels stand for one class or two; otherwise ids go up to the highest. What looks like a
    mark of pixels that do not count, such as 255 beside 1 and 2, is no class.

    Parameters
    ----------
    counts : mapping of int to int
        Pixels of each number, over the whole source.
    options : IdOptions
        What is known of the numbers.
    """
    found = set(counts) - set(options.ignore or ()) - {options.background}
    if 255 in found and found <= {127, 128, 255}:
        return 2 if len(found) > 1 else 1
    marks = {mark for mark in MARKS if mark in found and mark - 1 not in found}
    return max(found - marks or found, default=1)
