from dataclasses import replace

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox

from napari_rleseg.widgets.choosers import ModelBox
from rleseg_core.checkpoints import build_model, model_facts, save_checkpoint, user_models

pytestmark = pytest.mark.gui


def test_models_say_what_the_command_line_lists(session, tiny_model, qtbot):
    card = {"name": "Theirs", "source": "a lab", "licence": "CC0"}
    info = replace(tiny_model, path=user_models() / "theirs.safetensors", card=card)
    save_checkpoint(info, build_model(info).state_dict())
    box = ModelBox(session)
    qtbot.addWidget(box)
    shown = {box.itemText(k): box.itemData(k, Qt.ItemDataRole.ToolTipRole) for k in range(4)}
    demos = ["Synthetic iPSC demo", "Synthetic iPSC demo, objects"]
    assert list(shown) == ["Cells", *demos, "Theirs"]
    facts = model_facts(info)
    for key in ("scheme_name", "classes", "mask", "vocabulary", "source", "licence", "file"):
        assert str(facts[key]) in shown["Theirs"]


def test_damaged_files_are_listed_and_cannot_be_chosen(session, tiny_model, qtbot):
    save_checkpoint(
        replace(tiny_model, path=user_models() / "mine.safetensors"),
        build_model(tiny_model).state_dict(),
    )
    (user_models() / "cut.safetensors").write_text("no model")
    box = ModelBox(session)
    qtbot.addWidget(box)
    index = box.findText("cut (unreadable)")
    assert index == box.count() - 2
    assert not QComboBox.model(box).item(index).isEnabled()
    assert "cut.safetensors is not a model" in box.itemData(index, Qt.ItemDataRole.ToolTipRole)
    assert box.itemData(index) is None
    assert box.model is not None
