from types import SimpleNamespace

import numpy as np
import pytest
import torch

from rleseg_core.data import ImageStack, Window, WindowReader, subsample_labels, upsample_labels
from rleseg_core.inference.class_outlines import ClassOutlines
from rleseg_core.spec import WindowSpec

SIDE, STEP = 16, 4
WINDOW = Window((0, 1), (0, SIDE * STEP), (0, SIDE * STEP))


class Head:
    """A dense class head that has seen these logits (1, C + 1, S, S)."""

    def __init__(self, logits: np.ndarray) -> None:
        self._logits = torch.from_numpy(logits)[None].float()

    def dense_logits(self, memory: object) -> torch.Tensor:
        return self._logits


def reader(side: int = SIDE * STEP, image_size: int | None = None) -> WindowReader:
    stack = ImageStack.from_array(np.zeros((1, side, side), np.uint8))
    patch = SIDE * STEP
    return WindowReader(stack, WindowSpec(patch=patch, patch_stride=patch, image_size=image_size))


def outlines(logits: np.ndarray) -> ClassOutlines:
    found = ClassOutlines(Head(logits), lambda _: SimpleNamespace())  # type: ignore[arg-type]
    found.encode([WINDOW])
    return found


def distances(centre: float, radius: float, side: int, step: float) -> np.ndarray:
    """How deep pixels lie inside of a disc, in finest pixels."""
    at = (np.arange(side) + 0.5) * step - 0.5 - centre
    return radius - np.hypot(at[:, None], at[None, :])


def disc(source_step: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A disc: true classes of the source, its mask on the coarser grid there, and logits."""
    fine = distances(31.5, 17.3, SIDE * STEP, 1)
    truth = (fine > 0).astype(np.uint8)[None]
    depth = distances(31.5, 17.3, SIDE, STEP)
    mask = upsample_labels(subsample_labels(truth, (SIDE, SIDE)), truth.shape[1:], rule="nearest")
    logits = np.stack((np.zeros_like(depth), depth))[None] / STEP
    grow = np.ones((source_step, source_step), np.uint8)
    return np.kron(truth, grow), np.kron(mask, grow), logits


@pytest.mark.parametrize("source_step", [1, 2])
def test_outlines_between_mask_pixels_are_those_of_the_head(source_step: int) -> None:
    truth, mask, logits = disc(source_step)
    size = None if source_step == 1 else SIDE * STEP
    found = outlines(logits).refine(mask, WINDOW, reader(truth.shape[1], size))
    assert (found != truth).sum() < 0.4 * (mask != truth).sum()


def test_what_is_far_from_outlines_stays() -> None:
    _, mask, logits = disc()
    logits[:, 1, 0, 0] = 9.0  # something that the tokens do not write
    found = outlines(logits).refine(mask, WINDOW, reader())
    assert not found[:, :STEP, :STEP].any()


def test_a_head_that_has_learned_nothing_of_the_classes_changes_nothing() -> None:
    _, mask, logits = disc()
    for wrong in (
        np.zeros_like(logits),
        -logits,
        np.random.default_rng(0).normal(size=logits.shape),
    ):
        np.testing.assert_array_equal(outlines(wrong).refine(mask, WINDOW, reader()), mask)


def test_classes_that_meet_are_parted_where_the_head_parts_them() -> None:
    mask = np.ones((1, SIDE * STEP, SIDE * STEP), np.uint8)
    mask[:, :, 32:] = 2
    at = np.arange(SIDE) * STEP + (STEP - 1) / 2
    other = np.broadcast_to((at - 33.5) / STEP, (SIDE, SIDE))  # it begins two pixels later
    logits = np.stack((np.full_like(other, -9), -other, other))[None]
    found = outlines(logits).refine(mask, WINDOW, reader())
    assert ((found == 2) == (np.arange(SIDE * STEP) >= 34)).all()
    assert (found > 0).all()


def test_windows_that_were_not_encoded_stay_and_each_is_refined_once() -> None:
    _, mask, logits = disc()
    found = outlines(logits)
    other = Window((1, 2), WINDOW.rows, WINDOW.cols)
    np.testing.assert_array_equal(found.refine(mask, other, reader()), mask)
    assert (found.refine(mask, WINDOW, reader()) != mask).any()
    np.testing.assert_array_equal(found.refine(mask, WINDOW, reader()), mask)
