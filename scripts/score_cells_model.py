"""Score models of cells on images that the bundled one has never been taught.

    python scripts/score_cells_model.py runs/old.safetensors runs/new.safetensors

Pixels and objects in source resolution, frames at 512 pixels and at the size of their validation;
the boundary F-score within 2 pixels. Objects are those that a model tells apart, else connected
pieces. Scores that are known already are kept in --log, by the
contents of the model and the frames, so that a comparison takes only the time of what is new.
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from cells_data import CLASSES, IMAGE_SIZE, SOURCES, split

from rleseg_core.data import LabelledStack
from rleseg_core.evaluation.boundary import boundary_counts, boundary_f
from rleseg_core.evaluation.instances import instance_scores, match_counts
from rleseg_core.evaluation.scores import confusion_matrix, score
from rleseg_core.inference import Segmenter

ROOT = Path(__file__).parents[1]
TOLERANCE = 2.0


def scores_of(
    segmenter: Segmenter, stack: LabelledStack, frames: list[int], size: int
) -> dict[str, float]:
    """Dice, precision, recall, boundary F-score and AP of objects at an IoU of 0.5, all pooled."""
    pixels, edges = np.zeros((2, 2), np.int64), np.zeros((1, 4), np.int64)
    matches = np.zeros((10, 3), np.int64)
    out = np.zeros(stack.images.shape[:3], np.uint8)
    objects = np.zeros(out.shape, np.uint32)
    run = segmenter.segment(
        stack.images, frames=frames, image_size=size, classes=out, objects=objects
    )
    for _ in run:
        pass
    for frame in frames:
        truth, ids = stack.class_frame(frame), stack.instance_frame(frame)
        assert ids is not None
        pixels += confusion_matrix(truth, out[frame], 1)
        edges += boundary_counts(truth, out[frame], 1, TOLERANCE)
        matches += match_counts(ids, objects[frame].astype(np.int64))
    cell = score(pixels, CLASSES).classes[0]
    return {
        "Dice": cell.dice,
        "precision": cell.precision,
        "recall": cell.recall,
        "boundary F": float(boundary_f(edges)[0]),
        "AP": instance_scores(matches).ap50,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--sources", nargs="+", choices=list(SOURCES), default=list(SOURCES))
    parser.add_argument("--log", type=Path, default=ROOT / "runs/cells-scores.json")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    known = json.loads(arguments.log.read_text()) if arguments.log.exists() else {}
    print("| held out | image size | model | Dice | precision | recall | boundary F | AP |")
    print("|---|---:|---|---:|---:|---:|---:|---:|")
    with torch.inference_mode():
        for source in arguments.sources:
            stack, _, frames = split(arguments.data, source)
            for size in sorted({IMAGE_SIZE, SOURCES[source].validated_at}):
                for model in arguments.models:
                    content = hashlib.sha256(model.read_bytes()).hexdigest()[:16]
                    key = f"{content} {source} {size} {frames}"
                    if key not in known:
                        segmenter = Segmenter.from_checkpoint(model, arguments.device)
                        known[key] = scores_of(segmenter, stack, frames, size)
                        arguments.log.parent.mkdir(parents=True, exist_ok=True)
                        arguments.log.write_text(json.dumps(known, indent=1))
                    values = " | ".join(f"{value:.3f}" for value in known[key].values())
                    print(f"| {source}, {len(frames)} frames | {size} | {model} | {values} |",
                          flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
