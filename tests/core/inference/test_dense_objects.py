"""Objects of whole frames from heads that are never wrong: they read a known mask."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from rleseg_core.affinities import AFFINITIES, pair_slices
from rleseg_core.data import Window, plan_windows
from rleseg_core.errors import BudgetError
from rleseg_core.inference.dense_objects import FrameObjects
from rleseg_core.inference.head_maps import Strip, plan_strips
from rleseg_core.spec import MaskSpec, WindowSpec

SURE = 6.0


class PerfectHeads:
    """What the heads of a model say of windows that are given by their ids (B, S, S)."""

    def __init__(self, classes: np.ndarray) -> None:
        self._classes = classes  # of each id
        n_classes = int(classes.max()) + 1
        pointer = SimpleNamespace(affinities=AFFINITIES, dense_classes=n_classes)
        self.config = SimpleNamespace(pointer=pointer)

    def dense_logits(self, ids: torch.Tensor) -> torch.Tensor:
        classes = torch.from_numpy(self._classes).long()[ids]
        logits = torch.nn.functional.one_hot(classes, self.config.pointer.dense_classes)
        return SURE * logits.movedim(-1, 1)[:, None].float()

    def pixel_logits(self, ids: torch.Tensor) -> None:
        """There is no head for outlines."""

    def affinity_logits(self, ids: torch.Tensor) -> torch.Tensor:
        found = torch.full((len(ids), len(AFFINITIES), *ids.shape[1:]), -SURE)
        for k, offset in enumerate(AFFINITIES):
            here, there = pair_slices(ids.shape[1:], offset)
            first, second = ids[:, *here], ids[:, *there]
            found[:, k, *here] = torch.where((first == second) & (first > 0), SURE, -SURE)
        return found


def discs(shape: tuple[int, int], pitch: int) -> np.ndarray:
    """Discs side by side, which touch, and run over the border."""
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    number = rows // pitch * 100 + cols // pitch + 1
    far = (rows % pitch - pitch / 2) ** 2 + (cols % pitch - pitch / 2) ** 2 > (0.55 * pitch) ** 2
    return np.where(far, 0, number).astype(np.int64)


def frame_objects(
    ids: np.ndarray, classes: np.ndarray, stride: int
) -> tuple[FrameObjects, list[Any]]:
    step, side = 3, 16
    spec = WindowSpec(patch=step * side, patch_stride=stride)
    mask_spec = MaskSpec(size=(side, side), class_names=("a", "b")[: int(classes.max())])
    asked: list[Window] = []
    padded = np.pad(ids, ((0, spec.patch), (0, spec.patch)))

    def encode(windows: list[Window]) -> torch.Tensor:
        asked.extend(windows)
        parts = [padded[slice(*w.rows), slice(*w.cols)][1::step, 1::step] for w in windows]
        return torch.from_numpy(np.stack(parts))

    heads: Any = PerfectHeads(classes)
    shape = (2, *ids.shape, 1)
    found = FrameObjects(heads, encode, shape, spec, mask_spec)  # type: ignore[arg-type]
    return found, asked


@pytest.mark.parametrize("stride", [24, 36, 48])
def test_objects_that_windows_cut_are_whole(stride: int) -> None:
    ids = discs((120, 96), 24)
    classes = np.arange(ids.max() + 1) % 2 + 1
    classes[0] = 0
    found, asked = frame_objects(ids, classes, stride)
    numbers: dict[int, set[int]] = {}
    windows = plan_windows((1, *ids.shape), WindowSpec(patch=48, patch_stride=stride))
    for window in windows:
        of_classes, of_ids = found.guess(window)
        true = ids[slice(*window.rows), slice(*window.cols)][1::3, 1::3]
        agrees = (of_ids[0] > 0) == (true > 0)
        assert agrees.mean() > 0.95
        inside = (of_ids[0] > 0) & (true > 0)
        assert (of_classes[0][inside] == classes[true[inside]]).mean() > 0.95
        for number in np.unique(true[true > 0]):
            own = of_ids[0][(true == number) & inside]
            if own.size > 9:
                numbers.setdefault(int(number), set()).add(int(np.bincount(own).argmax()))
    assert all(len(found_as) == 1 for found_as in numbers.values())  # the same in all windows
    assert len(set.union(*numbers.values())) == len(numbers)
    assert len(asked) == len(
        plan_windows((1, *ids.shape), WindowSpec(patch=48, patch_stride=stride))
    )


def test_each_frame_is_looked_at_once_and_apart() -> None:
    ids = discs((60, 60), 20)
    found, asked = frame_objects(ids, np.minimum(np.arange(ids.max() + 1), 1), 36)
    first = Window((0, 1), (0, 48), (0, 48))
    found.guess(first)
    n = len(asked)
    found.guess(first)
    assert len(asked) == n
    found.guess(Window((1, 2), (0, 48), (0, 48)))
    assert [w.frames for w in asked[n:]] == n * [(1, 2)]
    assert found.foreground(first).shape == (48, 48)
    assert len(asked) == 2 * n  # both are kept until they are released
    found.release([0])
    found.guess(first)
    assert len(asked) == 3 * n


def test_a_frame_smaller_than_the_patch() -> None:
    ids = discs((20, 30), 10)
    found, _ = frame_objects(ids, np.minimum(np.arange(ids.max() + 1), 1), 36)
    _, of_ids = found.guess(Window((0, 1), (0, 48), (0, 48)))
    assert of_ids.shape == (1, 16, 16)
    assert not of_ids[0, 7:].any()
    assert of_ids[0, :6, :10].any()


def test_strips_cover_large_frames_with_margins() -> None:
    starts = [*range(0, 400, 36), 404]
    assert plan_strips(starts, 48, (452, 100), most=452 * 100) == [Strip(0, 404, 452, (0, 452))]
    strips = plan_strips(starts, 48, (452, 100), most=250 * 100)
    assert len(strips) > 2
    assert all(seen[1] - seen[0] <= 250 for *_, seen in strips)
    for start in starts:
        (own,) = [strip for strip in strips if strip.first <= start <= strip.last]
        assert start + 48 <= own.stop
        assert own.seen == (max(0, own.first - 48), min(452, own.stop + 48))
    assert [strip.first for strip in plan_strips(starts, 48, (452, 100), most=1)] == starts


@pytest.mark.parametrize("most", [1, 180 * 96])
def test_strips_see_what_the_whole_frame_sees(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    ids = discs((330, 96), 24)
    classes = np.minimum(np.arange(ids.max() + 1), 1)
    whole, _ = frame_objects(ids, classes, 36)
    monkeypatch.setattr(
        "rleseg_core.inference.dense_objects.plan_strips", partial(plan_strips, most=most)
    )
    strips, asked = frame_objects(ids, classes, 36)
    windows = plan_windows((1, *ids.shape), WindowSpec(patch=48, patch_stride=36))
    for index, window in enumerate(windows):
        for ahead in windows[index : index + 5]:  # the decoder is ahead
            strips.look(ahead)
        for found, expected in zip(strips.guess(window), whole.guess(window), strict=True):
            assert np.array_equal(found > 0, expected > 0)
        own, other = strips.guess(window)[1], whole.guess(window)[1]
        pairs = np.unique(np.stack((own, other)).reshape(2, -1), axis=1)
        assert pairs.shape[1] == np.unique(own).size == np.unique(other).size
        np.testing.assert_allclose(strips.foreground(window), whole.foreground(window), atol=1e-4)
        strips.release_above(0, window.rows[0])
        assert len(strips._found) <= 3
    assert len(asked) == len(windows)  # each is encoded once
    strips.guess(windows[0])  # out of order
    assert len(asked) < 2 * len(windows)


def test_blank_windows_are_not_looked_at() -> None:
    ids = discs((120, 48), 24)
    ids[48:] = 0
    found, asked = frame_objects(ids, np.minimum(np.arange(ids.max() + 1), 1), 36)
    found._is_blank = lambda window: window.rows[0] >= 48
    assert found.guess(Window((0, 1), (0, 48), (0, 48)))[1].any()
    assert not found.guess(Window((0, 1), (72, 120), (0, 48)))[1].any()
    assert {window.rows[0] for window in asked} == {0, 36}


def test_frames_too_large_for_the_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rleseg_core.memory.available_memory", lambda: 10**6)
    with pytest.raises(BudgetError, match="finding objects in 120 x 96 pixels at once"):
        frame_objects(discs((120, 96), 24), np.ones(500, np.uint8), 36)
