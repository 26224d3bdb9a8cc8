"""Train the bundled demo model on synthetic time-lapses: the recipe behind models/demo.safetensors.

    python scripts/train_demo_model.py --steps 3800

Sequences of seeds 0 to 399 teach, 1,000,000 and following are held out; the demo's own seed and
those of the tests are neither. Weights are stored as float16.
"""

import argparse
from pathlib import Path

import torch
from bundling import bundle, follow_training

from rleseg_core.checkpoints import new_model
from rleseg_core.data import varied_stack
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import preset
from rleseg_core.training import TrainConfig, TrainingData, train

HELD_OUT_SEEDS = range(1_000_000, 1_000_008)
MODEL = Path(__file__).parents[1] / "src/rleseg_core/models/demo.safetensors"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=3800)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sequences", type=int, default=400)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--run-dir", type=Path, default=Path("runs/demo"))
    parser.add_argument("--out", type=Path, default=MODEL)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    teaching = [varied_stack(seed) for seed in range(arguments.sequences)]
    held_out = [varied_stack(seed, n_frames=1) for seed in HELD_OUT_SEEDS]
    config = TrainConfig(
        n_steps=arguments.steps,
        batch_size=arguments.batch_size,
        learning_rate=arguments.lr,
        warmup_steps=100,
        validate_every=250,
        checkpoint_every=125,
        seed=arguments.seed,
    )
    draft = arguments.run_dir / "model.safetensors"
    info = new_model(
        draft,
        size="nano",
        scheme=preset("lac"),
        mask_spec=MaskSpec(size=(32, 32), class_names=("ipsc", "dfc")),
        window_spec=WindowSpec(patch=128, patch_stride=96),
        max_tokens=256,
    )
    data = TrainingData(stacks=teaching, validation=held_out)
    run = train(info, data, config, arguments.run_dir, resume=True)
    best, minutes = follow_training(run)
    card = {
        "name": "Synthetic iPSC demo",
        "data": f"synthetic time-lapses, seeds 0 to {arguments.sequences - 1}; no real images",
        "held_out": f"seeds {HELD_OUT_SEEDS.start} to {HELD_OUT_SEEDS.stop - 1}",
        "dice_at_mask_resolution": {name: round(value, 4) for name, value in best.items()},
        "recipe": f"python scripts/train_demo_model.py --steps {arguments.steps} "
        f"--batch-size {arguments.batch_size} --lr {arguments.lr:g} --seed {arguments.seed} "
        f"--sequences {arguments.sequences}",
        "seed": arguments.seed,
        "minutes": round(minutes, 1),
        "limits": "made for the demo and as a start for fine-tuning; it has never seen real cells",
    }
    bundle(draft, arguments.out, card)


if __name__ == "__main__":
    main()
