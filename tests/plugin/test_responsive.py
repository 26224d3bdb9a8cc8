"""The event loop goes on while models run: a slot does little, however much has happened.

How long the loop is held up is measured by ``python -m benchmarks.responsiveness``; here the work
of each slot is counted, which is the same on a busy machine.
"""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from napari_rleseg import child
from napari_rleseg.tasks import SegmentReport
from napari_rleseg.widgets.finetune import FinetuneWidget
from napari_rleseg.widgets.segment import SegmentWidget
from rleseg_core.training import StepReport

pytestmark = pytest.mark.gui

MANY = 1000


@pytest.fixture
def segment(panel) -> SegmentWidget:
    return panel


@pytest.fixture
def finetune(session, cells, tiny_model, qtbot) -> FinetuneWidget:
    session.model = tiny_model
    panel = FinetuneWidget(session)
    qtbot.addWidget(panel)
    return panel


def segment_report(n_done: int) -> SegmentReport:
    return SegmentReport(
        n_done=n_done,
        n_windows=MANY,
        frame=n_done % 4,
        n_tokens=9 * n_done,
        seconds=0.01 * n_done,
        batch_size=1,
        device="cpu",
    )


def test_reports_cross_to_the_viewer_once_in_16_ms(monkeypatch):
    now = 0.0

    def job():
        nonlocal now
        for number in range(MANY):
            now += 0.001
            yield number

    monkeypatch.setattr(child, "time", SimpleNamespace(monotonic=lambda: now))
    *batches, last = child.messages(job(), lambda: False)
    assert [number for _, batch in batches for number in batch] == list(range(MANY))
    assert len(batches) <= 1 + MANY / (1000 * child.FLUSH_S)
    assert last == ("finished", None)


def test_beginning_to_segment_does_one_step_a_turn(segment, session, qtbot, monkeypatch):
    """A new array on disk, a new layer, the job: napari draws between them."""
    layers, segmentation = session.viewer.layers, segment.segmentation
    n_before, done = len(layers), []
    steps = ("_make_layer", "_show_layer", "_make_objects", "_show_objects", "_begin")
    for name in steps:
        step = getattr(segmentation, name)
        monkeypatch.setattr(
            segmentation, name, lambda *args, name=name, step=step: (done.append(name), step(*args))
        )
    segment.button.click()
    assert (len(layers), done) == (n_before, [])
    assert segment.button.text() == "Cancel"
    for expected in steps:
        segmentation._step_timer.stop()
        segmentation._next_step()
        assert done[-1] == expected
    assert len(done) == len(steps)
    with qtbot.waitSignal(segmentation.stopped):
        pass


def test_windows_that_come_in_are_drawn_once_a_turn(segment, session, qtbot, monkeypatch):
    with qtbot.waitSignal(segment.segmentation.stopped):
        segment.button.click()
    drawn, segmentation = [], segment.segmentation
    layer = session.result
    monkeypatch.setattr(type(layer), "refresh", lambda *_, **__: drawn.append(1))
    segmentation._layer, segmentation._runner = layer, session.inference
    segmentation.running, segmentation.follow = True, False
    for first in range(0, MANY, 100):
        segmentation._report([segment_report(n + 1) for n in range(first, first + 100)])
    assert not drawn
    segmentation._refresh()
    segmentation._refresh()
    assert len(drawn) == 1
    segmentation._end("finished")


def test_objects_that_come_in_are_shown_once_a_while(segment, session, qtbot, monkeypatch):
    with qtbot.waitSignal(segment.segmentation.stopped):
        segment.button.click()
    shown, segmentation, now = [], segment.segmentation, 0
    table = session.objects.table
    monkeypatch.setattr(
        type(session.objects), "replace", lambda _, frames, rows: shown.append((frames, len(rows)))
    )
    monkeypatch.setattr(segmentation, "_clock", SimpleNamespace(elapsed=lambda: now))
    segmentation._layer, segmentation._runner = session.result, session.inference
    segmentation.running, segmentation.follow, segmentation._next_objects = True, False, 0
    for tick in range(20):  # two seconds
        now = 100 * tick
        report = replace(segment_report(tick + 1), reached=(0,), finished=table)
        segmentation._report([report])
        segmentation._refresh()
    assert len(shown) == 4
    assert sum(n for _, n in shown) == len(table) * 16
    segmentation._end("finished")
    assert sum(n for _, n in shown) == len(table) * 20


def test_many_steps_of_training_are_drawn_at_once(finetune, monkeypatch):
    drawn = []
    line = finetune.curves._loss_line
    draw = line.setData
    monkeypatch.setattr(line, "setData", lambda *data: (drawn.append(len(data[0])), draw(*data)))
    report = StepReport(
        step=1, n_steps=MANY, loss=1.0, learning_rate=1e-3, tokens_per_s=1.0, seconds=1.0
    )
    finetune.curves.clear(MANY)
    finetune.curves.add([replace(report, step=step) for step in range(1, MANY + 1)])
    assert drawn[-1] == MANY
    assert len(drawn) == 2  # cleared, and drawn once


def test_result_is_handed_to_napari_as_it_lies_on_disk(segment, session, qtbot):
    """No slot reads the whole stack: napari reads the frame that it shows."""
    with qtbot.waitSignal(segment.segmentation.stopped):
        segment.button.click()
    assert session.result.data.chunks == (1, *np.shape(session.result.data)[1:])
