"""Controls for what a model proposes: a button, its progress, Keep and Discard."""

from collections.abc import Callable

from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_rleseg.following import ObjectFollowing
from napari_rleseg.propagating import FramePropagation
from napari_rleseg.proposals import Proposal
from napari_rleseg.session import Session
from napari_rleseg.widgets.controls import text_label
from rleseg_core.errors import RlesegError

NEXT = 5  # frames that are propagated to


class ProposalControls(QWidget):
    """Starts a proposal, shows how far it is, and keeps or discards it.

    Parameters
    ----------
    proposal : Proposal
        What the model writes.
    title : str
        Of the button that starts it.
    number : QSpinBox
        Of frames.
    start : callable
        Starts it.
    parent : QWidget or None
        Owner.
    """

    def __init__(
        self,
        proposal: Proposal,
        title: str,
        number: QSpinBox,
        start: Callable[[], None],
        parent: QWidget | None = None,
    ):
        super().__init__(parent)
        self.proposal = proposal
        proposal.setParent(self)
        self._title, self._begin = title, start
        self.number = number
        self.button = QPushButton(title)
        self.progress = QProgressBar()
        self.progress.setFormat("%v of %m frames")
        self.progress.hide()
        self.told = text_label()
        self.keep, self.discard = QPushButton("Keep"), QPushButton("Discard")
        self.keep.setToolTip("Record what is shown as corrections; they can be undone")
        self.discard.setToolTip("Hide what is shown; nothing has changed")
        self._lay_out()
        self.button.clicked.connect(self._press)
        self.keep.clicked.connect(lambda: self._try(proposal.keep))
        self.discard.clicked.connect(proposal.discard)
        proposal.started.connect(self._show_started)
        proposal.told.connect(self._tell)
        proposal.progressed.connect(self._show_progress)
        proposal.changed.connect(self._show)
        self._tell("")
        self._show()

    def _lay_out(self) -> None:
        line, decision = QHBoxLayout(), QHBoxLayout()
        line.addWidget(self.button, 1)
        line.addWidget(QLabel("Frames"))
        line.addWidget(self.number)
        for button in (self.keep, self.discard):
            decision.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(line)
        layout.addWidget(self.progress)
        layout.addWidget(self.told)
        layout.addLayout(decision)

    def _press(self) -> None:
        if self.proposal.running:
            self.proposal.cancel()
            self.button.setText("Cancelling…")
            self.button.setEnabled(False)
        else:
            self._try(self._begin)

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except (RlesegError, OSError) as error:
            text = str(error)
            self._tell(f"{text[:1].upper()}{text[1:]}.")

    def _tell(self, sentence: str) -> None:
        self.told.setText(sentence)
        self.told.setVisible(bool(sentence))

    def _show_started(self) -> None:
        self.progress.setRange(0, 0)
        self._tell("")
        self._show()

    def _show_progress(self, n_done: int, n_frames: int) -> None:
        self.progress.setRange(0, n_frames)
        self.progress.setValue(n_done)

    def _show(self) -> None:
        proposal = self.proposal
        self.progress.setVisible(proposal.running)
        if not proposal.running or not self.button.text().startswith("Cancelling"):
            self.button.setText("Cancel" if proposal.running else self._title)
            self.button.setEnabled(not proposal.keeping)
        for button in (self.keep, self.discard):
            button.setVisible(proposal.proposed or proposal.keeping)
            button.setEnabled(not proposal.keeping)


def follow_controls(session: Session) -> ProposalControls:
    """Controls that follow the chosen object."""
    following, number = ObjectFollowing(session), QSpinBox()
    number.setRange(0, 9999)
    number.setSpecialValueText("all")
    number.setToolTip("How many frames before and after the object is followed through")
    controls = ProposalControls(
        following, "Follow this cell", number, lambda: following.start(number.value() or None)
    )
    controls.button.setToolTip(
        "Click an object: the model follows it forwards and backwards; nothing changes before Keep"
    )
    return controls


def propagate_controls(session: Session) -> ProposalControls:
    """Controls that write the frames after the one that is shown again."""
    propagation, number = FramePropagation(session), QSpinBox()
    number.setRange(1, 999)
    number.setValue(NEXT)
    number.setToolTip("How many of the next frames are written")
    controls = ProposalControls(
        propagation, "Propagate ▶", number, lambda: propagation.start(number.value())
    )
    controls.button.setToolTip(
        "Have the model write the next frames again from this one; accepted frames stay, and "
        "nothing changes before Keep"
    )
    return controls
