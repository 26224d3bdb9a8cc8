from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from rleseg_core.checkpoints import (
    ModelInfo,
    build_model,
    build_tokenizer,
    list_models,
    read_info,
    save_checkpoint,
    with_classes,
)
from rleseg_core.data import ImageStack
from rleseg_core.decoding import generate_tokens
from rleseg_core.errors import CheckpointError
from rleseg_core.inference import Segmenter
from rleseg_core.model import model_config
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import PublishedLayout, preset

LAYOUT = PublishedLayout(starts_offset=300, lengths_offset=200, class_offset=100, vocab_size=400)


@pytest.fixture
def info(tmp_path):
    return ModelInfo(
        path=tmp_path / "published.safetensors",
        model=model_config("test", vocab_size=400, max_tokens=48, image_size=32).to_json(),
        scheme=preset("multiclass").to_json(),
        mask_spec=MaskSpec(size=(8, 8), class_names=("a", "b")),
        window_spec=WindowSpec(patch=32, patch_stride=32),
        step=7,
        layout=asdict(LAYOUT),
    )


def test_a_model_file_says_its_token_ids(info):
    save_checkpoint(info, build_model(info).state_dict())
    assert read_info(info.path).layout == info.layout
    vocab = build_tokenizer(info).vocab
    assert (vocab.pad, vocab.eos, vocab.prompts) == (0, 0, (21,))
    assert vocab.segment("start").offset == 301


def test_files_without_a_layout_have_compact_ids(info):
    compact = build_tokenizer(replace(info, layout={})).vocab
    assert (compact.pad, compact.bos, compact.eos) == (0, 1, 2)


def test_a_layout_of_a_newer_version_is_told(info):
    with pytest.raises(CheckpointError, match=r"no setting 'layout\.mirrored'; a newer"):
        build_tokenizer(replace(info, layout={"mirrored": True}))
    with pytest.raises(CheckpointError, match="vocab_size=300 is too small"):
        build_tokenizer(replace(info, layout=asdict(replace(LAYOUT, vocab_size=300))))


def test_other_classes_have_compact_ids(info):
    other = with_classes(info, ("a", "b", "c"))
    assert other.layout == {}
    assert (
        build_tokenizer(other).vocab.size == other.model["tokens"]["vocab_size"] == 3 + 64 + 8 + 3
    )


@pytest.mark.parametrize("bias", [0.0, 3.0])
def test_sequences_end_where_the_end_is_also_padding(info, bias):
    torch.manual_seed(0)
    model, tokenizer = build_model(info).eval(), build_tokenizer(info)
    with torch.no_grad():
        model.decoder.tokens.bias[tokenizer.vocab.eos] += bias
        memory = model.encode(torch.rand(6, 1, 3, 32, 32))
    tables = tokenizer.grammar.on("cpu")
    sequences = generate_tokens(model, memory, tables, max_tokens=48)
    for tokens in sequences:
        ends = np.flatnonzero(tokens == 0).tolist()
        assert ends == ([len(tokens) - 1] if len(tokens) < 48 else ends[:1])
        if ends:
            tokenizer.decode(tokens, strict=True)
    assert bias == 0 or any(len(tokens) < 48 for tokens in sequences)


def test_stacks_are_segmented_with_published_ids(info, monkeypatch):
    torch.manual_seed(0)
    save_checkpoint(info, build_model(info).state_dict())
    segmenter = Segmenter.from_checkpoint(info.path, "cpu")
    images = np.random.default_rng(0).integers(0, 255, (2, 40, 40), np.uint8)
    stack = ImageStack.from_array(images)
    results = list(segmenter.predict(stack))
    assert results[-1].n_done == results[-1].n_windows == 8
    events = list(segmenter.trace(stack, results[0].window))
    assert events[-1].n_tokens == len(results[0].tokens)
    monkeypatch.setenv("RLESEG_MODELS", str(info.path.parent))
    assert info.path in [found.path for found in list_models()]
