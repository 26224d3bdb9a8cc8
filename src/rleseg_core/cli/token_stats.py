"""``rleseg tokens stats``: how long the token sequences of masks are."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from rleseg_core.cli.console import AsJson, Quiet, out, print_json, progress_bar
from rleseg_core.cli.predict import ImageSize
from rleseg_core.cli.token_options import (
    Classes,
    Frames,
    FrameStride,
    InstanceIds,
    Instances,
    MaskPaths,
    Order,
    Patch,
    Rule,
    Schemes,
    Start,
    Stride,
    numbers,
    open_masks,
    scheme_names,
)
from rleseg_core.errors import DataError, SchemeError
from rleseg_core.files import check_writable
from rleseg_core.reports import product_of
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import Scheme

if TYPE_CHECKING:
    from rleseg_core.analysis.lengths import TokenStatistics, WindowCounted
    from rleseg_core.data import MaskStack


def stats(
    masks: MaskPaths,
    scheme: Schemes = ["lac"],  # noqa: B006 typer copies it
    patch: Patch = None,
    subsample: Annotated[str, typer.Option(help="P / S, as 4,8; S must come out whole.")] = "8",
    frames: Frames = "1",
    image_size: ImageSize = None,
    stride: Stride = None,
    frame_stride: FrameStride = 1,
    order: Order = None,
    start: Start = None,
    subsample_rule: Rule = "centre",
    classes: Classes = None,
    instances: Instances = False,
    instance_ids: InstanceIds = None,
    thresholds: Annotated[
        str | None, typer.Option(help="Token budgets to compare with, as 512,1024.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Draw the histograms to this .png, too.")
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Count the tokens that schemes take for masks (the paper's Tables 3 to 6)."""
    from rleseg_core.analysis.lengths import THRESHOLDS, count_tokens, whole_frame

    names, factors = scheme_names(scheme), numbers(subsample, "--subsample")
    lengths = numbers(frames, "--frames")
    budgets = numbers(thresholds, "--thresholds") if thresholds else list(THRESHOLDS)
    if picture is not None and picture.suffix.lower() != ".png":
        raise DataError(f"a picture's name must end in .png, got {picture}")
    if picture is not None:
        check_writable(picture)
    stacks = open_masks(masks, classes, instances, instance_ids)
    side = patch or whole_frame(stacks, image_size, factors)
    window = WindowSpec(patch=side, patch_stride=stride or side, image_size=image_size)
    counted: list[TokenStatistics] = []
    left_out: dict[str, str] = {}
    for n_frames in lengths:
        spec = replace(window, n_frames=n_frames, frame_stride=min(frame_stride, n_frames))
        usable, unusable = usable_schemes(stacks, names, n_frames, order=order, start=start)
        left_out |= {f"{name}, N = {n_frames}": reason for name, reason in unusable.items()}
        if usable:
            run = count_tokens(stacks, spec, usable, mask_sizes(side, factors), rule=subsample_rule)
            counted += watch(run, f"count N = {n_frames}", quiet)
    if not counted:
        raise SchemeError("; ".join(dict.fromkeys(left_out.values())))
    if picture is not None:
        draw(picture, counted, budgets)
    if as_json:
        print_json(_json(masks, counted, left_out, budgets))
    elif not quiet:
        for title, columns in _groups(counted):
            print_columns(title, columns, budgets)
        for name, reason in left_out.items():
            out.print(f"without {name}: {reason}", highlight=False, markup=False, soft_wrap=True)


def usable_schemes(
    stacks: Sequence["MaskStack"],
    names: Sequence[str],
    n_frames: int,
    *,
    order: str | None,
    start: str | None = None,
) -> tuple[dict[str, Scheme], dict[str, str]]:
    """Schemes for windows of so many frames, and why others are left out; see `schemes_for`."""
    from rleseg_core.analysis.lengths import schemes_for

    spec = MaskSpec(size=(1, 1), class_names=stacks[0].class_names, n_frames=n_frames)
    known = stacks[0].instances is not None
    return schemes_for(names, spec, instances=known, order=order, start=start)


def watch(
    run: Generator["WindowCounted", None, list["TokenStatistics"]], what: str, quiet: bool
) -> list["TokenStatistics"]:
    """What was counted in the end, with a progress bar until then."""
    with progress_bar(what, quiet) as bar:
        return product_of(run, lambda report: bar.update(report.n_done, report.n_windows))


def mask_sizes(patch: int, factors: Sequence[int]) -> list[int]:
    """S for each subsampling, the finest first.

    Raises
    ------
    DataError
        If a factor does not divide the patch.
    """
    for factor in factors:
        if patch % factor:
            raise DataError(
                f"a patch of {patch} cannot be subsampled by {factor}; choose a factor that "
                "divides it"
            )
    return [patch // factor for factor in factors]


def print_columns(title: str, columns: Sequence["TokenStatistics"], budgets: Sequence[int]) -> None:
    """Print statistics side by side, as many as the screen is wide."""
    out.print(title, highlight=False, markup=False, soft_wrap=True)
    rows = _rows(columns, budgets)
    widths = [max(len(row[k]) for row in rows) + 3 for k in range(len(columns) + 1)]
    first = 1
    while first <= len(columns):
        last = first + 1
        while last <= len(columns) and widths[0] + sum(widths[first : last + 1]) < out.width:
            last += 1
        table = Table(*[""] * (1 + last - first), box=None, show_header=False)
        for column in table.columns[1:]:
            column.justify = "right"
        for row in rows:
            table.add_row(row[0], *row[first:last])
        out.print(table)
        first = last
    out.print()


def draw(path: Path, columns: Sequence["TokenStatistics"], budgets: Sequence[int]) -> None:
    """Write the histograms of the lengths."""
    from rleseg_core.analysis.lengths import bin_edges
    from rleseg_core.drawing.charts import Histogram, save_histograms

    edges = bin_edges(columns)
    save_histograms(
        path,
        [
            Histogram(
                f"{column.name}, S = {column.mask_size}, N = {column.window.n_frames}",
                f"{column.n_sequences:,} sequences, mean {column.mean:.0f}, "
                f"longest {column.longest:,}",
                column.histogram(edges),
            )
            for column in columns
        ],
        edges,
        title="Tokens of a sequence",
        marks=budgets,
    )


def _groups(
    counted: Sequence["TokenStatistics"],
) -> Iterator[tuple[str, list["TokenStatistics"]]]:
    """Statistics that are printed side by side: of all sizes of one scheme, or of all schemes."""
    one_scheme = len({column.name for column in counted}) == 1
    groups: dict[tuple[int, int], list[TokenStatistics]] = {}
    for column in counted:
        side = 0 if one_scheme else column.mask_size
        groups.setdefault((column.window.n_frames, side), []).append(column)
    for (n_frames, side), columns in groups.items():
        window = columns[0].window
        said = [f"I = {window.image_size}"] if window.image_size else []
        said += [f"P = {window.patch}"] + ([f"S = {side}"] if side else [])
        said += [f"N = {n_frames}: {columns[0].n_sequences:,} sequences"]
        said += [columns[0].name] if one_scheme else []
        yield ", ".join(said), columns


def _rows(columns: Sequence["TokenStatistics"], budgets: Sequence[int]) -> list[list[str]]:
    """The rows of a table, each with its name before the figures."""
    one_size = len({column.mask_size for column in columns}) == 1
    shown = [n for n in budgets if any(column.share_above(n) for column in columns)]
    shown = [*shown, *budgets[len(shown) : len(shown) + 1]]
    head = [column.name if one_size else f"S = {column.mask_size}" for column in columns]
    fits = [column.budget(budgets) for column in columns]
    return [
        ["", *head],
        ["vocabulary", *(f"{column.n_vocab:,}" for column in columns)],
        ["empty", *(f"{column.empty_share:.2%}" for column in columns)],
        ["Dice", *(f"{column.dice:.3f}" for column in columns)],
        ["mean", *(f"{column.mean:.1f}" for column in columns)],
        ["max", *(f"{column.longest:,}" for column in columns)],
        *(
            [f"> {n}", *(f"{column.share_above(n):.2%}" for column in columns)]
            for n in sorted(shown)
        ),
        ["L for 98 %", *("more" if n is None else f"{n:,}" for n in fits)],
    ]


def _json(
    masks: Sequence[Path],
    counted: Sequence["TokenStatistics"],
    left_out: dict[str, str],
    budgets: Sequence[int],
) -> dict[str, object]:
    from rleseg_core.analysis.lengths import bin_edges

    edges = bin_edges(counted)
    return {
        "masks": [str(path) for path in masks],
        "columns": [
            {**column.to_json(budgets), "histogram": column.histogram(edges)} for column in counted
        ],
        "histogram_edges": edges,
        "left_out": left_out,
    }
