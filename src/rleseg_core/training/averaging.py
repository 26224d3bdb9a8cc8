"""A moving average of a model's weights, which is better than the last of them."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

_PREFIX = "average."


class WeightAverage:
    """The moving average of the weights of a model that learns.

    Parameters
    ----------
    model : nn.Module
        The model whose weights it starts from.
    decay : float
        Share of the average that is left after a step, 0 to 1; less at first, so that the first
        weights are soon forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        def follow(averages: Iterable[Tensor], values: Iterable[Tensor], n: Tensor | int) -> None:
            share = 1 - min(decay, (1 + int(n)) / (10 + int(n)))
            for average, value in zip(averages, values, strict=True):
                if average.is_floating_point():
                    average.lerp_(value.to(average), share)
                else:
                    average.copy_(value)

        self._averaged = AveragedModel(model, multi_avg_fn=follow, use_buffers=True)

    @property
    def model(self) -> nn.Module:
        """The model with the averaged weights."""
        return self._averaged.module

    def update(self, model: nn.Module) -> None:
        """Take in the weights after a step."""
        with torch.no_grad():
            self._averaged.update_parameters(model)

    def tensors(self) -> dict[str, Tensor]:
        """The state to resume from, for a checkpoint."""
        named = {_PREFIX + name: value for name, value in self.model.state_dict().items()}
        return named | {_PREFIX: self._averaged.n_averaged}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Put back what `tensors` gave."""
        named = {
            name.removeprefix(_PREFIX): value
            for name, value in tensors.items()
            if name.startswith(_PREFIX) and name != _PREFIX
        }
        self.model.load_state_dict(named)
        self._averaged.n_averaged.copy_(tensors[_PREFIX])
