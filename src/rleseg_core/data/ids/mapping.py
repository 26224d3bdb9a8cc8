"""From the numbers in a mask to classes and objects."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rleseg_core.data.ids.names import listed
from rleseg_core.errors import DataError
from rleseg_core.spec import IGNORED

IGNORED_IDS = "ignored_ids"
"""Under this name a file notes, with its provenance, which ids do not count."""

MOST_CLASSES = IGNORED - 1

_TABLE = 1 << 16  # numbers up to here are looked up in a table
_UNKNOWN = -1
_LARGEST = np.iinfo(np.int32).max
_NO_BACKGROUND = (
    "no pixel is background: every one belongs to a class; if one of the ids is the background, "
    "say so (--background ID)"
)


@dataclass(frozen=True, kw_only=True, eq=False)
class IdMapping:
    """What each number of a mask means.

    Parameters
    ----------
    values : (K,) integer
        The numbers, ascending, of the type of the mask.
    classes : (K,) uint8
        Class id of each: 0 is background, `IGNORED` does not count.
    objects : (K,) int32 or None
        Id of the object of each, 0 for none; None where numbers are classes.
    text : str
        The mapping in words, such as "0 → background, 255 → cell".
    is_plain : bool
        Whether every number is the class id, or the object of the only class, that it says.
    has_background : bool
        Whether any pixel is background.
    missing : tuple of str
        Names of the classes of which there is no pixel.
    """

    values: np.ndarray
    classes: np.ndarray
    objects: np.ndarray | None
    text: str
    is_plain: bool
    has_background: bool = True
    missing: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about what is unusual: no background, classes that never occur."""
        found = [] if self.has_background else [_NO_BACKGROUND]
        if self.missing:
            verb = "occur" if len(self.missing) > 1 else "occurs"
            found.append(f"{listed(self.missing)} never {verb}")
        return tuple(found)

    def class_ids(self, labels: np.ndarray) -> np.ndarray:
        """Class ids (...) uint8 of labels (...); `IGNORED` where they do not count.

        Raises
        ------
        DataError
            If a number is not in the mapping.
        """
        if self.is_plain and labels.size and labels.min() >= 0:
            if self.objects is not None:
                return (labels != 0).astype(np.uint8)
            if labels.max() <= self.values[-1]:
                return labels.astype(np.uint8)
        return self.classes[self._index(labels)]

    def object_ids(self, labels: np.ndarray) -> np.ndarray:
        """Object ids (...) int32 of labels (...), 0 for none.

        Raises
        ------
        DataError
            If a number is not in the mapping, or numbers are classes.
        """
        if self.objects is None:
            raise DataError("the mask holds classes, not objects; read it as instances for these")
        if self.is_plain and labels.size and labels.min() >= 0 and labels.max() <= _LARGEST:
            return labels.astype(np.int32)
        return self.objects[self._index(labels)]

    def _index(self, labels: np.ndarray) -> np.ndarray:
        """Position (...) of each number in `values`."""
        if self._table is not None:
            if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) < len(self._table):
                raise self._unknown(labels)
            index = self._table[labels.astype(np.intp, copy=False)]
            is_known = index != _UNKNOWN
        else:
            index = np.searchsorted(self.values, labels).clip(max=len(self.values) - 1)
            is_known = self.values[index] == labels
        if not is_known.all():
            raise self._unknown(labels)
        return index

    @cached_property
    def _table(self) -> np.ndarray | None:
        if not 0 <= int(self.values[0]) <= int(self.values[-1]) < _TABLE:
            return None
        table = np.full(int(self.values[-1]) + 1, _UNKNOWN, np.int32)
        table[self.values.astype(np.intp)] = np.arange(len(self.values))
        return table

    def _unknown(self, labels: np.ndarray) -> DataError:
        found = np.setdiff1d(labels, self.values)
        return DataError(
            f"the mask holds the id {found[0]}, which its other frames do not; ids are read as "
            f"{self.text}"
        )
