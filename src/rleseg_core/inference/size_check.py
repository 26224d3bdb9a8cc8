"""Whether the objects of a result are as large as those that its model was trained on."""

import math
import warnings

import numpy as np

from rleseg_core.checkpoints import ModelInfo
from rleseg_core.data.windows import resized_shape
from rleseg_core.errors import DataWarning
from rleseg_core.inference.results import WindowResult
from rleseg_core.inference.scale import trained_diameters
from rleseg_core.objects.scale import Diameters
from rleseg_core.spec import WindowSpec

_MEASURED = 16  # windows whose objects are measured, about
_FEWEST = 5  # objects, of which a median says something
_NOTHING = 1e-3  # share of the pixels that is next to nothing
_FAR = math.sqrt(2)  # beyond a trained percentile


class SizeCheck:
    """Looks at windows of a segmentation as they come, and says in the end what is odd.

    Parameters
    ----------
    info : ModelInfo
        Header of the model; if it knows no diameters, nothing is odd.
    shape : (T, Y, X[, C])
        Of the stack, in source pixels.
    spec : WindowSpec
        With the image size at which frames were seen.
    """

    def __init__(self, info: ModelInfo, shape: tuple[int, ...], spec: WindowSpec) -> None:
        self._name, self._trained = info.name, trained_diameters(info)
        self._scale = max(resized_shape(shape, spec)) / max(shape[1:3])
        self._found: list[Diameters] = []
        self._n_pixels = self._n_foreground = 0

    def add(self, result: WindowResult) -> None:
        """Look at a window."""
        if self._trained is None:
            return
        self._n_pixels += result.labels.size
        self._n_foreground += int(np.count_nonzero(result.labels))
        if result.n_done % max(1, result.n_windows // _MEASURED) == 0:
            for ids, classes in zip(result.objects, result.labels, strict=True):
                of_ids = bool(ids.any())
                self._found.append(
                    Diameters.of_ids(ids) if of_ids else Diameters.of_classes(classes)
                )

    def warn(self) -> tuple[str, ...]:
        """The note, if there is one, also as a `DataWarning`."""
        if not (note := self.note()):
            return ()
        warnings.warn(note, DataWarning, stacklevel=3)
        return (note,)

    def note(self) -> str:
        """A sentence on too few objects, or such as are unlike the trained ones; or nothing."""
        trained, found = self._trained, Diameters.joined(self._found)
        if trained is None or not self._n_pixels:
            return ""
        share = self._n_foreground / self._n_pixels
        if share < _NOTHING and len(found) < _FEWEST:
            return (
                f"next to no objects were found ({share:.2%} of the pixels); if there are some, "
                "give their diameter or choose another model"
            )
        if len(found) < _FEWEST:
            return ""
        seen = found.percentile(50) * self._scale
        if trained.low / _FAR <= seen <= trained.high * _FAR:
            return ""
        return (
            f"most objects found are about {seen:.0f} px wide where {self._name} saw them, and it "
            f"was trained on {trained.low:.0f} to {trained.high:.0f} px; give the diameter of the "
            "objects, or choose another model"
        )
