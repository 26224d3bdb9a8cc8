"""How often a model's estimate of the diameter of objects is right, on real images.

    python -m benchmarks.scale --data ../shared/data --frames 6
    python -m benchmarks.scale --model model.safetensors

Frames come as they are, enlarged two and four times, and reduced to half; each is a stack of its
own. An estimate is right if it is within a factor of 1.25, or 1.5, of the true median diameter. The
last columns say at which size frames are seen by default, as a factor of the right size, and how
often that is within 1.5; before, that was the model's own size.
"""

import argparse
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rleseg_core.data import ImageStack, LabelledStack
from rleseg_core.data.windows import resize_image
from rleseg_core.errors import DataWarning
from rleseg_core.inference import Segmenter, trained_diameters
from rleseg_core.objects.scale import Diameters

ROOT = Path(__file__).parents[1]
FACTORS = (1.0, 2.0, 4.0, 0.5)
SETS = {
    "usiigaci": ("usiigaci_gt50/images", "usiigaci_gt50/masks"),
    "dsb2018": ("dsb2018_fluo256/images", "dsb2018_fluo256/masks"),
    "bacteria": ("bacteria_divisions/01", "bacteria_divisions/01_GT/TRA"),
    "yeast": ("yeast_phase/images", "yeast_phase/masks"),
}


@dataclass(frozen=True, kw_only=True)
class Trial:
    """An estimate and the truth.

    Parameters
    ----------
    true : float
        Median diameter of the objects, source pixels.
    estimate : float
        The estimate; nan for none.
    seen, own : float
        Diameter of the objects in the frame that the model sees by default, and at its own size,
        over that which it was trained on.
    seconds : float
        Wall time of the estimate.
    """

    true: float
    estimate: float
    seen: float
    own: float
    seconds: float


def frames_of(folder: Path, name: str, n_frames: int) -> Iterator[tuple[np.ndarray, float]]:
    """Frames (Y, X, C) of a data set, evenly from all, and the median diameters in them."""
    images, masks = (folder / part for part in SETS[name])
    stack = LabelledStack.from_paths(images, masks, ("cell",), instances=True)
    middles = (np.arange(n_frames) + 0.5) / n_frames
    chosen = np.unique((middles * len(stack.frames)).astype(int))
    for frame in chosen:
        ids = stack.instance_frame(int(frame))
        assert ids is not None
        found = Diameters.of_ids(ids)
        if len(found):
            yield stack.images.picture(int(frame)).astype(np.float32), found.percentile(50)


def tried(segmenter: Segmenter, frame: np.ndarray, true: float, factor: float) -> Trial:
    """The estimate for a frame that is enlarged by a factor."""
    trained = trained_diameters(segmenter.info)
    if trained is None:
        raise SystemExit(f"{segmenter.info.name} does not know the diameters of its objects")
    size = tuple(max(1, round(length * factor)) for length in frame.shape[:2])
    stack = ImageStack.from_array(resize_image(frame, (size[0], size[1]))[None])
    began = time.perf_counter()
    found = segmenter.estimate_diameter(stack)
    seconds = time.perf_counter() - began
    longer, true = max(size), true * factor
    seen = segmenter.scale(stack).image_size or longer
    own = segmenter.info.window_spec.image_size or longer
    return Trial(
        true=true,
        estimate=found.diameter or float("nan"),
        seen=true * seen / longer / trained.median,
        own=true * own / longer / trained.median,
        seconds=seconds,
    )


def within(values: list[float], ratio: float) -> str:
    """Which share of the values lies within a ratio of 1, in words."""
    n = sum(1 / ratio <= value <= ratio for value in values)
    return f"{n}/{len(values)}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="cells")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--frames", type=int, default=4, help="of each data set")
    parser.add_argument("--only", choices=list(SETS), action="append")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", DataWarning)
    segmenter = Segmenter.from_checkpoint(arguments.model, arguments.device)
    print("| images | enlarged | within 1.25 | within 1.5 | estimate / true | none |", end="")
    print(" seen / right size | within 1.5 | own size | s |")
    print("|---|---:|---:|---:|---|---:|---|---:|---:|---:|")
    for name in arguments.only or SETS:
        frames = list(frames_of(arguments.data, name, arguments.frames))
        for factor in FACTORS:
            trials = [tried(segmenter, frame, true, factor) for frame, true in frames]
            print_row(name, factor, trials)


def print_row(name: str, factor: float, trials: list[Trial]) -> None:
    """A line of the table."""
    ratios = [trial.estimate / trial.true for trial in trials]
    found = [ratio for ratio in ratios if ratio == ratio]
    spread = " ".join(f"{value:.2f}" for value in np.percentile(found, (0, 50, 100)))
    seen = [trial.seen for trial in trials]
    ends = " ".join(f"{value:.2f}" for value in np.percentile(seen, (0, 50, 100)))
    own = [trial.own for trial in trials]
    print(
        f"| {name} | {factor:g} | {within(ratios, 1.25)} | {within(ratios, 1.5)} | {spread} "
        f"| {len(ratios) - len(found)} | {ends} | {within(seen, 1.5)} | {within(own, 1.5)} "
        f"| {np.mean([trial.seconds for trial in trials]):.1f} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
