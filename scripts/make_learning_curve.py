"""Objects found against the number of corrected frames, on images that the base has not seen.

    python -m scripts.make_learning_curve --base runs/base.safetensors --data usiigaci bacteria

Each point fine-tunes the base on the first N training frames of an order drawn with the seed, by a
preset of `rleseg train --from`, and scores it on the test images of benchmarks/learn_data.py in
source pixels: nothing was ever trained on them or chosen by them. The base must not have seen any
image of the source either. Points that the log has already are not made again.
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
from benchmarks.learn_data import DATA, DataName, Fields, load_fields
from benchmarks.learn_score import Segmented, measure

from rleseg_core.checkpoints import ModelInfo, find_model, read_info
from rleseg_core.data import ImageStack
from rleseg_core.drawing.charts import Curve, save_curves
from rleseg_core.inference import Segmenter
from rleseg_core.reports import product_of
from rleseg_core.training import (
    FINE_TUNING,
    FineTuneOptions,
    TrainingData,
    count_windows,
    fine_tune,
    read_reports,
)

ROOT = Path(__file__).parents[1]
TITLES = {"quick": "fine-tuned, quick", "thorough": "fine-tuned, thorough"}
NAMES = {"usiigaci": "phase-contrast fields", "dsb2018": "nuclei", "bacteria": "bacteria"}


def drawn(fields: Fields, n_frames: int, seed: int) -> list[int]:
    """The first training frames of the order of a seed."""
    order = np.random.default_rng(seed).permutation(fields.train[0].frames)
    return [int(frame) for frame in order[:n_frames]]


def scores(model: Path, fields: Fields, device: str) -> dict[str, float]:
    """AP of objects at an IoU of 0.5 and of 0.75, and Dice; every class counts as a cell."""
    segmenter = Segmenter.from_checkpoint(model, device)

    def predict(stack: ImageStack, frame: int) -> Segmented:
        results = segmenter.segment(stack, frames=[frame], image_size=fields.image_size)
        masks = product_of(results)
        return Segmented((masks.classes[frame] > 0).astype(np.uint8), masks.objects[frame])

    found = measure(predict, fields.test, fields.class_names)
    return {"ap50": found.ap50, "ap75": found.ap75, "dice": found.dice}


def tuned(
    method: str, base: ModelInfo, fields: Fields, frames: list[int], seed: int, folder: Path
) -> tuple[Path, int]:
    """A model fine-tuned on these frames, the last held out where the preset does so; its steps."""
    whole = replace(fields.train[0], frames=tuple(frames))
    spec = replace(base.window_spec, image_size=fields.image_size)
    recipe = FINE_TUNING[method](*count_windows([whole], spec), "cpu", base)
    shutil.rmtree(folder, ignore_errors=True)
    n_taught = len(frames) - round(recipe.validation_share * len(frames))
    held_out = [replace(whole, frames=tuple(frames[n_taught:]))] if n_taught < len(frames) else []
    data = TrainingData(
        stacks=[replace(whole, frames=tuple(frames[:n_taught]))], validation=held_out
    )
    options = FineTuneOptions(image_size=fields.image_size)
    run = fine_tune(
        base.path, data, replace(recipe.config, seed=seed), folder, options=options, device="cpu"
    )
    return product_of(run), read_reports(folder)[-1].step


def measured(
    key: tuple[str, str, int, int], base: ModelInfo, fields: Fields, run_dir: Path
) -> dict[str, object]:
    """One point of a curve."""
    name, method, n_frames, seed = key
    frames = drawn(fields, n_frames, seed)
    busy, model, steps = time.process_time(), base.path, 0
    if n_frames:
        model, steps = tuned(method, base, fields, frames, seed, run_dir / f"run-{name}")
    minutes = (time.process_time() - busy) / 60
    point = {"data": name, "method": method, "n_frames": n_frames, "seed": seed, "steps": steps}
    point |= {"base": base.path.name, "cpu_minutes": minutes, "frames": frames}
    return point | scores(model, fields, "cpu")


def table(points: Sequence[dict], counts: Sequence[int], methods: Sequence[str]) -> str:
    """Markdown: means, lowest to highest where there are several seeds, and minutes."""
    heads = [f"{TITLES[m]}: AP at 0.5 | AP at 0.75 | Dice | CPU minutes" for m in methods]
    lines = ["| frames | " + " | ".join(heads) + " |", "|---" * (1 + 4 * len(methods)) + "|"]
    for count in counts:
        cells = [str(count)]
        for method in methods:
            found = [p for p in points if (p["method"], p["n_frames"]) == (method, count)]
            cells += [_spread([p[what] for p in found]) for what in ("ap50", "ap75", "dice")]
            minutes = [p["cpu_minutes"] for p in found]
            cells.append(f"{np.mean(minutes):.1f}" if minutes and count else "")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _spread(values: Sequence[float]) -> str:
    if not values:
        return ""
    several = f" ({min(values):.3f}–{max(values):.3f})" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{several}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", choices=DATA, default=["usiigaci"])
    parser.add_argument("--data-dir", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--base", default="demo-objects", help="a model that has seen none of them")
    parser.add_argument("--counts", type=int, nargs="+", default=[0, 1, 2, 4, 8, 16])
    parser.add_argument("--methods", nargs="+", choices=FINE_TUNING, default=["quick"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--run-dir", type=Path, default=ROOT / "runs/learning-curve")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/images/learning-curve.png")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    base = read_info(find_model(arguments.base))
    log = arguments.run_dir / "points.jsonl"
    log.parent.mkdir(parents=True, exist_ok=True)
    points = [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []
    points = [point for point in points if point["base"] == base.path.name]
    for name in arguments.data:
        add_points(points, name, base, arguments, log)
    curves = []
    for name in arguments.data:
        of_data = [point for point in points if point["data"] == name]
        print(f"\n{name}\n\n{table(of_data, arguments.counts, arguments.methods)}")
        for method in arguments.methods:
            at: dict[str, list[float]] = {}
            for point in of_data:
                if point["method"] == method:
                    at.setdefault(str(point["n_frames"]), []).append(point["ap50"])
            curves.append(Curve(f"{NAMES.get(name, name)}, {method}", at))
    places = [str(count) for count in arguments.counts]
    title = "AP of objects at 0.5 on images that no model has learnt from"
    labels = {"title": title, "across": "corrected frames"}
    print(save_curves(arguments.out, curves, places, **labels, overwrite=True))


def add_points(
    points: list[dict], name: DataName, base: ModelInfo, arguments: argparse.Namespace, log: Path
) -> None:
    """Make the points of a source that are not there yet, and log them."""
    fields = load_fields(name, arguments.data_dir)
    for seed in arguments.seeds:
        for count in arguments.counts:
            for method in arguments.methods:
                key = (name, method, count, seed)
                known = {(p["data"], p["method"], p["n_frames"], p["seed"]) for p in points}
                if key in known or (count == 0 and seed > arguments.seeds[0]):
                    continue
                points.append(measured(key, base, fields, arguments.run_dir))
                with log.open("a") as file:
                    file.write(json.dumps(points[-1]) + "\n")
                print({k: v for k, v in points[-1].items() if k != "frames"}, flush=True)


if __name__ == "__main__":
    main()
