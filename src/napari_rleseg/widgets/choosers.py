"""Boxes that choose a layer or a model."""

from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Layer
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QWidget

from napari_rleseg.jobs import show_failure
from napari_rleseg.layers import notes
from napari_rleseg.session import Session
from napari_rleseg.shown import shown
from napari_rleseg.signals import listen
from napari_rleseg.widgets.controls import narrow
from rleseg_core.checkpoints import ModelInfo, installed_models, model_facts, read_info
from rleseg_core.errors import RlesegError
from rleseg_core.text import printable

if TYPE_CHECKING:
    from napari.viewer import Viewer


class LayerBox(QComboBox):
    """Chooses one of the viewer's layers of a type.

    Parameters
    ----------
    viewer : Viewer
        The viewer whose layers are offered.
    kind : type of Layer
        Type of the layers that are offered.
    none : str or None
        Entry for no layer at all; without it the first layer is chosen.
    parent : QWidget or None
        Owner.
    """

    chosen = Signal(object)  # Layer or None

    def __init__(
        self,
        viewer: "Viewer",
        kind: type[Layer],
        *,
        none: str | None = None,
        parent: QWidget | None = None,
    ):
        super().__init__(parent)
        narrow(self)
        self._layers, self._kind, self._none = viewer.layers, kind, none
        self._last: Layer | None = None
        events = viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered, events.renamed):
            listen(event, self.reset_choices, self)
        self.currentIndexChanged.connect(self._emit_chosen)
        self.reset_choices()

    @property
    def layer(self) -> Layer | None:
        """The chosen layer."""
        return self.currentData()

    @layer.setter
    def layer(self, layer: Layer | None) -> None:
        index = next((i for i in range(self.count()) if self.itemData(i) is layer), -1)
        if index >= 0:
            self.setCurrentIndex(index)

    def reset_choices(self, event: object = None) -> None:
        """Read the layers again; the choice stays if its layer still exists."""
        kept = self.layer
        self.blockSignals(True)
        self.clear()
        if self._none is not None:
            self.addItem(self._none, None)
        for layer in self._layers:
            known = notes(layer) if isinstance(layer, self._kind) else {"preview": True}
            if not (known.get("preview") or known.get("objects")):
                self.addItem(printable(layer.name), layer)
        self.layer = kept
        self.blockSignals(False)
        self._emit_chosen()

    def _emit_chosen(self) -> None:
        if self.layer is not self._last:
            self._last = self.layer
            self.chosen.emit(self._last)


class ModelBox(QComboBox):
    """Chooses one of the installed models, or a model file; follows the model of the session.

    Parameters
    ----------
    session : Session
        Its model is shown whenever it changes.
    parent : QWidget or None
        Owner.
    """

    chosen = Signal(object)  # ModelInfo or None; by the user

    def __init__(self, session: Session, parent: QWidget | None = None):
        super().__init__(parent)
        narrow(self)
        self._browsed: list[ModelInfo] = []
        listen(session.models_changed, self.reset_choices, self)
        listen(session.model_changed, self._show, self)
        self.activated.connect(self._activate)
        self._last = -1
        self.reset_choices()
        self._show(session.model)

    @property
    def model(self) -> ModelInfo | None:
        """Header of the chosen model."""
        return self.currentData()

    @model.setter
    def model(self, info: ModelInfo | None) -> None:
        if info is None:
            return
        index = self._index(info.path)
        if index < 0:
            self._browsed.append(info)
            self.reset_choices()
            index = self._index(info.path)
        self.setCurrentIndex(index)
        self._last = index

    def reset_choices(self) -> None:
        """Look for installed models again; the choice stays."""
        kept, had = self.model, self.count() > 0
        self.clear()
        installed, unreadable = installed_models()
        paths = {info.path for info in installed}
        for info in [*installed, *(info for info in self._browsed if info.path not in paths)]:
            self.addItem(printable(info.name), info)
            self.setItemData(self.count() - 1, shown(_about(info)), Qt.ItemDataRole.ToolTipRole)
        for broken in unreadable:
            self.addItem(printable(f"{broken.path.stem} (unreadable)"), None)
            self.setItemData(self.count() - 1, shown(broken.reason), Qt.ItemDataRole.ToolTipRole)
            super().model().item(self.count() - 1).setEnabled(False)
        self.addItem("Model file…", None)
        self._last = max(0, self._index(kept.path)) if kept is not None else 0
        self.setCurrentIndex(self._last)
        if had and kept is None and self.model is not None:
            self.chosen.emit(self.model)  # the first that is installed

    def _show(self, info: ModelInfo | None) -> None:
        if info is not None and info is not self.model:
            self.model = info

    def _activate(self, index: int) -> None:
        if index == self.count() - 1:
            self.setCurrentIndex(self._last)
            name, _ = QFileDialog.getOpenFileName(
                self, "Choose a model", "", "Models (*.safetensors)"
            )
            if not name:
                return
            try:
                self.model = read_info(Path(name))
            except RlesegError as error:
                show_failure(str(error), "")
                return
        self._last = self.currentIndex()
        self.chosen.emit(self.model)

    def _index(self, path: Path) -> int:
        infos = [self.itemData(i) for i in range(self.count())]
        return next((i for i, info in enumerate(infos) if info and info.path == path), -1)


def _about(info: ModelInfo) -> str:
    """What `rleseg models` lists, for a tooltip."""
    facts = model_facts(info)
    lines = [
        f"{info.path}",
        f"classes: {facts['classes']}",
        f"scheme {facts['scheme_name']}, {facts['vocabulary']} tokens",
        f"mask {facts['mask']}, patch {facts['patch']}, frames {facts['frames']}",
        f"trained for {info.step} steps",
    ]
    lines += [f"{key}: {facts[key]}" for key in ("source", "licence") if facts[key]]
    return "\n".join(lines)
