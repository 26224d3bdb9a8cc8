from dataclasses import replace

import numpy as np
import pytest

from rleseg_core import product_of
from rleseg_core.analysis.lengths import count_tokens, schemes_for
from rleseg_core.analysis.recommendation import Limits, recommend, variants
from rleseg_core.data import LabelStack, MaskStack
from rleseg_core.errors import DataError
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import PRESETS, Scheme, preset


def counted(classes, *, sizes, frames=(1,), names=tuple(PRESETS), instances=None, n_classes=1):
    """Statistics of masks (T, P, P), a patch a frame."""
    class_names = tuple(f"class{k}" for k in range(1, n_classes + 1))
    ids = None if instances is None else LabelStack.from_array(instances)
    masks = MaskStack(
        class_names=class_names, classes=LabelStack.from_array(classes), instances=ids
    )
    columns = []
    for n in frames:
        spec = MaskSpec(size=(1, 1), class_names=class_names, n_frames=n)
        usable, _ = schemes_for(names, spec, instances=ids is not None)
        patch = classes.shape[1]
        window = WindowSpec(patch=patch, patch_stride=patch, n_frames=n, frame_stride=n)
        columns += product_of(count_tokens([masks], window, variants(usable), sizes))
    return columns


def discs(n_frames=4, side=64, radius=12, n_classes=1):
    """Still discs of equal size, of the classes in turn, (T, side, side)."""
    rows, cols = np.mgrid[:side, :side]
    classes = np.zeros((n_frames, side, side), np.uint8)
    for k, (row, col) in enumerate([(16, 16), (16, 48), (48, 16), (48, 48)]):
        classes[:, (rows - row) ** 2 + (cols - col) ** 2 < radius**2] = 1 + k % n_classes
    return classes


def stripes(vertical: bool) -> np.ndarray:
    classes = np.zeros((2, 32, 32), np.uint8)
    classes[:, :, 4:28:8] = 1
    return classes if vertical else classes.swapaxes(1, 2).copy()


def of(advice, name, side=None, n_frames=None):
    """The candidate of a name."""
    (found,) = [
        c
        for c in advice.candidates
        if c.statistics.name == name
        and side in (None, c.statistics.mask_size)
        and n_frames in (None, c.statistics.window.n_frames)
    ]
    return found


def test_two_classes_take_lac():
    advice = recommend(counted(discs(n_classes=2), sizes=[64], n_classes=2))
    assert advice.best.name in ("lac", "lac F")
    assert "50% more tokens" in of(advice, "multiclass").verdict
    assert of(advice, "bac-lac").hard
    assert "hard to learn" in of(advice, "bac-lac").verdict


def test_schemes_that_are_hard_to_learn_are_taken_only_where_no_other_fits():
    columns = counted(discs(n_classes=2), sizes=[64], n_classes=2, names=("lac", "bac-lac"))
    limits = Limits(max_vocab=300)
    advice = recommend(columns, limits)
    assert advice.best.name.startswith("lac")
    assert advice.best.scheme.start == "coords"
    tokens = advice.best.longest
    advice = recommend(columns, replace(limits, max_tokens=tokens - 1))
    assert advice.best.name.startswith("bac-lac")
    assert any(reason.startswith("Beware") for reason in advice.reasons)


@pytest.mark.parametrize(("vertical", "name"), [(True, "binary F"), (False, "binary")])
def test_runs_go_along_the_objects(vertical, name):
    advice = recommend(counted(stripes(vertical), sizes=[32], names=("binary",)))
    assert advice.best.name == name
    assert ("columns" if vertical else "rows") in advice.reasons[0]


def test_2d_starts_where_the_vocabulary_has_no_room_for_1d_starts():
    columns = counted(discs(), sizes=[64], names=("binary",))
    advice = recommend(columns, Limits(max_vocab=1000))
    assert advice.best.scheme.start == "coords"
    assert of(advice, "binary").verdict == "V is over 1,000 (start takes 4,096)"
    assert recommend(columns).best.scheme.start == "flat"


def test_the_coarsest_mask_that_loses_little_is_taken():
    columns = counted(discs(), sizes=[64, 32, 16, 8], names=("binary",))
    dice = {column.mask_size: column.dice for column in columns}
    assert dice[64] == 1 > dice[32] > dice[16] > dice[8]
    step = 1 - (dice[32] + dice[16]) / 2
    advice = recommend(columns, Limits(dice_step=step))
    assert advice.best.mask_size == 32
    assert of(advice, "binary", 64).verdict.startswith("only 0.")
    assert of(advice, "binary", 16).verdict.startswith("coarser")
    assert recommend(columns, Limits(dice_step=0)).best.mask_size == 64
    longest = of(advice, "binary", 16).statistics.longest
    advice = recommend(columns, Limits(max_tokens=longest))
    assert advice.best.mask_size == 16
    assert "Masks of 32 x 32 or finer do not keep to the limits." in advice.reasons


def test_the_most_frames_that_leave_good_masks_are_taken():
    columns = counted(discs(), sizes=[64, 8], frames=(1, 2, 4))
    advice = recommend(columns)
    assert advice.best.window.n_frames == 4
    assert advice.best.mask_size == 64
    one = min(c.mean for c in columns if c.window.n_frames == 1 and c.mask_size == 64)
    assert advice.best.mean < 2 * one  # still objects cost little more than once


def test_fewer_frames_where_longer_windows_do_not_fit():
    moving = np.stack([np.roll(frame, 5 * t, axis=1) for t, frame in enumerate(discs())])
    columns = counted(moving, sizes=[64, 8], frames=(1, 2, 4), names=("ltac", "3d-c"))
    two, four = (
        min(c.longest for c in columns if (c.window.n_frames, c.mask_size) == (n, 64))
        for n in (2, 4)
    )
    assert two < four
    advice = recommend(columns, Limits(max_tokens=two))
    assert (advice.best.window.n_frames, advice.best.mask_size) == (2, 64)
    assert "Longer windows than 2 fit only with masks of Dice below 0.9." in advice.reasons
    assert "Dice below" in of(advice, "3d-c", 8, 4).verdict
    assert recommend(columns, Limits(max_tokens=two, min_dice=0)).best.window.n_frames == 4


def test_all_that_is_known_of_objects_is_offered():
    classes = discs()
    instances = np.kron(np.arange(1, 5).reshape(2, 2), np.ones((32, 32), int)) * classes
    advice = recommend(counted(classes, sizes=[64], instances=instances.astype(np.int32)))
    assert advice.best.scheme.blocks is None
    assert any("tell objects apart" in reason for reason in advice.reasons)


def test_nothing_fits():
    advice = recommend(counted(discs(), sizes=[64, 32]), Limits(max_tokens=5))
    assert advice.best is None
    assert "Nothing keeps to" in advice.reasons[0]
    assert not any(candidate.fits for candidate in advice.candidates)
    assert all("over 5 tokens" in candidate.verdict for candidate in advice.candidates)


def test_a_choice_needs_something_to_judge_by():
    with pytest.raises(DataError, match="no candidates"):
        recommend([])
    with pytest.raises(DataError, match="empty"):
        recommend(counted(np.zeros((2, 8, 8), np.uint8), sizes=[8]))
    with pytest.raises(DataError, match="tolerated must be a number from 0 to 1, got 2"):
        Limits(tolerated=2)


def test_variants_are_each_scheme_once():
    found = variants({"lac": preset("lac"), "bac": preset("bac"), "3d-f": preset("3d-f")})
    assert found["lac F 2D"] == preset("lac", order="F", start="coords")
    assert found["bac F"] == preset("bac", order="F")
    assert "bac 2D" not in found
    assert len(set(found.values())) == len(found)
    found = variants({"binary": Scheme(), "columns": Scheme(order="F")})
    assert list(found) == ["binary", "columns", "binary 2D", "binary F 2D"]
    assert list(variants({"lac": preset("lac")}, orders=False)) == ["lac", "lac 2D"]
