"""``rleseg tokens choose``: which scheme, mask size and number of frames suit a data set."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from rleseg_core.cli.console import AsJson, Quiet, out, print_json
from rleseg_core.cli.predict import ImageSize
from rleseg_core.cli.token_options import (
    Classes,
    Frames,
    InstanceIds,
    Instances,
    MaskPaths,
    Order,
    Patch,
    Rule,
    Schemes,
    numbers,
    open_masks,
    scheme_names,
)
from rleseg_core.cli.token_stats import mask_sizes, usable_schemes, watch
from rleseg_core.errors import SchemeError
from rleseg_core.spec import WindowSpec

if TYPE_CHECKING:
    from rleseg_core.analysis.lengths import TokenStatistics
    from rleseg_core.analysis.recommendation import Candidate, Recommendation

_FACTORS = (1, 2, 4, 8, 16, 32)
_SIDES = (16, 320)  # of masks; the paper found finer ones too much to train


def choose(
    masks: MaskPaths,
    max_vocab: Annotated[int, typer.Option(min=1, help="V, the most token ids.")] = 32_000,
    max_tokens: Annotated[int, typer.Option(min=1, help="L, the most tokens.")] = 4096,
    tolerated: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the sequences that may be longer.")
    ] = 0.02,
    min_dice: Annotated[
        float, typer.Option(min=0, max=1, help="Dice that more frames must leave.")
    ] = 0.9,
    dice_step: Annotated[
        float, typer.Option(min=0, max=1, help="Dice that a finer mask must gain.")
    ] = 0.02,
    scheme: Schemes = ["all"],  # noqa: B006 typer copies it
    patch: Patch = None,
    subsample: Annotated[
        str | None,
        typer.Option(help="P / S to try, as 4,8; by default what makes S from 16 to 320."),
    ] = None,
    frames: Frames = "1",
    image_size: ImageSize = None,
    order: Order = None,
    subsample_rule: Rule = "centre",
    windows: Annotated[
        int, typer.Option(min=1, help="Count so many at most, spread evenly.")
    ] = 200,
    classes: Classes = None,
    instances: Instances = False,
    instance_ids: InstanceIds = None,
    every: Annotated[bool, typer.Option("--every", help="Print every candidate.")] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Recommend a scheme, S and N for masks, with the reasons."""
    from rleseg_core.analysis.lengths import count_tokens, whole_frame
    from rleseg_core.analysis.recommendation import Limits, recommend, variants

    limits = Limits(
        max_vocab=max_vocab,
        max_tokens=max_tokens,
        tolerated=tolerated,
        min_dice=min_dice,
        dice_step=dice_step,
    )
    names = scheme_names(scheme)
    factors = numbers(subsample, "--subsample") if subsample else list(_FACTORS)
    stacks = open_masks(masks, classes, instances, instance_ids)
    side = patch or whole_frame(stacks, image_size, factors)
    if subsample is None:
        usual = [f for f in _FACTORS if side % f == 0 and _SIDES[0] <= side // f <= _SIDES[1]]
        factors = usual or [1]
    window = WindowSpec(patch=side, patch_stride=side, image_size=image_size)
    counted: list[TokenStatistics] = []
    left_out: dict[str, None] = {}
    for n_frames in numbers(frames, "--frames"):
        usable, unusable = usable_schemes(stacks, names, n_frames, order=order)
        left_out |= dict.fromkeys(unusable.values())
        if usable:
            run = count_tokens(
                stacks,
                replace(window, n_frames=n_frames, frame_stride=n_frames),
                variants(usable, orders=order is None),
                mask_sizes(side, factors),
                rule=subsample_rule,
                max_windows=windows,
            )
            counted += watch(run, f"count N = {n_frames}", quiet)
    if not counted:
        raise SchemeError("; ".join(left_out))
    choice = recommend(counted, limits)
    if as_json:
        print_json(_json(choice))
    else:
        _print_choice(choice, every)


def _print_choice(choice: "Recommendation", every: bool) -> None:
    chosen = choice.best
    if chosen is None:
        title = "nothing fits"
    else:
        factor = chosen.window.patch // chosen.mask_size
        title = (
            f"{chosen.name}, S = {chosen.mask_size} (P = {chosen.window.patch} subsampled by "
            f"{factor}), N = {chosen.window.n_frames}"
        )
    out.print(f"[bold]{title}[/]", highlight=False, soft_wrap=True)
    for reason in choice.reasons:
        out.print(f"  {reason}", highlight=False, markup=False, soft_wrap=True)
    groups: dict[tuple[int, int], list[Candidate]] = {}
    for candidate in choice.candidates:
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
    out.print(f"\n{title}", highlight=False, markup=False, soft_wrap=True)
    sizes = ["N", "S", "Dice"] * with_sizes
    table = Table("scheme", *sizes, "V", "mean", "99 %", "max", "", box=None)
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


def _json(choice: "Recommendation") -> dict[str, object]:
    chosen = choice.best
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
        "reasons": list(choice.reasons),
        "candidates": [candidate.to_json() for candidate in choice.candidates],
    }
