"""The event loop goes on while models run: no turn of it takes longer than a tenth of a second.

A busy machine can hold up any program, so that a measurement is repeated, at most twice, while it
is over the limit; what the plugin itself does wrong is wrong each time.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import QTimer

from napari_rleseg.layers import labels_layer, show_labels
from napari_rleseg.widgets.finetune import FinetuneWidget
from napari_rleseg.widgets.segment import SegmentWidget
from rleseg_core.checkpoints.file import ModelInfo, model_folders, read_info
from rleseg_core.data import SyntheticConfig, synthesize

pytestmark = [pytest.mark.gui, pytest.mark.slow]
LIMIT_S = 0.1
ATTEMPTS = 3
LONG = 120_000


@pytest.fixture(scope="module")
def bundled_model() -> ModelInfo:
    path = Path(model_folders()[0]) / "demo.safetensors"
    if not path.is_file():
        pytest.skip(
            f"the bundled model {path.name} is missing; scripts/train_demo_model.py makes it"
        )
    return read_info(path)


@pytest.fixture
def stack(session):
    sequence = synthesize(SyntheticConfig(n_frames=3, size=(256, 256), seed=5))
    session.image = session.viewer.add_image(sequence.images, name="cells")
    return sequence


@pytest.fixture
def segment(session, stack, bundled_model, qtbot) -> SegmentWidget:
    panel = SegmentWidget(session)
    qtbot.addWidget(panel)
    session.model = bundled_model
    return panel


def least(measure: Callable[[], float], limit: float = LIMIT_S) -> float:
    """The least of the measurements, which end when one is under the limit."""
    found = [measure()]
    while found[-1] >= limit and len(found) < ATTEMPTS:
        found.append(measure())
    return min(found)


def test_a_blocked_event_loop_is_noticed(qapp, qtbot, watch):
    def measure() -> float:
        with watch:
            QTimer.singleShot(50, lambda: time.sleep(1.2 * LIMIT_S))
            qtbot.wait(300)
        return watch.longest

    assert least(measure) >= LIMIT_S


def test_viewer_is_not_blocked_while_a_model_segments(segment, session, qtbot, watch):
    begun = session.inference.started
    n_reports = []
    segment.segmentation.progressed.connect(n_reports.append)

    def measure() -> float:
        with qtbot.waitSignal(begun, timeout=LONG):  # the layer is there by then
            segment.button.click()
        with watch:
            qtbot.waitUntil(lambda: not segment.segmentation.running, timeout=LONG)
        return watch.longest

    assert least(measure) < LIMIT_S
    assert len(n_reports) > 3
    assert np.asarray(session.result.data).any()


def test_beginning_blocks_no_longer_than_napari_adding_a_layer(segment, session, qtbot, watch):
    viewer = session.viewer

    def add() -> float:  # no layer is removed: a napari that draws in software may not survive it
        layer = labels_layer(np.zeros((3, 256, 256), np.uint8), ("ipsc", "dfc"), name="bare")
        qtbot.wait(100)
        with watch:
            qtbot.wait(50)
            viewer.add_layer(layer)
            qtbot.wait(200)
        layer.visible = False
        return watch.longest

    def measure() -> float:
        bare = add()
        session.result = None  # so that a new layer is made
        qtbot.wait(100)
        with watch:
            qtbot.wait(50)
            with qtbot.waitSignal(session.inference.started, timeout=LONG):
                segment.button.click()
            qtbot.wait(200)
        with qtbot.waitSignal(segment.segmentation.stopped, timeout=LONG):
            segment.segmentation.cancel()
        return watch.longest - bare

    assert least(measure, LIMIT_S / 2) < LIMIT_S / 2


def test_viewer_is_not_blocked_while_a_model_is_fine_tuned(
    session, stack, bundled_model, qtbot, watch
):
    session.model = bundled_model
    panel = FinetuneWidget(session)
    qtbot.addWidget(panel)
    panel.show()
    panel.truth.layer = show_labels(
        session.viewer, stack.classes, stack.class_names, name="truth", image=session.image
    )
    panel.how.form.value = replace(panel.how.form.value, n_steps=6, batch_size=2, validate_every=3)

    def measure() -> float:
        with qtbot.waitSignal(session.training.started, timeout=LONG):
            panel.button.click()
        with watch:
            qtbot.waitUntil(lambda: not panel.finetuning.running, timeout=LONG)
        assert panel.finetuning.model is not None
        return watch.longest

    assert least(measure) < LIMIT_S
    assert len(panel.curves.losses) == 6
