"""Dice against the number of labelled frames, on real phase-contrast fields.

    python -m scripts.make_learning_curve --base runs/synthetic-only.safetensors --seeds 0 1 2

Each point trains a model on the first N fields of an order drawn with the seed, by a preset of
`rleseg train --from` or, as `scratch`, a new model of the same size with the numbers of `thorough`,
and scores it on ten other fields in source pixels. Those ten are the test fields of
benchmarks/learn.py: nothing was ever trained on them or chosen by them. The base must not have seen
any of the fields either. Points that the log has already are not made again.
"""

import argparse
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from benchmarks.learn_data import split_usiigaci

from rleseg_core.checkpoints import ModelInfo, find_model, new_model, read_info
from rleseg_core.data import LabelledStack
from rleseg_core.drawing.charts import Curve, save_curves
from rleseg_core.evaluation.scores import confusion_matrix, score
from rleseg_core.inference import Segmenter
from rleseg_core.reports import product_of
from rleseg_core.spec import MaskSpec
from rleseg_core.tokens import for_classes, preset
from rleseg_core.training import (
    FINE_TUNING,
    FineTuneOptions,
    TrainingData,
    count_windows,
    fine_tune,
    read_reports,
    train,
)

ROOT = Path(__file__).parents[1]
CLASSES = ("cell",)
IMAGE_SIZE = 512  # cells are then about as large as the synthetic ones
METHODS = {"quick": "quick", "thorough": "thorough", "scratch": "thorough"}
TITLES = {
    "quick": "fine-tuned, quick",
    "thorough": "fine-tuned, thorough",
    "scratch": "from scratch, the steps of thorough",
}


class Fields:
    """The fields, ten of them for the test, the others in an order that a seed draws."""

    def __init__(self, folder: Path) -> None:
        source = folder / "usiigaci_gt50"
        names = sorted(path.stem for path in (source / "images").iterdir())
        test = split_usiigaci(names)["test"]
        self.stack = LabelledStack.from_paths(
            source / "images", source / "masks", CLASSES, instances=True
        )
        self.names = names
        self.test = [names.index(name) for name in test]
        self.pool = [index for index, name in enumerate(names) if name not in {"set01", *test}]

    def drawn(self, n_frames: int, seed: int) -> list[int]:
        """The first fields of the order of a seed."""
        order = np.random.default_rng(seed).permutation(self.pool)
        return [int(index) for index in order[:n_frames]]

    def dice(self, model: Path, device: str) -> float:
        """Of the test fields, all pixels together; every class counts as a cell."""
        segmenter = Segmenter.from_checkpoint(model, device)
        run = segmenter.predict(self.stack.images, frames=self.test, image_size=IMAGE_SIZE)
        labels = product_of(run)
        confusion = np.zeros((2, 2), np.int64)
        for frame in self.test:
            truth = self.stack.class_frame(frame)
            confusion += confusion_matrix(truth, (labels[frame] > 0).astype(np.uint8), 1)
        return score(confusion, CLASSES).classes[0].dice


def trained(
    method: str,
    base: ModelInfo,
    stack: LabelledStack,
    order: list[int],
    seed: int,
    folder: Path,
    device: str,
) -> tuple[Path, int]:
    """A model trained on these fields of a stack, the last held out, and the steps it took."""
    spec = replace(base.window_spec, image_size=IMAGE_SIZE)
    whole = replace(stack, frames=tuple(order))
    recipe = FINE_TUNING[METHODS[method]](*count_windows([whole], spec), device, base)
    config = replace(recipe.config, seed=seed)
    shutil.rmtree(folder, ignore_errors=True)
    n_taught = len(order) - round(recipe.validation_share * len(order))
    stacks = [replace(stack, frames=tuple(order[:n_taught]))]
    held_out = [replace(stack, frames=tuple(order[n_taught:]))] if n_taught < len(order) else []
    data = TrainingData(stacks=stacks, validation=held_out)
    if method == "scratch":
        info = new_model(
            folder / "model.safetensors",
            size="nano",
            scheme=for_classes(preset("lac"), 1),
            mask_spec=MaskSpec(size=base.mask_spec.size, class_names=CLASSES),
            window_spec=spec,
            max_tokens=256,
        )
        run = train(info, data, config, folder, device=device)
    else:
        options = FineTuneOptions(image_size=IMAGE_SIZE)
        run = fine_tune(base.path, data, config, folder, options=options, device=device)
    return product_of(run), read_reports(folder)[-1].step


def measured(
    method: str,
    n_frames: int,
    seed: int,
    base: ModelInfo,
    fields: Fields,
    run_dir: Path,
    device: str,
) -> dict[str, object]:
    """One point of a curve."""
    order = fields.drawn(n_frames, seed)
    point: dict[str, object] = {"method": method, "n_frames": n_frames, "seed": seed}
    point |= {"base": base.path.name, "device": device, "threads": torch.get_num_threads()}
    began, busy = time.perf_counter(), time.process_time()
    model, steps = base.path, 0
    if n_frames:
        model, steps = trained(method, base, fields.stack, order, seed, run_dir / "run", device)
    return point | {
        "minutes": (time.perf_counter() - began) / 60,
        "cpu_minutes": (time.process_time() - busy) / 60,
        "steps": steps,
        "dice": fields.dice(model, device),
        "fields": [fields.names[frame] for frame in order],
    }


def table(points: Sequence[dict], counts: Sequence[int], methods: Sequence[str]) -> str:
    """Markdown: mean Dice, lowest to highest where there are several seeds, and minutes."""
    lines = ["| frames | " + " | ".join(f"{TITLES[m]}: Dice | CPU minutes" for m in methods) + " |"]
    lines.append("|---" * (1 + 2 * len(methods)) + "|")
    for count in counts:
        cells = [str(count)]
        for method in methods:
            found = [p for p in points if (p["method"], p["n_frames"]) == (method, count)]
            dice = [p["dice"] for p in found]
            several = f" ({min(dice):.3f}–{max(dice):.3f})" if len(dice) > 1 else ""
            cells.append(f"{np.mean(dice):.3f}{several}" if dice else "")
            minutes = [p["cpu_minutes"] for p in found]
            cells.append(f"{np.mean(minutes):.1f}" if minutes and count else "")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--base", default="demo", help="a model that has seen none of the fields")
    parser.add_argument("--counts", type=int, nargs="+", default=[0, 1, 2, 4, 8, 16, 32])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=["quick", "thorough"])
    parser.add_argument("--from-scratch", action="store_true", help="new models as well")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--run-dir", type=Path, default=ROOT / "runs/learning-curve")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/images/learning-curve.png")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    methods = [*arguments.methods, *(["scratch"] if arguments.from_scratch else [])]
    base = read_info(find_model(arguments.base))
    fields = Fields(arguments.data)
    log = arguments.run_dir / "points.jsonl"
    log.parent.mkdir(parents=True, exist_ok=True)
    lines = log.read_text().splitlines() if log.is_file() else []
    points = [json.loads(line) for line in lines]
    known = {(p["method"], p["n_frames"], p["seed"], p["base"]) for p in points}
    for seed in arguments.seeds:
        for count in arguments.counts:
            for method in methods:
                key = (method, count, seed, base.path.name)
                if key in known or (count == 0 and (method == "scratch" or seed > 0)):
                    continue
                point = measured(
                    method, count, seed, base, fields, arguments.run_dir, arguments.device
                )
                points.append(point)
                with log.open("a") as file:
                    file.write(json.dumps(point) + "\n")
                print(json.dumps({k: v for k, v in point.items() if k != "fields"}), flush=True)
    points = [p for p in points if p["base"] == base.path.name]
    print(table(points, arguments.counts, methods))
    curves = []
    for method in methods:
        at: dict[str, list[float]] = {}
        for point in points:
            if point["method"] == method:
                at.setdefault(str(point["n_frames"]), []).append(point["dice"])
        curves.append(Curve(TITLES[method], at))
    places = [str(count) for count in arguments.counts]
    title = "Dice on ten fields that no model has learnt from"
    labels = {"title": title, "across": "corrected frames"}
    print(save_curves(arguments.out, curves, places, **labels, overwrite=True))


if __name__ == "__main__":
    main()
