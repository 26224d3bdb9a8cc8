"""One measurement of `benchmarks.segment`, in a process of its own: its memory is its own peak.

Reads jobs as lines of JSON, and writes a line for each. Only what earlier versions have, too, is
used of `rleseg_core`, so that ``PYTHONPATH`` can name the sources of one.
"""

import json
import resource
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from rleseg_core.data import ImageStack
from rleseg_core.inference import Segmenter

How = Literal["default", "no drafts", "preview", "U-Net", "Cellpose"]
OPTIONS: dict[How, dict[str, Any]] = {
    "default": {},
    "no drafts": {"draft": "none"},
    "preview": {"preview": True},
}
WATCHED = 2048  # rows of a field up to which waits are counted, which takes one more round
GREY = [0, 0]  # channels of Cellpose: no nuclei beside


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is measured.

    Parameters
    ----------
    model : str
        Name or file; a U-Net has as many parameters and windows of the same size.
    how : str
        A key of `OPTIONS`, or another contender.
    images : str
        A file of fields (T, Y, X), npy.
    image_size : int
        I, the longer side at which the fields are seen.
    device : str
        Where.
    threads : int
        Of torch.
    batch_size : int or None
        Windows at once; None: the program's choice.
    repeats : int
        Rounds, 1 or more, after a first one that ends with its first mask; the fastest counts.
    masks : str or None
        A file to write the foreground to, npy.
    """

    model: str
    how: How
    images: str
    image_size: int
    device: str = "cpu"
    threads: int = 1
    batch_size: int | None = None
    repeats: int = 1
    masks: str | None = None


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a job has taken; seconds are of the fastest round, all fields together.

    Parameters
    ----------
    n_fields : int
        T.
    cpu, wall : float
        Seconds.
    first_cpu, first_wall : float
        Seconds until the first mask.
    cold_cpu, cold_wall : float or None
        The same from the start of the process on, with imports and the model read; None but for
        the first job of a process.
    memory : int
        Bytes: peak of the process, or on a GPU of what torch has reserved there for this job.
    batch_size : int or None
        Windows that were computed at once.
    n_windows, n_tokens : int
        Of all fields.
    waits : int or None
        How often the host waited for the GPU in a round, as far as torch tells.
    """

    n_fields: int
    cpu: float
    wall: float
    first_cpu: float
    first_wall: float
    cold_cpu: float | None
    cold_wall: float | None
    memory: int
    batch_size: int | None = None
    n_windows: int = 0
    n_tokens: int = 0
    waits: int | None = None


@dataclass(frozen=True)
class Moment:
    """CPU seconds of the process, and wall time."""

    cpu: float
    wall: float

    @classmethod
    def now(cls, device: torch.device) -> "Moment":
        """With nothing under way on the device."""
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return cls(time.process_time(), time.time())


@dataclass
class Round:
    """A run over all fields."""

    began: Moment
    first: Moment
    ended: Moment
    foreground: np.ndarray | None = None
    batch_size: int | None = None
    n_windows: int = 0
    n_tokens: int = 0


def our_round(segmenter: Segmenter, stack: ImageStack, job: Job, *, ends_early: bool) -> Round:
    """`Segmenter.segment`, or `predict` of versions that have no other."""
    device = segmenter.device
    segment: Any = getattr(segmenter, "segment", segmenter.predict)
    began = Moment.now(device)
    steps = segment(stack, batch_size=job.batch_size, image_size=job.image_size, **OPTIONS[job.how])
    result = next(steps)
    first, size, n_windows, n_tokens = Moment.now(device), 0, 0, 0
    if ends_early:
        steps.close()
        return Round(began, first, first)
    while True:
        n_windows, size = n_windows + 1, max(size, result.batch_size)
        n_tokens += result.tokens.shape[-1]
        try:
            result = next(steps)
        except StopIteration as end:
            found = end.value
            break
    ended = Moment.now(device)
    classes = np.asarray(getattr(found, "classes", found)) > 0
    return Round(began, first, ended, classes, size, n_windows, n_tokens)


def field_by_field(
    foreground: Callable[[ImageStack, int], np.ndarray],
    stack: ImageStack,
    device: torch.device,
    *,
    ends_early: bool,
) -> Round:
    """A contender that gives a field at a time; its first mask is the whole first field."""
    began = Moment.now(device)
    found, moments = [], []
    for frame in range(1 if ends_early else stack.n_frames):
        found.append(foreground(stack, frame))
        moments.append(Moment.now(device))
    return Round(began, moments[0], moments[-1], np.stack(found))


def unet_of(job: Job, device: torch.device) -> Callable[[ImageStack, int], np.ndarray]:
    """A U-Net with random weights and as many parameters as the model."""
    from benchmarks.learn_recipe import RivalRecipe
    from benchmarks.learn_train import count
    from benchmarks.learn_unet import frame_logits, unet, width_for
    from rleseg_core.devices import multiplies_bf16

    ours = Segmenter.from_checkpoint(job.model, "cpu")
    spec = ours.window_spec(job.image_size)
    recipe = RivalRecipe()
    net_of = partial(unet, n_channels=1, n_outputs=1 + len(ours.class_names), recipe=recipe)
    torch.manual_seed(0)
    net = net_of(width_for(net_of, count(ours.model))).eval()
    net = net.to(device, memory_format=torch.channels_last)

    def foreground(stack: ImageStack, frame: int) -> np.ndarray:
        # in the precision of our encoder
        with torch.autocast(device.type, torch.bfloat16, enabled=multiplies_bf16(device)):
            logits = frame_logits(net, stack, frame, spec, recipe, device)
        return logits.float().argmax(0).cpu().numpy() > 0

    return foreground


def cellpose_of(job: Job, device: torch.device) -> Callable[[ImageStack, int], np.ndarray]:
    """Cellpose 3 with random weights: its net and its dynamics, on the field resized to I."""
    from cellpose.models import CellposeModel

    model = CellposeModel(gpu=device.type == "cuda", pretrained_model="")

    def foreground(stack: ImageStack, frame: int) -> np.ndarray:
        field = np.asarray(stack.frame(frame))[..., 0]
        masks, *_ = model.eval(
            field, channels=GREY, resample=False, rescale=job.image_size / max(field.shape)
        )
        return np.asarray(masks) > 0

    return foreground


def rounds_of(job: Job, stack: ImageStack, device: torch.device) -> Callable[..., Round]:
    """What runs once over the stack, or up to its first mask."""
    if job.how in OPTIONS:
        return partial(our_round, Segmenter.from_checkpoint(job.model, job.device), stack, job)
    build = unet_of if job.how == "U-Net" else cellpose_of
    return partial(field_by_field, build(job, device), stack, device)


def peak_memory(device: torch.device) -> int:
    """Bytes at most, of this process or of the device."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_reserved(device))
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss would count the process that has started this one
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def waits_in(run: Callable[..., Round]) -> int:
    """How often torch says that the host waited for the GPU."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            run(ends_early=False)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("called a synchronizing" in str(one.message) for one in seen)


def measure(job: Job, started: float | None) -> Found:
    """Run a job; of the first one `started` is when the process began, by `time.time`."""
    torch.set_num_threads(job.threads)
    device = torch.device(job.device)
    if device.type == "cuda":
        torch.cuda.init()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    stack = ImageStack.from_array(np.load(job.images), name="fields")
    run = rounds_of(job, stack, device)
    cold = run(ends_early=True)
    rounds = [run(ends_early=False) for _ in range(job.repeats)]
    memory = peak_memory(device)
    best = min(rounds, key=lambda one: one.ended.cpu - one.began.cpu)
    if device.type == "cuda":
        best = min(rounds, key=lambda one: one.ended.wall - one.began.wall)
    if job.masks is not None:
        assert best.foreground is not None
        np.save(job.masks, best.foreground)
    return Found(
        n_fields=stack.n_frames,
        cpu=best.ended.cpu - best.began.cpu,
        wall=best.ended.wall - best.began.wall,
        first_cpu=min(one.first.cpu - one.began.cpu for one in rounds),
        first_wall=min(one.first.wall - one.began.wall for one in rounds),
        cold_cpu=None if started is None else cold.first.cpu,
        cold_wall=None if started is None else cold.first.wall - started,
        memory=memory,
        batch_size=best.batch_size,
        n_windows=best.n_windows,
        n_tokens=best.n_tokens,
        waits=waits_in(run) if device.type == "cuda" and stack.shape[1] <= WATCHED else None,
    )


def answers(lines: Iterator[str], started: float) -> Iterator[dict[str, object]]:
    """What each job has taken, or why it failed."""
    for k, line in enumerate(lines):
        try:
            yield asdict(measure(Job(**json.loads(line)), None if k else started))
        except Exception as error:  # noqa: BLE001 the others go on
            yield {"error": f"{type(error).__name__}: {error}"}


def main() -> None:
    """Answer the lines of the standard input."""
    for answer in answers(sys.stdin, float(sys.argv[1])):
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
