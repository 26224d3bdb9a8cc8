"""The CSV file of a table of objects."""

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from rleseg_core.data.metadata import MICROMETER, StackMetadata
from rleseg_core.errors import DataError

FIRST_COLUMNS = ("id", "frame", "class", "class_id", "confidence")
_DIGITS = {"confidence": 4, "row": 2, "col": 2}  # after the point
_YES = {"True": True, "true": True, "1": True, "False": False, "false": False, "0": False}


def write_columns(
    path: Path,
    columns: Mapping[str, np.ndarray],
    class_names: Sequence[str],
    metadata: StackMetadata,
) -> None:
    """Write columns (n,) by name, classes by name as well, and in physical units where known."""
    names = np.array(["", *class_names], dtype=object)[columns["class_id"]]
    shown = {name: columns[name] for name in ("id", "frame")} | {"class": names}
    shown |= {name: column for name, column in columns.items() if name not in shown}
    texts = [_texts(name, column) for name, column in shown.items()]
    physical = physical_columns(columns, metadata)
    texts += [[f"{value:.6g}" for value in column] for column in physical.values()]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*shown, *physical])
        writer.writerows(zip(*texts, strict=True))


def physical_columns(
    columns: Mapping[str, np.ndarray], metadata: StackMetadata
) -> dict[str, np.ndarray]:
    """Areas, centroids and times (n,) in physical units, as far as they are known.

    Their names end in the unit, such as ``area_um2``, ``y_um`` and ``time_s``.
    """
    found: dict[str, np.ndarray] = {}
    if metadata.pixel_size is not None and metadata.unit:
        height, width = metadata.pixel_size
        first_row, first_col = metadata.origin or (0.0, 0.0)
        unit = unit_suffix(metadata.unit)
        found[f"area_{unit}2"] = columns["area"] * height * width
        found[f"y_{unit}"] = columns["row"] * height + first_row
        found[f"x_{unit}"] = columns["col"] * width + first_col
    if metadata.frame_interval is not None:
        start = metadata.start or 0.0
        found["time_s"] = columns["frame"] * metadata.frame_interval + start
    return found


def unit_suffix(unit: str) -> str:
    """A unit of length as names of columns end in it, such as ``um``."""
    return "um" if unit == MICROMETER else re.sub(r"\W+", "_", unit)


def read_columns(
    path: Path, dtypes: Mapping[str, np.dtype], class_names: tuple[str, ...]
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Columns by name, and the names of the classes.

    Raises
    ------
    DataError
        If the file is no such table, or a value is none of its column.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, strict=True))
            file.seek(0)
            header = next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    if missing := [name for name in dtypes if name not in header]:
        raise DataError(
            f"{path} has no column {missing[0]!r}; a table of objects, as rleseg writes it, has "
            f"{', '.join(dtypes)}"
        )
    columns = {name: _parsed(path, name, rows, dtype) for name, dtype in dtypes.items()}
    by_id = {
        int(k): str(row.get("class") or "")
        for k, row in zip(columns["class_id"], rows, strict=True)
    }
    found = tuple(by_id.get(k) or f"class {k}" for k in range(1, max(by_id, default=0) + 1))
    if not class_names:
        return columns, found
    if wrong := [k for k in by_id if k < 1 or by_id[k] not in ("", *class_names[k - 1 : k])]:
        raise DataError(
            f"{path} has the class {by_id[wrong[0]]!r} with id {wrong[0]}; expected "
            f"{', '.join(class_names)}, with ids from 1 on"
        )
    return columns, class_names


def _texts(name: str, column: np.ndarray) -> list[str]:
    if name in _DIGITS:
        return ["" if np.isnan(value) else f"{value:.{_DIGITS[name]}f}" for value in column]
    return [str(value) for value in column.tolist()]


def _parsed(
    path: Path, name: str, rows: Sequence[Mapping[str, str]], dtype: np.dtype
) -> np.ndarray:
    values: list[object] = []
    for line, row in enumerate(rows, start=2):
        text = row[name] or ""
        try:
            if dtype.kind == "b":
                values.append(_YES[text])
            elif dtype.kind == "f":
                values.append(float(text) if text else np.nan)
            elif dtype.kind == "U":
                values.append(text)
            else:
                values.append(int(np.array(int(text), dtype)))
        except (KeyError, ValueError, OverflowError) as error:
            raise DataError(f"{path}, line {line}: {text!r} is no value of {name!r}") from error
    return np.array(values, dtype)
