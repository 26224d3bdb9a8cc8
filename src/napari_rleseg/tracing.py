"""The jobs of the animation: the tokens of one window, and its film (see `jobs`).

Knows neither Qt nor napari; imports torch only where a model writes the tokens.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from rleseg_core.data import ImageStack, LabelReader, Window, WindowReader, subsample_labels
from rleseg_core.data.arrays import ArrayLike
from rleseg_core.drawing.animation import FrameWritten, write_animation
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import Event, Scheme, Tokenizer


def trace(images: Path, model: Path, device: str, window: Window) -> Iterator[Event]:
    """What a model writes for a window of a stack, event by event."""
    from napari_rleseg.tasks import segmenter

    yield from segmenter(model, device).trace(ImageStack.open(images), window)


def encode(
    labels: ArrayLike, window: Window, window_spec: WindowSpec, tokenizer: Tokenizer
) -> Generator[Event, None, None]:
    """What a model would have to write for a window to get these masks.

    Parameters
    ----------
    labels : (T, Y, X) integer
        Class ids of the stack.
    window : Window
        Of the stack.
    window_spec : WindowSpec
        With which it was planned.
    tokenizer : Tokenizer
        Of the model.
    """
    patches = LabelReader(labels, window_spec).read(window)
    tokens = tokenizer.encode(subsample_labels(patches, tokenizer.spec.size))
    yield from tokenizer.events(tokens.tolist())


def export(
    images: Path,
    window: Window,
    window_spec: WindowSpec,
    scheme: Scheme,
    mask_spec: MaskSpec,
    tokens: Sequence[int],
    path: Path,
    *,
    fps: int = 20,
    max_seconds: float = 20.0,
) -> Generator[FrameWritten, None, Path]:
    """Write the film of a window's tokens as GIF or MP4."""
    patches = WindowReader(ImageStack.open(images), window_spec).read(window)  # (N, 3, P, P)
    tokenizer = Tokenizer.build(scheme, mask_spec)
    film = write_animation(
        patches.transpose(0, 2, 3, 1),
        tokenizer,
        np.array(tokens, np.int64),
        path,
        fps=fps,
        max_seconds=max_seconds,
    )
    with closing(film):
        yield from film
    return path
