"""How many tokens a scheme takes for a set of masks: Tables 3 to 6 for anyone's data."""

import math
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby

import numpy as np

from rleseg_core.data.labels import SubsampleRule, resize_labels, subsample_labels, without_ignored
from rleseg_core.data.masks import MaskStack
from rleseg_core.data.windows import Window, resized_shape
from rleseg_core.errors import DataError, SchemeError
from rleseg_core.evaluation.scores import confusion_matrix, plain_number, score
from rleseg_core.spec import IGNORED, MaskSpec, WindowSpec
from rleseg_core.tokens import (
    ANY_VOCABULARY,
    PRESETS,
    Counts,
    Scheme,
    Tokenizer,
    check,
    for_classes,
    preset,
)

THRESHOLDS = (128, 256, 512, 1024, 1536, 2048, 3072, 4096, 5120, 6144, 7168, 8192)
"""Token budgets to compare with, the paper's and two for small masks."""

TOLERATED = 0.02
"""Share of sequences over the budget that did not matter to the paper's models."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenStatistics:
    """Lengths of the token sequences of a set of masks under one scheme.

    Parameters
    ----------
    name : str
        Name of the scheme, for people.
    scheme : Scheme
        The scheme under which the masks were encoded.
    window : WindowSpec
        How the frames were cut: I, P, N and the strides.
    mask_size : int
        S, the side of a mask in mask pixels.
    n_vocab : int
        V, the token ids; with a head for each field, those of the largest head.
    segments : mapping of str to int
        Ids of each segment of the vocabulary.
    lengths : (k,) int64
        The lengths that occur, ascending, in tokens with the eos, as they count against a budget
        L. The paper's lengths are without it, one less.
    n_each : (k,) int64
        Sequences of each of these lengths.
    n_empty : int
        Sequences of windows without any foreground in mask pixels.
    dice : float
        Mean Dice over the classes of the masks after subsampling and back, against those in patch
        pixels; nan without foreground.
    """

    name: str
    scheme: Scheme
    window: WindowSpec
    mask_size: int
    n_vocab: int
    segments: Mapping[str, int]
    lengths: np.ndarray
    n_each: np.ndarray
    n_empty: int
    dice: float

    @property
    def n_sequences(self) -> int:
        """How many were counted."""
        return int(self.n_each.sum())

    @property
    def mean(self) -> float:
        """Mean length in tokens."""
        return float((self.lengths * self.n_each).sum() / self.n_sequences)

    @property
    def longest(self) -> int:
        """Greatest length in tokens."""
        return int(self.lengths[-1])

    @property
    def empty_share(self) -> float:
        """Share of windows without foreground, 0 to 1."""
        return self.n_empty / self.n_sequences

    def percentile(self, percent: float) -> int:
        """The shortest length that at least `percent` of the sequences do not exceed, in tokens."""
        needed = max(1, math.ceil(percent / 100 * self.n_sequences - 1e-9))
        return int(self.lengths[np.searchsorted(np.cumsum(self.n_each), needed)])

    def share_above(self, n_tokens: int) -> float:
        """Share of the sequences that are longer than `n_tokens`, 0 to 1."""
        return float(self.n_each[self.lengths > n_tokens].sum() / self.n_sequences)

    def budget(self, thresholds: Sequence[int] = THRESHOLDS) -> int | None:
        """The smallest threshold that no more than 2 % of the sequences exceed, None if none is."""
        fitting = (n for n in sorted(thresholds) if self.share_above(n) <= TOLERATED)
        return next(fitting, None)

    def histogram(self, edges: Sequence[int]) -> list[int]:
        """Sequences with a length from each edge to before the next, the last edge included."""
        return np.histogram(self.lengths, edges, weights=self.n_each)[0].astype(int).tolist()

    def to_json(self, thresholds: Sequence[int] = THRESHOLDS) -> dict[str, object]:
        """Plain values; shares from 0 to 1, without those of thresholds that nothing exceeds."""
        shares = {n: round(self.share_above(n), 6) for n in thresholds}
        return {
            "name": self.name,
            "scheme": self.scheme.to_json(),
            "window": self.window.to_json(),
            "mask_size": self.mask_size,
            "vocabulary": self.n_vocab,
            "segments": dict(self.segments),
            "sequences": self.n_sequences,
            "empty": round(self.empty_share, 6),
            "dice": plain_number(self.dice),
            "mean": round(self.mean, 3),
            "max": self.longest,
            "percentiles": {str(q): self.percentile(q) for q in (50, 90, 95, 98, 99)},
            "above": {str(n): share for n, share in shares.items()},
            "budget": self.budget(thresholds),
        }


@dataclass(frozen=True)
class WindowCounted:
    """Report of `count_tokens`."""

    n_done: int
    n_windows: int


def schemes_for(
    names: Iterable[str],
    spec: MaskSpec,
    *,
    instances: bool,
    order: str | None = None,
    start: str | None = None,
) -> tuple[dict[str, Scheme], dict[str, str]]:
    """Named schemes as they can be used for masks of a spec.

    Parameters
    ----------
    names : iterable of str
        Keys of `PRESETS`.
    spec : MaskSpec
        The masks.
    instances : bool
        Whether ids of objects are known.
    order, start : str, optional
        Choices to change; `start` only where a scheme writes starts.

    Returns
    -------
    dict of str to Scheme
        What can be used; with one class, without the symbol that would say it.
    dict of str to str
        The others, and why not, in words.

    Raises
    ------
    SchemeError
        If there is no scheme of a name.
    """
    usable: dict[str, Scheme] = {}
    left_out: dict[str, str] = {}
    # of several frames, plain runs are best known as 3D-C
    for name in sorted(names, key=lambda name: (spec.n_frames > 1) > (name == "3d-c")):
        changes: dict[str, str | int | None] = {} if order is None else {"order": order}
        if start is not None and preset(name).start is not None:
            changes["start"] = start
        try:
            scheme = preset(name, **changes)
            if spec.n_classes == 1:
                scheme = for_classes(scheme, 1)
            check(scheme, spec)
        except SchemeError as error:
            if name not in PRESETS:
                raise
            left_out[name] = str(error)
            continue
        if scheme.blocks == "instance" and not instances:
            left_out[name] = "the masks do not tell objects apart"
            continue
        twin = next((other for other, its in usable.items() if its == scheme), None)
        if twin is None:
            usable[name] = scheme
        else:
            left_out[name] = f"the same as {twin} for {_masks(spec)}"
    return usable, left_out


def whole_frame(stacks: Sequence[MaskStack], image_size: int | None, factors: Sequence[int]) -> int:
    """P, the side of the smallest patch that holds any frame and that all `factors` divide."""
    geometry = WindowSpec(patch=1, patch_stride=1, image_size=image_size)
    side = max(max(resized_shape(stack.shape, geometry)) for stack in stacks)
    step = math.lcm(*factors)
    return -(-side // step) * step


def count_tokens(
    stacks: Sequence[MaskStack],
    window: WindowSpec,
    schemes: Mapping[str, Scheme],
    mask_sizes: Sequence[int],
    *,
    rule: SubsampleRule = "centre",
    max_windows: int | None = None,
) -> Generator[WindowCounted, None, list[TokenStatistics]]:
    """Count the tokens that schemes take for the windows of masks.

    A window is read once, subsampled once for each size, and counted by each scheme; only the
    lengths are kept.

    Parameters
    ----------
    stacks : sequence of MaskStack
        The masks, of the same classes.
    window : WindowSpec
        How frames are resized and cut into patches and temporal windows, as a model would see
        them: a frame that is smaller than a patch is filled up with its last row and column.
    schemes : mapping of str to Scheme
        By name.
    mask_sizes : sequence of int
        Sides S in mask pixels; each must divide the patch.
    rule : {"corner", "centre", "max"}
        How masks are subsampled.
    max_windows : int, optional
        Count no more than so many, spread evenly over all; all by default.

    Yields
    ------
    WindowCounted
        After each window.

    Returns
    -------
    list of TokenStatistics
        For each size and each scheme, in the order given.

    Raises
    ------
    DataError
        If there is nothing to count, or a size does not divide the patch.
    SchemeError
        If a scheme does not go with the masks.
    """
    if not stacks or not schemes or not mask_sizes:
        raise DataError(
            f"there is nothing to count: {len(stacks)} stacks of masks, {len(schemes)} schemes, "
            f"{len(mask_sizes)} mask sizes"
        )
    spec = partial(MaskSpec, class_names=stacks[0].class_names, n_frames=window.n_frames)
    sizes = [_SizeCounts(schemes, spec(size=(side, side)), window, rule) for side in mask_sizes]
    with_instances = any(scheme.blocks == "instance" for scheme in schemes.values())
    planned = _planned(stacks, window, max_windows)
    for done, (classes, instances) in enumerate(
        _windows(stacks, planned, window, with_instances), start=1
    ):
        for counts in sizes:
            counts.add(classes, instances)
        yield WindowCounted(done, len(planned))
    return [column for counts in sizes for column in counts.statistics()]


class _SizeCounts:
    """What is counted for one mask size."""

    def __init__(
        self,
        schemes: Mapping[str, Scheme],
        spec: MaskSpec,
        window: WindowSpec,
        rule: SubsampleRule,
    ) -> None:
        self._spec, self._window, self._rule = spec, window, rule
        subsample_labels(np.zeros((window.patch, window.patch), np.uint8), spec.size)
        self._tokenizers = {
            name: Tokenizer.build(scheme, spec, vocab_limit=ANY_VOCABULARY)
            for name, scheme in schemes.items()
        }
        self._lengths: dict[str, Counter[int]] = {name: Counter() for name in schemes}
        self._n_empty = 0
        self._confusion = np.zeros((spec.n_classes + 1,) * 2, np.int64)

    def add(self, labels: np.ndarray, ids: np.ndarray | None) -> None:
        """Count a window, class ids and instance ids (N, P, P)."""
        if (labels == IGNORED).all():
            return  # a window of which nothing is known
        size = self._spec.size
        known = subsample_labels(labels, size, self._rule)
        classes = without_ignored(known)
        instances = None if ids is None else subsample_labels(ids, size, self._rule)
        self._n_empty += not classes.any()
        self._confusion += _block_confusion(labels, known, self._spec.n_classes)
        counted: dict[Scheme, Counts] = {}  # many schemes write the same runs
        for name, tokenizer in self._tokenizers.items():
            key = replace(tokenizer.scheme, start=None, symbol=None, heads="one")
            if key not in counted:
                counted[key] = tokenizer.count(classes, instances)
            self._lengths[name][_n_tokens(tokenizer, counted[key])] += 1

    def statistics(self) -> Iterator[TokenStatistics]:
        """What was counted, scheme by scheme."""
        for name, tokenizer in self._tokenizers.items():
            counted = sorted(self._lengths[name].items())
            yield TokenStatistics(
                name=name,
                scheme=tokenizer.scheme,
                window=self._window,
                mask_size=self._spec.size[0],
                n_vocab=tokenizer.vocab.size,
                segments={part.name: part.size for part in tokenizer.vocab.segments},
                lengths=np.array([length for length, _ in counted], np.int64),
                n_each=np.array([n for _, n in counted], np.int64),
                n_empty=self._n_empty,
                dice=score(self._confusion, self._spec.class_names).mean_dice,
            )


def _block_confusion(labels: np.ndarray, classes: np.ndarray, n_classes: int) -> np.ndarray:
    """`confusion_matrix` of labels (N, P, P) and of their mask (N, S, S), enlarged."""
    if (classes == IGNORED).any() or (labels == IGNORED).any():
        enlarged = resize_labels(classes, labels.shape[-2:])
        return confusion_matrix(labels, enlarged, n_classes)
    n, side = n_classes + 1, classes.shape[1]
    blocks = labels.reshape(-1, side, labels.shape[1] // side, side, labels.shape[2] // side)
    dtype = np.uint8 if n * n <= 256 else np.uint32
    pairs = blocks * dtype(n) + classes[:, :, None, :, None].astype(dtype)
    return np.bincount(pairs.ravel(), minlength=n * n).reshape(n, n)


def _n_tokens(tokenizer: Tokenizer, counts: Counts) -> int:
    """Number of tokens of the counted runs and blocks, eos included; per head if there are K."""
    if tokenizer.vocab.per_field:
        return counts.n_runs + 1
    return counts.n_runs * tokenizer.tokens_per_run + counts.n_blocks + 1


def bin_edges(statistics: Sequence[TokenStatistics], n_bins: int = 60) -> list[int]:
    """Edges of up to `n_bins` bins of a round width that hold all the lengths, from 0 on."""
    longest = max(column.longest for column in statistics)
    width = next(w for w in _round_numbers() if w * n_bins > longest)
    return list(range(0, longest + width + 1, width))


def _round_numbers() -> Iterable[int]:
    power = 1
    while True:
        yield from (power, 2 * power, 5 * power)
        power *= 10


def _planned(
    stacks: Sequence[MaskStack], spec: WindowSpec, most: int | None
) -> list[tuple[int, Window]]:
    """Windows with the index of their stack, thinned out evenly."""
    planned = []
    for index, stack in enumerate(stacks):
        planned += [(index, window) for window in stack.plan(spec)]
    if most is None or len(planned) <= most:
        return planned
    return [planned[i] for i in np.linspace(0, len(planned) - 1, most).round().astype(int)]


def _windows(
    stacks: Sequence[MaskStack],
    planned: Sequence[tuple[int, Window]],
    spec: WindowSpec,
    with_instances: bool,
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Class ids and instance ids (N, P, P) of windows, stack after stack."""
    for index, group in groupby(planned, key=lambda pair: pair[0]):
        windows = (window for _, window in group)
        yield from stacks[index].windows(spec, windows, instances=with_instances)


def _masks(spec: MaskSpec) -> str:
    classes = "one class" if spec.n_classes == 1 else f"{spec.n_classes} classes"
    return f"masks of {classes}" if spec.n_frames > 1 else f"single frames of {classes}"
