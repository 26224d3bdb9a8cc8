"""``rleseg tokens stats``: how long the token sequences of masks are."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from rleseg_core.cli.console import LiteralTable, out, print_json, print_line
from rleseg_core.cli.masks import (
    WINDOWS,
    GivenWriting,
    MaskOptions,
    MaskPaths,
    Schemes,
    SubsampleRule,
)
from rleseg_core.cli.options import FLAT, POSITIVE, ImageSize, Reporting
from rleseg_core.cli.overwriting import Overwriting
from rleseg_core.cli.tokens.counting import mask_sizes, usable_schemes, watch
from rleseg_core.cli.values import numbers_of, schemes_of
from rleseg_core.drawing.charts import chart_output
from rleseg_core.errors import SchemeError
from rleseg_core.spec import WindowSpec

if TYPE_CHECKING:
    from rleseg_core.analysis.lengths import TokenStatistics


@Parameter(name="*", group=WINDOWS)
@dataclass(frozen=True, kw_only=True)
class WindowOptions:
    """Which windows of the masks are counted, and in which sizes.

    Parameters
    ----------
    patch : int or None
        P, the side of a patch in pixels.
    stride : int or None
        Step between neighbouring patches, in pixels.
    subsample : str
        Factors P / S by which patches become masks, such as 4,8; each must divide P.
    frames : str
        N, the numbers of frames of a window, such as 1,2,4.
    frame_stride : int
        Step between the first frames of neighbouring windows, at most N.
    """

    patch: Annotated[int | None, POSITIVE, Parameter(show_default="whole frames")] = None
    stride: Annotated[int | None, POSITIVE, Parameter(show_default="P")] = None
    subsample: Annotated[str, Parameter(metavar="LIST")] = "8"
    subsample_rule: SubsampleRule = "centre"
    image_size: ImageSize = None
    frames: Annotated[str, Parameter(metavar="LIST")] = "1"
    frame_stride: Annotated[int, POSITIVE] = 1


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class StatsOptions:
    """What is counted, and what it is compared with.

    Parameters
    ----------
    thresholds : str or None
        Token budgets to compare the sequences with, such as 512,1024.
    plot : Path or None
        Draw the histograms of the lengths to this .png.
    """

    thresholds: Annotated[
        str | None, Parameter(metavar="LIST", show_default="twelve from 128 to 8,192")
    ] = None
    plot: Path | None = None
    masks: MaskOptions = MaskOptions()
    scheme: Schemes = ("lac",)
    writing: Annotated[GivenWriting, FLAT] = field(default_factory=dict)
    windows: WindowOptions = WindowOptions()


def stats(
    masks: MaskPaths,
    /,
    options: StatsOptions = StatsOptions(),
    overwriting: Overwriting = Overwriting(),
    reporting: Reporting = Reporting(),
) -> None:
    """Count the tokens that schemes take for masks (the paper's Tables 3 to 6).

    Parameters
    ----------
    masks : list of Path
        Stacks of masks.
    options : StatsOptions
        What is counted, and what it is compared with.
    overwriting : Overwriting
        Whether older files are replaced.
    reporting : Reporting
        What is printed.
    """
    from rleseg_core.analysis.lengths import THRESHOLDS

    if options.plot is not None:
        overwriting.check([chart_output(options.plot)], masks)
    thresholds = options.thresholds
    budgets = numbers_of(thresholds, "--thresholds") if thresholds else list(THRESHOLDS)
    counted, left_out = _count(masks, options, reporting.quiet)
    if options.plot is not None:
        draw(options.plot, counted, budgets, overwrite=overwriting.overwrite)
    if reporting.as_json:
        print_json(_json(masks, counted, left_out, budgets))
    elif not reporting.quiet:
        for title, columns in _groups(counted):
            print_columns(title, columns, budgets)
        for name, reason in left_out.items():
            print_line(f"without {name}: {reason}")


def _count(
    masks: Sequence[Path], options: StatsOptions, quiet: bool
) -> tuple[list["TokenStatistics"], dict[str, str]]:
    """Statistics of each scheme, size and number of frames, and why others are left out."""
    from rleseg_core.analysis.lengths import count_tokens, whole_frame

    windows, names = options.windows, schemes_of(options.scheme)
    factors = numbers_of(windows.subsample, "--subsample")
    lengths = numbers_of(windows.frames, "--frames")
    stacks = options.masks.open(masks, quiet)
    side = windows.patch or whole_frame(stacks, windows.image_size, factors)
    window = WindowSpec(
        patch=side, patch_stride=windows.stride or side, image_size=windows.image_size
    )
    counted: list[TokenStatistics] = []
    left_out: dict[str, str] = {}
    for n_frames in lengths:
        stride = min(windows.frame_stride, n_frames)
        spec = replace(window, n_frames=n_frames, frame_stride=stride)
        usable, unusable = usable_schemes(stacks, names, n_frames, **options.writing)
        left_out |= {f"{name}, N = {n_frames}": reason for name, reason in unusable.items()}
        if usable:
            sizes = mask_sizes(side, factors)
            run = count_tokens(stacks, spec, usable, sizes, rule=windows.subsample_rule)
            counted += watch(run, f"count N = {n_frames}", quiet)
    if not counted:
        raise SchemeError("; ".join(dict.fromkeys(left_out.values())))
    return counted, left_out


def print_columns(title: str, columns: Sequence["TokenStatistics"], budgets: Sequence[int]) -> None:
    """Print statistics side by side, as many as the screen is wide."""
    out.print(title, soft_wrap=True)
    rows = _rows(columns, budgets)
    widths = [max(len(row[k]) for row in rows) + 3 for k in range(len(columns) + 1)]
    first = 1
    while first <= len(columns):
        last = first + 1
        while last <= len(columns) and widths[0] + sum(widths[first : last + 1]) < out.width:
            last += 1
        table = LiteralTable(*[""] * (1 + last - first), box=None, show_header=False)
        for column in table.columns[1:]:
            column.justify = "right"
        for row in rows:
            table.add_row(row[0], *row[first:last])
        out.print(table)
        first = last
    out.print()


def draw(
    path: Path,
    columns: Sequence["TokenStatistics"],
    budgets: Sequence[int],
    *,
    overwrite: bool = False,
) -> None:
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
        overwrite=overwrite,
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
    """The rows of a table, each with its name before its numbers."""
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
