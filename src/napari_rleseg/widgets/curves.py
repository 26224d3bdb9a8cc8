"""Live plots of a training: loss of each step, Dice on the validation windows."""

import html
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyqtgraph as pg
from napari.utils.theme import get_theme
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_rleseg.signals import listen
from rleseg_core.drawing.palette import class_colour
from rleseg_core.text import printable

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from rleseg_core.training import StepReport

MEAN, SELECTED = "mean", "selected"


class TrainingCurves(QWidget):
    """Two plots over the steps: the loss above, the Dice of each class below.

    Parameters
    ----------
    viewer : Viewer
        Its theme gives the colours of the plots.
    parent : QWidget or None
        Owner.
    """

    def __init__(self, viewer: "Viewer", parent: QWidget | None = None):
        super().__init__(parent)
        self._viewer = viewer
        self._losses: list[tuple[int, float]] = []
        self._dice: dict[str, list[tuple[int, float]]] = {}
        self._lines: dict[str, pg.PlotDataItem] = {}
        self._canvas = pg.GraphicsLayoutWidget()
        self._loss_plot = self._canvas.addPlot(row=0, col=0)
        self._dice_plot = self._canvas.addPlot(row=2, col=0)
        self._loss_plot.setLabel("left", "loss")
        self._dice_plot.setLabel("left", "Dice")
        self._dice_plot.setLabel("bottom", "step")
        self._dice_plot.setYRange(0, 1)
        self._dice_plot.setXLink(self._loss_plot)
        self._legend = pg.LegendItem(colCount=3, horSpacing=16)
        self._canvas.addItem(self._legend, row=1, col=0)
        for plot in (self._loss_plot, self._dice_plot):
            plot.setMenuEnabled(False)
            menu = plot.ctrlMenu  # made without a parent: it would outlive the panel
            menu.setParent(self, menu.windowFlags())
            plot.hideButtons()
            plot.setMouseEnabled(x=False, y=False)
            plot.getAxis("left").setWidth(42)
            plot.getAxis("left").enableAutoSIPrefix(False)  # a loss is not in thousandths
        self._loss_line = self._loss_plot.plot()
        self._loss_plot.getAxis("bottom").setStyle(showValues=False)
        self._canvas.setFixedHeight(260)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._canvas)
        listen(viewer.events.theme, self._paint, self)
        self._paint()

    @property
    def losses(self) -> list[tuple[int, float]]:
        """(step, loss) so far."""
        return list(self._losses)

    @property
    def best(self) -> tuple[int, float] | None:
        """(step, Dice) of the highest mean of all classes so far, None before the first."""
        known = [(step, dice) for step, dice in self._dice.get(MEAN, []) if math.isfinite(dice)]
        return max(known, key=lambda point: point[1], default=None)

    def clear(self, n_steps: int) -> None:
        """Clear the plots, with an axis for `n_steps` steps."""
        self._losses.clear()
        self._dice.clear()
        for line in self._lines.values():
            self._dice_plot.removeItem(line)
        self._lines.clear()
        self._legend.clear()
        self._loss_line.setData([], [])
        self._loss_plot.setXRange(0, n_steps)

    def add(self, reports: "Sequence[StepReport]") -> None:
        """Plot further steps."""
        self._losses += [(report.step, report.loss) for report in reports]
        self._loss_line.setData(*zip(*self._losses, strict=True))
        for report in reports:
            for name, value in report.validation.items():
                if name != SELECTED:  # need not be Dice
                    self._dice.setdefault(name, []).append((report.step, value))
        for index, (name, points) in enumerate(self._dice.items()):
            if name not in self._lines:
                colour = self._text if name == MEAN else class_colour(index + 1)
                self._lines[name] = self._dice_plot.plot(
                    pen=pg.mkPen(colour, width=2), symbol="o", symbolSize=5
                )
                self._legend.addItem(self._lines[name], html.escape(printable(name)))
                self._lines[name].setSymbolBrush(colour)
                self._lines[name].setSymbolPen(None)
            self._lines[name].setData(*zip(*points, strict=True))

    def _paint(self, event: object = None) -> None:
        theme = get_theme(self._viewer.theme)
        self._text = theme.text.as_hex()
        self._canvas.setBackground(theme.background.as_hex())
        for plot in (self._loss_plot, self._dice_plot):
            for side in ("left", "bottom"):
                plot.getAxis(side).setPen(theme.secondary.as_hex())
                plot.getAxis(side).setTextPen(self._text)
        self._legend.setLabelTextColor(self._text)
        self._loss_line.setPen(pg.mkPen(theme.current.as_hex(), width=2))
