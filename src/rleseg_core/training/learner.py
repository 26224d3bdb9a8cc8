"""One optimizer step after another: what a run does with a batch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from rleseg_core.devices import multiplies_bf16
from rleseg_core.errors import CheckpointError, TrainingError
from rleseg_core.model import Memory, Pix2Seq
from rleseg_core.parallel.collectives import mean_over_processes, n_processes
from rleseg_core.tokens import Tokenizer
from rleseg_core.training.averaging import WeightAverage
from rleseg_core.training.batch import TrainingBatch
from rleseg_core.training.config import TrainConfig
from rleseg_core.training.memory import FittingStep
from rleseg_core.training.objective import Objective, Outputs
from rleseg_core.training.optim import (
    begin_step,
    make_optimizer,
    optimizer_tensors,
    restore_optimizer,
)
from rleseg_core.training.random_state import random_state, restore_random_state

if TYPE_CHECKING:
    from accelerate import Accelerator


class DivergedError(TrainingError):
    """The loss or the gradient is no longer a number."""


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What one optimizer step did, over all processes.

    Parameters
    ----------
    loss : float
        Mean loss of the batch.
    n_tokens : float
        Mean number of target tokens of a process.
    learning_rate : float
        Learning rate of the step.
    message : str
        A message for the user, or empty.
    """

    loss: float
    n_tokens: float
    learning_rate: float
    message: str


class Learner:
    """A model, its optimizer, and the average of its weights, moved by one step at a time.

    Parameters
    ----------
    model : Pix2Seq
        The model that learns.
    tokenizer : Tokenizer
        The tokenizer of that model.
    config : TrainConfig
        How it learns.
    accelerator : Accelerator
        Device, precision and processes; see `rleseg_core.parallel.launch.join`.
    step : int
        Number of optimizer steps that the model has made already.
    """

    def __init__(
        self,
        model: Pix2Seq,
        tokenizer: Tokenizer,
        config: TrainConfig,
        accelerator: "Accelerator",
        *,
        step: int = 0,
    ) -> None:
        self.model, self.config, self.accelerator = model, config, accelerator
        self.step = step
        self.is_whole = True
        """Whether the weights are those of `step`, and not of half a step or of a diverged one."""
        self._network, self._optimizer = accelerator.prepare(
            _Network(model, bf16_convolutions=self._has_bf16_convolutions()),
            make_optimizer(model, config),
        )
        if accelerator.device.type in ("cpu", "cuda"):
            for group in self._optimizer.param_groups:
                group["fused"] = True  # one kernel for all tensors
        self._average = WeightAverage(model, config.ema) if config.ema else None
        self._objective = Objective(tokenizer, model.config, config, accelerator.device)
        self._fitting = FittingStep(
            self._network, accelerator.backward, retries=accelerator.num_processes == 1
        )
        self._network.train()
        self._random, self._buffers = random_state(), self._running_averages()

    @property
    def kept_model(self) -> Pix2Seq:
        """The model that is validated and kept: that of averaged weights where there is one."""
        return self.model if self._average is None else cast(Pix2Seq, self._average.model)

    def learn(self, batch: TrainingBatch) -> Learned:
        """Make one optimizer step.

        Raises
        ------
        DivergedError
            If the loss or the gradient is no longer a number; the weights are left as they are.
        BudgetError
            If not even one window fits into memory.
        """
        accelerator = self.accelerator
        rate = begin_step(self._optimizer, self.step, self.config)
        n_parts = self._fitting.n_parts
        images, tokens, *ignored = batch.network_inputs
        written = self._written(len(images))
        inputs = (images, tokens, written, *ignored)
        loss = self._fitting(inputs, partial(self._objective, batch=batch))
        if not written.any():  # several processes have gradients of 0, by which weights decay
            self.model.projection.zero_grad()
            self.model.decoder.zero_grad()
        # of all processes, so that they agree on whether to continue
        counted = torch.stack((loss, batch.n_tokens.sum().to(loss)))
        value, n_tokens = mean_over_processes(counted).tolist()
        self._check_finite("loss", value)
        limit = self.config.clip_norm or math.inf
        norm = float(accelerator.clip_grad_norm_(self._network.parameters(), limit))
        if accelerator.mixed_precision != "fp16":  # its scaler leaves such steps out by itself
            self._check_finite("gradient", norm)
        self.is_whole = False
        self._optimizer.step()
        self._optimizer.zero_grad()
        if self._average is not None:
            self._average.update(self.model)
        self.step, self._random, self.is_whole = self.step + 1, random_state(), True
        self._buffers = self._running_averages()
        message = self._fitting.message_since(n_parts)
        return Learned(loss=value, n_tokens=n_tokens, learning_rate=rate, message=message)

    def undo_forward(self) -> None:
        """Undo what an interrupted step has done to the running averages of batch normalisation."""
        self.model.load_state_dict(self._buffers, strict=False)

    def tensors(self) -> dict[str, Tensor]:
        """The state to resume from beside the weights, for a checkpoint."""
        state = optimizer_tensors(self._optimizer) | self._random
        return state if self._average is None else state | self._average.tensors()

    def scale(self) -> dict[str, float] | None:
        """The state of the loss scaler; None where the precision needs none."""
        scaler = self.accelerator.scaler
        return None if scaler is None else scaler.state_dict()

    def restore(self, tensors: dict[str, Tensor], scale: Mapping[str, float]) -> None:
        """Put back what `tensors` and `scale` gave; a run of another precision has no scale.

        Raises
        ------
        CheckpointError
            If they are not those of such a run.
        """
        try:
            restore_optimizer(self._optimizer.optimizer, tensors)
            restore_random_state(tensors)
            if self._average is not None:
                self._average.restore(tensors)
            if self.accelerator.scaler is not None and scale:
                self.accelerator.scaler.load_state_dict(dict(scale))
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            first = str(error).strip().partition("\n")[0]
            raise CheckpointError(
                f"the checkpoint does not hold the state of such a run ({first}); restore the "
                "file, or fine-tune its model in another folder"
            ) from error
        self._random = random_state()

    def _written(self, n_windows: int) -> Tensor:
        """Which windows (B,) bool of a batch teach their tokens: the first ones, on the host."""
        written = torch.zeros(n_windows, dtype=torch.bool)
        if self.step >= self.config.first_token_step:
            written[: max(1, round(self.config.token_share * n_windows))] = True
        return written

    def _has_bf16_convolutions(self) -> bool:
        config, device = self.config, self.accelerator.device
        return config.bf16_convolutions and config.precision == "auto" and multiplies_bf16(device)

    def _check_finite(self, what: str, value: float) -> None:
        if not math.isfinite(value):
            self.is_whole = False
            raise DivergedError(f"the {what} became {value}")

    def _running_averages(self) -> dict[str, Tensor]:
        """What the model keeps beside its weights."""
        learned = dict(self.model.named_parameters())
        values = self.model.state_dict().items()
        return {name: value.clone() for name, value in values if name not in learned}


class _Network(nn.Module):
    """Encoder and decoder behind one `forward`, as accelerate and DDP need it."""

    def __init__(self, model: Pix2Seq, *, bf16_convolutions: bool) -> None:
        super().__init__()
        self.model, self.bf16_convolutions = model, bf16_convolutions

    def forward(
        self, images: Tensor, inputs: Tensor, written: Tensor, ignored: Tensor | None = None
    ) -> Outputs:
        """What a model says of windows, and after the tokens of those `written`, the first ones."""
        memory: Memory = self.model.encode(images, bf16_convolutions=self.bf16_convolutions)
        grid = self.model.config.tokens.grid
        if ignored is not None and grid is not None and grid.size == ignored.shape[1]:
            memory = replace(memory, ignored=ignored)
        dense = self.model.dense_logits(memory) if self.model.dense is not None else None
        has_affinities = self.model.affinity is not None
        affinities = self.model.affinity_logits(memory) if has_affinities else None
        n_written = int(written.sum())
        if not n_written:
            if n_processes() > 1 and dense is not None:  # all expect a gradient of each weight
                dense = dense + 0 * sum(weight.sum() for weight in self.model.parameters())
            return Outputs(None, dense, affinities, memory.pixels)
        pixels = memory.pixels
        if n_written < len(inputs):
            memory, inputs = memory.select(slice(n_written)), inputs[:n_written]
        return Outputs(self.model(memory, inputs), dense, affinities, pixels)
