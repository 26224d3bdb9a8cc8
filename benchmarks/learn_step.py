"""Where the time of a training step goes."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from benchmarks.learn_data import Fields
from benchmarks.learn_recipe import Recipe
from benchmarks.learn_train import COLD, Ours
from rleseg_core.tokens import Tokenizer
from rleseg_core.training.sampling import PatchSampler

PARTS = ("encoding", "forward", "backward", "optimizer", "the rest")


class Stopwatch:
    """Seconds of the parts of a step, from outside of the trainer.

    On a GPU the host waits for the device before and after each part, so that each gets its own
    time; steps are then a little slower than without.
    """

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._main = threading.get_ident()
        self._depth, self._began = 0, 0.0
        self.seconds: dict[str, float] = {}

    def now(self) -> float:
        """Wall time, with nothing under way on the device."""
        if self._cuda:
            torch.cuda.synchronize()
        return time.perf_counter()

    def add(self, part: str, seconds: float) -> None:
        """More of a part."""
        self.seconds[part] = self.seconds.get(part, 0.0) + seconds

    def timed(self, part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """A function whose time is taken; beside the main thread, that of its own thread alone."""

        @wraps(call)
        def run(*values: Any, **named: Any) -> Any:
            beside = threading.get_ident() != self._main
            now = time.thread_time if beside else self.now
            began = now()
            try:
                return call(*values, **named)
            finally:
                self.add(part, now() - began)

        return run

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Take the time of everything that trains meanwhile."""
        replaced = [
            (PatchSampler, "batch", "sampling"),
            (Tokenizer, "encode_batch", "encoding"),
            (torch.Tensor, "backward", "backward"),
        ]
        originals = [(owner, name, getattr(owner, name)) for owner, name, _ in replaced]
        for owner, name, part in replaced:
            setattr(owner, name, self.timed(part, getattr(owner, name)))
        hooks = [
            register_module_forward_pre_hook(self._enter),
            register_module_forward_hook(self._leave, always_call=True),
            register_optimizer_step_pre_hook(self._begin),
            register_optimizer_step_post_hook(lambda *_: self.add("optimizer", self._since())),
        ]
        try:
            yield
        finally:
            for owner, name, call in originals:
                setattr(owner, name, call)
            for hook in hooks:
                hook.remove()

    def _enter(self, _module: nn.Module, _values: object) -> None:
        if self._depth == 0:
            self._begin()
        self._depth += 1

    def _leave(self, _module: nn.Module, _values: object, _result: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            self.add("forward", self._since())

    def _begin(self, *_: object) -> None:
        self._began = self.now()

    def _since(self) -> float:
        return self.now() - self._began


def time_steps(
    fields: Fields, recipe: Recipe, seed: int, device: torch.device, n_steps: int
) -> dict[str, float]:
    """Milliseconds of a step of our training and of its parts, on average.

    Returns
    -------
    dict of str to float
        'step' and those of `PARTS`, which add up to it, and 'sampling', which goes on beside it in
        a thread of its own, in CPU time.
    """
    watch = Stopwatch(device)
    with TemporaryDirectory() as folder, watch.watching():
        run = Ours(fields, recipe, seed, device, Path(folder)).begin(COLD + n_steps + 1)
        for _ in range(COLD):
            next(run)
        watch.seconds.clear()
        began = watch.now()
        for _ in range(n_steps):
            next(run)
        total = watch.now() - began
        found = dict(watch.seconds)
        run.close()
    parts = {part: found.get(part, 0.0) for part in PARTS[:-1]}
    parts["the rest"] = total - sum(parts.values())
    every = {"step": total, **parts, "sampling": found.get("sampling", 0.0)}
    return {part: 1000 * seconds / n_steps for part, seconds in every.items()}


def step_table(times: dict[str, float]) -> str:
    """A Markdown table of `time_steps`."""
    rows = ["| part | ms | share of the step |", "| --- | ---: | ---: |"]
    for part, ms in times.items():
        name = "sampling, in its own thread" if part == "sampling" else part
        rows.append(f"| {name} | {ms:.2f} | {ms / times['step']:.1%} |")
    return "\n".join(rows)
