import numpy as np
import pytest
from skimage.draw import ellipse

from rleseg_core.tracks import Tracks


def rod(frame, label, row, col, length=20, width=8):
    """Paint a rod along the columns."""
    frame[ellipse(row, col, width / 2, length / 2, shape=frame.shape)] = label


@pytest.fixture
def colony():
    """Six frames (64, 96) of touching rods that drift; ids are new in each frame.

    The first rod divides between frames 2 and 3, the second is missing in frame 3, the third leaves
    after frame 3. Also the true track of each (frame, id).
    """
    ids = np.zeros((6, 64, 96), np.uint32)
    truth = {}
    for t in range(6):
        names = iter(range(10 * t + 1, 10 * t + 10))

        def put(track, row, col, length, t=t, names=names):
            name = next(names)
            rod(ids[t], name, row + 2 * t, col + 3 * t, length)
            truth[t, name] = track

        if t < 3:
            put("a", 20, 30, 24 + 2 * t)
        else:
            put("a1", 20, 22, 15)
            put("a2", 20, 38, 15)
        if t != 3:
            put("b", 30, 30, 22 + t)
        if t < 4:
            put("c", 48, 30, 22 + t)
    return ids, truth


@pytest.fixture
def tracks():
    """Track 1 divides into 2 and 3; 2 is missing in frame 3; 4 begins and ends by itself."""
    return Tracks(
        frame=[0, 1, 2, 2, 4, 3, 1],
        object=[7, 8, 9, 10, 11, 12, 13],
        track=[1, 1, 2, 3, 2, 3, 4],
        row=[1.5, 2, 3, 4, 5, 6, 7],
        col=[1, 2.25, 3, 4, 5, 6, 7],
        area=[10, 11, 6, 5, 7, 6, 3],
        score=[np.nan, 0.5, 0.25, 0.25, 0.125, 1, np.nan],
        parents={2: 1, 3: 1},
    )
