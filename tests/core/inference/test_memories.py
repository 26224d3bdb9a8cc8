"""Windows that a frame's heads and the decoder look at are encoded once, while there is room."""

import numpy as np
import pytest
import torch

from rleseg_core.checkpoints import build_model, new_model
from rleseg_core.data import ImageStack, WindowReader, plan_windows
from rleseg_core.decoding import Sampling
from rleseg_core.inference import PredictOptions, Segmenter
from rleseg_core.inference import memories as module
from rleseg_core.inference.memories import WindowMemories
from rleseg_core.reports import product_of
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import preset


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    info = new_model(
        tmp_path_factory.mktemp("model") / "tiny.safetensors",
        size="test",
        scheme=preset("iw"),
        mask_spec=MaskSpec(size=(16, 16), class_names=("cell",)),
        window_spec=WindowSpec(patch=32, patch_stride=24),
        max_tokens=64,
    )
    torch.manual_seed(3)
    model = build_model(info)
    with torch.no_grad():  # the heads see something
        model.dense.bias.zero_()
        model.affinity.bias.fill_(3.0)
    return Segmenter(info, model, "cpu")


@pytest.fixture(scope="module")
def stack():
    return ImageStack.from_array(np.random.default_rng(0).integers(0, 255, (2, 70, 60), np.uint8))


def encoded(segmenter, monkeypatch):
    """Sizes of the batches that are encoded from now on."""
    encode, sizes = segmenter.model.encode, []

    def counted(images):
        sizes.append(len(images))
        return encode(images)

    monkeypatch.setattr(segmenter.model, "encode", counted)
    return sizes


@pytest.mark.parametrize("draft", ["auto", "none"])
def test_each_window_is_encoded_once(segmenter, stack, monkeypatch, draft):
    sizes = encoded(segmenter, monkeypatch)
    options = PredictOptions(draft=draft, leniency=50, batch_size=4)
    once = product_of(segmenter.segment(stack, options))
    assert draft == "none" or once.objects.any()
    n_windows = len(plan_windows(stack.shape, segmenter.info.window_spec))
    assert sum(sizes) == n_windows
    monkeypatch.setattr("rleseg_core.inference.segmenter.KEPT_BYTES", 0)
    twice = product_of(segmenter.segment(stack, options))
    assert sum(sizes) == 3 * n_windows
    np.testing.assert_array_equal(once.objects, twice.objects)


def test_confidences_of_previews_are_not_known(segmenter, stack):
    seen = product_of(segmenter.segment(stack, preview=True)).table
    assert len(seen)
    assert np.isnan(seen.confidence).all()


def test_previews_show_more_than_the_model_could_write(segmenter, stack):
    ids = np.zeros((1, 16, 16), np.int32)
    ids[:, ::2, ::2] = 1 + np.arange(64).reshape(8, 8)  # three tokens each
    window = plan_windows(stack.shape, segmenter.info.window_spec)[0]

    def guess(_):
        return (ids > 0).astype(np.uint8), ids

    (shown,) = segmenter._source.preview([[window]], lambda _: None, guess)
    found = segmenter.tokenizer.decode(shown.tokens).instances
    np.testing.assert_array_equal(found > 0, ids > 0)
    assert len(np.unique(found)) == 65


def test_what_is_kept_stays_within_its_capacity(segmenter, stack, monkeypatch):
    spec = segmenter.info.window_spec
    windows = plan_windows((1, *stack.shape[1:]), spec)
    encode = segmenter._source.encode
    with torch.inference_mode():
        reader = WindowReader(stack, spec)
        one = module._size(WindowMemories(encode, reader).look(windows[:1]))
        memories = WindowMemories(encode, reader, capacity=3 * one)
        looked_at = memories.look(windows[:4])
        sizes = encoded(segmenter, monkeypatch)
        assert torch.equal(memories.take(windows[:2]).context, looked_at.context[:2])
        assert sizes == []
        mixed = memories.take(windows[2:5])  # the first of them is kept
        assert sizes == [2]
        assert torch.equal(mixed.context[0], looked_at.context[2])
        torch.testing.assert_close(mixed.context[1], looked_at.context[3])
        memories.look(windows[:4])  # there is room again
        memories.look(windows[:4])  # and what is looked at twice takes it once
        memories.take(windows[:3])
        memories.look(windows[:4])
        memories.take(windows[:3])
        assert sizes == [2, 4, 4, 4]
        memories.look(windows[:4])
        memories.forget()
        assert len(memories.take(windows[:2])) == 2
        assert sizes == [2, 4, 4, 4, 4, 2]


def test_what_is_kept_of_a_window_holds_no_other(segmenter, stack):
    spec = segmenter.info.window_spec
    windows = plan_windows((1, *stack.shape[1:]), spec)[:4]
    memories = WindowMemories(segmenter._source.encode, WindowReader(stack, spec))
    with torch.inference_mode():
        memories.look(windows)
        kept = memories.take(windows[1:2])
    assert kept.context.untyped_storage().nbytes() == kept.context.nbytes


@pytest.mark.parametrize("max_tokens", [64, 4])
def test_objects_that_the_model_cannot_read_are_kept(max_tokens, stack, tmp_path):
    info = new_model(
        tmp_path / "tiny.safetensors",
        size="test",
        scheme=preset("iw"),
        mask_spec=MaskSpec(size=(16, 16), class_names=("cell",)),
        window_spec=WindowSpec(patch=32, patch_stride=24),
        max_tokens=max_tokens,
    )
    segmenter = Segmenter(info, build_model(info), "cpu")
    n_readable = (max_tokens - 1) // 3  # and the end
    ids = np.zeros((1, 16, 16), np.int32)
    ids[:, ::2, ::2] = 1 + np.arange(64).reshape(8, 8)  # three tokens each
    windows = plan_windows(stack.shape, segmenter.info.window_spec)[:3]
    source = segmenter._source
    (*_, found) = source.decode(
        [windows[:2], windows[2:]],
        lambda some: source.encode(torch.rand(len(some), 1, 3, 32, 32)),
        4,
        Sampling(leniency=1000.0),
        "dense",
        lambda window: ((ids > 0).astype(np.uint8), ids),
    )
    decoded = segmenter.tokenizer.decode(found.tokens)
    np.testing.assert_array_equal(decoded.instances, ids)
    assert np.isfinite(found.logprobs[: 3 * n_readable]).all()
    assert np.isnan(found.logprobs[3 * n_readable : -1]).all()
    assert found.tokens.shape == found.logprobs.shape == (3 * 64 + 1,)
