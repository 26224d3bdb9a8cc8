"""``rleseg tokens fidelity``: what is left of masks after each step of their compression."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

from cyclopts import Group, Parameter

from rleseg_core.cli.console import LiteralTable, out, print_json, print_line, progress_bar
from rleseg_core.cli.masks import WINDOWS, GivenWriting, MaskOptions, MaskPaths, SchemeName
from rleseg_core.cli.options import FLAT, NOT_NEGATIVE, POSITIVE, ImageSize, Reporting
from rleseg_core.cli.overwriting import Overwriting
from rleseg_core.cli.values import choices_of, numbers_of
from rleseg_core.outputs import Output, new_output, table_with
from rleseg_core.reports import product_of
from rleseg_core.spec import WindowSpec

if TYPE_CHECKING:
    from rleseg_core.analysis.reconstruction import CompressionSteps, Fidelity
    from rleseg_core.tokens import Scheme

STEPS = Group("Steps of the compression", sort_key=40)


@Parameter(name="*", group=STEPS)
@dataclass(frozen=True, kw_only=True)
class StepOptions:
    """The ways of each step that are measured.

    Parameters
    ----------
    mask_sizes : str
        S, the sides of masks; each must divide P.
    rules : str
        How patches are subsampled to masks: which pixel of each square decides.
    upsample : str
        How masks are brought back to the size of the patch.
    budgets : str
        L, the numbers of tokens allowed, such as 512,1024.
    drops : str or None
        Which runs are dropped beyond L: those at the tail, or the shortest ones.
    """

    mask_sizes: Annotated[str, Parameter(metavar="LIST")] = "40,80,160"
    rules: Annotated[str, Parameter(metavar="LIST")] = "corner,centre,max"
    upsample: Annotated[str, Parameter(metavar="LIST")] = "nearest,smooth"
    budgets: Annotated[str, Parameter(metavar="LIST", show_default="no limit")] = ""
    drops: Annotated[
        str | None,
        Parameter(
            metavar="LIST",
            show_default="tail,shortest; tail for schemes that can lose no other runs",
        ),
    ] = None

    def steps(self, scheme: "Scheme") -> "CompressionSteps":
        """The steps for masks that are written with a scheme.

        Raises
        ------
        DataError
            If an option names something that does not exist.
        """
        from rleseg_core.analysis.reconstruction import CompressionSteps
        from rleseg_core.data import SubsampleRule, UpsampleRule
        from rleseg_core.tokens import Drop
        from rleseg_core.tokens.runs import RUN_KINDS

        drops = self.drops
        if drops is None:
            drops = "tail,shortest" if RUN_KINDS[scheme.runs].independent else "tail"
        return CompressionSteps(
            mask_sizes=tuple(numbers_of(self.mask_sizes, "--mask-sizes")),
            subsampling=tuple(choices_of(self.rules, get_args(SubsampleRule), "--rules")),
            upsampling=tuple(choices_of(self.upsample, get_args(UpsampleRule), "--upsample")),
            budgets=tuple(numbers_of(self.budgets, "--budgets")) if self.budgets else (),
            drops=tuple(choices_of(drops, get_args(Drop), "--drops")),
        )


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class FidelityOptions:
    """What is measured, and where the rows go.

    Parameters
    ----------
    patch : int
        P, the side of a patch in pixels.
    frames : int
        N, the number of frames of a window.
    tolerance : float or None
        Distance in pixels, 0 or more, at which boundaries still agree.
    csv_file : Path or None
        Write the rows to this file, too.
    """

    patch: Annotated[int, POSITIVE, Parameter(group=WINDOWS)]
    frames: Annotated[int, POSITIVE, Parameter(group=WINDOWS)] = 1
    image_size: Annotated[ImageSize, Parameter(group=WINDOWS)] = None
    masks: MaskOptions = MaskOptions()
    scheme: SchemeName = "lac"
    writing: Annotated[GivenWriting, FLAT] = field(default_factory=dict)
    steps: StepOptions = StepOptions()
    tolerance: Annotated[
        float | None, NOT_NEGATIVE, Parameter(show_default="0.75 % of the patch's diagonal")
    ] = None
    csv_file: Annotated[Path | None, Parameter(name="--csv")] = None


def fidelity(
    masks: MaskPaths,
    /,
    options: FidelityOptions,
    overwriting: Overwriting = Overwriting(),
    reporting: Reporting = Reporting(),
) -> None:
    """Measure what subsampling, tokens and token budgets leave of masks (Table 11).

    Parameters
    ----------
    masks : list of Path
        Stacks of masks.
    options : FidelityOptions
        What is measured, and where the rows go.
    overwriting : Overwriting
        Whether older files are replaced.
    reporting : Reporting
        What is printed.
    """
    from rleseg_core.analysis.reconstruction import measure_fidelity
    from rleseg_core.tokens import for_classes, preset

    if options.csv_file is not None:
        overwriting.check([_table_output(options.csv_file)], masks)
    scheme = preset(options.scheme, **options.writing)
    steps = options.steps.steps(scheme)
    stacks = options.masks.open(masks, reporting.quiet)
    run = measure_fidelity(
        stacks,
        WindowSpec(
            patch=options.patch,
            patch_stride=options.patch,
            image_size=options.image_size,
            n_frames=options.frames,
            frame_stride=options.frames,
        ),
        for_classes(scheme, len(stacks[0].class_names)),
        steps,
        tolerance=options.tolerance,
    )
    with progress_bar("measure", reporting.quiet) as bar:
        rows = product_of(run, lambda report: bar.update(report.n_done, report.n_windows))
    if options.csv_file is not None:
        _write_csv(options.csv_file, rows, overwriting.overwrite)
    if reporting.as_json:
        print_json([row.to_json() for row in rows])
    elif not reporting.quiet:
        out.print(_table(rows))
        whole = [row for row in rows if row.budget is None]
        changed = sum(row.n_changed for row in whole)
        print_line(
            f"Scores in %, of {rows[0].n_masks} windows. Encoding and decoding without a budget "
            f"changed {changed or 'none'} of their masks."
        )


def _columns() -> list[str]:
    from rleseg_core.analysis.reconstruction import Fidelity

    return [field.name for field in fields(Fidelity)]


def _table_output(path: Path) -> Output:
    return Output(path, "a table of fidelities (CSV)", table_with(*_columns()))


def _write_csv(path: Path, rows: Sequence["Fidelity"], overwrite: bool) -> None:
    with (
        new_output(_table_output(path), overwrite=overwrite) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, _columns())
        writer.writeheader()
        writer.writerows(row.to_json() for row in rows)


def _table(rows: Sequence["Fidelity"]) -> LiteralTable:
    """Rows for people, scores in percent; columns that would say nothing are left out."""
    with_classes = any(row.class_name != rows[0].class_name for row in rows)
    with_budgets = any(row.budget is not None for row in rows)
    with_objects = rows[0].n_objects is not None
    texts = ["S", "rule", "back"] + ["class"] * with_classes + ["budget"] * with_budgets
    numbers = ["recall", "prec.", "Dice", "IoU", "edge", "tokens"]
    numbers += ["cut"] * with_budgets + ["lost"] * with_objects
    table = LiteralTable(*texts, box=None, padding=(0, 1, 0, 0))
    for name in numbers:
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
