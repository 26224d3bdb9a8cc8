"""Train the bundled demo models on synthetic time-lapses.

    python scripts/train_demo_model.py --steps 3800
    python scripts/train_demo_model.py --objects --steps 1400 --batch-size 8

The first is the recipe behind models/demo.safetensors, whose masks say classes. With --objects the
model tells objects apart, and begins with what that one knows: models/demo-objects.safetensors.
Sequences of seeds 0 to 399 teach, 1,000,000 and following are held out; the demo's own seed and
those of the tests are neither. Weights are stored as float16.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
from bundling import adopted, bundle, follow_training, recipe

from rleseg_core.checkpoints import new_model
from rleseg_core.data import varied_stack
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import preset
from rleseg_core.training import TrainConfig, TrainingData, train

OBJECT_SETTINGS: dict[str, Any] = {"token_share": 0.5, "dense_weight": 2.0, "ema": 0.99}
HELD_OUT_SEEDS = range(1_000_000, 1_000_008)
MODELS = Path(__file__).parents[1] / "src/rleseg_core/models"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=3800)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sequences", type=int, default=400)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--objects", action="store_true", help="tell objects apart")
    parser.add_argument("--run-dir", type=Path, help="runs/ and the name of the model by default")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    name = "demo-objects" if arguments.objects else "demo"
    run_dir = arguments.run_dir or Path("runs") / name
    out = arguments.out or MODELS / f"{name}.safetensors"
    torch.set_num_threads(arguments.threads)

    teaching = [varied_stack(seed) for seed in range(arguments.sequences)]
    held_out = [varied_stack(seed, n_frames=1) for seed in HELD_OUT_SEEDS]
    config = TrainConfig(
        n_steps=arguments.steps,
        batch_size=arguments.batch_size,
        learning_rate=arguments.lr,
        warmup_steps=100,
        validate_every=max(250, arguments.steps // 8),
        checkpoint_every=125,
        seed=arguments.seed,
        **OBJECT_SETTINGS if arguments.objects else {},
    )
    draft = run_dir / "model.safetensors"
    info = new_model(
        draft,
        size="nano",
        scheme=preset("iw" if arguments.objects else "lac"),
        mask_spec=MaskSpec(size=(32, 32), class_names=("ipsc", "dfc")),
        window_spec=WindowSpec(patch=128, patch_stride=96),
        max_tokens=384 if arguments.objects else 256,
    )
    data = TrainingData(stacks=teaching, validation=held_out)
    weights = adopted(MODELS / "demo.safetensors", info) if arguments.objects else None
    run = train(info, data, config, run_dir, weights=weights, resume=True)
    best, minutes = follow_training(run)
    card = {
        "name": "Synthetic iPSC demo" + (", objects" if arguments.objects else ""),
        "data": f"synthetic time-lapses, seeds 0 to {arguments.sequences - 1}; no real images",
        "held_out": f"seeds {HELD_OUT_SEEDS.start} to {HELD_OUT_SEEDS.stop - 1}",
        "dice_at_mask_resolution": {name: round(value, 4) for name, value in best.items()},
        "recipe": recipe("train_demo_model.py", sys.argv[1:]),
        "seed": arguments.seed,
        "minutes": round(minutes, 1),
        "limits": "made for the demo and as a start for fine-tuning; it has never seen real cells",
    }
    bundle(draft, out, card)


if __name__ == "__main__":
    main()
