import torch

from rleseg_core.affinities import pair_slices
from rleseg_core.spec import IGNORED
from rleseg_core.training.objective import affinity_loss

OFFSETS = ((0, -1), (-1, 0), (0, -3))
IDS = torch.tensor([[[1, 1, 2, 2], [1, 1, 2, 2], [0, 0, 0, 0], [3, 3, 0, 0]]])[None]
CLASSES = (IDS > 0).to(torch.uint8)


def logits(sure: float) -> torch.Tensor:
    found = torch.zeros(1, len(OFFSETS), 4, 4)
    for k, offset in enumerate(OFFSETS):
        here, there = pair_slices((4, 4), offset)
        first, second = IDS[0, 0][here], IDS[0, 0][there]
        found[0, k][here] = torch.where((first == second) & (first > 0), sure, -sure)
    return found


def test_right_answers_cost_little_and_wrong_ones_much() -> None:
    right = affinity_loss(logits(12.0), IDS, CLASSES, OFFSETS)
    unsure = affinity_loss(logits(0.0), IDS, CLASSES, OFFSETS)
    wrong = affinity_loss(logits(-12.0), IDS, CLASSES, OFFSETS)
    assert right < 0.3 < unsure < 1.5 < 12 < wrong  # the Dice of so few pairs is smoothed


def test_pairs_of_background_and_ignored_pixels_do_not_count() -> None:
    values = logits(3.0).requires_grad_()
    classes = CLASSES.clone()
    classes[..., 0, 0] = IGNORED
    affinity_loss(values, IDS, classes, OFFSETS).backward()
    assert values.grad is not None
    of_left = values.grad[0, 0]
    assert of_left[2].abs().sum() == 0  # nothing but background there
    assert of_left[0, 1] == 0  # its left neighbour is ignored
    assert of_left[0, 0] == 0  # there is none
    assert of_left[0, 2] != 0
    assert of_left[3, 2] != 0  # object beside background


def test_masks_smaller_than_an_offset_and_without_objects() -> None:
    ids = torch.zeros(2, 1, 2, 2, dtype=torch.int64)
    loss = affinity_loss(torch.zeros(2, 3, 2, 2), ids, ids.to(torch.uint8), OFFSETS)
    assert loss == 0
