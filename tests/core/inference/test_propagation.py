import numpy as np
import pytest
import torch

from rleseg_core.checkpoints import build_model, new_model
from rleseg_core.data import ImageStack, subsample_labels
from rleseg_core.decoding.known import WrittenBlock
from rleseg_core.errors import DataError
from rleseg_core.inference import Segmenter
from rleseg_core.inference.follow import Corrected, blocks
from rleseg_core.inference.follow.changes import changes_between
from rleseg_core.inference.follow.region import RegionFinder
from rleseg_core.objects.expected import add_expected
from rleseg_core.objects.partition import partition
from rleseg_core.reports import product_of
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import preset


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    info = new_model(
        tmp_path_factory.mktemp("model") / "tiny.safetensors",
        size="test",
        scheme=preset("iw"),
        mask_spec=MaskSpec(size=(16, 16), class_names=("cell",)),
        window_spec=WindowSpec(patch=32, patch_stride=16),
        max_tokens=128,
    )
    torch.manual_seed(1)
    return Segmenter(info, build_model(info), "cpu")


def movie():
    """Ids (4, 50, 80): three squares that drift, 1 and 2 side by side."""
    ids = np.zeros((4, 50, 80), np.uint32)
    for frame in range(4):
        left = 6 + 2 * frame
        ids[frame, 8:20, left : left + 12], ids[frame, 8:20, left + 12 : left + 24] = 1, 2
        ids[frame, 30:42, left + 20 : left + 34] = 3
    return ids


@pytest.fixture
def seeing(monkeypatch):
    """Let the model see one object where there are two, unless two are expected; new ids always."""
    ids, expectations = movie(), []

    def find(_, frame, box, expected=None):
        expectations.append(expected)
        found = np.where(ids[frame] == 2, 1, ids[frame]).astype(np.uint32)
        if expected is not None:
            found = ids[frame].copy()
        return np.where(found > 0, found + 10 * (frame + 1), 0)

    monkeypatch.setattr(RegionFinder, "find", find)
    return ids, expectations


def test_frames_are_written_again_from_the_corrected_one(segmenter, seeing):
    ids, expectations = seeing
    stack = ImageStack.from_array((ids > 0).astype(np.uint8) * 200)
    before = np.where(ids == 2, 1, ids) + np.where(ids > 0, 20, 0).astype(np.uint32)
    corrected = Corrected(frame=1, ids=ids[1], objects=before)
    reports = []
    changes = product_of(segmenter.propagate(stack, corrected, [0, 2, 3]), reports.append)
    assert [report.frame for report in reports] == [2, 3, 0]
    assert reports[-1].n_done == reports[-1].n_frames == 3
    for report in reports:
        np.testing.assert_array_equal(report.ids, ids[report.frame])
    weights = [expected[1] for expected in expectations]
    assert weights == [4.0] * 3
    np.testing.assert_array_equal(expectations[0][0][30:42, 30:44], 3)
    kinds = {(one.frame, one.kind, one.id, one.before) for one in changes}
    assert {(2, "renamed", 3, 23), (3, "renamed", 3, 23)} < kinds
    assert {frame for frame, kind, *_ in kinds if kind in ("new", "gone")} == {0, 2, 3}


def test_approved_objects_stay_as_they_are(segmenter, seeing):
    ids, _ = seeing
    stack = ImageStack.from_array((ids > 0).astype(np.uint8) * 200)
    objects = np.zeros_like(ids)
    objects[2, 30:40, 28:40] = 1  # in place of 3, and with the id of another
    corrected = Corrected(frame=1, ids=ids[1], objects=objects, approved={2: [1]})
    (report,) = _reports(segmenter.propagate(stack, corrected, [2]))
    np.testing.assert_array_equal(report.ids == 1, objects[2] == 1)
    assert not (report.ids == 3).any()
    np.testing.assert_array_equal(report.ids == 2, ids[2] == 2)
    (renamed,) = np.unique(report.ids[ids[2] == 1])
    assert renamed > 3


def _reports(run):
    reports = []
    product_of(run, reports.append)
    return reports


def test_what_cannot_be_written_again_is_refused(segmenter):
    ids = movie()
    stack = ImageStack.from_array((ids > 0).astype(np.uint8))
    for frames in ([1], [3], []):
        with pytest.raises(DataError, match="next to each other"):
            next(segmenter.propagate(stack, Corrected(frame=1, ids=ids[1]), frames))
    with pytest.raises(DataError, match="frames 0 to 3"):
        next(segmenter.propagate(stack, Corrected(frame=3, ids=ids[1]), [4]))
    with pytest.raises(DataError, match=r"\(Y, X\)"):
        next(segmenter.propagate(stack, Corrected(frame=1, ids=ids[1][:5]), [2]))
    with pytest.raises(DataError, match="not given"):
        Corrected(frame=1, ids=ids[1], approved={2: [1]})


def test_changes_are_named():
    before, now = np.zeros((2, 20, 40), np.int64)
    before[2:8, 2:8], before[2:8, 12:18], before[2:8, 22:28], before[12:18, 2:8] = 1, 2, 3, 4
    now[2:8, 2:8], now[2:8, 12:17], now[2:8, 22:28], now[12:18, 20:30] = 1, 2, 9, 5
    found = {(one.kind, one.id, one.before) for one in changes_between(before, now, 7)}
    assert found == {("changed", 2, 2), ("renamed", 9, 3), ("gone", 0, 4), ("new", 5, 0)}
    assert changes_between(before, before, 7) == ()


def test_expected_objects_are_told_apart_where_the_heads_hesitate():
    offsets = [(0, -1), (-1, 0), (0, -3)]
    expected = np.zeros((10, 20), np.int64)
    expected[2:8, 2:10], expected[2:8, 10:18] = 1, 2
    foreground = np.where(expected > 0, np.float32(3), np.float32(-3))
    affinities = np.full((3, 10, 20), 1.5, np.float32)
    assert partition(foreground > 0, affinities, offsets).max() == 1
    add_expected(foreground, affinities, offsets, expected, 4.0)
    np.testing.assert_array_equal(partition(foreground > 0, affinities, offsets), expected)


def test_expectations_reach_the_heads(segmenter):
    noise = np.random.default_rng(0).integers(0, 255, (2, 60, 60), np.uint8)
    stack = ImageStack.from_array(noise)
    halves = np.zeros((60, 60), np.int64)
    halves[5:55, 5:30], halves[5:55, 30:55] = 1, 2
    run = segmenter.segment(stack.expecting(halves, 1, 50.0), preview=True)
    objects = product_of(run).objects[1]
    assert len(np.unique(objects[10:50, 8:27])) == len(np.unique(objects[10:50, 33:52])) == 1
    assert objects[30, 15] != objects[30, 45]


def test_blocks_carry_a_corrected_frame_on(tmp_path, monkeypatch):
    info = new_model(
        tmp_path / "tiny.safetensors",
        size="test",
        scheme=preset("iw-tac"),
        mask_spec=MaskSpec(size=(16, 16), class_names=("cell",), n_frames=3),
        window_spec=WindowSpec(patch=32, patch_stride=16, n_frames=3),
        max_tokens=128,
    )
    segmenter = Segmenter(info, build_model(info), "cpu")
    monkeypatch.setattr(segmenter._source, "encode", lambda images: images)

    def write(model, images, grammar, known, *, max_tokens):
        bright = (images[0, :, 0].numpy() > 0.5).astype(np.uint8)
        mask = subsample_labels(bright, info.mask_spec.size)
        tokens = segmenter.tokenizer.encode(mask, mask.astype(np.int32))
        return WrittenBlock(tokens, np.zeros(tokens.shape, np.float32))

    monkeypatch.setattr(blocks, "write_block", write)
    rows, cols = np.mgrid[:60, :80]
    disk = np.stack([np.hypot(rows - 20 - 3 * t, cols - 30 - 3 * t) < 9 for t in range(4)])
    objects = np.zeros(disk.shape, np.uint32)
    objects[:, 45:55, 60:75] = 1
    corrected = Corrected(frame=1, ids=disk[1].astype(np.uint32), objects=objects)
    stack = ImageStack.from_array(disk.astype(np.uint8) * 200 + 20)
    for report in _reports(segmenter.propagate(stack, corrected, [0, 2, 3])):
        found, truth = report.ids == 1, disk[report.frame]
        assert (found & truth).sum() > 0.8 * (found | truth).sum()
        other = report.ids[objects[report.frame] == 1]
        assert (other == other[0]).all()
        assert other[0] > 1
        assert {one.kind for one in report.changes} == {"new", "renamed"}
