"""The panel of tracks: link the objects, look at lineages, correct links, export."""

from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_rleseg.exporting import TRACK_KINDS
from napari_rleseg.session import Session
from napari_rleseg.signals import listen
from napari_rleseg.tracking import Tracking
from napari_rleseg.widgets.controls import text_label
from napari_rleseg.widgets.export import ExportButton
from napari_rleseg.widgets.lineage import LineageTree
from napari_rleseg.widgets.over_time import OverTime
from napari_rleseg.widgets.proposals import follow_controls
from napari_rleseg.widgets.track_tools import TrackTools
from rleseg_core.errors import RlesegError
from rleseg_core.tracks import LinkOptions

NO_OBJECTS = "Segment the image, or open masks: their objects are linked over time here."


class TrackWidget(QWidget):
    """Links the objects of the session, and shows and corrects their tracks.

    Parameters
    ----------
    session : Session
        Its objects are linked.
    parent : QWidget or None
        Owner.
    """

    def __init__(self, session: Session, parent: QWidget | None = None):
        super().__init__(parent)
        self._session = session
        self.tracking = Tracking(session, self)
        self._active: object = None  # the layer that was active before the panel was shown
        defaults = LinkOptions()
        self.max_gap = QSpinBox()
        self.max_gap.setRange(0, 20)
        self.max_gap.setValue(defaults.max_gap)
        self.max_gap.setSuffix(" frames")
        self.max_gap.setToolTip("Frames in which a cell may be missing and still be the same")
        self.divisions = QCheckBox("Cells divide")
        self.divisions.setChecked(defaults.divisions)
        self.divisions.setToolTip("Whether a cell may go on as two; if not, links are one to one")
        self.button = QPushButton("Track")
        self.button.setToolTip(
            "Link the objects of all frames; links that you have corrected stay as they are"
        )
        self.progress = QProgressBar()
        self.progress.setFormat("%v of %m frames")
        self.progress.hide()
        self.about = text_label()
        self.only_lineage = QCheckBox("Draw the chosen lineage only")
        self.only_lineage.setToolTip("Click an object to draw the tracks of its ancestors and kin")
        self.lineage = LineageTree(session.tracks, session.objects)
        self.tools = TrackTools(session)
        self.follow = follow_controls(session)
        self.over_time = OverTime(session)
        self.export = ExportButton(session, TRACK_KINDS)
        self.export.button.setToolTip("Write the tracks for other programs")
        self._lay_out()
        self._connect()
        self._show()

    def _lay_out(self) -> None:
        line = QHBoxLayout()
        line.addWidget(QLabel("Gap"))
        line.addWidget(self.max_gap)
        line.addWidget(self.divisions)
        line.addStretch()
        self._options = QWidget()
        self._options.setLayout(line)
        line.setContentsMargins(0, 0, 0, 0)
        self._body = QWidget()
        body = QVBoxLayout(self._body)
        body.setContentsMargins(0, 0, 0, 0)
        for part in (self.only_lineage, self.lineage, self.tools):
            body.addWidget(part)
        layout = QVBoxLayout(self)
        for part in (self._options, self.button, self.progress, self.about, self._body):
            layout.addWidget(part)
        layout.addWidget(self.follow)
        layout.addWidget(self.over_time)
        layout.addWidget(self.export)
        layout.addStretch()

    def _connect(self) -> None:
        session = self._session
        self.button.clicked.connect(self._press)
        self.only_lineage.toggled.connect(self._choose_lines)
        self.tracking.started.connect(self._show_started)
        self.tracking.progressed.connect(self._show_progress)
        self.tracking.stopped.connect(self._show_stopped)
        self.export.told.connect(self.about.setText)
        listen(session.objects.changed, self._show, self)
        listen(session.tracks.changed, self._show, self)

    def showEvent(self, event: QShowEvent) -> None:
        """Let the keys act on the tracks while the panel is shown."""
        super().showEvent(event)
        self._activate()

    def hideEvent(self, event: QHideEvent) -> None:
        """Give the keys back to the layer that had them."""
        super().hideEvent(event)
        layers, before = self._session.viewer.layers, self._active
        self._active = None
        if before in layers and layers.selection.active is self._session.tracks.layer:
            layers.selection.active = before

    def _activate(self) -> None:
        layers, layer = self._session.viewer.layers, self._session.tracks.layer
        if layer is not None and layer in layers and self.isVisible():
            if layers.selection.active is not layer:
                self._active = layers.selection.active
            layers.selection.active = layer

    def _press(self) -> None:
        if self.tracking.busy:
            self.tracking.cancel()
            return
        try:
            self.tracking.start(
                LinkOptions(max_gap=self.max_gap.value(), divisions=self.divisions.isChecked())
            )
        except (RlesegError, OSError) as error:
            self.about.setText(str(error))

    def _choose_lines(self, only: bool) -> None:
        self._session.tracks.only_lineage = only

    def _show_started(self) -> None:
        self.button.setText("Cancel")
        self.progress.setRange(0, 0)
        self.progress.show()
        self._body.setEnabled(False)

    def _show_progress(self, n_done: int, n_frames: int) -> None:
        self.progress.setRange(0, n_frames)
        self.progress.setValue(n_done)

    def _show_stopped(self, sentence: str) -> None:
        self.button.setText("Track")
        self.progress.hide()
        self._body.setEnabled(True)
        self._show()
        self._activate()
        if sentence:
            self.about.setText(f"{sentence}\n{self._counts()}".strip())

    def _show(self) -> None:
        session = self._session
        has_objects, editor = session.objects.layer is not None, session.tracks.editor
        self._options.setVisible(has_objects)
        self.button.setVisible(has_objects)
        self.follow.setVisible(has_objects)
        self._body.setVisible(editor is not None)
        self.export.setVisible(editor is not None)
        self.about.setText(self._counts() if has_objects else NO_OBJECTS)

    def _counts(self) -> str:
        """How many tracks there are, and what is no longer among them."""
        editor = self._session.tracks.editor
        if editor is None:
            return ""
        n_tracks, n_divisions = editor.n_tracks, editor.n_divisions
        words = (
            f"{n_tracks:,} track{'s' * (n_tracks != 1)}, "
            f"{n_divisions:,} division{'s' * (n_divisions != 1)}"
        )
        if n_lost := self._session.tracks.n_unlinked:
            have = "objects have" if n_lost > 1 else "object has"
            words += f"\n{n_lost:,} {have} changed since, without a track: press Track."
        return words
