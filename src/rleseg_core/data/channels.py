"""Which of several channels is read where nobody chose one."""

from typing import TYPE_CHECKING

import numpy as np

from rleseg_core.data.arrays import reading
from rleseg_core.data.intensity import medians_and_noise

if TYPE_CHECKING:
    import dask.array as da

_CLEAR = 12.0  # range of grey values in standard deviations of the noise: more says nothing more
_EMPTY = 4.0  # noise alone has 3


def telling_channel(data: "da.Array", what: str) -> int:
    """The first channel that shows something.

    Parameters
    ----------
    data : (T, Y, X, C) dask array
        Images, not a colour picture.
    what : str
        What to call it in errors.

    Returns
    -------
    int
        The first channel whose grey values, in its first, middle and last frame, range over at
        least half as many standard deviations of its noise as those of the best channel, of which
        12 are enough. A dark or constant channel is not chosen where another shows something.

    Raises
    ------
    DataError
        If a frame cannot be read.
    """
    frames = sorted({0, data.shape[0] // 2, data.shape[0] - 1})
    with reading(what):
        sample = [np.asarray(data[frame].compute(scheduler="sync")) for frame in frames]
    scores = [
        float(np.median([_range_over_noise(frame[..., channel]) for frame in sample]))
        for channel in range(data.shape[3])
    ]
    best = max(scores)
    if best < _EMPTY:
        return 0
    return next(k for k, score in enumerate(scores) if score >= best / 2)


def _range_over_noise(image: np.ndarray) -> float:
    """Range of the grey values of a frame (Y, X) over its noise, from 0 to 12."""
    finite = np.isfinite(image)
    if not finite.any():
        return 0.0
    medians, noise = medians_and_noise(np.where(finite, image, 0)[..., None], ~finite)
    low, high = np.percentile(medians, (1, 99))
    return min(float(high - low) / noise, _CLEAR) if noise else (_CLEAR if high > low else 0.0)
