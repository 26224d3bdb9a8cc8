"""Draw docs/images/synthetic.png: the kinds of synthetic cells, each in three looks.

python scripts/make_synthetic_sheet.py
"""

from pathlib import Path

import numpy as np
from cells_data import KINDS
from PIL import Image
from scipy import ndimage

from rleseg_core.data import varied_stack

OUT = Path(__file__).parents[1] / "docs/images/synthetic.png"
SEEDS = {
    "cells": (1, 2, 3),
    "rods": (45, 44, 2),
    "yeast": (86, 2, 84),
    "nuclei": (44, 45, 3),
    "spread": (63, 65, 62),
}
SIDE, GAP = 160, 4
GREYS = 24  # few, so that the file is small
OUTLINE = 255


def main() -> None:
    rows = [tile_row(kind) for kind in KINDS]
    sheet = Image.fromarray(np.concatenate(rows)[:-GAP, :-GAP])
    greys = np.repeat(np.linspace(0, 255, GREYS).astype(np.uint8), 3)
    palette = np.full(768, 255, np.uint8)
    palette[: 3 * GREYS] = greys
    palette[-3:] = (255, 80, 60)
    sheet.putpalette(palette.tolist())
    sheet.save(OUT, optimize=True)
    print(OUT, f"{OUT.stat().st_size / 1000:.0f} kB")


def tile_row(kind: str) -> np.ndarray:
    """Three looks of a kind, and the first again with the outlines of its objects."""
    tiles = []
    for seed in (*SEEDS[kind], SEEDS[kind][0]):
        stack = varied_stack(seed, n_frames=1, kind=kind)
        image, ids = stack.images.frame(0)[..., 0], stack.instance_frame(0)
        low, high = np.percentile(image, (0.3, 99.7))
        shown = np.clip((image - low) / (high - low), 0, 1) * (GREYS - 1)
        tile = np.rint(shown).astype(np.uint8)
        if len(tiles) == 3:
            inside = (ndimage.minimum_filter(ids, 3) == ndimage.maximum_filter(ids, 3)) | (ids == 0)
            tile[~inside] = OUTLINE
        row, col = densest(ids)
        tile = tile[row : row + SIDE, col : col + SIDE]
        tiles.append(np.pad(tile, ((0, GAP), (0, GAP)), constant_values=GREYS - 1))
    return np.concatenate(tiles, axis=1)


def densest(ids: np.ndarray) -> tuple[int, int]:
    """Corner of the crop with the most cells in it, but for an empty margin."""
    cover = ndimage.uniform_filter((ids > 0).astype(float), SIDE, mode="constant")
    half = SIDE // 2
    inner = cover[half : ids.shape[0] - half, half : ids.shape[1] - half]
    row, col = np.unravel_index(inner.argmax(), inner.shape)
    return int(row), int(col)


if __name__ == "__main__":
    main()
