"""``rleseg tokens fidelity``: what is left of masks after each step of their compression."""

import csv
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar, get_args

import typer
from rich.table import Table

from rleseg_core.cli.console import AsJson, Quiet, out, print_json, progress_bar
from rleseg_core.cli.predict import ImageSize
from rleseg_core.cli.token_options import (
    Classes,
    InstanceIds,
    Instances,
    MaskPaths,
    Order,
    Start,
    numbers,
    open_masks,
)
from rleseg_core.errors import DataError
from rleseg_core.files import check_writable, whole_file
from rleseg_core.reports import product_of

if TYPE_CHECKING:
    from rleseg_core.analysis.reconstruction import Fidelity

Choice = TypeVar("Choice", bound=str)


def fidelity(
    masks: MaskPaths,
    patch: Annotated[int, typer.Option(min=1, help="P, the side of a patch.")],
    mask_sizes: Annotated[str, typer.Option(help="S, sides of masks that divide P.")] = "40,80,160",
    rules: Annotated[str, typer.Option(help="How masks are made smaller.")] = "corner,centre,max",
    upsample: Annotated[str, typer.Option(help="And larger again.")] = "nearest,smooth",
    budgets: Annotated[str, typer.Option(help="L: tokens allowed, as 512,1024.")] = "",
    drops: Annotated[
        str | None,
        typer.Option(
            help="Which runs go beyond L: tail,shortest, or tail of schemes that can lose no other."
        ),
    ] = None,
    scheme: Annotated[str, typer.Option(help="How masks are written.")] = "lac",
    order: Order = None,
    start: Start = None,
    frames: Annotated[int, typer.Option(min=1, help="N, frames of a window.")] = 1,
    image_size: ImageSize = None,
    classes: Classes = None,
    instances: Instances = False,
    instance_ids: InstanceIds = None,
    tolerance: Annotated[
        float | None,
        typer.Option(min=0, help="Of boundaries, in pixels; 0.75 % of the patch's diagonal."),
    ] = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="Write the rows to this file, too.")
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Measure what subsampling, tokens and token budgets leave of masks (Table 11)."""
    from rleseg_core.analysis.reconstruction import CompressionSteps, measure_fidelity
    from rleseg_core.data import SubsampleRule, UpsampleRule
    from rleseg_core.spec import WindowSpec
    from rleseg_core.tokens import Drop, for_classes, preset
    from rleseg_core.tokens.runs import RUN_KINDS

    if csv_file is not None:
        check_writable(csv_file)
    changes = {"order": order, "start": start}
    written = preset(scheme, **{name: value for name, value in changes.items() if value})
    if drops is None:
        drops = "tail,shortest" if RUN_KINDS[written.runs].independent else "tail"
    stacks = open_masks(masks, classes, instances, instance_ids)
    run = measure_fidelity(
        stacks,
        WindowSpec(
            patch=patch,
            patch_stride=patch,
            image_size=image_size,
            n_frames=frames,
            frame_stride=frames,
        ),
        for_classes(written, len(stacks[0].class_names)),
        CompressionSteps(
            mask_sizes=tuple(numbers(mask_sizes, "--mask-sizes")),
            subsampling=tuple(_choices(rules, get_args(SubsampleRule), "--rules")),
            upsampling=tuple(_choices(upsample, get_args(UpsampleRule), "--upsample")),
            budgets=tuple(numbers(budgets, "--budgets")) if budgets else (),
            drops=tuple(_choices(drops, get_args(Drop), "--drops")),
        ),
        tolerance=tolerance,
    )
    with progress_bar("measure", quiet) as bar:
        rows = product_of(run, lambda report: bar.update(report.n_done, report.n_windows))
    if csv_file is not None:
        _write_csv(csv_file, rows)
    if as_json:
        print_json([row.to_json() for row in rows])
    elif not quiet:
        out.print(_table(rows))
        whole = [row for row in rows if row.budget is None]
        changed = sum(row.n_changed for row in whole)
        out.print(
            f"Figures in %, of {rows[0].n_masks} windows. Encoding and decoding without a budget "
            f"changed {changed or 'none'} of their masks.",
            soft_wrap=True,
        )


def _choices(text: str, known: tuple[Choice, ...], option: str) -> list[Choice]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    chosen = [choice for part in parts for choice in known if choice == part]
    if not chosen or len(chosen) < len(parts):
        raise DataError(f"{option} takes some of {','.join(known)}; got {text!r}")
    return list(dict.fromkeys(chosen))


def _write_csv(path: Path, rows: Sequence["Fidelity"]) -> None:
    from rleseg_core.analysis.reconstruction import Fidelity

    with whole_file(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Fidelity)])
        writer.writeheader()
        writer.writerows(row.to_json() for row in rows)


def _table(rows: Sequence["Fidelity"]) -> Table:
    """Rows for people, figures in percent; columns that would say nothing are left out."""
    with_classes = any(row.class_name != rows[0].class_name for row in rows)
    with_budgets = any(row.budget is not None for row in rows)
    with_objects = rows[0].n_objects is not None
    texts = ["S", "rule", "back"] + ["class"] * with_classes + ["budget"] * with_budgets
    figures = ["recall", "prec.", "Dice", "IoU", "edge", "tokens"]
    figures += ["cut"] * with_budgets + ["lost"] * with_objects
    table = Table(*texts, box=None, padding=(0, 1, 0, 0))
    for name in figures:
        table.add_column(name, justify="right")
    for row in rows:
        scores = (row.recall, row.precision, row.dice, row.iou, row.boundary_f)
        table.add_row(
            str(row.mask_size),
            row.subsample,
            row.upsample,
            *[row.class_name] * with_classes,
            *[f"{row.budget} {row.drop}" if row.budget else "none"] * with_budgets,
            *(f"{100 * score:.1f}" for score in scores),
            f"{row.mean_tokens:.0f}",
            *[f"{100 * row.n_changed / row.n_masks:.1f}"] * with_budgets,
            *[f"{100 * (row.n_lost or 0) / (row.n_objects or 1):.1f}"] * with_objects,
        )
    return table
