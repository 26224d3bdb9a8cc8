"""The files that a source consists of, for whoever must not write over any of them."""

import re
from pathlib import Path

from rleseg_core.data.formats.zarr import is_zarr

_NAMED = re.compile(r'(?:FileName|MetadataFile)="([^"]+)"')  # in OME-XML: other parts of the image
_TIFFS = (".tif", ".tiff", ".btf", ".tf2", ".tf8", ".lsm")


def source_files(path: str | Path | None) -> list[Path]:
    """Files and folders that are read with a source, whether they are all there or not.

    Parameters
    ----------
    path : str, Path or None
        A source, as `ImageStack.open` takes it; nothing for an array in memory.

    Returns
    -------
    list of Path
        The source itself; the hierarchy that holds it, if it is a part of a zarr; and the parts
        that an OME-TIFF of several files names.
    """
    if path is None:
        return []
    source = Path(path)
    found = [source]
    if is_zarr(source):
        found += [group for group in source.absolute().parents if is_zarr(group)][-1:]
    elif source.suffix.lower() in _TIFFS and source.is_file():
        found += [source.parent / name for name in _parts_of(source)]
    return found


def _parts_of(path: Path) -> list[str]:
    """Names of the files that the OME-XML of a TIFF lists."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            return sorted(set(_NAMED.findall(tiff.pages.first.description)))
    except Exception:  # noqa: BLE001 the reader says what is wrong with it
        return []
