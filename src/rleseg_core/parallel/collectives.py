"""Collective operations over the processes of a run; a single process keeps its own values."""

import torch
import torch.distributed as dist
from torch import Tensor


def n_processes() -> int:
    """Number of processes that have joined the run; 1 before they join."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, value: Tensor) -> Tensor:
        return _mean(value)

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> Tensor:
        return _mean(gradients[0])


def _mean(value: Tensor) -> Tensor:
    value = value.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(value)
    return value / dist.get_world_size()


def mean_over_processes(value: Tensor) -> Tensor:
    """Mean of a tensor over all processes; gradients flow through it.

    All processes must call it in the same order, so work that only one of them does must not.
    """
    return _Mean.apply(value) if n_processes() > 1 else value


def max_over_processes(value: Tensor) -> Tensor:
    """Elementwise maximum over all processes, without gradient; see `mean_over_processes`."""
    if n_processes() > 1:
        value = value.clone()
        dist.all_reduce(value, op=dist.ReduceOp.MAX)
    return value
