"""Features of the objects of a stack, measured frame by frame into a CSV file."""

import csv
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from rleseg_core.data import ImageStack
from rleseg_core.data.formats.sources import source_files
from rleseg_core.errors import DataError
from rleseg_core.objects.features import Columns, object_features
from rleseg_core.objects.stack import FrameObjects, ObjectStack
from rleseg_core.objects.table_file import unit_suffix
from rleseg_core.outputs import Output, check_outputs, new_output, table_with

_FIRST_COLUMNS = ("id", "frame", "class", "confidence", "state", "touches_border")
_COLOURS = ("red", "green", "blue")


@dataclass(frozen=True, kw_only=True)
class FrameDone:
    """A frame whose objects are measured or written.

    Parameters
    ----------
    frame : int
        Its index.
    n_objects : int
        How many objects it has.
    n_done, n_frames : int
        Frames that are done, and those in all.
    """

    frame: int
    n_objects: int
    n_done: int
    n_frames: int


@dataclass(frozen=True, kw_only=True)
class ClassFeatures:
    """The objects of a class in short.

    Parameters
    ----------
    name : str
        Of the class.
    n_objects : int
        How many there are, in all frames.
    medians : dict of str to float
        Medians of some features by the names of their columns; empty if there are no objects.
    """

    name: str
    n_objects: int
    medians: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class FeatureSummary:
    """What was measured.

    Parameters
    ----------
    out : str
        The file.
    n_frames, n_objects : int
        Numbers of frames and objects.
    are_pieces : bool
        Whether objects are connected pieces of classes.
    classes : tuple of ClassFeatures
        Each class in short.
    columns : tuple of str
        The columns of the file.
    """

    out: str
    n_frames: int
    n_objects: int
    are_pieces: bool
    classes: tuple[ClassFeatures, ...]
    columns: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


def feature_output(path: str | Path) -> Output:
    """A table of features as an output, which `check_outputs` compares with what is read."""
    return Output(Path(path), "a table of features (CSV)", table_with(*_FIRST_COLUMNS))


def measure_to_file(
    stack: ObjectStack,
    path: str | Path,
    images: ImageStack | None = None,
    *,
    frames: Sequence[int] | None = None,
    overwrite: bool = False,
) -> Generator[FrameDone, None, FeatureSummary]:
    """Measure objects into a CSV file that appears only when it is complete.

    Parameters
    ----------
    stack : ObjectStack
        The objects; one frame at a time is in memory.
    path : str or Path
        The file: `id`, `frame`, `class`, `confidence`, `state`, `touches_border`, `time_s` where
        the frame interval is known, then the columns of `object_features`. What is not known is
        empty.
    images : ImageStack, optional
        What intensities are measured in, every channel by itself. Scale and times that the objects
        lack are those of the images.
    frames : sequence of int, optional
        Which frames; all by default.
    overwrite : bool
        Whether it may replace an older table of features.

    Yields
    ------
    FrameDone
        Closing the generator cancels, and leaves no file.

    Raises
    ------
    DataError
        If the images have another shape than the objects, or something cannot be read.
    OutputError
        If there is something of that name, and `overwrite` is not set or it is no such table; or if
        it is read itself.
    """
    if images is not None and images.shape[:3] != stack.shape:
        raise DataError(
            f"{images.path or 'the images'} is {images.shape[:3]}, its objects are {stack.shape}; "
            "both must have the same (T, Y, X)"
        )
    read = [*stack.inputs, *([] if images is None or images.path is None else [images.path])]
    output = feature_output(path)
    check_outputs([output], [f for one in read for f in source_files(one)], overwrite=overwrite)
    if images is not None:
        known = stack.metadata.or_else(images.metadata.calibration)
        stack = replace(stack, metadata=known)
    chosen = range(stack.n_frames) if frames is None else frames
    medians = _Medians(stack)
    columns: tuple[str, ...] = ()
    with (
        new_output(output, overwrite=overwrite) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        for done, objects in enumerate(stack.each(chosen), start=1):
            found = frame_columns(stack, objects, images)
            if not columns:
                columns = tuple(found)
                writer.writerow(columns)
            writer.writerows(zip(*map(_texts, found.values()), strict=True))
            medians.add(objects, found)
            yield FrameDone(
                frame=objects.frame,
                n_objects=len(objects.table),
                n_done=done,
                n_frames=len(chosen),
            )
    classes = medians.summaries()
    return FeatureSummary(
        out=str(path),
        n_frames=len(chosen),
        n_objects=sum(one.n_objects for one in classes),
        are_pieces=stack.are_pieces,
        classes=classes,
        columns=columns,
    )


def frame_columns(
    stack: ObjectStack, objects: FrameObjects, images: ImageStack | None = None
) -> Columns:
    """All that is known of the objects of a frame, by column; each is (n,)."""
    table = objects.table
    image, channels = (None, ()) if images is None else _channels(images, objects.frame)
    features = object_features(objects.ids, image, metadata=stack.metadata, channels=channels)
    names = np.array(["", *stack.class_names], dtype=object)
    columns: Columns = {
        "id": table.id,
        "frame": table.frame,
        "class": names[table.class_id],
        "confidence": np.round(table.confidence.astype(np.float64), 4),
        "state": table.state if stack.states_known else np.full(len(table), ""),
        "touches_border": table.touches_border,
    }
    if stack.metadata.frame_interval is not None:
        start = stack.metadata.start or 0.0
        columns["time_s"] = start + table.frame * stack.metadata.frame_interval
    return columns | {name: values for name, values in features.items() if name != "id"}


def _channels(images: ImageStack, frame: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """All channels of a frame, (Y, X, C), and their names; none for a single one without."""
    image, names = images.frame(frame), images.metadata.channel_names
    if images.is_colour:
        return image[..., :3], _COLOURS
    if len(names) != image.shape[2] or len(set(names)) < len(names):
        names = ()
    return image, tuple(names)


class _Medians:
    """Medians of each class, over all frames: a few numbers of each object are kept."""

    def __init__(self, stack: ObjectStack) -> None:
        unit = unit_suffix(stack.metadata.unit)
        known = stack.metadata.pixel_size is not None and bool(unit)
        self._columns = [
            *(("area_px", "equivalent_diameter_px") if not known else ()),
            *((f"area_{unit}2", f"equivalent_diameter_{unit}") if known else ()),
            "eccentricity",
            "solidity",
        ]
        self._names = stack.class_names
        self._classes: list[np.ndarray] = []
        self._values: list[np.ndarray] = []

    def add(self, objects: FrameObjects, columns: Columns) -> None:
        """Count the objects of a frame."""
        self._classes.append(objects.table.class_id)
        self._values.append(np.stack([columns[name] for name in self._columns], axis=1))

    def summaries(self) -> tuple[ClassFeatures, ...]:
        """Each class in short."""
        classes = np.concatenate(self._classes)
        values = np.concatenate(self._values)
        found = []
        for class_id, name in enumerate(self._names, start=1):
            rows = values[classes == class_id]
            medians = np.median(rows, axis=0).tolist() if len(rows) else []
            medians = dict(zip(self._columns, medians, strict=False))
            found.append(ClassFeatures(name=name, n_objects=len(rows), medians=medians))
        return tuple(found)


def _texts(values: np.ndarray) -> list[str]:
    """Values of a column as they are written: nan as nothing."""
    if values.dtype.kind != "f":
        return [str(value) for value in values.tolist()]
    return ["" if np.isnan(value) else f"{value:.9g}" for value in values.tolist()]
