"""Objects linked, and the tracks written to all the files that are asked for."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from rleseg_core.data.formats.sources import source_files
from rleseg_core.data.writers import label_output, write_labels
from rleseg_core.objects.stack import ObjectStack
from rleseg_core.outputs import Output, check_outputs
from rleseg_core.tracks.files.ctc import challenge_output, write_challenge
from rleseg_core.tracks.files.geff_store import geff_output, write_geff
from rleseg_core.tracks.files.table_file import tracks_output, write_tracks
from rleseg_core.tracks.linking import DEFAULTS, FrameLinked, KnownLinks, LinkOptions, link_objects
from rleseg_core.tracks.opening import table_of
from rleseg_core.tracks.relabelled import TrackIds
from rleseg_core.tracks.table import Tracks


@dataclass(frozen=True, kw_only=True)
class TrackFiles:
    """Where tracks are written.

    Parameters
    ----------
    masks : Path
        The masks with ids of tracks, as for `write_labels`; their table lies beside them.
    ctc : Path or None
        A folder of the Cell Tracking Challenge.
    geff : Path or None
        A GEFF store, which refers to the masks.
    """

    masks: Path
    ctc: Path | None = None
    geff: Path | None = None

    @property
    def table(self) -> Path:
        """The table of the tracks."""
        return table_of(self.masks)

    def outputs(self) -> list[Output]:
        """All that is written, for `check_outputs`.

        Raises
        ------
        DataError
            If a name has another suffix than such a file.
        """
        outputs = [label_output(self.masks), tracks_output(self.table)]
        if self.ctc is not None:
            outputs.append(challenge_output(self.ctc))
        if self.geff is not None:
            outputs.append(geff_output(self.geff))
        return outputs


@dataclass(frozen=True, kw_only=True)
class TrackSummary:
    """What was linked.

    Parameters
    ----------
    out : str
        The masks.
    n_frames, n_objects, n_tracks, n_divisions, n_gaps : int
        Numbers of frames, objects, tracks, divisions, and times that a track leaves out frames.
    median_score, lowest_score : float or None
        Of the links; None if there are none.
    """

    out: str
    n_frames: int
    n_objects: int
    n_tracks: int
    n_divisions: int
    n_gaps: int
    median_score: float | None
    lowest_score: float | None

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


def track_to_files(
    stack: ObjectStack,
    files: TrackFiles,
    options: LinkOptions = DEFAULTS,
    *,
    known: KnownLinks | None = None,
    overwrite: bool = False,
) -> Generator[FrameLinked, None, TrackSummary]:
    """Link objects, and write their tracks; each file appears only when it is complete.

    Parameters
    ----------
    stack : ObjectStack
        The objects; frames are read twice, to be linked and to be written.
    files : TrackFiles
        Where they go.
    options : LinkOptions
        How they are linked.
    known : mapping, optional
        As for `link_objects`.
    overwrite : bool
        Whether older files of the kind are replaced.

    Yields
    ------
    FrameLinked
        After each frame is linked. Closing the generator cancels, and leaves nothing.

    Raises
    ------
    DataError
        If a frame cannot be read, or a file not hold the tracks.
    OutputError
        If a file is an input, or exists and may not be replaced.
    """
    read = [file for source in stack.inputs for file in source_files(source)]
    check_outputs(files.outputs(), read, overwrite=overwrite)
    with closing(link_objects(stack, options, known)) as linking:
        tracks = yield from linking
    return write_files(stack, tracks, files, overwrite=overwrite)


def write_files(
    stack: ObjectStack, tracks: Tracks, files: TrackFiles, *, overwrite: bool = False
) -> TrackSummary:
    """Write tracks to all files, each of which appears only when it is complete.

    Parameters
    ----------
    stack : ObjectStack
        The objects that were linked, or followed.
    tracks, files, overwrite
        As for `track_to_files`, which checks the files first.
    """
    metadata = replace(stack.metadata, class_names=(), class_colours=())  # ids are no classes
    ids = TrackIds(stack, tracks)
    if files.ctc is not None:  # which may refuse too many tracks
        for _ in write_challenge(stack, tracks, files.ctc, overwrite=overwrite):
            pass
    write_labels(files.masks, ids, metadata=metadata, overwrite=overwrite)
    write_tracks(tracks, files.table, metadata, overwrite=overwrite)
    if files.geff is not None:
        of_masks = replace(tracks, object=tracks.track)
        write_geff(of_masks, files.geff, metadata, labels=files.masks, overwrite=overwrite)
    return _summary(tracks, stack.n_frames, files.masks)


def _summary(tracks: Tracks, n_frames: int, out: Path) -> TrackSummary:
    scores = tracks.links().score
    return TrackSummary(
        out=str(out),
        n_frames=n_frames,
        n_objects=len(tracks),
        n_tracks=tracks.n_tracks,
        n_divisions=len(tracks.divisions()),
        n_gaps=sum(1 for _ in tracks.gaps()),
        median_score=float(np.median(scores)) if scores.size else None,
        lowest_score=float(scores.min()) if scores.size else None,
    )
