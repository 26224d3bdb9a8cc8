"""A moving average of a model's weights, which is better than the last of them."""

from itertools import chain, compress

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
        self._decay = decay
        self._averaged = AveragedModel(model)

    @property
    def model(self) -> nn.Module:
        """The model with the averaged weights."""
        return self._averaged.module

    def update(self, model: nn.Module) -> None:
        """Take in the weights after a step, and no longer than to start that on a device."""
        n = int(self._averaged.n_averaged)  # it is on the host
        share = 1 - min(self._decay, (1 + n) / (10 + n)) if n else 1.0
        averages, values = (
            [tensor.detach() for tensor in chain(one.parameters(), one.buffers())]
            for one in (self.model, model)
        )
        real = [average.is_floating_point() for average in averages]
        torch._foreach_lerp_(list(compress(averages, real)), list(compress(values, real)), share)
        for average, value, is_real in zip(averages, values, real, strict=True):
            if not is_real:
                average.copy_(value)
        self._averaged.n_averaged += 1

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
