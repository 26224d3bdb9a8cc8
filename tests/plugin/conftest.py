"""What the GUI tests share: a home of their own, and a model that is small and quick."""

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QTimer

from napari_rleseg.preferences import preference
from napari_rleseg.session import Session
from napari_rleseg.widgets.segment import SegmentWidget
from rleseg_core.checkpoints import ModelInfo
from rleseg_core.data import SyntheticConfig, SyntheticSequence, synthesize

from .leaks import PATIENCE_MS, Leaks

CLASSES = ("ipsc", "dfc")


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("RLESEG_MODELS", "")


class PatientBot(QtBot):
    """A `qtbot` that takes a job for hung only after five minutes: other work slows it down."""

    def waitSignal(self, signal, *, timeout: int = PATIENCE_MS, **options):
        return super().waitSignal(signal, timeout=timeout, **options)

    def waitUntil(self, callback: Callable[[], object], *, timeout: int = PATIENCE_MS) -> None:
        super().waitUntil(callback, timeout=timeout)


@pytest.fixture
def qtbot(qapp, request: pytest.FixtureRequest) -> PatientBot:
    return PatientBot(request)


@pytest.fixture(autouse=True)
def _leaves_nothing(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Fail a test that leaves a widget, a timer, a thread or a process behind."""
    leaks = Leaks()
    with monkeypatch.context() as patch:
        patch.setattr(QTimer, "start", leaks.noting(QTimer.start))
        yield
    request.node.funcargs.clear()  # pytest holds on to what the fixtures gave
    found = leaks.found()
    if _has_window(request.node):
        # a closed window leaves Qt objects in cycles; they must not wait for the thread of a later
        # job to collect them, because Qt lets only their own thread destroy them
        gc.collect()
    if found:
        pytest.fail("left over: " + "; ".join(found), pytrace=False)


def _has_window(item: pytest.Item) -> bool:
    names = getattr(item, "fixturenames", ())
    return item.get_closest_marker("window") is not None or "make_napari_viewer" in names


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> ModelInfo:
    """A model with random weights, of two classes, that segments a window in milliseconds."""
    import torch

    from rleseg_core.checkpoints import build_model, new_model, save_checkpoint
    from rleseg_core.spec import MaskSpec, WindowSpec
    from rleseg_core.tokens import preset

    torch.manual_seed(0)
    info = new_model(
        tmp_path_factory.mktemp("models") / "tiny.safetensors",
        size="test",
        scheme=preset("lac"),
        mask_spec=MaskSpec(size=(16, 16), class_names=CLASSES),
        window_spec=WindowSpec(patch=32, patch_stride=32),
        max_tokens=24,
        card={"name": "tiny"},
    )
    save_checkpoint(info, build_model(info).state_dict())
    return info


@pytest.fixture
def viewer(request: pytest.FixtureRequest) -> ViewerModel:
    """A viewer: layers, dims and camera, without a window unless the test is marked ``window``."""
    if request.node.get_closest_marker("window"):
        viewer = request.getfixturevalue("make_napari_viewer")(show=True)
        viewer.window.resize(1000, 700)  # a processor may have to draw it
        return viewer
    return ViewerModel()


@pytest.fixture
def session(
    request: pytest.FixtureRequest, viewer: ViewerModel, monkeypatch: pytest.MonkeyPatch, qtbot
) -> Iterator[Session]:
    """The session of a viewer; its jobs run in threads unless a mark asks for processes."""
    if not any(request.node.get_closest_marker(mark) for mark in ("window", "processes")):
        monkeypatch.setattr("napari_rleseg.session.preference", in_threads)
    session = Session.of(viewer)
    yield session
    session.close()


def in_threads(section: str, name: str) -> object:
    """The preferences of somebody who wants no processes."""
    return name != "separate_process" and preference(section, name)


@pytest.fixture
def cells(session: Session) -> SyntheticSequence:
    """A simulated time-lapse, which is the session's image, without a file."""
    sequence = synthesize(SyntheticConfig(n_frames=4, size=(96, 64), seed=3))
    session.image = session.viewer.add_image(sequence.images, name="cells", scale=(1, 0.5, 0.5))
    return sequence


@pytest.fixture
def panel(
    session: Session, cells: SyntheticSequence, tiny_model: ModelInfo, qtbot: QtBot
) -> SegmentWidget:
    """The panel that segments the session's image, with a model chosen."""
    widget = SegmentWidget(session)
    qtbot.addWidget(widget)
    session.model = tiny_model
    return widget
