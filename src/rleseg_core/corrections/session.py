"""The folder of a correction session: its header, and the masks as the model predicted them."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import dask.array as da
import numpy as np
import zarr

from rleseg_core.corrections.header import (
    HEADER,
    IMAGES,
    LABELS,
    LOG,
    PREDICTION,
    SessionHeader,
)
from rleseg_core.corrections.images import image_mark
from rleseg_core.corrections.prediction import checksum
from rleseg_core.data.formats.sources import source_files
from rleseg_core.data.formats.zarr_writing import create_stack
from rleseg_core.errors import DataError
from rleseg_core.files import time_stamp, whole_file
from rleseg_core.outputs import Output, check_outputs


@dataclass(frozen=True)
class FrameCopied:
    """Report of `create_session`: a frame is on the disk.

    Parameters
    ----------
    frame : int
        Index of the frame.
    n_frames : int
        T, the frames of the stack.
    """

    frame: int
    n_frames: int


def create_session(
    folder: str | Path,
    prediction: zarr.Array | np.ndarray | da.Array,
    *,
    class_names: Sequence[str],
    provenance: Mapping[str, object] | None = None,
    image_path: str | Path | None = None,
    images: np.ndarray | da.Array | zarr.Array | None = None,
) -> Generator[FrameCopied, None, Path]:
    """Create the folder of a new correction session, which appears when it is complete.

    Parameters
    ----------
    folder : str or Path
        The new folder.
    prediction : (T, Y, X) int
        Class ids, 0 = background.
    class_names : sequence of str
        Names of the classes 1, 2, …
    provenance : mapping, optional
        Model, version and parameters of the prediction, as JSON values.
    image_path : str or Path, optional
        File or folder of the images that were segmented.
    images : (T, Y, X[, C]), optional
        The images themselves, copied into the session, if they are in no file.

    Yields
    ------
    FrameCopied
        After each frame.

    Returns
    -------
    Path
        `folder`, to be opened as a `CorrectionLog`.

    Raises
    ------
    DataError
        If the prediction is not (T, Y, X) integers, the images do not fit it, or `folder` exists.
    OutputError
        If `folder` lies inside the images, or contains them.
    """
    folder = Path(folder)
    if len(prediction.shape) != 3 or not np.issubdtype(prediction.dtype, np.integer):
        raise DataError(
            f"a prediction must be (T, Y, X) integers, got {prediction.shape} {prediction.dtype}"
        )
    if images is not None and tuple(images.shape[:3]) != tuple(prediction.shape):
        raise DataError(
            f"images {images.shape} do not fit the prediction {prediction.shape}; "
            "both must be (T, Y, X)"
        )
    if folder.exists():
        raise DataError(f"{folder} exists already; open that session or choose another folder")
    image_file = None if image_path is None else Path(image_path).resolve()
    session = Output(folder, "a correction session", Path.is_dir, is_folder=True)
    check_outputs([session], source_files(image_file))
    mark = None if image_file is None else image_mark(image_file)
    sums = []
    with whole_file(folder, overwrite=False) as temporary:
        temporary.mkdir()
        record = {"class_names": list(class_names), **(provenance or {})}
        copies = [
            (prediction, create_stack(temporary / name, prediction.shape, prediction.dtype, record))
            for name in (PREDICTION, LABELS)
        ]
        if images is not None:
            copies.append((images, create_stack(temporary / IMAGES, images.shape, images.dtype)))
        n_frames = int(prediction.shape[0])
        for frame in range(n_frames):
            for source, target in copies:
                target[frame] = np.asarray(source[frame])
            sums.append(checksum(copies[0][1][frame]))
            yield FrameCopied(frame, n_frames)
        header = SessionHeader(
            shape=(n_frames, int(prediction.shape[1]), int(prediction.shape[2])),
            dtype=np.dtype(prediction.dtype),
            class_names=tuple(class_names),
            created=time_stamp(),
            provenance=dict(provenance or {}),
            image_path=image_file,
            image_mark=mark,
            checksums=tuple(sums),
        )
        (temporary / LOG).touch()
        (temporary / HEADER).write_text(header.to_text(), "utf-8")
        if folder.exists():
            raise DataError(f"{folder} was made by another program meanwhile; open that session")
    return folder
