"""What the GUI tests share: a home of their own, and a model that is small and quick."""

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from qtpy.QtCore import QTimer

from napari_rleseg.session import Session
from rleseg_core.checkpoints.file import ModelInfo
from rleseg_core.data import SyntheticConfig, SyntheticSequence, synthesize

CLASSES = ("ipsc", "dfc")


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("RLESEG_MODELS", "")


class Watch:
    """Measures how long the event loop of Qt was ever held up."""

    def __init__(self) -> None:
        self._ticks: list[float] = []
        self._timer = QTimer()
        self._timer.timeout.connect(lambda: self._ticks.append(time.monotonic()))

    def __enter__(self) -> "Watch":
        self._ticks.clear()
        self._timer.start(5)
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.stop()

    @property
    def longest(self) -> float:
        """Seconds between two ticks of a timer of 5 ms, at most."""
        assert len(self._ticks) > 20
        return max(b - a for a, b in itertools.pairwise(self._ticks))


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> ModelInfo:
    """A model with random weights, of two classes, that segments a window in milliseconds."""
    import torch

    from rleseg_core.checkpoints.build import build_model, new_model
    from rleseg_core.checkpoints.file import save_checkpoint
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
def session(make_napari_viewer: Callable, qtbot) -> Iterator[Session]:
    """The session of a viewer; its processes end with the test."""
    viewer = make_napari_viewer(show=True)
    session = Session.of(viewer)
    yield session
    session.close()
    qtbot.wait(100)


@pytest.fixture
def cells(session: Session) -> SyntheticSequence:
    """A simulated time-lapse, which is the session's image, without a file."""
    sequence = synthesize(SyntheticConfig(n_frames=4, size=(96, 64), seed=3))
    session.image = session.viewer.add_image(sequence.images, name="cells", scale=(1, 0.5, 0.5))
    return sequence
