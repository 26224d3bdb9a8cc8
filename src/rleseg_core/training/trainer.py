"""The training loop: a generator of reports that leaves a model file."""

import logging
import math
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

import torch
from torch import Tensor, nn

from rleseg_core.checkpoints.build import build_model, build_tokenizer
from rleseg_core.checkpoints.file import Checkpoint, ModelInfo, load_checkpoint, save_checkpoint
from rleseg_core.data import CropBatch, PatchSampler, SampleBatch
from rleseg_core.devices import choose_device
from rleseg_core.errors import BudgetError, CheckpointError, TrainingError
from rleseg_core.files import remove_temporary_files
from rleseg_core.model import Memory, Pix2Seq
from rleseg_core.parallel.collectives import mean_over_processes
from rleseg_core.parallel.launch import (
    begin_random_step,
    check_same_step,
    from_first,
    join,
    share_of_batch,
)
from rleseg_core.training.averaging import WeightAverage
from rleseg_core.training.batch import TrainingBatch, tokenize
from rleseg_core.training.config import TrainConfig
from rleseg_core.training.memory import FittingStep, is_out_of_memory
from rleseg_core.training.objective import Objective, Outputs
from rleseg_core.training.optim import (
    begin_step,
    make_optimizer,
    optimizer_tensors,
    restore_optimizer,
)
from rleseg_core.training.random_state import random_state, restore_random_state
from rleseg_core.training.reports import BEST, LAST, StepReport
from rleseg_core.training.selection import check_selected_class
from rleseg_core.training.validation import validate

if TYPE_CHECKING:
    from accelerate import Accelerator

logger = logging.getLogger(__name__)


class Trainer:
    """Trains one model in one folder.

    Parameters
    ----------
    info : ModelInfo
        What is trained; `info.path` is where the finished model is written.
    config : TrainConfig
        How.
    sampler : PatchSampler
        Training batches, a function of the step alone, so that a resumed run sees the same ones.
    run_dir : Path
        Folder of ``last.safetensors`` (weights, optimizer, loss scale, random state: everything to
        go on) and ``best.safetensors`` (highest score so far of those that `config` selects by).
    validation : sequence of SampleBatch
        Held-out windows; none for no validation.
    weights : dict of str to Tensor, optional
        To start from, instead of fresh ones.
    device : str
        'auto', 'cpu', 'cuda' or 'mps'.
    """

    def __init__(
        self,
        info: ModelInfo,
        config: TrainConfig,
        sampler: PatchSampler,
        run_dir: Path,
        *,
        validation: Sequence[SampleBatch] = (),
        weights: dict[str, Tensor] | None = None,
        device: str = "auto",
    ) -> None:
        self.info, self.config, self.sampler, self.run_dir = info, config, sampler, Path(run_dir)
        self.validation = validation
        self.tokenizer = build_tokenizer(info)
        torch.manual_seed(config.seed)
        self.model = build_model(info, weights)
        for part in config.frozen:
            if (module := getattr(self.model, part, None)) is not None:
                module.requires_grad_(False)
        self.device = choose_device(device)
        self.step = 0
        check_selected_class(config.select_class, info.mask_spec.class_names)
        if config.shuffle_runs and self.model.config.starts == "first_hit":
            raise TrainingError(
                "first-hit starts come in ascending order and cannot learn shuffled runs; make the "
                'model with starts="pointer", or leave out shuffle_runs'
            )
        self.best_score = -math.inf
        self.n_worse = 0  # validations since the best
        self._state: dict[str, Tensor] = {}
        self._random: dict[str, Tensor] = {}  # at the end of the last whole step
        self._averages: dict[str, Tensor] = {}  # of batch normalisation, likewise
        self._saved_at: int | None = None
        self._average: WeightAverage | None = None
        self._scaler: torch.amp.GradScaler | None = None
        self._scale: dict[str, float] = {}  # where the scaler of fp16 goes on

    @classmethod
    def resume(
        cls,
        run_dir: Path,
        sampler: PatchSampler,
        *,
        validation: Sequence[SampleBatch] = (),
        device: str = "auto",
    ) -> Self:
        """The run of a folder at its last checkpoint; its losses go on as they would have.

        Raises
        ------
        CheckpointError
            If there is no checkpoint to go on from.
        """
        checkpoint = load_checkpoint(Path(run_dir) / LAST)
        info, config = resumed_settings(checkpoint.info)
        trainer = cls(
            info,
            config,
            sampler,
            run_dir,
            validation=validation,
            weights=checkpoint.weights,
            device=device,
        )
        trainer._restore(checkpoint)
        return trainer

    def run(self) -> Generator[StepReport, None, Path]:
        """Train, one report per step.

        Returns
        -------
        Path
            The finished model: the best one where there was validation, else the last.

        Raises
        ------
        TrainingError
            If the loss is no longer a number, or a file cannot be read or written. The last good
            checkpoint is kept.
        BudgetError
            If not even one window fits into memory; where a batch does not, it is learned in parts.

        Notes
        -----
        Closing the generator stops after the current step and writes ``last.safetensors``.
        """
        try:
            return (yield from self._run())
        except OSError as error:
            what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
            raise TrainingError(f"{what}; {self._kept()}") from error
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise BudgetError(f"there is not enough memory to train; {self._kept()}") from error

    def _run(self) -> Generator[StepReport, None, Path]:
        config = self.config
        accelerator = join(self._mixed_precision(), cpu=self.device.type == "cpu")
        rows = share_of_batch(config.batch_size, accelerator)
        check_same_step(self.step, accelerator)
        optimizer = make_optimizer(self.model, config)
        network, optimizer = accelerator.prepare(_Network(self.model), optimizer)
        self._scaler = accelerator.scaler
        self._average = WeightAverage(self.model, config.ema) if config.ema else None
        if self._state:
            restore_optimizer(optimizer.optimizer, self._state)
            restore_random_state(self._state)
            if self._average is not None:
                self._average.restore(self._state)
            self._state = {}
        if self._scaler is not None and self._scale:
            self._scaler.load_state_dict(self._scale)
        objective = Objective(self.tokenizer, self.model.config, config, accelerator.device)
        network.train()
        fitting = FittingStep(network, accelerator.backward, retries=accelerator.num_processes == 1)
        healthy, began = True, time.perf_counter()
        self._random, self._averages = random_state(), self._running_averages()
        if accelerator.is_main_process:
            for path in (self.run_dir / LAST, self.run_dir / BEST, self.info.path):
                remove_temporary_files(path)  # of a run that was killed while it wrote
        if self.step == 0 and accelerator.is_main_process:
            (self.run_dir / BEST).unlink(missing_ok=True)  # an earlier run's is not ours to choose
            self._save(optimizer)
        try:
            for batch in self._batches(rows, accelerator):
                started = time.perf_counter()
                rate = begin_step(optimizer, self.step, config)
                n_parts = fitting.n_parts
                loss = fitting((batch.images, batch.inputs), partial(objective, batch=batch))
                # of all processes, so that they agree on whether to go on
                counted = torch.stack((loss, batch.n_tokens.sum().to(loss)))
                value, n_tokens = mean_over_processes(counted).tolist()
                healthy, wrong = math.isfinite(value), f"loss became {value}"
                if healthy:
                    norm = float(
                        accelerator.clip_grad_norm_(
                            network.parameters(), config.clip_norm or math.inf
                        )
                    )
                    # the scaler of fp16 leaves such steps out by itself
                    healthy = math.isfinite(norm) or accelerator.mixed_precision == "fp16"
                    wrong = f"gradient became {norm}"
                if not healthy:
                    raise TrainingError(
                        f"the {wrong} at step {self.step + 1}; the last good checkpoint (step "
                        f"{self._saved_at}) is kept in {self.run_dir}; try a lower learning rate "
                        f"than {config.learning_rate:g}"
                    )
                healthy = False  # until all weights have made the step
                optimizer.step()
                optimizer.zero_grad()
                if self._average is not None:
                    self._average.update(self.model)
                self.step, self._random, healthy = self.step + 1, random_state(), True
                self._averages = self._running_averages()
                seconds = time.perf_counter() - started
                scores = self._validate(accelerator) if self._due("validate") else {}
                if accelerator.is_main_process and self._due("checkpoint"):
                    self._save(optimizer)
                yield StepReport(
                    step=self.step,
                    n_steps=config.n_steps,
                    loss=value,
                    learning_rate=rate,
                    tokens_per_s=n_tokens * accelerator.num_processes / seconds,
                    seconds=time.perf_counter() - began,
                    validation=scores,
                    message=self._told_early() or fitting.told_since(n_parts),
                )
        finally:
            if healthy and self._saved_at != self.step and accelerator.is_main_process:
                # a step that was interrupted may have gone forward already
                self.model.load_state_dict(self._averages, strict=False)
                self._save(optimizer)
        return from_first(self._finish, accelerator)

    def _batches(
        self, rows: slice, accelerator: "Accelerator"
    ) -> Generator[TrainingBatch, None, None]:
        """Rows of batches from the current step on; the next are cut while the model learns."""
        device = accelerator.device
        steps = range(self.step, self.config.n_steps)
        on_host = self.config.augment_on == "host"
        on_host |= self.config.augment_on == "auto" and device.type == "cpu"
        cut: Callable[[int, slice], SampleBatch | CropBatch]
        cut = self.sampler.batch if on_host else self.sampler.crops
        with ThreadPoolExecutor(1, "patches") as pool:
            coming: Future[SampleBatch | CropBatch] = pool.submit(cut, self.step, rows)
            for step in steps:
                if self.ended_early:
                    return
                samples = coming.result()
                if step + 1 < self.config.n_steps:
                    coming = pool.submit(cut, step + 1, rows)
                begin_random_step(self.config.seed, step, accelerator)
                yield tokenize(
                    samples,
                    self.tokenizer,
                    self.model.config.max_tokens,
                    device,
                    shuffled=self.config.shuffle_runs,
                    corruption=self.config.corruption,
                )

    def _validate(self, accelerator: "Accelerator") -> dict[str, float]:
        if not self.validation:
            return {}
        scores = from_first(
            lambda: validate(self.kept_model, self.tokenizer, self.validation, accelerator.device),
            accelerator,
        )
        self.n_worse += 1
        selected = scores.value(self.config.select_metric, self.config.select_class)
        if selected > self.best_score:
            self.best_score, self.n_worse = selected, 0
            if accelerator.is_main_process:
                save_checkpoint(self._info(BEST), self.kept_model.state_dict())
        dice = {row.name: row.dice for row in scores.classes}
        return {**dice, "mean": scores.mean_dice, "selected": selected}

    @property
    def kept_model(self) -> Pix2Seq:
        """The average of the weights, where one is made."""
        return self.model if self._average is None else cast(Pix2Seq, self._average.model)

    @property
    def ended_early(self) -> bool:
        """Whether the last validations brought nothing better, as many as the patience allows."""
        return 0 < self.config.patience <= self.n_worse

    def _told_early(self) -> str:
        if not self.ended_early or self.step == self.config.n_steps:
            return ""
        return f"stopped at step {self.step}: {self.n_worse} validations brought nothing better"

    def _running_averages(self) -> dict[str, Tensor]:
        """What the model keeps beside its weights."""
        learned = dict(self.model.named_parameters())
        values = self.model.state_dict().items()
        return {name: value.clone() for name, value in values if name not in learned}

    def _due(self, what: str) -> bool:
        every = self.config.validate_every if what == "validate" else self.config.checkpoint_every
        return self.step == self.config.n_steps or (every > 0 and self.step % every == 0)

    def _info(self, name: str) -> ModelInfo:
        return replace(self.info, path=self.run_dir / name, step=self.step)

    def _kept(self) -> str:
        """What is left of a run that had to stop, and how it goes on."""
        if self._saved_at is None:
            return "the training has not begun; mend that and begin again"
        return (
            f"the checkpoint of step {self._saved_at} is kept in {self.run_dir}; mend that and go "
            "on with the run (--resume)"
        )

    def _save(self, optimizer: torch.optim.Optimizer) -> None:
        training: dict[str, object] = {
            "config": self.config.to_json(),
            "path": str(self.info.path),
            "best_score": self.best_score if math.isfinite(self.best_score) else None,
            "n_worse": self.n_worse,
            "finished": self.step == self.config.n_steps or self.ended_early,
        }
        if self._scaler is not None:
            training["scale"] = self._scaler.state_dict()
        state = optimizer_tensors(optimizer) | self._random
        if self._average is not None:
            state |= self._average.tensors()
        info = replace(self._info(LAST), training=training)
        save_checkpoint(info, self.model.state_dict(), state)
        self._saved_at = self.step

    def _restore(self, checkpoint: Checkpoint) -> None:
        self.step = self._saved_at = checkpoint.info.step
        saved = checkpoint.info.training
        best = saved.get("best_score", saved.get("best_dice"))  # as older runs call it
        self.best_score = float(best) if isinstance(best, int | float) else -math.inf
        self.n_worse = int(str(checkpoint.info.training.get("n_worse", 0)))
        self._scale = cast(dict[str, float], saved.get("scale", {}))  # older runs did not keep it
        self._state = checkpoint.state

    def _finish(self) -> Path:
        """Write the finished model to its place."""
        best = self.run_dir / BEST
        weights = self.kept_model.state_dict()
        info = replace(self.info, step=self.step)
        if self.validation and best.is_file():
            chosen = load_checkpoint(best)
            weights, info = chosen.weights, replace(self.info, step=chosen.info.step)
        return save_checkpoint(info, weights)

    def _mixed_precision(self) -> str:
        if self.config.precision != "auto":
            return "no" if self.config.precision == "fp32" else self.config.precision
        if self.device.type != "cuda":
            return "no"
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"


def resumed_settings(saved: ModelInfo) -> tuple[ModelInfo, TrainConfig]:
    """What the run of a ``last.safetensors`` trains, and how.

    Raises
    ------
    CheckpointError
        If it is a model, but not the state of a run.
    """
    if not {"config", "path"} <= set(saved.training):
        raise CheckpointError(
            f"{saved.path} does not tell how its training goes on; fine-tune from it instead"
        )
    config = TrainConfig.from_json(saved.training["config"])  # type: ignore[arg-type]
    path = Path(str(saved.training["path"]))
    return replace(saved, path=path, step=0, training={}), config


class _Network(nn.Module):
    """Encoder and decoder behind one `forward`, as accelerate and DDP want it."""

    def __init__(self, model: Pix2Seq) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, inputs: Tensor) -> Outputs:
        memory: Memory = self.model.encode(images)
        dense = self.model.dense_logits(memory) if self.model.dense is not None else None
        return Outputs(self.model(memory, inputs), dense)
