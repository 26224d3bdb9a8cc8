"""Objects written from the panel: kinds, questions, progress, and what is never replaced."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_rleseg.exporting import EXPORT_KINDS
from napari_rleseg.layers import show_labels
from napari_rleseg.objects import objects_layer
from napari_rleseg.widgets.correct import CorrectWidget
from napari_rleseg.widgets.objects import ObjectsPanel
from rleseg_core.objects import ObjectTable

from .test_objects import NAMES, grid_of_objects

pytestmark = pytest.mark.gui

KINDS = {kind.name: kind for kind in EXPORT_KINDS}


@pytest.fixture
def panel(session, cells, qtbot) -> ObjectsPanel:
    ids = grid_of_objects()
    classes = (ids > 0).astype(np.uint8)
    masks = show_labels(session.viewer, classes, NAMES, name="masks", image=session.image)
    session.result = masks
    session.objects.show(objects_layer(ids, masks), masks, ObjectTable.of(ids, classes, NAMES))
    panel = ObjectsPanel(session)
    qtbot.addWidget(panel)
    panel.show()
    return panel


def export(panel, qtbot, monkeypatch, kind, path):
    """Choose an entry of the menu and a name in the dialog, and wait for the file."""
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (str(path), ""))
    (action,) = [a for a in panel.export.menu.actions() if a.text().startswith(kind.title[:20])]
    with qtbot.waitSignal(panel.export.told):
        action.trigger()


@pytest.mark.parametrize("name", list(KINDS))
def test_every_kind_is_written_and_told(panel, qtbot, monkeypatch, tmp_path, name):
    path = tmp_path / f"cells{KINDS[name].suffix}"
    export(panel, qtbot, monkeypatch, KINDS[name], path)
    assert path.is_dir() if not KINDS[name].suffix else path.stat().st_size > 0
    assert panel.about.text() == f"24 objects written to {path.name}"
    assert panel.export.button.text() == "Export…"
    assert not panel.export.progress.isVisible()


def test_measurements_have_intensities_of_the_image(panel, session, qtbot, monkeypatch, tmp_path):
    path = tmp_path / "cells.csv"
    export(panel, qtbot, monkeypatch, KINDS["measure"], path)
    rows = list(csv.DictReader(path.open(encoding="utf-8")))
    image = np.asarray(session.image.data[0], float)
    ids = np.asarray(session.objects.layer.data[0])
    assert float(rows[0]["intensity_mean"]) == pytest.approx(image[ids == 1].mean(), rel=1e-6)


def test_suffix_that_is_left_out_is_added(panel, qtbot, monkeypatch, tmp_path):
    export(panel, qtbot, monkeypatch, KINDS["coco"], tmp_path / "cells")
    assert len(json.loads((tmp_path / "cells.json").read_text("utf-8"))["annotations"]) == 24


@pytest.mark.parametrize("answer", ["Yes", "No"])
def test_nothing_is_replaced_unasked(panel, session, qtbot, monkeypatch, tmp_path, answer):
    path = tmp_path / "cells.json"
    export(panel, qtbot, monkeypatch, KINDS["coco"], path)
    before = path.read_bytes()
    table = session.objects.table
    session.objects.replace(range(4), replace(table, confidence=np.full(len(table), 0.5)))
    asked = []
    button = getattr(QMessageBox.StandardButton, answer)
    monkeypatch.setattr(QMessageBox, "question", lambda *a: (asked.append(a[2]), button)[1])
    export(panel, qtbot, monkeypatch, KINDS["coco"], path)
    assert asked == ["cells.json exists already. Do you want to replace it?"]
    assert (path.read_bytes() == before) == (answer == "No")
    if answer == "No":
        assert panel.about.text() == "cells.json was not replaced; nothing has been written"


def test_file_of_somebody_else_is_not_replaced(panel, qtbot, monkeypatch, tmp_path):
    path = tmp_path / "letter.json"
    path.write_text('{"dear": "reader"}')
    yes = QMessageBox.StandardButton.Yes
    monkeypatch.setattr(QMessageBox, "question", lambda *_: yes)
    export(panel, qtbot, monkeypatch, KINDS["coco"], path)
    assert path.read_text() == '{"dear": "reader"}'
    assert "letter.json" in panel.about.text()


def test_pieces_are_counted_on_demand(session, cells, qtbot):
    masks = show_labels(session.viewer, cells.classes, NAMES, name="masks", image=session.image)
    panel = ObjectsPanel(session)
    qtbot.addWidget(panel)
    session.result = masks
    panel.show()
    assert panel.find.isVisible()
    assert not panel.table.isVisible()
    with qtbot.waitSignal(panel.finding.stopped):
        panel.find.click()
    ids = np.asarray(session.objects.layer.data)
    np.testing.assert_array_equal(ids > 0, cells.classes > 0)
    assert not panel.find.isVisible()
    assert panel.kind.text().startswith("Connected pieces")


def test_pieces_of_masks_that_are_corrected_follow_them(session, cells, qtbot):
    classes = (grid_of_objects() > 0).astype(np.uint8)
    session.result = show_labels(session.viewer, classes, NAMES, name="masks", image=session.image)
    correct = CorrectWidget(session)
    panel = ObjectsPanel(session)
    for widget in (correct, panel):
        qtbot.addWidget(widget)
        widget.show()
    with qtbot.waitSignal(correct.correction.opened):
        correct.start_page.start()
    assert session.objects.layer is None
    panel.find.click()
    qtbot.waitUntil(lambda: session.objects.layer is not None)
    assert session.objects.table.counts(4).sum(axis=1).tolist() == [6, 6, 6, 6]
    session.viewer.dims.set_current_step(0, 1)
    session.result.brush_size = 9
    session.result.paint((1, 30, 50), 2)
    qtbot.waitUntil(lambda: len(session.objects.table) == 25)
    folder = correct.correction.recorder.log.folder
    assert (folder / "objects.csv").is_file()
    correct.correction.finish()
    qtbot.waitUntil(lambda: not correct.correction.objects.pending)
