"""Where the tracks of objects are kept, and the jobs that link objects and read tracks.

Knows neither Qt nor napari.
"""

import shutil
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from napari_rleseg.object_files import OBJECTS
from rleseg_core.corrections.objects import CORRECTED
from rleseg_core.errors import DataError
from rleseg_core.files import whole_file
from rleseg_core.objects.stack import ObjectStack
from rleseg_core.tracks import EditLog, FrameLinked, LinkOptions, TrackEditor, link_objects
from rleseg_core.tracks.files.table_file import read_tracks, write_tracks_to

TRACKS = "tracks"
SESSION = ".rleseg"  # end of the name of a session's folder


@dataclass(frozen=True)
class TrackFiles:
    """The two files of the tracks of objects.

    Parameters
    ----------
    table : Path
        The tracks as they were linked, CSV.
    log : Path
        Their corrections, as `EditLog` writes them.
    """

    table: Path
    log: Path

    @classmethod
    def beside(cls, ids: Path | None) -> "TrackFiles | None":
        """Those of objects of a session: of objects-2.zarr, tracks-2.csv and tracks-2.jsonl.

        None for objects that are in no session, beside which nothing may be written.
        """
        if ids is None:
            return None
        if ids.name == CORRECTED:
            return cls.named(ids.with_name(TRACKS))
        is_ours = ids.parent.suffix == SESSION and ids.name.startswith(OBJECTS)
        return (
            cls.named(ids.with_name(TRACKS + ids.stem.removeprefix(OBJECTS))) if is_ours else None
        )

    @classmethod
    def named(cls, path: Path) -> "TrackFiles":
        """Those of a name without suffix."""
        return cls(path.with_name(f"{path.name}.csv"), path.with_name(f"{path.name}.jsonl"))

    @property
    def exist(self) -> bool:
        """Whether there are tracks."""
        return self.table.is_file()

    def copy(self, target: "TrackFiles") -> None:
        """Keep the same tracks elsewhere; the table comes last, with which they exist."""
        if self.log.is_file():
            with whole_file(target.log) as temporary:
                shutil.copyfile(self.log, temporary)
        with whole_file(target.table) as temporary:
            shutil.copyfile(self.table, temporary)


def link_shown(
    stack: ObjectStack, options: LinkOptions, files: TrackFiles, *, read_only: bool = False
) -> Generator[FrameLinked, None, TrackEditor]:
    """Job that links objects; corrections of earlier tracks of the same objects are made again.

    Parameters
    ----------
    stack : ObjectStack
        The objects.
    options : LinkOptions
        How they are linked.
    files : TrackFiles
        Where the tracks are kept.
    read_only : bool
        Whether nothing may be written.

    Yields
    ------
    FrameLinked
        After each frame. Closing the generator cancels, and leaves what was there.
    """
    tracks = yield from link_objects(stack, options)
    if not read_only:
        with whole_file(files.table) as temporary:
            write_tracks_to(tracks, temporary, stack.metadata)
    return TrackEditor(tracks, EditLog(files.log, read_only=read_only))


def open_kept(
    files: TrackFiles, source: TrackFiles | None = None, *, read_only: bool = False
) -> Generator[None, None, TrackEditor]:
    """Job that reads the tracks of objects.

    Parameters
    ----------
    files : TrackFiles
        Where they are kept.
    source : TrackFiles, optional
        Where they are copied from first.
    read_only : bool
        Whether nothing may be written.

    Raises
    ------
    DataError
        If they cannot be read; they can be linked again.
    """
    if source is not None and not read_only:
        source.copy(files)
    yield
    try:
        tracks = read_tracks(files.table)
    except DataError as error:
        raise DataError(f"{error}; press Track to link the objects again") from error
    return TrackEditor(tracks, EditLog(files.log, read_only=read_only))
