"""Names are shown as they are in labels, tooltips, buttons and notifications."""

from dataclasses import replace

import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QTextDocument

from napari_rleseg.jobs import show_failure
from napari_rleseg.shown import on_button, shown, without_options
from napari_rleseg.widgets.choosers import ModelBox
from napari_rleseg.widgets.controls import text_label
from napari_rleseg.widgets.load import LoadWidget
from rleseg_core.checkpoints import build_model, save_checkpoint, user_models

pytestmark = pytest.mark.gui

NAME = "<b>x</b> &lt;i> & y"


def as_seen(text):
    """What Qt makes of a text in a tooltip or a notification."""
    document = QTextDocument()
    rich = Qt.mightBeRichText(text)
    (document.setHtml if rich else document.setPlainText)(text)
    return document.toPlainText()


@pytest.mark.parametrize(
    "text",
    [NAME, "a < b", "a &amp; b", "<img src='x.png'>", "two\nlines <b>", "plain", "&lt;b>", "1 & 2"],
)
def test_text_is_seen_as_it_is(text, qapp):
    assert as_seen(shown(text)) == text


def test_control_characters_are_escaped():
    assert shown("a\x1bb\u202ec") == r"a\x1bb\u202ec"
    assert on_button("a\n& b") == r"a\n&& b"


def test_labels_take_no_html(qtbot):
    label = text_label(NAME)
    qtbot.addWidget(label)
    assert label.textFormat() == Qt.TextFormat.PlainText


@pytest.mark.parametrize("details", ["", "Traceback <frozen>\n  line & more"])
def test_notifications_take_no_html(monkeypatch, qapp, details):
    told = []
    monkeypatch.setattr("napari_rleseg.jobs.show_error", told.append)
    monkeypatch.setattr(
        "napari_rleseg.jobs.notification_manager.receive_error",
        lambda kind, error, trace: told.append(str(error)),
    )
    show_failure(f"{NAME} cannot be read", details)
    assert as_seen(told[0]).startswith(f"{NAME} cannot be read")


def test_models_of_odd_names_are_listed_as_they_are(session, tiny_model, qtbot):
    info = replace(tiny_model, path=user_models() / "<b>m.safetensors", card={"name": NAME})
    save_checkpoint(info, build_model(info).state_dict())
    (user_models() / "<i>cut.safetensors").write_text("no model")
    box = ModelBox(session)
    qtbot.addWidget(box)
    tips = {
        box.itemText(k): box.itemData(k, Qt.ItemDataRole.ToolTipRole)
        for k in range(box.count() - 1)
    }
    assert "/<b>m.safetensors" in as_seen(tips[NAME])
    assert "/<i>cut.safetensors is not a model" in as_seen(tips["<i>cut (unreadable)"])


def test_unreadable_image_is_named_as_it_is(session, qtbot, tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr("napari_rleseg.jobs.show_error", told.append)
    path = tmp_path / "<b>x\x1b.tif"
    path.write_bytes(b"no picture")
    widget = LoadWidget(session)
    qtbot.addWidget(widget)
    with qtbot.waitSignal(session.reading.failed):
        widget.open_images(path)
    assert r"/<b>x\x1b.tif" in widget.info.text()
    assert r"/<b>x\x1b.tif" in as_seen(told[0])


def test_the_plugin_gives_no_options_of_the_command_line():
    said = "a.tif holds 3 planes; they are read as frames (--axes SYX reads them as colour)\nb (c)"
    assert without_options(said) == "a.tif holds 3 planes; they are read as frames\nb (c)"
