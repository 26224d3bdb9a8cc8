"""The model that a process of ours keeps loaded (see `tasks`).

Knows neither Qt nor napari; imports torch only when a model is loaded.
"""

import importlib
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rleseg_core.inference import Segmenter

_loaded: dict[tuple[Path, float, str], "Segmenter"] = {}


def segmenter(model: Path, device: str = "auto") -> "Segmenter":
    """A model ready to segment, kept loaded in this process until another is asked for."""
    from rleseg_core.inference import Segmenter

    key = (Path(model), Path(model).stat().st_mtime if Path(model).exists() else 0.0, device)
    if key not in _loaded:
        _loaded.clear()
        _loaded[key] = Segmenter.from_checkpoint(model, device)
    return _loaded[key]


def load(model: Path, device: str = "auto") -> Generator[str, None, None]:
    """Job that loads a model, so that the next one finds it loaded."""
    importlib.import_module("rleseg_core.inference")
    yield "loading"
    segmenter(model, device)
