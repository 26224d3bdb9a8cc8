"""Classes that close a block, and models for several frames from those that tell objects apart."""

from pathlib import Path

import pytest
import torch

from rleseg_core.checkpoints import as_video, build_model, find_model, new_model, read_info
from rleseg_core.model.pointer.first_hit import IMPOSSIBLE
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import Tokenizer, preset


@pytest.mark.parametrize(
    ("scheme", "n_frames", "dense"), [("iw", 1, 4), ("iw", 1, 0), ("iw-tac", 2, 4)]
)
def test_every_class_can_close_a_block(scheme: str, n_frames: int, dense: int) -> None:
    masks = MaskSpec(size=(8, 8), class_names=("a", "b", "c"), n_frames=n_frames)
    info = new_model(
        Path("none.safetensors"),
        size="test",
        scheme=preset(scheme),
        mask_spec=masks,
        window_spec=WindowSpec(patch=32, patch_stride=32, n_frames=n_frames),
        max_tokens=64,
        dense_classes=dense,
    )
    model, tokenizer = build_model(info).eval(), Tokenizer.build(preset(scheme), masks)
    assert model.config.pointer.object_starts
    vocab, (start, *others) = tokenizer.vocab, tokenizer.columns
    run = [start[1] + 9, *(offset for _, offset in others)]
    tokens = torch.tensor([[vocab.bos, *run]])
    with torch.inference_mode():
        memory = model.encode(torch.rand(1, n_frames, 3, 32, 32))
        logits = model(memory, tokens)[0]
    labels = logits[-1, vocab.label_offset : vocab.label_offset + 3]
    assert labels.max() - labels.min() < -IMPOSSIBLE / 2  # no class is ruled out


@pytest.mark.parametrize("scheme", ["tac", "iw-tac", "3d-c"])
def test_models_of_objects_become_models_of_several_frames(scheme: str) -> None:
    info = read_info(find_model("cells"))
    video = as_video(info, Path("none.safetensors"), scheme=preset(scheme), n_frames=2)
    pointer = build_model(video).config.pointer
    assert pointer.affinities == ()
    assert pointer.object_starts == (scheme == "iw-tac")
