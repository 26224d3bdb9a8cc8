"""The jobs of the animation, for schemes with blocks and with a head for each field."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_rleseg import tracing
from rleseg_core.data import Window
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import BlockClosed, MaskEnded, RunPainted, Tokenizer, preset

NAMES = ("lac", "multihead", "bac", "diff", "cw", "iw")
WINDOW = Window((0, 2), (0, 32), (0, 32))
WINDOWS = WindowSpec(patch=32, patch_stride=32, n_frames=2)


@pytest.fixture
def labels():
    """Class ids (T, Y, X): two pieces of class 1 that move by two pixels, and one of class 2."""
    labels = np.zeros((2, 32, 32), np.uint8)
    for frame in range(2):
        labels[frame, 2:10, 2 + 2 * frame : 12 + 2 * frame] = 1
        labels[frame, 20:30, 4:10] = 1
        labels[frame, 14:24, 18:28] = 2
    return labels


def tokenizer_of(name):
    spec = MaskSpec(size=(16, 16), class_names=("ipsc", "dfc"), n_frames=2)
    return Tokenizer.build(preset(name), spec)


def joined(events):
    return [token for event in events[:-1] for token in event.tokens]


@pytest.mark.parametrize("name", NAMES)
def test_masks_are_traced_with_every_scheme(name, labels):
    tokenizer = tokenizer_of(name)
    events = list(tracing.encode(labels, WINDOW, WINDOWS, tokenizer))
    assert isinstance(events[-1], MaskEnded)
    painted = np.zeros(tokenizer.spec.shape, np.uint8)
    for event in events:
        tokenizer.paint(painted, event)
    np.testing.assert_array_equal(painted, labels[:, 1::2, 1::2])
    decoded = tokenizer.decode(tokenizer.with_end(joined(events)), strict=True)
    np.testing.assert_array_equal(decoded.classes, painted)


def test_connected_pieces_are_instances_through_all_frames(labels):
    events = list(tracing.encode(labels, WINDOW, WINDOWS, tokenizer_of("iw")))
    blocks = [event for event in events if isinstance(event, BlockClosed)]
    assert [block.label for block in blocks] == [1, 1, 2]


@pytest.mark.parametrize("name", NAMES)
def test_traced_tokens_become_an_animation(name, labels, tmp_path):
    tokenizer = tokenizer_of(name)
    events = list(tracing.encode(labels, WINDOW, WINDOWS, tokenizer))
    n_runs = sum(isinstance(event, RunPainted) for event in events)
    tifffile.imwrite(tmp_path / "images.tif", labels * 100)
    sequence = tracing.WindowTokens(
        window=WINDOW,
        window_spec=WINDOWS,
        scheme=tokenizer.scheme,
        mask_spec=tokenizer.spec,
        tokens=tokenizer.with_end(joined(events)),
    )
    run = tracing.export(tmp_path / "images.tif", sequence, tmp_path / "a.gif", fps=100)
    assert len(list(run)) == n_runs + 2
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.n_frames > 2
