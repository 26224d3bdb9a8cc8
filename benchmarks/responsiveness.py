"""Print how long napari's event loop was held up while the plugin worked.

    python -m benchmarks.responsiveness
    python -m benchmarks.responsiveness --side 512 --frames 6 --json gaps.json

A window of napari is opened, and a timer of 5 ms ticks in it. Whatever holds up the event loop
holds up the timer, so that the longest gap between two ticks is the longest time in which napari
did not answer. Each task is measured several times, and the best of them counts: other programs
can hold up any event loop, but what the plugin itself does wrong is wrong each time. People do not
notice gaps under 100 ms. Jobs run in processes of their own, as they do by default. On a computer
without a screen, run it under ``xvfb-run -a -s '-screen 0 1600x1000x24'``.
"""

import argparse
import itertools
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from napari.viewer import Viewer
from qtpy.QtCore import QEventLoop, QTimer
from qtpy.QtWidgets import QApplication

from benchmarks.decode import machine, table
from napari_rleseg.layers import labels_layer, show_labels
from napari_rleseg.session import Session
from napari_rleseg.widgets.workbench import Workbench
from rleseg_core.checkpoints import model_folders, read_info
from rleseg_core.data import SyntheticConfig, synthesize

TICK_MS = 5
PAUSE_S = 0.2  # before and after what is short, so that its own gap is not cut off
HEAD = ("task", "longest gap ms", "95 % under ms", "ticks")


@dataclass(frozen=True)
class Gaps:
    """Milliseconds between the ticks of a timer while something was done."""

    task: str
    longest: float
    usual: float  # 95 % are shorter
    n_ticks: int

    def row(self) -> list[str]:
        """Cells of the table."""
        return [self.task, f"{self.longest:.0f}", f"{self.usual:.0f}", f"{self.n_ticks}"]


@contextmanager
def ticks() -> Iterator[list[float]]:
    """Times, in seconds, at which the event loop came round to the timer."""
    times: list[float] = []
    timer = QTimer()
    timer.timeout.connect(lambda: times.append(time.perf_counter()))
    timer.start(TICK_MS)
    yield times
    timer.stop()


def spin(done: Callable[[], bool]) -> None:
    """Let the event loop go on until `done`."""
    while not done():
        QApplication.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)


def rest(seconds: float = PAUSE_S) -> None:
    """Let the event loop go on for a time."""
    end = time.perf_counter() + seconds
    with ticks():  # events come, and it wakes
        spin(lambda: time.perf_counter() > end)


def best(task: str, work: Callable[[], None], repeats: int) -> Gaps:
    """The gaps of the round whose longest is the shortest."""
    rounds = []
    for _ in range(repeats):
        with ticks() as times:
            rest()
            work()
            rest()
        rounds.append(1000 * np.diff(times))
    gaps = min(rounds, key=lambda gaps: gaps.max())
    return Gaps(task, float(gaps.max()), float(np.quantile(gaps, 0.95)), len(gaps) + 1)


class Tasks:
    """What a person has the workbench do."""

    def __init__(self, viewer: Viewer, side: int, n_frames: int, n_steps: int) -> None:
        _, self.bench = viewer.window.add_plugin_dock_widget("napari-rleseg", "Workbench")
        assert isinstance(self.bench, Workbench)
        self.session = Session.of(viewer)
        self.cells = synthesize(SyntheticConfig(n_frames=n_frames, size=(side, side), seed=5))
        self.session.image = viewer.add_image(self.cells.images, name="cells")
        self.session.model = read_info(model_folders()[0] / "demo.safetensors")
        self.n_steps, self._numbers = n_steps, itertools.count()
        spin(lambda: not any(runner.busy for runner in self.session.runners))
        rest(1)

    def add_layer(self) -> None:
        """Napari alone: a labels layer of the image's size."""
        data = np.zeros(self.cells.classes.shape, np.uint8)
        layer = labels_layer(data, self.cells.class_names, name="bare")
        self.session.viewer.add_layer(layer)
        rest()
        layer.visible = False  # not removed: a napari that draws in software may not survive it

    def begin(self) -> None:
        """Press Segment, until the job has begun; the rest is cancelled."""
        begun: list[bool] = []
        self.session.result = None  # a new layer is made
        self.session.inference.started.connect(lambda: begun.append(True))
        self.bench.segment.button.click()
        spin(lambda: bool(begun))
        rest()
        self.bench.segment.segmentation.cancel()
        spin(lambda: not self.bench.segment.segmentation.running)

    def segment(self) -> None:
        """Segment all frames into the layer that is there."""
        self.bench.segment.button.click()
        spin(lambda: not self.bench.segment.segmentation.running)

    def fine_tune(self) -> None:
        """Train the model on a truth layer for a few steps."""
        panel, cells = self.bench.finetune, self.cells
        if "truth" not in self.session.viewer.layers:
            panel.truth.layer = show_labels(
                self.session.viewer,
                cells.classes,
                cells.class_names,
                name="truth",
                image=self.session.image,
            )
        form = panel.recipe_box.form
        form.value = replace(form.value, n_steps=self.n_steps, batch_size=2, validate_every=3)
        panel.name.setText(f"tuned-{next(self._numbers)}")
        panel.button.click()
        spin(lambda: not panel.finetuning.running)
        if panel.finetuning.model is None:
            raise SystemExit(f"the model was not trained: {panel.status.text()}")


def measure(tasks: Tasks, repeats: int) -> list[Gaps]:
    """Gaps of all tasks, in the order of the work."""
    return [
        best("napari adds a layer", tasks.add_layer, repeats),
        best("segmenting begins", tasks.begin, repeats),
        best("a model segments", tasks.segment, repeats),
        best("a model is fine-tuned", tasks.fine_tune, repeats),
    ]


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--side", type=int, default=256, help="side of the images in pixels")
    parser.add_argument("--frames", type=int, default=3, help="frames of the time-lapse")
    parser.add_argument("--steps", type=int, default=6, help="steps of fine-tuning")
    parser.add_argument("--repeats", type=int, default=3, help="rounds, of which the best counts")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["XDG_DATA_HOME"] = home  # sessions and models of these rounds
        viewer = Viewer()
        tasks = Tasks(viewer, arguments.side, arguments.frames, arguments.steps)
        found = measure(tasks, arguments.repeats)
        tasks.session.close()
        viewer.close()
    where = machine(torch.device("cpu"), torch.float32)
    print(f"{where['date']}, {where['processor']}, torch {where['torch']}\n")
    print(table(HEAD, [gaps.row() for gaps in found]))
    if arguments.json:
        record = {"where": where, "gaps": [vars(gaps) for gaps in found]}
        arguments.json.write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
