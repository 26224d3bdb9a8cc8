import numpy as np
import pytest

from rleseg_core.data import Window, subsample_labels
from rleseg_core.inference.block_links import BlockLinks
from rleseg_core.inference.results import WindowResult
from rleseg_core.objects.stack import ObjectStack
from rleseg_core.reports import product_of
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import Tokenizer, preset
from rleseg_core.tracks import link_objects

SPEC = WindowSpec(patch=32, patch_stride=16, n_frames=3)
TOKENIZER = Tokenizer.build(
    preset("iw-tac"), MaskSpec(size=(32, 32), class_names=("cell",), n_frames=3)
)


def movie():
    """Ids (7, 32, 48) of tracks; 1 and 2 change places in frame 4, which only tokens know."""
    ids = np.zeros((7, 32, 48), np.uint8)
    for frame in range(7):
        first, second = (4, 20) if frame < 4 else (20, 4)
        ids[frame, 6:14, first : first + 10] = 1
        ids[frame, 6:14, second : second + 10] = 2
        ids[frame, 20:28, 30 : 34 + frame] = 3
    return ids


def anew(ids):
    """The same objects with ids that are new in each frame."""
    return np.stack([np.where(of > 0, 10 * t + of, 0) for t, of in enumerate(ids)])


def windows(ids, stride):
    starts = sorted({*range(0, len(ids) - 3, stride), len(ids) - 3})
    for first in starts:
        for col in (0, 16):
            window = Window((first, first + 3), (0, 32), (col, col + 32))
            part = subsample_labels(ids[first : first + 3, :, col : col + 32], (32, 32))
            tokens = TOKENIZER.encode((part > 0).astype(np.uint8), part.astype(np.int32))
            fields = dict.fromkeys(WindowResult.__dataclass_fields__)
            yield WindowResult(**fields | {"window": window, "tokens": tokens})


@pytest.mark.parametrize("stride", [1, 2])
def test_objects_of_a_block_are_linked_over_the_whole_stack(stride):
    ids = movie()
    found = BlockLinks(TOKENIZER, ids.shape, SPEC)
    for window in windows(ids, stride):
        found.add(window)
    links = found.links(anew(ids))
    assert sorted(links) == [1, 2, 3, 4, 5, 6]
    for frame, rows in links.items():
        assert (rows[:, 0] - 10 * (frame - 1)).tolist() == (rows[:, 1] - 10 * frame).tolist()
        np.testing.assert_allclose(rows[:, 2], 1)
    tracks = product_of(link_objects(ObjectStack.of(anew(ids).astype(np.uint8)), known=links))
    assert tracks.n_tracks == 3
    assert tracks.parents == {}


def test_windows_that_share_no_frame_are_linked_by_what_objects_look_like():
    ids = movie()[:6]
    found = BlockLinks(TOKENIZER, ids.shape, SPEC)
    for window in windows(ids, 3):
        found.add(window)
    links = found.links(anew(ids))
    assert 3 not in links
    tracks = product_of(link_objects(ObjectStack.of(anew(ids).astype(np.uint8)), known=links))
    assert tracks.n_tracks == 3


def test_most_votes_win():
    ids = movie()
    found = BlockLinks(TOKENIZER, ids.shape, SPEC)
    wrong = ids.copy()
    wrong[5:] = np.array([0, 2, 1, 3], np.uint8)[wrong[5:]]
    for window in [*windows(ids, 1), *windows(ids, 2), *list(windows(wrong, 2))[-2:]]:
        found.add(window)
    rows = found.links(anew(ids))[5]
    assert (rows[:, 0] + 10).tolist() == rows[:, 1].tolist()
    assert rows[:, 2].min() < 1
