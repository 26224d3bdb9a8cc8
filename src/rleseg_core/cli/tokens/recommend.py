"""``rleseg tokens recommend``: which scheme, mask size and number of frames to take for masks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from rleseg_core.analysis.recommendation import Limits
from rleseg_core.cli.console import LiteralTable, out, print_json, print_line
from rleseg_core.cli.masks import (
    SCHEME,
    WINDOWS,
    MaskOptions,
    MaskPaths,
    Schemes,
    SubsampleRule,
)
from rleseg_core.cli.options import POSITIVE, ImageSize, Reporting
from rleseg_core.cli.tokens.counting import mask_sizes, usable_schemes, watch
from rleseg_core.cli.values import numbers_of, schemes_of
from rleseg_core.docstrings import field_descriptions
from rleseg_core.errors import SchemeError
from rleseg_core.spec import WindowSpec
from rleseg_core.tokens.scheme import Scheme

if TYPE_CHECKING:
    from pathlib import Path

    from rleseg_core.analysis.lengths import TokenStatistics
    from rleseg_core.analysis.recommendation import Candidate, Recommendation

LIMITS = Group("Limits", sort_key=5)
_FACTORS = (1, 2, 4, 8, 16, 32)
_SIDES = (16, 320)  # of masks; the paper found finer ones too much to train


@Parameter(name="*", group=WINDOWS)
@dataclass(frozen=True, kw_only=True)
class TrialOptions:
    """Which windows and sizes are tried.

    Parameters
    ----------
    patch : int or None
        P, the side of a patch in pixels.
    subsample : str or None
        Factors P / S to try, such as 4,8; each must divide P.
    frames : str
        N, the numbers of frames of a window to try, such as 1,2,4.
    windows : int
        Count this many windows at most, spread evenly.
    """

    patch: Annotated[int | None, POSITIVE, Parameter(show_default="whole frames")] = None
    subsample: Annotated[
        str | None, Parameter(metavar="LIST", show_default="those that make S from 16 to 320")
    ] = None
    subsample_rule: SubsampleRule = "centre"
    image_size: ImageSize = None
    frames: Annotated[str, Parameter(metavar="LIST")] = "1"
    windows: Annotated[int, POSITIVE] = 200


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class RecommendOptions:
    """Schemes, windows and limits of a recommendation.

    Parameters
    ----------
    every : bool
        Print every candidate.
    """

    limits: Annotated[Limits, Parameter(name="*", group=LIMITS)] = Limits()
    masks: MaskOptions = MaskOptions()
    scheme: Schemes = ("all",)
    order: Annotated[
        str | None,
        Parameter(
            group=SCHEME,
            help=field_descriptions(Scheme)["order"],
            show_default="every order is tried",
        ),
    ] = None
    trials: TrialOptions = TrialOptions()
    every: bool = False


def recommend(
    masks: MaskPaths,
    /,
    options: RecommendOptions = RecommendOptions(),
    reporting: Reporting = Reporting(),
) -> None:
    """Recommend a scheme, S and N for masks, with the reasons.

    Parameters
    ----------
    masks : list of Path
        Stacks of masks.
    options : RecommendOptions
        What is tried, and what a recommendation must keep to.
    reporting : Reporting
        What is printed.
    """
    from rleseg_core.analysis.recommendation import recommend

    recommendation = recommend(_count(masks, options, reporting.quiet), options.limits)
    if reporting.as_json:
        print_json(_json(recommendation))
    else:
        _print(recommendation, options.every)


def _count(
    masks: "Sequence[Path]", options: RecommendOptions, quiet: bool
) -> list["TokenStatistics"]:
    """Statistics of every candidate.

    Raises
    ------
    SchemeError
        If no scheme can be used for the masks.
    """
    from rleseg_core.analysis.lengths import count_tokens, whole_frame
    from rleseg_core.analysis.recommendation import variants

    trials, names = options.trials, schemes_of(options.scheme)
    factors = numbers_of(trials.subsample, "--subsample") if trials.subsample else list(_FACTORS)
    stacks = options.masks.open(masks, quiet)
    side = trials.patch or whole_frame(stacks, trials.image_size, factors)
    if trials.subsample is None:
        usual = [f for f in _FACTORS if side % f == 0 and _SIDES[0] <= side // f <= _SIDES[1]]
        factors = usual or [1]
    window = WindowSpec(patch=side, patch_stride=side, image_size=trials.image_size)
    counted: list[TokenStatistics] = []
    left_out: dict[str, None] = {}
    for n_frames in numbers_of(trials.frames, "--frames"):
        usable, unusable = usable_schemes(stacks, names, n_frames, order=options.order)
        left_out |= dict.fromkeys(unusable.values())
        if usable:
            run = count_tokens(
                stacks,
                replace(window, n_frames=n_frames, frame_stride=n_frames),
                variants(usable, orders=options.order is None),
                mask_sizes(side, factors),
                rule=trials.subsample_rule,
                max_windows=trials.windows,
            )
            counted += watch(run, f"count N = {n_frames}", quiet)
    if not counted:
        raise SchemeError("; ".join(left_out))
    return counted


def _print(recommendation: "Recommendation", every: bool) -> None:
    chosen = recommendation.best
    if chosen is None:
        title = "nothing fits"
    else:
        factor = chosen.window.patch // chosen.mask_size
        title = (
            f"{chosen.name}, S = {chosen.mask_size} (P = {chosen.window.patch} subsampled by "
            f"{factor}), N = {chosen.window.n_frames}"
        )
    out.print(title, style="bold", soft_wrap=True)
    for reason in recommendation.reasons:
        print_line(f"  {reason}")
    groups: dict[tuple[int, int], list[Candidate]] = {}
    for candidate in recommendation.candidates:
        column = candidate.statistics
        groups.setdefault((column.window.n_frames, column.mask_size), []).append(candidate)
    if every:
        for (n_frames, side), found in groups.items():
            _print_table(f"N = {n_frames}, S = {side}: Dice {found[0].statistics.dice:.3f}", found)
        return
    if chosen is not None:
        own = (chosen.window.n_frames, chosen.mask_size)
        _print_table(f"The schemes with N = {own[0]}, S = {own[1]}", _best(groups.pop(own)))
    if groups:
        _print_table(
            "The best of each other N and S (--every: all)"
            if chosen
            else "The best of each N and S",
            [min(found, key=_rank) for found in groups.values()],
            with_sizes=True,
        )


def _best(candidates: Sequence["Candidate"]) -> "list[Candidate]":
    """Each scheme once, in its best order and with its best starts; the best first."""
    found: dict[str, Candidate] = {}
    for candidate in sorted(candidates, key=_rank):
        found.setdefault(candidate.statistics.name.split()[0], candidate)
    return list(found.values())


def _rank(candidate: "Candidate") -> tuple[bool, bool, bool, float]:
    chosen = candidate.verdict == "chosen"
    return not chosen, not candidate.fits, candidate.hard, candidate.statistics.mean


def _print_table(
    title: str, candidates: Sequence["Candidate"], *, with_sizes: bool = False
) -> None:
    out.print(f"\n{title}", soft_wrap=True)
    sizes = ["N", "S", "Dice"] * with_sizes
    table = LiteralTable("scheme", *sizes, "V", "mean", "99 %", "max", "", box=None)
    for column in table.columns[1:-1]:
        column.justify = "right"
    for column in table.columns[:-1]:
        column.no_wrap = True
    for candidate in candidates:
        its = candidate.statistics
        said = [str(its.window.n_frames), str(its.mask_size), f"{its.dice:.3f}"]
        table.add_row(
            its.name,
            *said * with_sizes,
            f"{its.n_vocab:,}",
            f"{its.mean:,.0f}",
            f"{its.percentile(99):,}",
            f"{its.longest:,}",
            candidate.verdict,
        )
    out.print(table)


def _json(recommendation: "Recommendation") -> dict[str, object]:
    chosen = recommendation.best
    found = None
    if chosen is not None:
        found = {
            "name": chosen.name,
            "scheme": chosen.scheme.to_json(),
            "mask_size": chosen.mask_size,
            "n_frames": chosen.window.n_frames,
            "max_tokens": chosen.budget(),
        }
    return {
        "chosen": found,
        "reasons": list(recommendation.reasons),
        "candidates": [candidate.to_json() for candidate in recommendation.candidates],
    }
