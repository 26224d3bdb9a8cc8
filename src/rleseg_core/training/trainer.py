"""The training loop: a generator of reports that leaves a model file."""

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from rleseg_core.checkpoints import (
    ModelInfo,
    build_model,
    build_tokenizer,
    load_checkpoint,
    save_checkpoint,
    write_checkpoint,
)
from rleseg_core.data import SampleBatch
from rleseg_core.devices import choose_device
from rleseg_core.errors import BudgetError, TrainingError
from rleseg_core.files import whole_file
from rleseg_core.model import Pix2Seq
from rleseg_core.parallel.launch import (
    begin_random_step,
    check_same_step,
    from_first,
    join,
    share_of_batch,
)
from rleseg_core.training.batch import TrainingBatch, prefetched, tokenize
from rleseg_core.training.config import TrainConfig
from rleseg_core.training.learner import DivergedError, Learner
from rleseg_core.training.memory import is_out_of_memory
from rleseg_core.training.reports import BEST, LAST, StepReport
from rleseg_core.training.run_state import RunState, read_state, resumed_settings, save_run
from rleseg_core.training.sampling import PatchSampler
from rleseg_core.training.selection import BestScore, check_selected_class
from rleseg_core.training.validation import validate

if TYPE_CHECKING:
    from accelerate import Accelerator

_OF_TOKENS = {"projection", "decoder"}  # parts of a model that the dense heads do not read


class Trainer:
    """Trains one model in one folder.

    Parameters
    ----------
    info : ModelInfo
        Header of the model; `info.path` is the file of the finished model.
    config : TrainConfig
        How it learns.
    sampler : PatchSampler
        Training batches, a function of the step alone, so that a resumed run sees the same ones.
    run_dir : Path
        Folder of ``last.safetensors`` (weights, optimizer, loss scale, random state: everything to
        resume from) and ``best.safetensors`` (the model with the best validation so far).
    validation : sequence of SampleBatch
        Held-out windows; none for no validation.
    weights : dict of str to Tensor, optional
        State dict to start from; fresh weights by default.
    device : str
        'auto', 'cpu', 'cuda' or 'mps'.

    Attributes
    ----------
    overwrite : bool
        Whether the finished model may replace an older one.
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
        check_selected_class(config.select_class, info.mask_spec.class_names)
        if config.shuffle_runs and self.model.config.pointer.starts == "first_hit":
            raise TrainingError(
                "first-hit starts come in ascending order and cannot learn shuffled runs; make the "
                'model with starts="pointer", or leave out shuffle_runs'
            )
        self._check_learns()
        self.best = BestScore()
        self.overwrite = False
        self._first_step = 0
        self._resumed: RunState | None = None
        self._learner: Learner | None = None
        self._saved_at: int | None = None
        self._report: StepReport | None = None  # of the last step

    def _check_learns(self) -> None:
        """Raise an error unless each step has something to learn."""
        config, weights = self.config, self.model.named_parameters()
        learning = {name.partition(".")[0] for name, weight in weights if weight.requires_grad}
        if not learning:
            raise TrainingError("all parts of the model are frozen; leave one that can learn")
        if not config.tokens_from:
            return
        if self.model.dense is None or not config.dense_weight:
            raise TrainingError(
                "tokens_from lets the dense heads learn first, and here are none that learn; leave "
                "it out, or make a model with a dense class head (dense_weight above 0)"
            )
        if not learning - _OF_TOKENS:
            raise TrainingError(
                "tokens_from lets the dense heads learn first, and all that they could learn with "
                f"is frozen ({', '.join(config.frozen)}); leave it out, or freeze less"
            )

    @classmethod
    def resume(
        cls,
        run_dir: Path,
        sampler: PatchSampler,
        *,
        validation: Sequence[SampleBatch] = (),
        device: str = "auto",
    ) -> Self:
        """The run of a folder at its last checkpoint, to the losses it would have had.

        Raises
        ------
        CheckpointError
            If there is no checkpoint to resume from.
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
        trainer._first_step = trainer._saved_at = checkpoint.info.step
        trainer._resumed = read_state(checkpoint)
        trainer.best = trainer._resumed.best
        return trainer

    @property
    def step(self) -> int:
        """Number of optimizer steps done."""
        return self._first_step if self._learner is None else self._learner.step

    @property
    def kept_model(self) -> Pix2Seq:
        """The model that is validated and kept: that of averaged weights where there is one."""
        return self.model if self._learner is None else self._learner.kept_model

    @property
    def ended_early(self) -> bool:
        """Whether as many validations as the patience allows were no better than the best one."""
        return 0 < self.config.patience <= self.best.n_worse

    def change_length(self, n_steps: int) -> None:
        """Let the run have another number of steps; its schedule fits that from the next one on.

        The step that follows has its batch already, so there are at least two more.
        """
        length = max(n_steps, self.step + 2)
        self.config = replace(self.config, n_steps=length)
        if self._learner is not None:
            self._learner.config = self.config

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
            If not even one window fits into memory; a batch that does not is learned in parts.

        Notes
        -----
        Closing the generator stops after the current step and writes ``last.safetensors``.
        """
        try:
            return (yield from self._run())
        except DivergedError as error:
            raise TrainingError(
                f"{error} at step {self.step + 1}; the last good checkpoint (step "
                f"{self._saved_at}) is kept in {self.run_dir}; try a lower learning rate than "
                f"{self.config.learning_rate:g}"
            ) from error
        except OSError as error:
            what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
            raise TrainingError(f"{what}; {self._what_is_kept()}") from error
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise BudgetError(
                f"there is not enough memory to train; {self._what_is_kept()}"
            ) from error

    def _run(self) -> Generator[StepReport, None, Path]:
        accelerator = join(self._mixed_precision(), self.device)
        rows = share_of_batch(self.config.batch_size, accelerator)
        check_same_step(self.step, accelerator)
        learner = self._begin(accelerator)
        began = time.perf_counter()
        if accelerator.is_main_process:
            self._prepare_folder(learner)
        try:
            for batch in self._batches(learner, rows):
                started = time.perf_counter()
                learned = learner.learn(batch)
                seconds = time.perf_counter() - started
                scores = self._validate(learner) if self._is_due("validate_every") else {}
                self._report = StepReport(
                    step=self.step,
                    n_steps=self.config.n_steps,
                    loss=learned.loss,
                    learning_rate=learned.learning_rate,
                    tokens_per_s=learned.n_tokens * accelerator.num_processes / seconds,
                    seconds=time.perf_counter() - began,
                    validation=scores,
                    message=self._early_end_message() or learned.message,
                )
                if accelerator.is_main_process and self._is_due("checkpoint_every"):
                    self._save(learner)
                yield self._report
        finally:
            if learner.is_whole and self._saved_at != self.step and accelerator.is_main_process:
                learner.undo_forward()
                self._save(learner)
        return from_first(self._finish, accelerator)

    def _begin(self, accelerator: "Accelerator") -> Learner:
        """The learner at the step where this run begins or resumes."""
        learner = Learner(
            self.model, self.tokenizer, self.config, accelerator, step=self._first_step
        )
        if self._resumed is not None:
            learner.restore(self._resumed.tensors, self._resumed.scale)
            self._resumed = None
        self._learner = learner
        return learner

    def _prepare_folder(self, learner: Learner) -> None:
        if self.step == 0:
            (self.run_dir / BEST).unlink(missing_ok=True)  # that of an earlier run
            self._save(learner)

    def _batches(self, learner: Learner, rows: slice) -> Generator[TrainingBatch, None, None]:
        """Rows of the batches from the current step on, until the run ends."""
        config, accelerator = self.config, learner.accelerator
        for samples in prefetched(lambda step: self.sampler.batch(step, rows), self._steps()):
            begin_random_step(config.seed, self.step, accelerator)
            yield tokenize(
                samples,
                self.tokenizer,
                self.model.config.tokens.max_tokens,
                accelerator.device,
                shuffled=config.shuffle_runs,
                corruption=config.corruption,
            )
            if self.ended_early:
                return

    def _steps(self) -> Iterator[int]:
        """Steps that are still to be made, as many as the settings say when one is asked for."""
        step = self.step
        while step < self.config.n_steps and not self.ended_early:
            yield step
            step += 1

    def _validate(self, learner: Learner) -> dict[str, float]:
        if not self.validation or self.step <= self.config.first_token_step:
            return {}  # a decoder that has learned nothing is no measure, nor a reason to stop
        accelerator, model = learner.accelerator, learner.kept_model
        scores = from_first(
            lambda: validate(model, self.tokenizer, self.validation, accelerator.device),
            accelerator,
        )
        selected = scores.value(self.config.select_metric, self.config.select_class)
        if self.best.update(selected) and accelerator.is_main_process:
            info = replace(self.info, path=self.run_dir / BEST, step=self.step)
            with whole_file(info.path) as temporary:
                write_checkpoint(temporary, info, model.state_dict())
        dice = {row.name: row.dice for row in scores.classes}
        return {**dice, "mean": scores.mean_dice, "selected": selected}

    def _early_end_message(self) -> str:
        if not self.ended_early or self.step == self.config.n_steps:
            return ""
        return (
            f"stopped at step {self.step}: {self.best.n_worse} validations brought nothing better"
        )

    def _is_due(self, setting: str) -> bool:
        every: int = getattr(self.config, setting)
        return self.step == self.config.n_steps or (every > 0 and self.step % every == 0)

    def _what_is_kept(self) -> str:
        """What is left of a run that had to stop, and how it resumes."""
        if self._saved_at is None:
            return "the training has not begun; fix that and start again"
        return (
            f"the checkpoint of step {self._saved_at} is kept in {self.run_dir}; fix that and "
            "resume the run (--resume)"
        )

    def _save(self, learner: Learner) -> None:
        save_run(
            self.run_dir / LAST,
            replace(self.info, step=self.step),
            self.config,
            self.model.state_dict(),
            self._state(learner),
            finished=self.step == self.config.n_steps or self.ended_early,
        )
        self._saved_at = self.step

    def _state(self, learner: Learner) -> RunState:
        """All that a run resumes from beside the weights."""
        report = self._report if self._report and self._report.step == self.step else None
        scale, tensors = learner.scale() or {}, learner.tensors()
        return RunState(best=self.best, scale=scale, tensors=tensors, report=report)

    def _finish(self) -> Path:
        """Write the finished model to its place."""
        best = self.run_dir / BEST
        weights = self.kept_model.state_dict()
        info = replace(self.info, step=self.step)
        if self.validation and best.is_file():
            chosen = load_checkpoint(best)
            weights, info = chosen.weights, replace(self.info, step=chosen.info.step)
        return save_checkpoint(info, weights, overwrite=self.overwrite)

    def _mixed_precision(self) -> str:
        if self.config.precision != "auto":
            return "no" if self.config.precision == "fp32" else self.config.precision
        if self.device.type != "cuda":
            return "no"
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
