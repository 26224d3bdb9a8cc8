"""Train for a time, not for a number of steps: the schedule follows the clock.

Windows are drawn in processes of their own, into memory that they share with the training, because
a thread beside it cannot keep up with a fast GPU. They are forked, so this works on Linux alone.
"""

import math
import mmap
import multiprocessing
import pickle
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rleseg_core.checkpoints import (
    ModelInfo,
    build_model,
    build_tokenizer,
    load_checkpoint,
    write_checkpoint,
)
from rleseg_core.data import SampleBatch
from rleseg_core.data.crops import CropBatch
from rleseg_core.devices import choose_device
from rleseg_core.parallel.launch import join
from rleseg_core.training import TrainConfig
from rleseg_core.training.batch import tokenize
from rleseg_core.training.learner import DivergedError, Learner
from rleseg_core.training.sampling import DrawnBatch, PatchSampler
from rleseg_core.training.validation import validate

_SLOTS = 2  # batches that a process has ready


@dataclass(frozen=True)
class Timed:
    """How long a training takes, and what it leaves.

    Parameters
    ----------
    seconds : float
        Of the training, with its validations.
    validate_every : float
        Seconds between validations.
    out : Path
        Folder of ``best.safetensors`` and ``last.safetensors``, written at each validation.
    device : str
        As `choose_device` takes it.
    """

    seconds: float
    validate_every: float
    out: Path
    device: str


class Run:
    """A model that learns until its time is over, and is validated every now and then."""

    def __init__(
        self,
        info: ModelInfo,
        config: TrainConfig,
        timed: Timed,
        validation: Mapping[str, Sequence[SampleBatch]],
        weights: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.info, self.config, self.timed, self.validation = info, config, timed, validation
        self.device = choose_device(timed.device)
        self.tokenizer = build_tokenizer(info)
        self._accelerator = join(_precision(config, self.device), self.device)
        self._weights = weights
        self._learner = self._begin(weights)
        self.best: dict[str, float] = {}
        self.best_step = 0
        self.n_windows = 0

    def train(self, batches: Iterable[DrawnBatch]) -> None:
        """Learn from batches without an end until the time is over; see `best` afterwards."""
        timed, began = self.timed, time.perf_counter()
        due, told = timed.validate_every, 0.0
        for samples in batches:
            seconds = time.perf_counter() - began
            if seconds >= timed.seconds:
                break
            loss = self._learn(samples, seconds / timed.seconds)
            self.n_windows += len(samples)
            if seconds >= told:
                rate = self.n_windows / max(time.perf_counter() - began, 1e-9)
                print(
                    f"{seconds:.0f} s, step {self._learner.step}, {rate:.0f} windows/s, loss "
                    f"{loss:.4f}",
                    flush=True,
                )
                told = seconds + 10
            if seconds >= due:
                self.validate()
                due = time.perf_counter() - began + timed.validate_every
        self.validate()

    def _learn(self, samples: DrawnBatch, done: float) -> float:
        self._learner.config = scheduled(self.config, self._learner.step, done)
        budget = self._learner.model.config.tokens.max_tokens
        batch = tokenize(samples, self.tokenizer, budget, self.device)
        try:
            return self._learner.learn(batch).loss
        except DivergedError as error:
            print(f"{error}: back to the best weights, at half the rate", flush=True)
            self.config = replace(self.config, learning_rate=self.config.learning_rate / 2)
            best = self.timed.out / "best.safetensors"
            step = self._learner.step
            self._learner = self._begin(
                load_checkpoint(best).weights if self.best else self._weights
            )
            self._learner.step = step
            return math.nan

    def _begin(self, weights: Mapping[str, Tensor] | None) -> Learner:
        torch.manual_seed(self.config.seed)
        model = build_model(self.info, None if weights is None else dict(weights))
        return Learner(model, self.tokenizer, self.config, self._accelerator)

    def validate(self) -> None:
        """Score the model on each part of the held-out windows, and keep it."""
        began, model = time.perf_counter(), self._learner.kept_model
        scores = {
            name: validate(model, self.tokenizer, batches, self.device).mean_dice
            for name, batches in self.validation.items()
        }
        scores["mean"] = float(np.mean(list(scores.values())))
        self._keep("last", scores)
        if scores["mean"] > self.best.get("mean", -1.0):
            self.best, self.best_step = scores, self._learner.step
            self._keep("best", scores)
        found = ", ".join(f"{name} {value:.4f}" for name, value in scores.items())
        seconds = time.perf_counter() - began
        print(f"step {self._learner.step}: {found} ({seconds:.1f} s)", flush=True)

    def _keep(self, name: str, scores: Mapping[str, float]) -> None:
        path = self.timed.out / f"{name}.safetensors"
        temporary = path.with_suffix(".part")
        scores = {key: round(value, 4) for key, value in scores.items()}
        card = {**self.info.card, "dice_at_mask_resolution": scores, "windows": self.n_windows}
        info = replace(self.info, path=path, step=self._learner.step, card=card)
        half = {
            key: value.half() if value.is_floating_point() else value
            for key, value in self._learner.kept_model.state_dict().items()
        }
        write_checkpoint(temporary, info, half)
        temporary.replace(path)


def scheduled(config: TrainConfig, step: int, done: float) -> TrainConfig:
    """Settings whose schedule is as far at a step as the training is in its time, `done` 0 to 1."""
    beyond = max(0, step - config.warmup_steps)
    n_steps = config.warmup_steps + max(beyond + 1, round(beyond / max(done, 1e-6)))
    return replace(config, n_steps=n_steps)


def _precision(config: TrainConfig, device: torch.device) -> str:
    if config.precision == "auto":
        return "bf16" if device.type == "cuda" else "no"
    return "no" if config.precision == "fp32" else config.precision


@contextmanager
def drawn_batches(sampler: PatchSampler, n_processes: int) -> Iterator[Iterator[DrawnBatch]]:
    """Batches 0, 1, 2, … of a sampler without an end, drawn in processes of their own.

    A batch may be used until the next one is asked for.
    """
    fork = multiprocessing.get_context("fork")
    crops = sampler.batch(0).crops
    assert crops.instances is not None
    parts = [(part.shape, part.dtype) for part in (crops.images, crops.classes, crops.instances)]
    size = sum(math.prod(shape) * dtype.itemsize for shape, dtype in parts)
    rings = [mmap.mmap(-1, _SLOTS * size) for _ in range(n_processes)]
    pipes = [fork.Pipe() for _ in range(n_processes)]
    processes = [
        fork.Process(
            target=_draw,
            args=(sampler, _slots(ring, parts), pipe[1], range(index, 1 << 62, n_processes)),
            daemon=True,
        )
        for index, (ring, pipe) in enumerate(zip(rings, pipes, strict=True))
    ]
    for process in processes:
        process.start()
    for _, theirs in pipes:
        theirs.close()  # so that reading ends when a process has died
    try:
        slots = [_slots(ring, parts) for ring in rings]
        yield _received(slots, [ours for ours, _ in pipes])
    finally:
        for process in processes:
            process.kill()
            process.join()


Slot = list[np.ndarray]


def _slots(ring: mmap.mmap, parts: Sequence[tuple[tuple[int, ...], np.dtype]]) -> list[Slot]:
    """The places of batches in shared memory: images, classes and ids of objects."""
    slots: list[Slot] = []
    for row in np.frombuffer(ring, np.uint8).reshape(_SLOTS, -1):
        ends = np.cumsum([math.prod(shape) * dtype.itemsize for shape, dtype in parts])
        cut = np.split(row, ends[:-1])
        slots.append(
            [own.view(dtype).reshape(shape) for own, (shape, dtype) in zip(cut, parts, strict=True)]
        )
    return slots


def _draw(sampler: PatchSampler, slots: list[Slot], pipe: Connection, steps: range) -> None:
    """Draw batches into slots in turn, each when the batch before in it was used."""
    torch.set_num_threads(1)
    try:
        for n, step in enumerate(steps):
            if n >= len(slots):
                pipe.recv_bytes()
            batch = sampler.batch(step)
            crops = batch.crops
            for place, part in zip(
                slots[n % len(slots)], (crops.images, crops.classes, crops.instances), strict=True
            ):
                place[:] = part
            empty = CropBatch(np.empty(0), np.empty(0), None)
            pipe.send_bytes(pickle.dumps(replace(batch, crops=empty)))
    except (EOFError, OSError):
        return  # the training has ended


def _received(slots: list[list[Slot]], pipes: list[Connection]) -> Iterator[DrawnBatch]:
    step = 0
    while True:
        turn, index = divmod(step, len(pipes))
        batch: DrawnBatch = pickle.loads(pipes[index].recv_bytes())
        yield replace(batch, crops=CropBatch(*slots[index][turn % _SLOTS]))
        pipes[index].send_bytes(b"used")
        step += 1
