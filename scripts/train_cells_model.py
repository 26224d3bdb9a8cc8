r"""Train the bundled model of real cells: the recipe behind models/cells.safetensors.

    python scripts/train_cells_model.py --without usiigaci --steps 2500 --synthetic-share 0.4 \
        --precision bf16 --threads 1 --out runs/cells-base.safetensors
    python scripts/train_cells_model.py --from runs/cells-base.safetensors --steps 12000 \
        --lr 1.5e-3 --precision bf16 --threads 1

It learns one class, cell, from synthetic phase contrast and from real images in a folder that is
not part of the project: phase-contrast fields (Usiigaci, MIT) and fluorescent nuclei (Data Science
Bowl 2018, CC0), at the sizes of `SOURCES`. set01 and a tenth of each source are never taught:
those of `held_out`. The first command, which leaves out the fields, makes the model from which
docs/fine-tuning.md shows how far a few corrected fields lead; the second goes on from it. Weights
are stored as float16.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from bundling import bundle, follow_training

from rleseg_core.augment.config import AUGMENTATIONS
from rleseg_core.checkpoints import load_checkpoint, new_model
from rleseg_core.data import ImageStack, LabelledStack, varied_stack
from rleseg_core.data.windows import model_frame, model_labels
from rleseg_core.normalisation import Normalisation
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import preset
from rleseg_core.training import TrainConfig, TrainingData, train

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "src/rleseg_core/models/cells.safetensors"
CLASSES = ("cell",)
IMAGE_SIZE = 512  # at which cells of both sources are about as large
SOURCES = {  # a size that is named more often teaches more often
    "usiigaci": ("usiigaci_gt50", (512, 512, 512, 720)),
    "dsb2018": ("dsb2018_fluo256", (512,)),
}
AUGMENT = replace(AUGMENTATIONS["standard"], scale=(0.75, 1.35), stretch=0.3, blur=0.6)
CELLS_LOOKS = {
    "ipsc_share": (0.1, 0.7),
    "cell_radius": (12.0, 24.0),
    "noise": (1.5, 5.0),
    "blur": (0.5, 1.2),
    "contrast": (0.7, 1.4),
    "illumination": (0.0, 0.3),
}
RATES = {"backbone": 1.5, "mask_features": 1.5}


def held_out(source: str, names: Sequence[str]) -> list[str]:
    """A tenth of the images of a source, never taught; set01 is the first of them."""
    if source == "usiigaci":
        return [name for name in names if name in {"set01", "set06", "set15", "set26", "set37"}]
    return [name for k, name in enumerate(sorted(names)) if k % 10 == 5]


def load(folder: Path, source: str) -> tuple[list[LabelledStack], list[LabelledStack]]:
    """Images that teach, at all magnifications, and those held out, at the first."""
    name, sizes = SOURCES[source]
    whole = LabelledStack.from_paths(
        folder / name / "images", folder / name / "masks", CLASSES, instances=True
    )
    names = sorted(path.stem for path in (folder / name / "images").iterdir())
    out = {names.index(one) for one in held_out(source, names)}
    taught = [frame for frame in whole.frames if frame not in out]
    at = {size: resized(whole, taught, size) for size in sizes}
    return [at[size] for size in sizes], [resized(whole, sorted(out), IMAGE_SIZE)]


def resized(stack: LabelledStack, frames: Sequence[int], size: int) -> LabelledStack:
    """Some frames, their longer side of that many pixels."""
    spec = WindowSpec(patch=96, patch_stride=72, image_size=size)
    images = np.stack([model_frame(stack.images, frame, spec).image for frame in frames])
    classes = np.stack([model_labels(stack.class_frame(frame), spec) for frame in frames])
    return LabelledStack(
        images=ImageStack.from_array(np.rint(255 * images).astype(np.uint8), name=f"{size} px"),
        normalisation=Normalisation(contrast=(0, 255)),  # they are normalised already
        classes=classes,
        class_names=CLASSES,
    )


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument(
        "--from", dest="base", type=Path, help="a model of this script to go on from"
    )
    parser.add_argument("--without", choices=list(SOURCES), action="append", default=[])
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sequences", type=int, default=100)
    parser.add_argument("--synthetic-share", type=float, default=0.1)
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
        warmup_steps=100,
        ema=0.998,
        rates=RATES,
        augment=AUGMENT,
        precision=arguments.precision,
        validate_every=max(250, arguments.steps // 12),
        checkpoint_every=125,
        seed=arguments.seed,
    )


def model_card(
    arguments: argparse.Namespace, sources: Sequence[str], dice: float, minutes: float
) -> dict[str, object]:
    options = "".join(f" --without {source}" for source in arguments.without)
    options += f" --from {arguments.base}" if arguments.base else ""
    earlier = load_checkpoint(arguments.base).info.card if arguments.base else {}
    licences = {
        "usiigaci": "Usiigaci phase-contrast fields (MIT; Tsai et al., SoftwareX 2019)",
        "dsb2018": "Data Science Bowl 2018 fluorescence, stage 1 (CC0)",
    }
    return {
        "name": "Cells" if "usiigaci" in sources else "Cells, without the phase-contrast fields",
        "data": [licences[source] for source in sources]
        + [f"synthetic phase contrast, seeds 0 to {arguments.sequences - 1}"],
        "held_out": "set01, set06, set15, set26, set37; of nuclei the sixth of every ten names",
        "dice_at_mask_resolution": round(dice, 4),
        "chosen_by": "that Dice of the held-out images, so it is a little kind",
        "recipe": f"python scripts/train_cells_model.py --steps {arguments.steps} --batch-size "
        f"{arguments.batch_size} --lr {arguments.lr:g} --seed {arguments.seed} --sequences "
        f"{arguments.sequences} --synthetic-share {arguments.synthetic_share:g} --precision "
        f"{arguments.precision}{options}",
        "base": earlier,
        "seed": arguments.seed,
        "minutes": round(minutes, 1),
        "limits": "made for adherent cells in phase contrast, 25 to 90 pixels wide, and for bright "
        "nuclei on dark ground; cells that touch come out as one object",
    }


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    run_dir = arguments.run_dir or ROOT / "runs" / arguments.out.stem

    teaching: list[LabelledStack] = []
    validation: list[LabelledStack] = []
    sources = [source for source in SOURCES if source not in arguments.without]
    for source in sources:
        taught, held_out_images = load(arguments.data, source)
        teaching += taught
        validation += held_out_images
    model_file = run_dir / "model.safetensors"
    info = new_model(
        model_file,
        size="nano",
        scheme=preset("binary"),
        mask_spec=MaskSpec(size=(32, 32), class_names=CLASSES),
        window_spec=WindowSpec(patch=96, patch_stride=72),
        max_tokens=320,
        backbone_norm="group",
    )
    weights = load_checkpoint(arguments.base).weights if arguments.base else None
    data = TrainingData(
        stacks=teaching,
        validation=validation,
        replay=[
            varied_stack(seed, class_names=CLASSES, looks=CELLS_LOOKS)
            for seed in range(arguments.sequences)
        ],
        replay_share=arguments.synthetic_share,
    )
    run = train(info, data, settings(arguments), run_dir, weights=weights, resume=True)
    best, minutes = follow_training(run)
    card = model_card(arguments, sources, best["mean"], minutes)
    bundle(model_file, arguments.out, card, image_size=IMAGE_SIZE)


if __name__ == "__main__":
    main()
