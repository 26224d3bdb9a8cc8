"""Drafts of objects that are read once: what the model would leave out is left out."""

import numpy as np
import pytest
import torch

from rleseg_core.checkpoints.build import length_ranges
from rleseg_core.decoding import check_objects, checking
from rleseg_core.decoding.sampling import choose_or_keep
from rleseg_core.model import Pix2Seq, model_config
from rleseg_core.spec import MaskSpec
from rleseg_core.tokens import Tokenizer, preset

ROOM = 60


def drafted_mask(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Classes and ids of up to six small squares."""
    ids = np.zeros((1, 10, 12), np.int32)
    for number in range(rng.integers(0, 7)):
        row, col = 5 * (number // 3), 4 * (number % 3)
        ids[0, row : row + rng.integers(1, 4), col : col + rng.integers(1, 4)] = number + 1
    return (ids > 0) * (1 + ids % 2).astype(np.uint8), ids


@pytest.fixture(params=[("flat", "C"), ("coords", "C"), ("coords", "F")])
def read(request):
    """A tokenizer, a random model of objects, nine windows, and a draft of each."""
    spec = MaskSpec(size=(10, 12), class_names=("a", "b"))
    start, order = request.param
    tokenizer = Tokenizer.build(preset("iw", start=start, order=order), spec)
    torch.manual_seed(5)
    config = model_config(
        "test", vocab_size=tokenizer.vocab.size, max_tokens=ROOM, image_size=32,
        grid=tokenizer.start_grid, ordinal_ranges=length_ranges(tokenizer), starts="first_hit",
    )  # fmt: skip
    model = Pix2Seq(config).eval()
    rng = np.random.default_rng(1)
    with torch.inference_mode():
        memory = model.encode(torch.rand(9, 1, 3, 32, 32))
    return tokenizer, model, memory, [tokenizer.encode(*drafted_mask(rng)) for _ in range(9)]


def checked(read, leniency, sizes=(9,)):
    """What is left of the drafts, by window, in batches of some sizes."""
    tokenizer, model, memory, drafts = read
    parts, first = [], 0
    for n in sizes:
        parts.append((memory.select(slice(first, first + n)), drafts[first : first + n]))
        first += n
    first_id = tokenizer.vocab.label_offset
    found = check_objects(
        model, parts, tokenizer.grammar.on("cpu"),
        closing=range(first_id, first_id + 2), leniency=leniency,
    )  # fmt: skip
    return list(found)


def teacher(read, window):
    """Log-probabilities (L, V) of the tokens that may follow, from the whole draft at once."""
    tokenizer, model, memory, drafts = read
    tables, tokens = tokenizer.grammar.on("cpu"), torch.from_numpy(drafts[window])
    before = torch.cat((torch.tensor([tables.bos]), tokens[:-1]))
    states = [tables.start(1)]
    for token in before[1:]:
        states.append(tables.advance(states[-1], token[None]))
    with torch.inference_mode():
        logits = model(memory.select(torch.tensor([window])), before[None])[0]
    return logits.masked_fill(~tables.allowed(torch.cat(states)), -torch.inf).log_softmax(-1)


def blocks(tokenizer, tokens):
    """Positions of the tokens of each block, and at last that of the end."""
    first = tokenizer.vocab.label_offset
    return np.split(np.arange(len(tokens)), (tokens >= first).nonzero()[0] + 1)


def test_with_much_leniency_drafts_stay_as_they_are(read) -> None:
    for window, found in enumerate(checked(read, 1e6)):
        draft = read[3][window]
        np.testing.assert_array_equal(found.tokens, draft)
        expected = teacher(read, window).gather(1, torch.from_numpy(draft)[:, None])[:, 0]
        np.testing.assert_allclose(found.logprobs, expected, atol=1e-4)
        assert found.n_passes == 1


@pytest.mark.parametrize("leniency", [0.0, 1.0, 3.0])
def test_objects_are_left_out_where_the_model_goes_on_without_them(read, leniency) -> None:
    tokenizer, model, _, drafts = read
    scheme, eos = tokenizer.scheme, tokenizer.vocab.eos
    n_left_out = 0
    for window, found in enumerate(checked(read, leniency)):
        sure, kept = teacher(read, window), []
        for at in blocks(tokenizer, drafts[window]):
            tokens = torch.from_numpy(drafts[window][at[:2]])
            chosen = choose_or_keep(sure[at[:2]], tokens, leniency, model.stops)[0]
            leaves = chosen[0] == eos or (scheme.order == "C" and chosen[0] > tokens[0])
            if scheme.start == "coords" and chosen[0] == tokens[0] and len(at) > 1:
                leaves = chosen[1] > tokens[1]
            if leaves and tokens[0] != eos:
                n_left_out += 1
            else:
                kept.append(at)
        np.testing.assert_array_equal(found.tokens, drafts[window][np.concatenate(kept)])
        assert found.logprobs.shape == found.tokens.shape
        assert tokenizer.decode(found.tokens, strict=True).n_skipped == 0
    assert (n_left_out > 0) == (leniency < 3)


@pytest.mark.parametrize("padded", [False, True])
def test_batches_and_passes_do_not_matter(read, monkeypatch, padded) -> None:
    together = checked(read, 0.5)
    vocab_size = read[0].vocab.size
    monkeypatch.setattr(checking, "pads", lambda device: padded)
    for most, sizes in ((512, (9,)), (1, (4, 5)), (90, (1, 0, 8))):
        monkeypatch.setattr(checking, "MOST_INPUTS", most)
        monkeypatch.setattr(checking, "MOST_LOGITS", most * vocab_size)
        found = checked(read, 0.5, sizes)
        assert [one.index for one in found] == list(range(9))
        for one, other in zip(found, together, strict=True):
            np.testing.assert_array_equal(one.tokens, other.tokens)
            np.testing.assert_allclose(one.logprobs, other.logprobs, atol=1e-4)
