"""``rleseg predict --each``: many images or stacks of any sizes, a file of masks for each."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rleseg_core.cli.console import err, print_json, print_line, progress_bar
from rleseg_core.cli.options import Reporting
from rleseg_core.cli.overwriting import Overwriting
from rleseg_core.data.formats.registry import plain_name, series_of, sources_in
from rleseg_core.errors import DataError, RlesegError
from rleseg_core.objects.paths import ENDING
from rleseg_core.outputs import Output, check_outputs
from rleseg_core.reports import product_of

if TYPE_CHECKING:
    from rleseg_core.inference import Segmenter
    from rleseg_core.inference.options import PredictOptions
    from rleseg_core.inference.output import PredictionSummary

SUFFIX = ".tif"


@dataclass(frozen=True, kw_only=True)
class EachSource:
    """A stack and the file that its masks go to."""

    source: Path
    target: Path


def plan_each(stacks: Sequence[Path], folder: Path, pattern: str | None) -> list[EachSource]:
    """Which files are segmented, and where their masks go: named after the sources.

    Parameters
    ----------
    stacks : sequence of Path
        Files, and folders of files.
    folder : Path
        Where the masks go.
    pattern : str, optional
        Which files of the folders, by name.

    Raises
    ------
    DataError
        If there are none, the masks of two would have one name, or `folder` is a file.
    OutputError
        If `folder` is, contains or lies inside one of the sources, where masks would be taken for
        images the next time.
    """
    check_outputs([Output(folder, "a folder of masks", Path.is_dir, kept=True)], stacks)
    if folder.suffix or (folder.exists() and not folder.is_dir()):
        raise DataError(f"with --each, --out is a folder for the masks; {folder} is none")
    files: list[Path] = []
    for path in stacks:
        files += sources_in(path, pattern)
    by_name: dict[str, Path] = {}
    for path in files:
        name = plain_name(path)
        for written in (name, f"{name}{ENDING}"):  # masks, and ids of their objects
            if written.casefold() in by_name:
                raise DataError(
                    f"masks or objects of {by_name[written.casefold()]} and {path} would have the "
                    f"same name, {written}{SUFFIX}; segment them into two folders"
                )
        by_name |= dict.fromkeys((name.casefold(), f"{name}{ENDING}".casefold()), path)
    return [
        EachSource(source=path, target=folder / f"{plain_name(path)}{SUFFIX}") for path in files
    ]


def predict_each(
    segmenter: "Segmenter",
    plan: Sequence[EachSource],
    options: "PredictOptions",
    reading: Mapping[str, Any],
    overwriting: Overwriting,
    reporting: Reporting,
) -> None:
    """Segment each source into its file; those that are done are left, failures do not stop it.

    Parameters
    ----------
    segmenter : Segmenter
        The model.
    plan : sequence of EachSource
        From `plan_each`.
    options : PredictOptions
        How they are segmented.
    reading : mapping
        Fields of `ReadOptions`, for each of them.
    overwriting : Overwriting
        Whether masks that exist are made again.
    reporting : Reporting
        What is printed.

    Raises
    ------
    DataError
        If some could not be segmented; which and why is printed before.
    """
    done: list[PredictionSummary] = []
    skipped: list[Path] = []
    failed: dict[Path, str] = {}
    with progress_bar("segment", reporting.quiet) as bar:
        for number, one in enumerate(plan):
            bar.update(number, len(plan), one.source.name)
            try:
                if one.target.exists() and not overwriting.overwrite:
                    _check_done(one.target)
                    skipped.append(one.target)
                    continue
                done.append(_predict_one(segmenter, one, options, reading, overwriting.overwrite))
            except (RlesegError, OSError) as error:
                failed[one.source] = " ".join(str(error).split())
        bar.update(len(plan), len(plan))
    if reporting.as_json:
        print_json(
            {
                "done": [summary.to_json() for summary in done],
                "skipped": [str(path) for path in skipped],
                "failed": [{"path": str(p), "error": why} for p, why in failed.items()],
            }
        )
    elif not reporting.quiet:
        frames = sum(summary.frames for summary in done)
        print_line(
            f"{len(done)} segmented ({frames} frames), {len(skipped)} were done already, "
            f"{len(failed)} failed"
        )
        if done:
            print_line(objects_found(done))
    if failed:
        for path, why in failed.items():
            print_line(f"failed: {path}: {why}", err)
        raise DataError(f"{len(failed)} of {len(plan)} could not be segmented")


def objects_found(done: "Sequence[PredictionSummary]") -> str:
    """How many objects there are in all, such as "1,234 cells in 16 frames"."""
    counts: Counter[str] = Counter()
    for summary in done:
        counts.update(summary.objects)
    total, names = sum(summary.n_objects for summary in done), list(counts)
    frames = sum(summary.frames for summary in done)
    s, noun = "s" * (total != 1), "object" if len(names) > 1 else names[0]
    what = f"connected piece{s} of {noun}s" if done[0].are_pieces else f"{noun}{s}"
    each = ", ".join(f"{name} {n:,}" for name, n in counts.items())
    text = f"{total:,} {what} in {frames:,} frame{'s' * (frames != 1)}"
    return f"{text} ({each})" if len(names) > 1 else text


def _check_done(target: Path) -> None:
    """Raise an error if a file that exists holds no masks that this program wrote."""
    if not series_of(target, masks=True)[0].metadata.provenance:
        raise DataError(f"{target} exists, and rleseg did not write it; choose another --out")


def _predict_one(
    segmenter: "Segmenter",
    one: EachSource,
    options: "PredictOptions",
    reading: Mapping[str, Any],
    overwrite: bool,
) -> "PredictionSummary":
    from rleseg_core.data import ImageStack
    from rleseg_core.inference import predict_to_file

    images = ImageStack.open(one.source, **reading)
    run = predict_to_file(segmenter, images, one.target, options, overwrite=overwrite)
    return product_of(run, lambda _: None)
