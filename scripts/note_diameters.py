"""Note in the bundled models' headers how large the objects are that they were trained on.

    python scripts/note_diameters.py --data ../shared/data

Training notes it by itself; these models are older. The diameters of `cells` are those of the
objects by their ids in the frames that taught it, at each of the sizes at which they did, and of
its synthetic cells; those of `demo` are of synthetic cells alone.
"""

import argparse
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from bundling import halved
from cells_data import CLASSES, SOURCES, split
from train_cells_model import CELLS_LOOKS

from rleseg_core.checkpoints import load_checkpoint, save_checkpoint
from rleseg_core.data import LabelledStack, varied_stack
from rleseg_core.objects.scale import Diameters, TrainedDiameters
from rleseg_core.spec import WindowSpec
from rleseg_core.training.diameters import diameters_of_frame

ROOT = Path(__file__).parents[1]
MODELS = ROOT / "src/rleseg_core/models"
SEQUENCES = range(24)
FRAMES = 24  # of each source that are looked at, about
SYNTHETIC_SHARE = 0.1  # of the patches that taught `cells`
AS_IT_IS = WindowSpec(patch=96, patch_stride=72)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    real = taught_by_images(parser.parse_args().data)
    drawn = of_stacks(
        varied_stack(seed, class_names=CLASSES, looks=CELLS_LOOKS) for seed in SEQUENCES
    )
    share = SYNTHETIC_SHARE / (1 - SYNTHETIC_SHARE) * real.weights.sum() / drawn.weights.sum()
    drawn = Diameters(drawn.values, drawn.weights * share)
    note("cells", Diameters.joined([real, drawn]))
    note("demo", of_stacks(varied_stack(seed) for seed in SEQUENCES))


def taught_by_images(folder: Path) -> Diameters:
    """Diameters of the objects of each source at each of its sizes, as often as they taught."""
    found = []
    for source, kind in SOURCES.items():
        stack, taught, _ = split(folder, source)
        step = max(1, len(taught) // FRAMES)
        for size in kind.sizes:
            spec = replace(AS_IT_IS, image_size=size)
            part = Diameters.joined(diameters_of_frame(stack, t, spec) for t in taught[::step])
            found.append(Diameters(part.values, part.weights * step))  # of all that taught
            print(source, size, [round(part.percentile(percent), 1) for percent in (5, 50, 95)])
    return Diameters.joined(found)


def of_stacks(stacks: Iterable[LabelledStack]) -> Diameters:
    """Diameters of the objects of stacks, in source pixels."""
    return Diameters.joined(
        diameters_of_frame(stack, frame, AS_IT_IS) for stack in stacks for frame in stack.frames
    )


def note(name: str, found: Diameters) -> None:
    """Write a bundled model anew, with these diameters in its header; its weights stay."""
    taught = TrainedDiameters.of(found)
    checkpoint = load_checkpoint(MODELS / f"{name}.safetensors")
    info = replace(
        checkpoint.info,
        object_diameter=taught.median,
        object_diameters=(taught.low, taught.high),
    )
    print(save_checkpoint(info, halved(checkpoint.weights), overwrite=True), taught)


if __name__ == "__main__":
    main()
