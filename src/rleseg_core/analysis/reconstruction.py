"""What is left of masks after each step of their compression: the paper's Table 11, and beyond."""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from itertools import chain, groupby, product

import numpy as np

from rleseg_core.checks import Count, Side, check_fields
from rleseg_core.data.labels import (
    SubsampleRule,
    UpsampleRule,
    subsample_labels,
    upsample_labels,
    without_ignored,
)
from rleseg_core.data.masks import MaskStack
from rleseg_core.data.windows import model_labels
from rleseg_core.errors import DataError
from rleseg_core.evaluation.boundary import boundary_counts, boundary_f
from rleseg_core.evaluation.scores import confusion_matrix, plain_number, score
from rleseg_core.spec import IGNORED, MaskSpec, WindowSpec
from rleseg_core.tokens import ANY_VOCABULARY, Drop, Scheme, Tokenizer

MEAN = "mean"
"""Name of the rows that hold the means over the classes."""

_SCORES = ("recall", "precision", "dice", "iou", "boundary_f")


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """How well masks survive one chain of steps: subsample, encode, decode, enlarge again.

    Scores are against the masks in patch pixels and pooled over all windows, so that every pixel
    and every boundary pixel counts alike; nan where the class is in neither.

    Parameters
    ----------
    mask_size : int
        S.
    subsample : {'corner', 'centre', 'max'}
        How the mask was made smaller.
    budget : int or None
        L; None: as many tokens as it takes.
    drop : {'tail', 'shortest'} or None
        Which runs go where the budget is too small.
    upsample : {'nearest', 'smooth'}
        How the mask was made larger again.
    class_name : str
        The class, or `MEAN` for the mean over the classes that occur.
    recall, precision, dice, iou : float
        Of the pixels, 0 to 1.
    boundary_f : float
        Boundary F-score, 0 to 1; see `rleseg_core.evaluation.boundary`.
    n_masks : int
        Windows that were measured.
    n_changed : int
        Masks that were not the same after encoding and decoding. Without a budget any is an error
        of the tokenizer; with one, they are those that lost runs.
    mean_tokens : float
        Mean length of the sequences, the eos included.
    n_objects, n_lost : int or None
        Objects in the windows, counted in each, and those of which no pixel is left; None where
        objects are not told apart.
    """

    mask_size: int
    subsample: SubsampleRule
    budget: int | None
    drop: Drop | None
    upsample: UpsampleRule
    class_name: str
    recall: float
    precision: float
    dice: float
    iou: float
    boundary_f: float
    n_masks: int
    n_changed: int
    mean_tokens: float
    n_objects: int | None
    n_lost: int | None

    def to_json(self) -> dict[str, object]:
        """Plain values, nan as None."""
        return {
            name: plain_number(value) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }


@dataclass(frozen=True)
class WindowMeasured:
    """Report of `measure_fidelity`."""

    n_done: int
    n_windows: int


@dataclass(frozen=True, kw_only=True)
class CompressionSteps:
    """The steps to try, all with all.

    Parameters
    ----------
    mask_sizes : tuple of int
        Sides S in mask pixels; each must divide the patch.
    subsampling : tuple of {'corner', 'centre', 'max'}
        Rules by which masks are made smaller.
    upsampling : tuple of {'nearest', 'smooth'}
        Rules by which they are made larger again.
    budgets : tuple of int
        Token budgets L to try besides none, the eos included.
    drops : tuple of {'tail', 'shortest'}
        Which runs go where a budget is too small, to try with each budget.

    Raises
    ------
    DataError
        If there is no mask size or no rule.
    """

    mask_sizes: tuple[Side, ...]
    subsampling: tuple[SubsampleRule, ...] = ("centre",)
    upsampling: tuple[UpsampleRule, ...] = ("nearest", "smooth")
    budgets: tuple[Count, ...] = ()
    drops: tuple[Drop, ...] = ("tail", "shortest")

    def __post_init__(self) -> None:
        check_fields(self, DataError)
        if not (self.mask_sizes and self.subsampling and self.upsampling):
            raise DataError(
                "there is nothing to measure: give mask sizes and rules, at least one each"
            )

    @property
    def cuts(self) -> list[tuple[int | None, Drop | None]]:
        """Each budget with each way to drop runs, and first no budget."""
        return [(None, None), *product(self.budgets, self.drops)]


def measure_fidelity(
    stacks: Sequence[MaskStack],
    window: WindowSpec,
    scheme: Scheme,
    steps: CompressionSteps,
    *,
    tolerance: float | None = None,
) -> Generator[WindowMeasured, None, tuple[Fidelity, ...]]:
    """Measure what subsampling, tokens and token budgets leave of masks.

    Parameters
    ----------
    stacks : sequence of MaskStack
        The masks, of the same classes.
    window : WindowSpec
        How frames are resized and cut, as a model would see them. Where the last windows overlap
        the ones before, pixels count twice.
    scheme : Scheme
        How masks are written.
    steps : CompressionSteps
        Mask sizes, rules and budgets to try.
    tolerance : float, optional
        Distance in patch pixels at which boundaries still agree; 0.75 % of the patch's diagonal by
        default.

    Yields
    ------
    WindowMeasured
        After each window.

    Returns
    -------
    tuple of Fidelity
        For each size, subsampling, budget with its drop rule (none first) and upsampling, a row for
        each class, and one for their mean where there are several.

    Raises
    ------
    DataError
        If there are no masks, or a size does not divide the patch.
    SchemeError
        If the scheme does not go with the masks.
    BudgetError
        If a budget has no room for the eos.
    """
    if not stacks:
        raise DataError("there is nothing to measure: give at least one stack of masks")
    names = stacks[0].class_names
    tokenizers = _tokenizers(scheme, window, names, steps.mask_sizes)
    chains = product(steps.mask_sizes, steps.subsampling, steps.cuts, steps.upsampling)
    sums = {key: _Counts.none(len(names)) for key in chains}
    n_windows = sum(len(masks.plan(window)) for masks in stacks)
    windows = chain.from_iterable(_windows(masks, window) for masks in stacks)
    for done, (truth, ids) in enumerate(windows, start=1):
        n_objects = 0 if ids is None else _n_objects(ids)
        for side, rule in product(steps.mask_sizes, steps.subsampling):
            sample = _Sample(
                truth=truth,
                mask=without_ignored(subsample_labels(truth, (side, side), rule)),
                objects=None if ids is None else subsample_labels(ids, (side, side), rule),
                n_objects=n_objects,
            )
            for cut, restored in sample.measure_cuts(tokenizers[side], steps, tolerance):
                for way, counts in zip(steps.upsampling, restored, strict=True):
                    sums[side, rule, cut, way] += counts
        yield WindowMeasured(done, n_windows)
    known = all(masks.instances is not None for masks in stacks)
    rows: list[Fidelity] = []
    for (side, rule, (budget, drop), way), counts in sums.items():
        row = partial(
            Fidelity, mask_size=side, subsample=rule, budget=budget, drop=drop, upsample=way
        )
        rows += counts.rows(row, names, with_objects=known)
    return tuple(rows)


def _tokenizers(
    scheme: Scheme, window: WindowSpec, names: tuple[str, ...], mask_sizes: Sequence[int]
) -> dict[int, Tokenizer]:
    """The tokenizer of each mask size, which must divide the patch."""
    for side in mask_sizes:
        subsample_labels(np.zeros((window.patch, window.patch), np.uint8), (side, side))
    return {
        side: Tokenizer.build(
            scheme,
            MaskSpec(size=(side, side), class_names=names, n_frames=window.n_frames),
            vocab_limit=ANY_VOCABULARY,
        )
        for side in mask_sizes
    }


def _windows(masks: MaskStack, spec: WindowSpec) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Class ids and instance ids (N, P, P) of all windows."""
    for frames, windows in groupby(masks.plan(spec), lambda window: window.frames):
        found = [(masks.class_frame(t), masks.instance_frame(t)) for t in range(*frames)]
        classes = np.stack([model_labels(labels, spec) for labels, _ in found])
        ids = [model_labels(labels, spec) for _, labels in found if labels is not None]
        instances = np.stack(ids) if ids else None
        for window in windows:
            cut = np.s_[:, slice(*window.rows), slice(*window.cols)]
            yield classes[cut], None if instances is None else instances[cut]


@dataclass
class _Counts:
    """What was counted along one chain."""

    confusion: np.ndarray  # (C + 1, C + 1)
    boundary: np.ndarray  # (C, 4)
    n_masks: int = 0
    n_changed: int = 0
    n_tokens: int = 0
    n_objects: int = 0
    n_lost: int = 0

    @classmethod
    def none(cls, n_classes: int) -> "_Counts":
        return cls(
            np.zeros((n_classes + 1, n_classes + 1), np.int64), np.zeros((n_classes, 4), np.int64)
        )

    def __iadd__(self, other: "_Counts") -> "_Counts":
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))
        return self

    def rows(
        self, row: Callable[..., Fidelity], names: Sequence[str], *, with_objects: bool
    ) -> Iterator[Fidelity]:
        """A row for each class, and their mean."""
        classes = score(self.confusion, names).classes
        table = np.array(
            [
                (one.recall, one.precision, one.dice, one.iou, edge)
                for one, edge in zip(classes, boundary_f(self.boundary), strict=True)
            ]
        )
        if len(names) > 1:
            there = ~np.isnan(table)
            sums = np.where(there, table, 0).sum(axis=0)
            with np.errstate(invalid="ignore"):
                table = np.vstack([table, sums / there.sum(axis=0)])
            names = (*names, MEAN)
        for name, scores in zip(names, table.tolist(), strict=True):
            yield row(
                class_name=name,
                **dict(zip(_SCORES, scores, strict=True)),
                n_masks=self.n_masks,
                n_changed=self.n_changed,
                mean_tokens=self.n_tokens / self.n_masks,
                n_objects=self.n_objects if with_objects else None,
                n_lost=self.n_lost if with_objects else None,
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Sample:
    """A window: its masks in patch pixels (N, P, P), and in mask pixels (N, S, S)."""

    truth: np.ndarray
    mask: np.ndarray
    objects: np.ndarray | None
    n_objects: int

    def measure_cuts(
        self, tokenizer: Tokenizer, steps: CompressionSteps, tolerance: float | None
    ) -> Iterator[tuple[tuple[int | None, Drop | None], list["_Counts"]]]:
        """What each budget leaves of it, for each way to enlarge it again."""
        seen: dict[bytes, list[_Counts]] = {}  # most budgets leave most masks whole
        for budget, drop in steps.cuts:
            tokens = tokenizer.encode(self.mask, self.objects, budget=budget, drop=drop or "tail")
            key = tokens.tobytes()
            if key not in seen:
                seen[key] = self.measure(tokenizer, tokens, steps.upsampling, tolerance)
            yield (budget, drop), seen[key]

    def measure(
        self,
        tokenizer: Tokenizer,
        tokens: np.ndarray,
        upsampling: Sequence[UpsampleRule],
        tolerance: float | None,
    ) -> list[_Counts]:
        """What tokens leave of it, for each way to enlarge them again."""
        decoded, n_classes = tokenizer.decode(tokens), tokenizer.spec.n_classes
        changed = not np.array_equal(decoded.classes, self.mask)
        n_lost = 0
        if self.objects is not None:
            n_lost = self.n_objects - _n_objects(self.objects[decoded.classes != 0])
            if decoded.instances is not None:
                changed |= not _same_objects(self.objects, decoded.instances)
        found = []
        for way in upsampling:
            restored = upsample_labels(decoded.classes, self.truth.shape[-2:], way)
            restored = np.where(self.truth == IGNORED, self.truth, restored)
            found.append(
                _Counts(
                    confusion_matrix(self.truth, restored, n_classes),
                    boundary_counts(self.truth, restored, n_classes, tolerance),
                    n_masks=1,
                    n_changed=int(changed),
                    n_tokens=tokens.shape[-1],
                    n_objects=self.n_objects,
                    n_lost=n_lost,
                )
            )
        return found


def _n_objects(ids: np.ndarray) -> int:
    return int(np.count_nonzero(np.unique(ids)))


def _same_objects(ids: np.ndarray, others: np.ndarray) -> bool:
    """Whether two numberings separate the same objects."""
    pairs = np.unique(np.stack([ids.ravel(), others.ravel()]), axis=1)
    return pairs.shape[1] == len(np.unique(ids)) == len(np.unique(others))
