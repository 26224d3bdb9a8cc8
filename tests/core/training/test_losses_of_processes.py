"""The losses of dense heads do not depend on how many processes share a batch."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from rleseg_core.spec import IGNORED
from rleseg_core.training import objective
from rleseg_core.training.objective import affinity_loss, dense_loss

OFFSETS = ((0, -1), (-1, 0), (0, -3))


def shared(
    loss: Callable[..., Tensor], values: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> Tensor:
    """The mean loss of two processes, each with half of the values (B, ...)."""
    halves = list(zip(*(part.chunk(2) for part in values), strict=True))
    sent: list[Tensor] = []

    def send(value: Tensor) -> Tensor:
        sent.append(value)
        return value

    monkeypatch.setattr(objective, "n_processes", lambda: 2)
    monkeypatch.setattr(objective, "mean_over_processes", send)
    for half in halves:
        loss(*half)
    monkeypatch.setattr(objective, "mean_over_processes", lambda value: sum(sent) / 2)
    return torch.stack([loss(*half) for half in halves]).mean()


def test_two_processes_find_the_losses_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    instances = torch.zeros(4, 1, 8, 8, dtype=torch.int64)
    instances[0, 0, 1:5, 1:5], instances[0, 0, 1:5, 5:8] = 1, 2  # one window has most objects
    instances[3, 0, 6:, 6:] = 1
    classes = (instances > 0).to(torch.uint8)
    classes[2:, :, :5] = IGNORED
    dense = torch.randn(4, 1, 2, 8, 8, generator=generator)
    affinities = torch.randn(4, len(OFFSETS), 8, 8, generator=generator)

    def of_affinities(logits: Tensor, ids: Tensor, labels: Tensor) -> Tensor:
        return affinity_loss(logits, ids, labels, OFFSETS)

    for loss, values in (
        (dense_loss, [dense, classes]),
        (of_affinities, [affinities, instances, classes]),
    ):
        ours = [part.clone().requires_grad_(part.is_floating_point()) for part in values]
        alone = loss(*ours)
        alone.backward()
        others = [part.clone().requires_grad_(part.is_floating_point()) for part in values]
        with monkeypatch.context() as patch:
            both = shared(loss, others, patch)
            both.backward()
        torch.testing.assert_close(both, alone)
        torch.testing.assert_close(others[0].grad, ours[0].grad)
