"""``rleseg evaluate --tracks``: tracks against the true ones."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rleseg_core.cli.console import LiteralTable, out, print_json, progress_bar
from rleseg_core.cli.options import Reporting
from rleseg_core.cli.reading import spelled_for
from rleseg_core.data import IdOptions
from rleseg_core.data.formats.base import ReadOptions
from rleseg_core.evaluation.tracking import TrackScores, score_tracks
from rleseg_core.reports import product_of
from rleseg_core.text import counted

_SHOWN = {
    "seg": "SEG",
    "det": "DET",
    "tra": "TRA",
    "lnk": "LNK",
    "edge_precision": "edges prec.",
    "edge_recall": "recall",
    "edge_f1": "F1",
    "division_f1": "division F1",
    "division_f1_near": "±1 frame",
    "hota": "HOTA",
}


def evaluate_tracks(
    predicted: Path,
    truth: Path,
    reading: tuple[Mapping[str, Any], IdOptions],
    truth_reading: tuple[Mapping[str, Any], IdOptions],
    reporting: Reporting,
) -> None:
    """Score tracks against the true ones, and print the scores.

    Parameters
    ----------
    predicted, truth : Path
        As for `open_tracks`.
    reading, truth_reading : (mapping, IdOptions)
        Fields of `ReadOptions` that the user gave, and what is known of the numbers.
    reporting : Reporting
        What is printed.
    """
    from rleseg_core.tracks.gaps import without_gaps
    from rleseg_core.tracks.opening import open_tracks
    from rleseg_core.tracks.relabelled import TrackIds

    given, tracks = open_tracks(predicted, ReadOptions(**reading[0]), reading[1])
    with spelled_for(truth, "truth-"):
        true, true_tracks = open_tracks(truth, ReadOptions(**truth_reading[0]), truth_reading[1])
    whole, true_whole = without_gaps(tracks), without_gaps(true_tracks)
    run = score_tracks(
        TrackIds(true, true_whole), true_whole.spans(), TrackIds(given, whole), whole.spans()
    )
    with progress_bar("evaluate", reporting.quiet) as bar:
        scores = product_of(run, lambda frame: bar.update(frame + 1, true.n_frames))
    if reporting.as_json:
        print_json({"frames": true.n_frames, **scores.to_json()})
    elif not reporting.quiet:
        out.print(_table(scores))
        out.print(
            f"{counted(scores.n_true, 'true object')} in {counted(true.n_frames, 'frame')}, with "
            f"{counted(scores.n_true_divisions, 'division')}; {scores.n_predicted:,} predicted, "
            f"with {counted(scores.n_id_switches, 'id switch', 'id switches')}.",
            soft_wrap=True,
        )


def _table(scores: TrackScores) -> LiteralTable:
    table = LiteralTable(box=None, padding=(0, 1, 0, 0))
    for heading in _SHOWN.values():
        table.add_column(heading, justify="right")
    values = [getattr(scores, name) for name in _SHOWN]
    table.add_row(*("–" if math.isnan(value) else f"{value:.3f}" for value in values))
    return table
