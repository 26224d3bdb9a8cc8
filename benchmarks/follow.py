"""Print how well objects are followed from the frame in which they are given.

    python -m benchmarks.follow --model demo-objects --seeds 2000000 2000001
    python -m benchmarks.follow --model cells --folder DATA --image-size 1024

Synthetic movies of seeds that no model has seen, or frames 36 to 44 of the bacteria in DATA;
objects are given by their true masks in any frame, at random, and followed forwards and backwards.
A frame in which the true cell is there counts as kept if the IoU with it is at least 0.5, and all
frames between are kept too; divisions if both daughters are.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tifffile

from benchmarks.report import table
from benchmarks.track import read_set
from rleseg_core.data import ImageStack, SyntheticConfig, synthesize
from rleseg_core.inference import PredictOptions, Segmenter
from rleseg_core.inference.follow import Followed
from rleseg_core.reports import product_of

KEPT = 0.5  # IoU
HEADINGS = (
    "movie",
    "objects",
    "mean IoU",
    "frames kept",
    "whole",
    "divisions kept",
    "of",
    "too long",
    "CPU s/frame",
)


class Movie(NamedTuple):
    """Images and the truth."""

    name: str
    images: np.ndarray
    ids: np.ndarray
    parents: dict[int, int]


class Kept(NamedTuple):
    """How far one object was followed.

    Attributes
    ----------
    ious : list of float
        In each frame in which the true cell is there, besides the given one.
    n_kept : int
        Of these, those that are kept, next to the given frame and one after the other.
    division : bool or None
        Whether it divides, and both daughters are kept in their first frame; None: it does not.
    n_after : int
        Frames with something after the end of a cell that does not divide.
    """

    ious: list[float]
    n_kept: int
    division: bool | None
    n_after: int


def synthetic(seed: int, n_frames: int, small: bool) -> Movie:
    """A movie of a seed, or a small one like those of `benchmarks.video`."""
    config = SyntheticConfig(n_frames=n_frames, seed=seed)
    if small:
        rates = {"division_rate": 0.03, "death_rate": 0.02}
        config = replace(config, size=(96, 128), cell_radius=9, **rates)
    made = synthesize(config)
    return Movie(f"synthetic {seed}", made.images, made.instances, dict(made.parents))


def bacteria(folder: Path) -> Movie:
    """Frames 36 to 44."""
    paths = sorted((folder / "bacteria_divisions/01").glob("*.tif"))[36:45]
    ids, parents = read_set(folder, "bacteria 36-44")
    return Movie("bacteria", np.stack([tifffile.imread(path) for path in paths]), ids, parents)


def chosen(movie: Movie, n_objects: int, seed: int = 0) -> Iterator[tuple[int, int]]:
    """Frames and ids of some objects, evenly from all of them."""
    every = [(t, int(k)) for t, ids in enumerate(movie.ids) for k in np.unique(ids[ids > 0])]
    rng = np.random.default_rng(seed)
    yield from (every[k] for k in rng.permutation(len(every))[:n_objects])


def iou(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two masks."""
    return float((one & other).sum() / max(1, (one | other).sum()))


def kept(movie: Movie, frame: int, label: int, followed: Followed) -> Kept:
    """How far an object was followed."""
    there = [t for t in range(len(movie.ids)) if (movie.ids[t] == label).any()]
    found = {t: followed.ids[t] for t in range(len(movie.ids))}
    ious = {t: iou(movie.ids[t] == label, found[t] == 1) for t in there if t != frame}
    n_kept = 0
    for step in (1, -1):
        t = frame + step
        while ious.get(t, 0) >= KEPT:
            n_kept, t = n_kept + 1, t + step
    daughters = [one for one, parent in movie.parents.items() if parent == label]
    after = [t for t in range(there[-1] + 1, len(movie.ids)) if (found[t] == 1).any()]
    if not daughters or there[-1] + 1 >= len(movie.ids):
        return Kept(list(ious.values()), n_kept, None, 0 if daughters else len(after))
    own = [one for one, parent in followed.parents.items() if parent == 1]
    now, truth = found[there[-1] + 1], movie.ids[there[-1] + 1]
    best = [max((iou(truth == one, now == mine) for mine in own), default=0) for one in daughters]
    return Kept(list(ious.values()), n_kept, min(best) >= KEPT, 0)


def measured(segmenter: Segmenter, movie: Movie, options: PredictOptions, n: int) -> list[str]:
    """A line of the table."""
    stack = ImageStack.from_array(movie.images)
    found: list[Kept] = []
    seconds = n_frames = 0.0
    for frame, label in chosen(movie, n):
        began = time.process_time()
        run = segmenter.follow(stack, frame, movie.ids[frame] == label, options)
        followed = product_of(run)
        seconds += time.process_time() - began
        n_frames += len({one.frame for one in followed.objects})
        found.append(kept(movie, frame, label, followed))
    ious = [one for of in found for one in of.ious]
    divisions = [of.division for of in found if of.division is not None]
    return [
        movie.name,
        f"{len(found)}",
        f"{np.mean(ious):.3f}",
        f"{sum(of.n_kept for of in found) / max(1, len(ious)):.3f}",
        f"{np.mean([of.n_kept == len(of.ious) for of in found]):.2f}",
        f"{sum(divisions)}",
        f"{len(divisions)}",
        f"{sum(of.n_after for of in found)}",
        f"{seconds / n_frames:.2f}",
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo-objects")
    parser.add_argument("--seeds", nargs="+", type=int, default=[])
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--small", action="store_true", help="small movies with many divisions")
    parser.add_argument("--folder", type=Path, help="of the data sets")
    parser.add_argument("--objects", type=int, default=12, help="of each movie")
    parser.add_argument("--image-size", type=int)
    arguments = parser.parse_args()
    segmenter = Segmenter.from_checkpoint(arguments.model, "cpu")
    movies = [synthetic(seed, arguments.frames, arguments.small) for seed in arguments.seeds]
    if arguments.folder is not None:
        movies.append(bacteria(arguments.folder))
    options = PredictOptions(image_size=arguments.image_size)
    rows = [measured(segmenter, movie, options, arguments.objects) for movie in movies]
    print(table(HEADINGS, rows))


if __name__ == "__main__":
    main()
