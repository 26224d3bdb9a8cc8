from dataclasses import replace

import numpy as np
import pytest

from napari_rleseg.finetuning import unused_name
from napari_rleseg.layers import show_labels
from napari_rleseg.widgets.finetune import FinetuneWidget
from napari_rleseg.widgets.recipes import estimate_text
from napari_rleseg.widgets.segment import SegmentWidget
from rleseg_core.checkpoints import list_models, read_info
from rleseg_core.corrections import CorrectionLog
from rleseg_core.training import Recipe, StepReport, TrainConfig

pytestmark = pytest.mark.gui


@pytest.fixture
def panel(session, cells, tiny_model, qtbot) -> FinetuneWidget:
    session.model = tiny_model
    widget = FinetuneWidget(session)
    qtbot.addWidget(widget)
    widget.name.setText("tuned")
    widget.recipe_box.form.value = replace(
        widget.recipe_box.form.value, n_steps=4, batch_size=2, validate_every=2, warmup_steps=1
    )
    return widget


@pytest.fixture
def truth(session, cells):
    return show_labels(session.viewer, cells.classes, cells.class_names, name="truth")


def finish(panel: FinetuneWidget, qtbot) -> str:
    with qtbot.waitSignal(panel.finetuning.stopped) as how:
        panel.button.click()
    return how.args[0]


def test_training_on_a_layer_gives_a_model_that_can_be_used(panel, session, truth, qtbot):
    segment = SegmentWidget(session)
    qtbot.addWidget(segment)
    panel.truth.layer = truth
    assert finish(panel, qtbot) == "finished"
    assert [step for step, _ in panel.curves.losses] == [1, 2, 3, 4]
    assert [info.path.stem for info in list_models() if info.path.stem == "tuned"] == ["tuned"]
    panel.use.click()
    assert session.model.name == "tuned"
    assert segment.model.model.path == session.model.path
    assert read_info(session.model.path).card["base"] == "tiny"


def test_corrected_frames_are_listed_and_learnt_from(panel, session, cells, qtbot, tmp_path):
    log = CorrectionLog.create(
        tmp_path / "corrections",
        np.zeros_like(cells.classes),
        class_names=cells.class_names,
        images=cells.images,
    )
    for frame in (1, 3):
        log.record(frame, cells.classes[frame])
    session.corrections = log
    table = panel.frames.table
    assert [table.item(row, 0).text() for row in range(2)] == ["1", "3"]
    assert panel.frames.ticked() == (1, 3)
    table.item(0, 0).setCheckState(table.item(0, 0).checkState().__class__.Unchecked)
    assert panel.frames.ticked() == (3,)
    session.corrections_changed.emit()
    assert panel.frames.ticked() == (3,)
    assert finish(panel, qtbot) == "finished"


def test_base_is_the_model_of_the_session_and_gives_the_name(session, tiny_model, qtbot):
    panel = FinetuneWidget(session)
    qtbot.addWidget(panel)
    session.model = tiny_model  # a file outside the folders of installed models
    assert panel.base.model.path == tiny_model.path
    assert panel.name.text() == "tiny-tuned-1"
    panel.name.setText("mine")
    session.model = replace(tiny_model, path=tiny_model.path.with_name("other.safetensors"))
    assert panel.base.model.path.stem == "other"
    assert panel.name.text() == "mine"


def test_name_of_a_tuned_model_counts_on():
    assert unused_name("demo-tuned-1", ["demo-tuned-1", "demo"]) == "demo-tuned-2"


def test_nothing_to_learn_from_is_told(panel, qtbot):
    panel.button.click()
    assert "nothing to learn from" in panel.status.text()
    assert not panel.finetuning.running


def test_stop_ends_the_training_and_keeps_a_checkpoint(panel, session, truth, qtbot):
    panel.truth.layer = truth
    panel.recipe_box.form.value = replace(panel.recipe_box.form.value, n_steps=100_000)
    with qtbot.waitSignal(panel.finetuning.progressed):
        panel.button.click()
    assert panel.button.text() == "Stop"
    with qtbot.waitSignal(panel.finetuning.stopped) as how:
        panel.button.click()
    assert how.args == ["cancelled"]
    assert list(session.folder.glob("training-*/*.safetensors"))
    assert panel.button.text() == "Start training"


def test_stopped_training_goes_on_where_it_was(panel, session, truth, qtbot):
    panel.truth.layer = truth
    panel.recipe_box.form.value = replace(panel.recipe_box.form.value, n_steps=40)
    assert not panel.finetuning.can_resume
    with qtbot.waitSignal(panel.finetuning.progressed):
        panel.button.click()
    with qtbot.waitSignal(panel.finetuning.stopped):
        panel.button.click()
    assert panel.finetuning.can_resume
    assert panel.resume_button.isVisibleTo(panel)
    steps = []
    panel.finetuning.progressed.connect(lambda reports: steps.extend(r.step for r in reports))
    with qtbot.waitSignal(panel.finetuning.stopped) as how:
        panel.resume_button.click()
    assert how.args == ["finished"]
    assert steps[0] > 1
    assert steps == list(range(steps[0], 41))
    assert not panel.resume_button.isVisibleTo(panel)
    assert panel.finetuning.model is not None


def test_taken_name_is_refused(panel, session, truth, qtbot):
    panel.truth.layer = truth
    finish(panel, qtbot)
    panel.name.setText("tuned")
    panel.button.click()
    assert "choose another name" in panel.status.text()


def test_preset_fills_the_form_for_the_frames_at_hand(session, cells, tiny_model, truth, qtbot):
    session.model = tiny_model
    panel = FinetuneWidget(session)
    qtbot.addWidget(panel)
    assert panel.recipe_box.estimate.text().endswith("Correct a frame, or choose a truth layer.")
    panel.truth.layer = truth
    few = panel.recipe_box.recipe
    assert few.validation_share == 0
    assert "All 4 frames are used for training" in panel.recipe_box.estimate.text()
    panel.recipe_box.preset.setCurrentIndex(1)
    assert panel.recipe_box.recipe.config.n_steps > few.config.n_steps
    assert str(panel.recipe_box.recipe.config.n_steps) in panel.recipe_box.estimate.text()


def test_own_numbers_stay_until_another_preset_is_chosen(panel, truth):
    panel.truth.layer = truth
    assert panel.recipe_box.form.value.n_steps == 4
    panel.recipe_box.preset.setCurrentIndex(1)
    assert panel.recipe_box.form.value.n_steps > 4


def test_estimate_gives_time_frames_and_validation():
    config = TrainConfig(n_steps=300, batch_size=8, patience=4)
    recipe = Recipe(config=config, validation_share=0.2, replay_share=0)
    told = estimate_text(recipe, 10, 0.1)
    assert told.startswith("300 steps, about 4 min on a CPU. One frame in five is held out")
    assert "training stops when the score no longer improves" in told
    one = estimate_text(replace(recipe, validation_share=0.0), 1, 0.01)
    assert one.startswith("300 steps, less than a minute on a CPU. The frame is used")


def test_best_dice_and_early_end_are_told(panel, tiny_model):
    report = StepReport(
        step=2,
        n_steps=9,
        loss=1.0,
        learning_rate=1e-3,
        tokens_per_s=1,
        seconds=4.0,
        validation={"mean": 0.5},
    )
    panel.finetuning.started.emit()
    panel.finetuning.progressed.emit([report])
    assert "best Dice 0.500, at step 2" in panel.status.text()
    assert panel.recipe_box.seconds_per_window == 2.0  # 4 s for one step of 2 windows
    panel.finetuning.progressed.emit([replace(report, step=4, message="stopped at step 4: why")])
    panel.finetuning.model = tiny_model
    panel.finetuning.stopped.emit("finished")
    assert panel.status.text() == "tiny is trained and installed. Stopped at step 4: why."
