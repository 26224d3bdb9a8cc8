"""Print what windows of several frames are worth, and how those that overlap are merged best.

    python -m benchmarks.video train --scheme tac --frames 4 --cpu-minutes 2.5 --out tac.safetensors
    python -m benchmarks.video train --scheme lac --frames 1 --cpu-minutes 2.5 --out lac.safetensors
    python -m benchmarks.video score lac.safetensors tac.safetensors
    python -m benchmarks.video merge tac.safetensors
    python -m benchmarks.video memory 50 500

Models learn from synthetic movies in which cells divide and die, and are scored on movies of other
seeds: recall, precision and Dice, means of the two classes over all pixels. `merge` decodes each
window once and merges the same masks by each rule, as Figures 9 and 10 of the paper compare them.
`memory` segments movies of several lengths, each in a process of its own.
"""

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import numpy as np
import torch

from benchmarks.learn_data import Fields
from benchmarks.learn_recipe import Recipe, our_recipe
from benchmarks.learn_train import Ours, train_for
from benchmarks.report import table
from rleseg_core.checkpoints import build_model, new_model
from rleseg_core.data import (
    CLASS_NAMES,
    ImageStack,
    LabelledStack,
    SyntheticConfig,
    Window,
    WindowReader,
    plan_windows,
    synthesize,
)
from rleseg_core.decoding import DecodedSequence
from rleseg_core.evaluation.scores import Scores, confusion_matrix, score
from rleseg_core.inference import PredictOptions, Segmenter, StitchRule, TimeRule, predict_to_file
from rleseg_core.inference.arrays import choose_arrays, frames_that_end
from rleseg_core.inference.objects import painter
from rleseg_core.reports import product_of
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import preset

N_CLASSES = len(CLASS_NAMES)
TRAIN, TEST = range(16), range(1000, 1004)  # seeds
N_FRAMES = 12
PATCH, STRIDE, MASK, MAX_TOKENS = 64, 48, 32, 512
HEADINGS = ("recall", "precision", "Dice")


@cache
def movie(seed: int, n_frames: int = N_FRAMES) -> LabelledStack:
    """A movie of small cells, some of which divide or die."""
    config = SyntheticConfig(
        n_frames=n_frames,
        size=(96, 128),
        seed=5_000_000 + seed,
        cell_radius=9,
        division_rate=0.03,
        death_rate=0.02,
    )
    made = synthesize(config)
    return LabelledStack(
        images=ImageStack.from_array(made.images, "TYX", name=f"movie {seed}"),
        classes=made.classes,
        class_names=CLASS_NAMES,
        instances=made.instances,
    )


def recipe(scheme: str, n_frames: int, settings: Mapping[str, object]) -> Recipe:
    """The recipe of `benchmarks.learn` for these movies."""
    return replace(
        our_recipe("synthetic"),
        scheme=preset(scheme),
        n_frames=n_frames,
        patch=PATCH,
        stride=STRIDE,
        mask=MASK,
        max_tokens=MAX_TOKENS,
        model=dict(settings),
    )


def train(arguments: argparse.Namespace) -> None:
    """Train a model for some minutes of CPU time and write it."""
    torch.set_num_threads(1)
    movies = tuple(movie(seed) for seed in TRAIN)
    fields = Fields(name="movies", train=movies, validation=(), test=(), image_size=None)
    settings = {} if arguments.fusion is None else {"fusion": arguments.fusion}
    how = recipe(arguments.scheme, arguments.frames, settings)
    with TemporaryDirectory() as folder:
        ours = Ours(fields, how, arguments.seed, torch.device("cpu"), Path(folder))
        trained = train_for(arguments.cpu_minutes, ours.begin, ours.device, name=arguments.out.stem)
        (Path(folder) / "model.safetensors").replace(arguments.out)
    print(f"{arguments.out}: {trained.n_steps} steps in {trained.minutes:.2f} CPU minutes")


def scores_of(found: Mapping[int, np.ndarray]) -> Scores:
    """Scores of the classes (T, Y, X) of movies, by their seed."""
    confusion = np.zeros((N_CLASSES + 1, N_CLASSES + 1), np.int64)
    for seed, classes in found.items():
        confusion += confusion_matrix(np.asarray(movie(seed).classes), classes, N_CLASSES)
    return score(confusion, CLASS_NAMES)


def figures(found: Scores) -> list[str]:
    """The cells of `HEADINGS`."""
    return [f"{value:.3f}" for value in (found.mean.recall, found.mean.precision, found.mean_dice)]


def compare(arguments: argparse.Namespace) -> None:
    """Print the scores of models as they are used by default."""
    torch.set_num_threads(1)
    rows = []
    for path in arguments.models:
        segmenter = Segmenter.from_checkpoint(path, "cpu")
        began = time.process_time()
        found = {
            seed: product_of(segmenter.predict(movie(seed).images), lambda _: None) for seed in TEST
        }
        seconds = (time.process_time() - began) / (len(TEST) * N_FRAMES)
        spec = segmenter.window_spec()
        rows.append([path.stem, f"{spec.n_frames}", *figures(scores_of(found)), f"{seconds:.2f}"])
    print(table(("model", "N", *HEADINGS, "CPU s/frame"), rows))


Decoded = Mapping[Window, DecodedSequence]


class Replay:
    """Windows of a model, each decoded once, merged again and again.

    Parameters
    ----------
    segmenter : Segmenter
        The model.
    seeds : sequence of int
        Of the movies.
    """

    def __init__(self, segmenter: Segmenter, seeds: Sequence[int]) -> None:
        self._segmenter = segmenter
        self._decoded = {seed: dict(self._windows(seed)) for seed in seeds}

    def _windows(self, seed: int) -> Iterator[tuple[Window, DecodedSequence]]:
        """The windows of all temporal strides: those of one frame contain the others."""
        for result in self._segmenter.predict(movie(seed).images, frame_stride=1):
            yield result.window, DecodedSequence(0, result.tokens, result.logprobs, 0)

    def scores(self, options: PredictOptions) -> Scores:
        """Scores of the tokens' masks merged so; the dense head does not touch them."""
        return scores_of({seed: self.merged(seed, options) for seed in self._decoded})

    def merged(self, seed: int, options: PredictOptions) -> np.ndarray:
        """Class ids (T, Y, X) of a movie."""
        images = movie(seed).images
        spec = options.in_time(self._segmenter.window_spec())
        outputs = choose_arrays(images.shape[:3], None, None, None, wants_objects=False)
        painting = painter(self._segmenter.tokenizer, CLASS_NAMES, outputs, options)
        reader = WindowReader(images, spec)
        windows = plan_windows(images.shape, spec)
        for window, done in zip(windows, frames_that_end(windows), strict=True):
            painting.add(reader, window, self._decoded[seed][window])
            painting.close(done)
        return outputs.classes


def merge(arguments: argparse.Namespace) -> None:
    """Print the scores of rules over patches, and of rules over time by N and T."""
    torch.set_num_threads(1)
    patches: list[list[str]] = []
    times: list[list[str]] = []
    for path in arguments.models:
        segmenter = Segmenter.from_checkpoint(path, "cpu")
        n_frames = segmenter.window_spec().n_frames
        replay = Replay(segmenter, TEST)
        for rule in get_args(StitchRule):
            options = PredictOptions(stitch=rule, frame_stride=n_frames)
            patches.append([f"{n_frames}", f"{n_frames}", rule, *figures(replay.scores(options))])
        strides = sorted({1, max(1, n_frames // 2), n_frames})
        for stride in strides:
            for rule in get_args(TimeRule) if stride < n_frames else ("any",):
                named: TimeRule = "last" if rule == "any" else rule
                options = PredictOptions(stitch_time=named, frame_stride=stride)
                times.append([f"{n_frames}", f"{stride}", rule, *figures(replay.scores(options))])
    print("over patches\n\n" + table(("N", "T", "rule", *HEADINGS), patches, ["rule"]))
    print("\nover time\n\n" + table(("N", "T", "rule", *HEADINGS), times, ["rule"]))


def memory(arguments: argparse.Namespace) -> None:
    """Print the peak memory of segmenting movies of several lengths."""
    rows = []
    for length in arguments.lengths:
        code = f"from benchmarks.video import job; job({length}, {arguments.stride})"
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        if run.returncode:
            sys.exit(run.stderr)
        rows.append([f"{length}", f"{arguments.stride}", *run.stdout.split()])
    print(table(("frames", "T", "MiB", "MiB before", "CPU s/frame"), rows))


class Lasting:
    """A movie of any length that is nowhere as a whole: frames of a short one, again and again."""

    def __init__(self, n_frames: int) -> None:
        self._frames: np.ndarray = np.asarray(movie(0).images.data)[..., 0]
        self.shape = (n_frames, *self._frames.shape[1:])
        self.dtype = self._frames.dtype
        self.ndim = 3

    def __getitem__(self, key: object) -> np.ndarray:
        frame, *rest = key if isinstance(key, tuple) else (key,)
        if isinstance(frame, slice):
            every = [index % N_FRAMES for index in range(*frame.indices(self.shape[0]))]
            several: np.ndarray = self._frames[every]
            return np.asarray(several[(slice(None), *rest)])
        single: np.ndarray = self._frames[int(frame) % N_FRAMES]
        return np.asarray(single[tuple(rest)])


def job(n_frames: int, stride: int) -> None:
    """Segment a movie into a file with a model that knows nothing; print memory and time."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with TemporaryDirectory() as folder:
        info = new_model(
            Path(folder) / "model.safetensors",
            size="test",
            scheme=preset("tac"),
            mask_spec=MaskSpec(size=(16, 16), class_names=CLASS_NAMES, n_frames=4),
            window_spec=WindowSpec(patch=64, patch_stride=64, n_frames=4, frame_stride=stride),
            max_tokens=16,
        )
        segmenter = Segmenter(info, build_model(info), "cpu")
        stack = ImageStack.from_array(Lasting(n_frames), "TYX")
        list(segmenter.predict(ImageStack.from_array(Lasting(4), "TYX")))  # what is loaded late
        before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        run = predict_to_file(segmenter, stack, Path(folder) / "masks.zarr", batch_size=8)
        product_of(run, lambda _: None)
    seconds = (time.process_time() - began) / n_frames
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{peak / 1024:.1f} {before / 1024:.1f} {seconds:.3f}")


def main(argv: Sequence[str] | None = None) -> None:
    """Run one of the commands."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("train", help="train a model on movies")
    one.add_argument("--scheme", default="tac")
    one.add_argument("--frames", type=int, default=4)
    one.add_argument("--fusion", choices=("middle", "late", "early", "first"))
    one.add_argument("--cpu-minutes", type=float, default=2.5)
    one.add_argument("--seed", type=int, default=0)
    one.add_argument("--out", type=Path, required=True)
    one.set_defaults(run=train)
    for name, run in (("score", compare), ("merge", merge)):
        one = commands.add_parser(name, help=(run.__doc__ or "").strip())
        one.add_argument("models", type=Path, nargs="+")
        one.set_defaults(run=run)
    one = commands.add_parser("memory", help="peak memory by length")
    one.add_argument("lengths", type=int, nargs="+")
    one.add_argument("--stride", type=int, default=2)
    one.set_defaults(run=memory)
    arguments = parser.parse_args(argv)
    arguments.run(arguments)


if __name__ == "__main__":
    main()
