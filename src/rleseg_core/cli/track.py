"""``rleseg track``: objects of frames linked into tracks."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from rleseg_core.cli.console import print_json, print_line, progress_bar
from rleseg_core.cli.objects import ObjectChoices, ObjectPath, found_in
from rleseg_core.cli.options import FLAT, Reporting, given_fields
from rleseg_core.cli.overwriting import Overwriting
from rleseg_core.data.formats.registry import output_suffixes
from rleseg_core.reports import product_of
from rleseg_core.text import counted
from rleseg_core.tracks import LinkOptions

LINKING = Group("Linking", sort_key=15)

if TYPE_CHECKING:
    GivenLinking = dict[str, Any]
else:
    GivenLinking = given_fields(LinkOptions, group=LINKING)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class TrackOptions:
    """What is written.

    Parameters
    ----------
    output : Path
        The masks to write, with ids of tracks.
    ctc : Path or None
        Write a result folder of the Cell Tracking Challenge as well: mask000.tif, res_track.txt.
    geff : Path or None
        Write a .geff store as well, which track editors open.
    """

    output: Annotated[
        Path,
        Parameter(
            name=("--out", "-o"),
            help="The masks to write, with ids of tracks, and beside them a table: movie.tracks.csv"
            f" for movie.tif. The name must end in {output_suffixes()}.",
        ),
    ]
    ctc: Annotated[Path | None, Parameter(metavar="FOLDER")] = None
    geff: Path | None = None
    linking: Annotated[GivenLinking, FLAT] = field(default_factory=dict)
    objects: ObjectChoices = ObjectChoices()


def track(
    ids: ObjectPath,
    /,
    options: TrackOptions,
    overwriting: Overwriting = Overwriting(),
    reporting: Reporting = Reporting(),
) -> None:
    """Link objects of frames into tracks, with divisions and a score for each link.

    Parameters
    ----------
    ids : Path
        Ids of objects.
    options : TrackOptions
        What is written.
    overwriting : Overwriting
        Whether older files are replaced.
    reporting : Reporting
        What is printed.
    """
    from rleseg_core.tracks.writing import TrackFiles, track_to_files

    files = TrackFiles(masks=options.output, ctc=options.ctc, geff=options.geff)
    overwriting.check(files.outputs(), [ids])
    linking = LinkOptions(**options.linking)
    stack = options.objects.open(ids, reporting.quiet)
    run = track_to_files(stack, files, linking, overwrite=overwriting.overwrite)
    with progress_bar("track", reporting.quiet) as bar:
        summary = product_of(run, lambda done: bar.update(done.n_done, done.n_frames))
    if reporting.as_json:
        print_json(summary.to_json())
    elif not reporting.quiet:
        doubt = (
            ""
            if summary.lowest_score is None
            else (
                f" Scores of links: median {summary.median_score:.2f}, lowest "
                f"{summary.lowest_score:.2f}."
            )
        )
        print_line(
            f"{found_in(summary.n_objects, summary.n_frames, are_pieces=False)} are "
            f"{counted(summary.n_tracks, 'track')} with "
            f"{counted(summary.n_divisions, 'division')} and {counted(summary.n_gaps, 'gap')}: "
            f"{summary.out}, {files.table}.{doubt}"
        )
