"""What a save from napari may write over: the user is asked once, what is shown stays."""

import sys
from pathlib import Path

import napari
import zarr
from napari.layers import Image, Labels

from napari_rleseg.calibration import NOTES
from napari_rleseg.shown import shown
from rleseg_core.data.formats.sources import source_files
from rleseg_core.errors import OutputError
from rleseg_core.outputs import Output, check_outputs, exists

_DIALOG = "_save_layers_dialog"  # napari's method that asks for a name and saves


def check_save(output: Output) -> bool:
    """Whether an older file may be replaced: whether the user said so.

    Raises
    ------
    OutputError
        If it is, contains or lies inside what the viewer shows; if there is something that we could
        not have written; or the user does not want it replaced.
    """
    in_use = [file for path in shown_files() for file in source_files(path)]
    check_outputs([output], in_use, overwrite=True)
    path = output.path
    if not exists(path):
        return False
    asked = _name_in_dialog()
    if asked is None:
        raise OutputError(
            f"{path} exists already; choose another name, or save with File > Save Selected "
            "Layers, which asks"
        )
    if Path(asked) != path and not _is_wanted(path):  # it asked about the name without a suffix
        raise OutputError(f"{path} was not replaced; nothing has been saved")
    return True


def shown_files() -> list[Path]:
    """Files of the images in the current viewer, of the masks shown from disk, and of sessions."""
    viewer = napari.current_viewer()
    found: list[object] = []
    for layer in viewer.layers if viewer is not None else ():
        known = layer.metadata.get(NOTES, {})
        if isinstance(layer, Image):
            found += [known.get("path"), known.get("source"), layer.source.path]
        elif isinstance(layer, Labels) and isinstance(layer.data, zarr.Array):
            found.append(known.get("path"))
        found.append(known.get("session"))
    return [Path(str(path)) for path in found if path]


def _name_in_dialog() -> str | None:
    """The name about which napari's dialog has asked, if this save comes from it."""
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == _DIALOG:
            return str(frame.f_locals.get("filename", ""))
        frame = frame.f_back  # type: ignore[assignment]
    return None


def _is_wanted(path: Path) -> bool:
    from qtpy.QtWidgets import QMessageBox

    answer = QMessageBox.question(
        None, "Replace masks", shown(f"{path.name} exists already. Do you want to replace it?")
    )
    return answer == QMessageBox.StandardButton.Yes
