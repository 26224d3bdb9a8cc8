"""Patches and their masks, at random for training and in a grid for validation."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rleseg_core.augment.config import AUGMENTATIONS, NO_AUGMENTATION, Augmentation
from rleseg_core.augment.geometry import View, random_warp
from rleseg_core.augment.intensity import random_light, relight
from rleseg_core.data.crops import CropBatch, DrawnWindow, cut_crops
from rleseg_core.data.datasets import LabelledStack
from rleseg_core.data.frames import COARSE, Frame, Frames
from rleseg_core.data.labels import SubsampleRule, subsample_labels
from rleseg_core.data.windows import Window, plan_windows, resized_shape
from rleseg_core.errors import DataError
from rleseg_core.spec import MaskSpec, WindowSpec

_CACHE_BYTES = 1 << 30


@dataclass(frozen=True, eq=False)
class SampleBatch:
    """Patches and their masks.

    Parameters
    ----------
    images : (B, N, 3, P, P) uint8
        In patch pixels; 0 to 255 is the range 0 to 1 of `WindowReader`.
    classes : (B, N, S, S) uint8
        Class ids in mask pixels.
    instances : (B, N, S, S) int32 or None
        Ids of objects in mask pixels, where all stacks know them.
    """

    images: np.ndarray
    classes: np.ndarray
    instances: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.images)


class PatchSampler:
    """Endless batches of patches at random places of labelled stacks.

    Parameters
    ----------
    stacks : sequence of LabelledStack
        With the classes of `mask_spec`. Larger stacks are drawn from more often.
    window_spec : WindowSpec
        I, P and N; strides do not matter.
    mask_spec : MaskSpec
        S, which must divide P, and the classes.
    batch_size : int
        B.
    seed : int
        A batch depends on it, the step and the data alone, so that training resumes exactly.
    augment : Augmentation or None
        How patches are varied; None leaves them as they are.
    foreground_share : float
        Share of the patches centred near an object, its class drawn first, so that rare classes
        are seen as often as common ones; the others are anywhere.
    subsample_rule : {'corner', 'centre', 'max'}
        How patches become masks; see `subsample_labels`.
    cache_bytes : int
        Memory for frames that are kept ready.
    replay : sequence of LabelledStack
        Data learnt before, drawn from as well so that they are not forgotten.
    replay_share : float
        Share of the patches that are of `replay`.

    Raises
    ------
    DataError
        If there is nothing to draw from, or the data do not fit the specs.
    """

    def __init__(
        self,
        stacks: Sequence[LabelledStack],
        window_spec: WindowSpec,
        mask_spec: MaskSpec,
        *,
        batch_size: int = 16,
        seed: int = 0,
        augment: Augmentation | None = AUGMENTATIONS["standard"],
        foreground_share: float = 0.75,
        subsample_rule: SubsampleRule = "centre",
        cache_bytes: int = _CACHE_BYTES,
        replay: Sequence[LabelledStack] = (),
        replay_share: float = 0.25,
    ) -> None:
        if batch_size < 1 or not 0 <= foreground_share <= 1:
            raise DataError(
                "batch_size must be positive and foreground_share between 0 and 1, got "
                f"{batch_size} and {foreground_share}"
            )
        if not 0 <= replay_share < 1:
            raise DataError(
                f"the share of replay data must be from 0 to less than 1, got {replay_share}"
            )
        if not replay_share:
            replay = ()
        stacks = [*stacks, *replay]
        check_fit(stacks, window_spec, mask_spec)
        self.window_spec, self.mask_spec = window_spec, mask_spec
        self.batch_size, self.seed = batch_size, seed
        self.augment = augment or NO_AUGMENTATION
        self.foreground_share = foreground_share
        self.subsample_rule = subsample_rule
        self._starts = [
            _starts(stack.frames, window_spec.n_frames, self.augment.frame_gap) for stack in stacks
        ]
        areas = [np.prod(resized_shape(stack.images.shape, window_spec)) for stack in stacks]
        weights = np.array(
            [len(starts) * area for starts, area in zip(self._starts, areas, strict=True)], float
        )
        if not weights[: len(weights) - len(replay)].sum():
            gap = self.augment.frame_gap[0]
            raise DataError(
                f"no stack has {window_spec.n_frames} labelled frames "
                f"{'in a row' if gap == 1 else f'{gap} apart'} to learn from"
            )
        self._weights = _with_share(weights, len(replay), replay_share)
        self._frames = Frames(stacks, window_spec, cache_bytes)

    def batch(self, step: int, rows: slice = slice(None)) -> SampleBatch:
        """Batch of a step, or those `rows` of it; the same for the same step, whatever was before.

        Each row is drawn on its own, so that several processes can share a batch.
        """
        rngs = self._rngs(step, rows)
        return _collate([self._see(self._draw(rng), rng) for rng in rngs])

    def crops(self, step: int, rows: slice = slice(None)) -> CropBatch:
        """The same batch before it is turned, bent and lit, which a device can do.

        What is drawn is the same as for `batch`, but the noise, which is drawn there.
        """
        rngs = self._rngs(step, rows)
        return cut_crops(
            [self._draw(rng) for rng in rngs],
            self.augment,
            self.mask_spec.size,
            self.subsample_rule,
            int(rngs[0].integers(1 << 62)),
        )

    def _rngs(self, step: int, rows: slice) -> list[np.random.Generator]:
        chosen = range(self.batch_size)[rows]
        return [np.random.default_rng((self.seed, step, row)) for row in chosen]

    def __iter__(self) -> Iterator[SampleBatch]:
        step = 0
        while True:
            yield self.batch(step)
            step += 1

    def _draw(self, rng: np.random.Generator) -> DrawnWindow:
        stack = int(rng.choice(len(self._weights), p=self._weights))
        start, gaps = self._starts[stack][int(rng.integers(len(self._starts[stack])))]
        gap = gaps[int(rng.integers(len(gaps)))] if len(gaps) > 1 else gaps[0]
        n_frames, patch = self.window_spec.n_frames, self.window_spec.patch
        frames = [self._frames.get(stack, start + gap * index) for index in range(n_frames)]
        matrix, bend = random_warp(self.augment, patch, rng)
        centre = self._centre(frames[int(rng.integers(n_frames))], rng)
        light = random_light(self.augment, rng)
        return DrawnWindow(frames, View(matrix, centre, patch, bend), light)

    def _see(self, drawn: DrawnWindow, rng: np.random.Generator) -> "_Sample":
        frames, view = drawn.frames, drawn.view
        how = (self.mask_spec.size, self.subsample_rule)
        return (
            relight(np.stack([view.image(frame.image) for frame in frames]), drawn.light, rng),
            np.stack([view.labels(frame.classes, *how) for frame in frames]),
            [view.labels(f.instances, *how) for f in frames if f.instances is not None],
        )

    def _centre(self, frame: Frame, rng: np.random.Generator) -> tuple[float, float]:
        """Centre of a patch that lies inside the frame, on its pixel grid."""
        patch = self.window_spec.patch
        room = [length - patch for length in frame.classes.shape]
        start = [int(rng.integers(most + 1)) for most in room]
        if frame.foreground and rng.random() < self.foreground_share:
            pixels = frame.foreground[int(rng.integers(len(frame.foreground)))]
            place = int(pixels[int(rng.integers(len(pixels)))])
            width = -(-frame.classes.shape[1] // COARSE)
            jitter = rng.integers(-(patch // 4), patch // 4 + 1, size=2)
            for axis, coarse in enumerate(divmod(place, width)):
                first = coarse * COARSE + int(jitter[axis]) - patch // 2
                start[axis] = min(max(first, 0), room[axis])
        return start[0] + patch / 2, start[1] + patch / 2


def grid_samples(
    stacks: Sequence[LabelledStack],
    window_spec: WindowSpec,
    mask_spec: MaskSpec,
    *,
    batch_size: int = 16,
    subsample_rule: SubsampleRule = "centre",
    at_most: int | None = None,
) -> Iterator[SampleBatch]:
    """All windows of the labelled frames of stacks, as inference would cut them.

    Parameters
    ----------
    stacks, window_spec, mask_spec
        As of `PatchSampler`; strides count here.
    batch_size : int
        B; the last batch may be smaller.
    subsample_rule : {'corner', 'centre', 'max'}
        How patches become masks; see `subsample_labels`.
    at_most : int, optional
        So many windows, one from each of as many equal parts of all; the same ones each time.

    Yields
    ------
    SampleBatch
        In the order of the stacks and of `plan_windows`.

    Raises
    ------
    DataError
        If the data do not fit the specs.
    """
    check_fit(stacks, window_spec, mask_spec)
    frames = Frames(stacks, window_spec, limit=_CACHE_BYTES // 4)
    windows = [
        (index, window)
        for index, stack in enumerate(stacks)
        for window in labelled_windows(stack, window_spec)
    ]
    if at_most is not None and at_most < len(windows):
        # not evenly, or all might lie in one column of the frames
        bounds = np.linspace(0, len(windows), at_most + 1).astype(int)
        rng = np.random.default_rng(0)
        windows = [windows[int(rng.integers(*part))] for part in itertools.pairwise(bounds)]
    for first in range(0, len(windows), batch_size):
        chosen = windows[first : first + batch_size]
        yield _collate(
            [
                _cut(frames, index, window, mask_spec.size, subsample_rule)
                for index, window in chosen
            ]
        )


def labelled_windows(stack: LabelledStack, spec: WindowSpec) -> list[Window]:
    """Windows of a stack all of whose frames are labelled, each run of frames covered flush."""
    windows = []
    for run in _runs(stack.frames):
        if len(run) >= spec.n_frames:
            for window in plan_windows((len(run), *stack.images.shape[1:]), spec):
                first, stop = window.frames
                frames = (run[0] + first, run[0] + stop)
                windows.append(Window(frames, window.rows, window.cols))
    return windows


def check_fit(
    stacks: Sequence[LabelledStack], window_spec: WindowSpec, mask_spec: MaskSpec
) -> None:
    """Check that stacks can give samples of these specs.

    Raises
    ------
    DataError
        If classes differ, the mask does not divide the patch, or the specs' windows differ.
    """
    if not stacks:
        raise DataError("there are no labelled stacks to draw from")
    for stack in stacks:
        if stack.class_names != mask_spec.class_names:
            raise DataError(
                f"the labels have the classes {stack.class_names}, the masks "
                f"{mask_spec.class_names}; both need the same"
            )
    if window_spec.n_frames != mask_spec.n_frames:
        raise DataError(
            f"windows have {window_spec.n_frames} frames, masks {mask_spec.n_frames}; both need "
            "the same"
        )
    patch = window_spec.patch
    subsample_labels(np.zeros((patch, patch), np.uint8), mask_spec.size)


_Sample = tuple[np.ndarray, np.ndarray, list[np.ndarray]]  # (N, P, P, C), (N, S, S), N × (S, S)


def _cut(
    frames: Frames, stack: int, window: Window, size: tuple[int, int], rule: SubsampleRule
) -> _Sample:
    place = (slice(*window.rows), slice(*window.cols))
    parts = [frames.get(stack, frame) for frame in range(*window.frames)]
    return (
        np.stack([part.image[place] for part in parts]),
        np.stack([subsample_labels(part.classes[place], size, rule) for part in parts]),
        [
            subsample_labels(part.instances[place], size, rule)
            for part in parts
            if part.instances is not None
        ],
    )


def _collate(samples: list[_Sample]) -> SampleBatch:
    n_frames, *patch = samples[0][0].shape[:3]
    images = np.empty((len(samples), n_frames, 3, *patch), np.uint8)
    for image, (patches, _, _) in zip(images, samples, strict=True):
        image[:] = patches.transpose(0, 3, 1, 2)  # grey goes to all three channels
    instances = None
    if samples[0][2]:
        instances = np.stack([np.stack(ids) for _, _, ids in samples])
    return SampleBatch(images, np.stack([classes for _, classes, _ in samples]), instances)


def _runs(frames: Sequence[int]) -> list[list[int]]:
    """Ascending frames, parted where one is missing."""
    runs: list[list[int]] = []
    for frame in frames:
        if runs and frame == runs[-1][-1] + 1:
            runs[-1].append(frame)
        else:
            runs.append([frame])
    return runs


def _with_share(weights: np.ndarray, n_last: int, share: float) -> np.ndarray:
    """Weights that add up to 1, the last few of them to a share of it."""
    first, last = np.split(weights, [len(weights) - n_last])
    if not last.sum():
        return weights / weights.sum()
    return np.concatenate((first / first.sum() * (1 - share), last / last.sum() * share))


def _starts(
    frames: Sequence[int], n_frames: int, gaps: tuple[int, int]
) -> list[tuple[int, tuple[int, ...]]]:
    """First frames of windows, and how far apart the others may be for all to be labelled."""
    known, found = set(frames), []
    for start in frames:
        fitting = tuple(
            gap
            for gap in (range(gaps[0], gaps[1] + 1) if n_frames > 1 else (1,))
            if all(start + gap * index in known for index in range(n_frames))
        )
        if fitting:
            found.append((start, fitting))
    return found
