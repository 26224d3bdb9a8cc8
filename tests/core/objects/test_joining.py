from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from rleseg_core.data import LabelReader, plan_windows, subsample_labels
from rleseg_core.data.labels import components
from rleseg_core.inference import ids_in_source
from rleseg_core.objects.joining import FrameJoiner, ObjectParts
from rleseg_core.objects.measuring import measure_frame
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import Tokenizer, preset


def parts(n, *, class_ids=None, confidence=0.5, n_tokens=1):
    return ObjectParts(
        class_ids=np.ones(n, int) if class_ids is None else np.array(class_ids),
        confidence=np.full(n, confidence),
        n_tokens=np.full(n, n_tokens),
    )


def add(joiner, top, left, ids, **known):
    ids = np.array(ids, np.int32)
    rows, cols = slice(top, top + ids.shape[0]), slice(left, left + ids.shape[1])
    return joiner.add(rows, cols, ids, parts(int(ids.max()), **known))


@cache
def tokenizer_of(size, n_classes):
    spec = MaskSpec(size=(size, size), class_names=tuple("abcd"[:n_classes]))
    return Tokenizer.build(preset("iw"), spec)


def through_windows(ids, spec, size, classes=None):
    """Ids of a frame (Y, X) as they come out of windows, tokens and joining."""
    classes = (ids > 0).astype(np.uint8) if classes is None else classes
    tokenizer = tokenizer_of(size, max(int(classes.max()), 1))
    shape = (1, *ids.shape)
    readers = [LabelReader(array[None], spec) for array in (classes, ids)]
    joiner = FrameJoiner(ids.shape)
    for window in plan_windows(shape, spec):
        masks = [subsample_labels(reader.read(window), (size, size)) for reader in readers]
        decoded = tokenizer.decode(tokenizer.encode(*masks))
        n = int(decoded.instances.max())
        class_ids = np.zeros(n + 1, int)
        class_ids[decoded.instances] = decoded.classes
        rows, cols, fine = ids_in_source(decoded.instances, window, shape, spec)
        joiner.add(rows, cols, fine[0], parts(n, class_ids=class_ids[1:]))
    return joiner.finish()


def ious(ids, truth):
    """IoU (n_true, n_found) of all pairs of objects."""
    n, n_found = int(truth.max()) + 1, int(ids.max()) + 1
    keys = truth.ravel().astype(int) * n_found + ids.ravel()
    shared = np.bincount(keys, minlength=n * n_found).reshape(n, n_found)
    union = shared.sum(1)[:, None] + shared.sum(0) - shared
    return shared[1:, 1:] / np.maximum(union[1:, 1:], 1)


def same_partition(ids, truth):
    pairs = np.unique(np.stack([ids.ravel(), truth.ravel()]).astype(np.int64), axis=1)
    return all(np.unique(side).size == pairs.shape[1] for side in pairs)


@st.composite
def frames(draw):
    """Connected objects that touch, nest, wind and branch; and their classes."""
    height, width = draw(st.integers(3, 40)), draw(st.integers(3, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    smooth = ndimage.gaussian_filter(
        rng.random((height, width)), draw(st.sampled_from([0.5, 1, 3]))
    )
    levels = np.quantile(smooth, np.linspace(0, 1, draw(st.integers(2, 5)))[1:-1])
    kinds = np.digitize(smooth, levels).astype(np.uint8)
    ids = components(kinds)
    return ids, np.where(ids > 0, kinds, 0).astype(np.uint8)


@given(frame=frames(), patch=st.integers(2, 24), data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_partition_comes_back_from_windows_that_overlap(frame, patch, data):
    ids, classes = frame
    stride = data.draw(st.integers(1, patch - 1))
    spec = WindowSpec(patch=patch, patch_stride=stride)
    found = through_windows(ids, spec, patch, classes)
    assert same_partition(found.ids, ids)
    np.testing.assert_array_equal(found.class_map(), classes)
    assert found.n == np.unique(ids[ids > 0]).size
    first = [np.flatnonzero(found.ids == k)[0] for k in range(1, found.n + 1)]
    assert first == sorted(first)


def disks(size, radius, gap, seed):
    """Disks of about one radius, at least `gap` pixels apart (negative: they touch)."""
    rng = np.random.default_rng(seed)
    row, col = np.mgrid[: size[0], : size[1]]
    ids, centres, number = np.zeros(size, np.int32), [], 0
    for _ in range(60):
        y, x = rng.integers(radius, size[0] - radius), rng.integers(radius, size[1] - radius)
        if all((y - v) ** 2 + (x - u) ** 2 >= (2 * radius + gap) ** 2 for v, u in centres):
            centres.append((y, x))
            number += 1
            ids[((row - y) ** 2 + (col - x) ** 2 <= radius**2) & (ids == 0)] = number
    return ids


@given(
    seed=st.integers(0, 2**32 - 1),
    factor=st.sampled_from([2, 3, 4]),
    image_size=st.sampled_from([None, 90, 250]),
    gap=st.sampled_from([-3, 1]),
    data=st.data(),
)
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_coarse_masks_lose_no_object_that_is_large_for_their_grid(
    seed, factor, image_size, gap, data
):
    size = (96, 120)
    scale = (image_size or 120) / 120
    radius = int(np.ceil(4 * factor / min(scale, 1)))  # at least four mask pixels
    ids = disks(size, radius, gap, seed)
    patch = 16 * factor
    overlap = data.draw(st.integers(2 * factor, patch // 2))
    spec = WindowSpec(patch=patch, patch_stride=patch - overlap, image_size=image_size)
    found = through_windows(ids, spec, 16)
    iou = ious(found.ids, ids)
    assert found.n == ids.max()
    assert (iou.max(axis=1) > 0.6).all()


@given(seed=st.integers(0, 2**32 - 1), patch=st.sampled_from([16, 24, 32]))
@settings(max_examples=15, deadline=None)
def test_windows_that_only_touch_join_what_faces_across_the_border(seed, patch):
    ids = disks((80, 100), 9, 3, seed)
    found = through_windows(ids, WindowSpec(patch=patch, patch_stride=patch), patch)
    # a disk whose edge just reaches over a border may lose that sliver
    assert (ious(found.ids, ids).max(axis=1) > 0.75).all()
    areas = np.bincount(found.ids.ravel())[1:]
    assert np.count_nonzero(areas > 60) == ids.max()


def test_frame_smaller_than_a_window():
    ids = disks((20, 30), 4, -2, 0)
    found = through_windows(ids, WindowSpec(patch=64, patch_stride=32), 64)
    assert same_partition(found.ids, ids)


def test_object_larger_than_a_window_is_one():
    ids = np.zeros((60, 70), np.int32)
    ids[5:55, 5:65] = 1
    ids[20:40, 20:50] = 2  # with another one in it
    found = through_windows(ids, WindowSpec(patch=16, patch_stride=12), 16)
    assert same_partition(found.ids, ids)


def test_a_later_window_merges_what_it_sees_as_one():
    joiner = FrameJoiner((1, 14))
    add(joiner, 0, 0, [[0, 0, 0, 1, 1]])
    _, before = add(joiner, 0, 8, [[1, 1, 0, 0, 0, 0]])
    assert before.tolist() == [[2, 2, 0, 0, 0, 0]]
    _, now = add(joiner, 0, 3, [[1, 1, 1, 1, 1, 1, 1]])
    assert set(now.ravel().tolist()) == {1}
    assert joiner.finish().ids.tolist() == [[0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0]]


def test_neighbours_that_merely_graze_stay_apart():
    joiner = FrameJoiner((4, 12))
    add(joiner, 0, 0, [[0, 1, 1, 1, 1, 1, 0, 0]] * 4)
    add(joiner, 0, 4, [[0, 1, 1, 1, 1, 1, 0, 0]] * 4)  # one column of four is common
    found = joiner.finish()
    assert found.n == 2
    assert found.ids[0].tolist() == [0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 0, 0]


def test_what_one_window_tells_apart_is_not_joined_through_another():
    joiner = FrameJoiner((1, 20))
    add(joiner, 0, 0, [[1, 1, 1, 1, 1, 1, 2, 2, 2, 2]])
    add(joiner, 0, 4, [[1] * 10])  # takes both for one, and more of it is the second
    found = joiner.finish()
    assert found.n == 2
    assert found.ids[0, :5].tolist() == [1] * 5
    assert set(found.ids[0, 8:14].tolist()) == {2}


def test_stronger_matches_count_first():
    joiner = FrameJoiner((6, 9))
    square = [[0, 0, 0, 1, 1]] * 2 + [[0, 0, 0, 2, 2]] * 4
    add(joiner, 0, 0, square)
    add(joiner, 0, 3, [[1] * 6] * 2 + [[2] * 6] * 4)
    # the third takes all for one: it goes to the larger one
    add(joiner, 0, 3, [[1] * 6] * 6)
    found = joiner.finish()
    assert found.n == 2


def test_object_that_other_windows_contradict_is_dropped():
    joiner = FrameJoiner((4, 24))
    add(joiner, 0, 0, np.pad(np.ones((4, 9), int), ((0, 0), (7, 0))))  # columns 7 to 15
    add(joiner, 0, 4, np.zeros((4, 20), int))  # sees nothing there, and is deeper from 10 on
    found = joiner.finish()
    assert found.n == 0
    assert not found.ids.any()


def test_class_of_most_pixels_and_confidence_by_tokens():
    joiner = FrameJoiner((2, 12))
    add(joiner, 0, 0, [[0, 0, 1, 1, 1, 1]] * 2, class_ids=[1], confidence=0.9, n_tokens=1)
    classes, _ = add(joiner, 0, 4, [[1] * 8] * 2, class_ids=[2], confidence=0.5, n_tokens=3)
    assert set(classes.ravel().tolist()) == {1}  # of the first part, until the frame is done
    found = joiner.finish(11)
    assert found.class_ids.tolist() == [2]
    np.testing.assert_allclose(found.confidence, [0.6])
    assert found.ids.max() == 11
    assert found.class_map().tolist() == [[0, 0, *[2] * 10]] * 2


def test_confidence_that_is_not_known_does_not_count():
    joiner = FrameJoiner((1, 8))
    add(joiner, 0, 0, [[1] * 5], confidence=np.nan)
    add(joiner, 0, 3, [[1] * 5], confidence=0.25)
    assert joiner.finish().confidence.tolist() == [0.25]
    alone = FrameJoiner((1, 8))
    add(alone, 0, 0, [[1] * 8], confidence=np.nan)
    assert np.isnan(alone.finish().confidence).all()


def test_the_last_window_may_own_its_pixels():
    joiner = FrameJoiner((1, 10), "last")
    add(joiner, 0, 0, [[1] * 6])
    add(joiner, 0, 5, [[0] * 5])
    assert joiner.finish().ids.tolist() == [[1, 1, 1, 1, 1, 0, 0, 0, 0, 0]]


def test_remains_of_a_contradicted_object_go_to_the_one_that_took_its_place():
    joiner = FrameJoiner((4, 24))
    add(joiner, 0, 0, np.pad(np.ones((4, 13), int), ((0, 0), (3, 0))))  # columns 3 to 15
    add(joiner, 0, 4, np.pad(np.ones((3, 10), int), ((0, 1), (6, 4))))  # 10 to 19, a row less
    found = joiner.finish()  # too little in common, and of the first only columns 3 to 9 are left
    assert found.n == 1
    assert found.ids[0].tolist() == [0] * 3 + [1] * 17 + [0] * 4
    assert found.ids[3].tolist() == [0] * 3 + [1] * 7 + [0] * 14


def test_object_that_two_windows_see_differently_is_not_lost():
    joiner = FrameJoiner((8, 24))
    first, later = np.zeros((8, 16), int), np.zeros((8, 16), int)
    first[0:5, 9:15] = 1  # columns 9 to 14 of the frame
    later[3:8, 1:7] = 1  # the same columns, but only two rows in common
    add(joiner, 0, 0, first)
    add(joiner, 0, 8, later)
    found = joiner.finish()
    assert found.n == 1
    assert (found.ids > 0).sum() == 30


def test_windows_far_away_are_forgotten():
    ids = np.ones((400, 8), np.int32)
    joiner = FrameJoiner(ids.shape)
    for top in range(0, 393, 4):
        joiner.add(slice(top, top + 8), slice(0, 8), ids[top : top + 8], parts(1))
        assert len(joiner._recent) <= 4
    assert joiner.finish().n == 1


def test_frame_without_objects():
    joiner = FrameJoiner((5, 5))
    assert joiner.finish().n == 0
    add(joiner, 0, 0, np.zeros((5, 5), int))
    found = joiner.finish()
    assert found.n == 0
    assert not found.ids.any()
    assert found.class_map().dtype == np.uint8


@pytest.mark.parametrize("side", ["row", "column"])
def test_contact_of_half_a_side_joins_and_less_does_not(side):
    def found(first, second):
        joiner = FrameJoiner((8, 8))
        upper, lower = np.zeros((4, 8), int), np.zeros((4, 8), int)
        upper[:, first], lower[:, second] = 1, 1
        if side == "row":
            add(joiner, 0, 0, upper)
            add(joiner, 4, 0, lower)
        else:
            add(joiner, 0, 0, upper.T)
            add(joiner, 0, 4, lower.T)
        return joiner.finish().n

    assert found(slice(0, 4), slice(2, 8)) == 1
    assert found(slice(0, 4), slice(3, 8)) == 2
    assert found(slice(0, 4), slice(4, 8)) == 2


def test_large_frames_are_finished_block_by_block(monkeypatch):
    rng = np.random.default_rng(4)
    seen = rng.integers(0, 5, (2, 24, 30))

    def finished():
        joiner = FrameJoiner((24, 40))
        for ids, cols in zip(seen, (slice(0, 30), slice(10, 40)), strict=True):
            joiner.add(slice(0, 24), cols, ids, parts(4))
        joined = joiner.finish(3)
        return joined.ids, joined.class_map(), measure_frame(joined.ids).centroids

    whole = finished()
    monkeypatch.setattr("rleseg_core.data.blocks._VALUES", 100)
    for found, expected in zip(finished(), whole, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert whole[0].any()
