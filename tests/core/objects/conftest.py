import numpy as np
import pytest
from skimage.draw import disk

from rleseg_core.data.metadata import StackMetadata
from rleseg_core.objects import ObjectTable


@pytest.fixture
def ids():
    """Three frames: a disk, a ring with an object in it, what touches at a corner; none; pieces."""
    ids = np.zeros((3, 40, 50), np.uint32)
    ids[0][disk((12, 12), 9)] = 1
    ids[0][disk((26, 34), 11)] = 2
    ids[0][disk((26, 34), 6)] = 0
    ids[0][disk((26, 34), 3)] = 3
    ids[0, 0, 49] = 4
    ids[0, 1, 48] = 5
    ids[2, 5:9, 5:9] = ids[2, 9:14, 9:12] = ids[2, 30:, 40:] = 80_000  # in three pieces
    return ids


@pytest.fixture
def table(ids):
    classes = {1: 1, 2: 2, 3: 1, 4: 2, 5: 1, 80_000: 2}
    return ObjectTable.of(ids, classes, ("cell", "big one"), confidence={1: 0.875, 2: 0.5})


@pytest.fixture
def metadata():
    return StackMetadata(
        pixel_size=(0.5, 0.25), unit="micrometer", class_colours=("#112233", "#ff8000")
    )
