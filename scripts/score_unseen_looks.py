"""Score models of cells on looks that the bundled one was never taught.

    python scripts/score_unseen_looks.py src/rleseg_core/models/cells.safetensors

AP of objects at an IoU of 0.5, all images of a look together, each image at the size at which its
true objects have the diameter that the model knows. The looks are synthetic cells of seeds that
teach nothing, yeast in bright field (BABY) and a movie of T98G cells, whose masks are a tool's.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
from cells_data import KINDS

from rleseg_core.data import ImageStack, varied_stack
from rleseg_core.evaluation.instances import instance_scores, match_counts
from rleseg_core.inference import Segmenter
from rleseg_core.reports import product_of

ROOT = Path(__file__).parents[1]
SEEDS = range(9_000_001, 9_000_004)
Frame = tuple[np.ndarray, np.ndarray]  # grey values and ids, both (Y, X)


def synthetic(kind: str) -> Iterator[Frame]:
    """The last frames of a few movies."""
    for seed in SEEDS:
        stack = varied_stack(seed, kind=kind)
        frame = stack.frames[-1]
        ids = stack.instance_frame(frame)
        assert ids is not None
        yield stack.images.frame(frame)[..., 0], ids


def baby(folder: Path) -> Iterator[Frame]:
    """Yeast in bright field, the three planes in the middle."""
    for sequence in ("evolve_testG", "prime95b_testC"):
        for frame in (0, 2, 4):
            planes = tifffile.imread(folder / sequence / f"t{frame:03d}_z5.tif")
            ids = tifffile.imread(folder / sequence / f"man_seg{frame:03d}.tif")
            yield from ((plane, ids) for plane in planes[1:4])


def t98g(folder: Path) -> Iterator[Frame]:
    """Three frames of the movie."""
    images, ids = (
        tifffile.imread(folder / f"demo_crop_16x512x512{part}.tif") for part in ("", "_masks")
    )
    yield from ((images[frame], ids[frame]) for frame in (0, 8, 15))


def diameter(ids: np.ndarray) -> float:
    """The median one of objects, pixels."""
    areas = np.bincount(ids.ravel())[1:]
    return float(np.median(2 * np.sqrt(areas[areas > 0] / np.pi)))


def ap50(segmenter: Segmenter, frames: list[Frame]) -> float:
    """AP of objects at an IoU of 0.5."""
    matches = np.zeros((10, 3), np.int64)
    for image, ids in frames:
        stack = ImageStack.from_array(image[None])
        found = product_of(segmenter.segment(stack, diameter=diameter(ids)))
        matches += match_counts(ids.astype(np.int64), found.objects[0].astype(np.int64))
    return instance_scores(matches).ap50


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    looks = {f"synthetic {kind}": list(synthetic(kind)) for kind in KINDS}
    looks["yeast in bright field"] = list(baby(arguments.data / "baby_yeast_traps"))
    looks["T98G"] = list(t98g(arguments.data / "usiigaci_t98g_timelapse"))
    print(f"| model | {' | '.join(looks)} |\n|---|{'---:|' * len(looks)}")
    for model in arguments.models:
        segmenter = Segmenter.from_checkpoint(model, arguments.device)
        values = [f"{ap50(segmenter, frames):.3f}" for frames in looks.values()]
        print(f"| {model} | {' | '.join(values)} |", flush=True)


if __name__ == "__main__":
    main()
