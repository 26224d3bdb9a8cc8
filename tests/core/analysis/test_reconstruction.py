import math

import numpy as np
import pytest

from rleseg_core.analysis.reconstruction import (
    MEAN,
    CompressionSteps,
    Fidelity,
    WindowMeasured,
    measure_fidelity,
)
from rleseg_core.data import LabelStack, subsample_labels, upsample_labels
from rleseg_core.data.masks import MaskStack
from rleseg_core.errors import DataError, SchemeError
from rleseg_core.evaluation.boundary import boundary_counts, boundary_f
from rleseg_core.evaluation.scores import confusion_matrix, score
from rleseg_core.reports import product_of
from rleseg_core.spec import WindowSpec
from rleseg_core.tokens import for_classes, preset

NAMES = ("ipsc", "dfc")
RULES = ("corner", "centre", "max")


def cells(n_frames=2, side=64, seed=0):
    """Discs of two classes that move, and their ids."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:side, :side]
    classes, ids = np.zeros((2, n_frames, side, side), np.int32)
    for number in range(1, 13):
        row, col, radius = rng.uniform((0, 0, 2), (side, side, 9))
        for t in range(n_frames):
            disc = np.hypot(rows - row - t, cols - col) < radius
            classes[t, disc], ids[t, disc] = 1 + number % 2, number
    return classes.astype(np.uint8), ids


def stack(classes=None, ids=None, names=NAMES):
    return MaskStack(
        class_names=names,
        classes=None if classes is None else LabelStack.from_array(classes),
        instances=None if ids is None else LabelStack.from_array(ids),
    )


def measure(masks, scheme="lac", sizes=(16,), *, patch=32, n_frames=1, tolerance=None, **rules):
    window = WindowSpec(patch=patch, patch_stride=patch, n_frames=n_frames, frame_stride=n_frames)
    written = for_classes(preset(scheme), len(masks.class_names))
    steps = CompressionSteps(mask_sizes=sizes, **rules)
    return product_of(measure_fidelity([masks], window, written, steps, tolerance=tolerance))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("way", ["nearest", "smooth"])
def test_scores_are_those_of_the_masks_made_smaller_and_larger_again(rule, way):
    classes, _ = cells()
    rows = measure(stack(classes), subsampling=[rule], upsampling=[way], tolerance=1.5)
    confusion, boundary = np.zeros((3, 3), int), np.zeros((2, 4), int)
    for frame in classes:
        for row in (0, 32):
            for col in (0, 32):
                truth = frame[row : row + 32, col : col + 32]
                left = upsample_labels(subsample_labels(truth, (16, 16), rule), (32, 32), way)
                confusion += confusion_matrix(truth, left, 2)
                boundary += boundary_counts(truth, left, 2, 1.5)
    expected, edges = score(confusion, NAMES).classes, boundary_f(boundary)
    assert [row.class_name for row in rows] == [*NAMES, MEAN]
    for row, one, edge in zip(rows[:2], expected, edges, strict=True):
        assert (row.recall, row.precision, row.dice, row.iou, row.boundary_f) == (
            one.recall,
            one.precision,
            one.dice,
            one.iou,
            edge,
        )
        assert (row.mask_size, row.subsample, row.upsample) == (16, rule, way)
    assert rows[2].dice == pytest.approx((rows[0].dice + rows[1].dice) / 2)
    assert rows[2].boundary_f == pytest.approx(edges.mean())
    assert {row.n_masks for row in rows} == {8}


STILL = ("lac", "multiclass", "bac", "bac-lac", "diff", "cw", "iw", "multihead")
MOVING = ("3d-c", "3d-f", "tac", "ltac", "cw-tac", "iw-tac")


@pytest.mark.parametrize(
    ("scheme", "n_frames"), [*((name, 1) for name in STILL), *((name, 2) for name in MOVING)]
)
def test_tokens_without_a_budget_lose_nothing(scheme, n_frames):
    classes, ids = cells()
    rows = measure(stack(classes, ids), scheme, (8, 32), n_frames=n_frames)
    assert {row.n_changed for row in rows} == {0}
    assert all(row.dice == row.recall == row.boundary_f == 1 for row in rows if row.mask_size == 32)
    assert all(row.dice < 1 for row in rows if row.mask_size == 8)


def test_long_runs_that_are_split_lose_nothing():
    full = np.ones((1, 32, 32), np.uint8)
    (row,) = measure(stack(full, names=("cell",)), upsampling=["nearest"])
    assert (row.n_changed, row.dice, row.mean_tokens) == (0, 1, 16 * 2 + 1)
    assert math.isnan(row.boundary_f)


def test_budget_cuts_masks_and_the_shortest_runs_cost_least():
    classes, _ = cells()
    rows = measure(
        stack(classes),
        sizes=(32,),
        subsampling=["centre"],
        upsampling=["nearest"],
        budgets=[21, 999],
    )
    mean = {(row.budget, row.drop): row for row in rows if row.class_name == MEAN}
    assert list(mean) == [
        (None, None),
        (21, "tail"),
        (21, "shortest"),
        (999, "tail"),
        (999, "shortest"),
    ]
    whole, tail, shortest = list(mean.values())[:3]
    assert whole.n_changed == mean[999, "tail"].n_changed == 0
    assert 0 < tail.n_changed == shortest.n_changed <= whole.n_masks
    assert tail.recall < shortest.recall < whole.recall
    assert tail.precision == 1  # runs that are left are right
    assert tail.mean_tokens <= 21 < whole.mean_tokens == mean[999, "tail"].mean_tokens


def test_objects_that_vanish_are_counted():
    ids = np.zeros((1, 32, 32), np.int32)
    ids[0, 4:12, 4:12] = 7
    ids[0, 21, 21] = 300  # a pixel that only the maximum sees
    rows = measure(
        stack(ids=ids, names=("cell",)), sizes=(8,), subsampling=RULES, upsampling=["nearest"]
    )
    assert {row.subsample: (row.n_objects, row.n_lost) for row in rows} == {
        "corner": (2, 1),
        "centre": (2, 1),
        "max": (2, 0),
    }
    (without,) = measure(
        stack((ids > 0).astype(np.uint8), names=("cell",)), sizes=(8,), upsampling=["nearest"]
    )
    assert (without.n_objects, without.n_lost) == (None, None)


def test_class_that_never_occurs_has_no_score_and_is_not_in_the_mean():
    classes = np.zeros((1, 32, 32), np.uint8)
    classes[0, 8:24, 8:24] = 1
    rows = measure(stack(classes), upsampling=["nearest"])
    assert math.isnan(rows[1].dice)
    assert rows[1].to_json()["dice"] is None
    assert rows[2].dice == rows[0].dice


def test_masks_without_any_object_give_no_scores():
    rows = measure(stack(np.zeros((1, 32, 32), np.uint8)))
    assert all(math.isnan(row.dice) and row.n_changed == 0 for row in rows)
    assert rows[0].mean_tokens == 1


def test_every_window_is_reported_and_stacks_are_pooled():
    classes, _ = cells()
    window = WindowSpec(patch=32, patch_stride=32)
    two = [stack(classes[:1]), stack(classes[1:])]
    run = measure_fidelity(two, window, preset("lac"), CompressionSteps(mask_sizes=(16,)))
    assert list(run) == [WindowMeasured(n, 8) for n in range(1, 9)]
    pooled = product_of(
        measure_fidelity(two, window, preset("lac"), CompressionSteps(mask_sizes=(16,)))
    )
    assert pooled == measure(stack(classes))
    assert all(isinstance(row, Fidelity) for row in pooled)


def test_what_cannot_be_measured_is_said():
    masks = stack(cells()[0])
    with pytest.raises(DataError, match="does not divide"):
        measure(masks, sizes=(5,))
    with pytest.raises(DataError, match="nothing to measure"):
        measure(masks, sizes=())
    with pytest.raises(DataError, match="windows of 3 frames"):
        measure(masks, "tac", n_frames=3)
    with pytest.raises(SchemeError, match="time='class'"):
        measure(masks, "tac")
    with pytest.raises(DataError, match="budgets must be a list, each a whole number of 1"):
        measure(masks, budgets=[0])
    with pytest.raises(DataError, match="need the ids of objects"):
        measure(masks, "iw")
