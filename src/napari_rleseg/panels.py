"""The panels of the workbench: the one list that its tabs and the commands are made from.

A new panel is a file with a widget that takes the session, and one entry here; `napari.yaml`, which
is static, names its command ``open_<name>`` with the same title.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from napari_rleseg.session import Session


@dataclass(frozen=True)
class Panel:
    """A tab of the workbench.

    Parameters
    ----------
    name : str
        Attribute of the workbench, and ``open_<name>`` is the command that shows the tab.
    title : str
        Title of the tab.
    widget : str
        ``"package.module:Class"``; the class is called with the session.
    command : str
        Title of the command in menus and in the command palette.
    """

    name: str
    title: str
    widget: str
    command: str

    def create(self, session: "Session") -> "QWidget":
        """A new widget over a session."""
        module, _, name = self.widget.partition(":")
        kind: Callable[[Session], QWidget] = getattr(importlib.import_module(module), name)
        return kind(session)


_WIDGETS = "napari_rleseg.widgets"
PANELS = [
    Panel("load", "Load", f"{_WIDGETS}.load:LoadWidget", "Open images or masks"),
    Panel("segment", "Segment", f"{_WIDGETS}.segment:SegmentWidget", "Segment a time-lapse"),
    Panel("animate", "Animate", f"{_WIDGETS}.animate:AnimateWidget", "Watch the token generation"),
    Panel("correct", "Correct", f"{_WIDGETS}.correct:CorrectWidget", "Correct the masks"),
    Panel("track", "Track", f"{_WIDGETS}.track:TrackWidget", "Track the objects"),
    Panel("finetune", "Fine-tune", f"{_WIDGETS}.finetune:FinetuneWidget", "Fine-tune a model"),
]
