"""A recommendation: which scheme, mask size and number of frames to take for masks, and why."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rleseg_core.analysis.lengths import TOLERATED, TokenStatistics
from rleseg_core.checks import Count, Share, check_fields
from rleseg_core.errors import DataError
from rleseg_core.tokens import Scheme
from rleseg_core.tokens.runs import RUN_KINDS


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a choice must keep to.

    Parameters
    ----------
    max_vocab : int
        V, the most token ids.
    max_tokens : int
        L, the most tokens of a sequence, the eos included.
    tolerated : float
        Share of the sequences that may be longer, 0 to 1; they lose their last runs.
    min_dice : float
        Dice after subsampling below which more frames are no gain; the paper accepts 0.9.
    dice_step : float
        A finer mask must gain so much Dice to be worth its tokens.

    Raises
    ------
    DataError
        If a limit is not positive, or a share lies outside 0 to 1.
    """

    max_vocab: Count = 32_000
    max_tokens: Count = 4096
    tolerated: Share = TOLERATED
    min_dice: Share = 0.9
    dice_step: Share = 0.02

    def __post_init__(self) -> None:
        check_fields(self, DataError)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A scheme with S and N, what it takes, and what became of it.

    Parameters
    ----------
    statistics : TokenStatistics
        What was counted.
    fits : bool
        Whether it keeps to the limits.
    verdict : str
        Why it was chosen, or was not.
    """

    statistics: TokenStatistics
    fits: bool
    verdict: str

    @property
    def hard(self) -> bool:
        """Whether the scheme is one of those that the paper found hard to learn (Sec. VI)."""
        return _weakness(self.statistics.scheme) is not None

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {**self.statistics.to_json(), "fits": self.fits, "verdict": self.verdict}


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """The recommended scheme, S and N, with the reasons.

    Parameters
    ----------
    best : TokenStatistics or None
        The recommended candidate; None if none keeps within the limits.
    reasons : tuple of str
        The reasons, one sentence each.
    candidates : tuple of Candidate
        All of them, as they were given.
    """

    best: TokenStatistics | None
    reasons: tuple[str, ...]
    candidates: tuple[Candidate, ...]


def variants(schemes: Mapping[str, Scheme], *, orders: bool = True) -> dict[str, Scheme]:
    """Schemes, and the same with 2D starts and with the other order.

    Parameters
    ----------
    schemes : mapping of str to Scheme
        Schemes by name.
    orders : bool
        Whether the other order is to be tried.

    Returns
    -------
    dict of str to Scheme
        Each scheme once, under the first of its names; a name tells what was changed, as
        "lac F 2D".
    """
    found = dict(schemes)
    for name, scheme in schemes.items():
        other: Literal["C", "F"] = "F" if scheme.order == "C" else "C"
        turned = {f"{name} {other}": replace(scheme, order=other)} if orders else {}
        for label, its in ({name: scheme} | turned).items():
            more = {label: its}
            if its.start == "flat":
                more[f"{label} 2D"] = replace(its, start="coords")
            found |= {key: value for key, value in more.items() if value not in found.values()}
    return found


def recommend(counted: Sequence[TokenStatistics], limits: Limits | None = None) -> Recommendation:
    """The scheme, mask size and number of frames to take of those that were counted.

    Candidates over a limit are dropped first, and schemes that are hard to learn if any other
    keeps to the limits. Then N: the most frames that still leave masks of Dice `min_dice`, as
    longer windows show more of what moves. Then S: the coarsest mask whose Dice is within
    `dice_step` of the best. Then the scheme with the shortest sequences (Sec. III-A1: rather a
    larger V than a larger L), among equals the one with the smaller vocabulary.

    Parameters
    ----------
    counted : sequence of TokenStatistics
        Of the same masks cut in the same way, but for scheme, S and N.
    limits : Limits, optional
        What to keep to; the paper's by default.

    Raises
    ------
    DataError
        If nothing was counted, or there is no foreground to judge by.
    """
    limits = limits or Limits()
    if not counted:
        raise DataError("there are no candidates to choose from")
    if all(column.n_empty == column.n_sequences for column in counted):
        raise DataError("the masks are empty; there is nothing to choose by")
    over = {id(column): _over(column, limits) for column in counted}
    fitting = [column for column in counted if not over[id(column)]]
    if not fitting:
        return _nothing_fits(counted, over, limits)
    robust = [column for column in fitting if _weakness(column.scheme) is None] or fitting
    n_frames = _frames(robust, limits)
    same_n = [column for column in robust if column.window.n_frames == n_frames]
    side = _mask_size(same_n, limits)
    chosen = _shortest([column for column in same_n if column.mask_size == side])
    candidates = tuple(
        Candidate(
            statistics=column,
            fits=not over[id(column)],
            verdict=over[id(column)] or _verdict(column, chosen, limits),
        )
        for column in counted
    )
    return Recommendation(
        best=chosen,
        reasons=tuple(_reasons(chosen, candidates, limits)),
        candidates=candidates,
    )


def _over(column: TokenStatistics, limits: Limits) -> str:
    """The limits that are exceeded, as text; empty if none is."""
    parts = []
    if column.n_vocab > limits.max_vocab:
        name, size = max(column.segments.items(), key=lambda part: part[1])
        parts.append(f"V is over {limits.max_vocab:,} ({name} takes {size:,})")
    share = column.share_above(limits.max_tokens)
    if share > limits.tolerated:
        parts.append(f"{share:.2%} over {limits.max_tokens:,} tokens")
    return " and ".join(parts)


def _weakness(scheme: Scheme) -> str | None:
    """Why a scheme is taken only if no other fits (Sec. VI), None for most."""
    if scheme.heads == "per_field":
        return "hard to learn (a head for each field)"
    if not RUN_KINDS[scheme.runs].independent:
        return "hard to learn (a wrong token spoils those after it)"
    return None


def _frames(columns: Sequence[TokenStatistics], limits: Limits) -> int:
    """The greatest N with masks of Dice `min_dice`, else the N with the best."""
    best: dict[int, float] = {}
    for column in columns:
        n = column.window.n_frames
        best[n] = max(best.get(n, 0.0), _dice(column))
    enough = [n for n, dice in best.items() if dice >= limits.min_dice]
    return max(enough) if enough else max(best, key=lambda n: (round(best[n], 3), n))


def _mask_size(columns: Sequence[TokenStatistics], limits: Limits) -> int:
    best = max(_dice(column) for column in columns)
    near = [column for column in columns if _dice(column) >= best - limits.dice_step]
    return min(column.mask_size for column in near)


def _shortest(columns: Sequence[TokenStatistics]) -> TokenStatistics:
    """The shortest sequences; lengths that differ by less than 1 % are taken for equal."""
    least = min(column.mean for column in columns)
    equal = [column for column in columns if column.mean <= 1.01 * least]
    return min(equal, key=lambda column: (column.scheme.blocks is not None, column.n_vocab))


def _dice(column: TokenStatistics) -> float:
    return 0.0 if math.isnan(column.dice) else column.dice


def _verdict(column: TokenStatistics, chosen: TokenStatistics, limits: Limits) -> str:
    """Why a candidate that fits was not chosen."""
    if column is chosen:
        return "chosen"
    weakness = _weakness(column.scheme)
    if weakness is not None and _weakness(chosen.scheme) is None:
        return weakness
    if column.window.n_frames != chosen.window.n_frames:
        if column.window.n_frames < chosen.window.n_frames:
            return "fewer frames at a time"
        return f"leaves only masks of Dice below {limits.min_dice:g}"
    if column.mask_size < chosen.mask_size:
        return f"coarser, {_dice(chosen) - _dice(column):.3f} less Dice"
    if column.mask_size > chosen.mask_size:
        gain, times = _dice(column) - _dice(chosen), column.mean / chosen.mean
        return f"only {gain:.3f} more Dice for {times:.1f} times the tokens"
    more = column.mean / chosen.mean - 1
    if more > 0.01:
        return f"{more:.0%} more tokens"
    if column.scheme.blocks is not None and chosen.scheme.blocks is None:
        return "no shorter, and one token decides the class of a block"
    return "no shorter"


def _reasons(chosen: TokenStatistics, candidates: Sequence[Candidate], limits: Limits) -> list[str]:
    share = chosen.share_above(limits.max_tokens)
    along = "rows" if chosen.scheme.order == "C" else "columns"
    starts = ", 2D starts" if chosen.scheme.start == "coords" else ""
    reasons = [
        f"{chosen.name} (runs along {along}{starts}) takes {chosen.mean:.0f} tokens on average and "
        f"{chosen.longest:,} at most: {1 - share:.1%} of {chosen.n_sequences:,} sequences fit into "
        f"{limits.max_tokens:,}, with a vocabulary of {chosen.n_vocab:,} of {limits.max_vocab:,}.",
        *_size_reasons(chosen, candidates, limits),
    ]
    if len({c.statistics.window.n_frames for c in candidates}) > 1:
        reasons.append(_frames_reason(chosen.window.n_frames, candidates, limits))
    weakness = _weakness(chosen.scheme)
    if weakness is not None:
        reasons.append(f"Beware: {weakness}; no other scheme keeps to the limits.")
    objects = [
        c.statistics
        for c in candidates
        if c.fits and c.statistics.scheme.blocks == "instance" and _same_masks(c, chosen)
    ]
    if objects and chosen.scheme.blocks != "instance":
        least = min(objects, key=lambda column: column.mean)
        reasons.append(
            f"To tell objects apart as well, {least.name} takes {least.mean / chosen.mean:.2f} "
            "times the tokens."
        )
    budget = chosen.budget()
    if budget is not None and budget < limits.max_tokens:
        reasons.append(
            f"A budget of L = {budget:,} would do: {chosen.share_above(budget):.1%} of the "
            "sequences are longer."
        )
    return reasons


def _same_masks(candidate: Candidate, chosen: TokenStatistics) -> bool:
    its = candidate.statistics
    same_size = its.mask_size == chosen.mask_size
    return same_size and its.window.n_frames == chosen.window.n_frames


def _size_reasons(
    chosen: TokenStatistics, candidates: Sequence[Candidate], limits: Limits
) -> list[str]:
    """What S keeps of the masks, and what finer ones would."""
    side, dice = chosen.mask_size, _dice(chosen)
    reasons = [
        f"Masks of {side} x {side} for patches of {chosen.window.patch} keep a Dice of {dice:.3f}."
    ]
    if dice < limits.min_dice:
        reasons.append(
            f"That is below {limits.min_dice:g}: smaller patches would let the masks be finer."
        )
    same_n = [c for c in candidates if c.statistics.window.n_frames == chosen.window.n_frames]
    finer = [c for c in same_n if c.statistics.mask_size > side]
    usable = [c.statistics for c in finer if c.fits and not c.hard]
    if usable:
        best = max(usable, key=_dice)
        reasons.append(
            f"Finer masks fit too, but {best.mask_size} x {best.mask_size} would gain only "
            f"{_dice(best) - dice:.3f} Dice."
        )
    elif finer:
        nearest = min(c.statistics.mask_size for c in finer)
        reasons.append(f"Masks of {nearest} x {nearest} or finer do not keep to the limits.")
    return reasons


def _frames_reason(n_frames: int, candidates: Sequence[Candidate], limits: Limits) -> str:
    longer = [c for c in candidates if c.statistics.window.n_frames > n_frames]
    if not longer:
        return (
            f"Of the windows asked for, those of {n_frames} frames are the longest, and they fit."
        )
    if any(c.fits and _weakness(c.statistics.scheme) is None for c in longer):
        return (
            f"Longer windows than {n_frames} fit only with masks of Dice below {limits.min_dice:g}."
        )
    return f"Longer windows than {n_frames} do not keep to the limits."


def _nothing_fits(
    counted: Sequence[TokenStatistics], over: dict[int, str], limits: Limits
) -> Recommendation:
    nearest = min(
        counted,
        key=lambda column: max(
            column.n_vocab / limits.max_vocab,
            column.percentile(100 * (1 - limits.tolerated)) / limits.max_tokens,
        ),
    )
    return Recommendation(
        best=None,
        reasons=(
            f"Nothing keeps to {limits.max_vocab:,} token ids and {limits.max_tokens:,} tokens.",
            f"The nearest, {nearest.name} with S = {nearest.mask_size}: {over[id(nearest)]}.",
            "Smaller patches, coarser masks or fewer frames make sequences shorter.",
        ),
        candidates=tuple(
            Candidate(statistics=column, fits=False, verdict=over[id(column)]) for column in counted
        ),
    )
