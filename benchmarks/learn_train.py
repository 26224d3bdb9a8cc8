"""Training of both contenders on the same patches for the same time."""

import time
from bisect import bisect_left
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from math import cos, pi
from pathlib import Path
from statistics import median

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.learn_data import Fields
from benchmarks.learn_recipe import Recipe, RivalRecipe
from benchmarks.learn_score import Predict, Segmented, with_pieces
from rleseg_core.data import ImageStack, resized_shape
from rleseg_core.data.windows import model_frame
from rleseg_core.inference import Segmenter, StitchRule
from rleseg_core.reports import product_of
from rleseg_core.spec import WindowSpec
from rleseg_core.training import Trainer
from rleseg_core.training.sampling import DrawnBatch, patches_on

PROBE, COLD = 20, 4  # steps whose cost says how many there will be; the first are not typical
N_LINES = 40  # of progress

Losses = Generator[float, None, Predict]
"""A run: the loss of each step, and at last what segments a frame."""


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
    """

    predict: Predict
    n_steps: int
    minutes: float
    probe_minutes: float
    losses: list[float]


def train_for(
    minutes: float,
    begin: Callable[[int], Losses],
    device: torch.device,
    *,
    name: str,
    watch: Callable[[int, Clock], None] = lambda _step, _clock: None,
) -> Trained:
    """Train for a time, the schedule ending with it.

    A few steps are timed first, on the same clock; the rest of the time is divided by their cost.
    The very first one is not counted: libraries are imported in it.

    Parameters
    ----------
    minutes : float
        The budget, of the clock that fits the device.
    begin : callable
        Begins a run of that many steps.
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
    n_steps = max(1, int((60 * minutes - probed) / median(costs[COLD:])))
    print(f"{name}: {n_steps} steps of {median(costs[COLD:]):.3f} s {clock.kind} time", flush=True)
    losses: list[float] = []
    recent: list[float] = []
    run, step = begin(n_steps), 0
    while True:
        try:
            recent.append(next(run))
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
        if step % max(1, n_steps // N_LINES) == 0:
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
                yield report.loss
        finally:
            run.close()


def segmented(model: Path, stitch: StitchRule, device: torch.device, smallest: int) -> Predict:
    """What a model file of ours says of single frames; pieces of that size are objects."""
    segmenter = Segmenter.from_checkpoint(model, str(device))

    def predict(stack: ImageStack, frame: int) -> Segmented:
        run = segmenter.predict(stack, frames=[frame], stitch=stitch)
        return with_pieces(product_of(run)[frame], smallest)

    return predict


class Rival:
    """Runs of a U-Net of MONAI on the patches that `Ours` sees, with their masks in full.

    Parameters
    ----------
    fields, seed, device
        As of `Ours`.
    ours : Recipe
        Decides on the patches.
    recipe : RivalRecipe
        Everything else.
    n_parameters : int
        About as many as it shall have.
    """

    def __init__(
        self,
        fields: Fields,
        ours: Recipe,
        recipe: RivalRecipe,
        seed: int,
        device: torch.device,
        n_parameters: int,
    ) -> None:
        self.recipe, self.seed, self.device = recipe, seed, device
        self.spec, side = ours.window_spec(fields), ours.patch
        self.n_channels = min(fields.n_channels, 3)
        self.n_classes, self.smallest = len(fields.class_names), fields.smallest
        self.sampler = ours.sampler(fields, (side, side), seed)
        widths = range(2, 129)
        above = bisect_left(widths, n_parameters, key=lambda width: count(self.net(width)))
        nearest = widths[max(0, above - 1) : above + 1]
        self.width = min(nearest, key=lambda width: abs(count(self.net(width)) - n_parameters))

    @property
    def n_parameters(self) -> int:
        """Trainable values."""
        return count(self.net(self.width))

    def net(self, width: int) -> nn.Module:
        """The net with that many channels at its first level."""
        from monai.networks.nets import UNet

        recipe = self.recipe
        return UNet(
            spatial_dims=2,
            in_channels=self.n_channels,
            out_channels=self.n_classes + 1,
            channels=tuple(width * 2**level for level in range(recipe.n_levels)),
            strides=(2,) * (recipe.n_levels - 1),
            num_res_units=recipe.n_residual,
            norm="batch",
        )

    def begin(self, n_steps: int) -> Losses:
        """A run with fresh weights."""
        from monai.losses import DiceCELoss

        torch.manual_seed(self.seed)
        # channels last: a fifth faster on the CPU
        recipe = self.recipe
        net = self.net(self.width).to(self.device, memory_format=torch.channels_last)
        optimizer = torch.optim.AdamW(
            net.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        warm = max(1, round(recipe.warm_up * n_steps))
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer,
            lambda step: min(
                (step + 1) / warm, 0.5 + 0.5 * cos(pi * max(0, step - warm) / (n_steps - warm + 1))
            ),
        )
        loss_of = DiceCELoss(to_onehot_y=True, softmax=True)
        net.train()
        with ThreadPoolExecutor(1, "patches") as pool:
            coming = pool.submit(self.sampler.batch, 0)
            for step in range(n_steps):
                images, masks = self._on_device(coming.result())
                if step + 1 < n_steps:
                    coming = pool.submit(self.sampler.batch, step + 1)
                with half_on(self.device):
                    logits = net(images)
                loss = loss_of(logits.float(), masks)
                loss.backward()
                nn.utils.clip_grad_norm_(net.parameters(), recipe.clip_norm)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
                yield float(loss.detach())
        return self._predict(net.eval())

    def _on_device(self, drawn: DrawnBatch) -> tuple[Tensor, Tensor]:
        """Patches (B, C, P, P) in [0, 1] and their masks (B, 1, P, P)."""
        seen = patches_on(drawn, self.device)
        return seen.images[:, 0, : self.n_channels], seen.classes

    def _predict(self, net: nn.Module) -> Predict:
        from monai.inferers import sliding_window_inference

        @torch.inference_mode()
        def predict(stack: ImageStack, frame: int) -> Segmented:
            image = model_frame(stack, frame, self.spec).image
            with half_on(self.device):
                logits: Tensor = sliding_window_inference(
                    torch.from_numpy(image.transpose(2, 0, 1)).to(self.device)[None],
                    (self.spec.patch, self.spec.patch),
                    16,
                    net,
                    overlap=self.recipe.overlap,
                    mode="gaussian",
                )
            return with_pieces(in_source(logits.float(), stack.shape, self.spec), self.smallest)

        return predict


def in_source(logits: Tensor, shape: tuple[int, ...], spec: WindowSpec) -> np.ndarray:
    """Class ids (Y, X) uint8 in source pixels of logits (1, C + 1, y, x) in resized pixels."""
    rows, cols = resized_shape(shape, spec)
    inside = logits[:, :, :rows, :cols]
    if (rows, cols) != shape[1:3]:
        inside = F.interpolate(inside, shape[1:3], mode="bilinear", align_corners=False)
    return inside[0].argmax(0).to(torch.uint8).cpu().numpy()


def half_on(device: torch.device) -> torch.autocast | nullcontext[None]:
    """Bfloat16 on a GPU, as we compute there."""
    return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()


def count(net: nn.Module) -> int:
    """Trainable values of a net."""
    return sum(p.numel() for p in net.parameters() if p.requires_grad)
