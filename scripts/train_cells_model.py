r"""Train the bundled model of real cells: the recipe behind models/cells.safetensors.

    python scripts/train_cells_model.py --prepare runs/cells-data
    python scripts/train_cells_model.py --data runs/cells-data --minutes 6.8 --batch-size 192 \
        --processes 13 --device cuda --precision bf16 \
        --from src/rleseg_core/models/cells.safetensors --out runs/cells/best.safetensors

It learns one class, cell, from synthetic cells of all kinds (--synthetic-kinds) and from real
images in a folder that is not part of the project; `SOURCES` of cells_data.py says which, at what
sizes, and what is held out.
With --minutes it trains by the clock, and leaves the best weights and the last ones in the folder
of --out; without, for a number of steps, which is the way on a CPU:

    python scripts/train_cells_model.py --without usiigaci --without bacteria --without yeast \
        --steps 2500 --synthetic-share 0.4 --precision bf16 --threads 1 --out runs/base.safetensors

Weights are stored as float16. The version before was trained so, with 12,000 steps after these.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import dask
import torch
from bundling import adopted, bundle, circumstances, follow_training, recipe
from cells_data import (
    CLASSES,
    IMAGE_SIZE,
    KINDS,
    SOURCES,
    load,
    prepare,
    synthetic,
    with_few_levels,
)
from timed_training import Run, Timed, drawn_batches

from rleseg_core.augment.config import AUGMENTATIONS
from rleseg_core.checkpoints import ModelInfo, load_checkpoint, new_model
from rleseg_core.data import LabelledStack, grid_samples
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import preset
from rleseg_core.training import TrainConfig, TrainingData, train
from rleseg_core.training.diameters import diameters_taught

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "src/rleseg_core/models/cells.safetensors"
AUGMENT = replace(
    AUGMENTATIONS["standard"],
    scale=(0.7, 1.4),
    brightness=0.12,
    contrast=0.3,
    gamma=0.5,
    stretch=0.3,
    blur=0.8,
    noise=0.04,
)
CELLS_LOOKS = {
    "ipsc_share": (0.1, 0.7),
    "cell_radius": (12.0, 24.0),
    "noise": (1.5, 5.0),
    "blur": (0.5, 1.2),
    "contrast": (0.7, 1.4),
    "illumination": (0.0, 0.3),
}
RATES = {"backbone": 1.5, "mask_features": 1.5}
VALIDATED = 48  # windows of each source in a training by the clock


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument(
        "--from", dest="base", type=Path, help="a model of this script to go on from"
    )
    parser.add_argument("--without", choices=list(SOURCES), action="append", default=[])
    parser.add_argument("--prepare", type=Path, help="write small copies of --data there, and stop")
    parser.add_argument("--minutes", type=float, help="train so long, whatever the steps")
    parser.add_argument("--validate-every", type=float, default=60, help="seconds, with --minutes")
    parser.add_argument("--processes", type=int, default=12, help="that draw, with --minutes")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--validations", type=int, default=12, help="with --steps, at most")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--tokens-from", type=float, default=0.0, help="share of the steps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sequences", type=int, default=100)
    parser.add_argument("--synthetic-share", type=float, default=0.1)
    parser.add_argument(
        "--synthetic-kinds",
        nargs="+",
        choices=KINDS,
        default=KINDS,
        help="they take turns; what is named more often is drawn more often",
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")
    parser.add_argument("--run-dir", type=Path, help="runs/ and the name of --out by default")
    parser.add_argument("--out", type=Path, default=MODEL)
    return parser.parse_args()


def settings(arguments: argparse.Namespace) -> TrainConfig:
    return TrainConfig(
        n_steps=arguments.steps,
        batch_size=arguments.batch_size,
        learning_rate=arguments.lr,
        warmup_steps=200 if arguments.minutes else 100,
        ema=0.998,
        rates=RATES,
        token_share=0.5,
        tokens_from=arguments.tokens_from,
        dense_weight=2.0,
        augment=AUGMENT,
        precision=arguments.precision,
        validate_every=max(250, arguments.steps // arguments.validations),
        checkpoint_every=125,
        seed=arguments.seed,
    )


def model_card(arguments: argparse.Namespace, sources: Sequence[str]) -> dict[str, object]:
    """What people should know of the model, but for its scores."""
    earlier = load_checkpoint(arguments.base).info.card if arguments.base else {}
    held_out = "; ".join(SOURCES[source].held_out for source in sources)
    return {
        "licence": "BSD-3-Clause",
        "name": "Cells" if "usiigaci" in sources else "Cells, without the phase-contrast fields",
        "data": [SOURCES[source].licence for source in sources]
        + [
            f"synthetic {', '.join(dict.fromkeys(arguments.synthetic_kinds))}, "
            f"seeds 0 to {arguments.sequences - 1}"
        ],
        "held_out": held_out,
        "chosen_by": "Dice of windows of the held-out images, so it is a little kind",
        "recipe": recipe("train_cells_model.py", sys.argv[1:]),
        "base": earlier,
        "seed": arguments.seed,
        "limits": "made for adherent cells in phase contrast, 25 to 90 pixels wide, for bright "
        "nuclei on dark ground, and, in frames of about 1024 pixels, for bacteria and yeast in "
        "phase contrast",
    }


def train_by_the_clock(
    arguments: argparse.Namespace,
    info: ModelInfo,
    data: TrainingData,
    held_out: dict[str, list[LabelledStack]],
) -> None:
    """Train for --minutes, and leave the best weights in --out, the last ones beside it."""
    out = arguments.out.parent
    out.mkdir(parents=True, exist_ok=True)
    validation = {
        name: list(
            grid_samples(
                stacks, info.window_spec, info.mask_spec, batch_size=VALIDATED, at_most=VALIDATED
            )
        )
        for name, stacks in held_out.items()
    }
    sampler = data.sampler(info, settings(arguments))
    taught = diameters_taught(data.stacks, info.window_spec)
    assert taught is not None
    info = replace(info, object_diameter=taught.median, object_diameters=(taught.low, taught.high))
    card = {**model_card(arguments, list(held_out)), **circumstances(), **info.card}
    kept = replace(
        info, window_spec=replace(info.window_spec, image_size=IMAGE_SIZE), card=card, training={}
    )
    weights = adopted(arguments.base, info) if arguments.base else None
    timed = Timed(60 * arguments.minutes, arguments.validate_every, out, arguments.device)
    with drawn_batches(sampler, arguments.processes) as batches:  # forked before CUDA is used
        run = Run(kept, settings(arguments), timed, validation, weights)
        run.validate()
        run.train(batches)
    print(f"best at step {run.best_step}: {run.best}", flush=True)


def train_by_steps(
    arguments: argparse.Namespace, info: ModelInfo, data: TrainingData, sources: Sequence[str]
) -> None:
    """Train for --steps in a folder of a run, and write the best weights to --out."""
    run_dir = arguments.run_dir or ROOT / "runs" / arguments.out.stem
    weights = adopted(arguments.base, info) if arguments.base else None
    run = train(
        info, data, settings(arguments), run_dir, weights=weights, resume=True,
        device=arguments.device,
    )  # fmt: skip
    best, minutes = follow_training(run)
    scores = {"dice_at_mask_resolution": round(best["mean"], 4), "minutes": round(minutes, 1)}
    card = {**model_card(arguments, sources), **scores}
    bundle(info.path, arguments.out, card, image_size=IMAGE_SIZE)


def main() -> None:
    arguments = parse_arguments()
    if arguments.prepare:
        prepare(arguments.data, arguments.prepare)
        return
    torch.set_num_threads(arguments.threads)
    dask.config.set(scheduler="synchronous")  # forked processes have no threads to wait for
    sources = [source for source in SOURCES if source not in arguments.without]
    teaching, held_out = load(arguments.data, sources)
    first = {stack.images.name.split(",")[0]: stack for stack in reversed(teaching)}
    teaching += [with_few_levels(stack, seed) for seed, stack in enumerate(first.values())]
    info = new_model(
        (arguments.run_dir or ROOT / "runs" / arguments.out.stem) / "model.safetensors",
        size="nano",
        scheme=preset("iw"),
        mask_spec=MaskSpec(size=(32, 32), class_names=CLASSES),
        window_spec=WindowSpec(patch=96, patch_stride=72),
        max_tokens=512,
        backbone_norm="group",
    )
    data = TrainingData(
        stacks=teaching,
        validation=[stack for stacks in held_out.values() for stack in stacks],
        replay=synthetic(arguments.sequences, CELLS_LOOKS, arguments.synthetic_kinds),
        replay_share=arguments.synthetic_share,
    )
    if arguments.minutes:
        train_by_the_clock(arguments, info, data, held_out)
    else:
        train_by_steps(arguments, info, data, sources)


if __name__ == "__main__":
    main()
