"""Windows of labelled stacks: drawn at random for training, in a grid for validation."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rleseg_core.data.datasets import LabelledStack
from rleseg_core.data.frames import COARSE, Frame, Frames
from rleseg_core.data.labels import SubsampleRule, subsample_labels
from rleseg_core.data.windows import Window, plan_windows, resized_shape
from rleseg_core.errors import DataError
from rleseg_core.spec import IGNORED, MaskSpec, WindowSpec

CACHE_BYTES = 1 << 30
"""Memory for frames that are kept ready for training."""


_REDRAWN = 30  # times that a patch is drawn again whose pixels are mostly ignored


@dataclass(frozen=True, eq=False)
class SampleBatch:
    """Patches and their masks.

    Parameters
    ----------
    images : (B, N, 3, P, P) uint8
        In patch pixels; 0 to 255 is the range 0 to 1 of `WindowReader`.
    classes : (B, N, S, S) uint8
        Class ids in mask pixels, `IGNORED` where pixels do not count.
    instances : (B, N, S, S) int32 or None
        Ids of objects in mask pixels, where all stacks know them.
    """

    images: np.ndarray
    classes: np.ndarray
    instances: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.images)


class WindowSource:
    """Windows at random positions of labelled stacks, larger stacks more often.

    Parameters
    ----------
    stacks : sequence of LabelledStack
        What is drawn from.
    window_spec : WindowSpec
        I, P and N; strides do not matter.
    frame_gap : (int, int)
        Least and greatest distance of neighbouring frames of a window.
    foreground_share : float
        Share of the windows centred near an object, 0 to 1; see `draw_start`.
    replay : sequence of LabelledStack
        Stacks that are drawn from with a share of their own.
    replay_share : float
        That share, from 0 to less than 1; 0 leaves `replay` out.
    cache_bytes : int
        Memory for frames that are kept ready.
    most_ignored : float
        Largest share of a patch that may be ignored pixels, 0 to less than 1, if there are others.

    Raises
    ------
    DataError
        If there is nothing to draw from, or a share is out of its range.
    """

    def __init__(
        self,
        stacks: Sequence[LabelledStack],
        window_spec: WindowSpec,
        *,
        frame_gap: tuple[int, int] = (1, 1),
        foreground_share: float = 0.75,
        replay: Sequence[LabelledStack] = (),
        replay_share: float = 0.25,
        cache_bytes: int = CACHE_BYTES,
        most_ignored: float = 0.5,
    ) -> None:
        if not 0 <= foreground_share <= 1:
            raise DataError(f"the share of foreground must be from 0 to 1, got {foreground_share}")
        if not 0 <= replay_share < 1:
            raise DataError(
                f"the share of replay data must be from 0 to less than 1, got {replay_share}"
            )
        if not replay_share:
            replay = ()
        stacks = [*stacks, *replay]
        self._spec = window_spec
        self._foreground_share, self._most_ignored = foreground_share, most_ignored
        self._starts = [
            [
                start
                for run in _runs(stack)
                for start in _starts(run, window_spec.n_frames, frame_gap)
            ]
            for stack in stacks
        ]
        areas = [np.prod(resized_shape(stack.images.shape, window_spec)) for stack in stacks]
        weights = np.array(
            [len(starts) * area for starts, area in zip(self._starts, areas, strict=True)], float
        )
        if not weights[: len(weights) - len(replay)].sum():
            raise DataError(
                f"no stack has {window_spec.n_frames} labelled frames "
                f"{'in a row' if frame_gap[0] == 1 else f'{frame_gap[0]} apart'} to learn from"
            )
        self._weights = _with_share(weights, len(replay), replay_share)
        self._frames = Frames(stacks, window_spec, cache_bytes)

    def draw_frames(self, rng: np.random.Generator) -> list[Frame]:
        """The frames of a random window, N of them."""
        stack = int(rng.choice(len(self._weights), p=self._weights))
        start, gaps = self._starts[stack][int(rng.integers(len(self._starts[stack])))]
        gap = gaps[int(rng.integers(len(gaps)))] if len(gaps) > 1 else gaps[0]
        return [
            self._frames.get(stack, start + gap * index) for index in range(self._spec.n_frames)
        ]

    def draw_start(self, frames: Sequence[Frame], rng: np.random.Generator) -> tuple[int, int]:
        """First row and column of a random patch that lies inside the frames.

        Some patches are centred near an object in one of the frames, its class drawn first, so that
        rare classes are seen as often as common ones; the others are anywhere. Patches with too
        many ignored pixels are drawn again, around pixels that count; after some, the one with the
        fewest is taken.
        """
        start = self._draw_start(frames, rng)
        known = [frame for frame in frames if frame.known is not None]
        best, fewest = start, self._share_ignored(frames, start) if known else 0.0
        for _ in range(_REDRAWN):
            if fewest <= self._most_ignored:
                break
            start = self._draw_known(known[int(rng.integers(len(known)))], rng)
            share = self._share_ignored(frames, start)
            if share < fewest:
                best, fewest = start, share
        return best

    def _draw_known(self, frame: Frame, rng: np.random.Generator) -> tuple[int, int]:
        """First row and column of a patch around a random pixel of a frame that counts."""
        if frame.known is None or not len(frame.known):
            return self._draw_start([frame], rng)
        pixel = int(frame.known[int(rng.integers(len(frame.known)))])
        row, col = self._around(frame, pixel, (0, 0))
        return row, col

    def _around(self, frame: Frame, pixel: int, offset: tuple[int, int]) -> list[int]:
        """First row and column of a patch around a coarse pixel, inside the frame."""
        patch, width = self._spec.patch, -(-frame.classes.shape[1] // COARSE)
        found = []
        for axis, coarse in enumerate(divmod(pixel, width)):
            first = coarse * COARSE + offset[axis] - patch // 2
            found.append(min(max(first, 0), frame.classes.shape[axis] - patch))
        return found

    def _share_ignored(self, frames: Sequence[Frame], start: tuple[int, int]) -> float:
        """Share of ignored pixels in a patch of the frames."""
        box = tuple(slice(first, first + self._spec.patch) for first in start)
        return float(np.mean([(frame.classes[box] == IGNORED).mean() for frame in frames]))

    def _draw_start(self, frames: Sequence[Frame], rng: np.random.Generator) -> tuple[int, int]:
        frame = frames[int(rng.integers(len(frames)))]
        patch = self._spec.patch
        last = [length - patch for length in frame.classes.shape]
        start = [int(rng.integers(most + 1)) for most in last]
        if frame.foreground and rng.random() < self._foreground_share:
            pixels = frame.foreground[int(rng.integers(len(frame.foreground)))]
            pixel = int(pixels[int(rng.integers(len(pixels)))])
            jitter = rng.integers(-(patch // 4), patch // 4 + 1, size=2)
            start = self._around(frame, pixel, (int(jitter[0]), int(jitter[1])))
        return start[0], start[1]


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
        What is cut, and how; the strides count. The mask size must divide P.
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
    frames = Frames(stacks, window_spec, limit=CACHE_BYTES // 4)
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
    for run in _runs(stack, adjacent=True):
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
    box = (slice(*window.rows), slice(*window.cols))
    parts = [frames.get(stack, frame) for frame in range(*window.frames)]
    return (
        np.stack([part.image[box] for part in parts]),
        np.stack([subsample_labels(part.classes[box], size, rule) for part in parts]),
        [
            subsample_labels(part.instances[box], size, rule)
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


def _runs(stack: LabelledStack, *, adjacent: bool = False) -> list[list[int]]:
    """Labelled frames, parted where frames are missing, or where one has no labels."""
    runs: list[list[int]] = []
    for frame in stack.frames:
        before = runs[-1][-1] if runs else frame
        is_parted = any(before < later <= frame for later in stack.images.breaks)
        if not runs or is_parted or (adjacent and frame != before + 1):
            runs.append([])
        runs[-1].append(frame)
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
