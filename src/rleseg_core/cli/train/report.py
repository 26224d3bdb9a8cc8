"""What ``rleseg train`` prints, step by step and at the end."""

import math
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rleseg_core.cli.console import Bar, err, print_json, print_line, progress_bar
from rleseg_core.cli.options import Reporting
from rleseg_core.reports import product_of

if TYPE_CHECKING:
    from rleseg_core.training import StepReport


def watch_fetching(name: str, quiet: bool) -> None:
    """Have the weights of a backbone here, with a bar."""
    from rleseg_core.checkpoints import fetch_backbone

    with progress_bar("fetch", quiet) as bar:
        product_of(fetch_backbone(name), bar.fetched)


def watch_training(run: Generator["StepReport", None, Path], quiet: bool) -> Path:
    """Path of the trained model, after a run under a progress bar."""
    with progress_bar("train", quiet) as bar:
        return product_of(run, lambda report: _show(report, bar, quiet))


def print_result(path: Path, folder: Path, select: str, reporting: Reporting) -> None:
    """Print the result of the run in `folder`, whose best model was chosen by `select`."""
    from rleseg_core.training import read_reports

    reports = read_reports(folder)
    last, selected = reports[-1], _best(reports, "selected")
    if reporting.as_json:
        print_json(
            {
                "model": str(path),
                "steps": last.step,
                "loss": last.loss,
                "seconds": last.seconds,
                "validation_dice": _best(reports, "mean"),
                "selected": selected,
                "losses": [report.loss for report in reports],
            }
        )
    elif not reporting.quiet:
        score = "" if selected is None else f", best validation {select} {selected:.3f}"
        print_line(f"{path}: {last.step} steps, loss {last.loss:.3f}{score}")


def _best(reports: "Sequence[StepReport]", score: str) -> float | None:
    """The highest validation score of a run; None where there is none that is a number."""
    scores = (report.validation.get(score, math.nan) for report in reports)
    return max(filter(math.isfinite, scores), default=None)


def _show(report: "StepReport", bar: Bar, quiet: bool) -> None:
    bar.update(report.step, report.n_steps, f"loss {report.loss:.3f}")
    if report.message:
        print_line(report.message, err)
    if report.validation and not quiet:
        dice = ", ".join(f"{k} {v:.3f}" for k, v in report.validation.items() if k != "selected")
        print_line(f"step {report.step}: loss {report.loss:.3f}, validation Dice {dice}", err)
