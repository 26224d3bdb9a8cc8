import numpy as np
import pytest
import torch

from rleseg_core.checkpoints import build_model, new_model
from rleseg_core.data import ImageStack, subsample_labels
from rleseg_core.decoding.known import WrittenBlock
from rleseg_core.errors import DataError
from rleseg_core.inference import Segmenter
from rleseg_core.inference.follow import blocks
from rleseg_core.inference.follow.region import RegionFinder
from rleseg_core.reports import product_of
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import preset
from rleseg_core.tracks import LinkOptions


def tiny(folder, scheme, n_frames=1):
    info = new_model(
        folder / "tiny.safetensors",
        size="test",
        scheme=preset(scheme),
        mask_spec=MaskSpec(size=(16, 16), class_names=("cell",), n_frames=n_frames),
        window_spec=WindowSpec(patch=32, patch_stride=16, n_frames=n_frames),
        max_tokens=128,
    )
    torch.manual_seed(1)
    return Segmenter(info, build_model(info), "cpu")


@pytest.fixture(scope="module")
def frame_wise(tmp_path_factory):
    return tiny(tmp_path_factory.mktemp("model"), "iw")


@pytest.fixture(scope="module")
def through_frames(tmp_path_factory):
    return tiny(tmp_path_factory.mktemp("model"), "iw-tac", 3)


def stack_of(ids):
    return ImageStack.from_array((ids > 0).astype(np.uint8) * 200 + 20)


def colony():
    """Rods (8, 60, 90) that drift; 1 divides into 2 and 3 in frame 4, and 9 is its neighbour."""
    ids = np.zeros((8, 60, 90), np.uint8)
    for frame in range(8):
        left = 10 + 2 * frame
        if frame < 4:
            ids[frame, 20:30, left : left + 30] = 1
        else:
            ids[frame, 20:30, left : left + 14], ids[frame, 20:30, left + 16 : left + 30] = 2, 3
        ids[frame, 34:44, left : left + 26] = 9
    return ids


def taught(monkeypatch, ids):
    """Let models find the true objects, in other numbers in each frame."""

    def find(_, frame, box):
        found = ids[frame].astype(np.uint32)
        met = np.isin(found, found[box])
        return np.where((found > 0) & met, 40 - found - frame, 0)

    monkeypatch.setattr(RegionFinder, "find", find)


def test_object_is_followed_through_a_division(frame_wise, monkeypatch):
    ids = colony()
    taught(monkeypatch, ids)
    reports = []
    run = frame_wise.follow(stack_of(ids), 1, ids[1] == 1)
    followed = product_of(run, reports.append)
    assert [report.frame for report in reports] == [2, 3, 4, 5, 6, 7, 0]
    assert reports[-1].n_done == reports[-1].n_frames == 8
    assert followed.parents == {2: 1, 3: 1}
    found = np.stack([followed.ids[frame] for frame in range(8)])
    np.testing.assert_array_equal(found == 1, ids == 1)
    daughters = {(int(found[4][ids[4] == one].max())) for one in (2, 3)}
    assert daughters == {2, 3}
    np.testing.assert_array_equal(found > 1, (ids == 2) | (ids == 3))
    assert followed.tracks.divisions() == {1: (2, 3)}
    scores = followed.tracks.score[followed.tracks.before >= 0]
    assert ((scores > 0.5) & (scores <= 1)).all()


def test_mother_is_found_backwards(frame_wise, monkeypatch):
    ids = colony()
    taught(monkeypatch, ids)
    followed = product_of(frame_wise.follow(stack_of(ids), 6, ids[6] == 3, frames=range(1, 8)))
    assert followed.parents == {1: 2}
    found = np.stack([followed.ids[frame] for frame in range(8)])
    np.testing.assert_array_equal(found == 1, ids == 3)
    np.testing.assert_array_equal(found[1:] == 2, ids[1:] == 1)
    assert not found[0].any()


def test_gap_is_closed_and_a_longer_one_ends_the_track(frame_wise, monkeypatch):
    ids = colony()[:, :, ::-1].copy()
    ids[ids == 9] = 0
    given = ids[0] == 1
    ids[2][ids[2] == 1] = 0
    taught(monkeypatch, ids)
    followed = product_of(frame_wise.follow(stack_of(ids), 0, given, frames=range(4)))
    assert [one.frame for one in followed.objects] == [0, 1, 3]
    ids[1:3] = 0
    followed = product_of(
        frame_wise.follow(stack_of(ids), 0, given, frames=range(4), linking=LinkOptions(max_gap=1))
    )
    assert [one.frame for one in followed.objects] == [0]


def test_region_is_seen_as_in_the_whole_frame(tmp_path):
    semantic = tiny(tmp_path, "binary")
    noise = np.random.default_rng(0).integers(0, 255, (2, 70, 80), np.uint8)
    stack = ImageStack.from_array(noise)
    whole = product_of(semantic.segment(stack, frames=[1]))
    box = slice(40, 60), slice(20, 44)
    reports = []
    near = product_of(semantic.segment(stack.near(*box), frames=[1]), reports.append)
    assert 0 < reports[0].n_windows < 12
    assert whole.classes[1][box].any()
    np.testing.assert_array_equal(near.classes[1][box], whole.classes[1][box])


def moving():
    """A disk (9, 70, 90) that moves down and to the right, and vanishes after frame 7."""
    rows, cols = np.mgrid[:70, :90]
    ids = np.zeros((9, 70, 90), np.uint8)
    for frame in range(8):
        ids[frame] = np.hypot(rows - 15 - 4 * frame, cols - 20 - 6 * frame) < 9
    return ids


@pytest.fixture
def seeing(monkeypatch, through_frames):
    """Let the model write what is bright in a window, and check that it could."""
    segmenter, windows = through_frames, []
    monkeypatch.setattr(segmenter._source, "encode", lambda images: images)

    def write(model, images, grammar, known, *, max_tokens):
        windows.append(images)
        bright = (images[0, :, 0].numpy() > 0.5).astype(np.uint8)
        mask = subsample_labels(bright, segmenter.info.mask_spec.size)
        tokens = segmenter.tokenizer.encode(mask, mask.astype(np.int32))
        return WrittenBlock(tokens, np.full(tokens.shape, np.log(0.7), np.float32))

    monkeypatch.setattr(blocks, "write_block", write)
    return segmenter, windows


@pytest.mark.parametrize("start", [0, 3, 7])
def test_block_is_written_through_windows_forwards_and_backwards(seeing, start):
    (segmenter, windows), ids = seeing, moving()
    followed = product_of(segmenter.follow(stack_of(ids), start, ids[start] > 0))
    assert [one.frame for one in followed.objects] == list(range(8))
    for frame in range(8):
        found, truth = followed.ids[frame] > 0, ids[frame] > 0
        assert (found & truth).sum() > 0.85 * (found | truth).sum()
    np.testing.assert_array_equal(followed.ids[start] > 0, ids[start] > 0)
    assert 4 <= len(windows) <= 9
    score = followed.tracks.score
    assert np.isnan(score[0])
    np.testing.assert_allclose(score[1:], 0.7, rtol=1e-5)


def test_random_model_keeps_what_is_known(through_frames):
    ids = moving()
    followed = product_of(through_frames.follow(stack_of(ids), 2, ids[2] > 0, frames=range(5)))
    np.testing.assert_array_equal(followed.ids[2] > 0, ids[2] > 0)


def test_what_cannot_be_followed_is_refused(frame_wise, through_frames):
    ids = moving()
    stack = stack_of(ids)
    with pytest.raises(DataError, match="no frame 9"):
        next(frame_wise.follow(stack, 9, ids[0]))
    with pytest.raises(DataError, match="empty"):
        next(frame_wise.follow(stack, 8, ids[8]))
    with pytest.raises(DataError, match=r"must be\s+\(Y, X\)"):
        next(frame_wise.follow(stack, 0, ids[0][:5]))
    with pytest.raises(DataError, match="and 5 among them"):
        next(frame_wise.follow(stack, 5, ids[5], frames=[0, 3]))
    speck = np.zeros(ids.shape[1:], bool)
    speck[20, 20] = True
    with pytest.raises(DataError, match="larger image size"):
        next(through_frames.follow(stack, 2, speck))
    with pytest.raises(DataError, match="no pixel 70"):
        frame_wise.object_at(stack, 0, (70, 3))


def test_object_at_a_pixel(frame_wise, monkeypatch):
    ids = colony()
    taught(monkeypatch, ids)
    found = frame_wise.object_at(stack_of(ids), 2, (22, 20))
    np.testing.assert_array_equal(found, ids[2] == 1)
    with pytest.raises(DataError, match="finds no object at 55, 80"):
        frame_wise.object_at(stack_of(ids), 2, (55, 80))
