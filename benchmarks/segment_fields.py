"""The fields that `benchmarks.segment` segments."""

from functools import cache
from pathlib import Path

import numpy as np

from rleseg_core.data import SyntheticConfig, synthesize
from rleseg_core.data.windows import resize_image

SIDE = 512  # at which fields of up to 1024 pixels are seen, the size of `cells`
SEED = 2_000_000  # the bundled models were trained on others


def seen_at(side: int) -> int:
    """The longer side I at which a field is seen."""
    return min(side, SIDE) if side <= 2 * SIDE else side // 2


def fields_of(side: int, n_fields: int, folder: Path | None) -> np.ndarray:
    """Fields (T, side, side), uint8 or uint16: real ones, or synthetic without a folder.

    Those of up to 1024 pixels show the same cells, and larger ones those of 1024 pixels side by
    side. Real fields of 1024 pixels have 1022 rows, as they come.
    """
    whole = _synthetic(n_fields) if folder is None else _real(folder)
    if side <= 2 * SIDE:
        chosen = np.stack([whole[k % len(whole)] for k in range(n_fields)])
        return chosen if side == chosen.shape[2] else _resized(chosen, side)
    number = -(-side // (2 * SIDE))
    larger = [
        np.block(
            [
                [whole[(first + row * number + col) % len(whole)] for col in range(number)]
                for row in range(number)
            ]
        )
        for first in range(n_fields)
    ]
    return np.stack(larger)[:, :side, :side]


def _resized(fields: np.ndarray, side: int) -> np.ndarray:
    """Fields (T, y, side) with their longer side at `side`."""
    rows = round(fields.shape[1] * side / fields.shape[2])
    resized = [resize_image(one[..., None].astype(np.float32), (rows, side)) for one in fields]
    return np.stack(resized)[..., 0].round().astype(fields.dtype)


@cache
def _real(folder: Path) -> np.ndarray:
    """Fields of phase contrast, (T, 1022, 1024)."""
    from benchmarks.learn_data import load_fields

    images = load_fields("usiigaci", folder).test[0].images
    return np.stack([images.frame(frame)[..., 0] for frame in range(images.n_frames)])


@cache
def _synthetic(n_fields: int) -> np.ndarray:
    """Synthetic fields, (T, 1024, 1024)."""
    config = SyntheticConfig(n_frames=n_fields, size=(SIDE, SIDE), seed=SEED)
    images = np.asarray(synthesize(config).images)
    return images.reshape(n_fields, SIDE, SIDE, -1)[..., 0].repeat(2, 1).repeat(2, 2)
