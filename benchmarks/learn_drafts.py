"""What tokens make of the objects that dense heads draft: one model, decoded in several ways."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.learn_data import Fields
from benchmarks.learn_score import Quality, Segmented, measure
from benchmarks.learn_train import large_objects
from rleseg_core.data import ImageStack
from rleseg_core.inference import PredictOptions, Segmenter

WAYS: dict[str, PredictOptions] = {
    "dense heads alone": PredictOptions(preview=True),
    "drafts, leniency 8": PredictOptions(leniency=8.0),
    "drafts, leniency 4": PredictOptions(leniency=4.0),
    "drafts, leniency 2": PredictOptions(leniency=2.0),
    "drafts, leniency 0": PredictOptions(leniency=0.0),
    "tokens alone": PredictOptions(draft="none"),
}


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """A way of decoding, and what came of it.

    Parameters
    ----------
    way : str
        One of `WAYS`.
    quality : Quality
        Scores, and wall seconds an image.
    tokens, cpu_seconds : float
        Of an image, on average.
    """

    way: str
    quality: Quality
    tokens: float
    cpu_seconds: float


def decode_in_all_ways(model: Path, fields: Fields, part: str, device: str) -> list[Decoded]:
    """Score a model of objects on the images of a part, decoded in all ways."""
    segmenter = Segmenter.from_checkpoint(model, device)
    return [_decode(segmenter, way, fields, part) for way in WAYS]


def _decode(segmenter: Segmenter, way: str, fields: Fields, part: str) -> Decoded:
    counted: list[tuple[int, float]] = []

    def predict(stack: ImageStack, frame: int) -> Segmented:
        n_tokens, began = 0, time.process_time()
        run = segmenter.segment(stack, WAYS[way], frames=[frame])
        while True:
            try:
                n_tokens += next(run).tokens.size
            except StopIteration as end:
                found = end.value
                break
        counted.append((n_tokens, time.process_time() - began))
        return large_objects(found, frame, fields.smallest)

    quality = measure(predict, getattr(fields, part), fields.class_names)
    tokens, seconds = np.mean(counted, axis=0).tolist()
    return Decoded(way=way, quality=quality, tokens=tokens, cpu_seconds=seconds)


def drafts_table(rows: Sequence[Decoded]) -> str:
    """A Markdown table, a row for each way."""
    lines = [
        "| | AP at 0.5 | AP at 0.75 | AP | objects | Dice | tokens | CPU s an image |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        q = row.quality
        lines.append(
            f"| {row.way} | {q.ap50:.3f} | {q.ap75:.3f} | {q.ap:.3f} | {q.n_predicted:,} | "
            f"{q.dice:.3f} | {row.tokens:,.0f} | {row.cpu_seconds:.2f} |"
        )
    return "\n".join(lines)
