"""Jobs of the animation: the tokens of one window, and their export as a file (see `jobs`).

Knows neither Qt nor napari; imports torch only where a model writes the tokens.
"""

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rleseg_core.checkpoints import ModelInfo, build_tokenizer
from rleseg_core.data import ImageStack, LabelReader, Window, WindowReader, subsample_labels
from rleseg_core.data.arrays import ArrayLike
from rleseg_core.data.formats.registry import open_source
from rleseg_core.data.formats.sources import source_files
from rleseg_core.drawing.animation import FrameWritten, animation_output, write_animation
from rleseg_core.evaluation.instances import components
from rleseg_core.outputs import check_outputs
from rleseg_core.spec import WindowSpec
from rleseg_core.tokens import Event, Tokenizer


@dataclass(frozen=True, kw_only=True, eq=False)
class WindowTokens:
    """The tokens of one window, and what is needed to draw them.

    Parameters
    ----------
    window : Window
        Window of the stack, in pixels of the resized frames.
    window_spec : WindowSpec
        With which the window was planned.
    model : ModelInfo
        Header of the model, which says how tokens are read.
    tokens : (L,) integer, or (K, L) with a head for each field
        Token ids, ending in eos.
    """

    window: Window
    window_spec: WindowSpec
    model: ModelInfo
    tokens: np.ndarray


def trace(
    images: Path, model: Path, device: str, window: Window, window_spec: WindowSpec | None = None
) -> Iterator[Event]:
    """Events that a model writes for a window of a stack, as soon as they are decoded.

    Parameters
    ----------
    images : Path
        The stack.
    model : Path
        Model file.
    device : str
        'auto', 'cpu', 'cuda' or 'mps'.
    window : Window
        Window of the stack, planned with `window_spec`.
    window_spec : WindowSpec, optional
        With the size of the frames and how grey values are seen; that of the model by default.
    """
    from napari_rleseg.loaded import segmenter

    stack = ImageStack.from_source(open_source(images))
    yield from segmenter(model, device).trace(stack, window, window_spec=window_spec)


def encode(
    labels: ArrayLike, window: Window, window_spec: WindowSpec, tokenizer: Tokenizer
) -> Generator[Event, None, None]:
    """Events of the tokens that encode the masks of a window.

    Where the model writes instances, each connected piece of a class is one; in a window of
    several frames, a piece goes on in the next frame where the two overlap.

    Parameters
    ----------
    labels : (T, Y, X) integer
        Class ids of the stack.
    window : Window
        Window of the stack, in pixels of the resized frames.
    window_spec : WindowSpec
        With which the window was planned.
    tokenizer : Tokenizer
        The model's.
    """
    patches = LabelReader(labels, window_spec).read(window)
    size, instances = tokenizer.spec.size, None
    if tokenizer.scheme.blocks == "instance":
        instances = subsample_labels(components(patches), size)
    yield from tokenizer.events(tokenizer.encode(subsample_labels(patches, size), instances))


def export(
    images: Path,
    sequence: WindowTokens,
    path: Path,
    *,
    fps: int = 20,
    max_seconds: float = 20.0,
    overwrite: bool = False,
) -> Generator[FrameWritten, None, Path]:
    """Write the animation of a window's tokens as GIF or MP4; returns `path`."""
    check_outputs([animation_output(path)], source_files(images), overwrite=overwrite)
    reader = WindowReader(ImageStack.from_source(open_source(images)), sequence.window_spec)
    patches = reader.read(sequence.window)  # (N, 3, P, P)
    animation = write_animation(
        patches.transpose(0, 2, 3, 1),
        build_tokenizer(sequence.model),
        sequence.tokens,
        path,
        fps=fps,
        max_seconds=max_seconds,
        overwrite=overwrite,
    )
    with closing(animation):
        yield from animation
    return path
