"""The chosen model, loaded in the background before it is needed."""

from qtpy.QtCore import QObject
from qtpy.QtWidgets import QComboBox

from napari_rleseg.session import Session
from napari_rleseg.signals import listen


class ModelLoader(QObject):
    """Has the session's model loaded where it will run, once panels are shown, and each later one.

    Parameters
    ----------
    session : Session
        Its model, and the runner that will use it.
    device : QComboBox
        Its text is the device.
    parent : QObject
        Owner.
    """

    def __init__(self, session: Session, device: QComboBox, parent: QObject):
        super().__init__(parent)
        self._session, self._device = session, device
        self._begun = False
        listen(session.shown, self._begin, self)
        listen(session.model_changed, self._load, self)
        device.currentTextChanged.connect(self._load)

    def _begin(self) -> None:
        self._begun = True
        self._load()

    def _load(self, _: object = None) -> None:
        model = self._session.model
        if self._begun and model is not None:
            device = self._device.currentText()
            self._session.inference.prepare("napari_rleseg.loaded:load", model.path, device)
