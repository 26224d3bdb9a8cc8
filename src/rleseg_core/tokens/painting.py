"""Runs and events as pixels of a mask."""

from __future__ import annotations

import numpy as np

from rleseg_core.tokens.events import BlockClosed, Event, RunPainted
from rleseg_core.tokens.records import Runs, draw
from rleseg_core.tokens.stages import Stages


def draw_mask(
    stages: Stages, runs: Runs[np.ndarray], labels: np.ndarray, dtype: np.dtype
) -> np.ndarray:
    """A mask (N, S, S) of labels (R,) where runs are; in blocks, where their objects are."""
    flattening = stages.flattening
    layers = []
    for digit in flattening.digits(runs.symbol):
        if stages.blocks is None:
            shown = Runs(runs.start, runs.length, digit)
        else:
            seen = digit.nonzero()[0]
            shown = Runs(runs.start[seen], runs.length[seen], labels[seen])
        layers.append(draw(shown, flattening.n_pixels, dtype))
    return flattening.from_layers(layers)


def paint(stages: Stages, labels: np.ndarray, event: Event) -> None:
    """Paint what an event says into labels (N, S, S), in place; see `Tokenizer.paint`."""
    frames, rows, cols, said = pixels_of(stages, event)
    where = (frames, rows, cols)
    if stages.blocks is None:
        labels[where] = said
        return
    seen = said > 0
    where = (frames[seen], rows[seen], cols[seen])
    if isinstance(event, BlockClosed):
        labels[where] = event.label
        return
    now = labels[where]
    if isinstance(event, RunPainted):
        labels[where] = np.where(now == 0, stages.open_label, now)
    else:
        labels[where] = np.where(now == stages.open_label, 0, now)


def pixels_of(
    stages: Stages, event: Event
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Frames, rows, columns and labels (n,) of the runs of an event."""
    if isinstance(event, RunPainted):
        positions = np.arange(event.start, event.start + event.length)
        return stages.flattening.pixels(positions, event.labels)
    runs = event.runs if isinstance(event, BlockClosed) else event.dropped
    parts = [pixels_of(stages, run) for run in runs] or [(np.empty(0, np.int64),) * 4]
    frames, rows, cols, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
    return frames, rows, cols, labels
