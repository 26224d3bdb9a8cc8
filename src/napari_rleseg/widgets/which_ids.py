"""The question that is asked where it cannot be told what the numbers in masks mean."""

from collections.abc import Callable

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMessageBox, QWidget

from napari_rleseg.masks import UnclearMasks
from napari_rleseg.shown import on_button, without_options
from rleseg_core.data.ids import IdChoice
from rleseg_core.text import printable


def ask_ids(
    masks: UnclearMasks, choose: Callable[[IdChoice], None], parent: QWidget
) -> QMessageBox:
    """Ask a person how masks are to be read; nothing happens if they cancel.

    Parameters
    ----------
    masks : UnclearMasks
        What is unclear, and the ways to read it.
    choose : callable
        Called with the way that was chosen.
    parent : QWidget
        Owner.

    Returns
    -------
    QMessageBox
        The question, which is open; it does not block.
    """
    question = QMessageBox(parent)
    question.setIcon(QMessageBox.Icon.Question)
    question.setWindowTitle("What the numbers mean")
    question.setTextFormat(Qt.TextFormat.PlainText)
    question.setText(f"It cannot be told what the numbers in {printable(masks.path.name)} mean.")
    question.setInformativeText(without_options(masks.sentence))
    for choice in masks.choices:
        button = question.addButton(on_button(choice.text), QMessageBox.ButtonRole.AcceptRole)
        button.clicked.connect(lambda _=False, choice=choice: choose(choice))
    question.addButton(QMessageBox.StandardButton.Cancel)
    question.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    question.open()
    return question
