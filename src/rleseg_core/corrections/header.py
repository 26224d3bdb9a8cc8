"""The header of a correction session: what it holds, checked when it is read."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rleseg_core.errors import DataError

FORMAT = "rleseg corrections 1"
HEADER, LOG, LOCK = "session.json", "corrections.jsonl", "session.lock"
STROKES, MARKS = "strokes.jsonl", "marks.jsonl"
PREDICTION, LABELS, IMAGES = "prediction.zarr", "labels.zarr", "images.zarr"

_FAMILY = FORMAT.rstrip("0123456789")
_MAX_SIDE = 2**31


@dataclass(frozen=True)
class SessionHeader:
    """What a correction session says about itself.

    Parameters
    ----------
    shape : (int, int, int)
        (T, Y, X) of the labels.
    dtype : numpy dtype
        Type of the class ids.
    class_names : tuple of str
        Names of the classes 1, 2, …
    created : str
        When the session was made, as a time stamp.
    provenance : mapping
        Model, version and parameters of the prediction.
    image_path : Path or None
        File or folder of the images; None if they are in no file.
    image_mark : str or None
        What the images contained, see `image_mark`; None if it was not noted.
    checksums : tuple of int or None
        CRC-32 of each frame of the prediction; None in sessions of version 0.1.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype
    class_names: tuple[str, ...]
    created: str
    provenance: Mapping[str, object]
    image_path: Path | None = None
    image_mark: str | None = None
    checksums: tuple[int, ...] | None = None

    def to_text(self) -> str:
        """The header as it is written."""
        fields: dict[str, object] = {
            "format": FORMAT,
            "shape": list(self.shape),
            "dtype": self.dtype.name,
            "class_names": list(self.class_names),
            "image": None if self.image_path is None else str(self.image_path),
            "created": self.created,
            "provenance": dict(self.provenance),
            "prediction_crc": None if self.checksums is None else list(self.checksums),
        }
        if self.image_mark is not None:
            fields["image_mark"] = self.image_mark
        return json.dumps(fields, indent=2) + "\n"


def read_header(folder: Path) -> SessionHeader:
    """Header of the session in `folder`.

    Raises
    ------
    DataError
        If the folder holds no session, or a field of the header is missing or impossible.
    """
    path = folder / HEADER
    try:
        fields = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{folder} holds no correction session ({HEADER}: {error})") from error
    of = fields.get("format") if isinstance(fields, dict) else None
    if isinstance(of, str) and of.startswith(_FAMILY) and of != FORMAT:
        raise DataError(f"{path} was written by a later version of rleseg ({of!r}); update rleseg")
    if of != FORMAT:
        raise DataError(f"{path} is not the header of a correction session")
    return _checked(fields, path)


def exists(path: str | Path) -> bool:
    """Whether something is at a path, however odd the path is."""
    return os.path.exists(path)  # unlike Path.exists it raises nothing


def _checked(fields: dict, path: Path) -> SessionHeader:
    shape = fields.get("shape")
    if not isinstance(shape, list) or len(shape) != 3 or not all(map(_is_side, shape)):
        raise _impossible(path, "shape", shape, "three whole numbers (T, Y, X)")
    names = fields.get("class_names")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _impossible(path, "class_names", names, "a list of words")
    for key, kind, wanted in (("created", str, "a time stamp"), ("provenance", dict, "an object")):
        if not isinstance(fields.get(key), kind):
            raise _impossible(path, key, fields.get(key), wanted)
    image, mark = fields.get("image", 0), fields.get("image_mark")
    if image is not None and not (isinstance(image, str) and image and "\0" not in image):
        raise _impossible(path, "image", image or None, "a path or null")
    if mark is not None and not isinstance(mark, str):
        raise _impossible(path, "image_mark", mark, "a text")
    sums = fields.get("prediction_crc")
    is_list = isinstance(sums, list) and len(sums) == shape[0]
    if sums is not None and not (is_list and all(map(_is_checksum, sums))):
        raise _impossible(path, "prediction_crc", sums, f"{shape[0]} checksums")
    return SessionHeader(
        shape=(shape[0], shape[1], shape[2]),
        dtype=_dtype(fields.get("dtype"), path),
        class_names=tuple(names),
        created=fields["created"],
        provenance=fields["provenance"],
        image_path=None if image is None else Path(image),
        image_mark=mark,
        checksums=None if sums is None else tuple(sums),
    )


def _dtype(name: object, path: Path) -> np.dtype:
    try:
        dtype = np.dtype(name) if isinstance(name, str) else None
    except (TypeError, ValueError, SyntaxError):
        dtype = None
    if dtype is None or not np.issubdtype(dtype, np.integer):
        raise _impossible(path, "dtype", name, "a type of whole numbers, such as uint8")
    return dtype


def _is_side(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MAX_SIDE


def _is_checksum(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**32


def _impossible(path: Path, key: str, value: object, wanted: str) -> DataError:
    shown = "missing" if value is None else f"{value!r:.60}"
    return DataError(
        f"{path}: {key!r} is {shown}, it must be {wanted}; put the file back from a copy"
    )
