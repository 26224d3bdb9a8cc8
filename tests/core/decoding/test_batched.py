"""Cached, uncached, batched, continuous and speculative writing give the same sequences."""

import itertools

import numpy as np
import pytest
import torch

from rleseg_core.decoding import Sampling, decode_sequences, generate_tokens, slots
from rleseg_core.errors import SchemeError
from rleseg_core.model import Pix2Seq, model_config
from rleseg_core.spec import MaskSpec
from rleseg_core.tokens import Draft, Tokenizer, preset

ROOM = 40
SCHEMES = [
    ("lac", "flat", 1), ("binary", "coords", 1), ("multiclass", "flat", 1), ("bac", None, 1),
    ("bac-lac", None, 1), ("diff", "flat", 1), ("diff-rows", "coords", 1), ("cw", "flat", 1),
    ("iw", "coords", 1), ("text4seg", None, 1), ("tac", "flat", 2), ("cw-tac", "flat", 2),
    ("3d-f", "flat", 2),
]  # fmt: skip


def make_tokenizer(name, start, n_frames):
    changes = {} if start is None else {"start": start}
    names = ("a",) if name == "binary" else ("a", "b")
    spec = MaskSpec(size=(10, 12), class_names=names, n_frames=n_frames)
    return Tokenizer.build(preset(name, **changes), spec)


def make_mask(tokenizer, shift=0):
    mask = np.zeros(tokenizer.spec.shape, np.uint8)
    mask[:, 1 + shift : 5 + shift, 1:5] = 1
    mask[:, 6:8, 3 + shift : 9 + shift] = tokenizer.spec.n_classes
    return mask


@pytest.fixture(params=SCHEMES, ids=lambda scheme: f"{scheme[0]}-{scheme[1]}")
def written(request):
    """A tokenizer, a random model for it, five windows, and what it writes of them, uncached."""
    tokenizer = make_tokenizer(*request.param)
    torch.manual_seed(7)
    config = model_config("test", vocab_size=tokenizer.vocab.size, max_tokens=ROOM, image_size=32)
    model = Pix2Seq(config).eval()
    with torch.inference_mode():
        model.decoder.tokens.bias[tokenizer.vocab.eos] += 0.03  # lengths differ
        memory = model.encode(torch.rand(5, 1, 3, 32, 32) * torch.rand(5, 1, 1, 1, 1))
        sequences = [uncached(model, memory.select(torch.tensor([k])), tokenizer) for k in range(5)]
    return tokenizer, model, memory, sequences


def uncached(model, memory, tokenizer):
    """Greedy tokens by reading the whole sequence anew at each step."""
    tables = tokenizer.grammar.on("cpu")
    state, tokens = tables.start(1), [tables.bos]
    while len(tokens) <= ROOM and tokens[-1] != tables.eos:
        logits = model(memory, torch.tensor([tokens]))[0, -1]
        best = logits.masked_fill(~tables.allowed(state)[0], -torch.inf).argmax()
        state = tables.advance(state, best[None])
        tokens.append(int(best))
    return tokens[1:]


def one_by_one(memory):
    return (memory.select(torch.tensor([k])) for k in range(len(memory)))


def test_batches_and_queues_write_what_one_would(written):
    tokenizer, model, memory, sequences = written
    tables = tokenizer.grammar.on("cpu")
    together = generate_tokens(model, memory, tables, max_tokens=ROOM)
    assert [tokens.tolist() for tokens in together] == sequences
    for n_slots, static_shapes in itertools.product((1, 2, 4), (False, True)):
        found = list(
            decode_sequences(
                model,
                one_by_one(memory),
                tables,
                max_tokens=ROOM,
                n_slots=n_slots,
                static_shapes=static_shapes,
            )
        )
        assert sorted(one.index for one in found) == list(range(5))
        for one in found:
            assert one.tokens.tolist() == sequences[one.index]
            assert one.n_passes == len(one.tokens)
            assert one.logprobs.shape == one.tokens.shape
            assert (one.logprobs <= 0).all()


def test_drafts_change_nothing_but_the_passes(written):
    tokenizer, model, memory, sequences = written
    tables, rng = tokenizer.grammar.on("cpu"), np.random.default_rng(0)
    mask = make_mask(tokenizer)
    right = np.array(sequences[0])
    wrong = np.array(sequences[0])[::-1]
    noise = rng.integers(-3, tokenizer.vocab.size + 3, 60)
    half = np.array(sequences[4][: len(sequences[4]) // 2 + 1])
    guesses = [right, tokenizer.encode(mask, mask), None, noise, half]
    for order in (guesses, [wrong, None, right, half, noise]):
        drafts = [None if tokens is None else Draft(tokenizer, tokens) for tokens in order]
        for n_slots in (1, 3):
            found = decode_sequences(
                model, one_by_one(memory), tables,
                max_tokens=ROOM, n_slots=n_slots, drafts=drafts.__getitem__,
            )  # fmt: skip
            for one in found:
                assert one.tokens.tolist() == sequences[one.index]
                assert one.n_passes <= len(one.tokens)


def test_right_draft_needs_few_passes(written):
    tokenizer, model, memory, sequences = written
    drafts = [Draft(tokenizer, np.array(tokens)) for tokens in sequences]
    tables = tokenizer.grammar.on("cpu")
    found = decode_sequences(model, [memory], tables, max_tokens=ROOM, drafts=drafts.__getitem__)
    passes = {one.index: one.n_passes for one in found}
    whole = [k for k in range(5) if sequences[k][-1] == tokenizer.vocab.eos]
    assert all(passes[k] <= 2 + len(sequences[k]) // 32 for k in whole)


def test_rows_padded_to_one_length_write_the_same(written, monkeypatch):
    tokenizer, model, memory, sequences = written
    monkeypatch.setattr(slots, "pads", lambda device: True)
    guesses = [Draft(tokenizer, np.array(tokens)) for tokens in sequences[:3]] + [None, None]
    found = decode_sequences(
        model, [memory], tokenizer.grammar.on("cpu"), max_tokens=ROOM, drafts=guesses.__getitem__
    )
    assert {one.index: one.tokens.tolist() for one in found} == dict(enumerate(sequences))


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: f"{scheme[0]}-{scheme[1]}")
def test_draft_of_the_frame_before_is_taken_up_again_after_a_change(scheme):
    tokenizer = make_tokenizer(*scheme)
    before, now = (make_mask(tokenizer, shift) for shift in (0, 1))
    target = tokenizer.encode(now, now).tolist()
    draft = Draft(tokenizer, tokenizer.encode(before, before))
    tokens, n_passes = [], 0
    while len(tokens) < len(target):
        n_passes += 1
        proposed = draft.propose(tokens, 16)
        right = 0
        for guess, token in zip(proposed, target[len(tokens) :], strict=False):
            if guess != token:
                break
            right += 1
        tokens = target[: len(tokens) + right + 1]
    assert n_passes <= 0.65 * len(target)


def test_log_probabilities_are_those_of_the_teacher(written):
    tokenizer, model, memory, sequences = written
    tables = tokenizer.grammar.on("cpu")
    drafts = [Draft(tokenizer, np.array(tokens)) for tokens in sequences]
    plain, checked = (
        {one.index: one.logprobs for one in decode_sequences(
            model, [memory], tables, max_tokens=ROOM, drafts=d)}
        for d in (None, drafts.__getitem__)
    )  # fmt: skip
    for k in range(5):
        np.testing.assert_allclose(plain[k], checked[k], atol=1e-4)


def test_draws_and_drafts_do_not_go_together(written):
    tokenizer, model, memory, _ = written
    with pytest.raises(SchemeError, match="checked greedily"):
        next(
            decode_sequences(
                model,
                [memory],
                tokenizer.grammar.on("cpu"),
                max_tokens=ROOM,
                sampling=Sampling(top_p=0.4),
                drafts=[None].__getitem__,
            )
        )


def test_no_windows_give_nothing(written):
    tokenizer, model, _, _ = written
    assert list(decode_sequences(model, [], tokenizer.grammar.on("cpu"), max_tokens=ROOM)) == []


def test_batches_without_windows_are_passed_over(written):
    tokenizer, model, memory, sequences = written
    none = memory.select(torch.zeros(0, dtype=torch.int64))
    for n_slots in (None, 3):
        found = decode_sequences(
            model, [none, memory, none], tokenizer.grammar.on("cpu"),
            max_tokens=ROOM, n_slots=n_slots,
        )  # fmt: skip
        assert {one.index: one.tokens.tolist() for one in found} == dict(enumerate(sequences))


class Guess:
    """The same tokens wherever a sequence is, and of no length."""

    def __init__(self, *tokens):
        self.tokens = tokens

    def __len__(self):
        return 0

    def propose(self, written, n_tokens):
        return self.tokens


def test_drafts_may_be_of_ids_that_do_not_exist(written):
    tokenizer, model, memory, sequences = written
    guesses = [Guess(-1), Guess(5, tokenizer.vocab.size), Guess(2**40), Guess(), Guess(*[0] * 99)]
    found = decode_sequences(
        model, [memory], tokenizer.grammar.on("cpu"), max_tokens=ROOM, drafts=guesses.__getitem__
    )
    assert {one.index: one.tokens.tolist() for one in found} == dict(enumerate(sequences))


@pytest.mark.parametrize("numbers", [{"max_tokens": 0}, {"max_tokens": ROOM, "n_slots": -1}])
def test_numbers_below_one_are_refused(written, numbers):
    tokenizer, model, memory, _ = written
    with pytest.raises(SchemeError, match="at least 1"):
        next(decode_sequences(model, [memory], tokenizer.grammar.on("cpu"), **numbers))


@pytest.mark.parametrize("temperature", [1e-37, 1e37])
def test_draws_keep_to_the_grammar_at_any_temperature(written, temperature):
    tokenizer, model, memory, _ = written
    tables = tokenizer.grammar.on("cpu")
    sampling = Sampling(top_p=1.0, temperature=temperature, seed=3)
    for one in decode_sequences(model, [memory], tables, max_tokens=ROOM, sampling=sampling):
        state = tables.start(1)
        for token in one.tokens:
            assert tables.allowed(state)[0, token]
            state = tables.advance(state, torch.tensor([token]))


def test_heads_have_no_drafts():
    tokenizer = Tokenizer.build(preset("multihead"), MaskSpec(size=(4, 4), class_names=("a", "b")))
    with pytest.raises(SchemeError, match="heads='one'"):
        Draft(tokenizer, np.array([2]))
