"""What an export consists of; `registry` lists the exports there are."""

import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rleseg_core.errors import DataError
from rleseg_core.objects.stack import FrameObjects, ObjectStack
from rleseg_core.outputs import FILES_OF_DESKTOPS, Output, Recogniser

Frames = Generator[FrameObjects, None, None]
"""What writes frames, and yields each once it is written."""


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Choices that single formats offer.

    Parameters
    ----------
    colours : {'classes', 'ids'}
        For palette: what colours stand for, classes or single objects. There are 255 colours, so
        that of more objects several have the same.
    object_type : {'detection', 'cell', 'annotation'}
        For geojson: what QuPath makes of the objects.
    image_names : tuple of str
        For coco: file names of the images, one for each frame of the stack, or one for all; by
        default that of the images that the objects were found in, if it is noted, else theirs.
    """

    colours: Literal["classes", "ids"] = "classes"
    object_type: Literal["detection", "cell", "annotation"] = "detection"
    image_names: tuple[str, ...] = ()


DEFAULTS = ExportOptions()


@dataclass(frozen=True, kw_only=True)
class Export:
    """A format that other programs read.

    Parameters
    ----------
    summary : str
        What it is and for whom.
    suffixes : tuple of str
        What the name of the file may end in; none where a folder is written.
    output : callable
        Of a path: what is written there, and what it may replace.
    write : callable
        Of objects, path, frames and options: write to a temporary path.
    """

    summary: str
    suffixes: tuple[str, ...]
    output: Callable[[Path], Output]
    write: Callable[[ObjectStack, Path, Sequence[int], ExportOptions], Frames]

    def check_name(self, path: Path) -> None:
        """Raise an error unless a name is one of such a file or folder.

        Raises
        ------
        DataError
            If it does not end in a suffix, or has one although a folder is written.
        """
        if self.suffixes and not path.name.lower().endswith(self.suffixes):
            raise DataError(
                f"cannot write {self.summary} to {path}: the name must end in "
                f"{' or '.join(self.suffixes)}"
            )
        if not self.suffixes and path.suffix:
            raise DataError(
                f"cannot write {self.summary} to {path}: they are files in a folder, whose name "
                f"has no suffix; leave out {path.suffix}"
            )


def frame_folder(path: Path, what: str, names: str, is_ours: Recogniser) -> Output:
    """A folder with a file for each frame as an output.

    Parameters
    ----------
    path : Path
        The folder.
    what : str
        What it is, with its article.
    names : str
        Regular expression of the names of its files.
    is_ours : callable
        Whether a file of such a name is ours.
    """

    def recognise(folder: Path) -> bool:
        files = [one for one in folder.iterdir() if one.name not in FILES_OF_DESKTOPS]
        return all(re.fullmatch(names, one.name) and is_ours(one) for one in files)

    return Output(path, what, recognise, is_folder=True)
