"""Steps that do not fit into memory at once are learned in parts, with the same gradient.

Only batch normalisation differs: it then sees the windows of a part, not of the batch.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from rleseg_core.devices import is_out_of_memory as is_out_of_memory
from rleseg_core.errors import BudgetError
from rleseg_core.training.random_state import random_state, restore_random_state

Outputs = TypeVar("Outputs")


class FittingStep:
    """Forward and backward pass of a batch, in as many parts as memory requires.

    A step that runs out of memory is repeated in twice as many parts, and so are those after it.

    Parameters
    ----------
    network : nn.Module
        Its outputs, nested tensors or None, have the windows along their first axis; one may leave
        some windows out, so that it is shorter, or None in a part of a batch.
    backward : callable
        Takes the loss; `Accelerator.backward`.
    retries : bool
        Whether to repeat a step in parts; off with several processes, which must all do the same.
    """

    def __init__(
        self, network: nn.Module, backward: Callable[[Tensor], None], *, retries: bool = True
    ) -> None:
        self._network, self._backward, self._retries = network, backward, retries
        self.n_parts = 1

    def __call__(self, inputs: Sequence[Tensor], loss_of: Callable[[Outputs], Tensor]) -> Tensor:
        """Add the gradient of a batch.

        Parameters
        ----------
        inputs : sequence of (B, ...) tensor
            Inputs of the network.
        loss_of : callable
            Loss of the outputs of the whole batch.

        Returns
        -------
        () tensor
            The loss, detached.

        Raises
        ------
        BudgetError
            If even one window does not fit.
        """
        device, n_windows = inputs[0].device, len(inputs[0])
        state, buffers = random_state(), self._buffers()
        while True:
            n_parts = min(self.n_parts, n_windows)
            try:
                if n_parts == 1:
                    return self._at_once(inputs, loss_of)
                return self._in_parts(inputs, loss_of, n_parts)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                if not self._retries or n_parts == n_windows:
                    raise BudgetError(too_little_memory(n_windows // n_parts)) from error
            # what failed is let go of with the error, after the except block
            self._network.zero_grad()
            if device.type == "cuda":
                torch.cuda.empty_cache()
            restore_random_state(state)
            _put_back(buffers)
            self.n_parts = 2 * n_parts

    def message_since(self, n_parts: int) -> str:
        """A message if there have come to be more than `n_parts` parts, else an empty one."""
        if self.n_parts == n_parts:
            return ""
        return f"a batch does not fit into memory at once; it is learned in {self.n_parts} parts"

    def _at_once(self, inputs: Sequence[Tensor], loss_of: Callable[[Outputs], Tensor]) -> Tensor:
        loss = loss_of(self._network(*inputs))
        self._backward(loss)
        return loss.detach()

    def _in_parts(
        self, inputs: Sequence[Tensor], loss_of: Callable[[Outputs], Tensor], n_parts: int
    ) -> Tensor:
        """As at once: the loss sees all outputs, whatever it divides by.

        Each part goes forward twice, first for the outputs alone, then with the gradient of the
        loss by them at hand (as Gao et al., 2021, do for contrastive losses).
        """
        parts = list(zip(*(tensor.tensor_split(n_parts) for tensor in inputs), strict=True))
        states, flat = [], []
        buffers = self._buffers()
        with torch.no_grad():
            for part in parts:
                states.append(random_state())
                outputs, shape = tree_flatten(self._network(*part))
                flat.append(outputs)
            _put_back(buffers)  # running averages take in each part once
        after = random_state()
        there = [
            [tensor for tensor in tensors if tensor is not None]
            for tensors in zip(*flat, strict=True)
        ]
        leaves = [torch.cat(tensors).requires_grad_() if tensors else None for tensors in there]
        loss = loss_of(tree_unflatten(leaves, shape))
        self._backward(loss)
        gradients = {
            index: iter(leaf.grad.split([len(tensor) for tensor in there[index]]))
            for index, leaf in enumerate(leaves)
            if leaf is not None and leaf.grad is not None
        }
        for part, state in zip(parts, states, strict=True):
            restore_random_state(state)  # the same dropout as before
            outputs, _ = tree_flatten(self._network(*part))
            own = [
                index
                for index in gradients
                if outputs[index] is not None and outputs[index].requires_grad
            ]
            if own:
                torch.autograd.backward(
                    [outputs[index] for index in own], [next(gradients[index]) for index in own]
                )
        restore_random_state(after)
        return loss.detach()

    def _buffers(self) -> list[tuple[Tensor, Tensor]]:
        """What the network keeps beside its weights, and the values that it has now."""
        return [(buffer, buffer.clone()) for buffer in self._network.buffers()]


def _put_back(buffers: list[tuple[Tensor, Tensor]]) -> None:
    with torch.no_grad():
        for buffer, value in buffers:
            buffer.copy_(value)


def too_little_memory(n_windows: int) -> str:
    """A message for windows that do not fit into memory, and what to do about it."""
    what = "a single window does" if n_windows <= 1 else f"{n_windows} windows at once do"
    return (
        f"{what} not fit into memory; choose a smaller model, patch or number of frames, a smaller "
        "batch size, or another device; the last checkpoint is kept"
    )
