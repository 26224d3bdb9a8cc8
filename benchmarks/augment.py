"""Speed of drawing and augmenting training batches on the CPU.

    python -m benchmarks.augment

One thread, frames of 512 x 512 pixels that are kept in memory, masks of a quarter of the patch with
instance ids. Of each step the fastest of some rounds counts, in CPU time: milliseconds a batch.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from rleseg_core.augment.config import AUGMENTATIONS, Strength
from rleseg_core.data import ImageStack, LabelledStack, SyntheticConfig, synthesize
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.training.sampling import PatchSampler, SamplingOptions, patches_on

SIDE, N_STEPS = 512, 10  # of a frame; batches a round


@dataclass(frozen=True)
class Speed:
    """Milliseconds a batch takes: to draw and cut it, and to vary its patches and masks."""

    augmentation: str
    patch: int
    draw: float
    augment: float


def measure(strength: Strength, patch: int, batch_size: int, rounds: int) -> Speed:
    """Speed of one augmentation."""
    frames = synthesize(SyntheticConfig(n_frames=4, size=(SIDE, SIDE)))
    stack = LabelledStack(
        images=ImageStack.from_array(frames.images),
        classes=frames.classes,
        class_names=frames.class_names,
        instances=frames.instances,
    )
    sampler = PatchSampler(
        [stack],
        WindowSpec(patch=patch, patch_stride=patch),
        MaskSpec(size=(patch // 4, patch // 4), class_names=frames.class_names),
        SamplingOptions(batch_size=batch_size, augment=AUGMENTATIONS[strength]),
    )
    drawn = [sampler.batch(step) for step in range(N_STEPS)]
    device = torch.device("cpu")
    return Speed(
        strength,
        patch,
        fastest(lambda step: sampler.batch(step), rounds),
        fastest(lambda step: patches_on(drawn[step], device), rounds),
    )


def fastest(call: Callable[[int], object], rounds: int) -> float:
    """Milliseconds of CPU time a call takes in the fastest round of `N_STEPS`."""
    best = float("inf")
    for _ in range(rounds + 1):
        began = time.process_time()
        for step in range(N_STEPS):
            call(step)
        best = min(best, time.process_time() - began)
    return 1e3 * best / N_STEPS


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--patches", type=int, nargs="+", default=[96, 128])
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"Milliseconds a batch of {options.batch_size}, torch {torch.__version__}\n")
    print("| augmentation | patch | draw | augment | together |\n|---|---|---|---|---|")
    for patch in options.patches:
        for strength in AUGMENTATIONS:
            speed = measure(strength, patch, options.batch_size, options.rounds)
            times = (speed.draw, speed.augment, speed.draw + speed.augment)
            shown = " | ".join(f"{milliseconds:.2f}" for milliseconds in times)
            print(f"| {strength} | {patch} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
