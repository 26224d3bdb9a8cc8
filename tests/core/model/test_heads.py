"""Models with a head for each field of a run."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from rleseg_core.decoding import Sampling, generate, generate_tokens
from rleseg_core.errors import SchemeError
from rleseg_core.model import Head, ModelConfig, Pix2Seq, model_config
from rleseg_core.spec import MaskSpec
from rleseg_core.tokens import Tokenizer, preset
from rleseg_core.training.loss import heads_loss, token_loss

from .conftest import tiny_config
from .golden import Golden, tiny_reference

SIZES = {"x": 45, "y": 45, "l": 37, "c": 9}
OWN = tuple(
    Head(offset=offset, size=size, prompt=k)
    for k, (offset, size) in enumerate(zip((0, 45, 90, 127), SIZES.values(), strict=True), 1)
)
SHARED = tuple(
    Head(offset=offset, size=size, prompt=k)
    for k, (offset, size) in enumerate([(0, 45), (0, 45), (0, 45), (45, 9)], 1)
)
FILES = {"mhd_tiny_shared": (OWN, 136), "mhd_tiny_sharedxyl": (SHARED, 54)}


@pytest.mark.parametrize("name", list(FILES))
def test_the_published_model_agrees(shared_dir: Path, name: str) -> None:
    golden = Golden(shared_dir, name)
    heads, vocab_size = FILES[name]
    model = golden.model(tiny_reference(vocab_size=vocab_size, heads=heads))
    tokens = torch.stack([golden[f"in:seq_{head}"] for head in SIZES], 1)
    with torch.inference_mode():
        memory = model.encode(golden.images)
        golden.check(memory.context, "encoded", 5e-4)
        logits = model(memory, tokens)
        cache, written, steps = model.new_cache(memory, 32), [], []
        tokens = model.first_tokens(1, 2, torch.device("cpu"))
        assert tokens.tolist() == [[1, 2, 3, 4]] * 2
        for _ in range(32):
            steps.append(model.step(tokens, cache))
            tokens = steps[-1].argmax(-1)
            written.append(tokens)
    for k, (head, size) in enumerate(SIZES.items()):
        size = heads[k].size
        golden.check(logits[:, k, :, :size], f"logits_{head}", 3e-4)
        found = torch.stack(written, 2)[:, k]
        assert torch.equal(found, golden[f"out:greedy_tokens_{head}"])
        golden.check(torch.stack(steps, 2)[:, k, :, :size], f"greedy_logits_{head}", 3e-4)


@pytest.fixture
def tokenizer() -> Tokenizer:
    return Tokenizer.build(preset("multihead"), MaskSpec(size=(6, 9), class_names=("a", "b")))


def heads_config(tokenizer: Tokenizer, **changes: object) -> ModelConfig:
    sizes = [3 + field.n_values for field in tokenizer.vocab.fields]
    offsets = [sum(sizes[:k]) for k in range(len(sizes))]
    heads = tuple(
        Head(offset=offset, size=size, prompt=prompt)
        for offset, size, prompt in zip(offsets, sizes, tokenizer.vocab.prompts, strict=True)
    )
    settings: dict[str, object] = {"vocab_size": sum(sizes), "heads": heads, "starts": "table"}
    return tiny_config(**(settings | {"grid": None, "ordinal_ranges": ()} | changes))


@pytest.fixture
def model(tokenizer: Tokenizer) -> Pix2Seq:
    torch.manual_seed(0)
    model = Pix2Seq(heads_config(tokenizer)).eval()
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.mul_(3 if parameter.ndim > 1 else 1)
    return model


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(top_p=0.9, seed=0)])
def test_what_is_written_keeps_to_the_grammar(
    model: Pix2Seq, tokenizer: Tokenizer, images: Tensor, sampling: Sampling
) -> None:
    tables = tokenizer.grammar.on("cpu")
    with torch.inference_mode():
        memory = model.encode(images)
        written = generate_tokens(model, memory, tables, max_tokens=24, sampling=sampling)
    assert len(written) == 3
    for tokens in written:
        assert len(tokens) == 4
        assert tokens.shape[1] <= 24
        if (tokens[:, -1] == tables.eos).all():
            tokenizer.decode(tokens, strict=True)
        else:
            assert tokens.shape[1] == 24
            tokenizer.decode(tokens)


def test_windows_alone_are_as_in_a_batch(
    model: Pix2Seq, tokenizer: Tokenizer, images: Tensor
) -> None:
    tables = tokenizer.grammar.on("cpu")
    with torch.inference_mode():
        memory = model.encode(images)
        together = generate_tokens(model, memory, tables, max_tokens=24)
        for row in range(3):
            own = memory.select(torch.tensor([row]))
            alone = generate_tokens(model, own, tables, max_tokens=24)[0]
            np.testing.assert_array_equal(alone, together[row])
            steps = generate(model, own, tables, max_tokens=24)
            live = np.stack([step.tokens[0].numpy() for step in steps], 1)
            np.testing.assert_array_equal(live, together[row])


def test_steps_give_the_logits_of_the_whole(model: Pix2Seq, images: Tensor) -> None:
    most = torch.tensor([head.size for head in model.config.tokens.heads])[:, None]
    tokens = torch.randint(0, 1000, (3, 4, 12)) % most
    with torch.inference_mode():
        memory = model.encode(images)
        whole = model(memory, tokens)
        cache = model.new_cache(memory, 12)
        steps = torch.stack([model.step(tokens[..., k], cache) for k in range(12)], dim=2)
    assert whole.shape == (3, 4, 12, 12)
    torch.testing.assert_close(steps, whole, atol=5e-5, rtol=1e-5)


def test_selected_windows_keep_all_their_heads(model: Pix2Seq, images: Tensor) -> None:
    rows = torch.tensor([2, 0])
    tokens = torch.ones(3, 4, dtype=torch.int64)
    with torch.inference_mode():
        cache = model.new_cache(model.encode(images), 12)
        model.step(tokens, cache)
        fewer = cache.select(rows)
        found = model.step(tokens[rows], fewer)
        torch.testing.assert_close(found, model.step(tokens, cache)[rows])


def test_the_loss_is_the_mean_of_the_heads(model: Pix2Seq, images: Tensor) -> None:
    heads = model.config.tokens.heads
    most = torch.tensor([head.size for head in heads])[:, None]
    tokens = torch.randint(0, 1000, (3, 4, 12)) % most
    logits = model(model.encode(images), tokens)
    weights = torch.rand(4, logits.shape[-1])
    settings = {"label_smoothing": 0.1}
    expected = [
        token_loss(logits[:, k, :, : head.size], tokens[:, k], weights[k], **settings)
        for k, head in enumerate(heads)
    ]
    found = heads_loss(logits, tokens, weights, [head.size for head in heads], **settings)
    torch.testing.assert_close(found, torch.stack(expected).mean())
    found.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    shares = heads_loss(
        logits, tokens, weights, [head.size for head in heads], shares=(1, 0, 0, 3), **settings
    )
    torch.testing.assert_close(shares, (expected[0] + 3 * expected[3]) / 4)


def test_heads_outside_the_table_are_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(SchemeError, match=r"head takes the ids .* outside the vocabulary of 20"):
        heads_config(tokenizer, vocab_size=20)


def test_a_published_model_has_as_many_parameters() -> None:
    sizes = (90, 90, 90, 10)
    heads = tuple(
        Head(offset=sum(sizes[:k]), size=size, prompt=k + 1) for k, size in enumerate(sizes)
    )
    config = model_config("paper", vocab_size=280, max_tokens=768, image_size=640, heads=heads)
    with torch.device("meta"):
        assert Pix2Seq(config).n_parameters == 35_954_264


def test_the_settings_of_heads_are_plain_values(tokenizer: Tokenizer) -> None:
    config = heads_config(tokenizer)
    assert ModelConfig.from_json(config.to_json()) == config
