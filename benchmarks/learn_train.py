"""Training of contenders for the same time, and ours."""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import nn

from benchmarks.learn_data import Fields
from benchmarks.learn_recipe import Recipe
from benchmarks.learn_score import Predict, Segmented, with_pieces
from rleseg_core.data import ImageStack
from rleseg_core.inference import Segmentation, Segmenter, StitchRule
from rleseg_core.reports import product_of
from rleseg_core.training import Trainer

PROBE, COLD = 30, 5  # steps whose cost says how many there will be; the first are not typical
N_LINES = 40  # of progress

Losses = Generator[float, int | None, Predict]
"""A run: the loss of each step, and at last what segments a frame; it may be sent its length."""


class Clock:
    """Seconds of work: CPU time of all threads of this process, or wall time beside a GPU."""

    def __init__(self, device: torch.device) -> None:
        self.kind = "wall" if device.type == "cuda" else "CPU"
        self._now = time.perf_counter if self.kind == "wall" else time.process_time
        self._began, self._paused = self._now(), 0.0

    @property
    def seconds(self) -> float:
        """Since it began, pauses left out."""
        return self._now() - self._began - self._paused

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Time that does not count."""
        before = self._now()
        try:
            yield
        finally:
            self._paused += self._now() - before


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What came of a run within a budget.

    Parameters
    ----------
    predict : callable
        Segments a frame of a stack.
    n_steps : int
        Optimizer steps.
    minutes, probe_minutes : float
        Of the clock, all in all, and of the steps that measured the cost.
    losses : list of float
        Of the steps, means of as many as lie between two lines of progress.
    chosen : dict of str to float
        What was chosen afterwards on the validation images.
    """

    predict: Predict
    n_steps: int
    minutes: float
    probe_minutes: float
    losses: list[float]
    chosen: dict[str, float] = field(default_factory=dict)


class Pace:
    """What the steps of a run cost, from those of a short one, which has the same phases.

    Parameters
    ----------
    costs : sequence of float
        Seconds of the steps of the short run; those of the first `COLD` are taken from the next.
    """

    def __init__(self, costs: Sequence[float]) -> None:
        usual = [*costs[COLD : 2 * COLD], *costs[COLD:]]
        self._until = np.concatenate([[0.0], np.cumsum(usual)]) / len(usual)

    def mean(self, begin: float, end: float) -> float:
        """Mean cost of a step between two shares of a run, 0 to 1."""
        at = np.linspace(0, 1, len(self._until))
        before, after = np.interp([begin, end], at, self._until)
        return float((after - before) / (end - begin))

    def cost(self, begin: int, end: int, n_steps: int) -> float:
        """Seconds of some steps of a run."""
        return (end - begin) * self.mean(begin / n_steps, end / n_steps)

    def steps_within(self, seconds: float, step: int, n_steps: int) -> int:
        """How many more steps a run has time for."""
        return int(seconds / self.mean(step / n_steps, 1))


class Contender(Protocol):
    """What learns from the same images in the same time."""

    @property
    def n_parameters(self) -> int:
        """Trainable values, once it has been trained."""

    def train(self, minutes: float) -> Trained:
        """Train for a time."""

    def to_json(self) -> dict[str, object]:
        """How it is trained, as plain values."""


def train_for(
    minutes: float,
    begin: Callable[[int], Losses],
    device: torch.device,
    *,
    name: str,
    watch: Callable[[int, Clock], None] = lambda _step, _clock: None,
) -> Trained:
    """Train for a time, the schedule ending with it.

    A short run is timed first, on the same clock, and says how many steps there may be. As steps
    cost more or less later, their number changes, and the schedule with it. The very first one is
    not counted: libraries are imported in it.

    Parameters
    ----------
    minutes : float
        The budget, of the clock that fits the device.
    begin : callable
        Begins a run of that many steps, or of as many as it is sent later.
    device : torch.device
        Where it is trained.
    name : str
        For the lines that are printed.
    watch : callable
        Called after each step with its number; may pause the clock.
    """
    probe = begin(PROBE)
    next(probe)
    clock = Clock(device)
    costs: list[float] = []
    before = clock.seconds
    for _ in probe:
        costs.append(clock.seconds - before)
        before = clock.seconds
    probed = clock.seconds
    pace = Pace(costs)
    n_steps = max(1, int((60 * minutes - probed) / pace.mean(0, 1)))
    print(f"{name}: {n_steps} steps of {pace.mean(0, 1):.3f} s {clock.kind} time", flush=True)
    losses: list[float] = []
    recent: list[float] = []
    run, step, block_began = begin(n_steps), 0, clock.seconds
    changed: int | None = None
    while True:
        try:
            recent.append(run.send(changed))
            changed = None
        except StopIteration as end:
            return Trained(
                predict=end.value,
                n_steps=step,
                minutes=clock.seconds / 60,
                probe_minutes=probed / 60,
                losses=losses,
            )
        step += 1
        watch(step, clock)
        if len(recent) >= max(1, n_steps // N_LINES):
            now = clock.seconds
            if step + 2 < n_steps:
                slower = (now - block_began) / pace.cost(step - len(recent), step, n_steps)
                left = (60 * minutes - now) / slower
                n_steps = changed = step + max(2, pace.steps_within(left, step, n_steps))
            block_began = now
            losses.append(float(np.mean(recent)))
            recent.clear()
            done = f"{step}/{n_steps}, {clock.seconds / 60:.1f} min"
            print(f"{name}: {done}, loss {losses[-1]:.4f}", flush=True)


class Ours:
    """Runs of our model through its public API.

    Parameters
    ----------
    fields : Fields
        What teaches.
    recipe : Recipe
        How.
    seed : int
        Of weights and patches.
    device : torch.device
        Where.
    folder : Path
        For its files.
    """

    def __init__(
        self, fields: Fields, recipe: Recipe, seed: int, device: torch.device, folder: Path
    ) -> None:
        self.recipe, self.seed, self.device, self.folder = recipe, seed, device, folder
        self.smallest = fields.smallest
        self.info = recipe.header(fields, folder / "model.safetensors")
        self.sampler = recipe.sampler(fields, self.info.mask_spec.size, seed)
        self.trainer: Trainer  # of the latest run

    @property
    def n_parameters(self) -> int:
        """Trainable values."""
        return self.trainer.model.n_parameters

    def train(self, minutes: float) -> Trained:
        """Train for a time."""
        return train_for(minutes, self.begin, self.device, name="ours")

    def to_json(self) -> dict[str, object]:
        """The recipe."""
        return self.recipe.to_json()

    def begin(self, n_steps: int) -> Losses:
        """A run with fresh weights."""
        config = self.recipe.config(n_steps, self.seed)
        self.trainer = Trainer(
            self.info, config, self.sampler, self.folder, device=str(self.device)
        )
        self.trainer.overwrite = True  # the probe wrote its model there
        run = self.trainer.run()
        try:
            while True:
                try:
                    report = next(run)
                except StopIteration as end:
                    return segmented(end.value, self.recipe.stitch, self.device, self.smallest)
                if (longer := (yield report.loss)) is not None:
                    self.trainer.change_length(longer)
        finally:
            run.close()


def segmented(model: Path, stitch: StitchRule, device: torch.device, smallest: int) -> Predict:
    """What a model file of ours says of single frames; smaller connected pieces are no objects."""
    segmenter = Segmenter.from_checkpoint(model, str(device))

    def predict(stack: ImageStack, frame: int) -> Segmented:
        found = product_of(segmenter.segment(stack, frames=[frame], stitch=stitch))
        if (found.table.state == "pieces").any():
            return with_pieces(found.classes[frame], smallest)
        return large_objects(found, frame, smallest)

    return predict


def large_objects(found: Segmentation, frame: int, smallest: int) -> Segmented:
    """Classes and ids (Y, X) of a frame, without objects of fewer pixels than that."""
    ids = np.asarray(found.objects[frame]).astype(np.int64)
    areas = np.bincount(ids.ravel())
    return Segmented(np.asarray(found.classes[frame]), np.where(areas[ids] >= smallest, ids, 0))


def count(net: nn.Module) -> int:
    """Trainable values of a net."""
    return sum(p.numel() for p in net.parameters() if p.requires_grad)
