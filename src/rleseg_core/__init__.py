"""rleseg_core: segmentation masks as run-length tokens, and a Pix2Seq model that writes them.

The science of napari-rleseg, without a GUI: tokenizers (`rleseg_core.tokens`), stacks and windows
(`rleseg_core.data`), the model (`rleseg_core.model`), its training (`rleseg_core.training`) and its
use on big time-lapse stacks (`rleseg_core.inference`).

Symbols used everywhere: N frames in a temporal window, S mask side, P patch side, I resized image
side, C foreground classes, V vocabulary, L tokens, K tokens per run, R runs, B batch. Arrays are
(T, Y, X[, C]).

Notes
-----
After "Tokenizing Semantic Segmentation with RLE". Importing this package imports neither torch nor
napari.
"""

from rleseg_core.errors import (
    BudgetError,
    CheckpointError,
    DataError,
    RlesegError,
    SchemeError,
    TrainingError,
)
from rleseg_core.reports import product_of
from rleseg_core.spec import MaskSpec, WindowSpec

__all__ = [
    "BudgetError",
    "CheckpointError",
    "DataError",
    "MaskSpec",
    "RlesegError",
    "SchemeError",
    "TrainingError",
    "WindowSpec",
    "product_of",
]
