"""The jobs of the animation, for schemes with blocks and with a head for each field."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_rleseg import tracing
from rleseg_core.checkpoints import ModelInfo
from rleseg_core.data import Window
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import (
    BlockClosed,
    MaskEnded,
    PublishedLayout,
    RunPainted,
    Tokenizer,
    preset,
)

CLASSES = ("ipsc", "dfc")
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
    spec = MaskSpec(size=(16, 16), class_names=CLASSES, n_frames=2)
    return Tokenizer.build(preset(name), spec)


def header_of(tokenizer, **layout):
    return ModelInfo(
        path=Path("model.safetensors"),
        model={},
        scheme=tokenizer.scheme.to_json(),
        mask_spec=tokenizer.spec,
        window_spec=WINDOWS,
        step=0,
        layout=layout,
    )


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
        model=header_of(tokenizer),
        tokens=tokenizer.with_end(joined(events)),
    )
    run = tracing.export(tmp_path / "images.tif", sequence, tmp_path / "a.gif", fps=100)
    assert len(list(run)) == n_runs + 2
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.n_frames > 2


def test_published_token_ids_become_the_same_animation(labels, tmp_path):
    tifffile.imwrite(tmp_path / "images.tif", labels * 100)
    compact = Tokenizer.build(preset("multiclass"), MaskSpec(size=(16, 16), class_names=CLASSES))
    layout = PublishedLayout(
        starts_offset=300, lengths_offset=200, class_offset=100, vocab_size=600
    )
    published = Tokenizer.build(compact.scheme, compact.spec, layout=layout)
    one, windows = Window((0, 1), (0, 32), (0, 32)), WindowSpec(patch=32, patch_stride=32)
    headers = {compact: header_of(compact), published: header_of(published, **asdict(layout))}
    files = []
    for tokenizer, header in headers.items():
        sequence = tracing.WindowTokens(
            window=one,
            window_spec=windows,
            model=header,
            tokens=tokenizer.encode(labels[:1, 1::2, 1::2]),
        )
        files.append(tmp_path / f"{len(files)}.gif")
        list(tracing.export(tmp_path / "images.tif", sequence, files[-1]))
    assert files[0].read_bytes() == files[1].read_bytes()
