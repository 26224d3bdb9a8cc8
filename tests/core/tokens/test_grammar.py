import numpy as np
import pytest
import torch
from torch._subclasses import FakeTensorMode

from rleseg_core.tokens import Tokenizer


def most_steps(tokenizer: Tokenizer) -> int:
    """Tokens of the longest sequence; with blocks of instances, of one that is long enough."""
    n_blocks = tokenizer.spec.n_classes if tokenizer.blocks is not None else 1
    n_pixels, k = tokenizer.flattening.n_pixels, tokenizer.tokens_per_run
    return n_blocks * (n_pixels * k + 1) + len(tokenizer.vocab.prompts)


def walk(tokenizer: Tokenizer, batch: int, end_weight: float, seed: int) -> np.ndarray:
    """Random tokens (B, L) that the grammar allows, in its order, up to the end."""
    tables = tokenizer.grammar.on("cpu")
    generator = torch.Generator().manual_seed(seed)
    state = tables.start(batch)
    steps = []
    n_steps, k = most_steps(tokenizer), tokenizer.tokens_per_run
    is_endless = tokenizer.scheme.blocks == "instance"
    for step in range(n_steps + is_endless * (k + 1)):
        allowed = tables.allowed(state)
        assert allowed.shape == (batch, tokenizer.vocab.size)
        assert allowed.any(1).all()
        weights = allowed.double()
        if step >= n_steps:  # close the block, then end
            end_weight = 1e12
            weights[:, tables.closes > 0] *= end_weight
        weights[:, tables.eos] *= end_weight
        tokens = torch.multinomial(weights, 1, generator=generator)[:, 0]
        state = tables.advance(state, tokens)
        steps.append(tokens)
    assert (state[:, 0] == k).all()  # the end
    return torch.stack(steps, 1).numpy()


@pytest.mark.parametrize("size", [(3, 5), (5, 3), (4, 4), (1, 1)])
def test_random_walk_is_accepted_strictly_and_ends(make_tokenizer, size):
    for name in ("binary", "multiclass", "lac"):
        for order in "CF":
            for start in ("flat", "coords"):
                for max_length in (None, 1):
                    tokenizer = make_tokenizer(name, order, start, size, max_length)
                    for row in walk(tokenizer, 20, 0.02, seed=1):
                        assert (row == tokenizer.vocab.eos).sum() == 1
                        runs = list(tokenizer.events(row))[:-1]
                        ends = [0] + [run.start + run.length for run in runs]
                        assert all(run.start >= end for run, end in zip(runs, ends, strict=False))
                        tokenizer.decode(row, strict=True)


def test_start_before_the_end_of_the_last_run_is_not_allowed(make_tokenizer):
    tokenizer = make_tokenizer("binary")  # 6 x 9
    tables = tokenizer.grammar.on("cpu")
    start, length = (tokenizer.vocab.segment(name).offset for name in ("start", "length"))
    state = tables.advance(tables.start(1), torch.tensor([start + 50]))
    can = tables.allowed(state)[0].nonzero()[:, 0].tolist()
    assert can == [length, length + 1, length + 2, length + 3]  # up to the last of 54 pixels
    state = tables.advance(state, torch.tensor([length + 1]))
    can = tables.allowed(state)[0].nonzero()[:, 0].tolist()
    assert can == [tables.eos, start + 52, start + 53]


def test_row_is_allowed_if_a_column_of_it_is_still_free(make_tokenizer):
    tokenizer = make_tokenizer("binary", start="coords")  # 6 x 9
    tables = tokenizer.grammar.on("cpu")
    coord, length = (tokenizer.vocab.segment(name).offset for name in ("coord", "length"))
    state = tables.start(1)
    for token in (coord + 3, coord + 5, length + 2):  # row 3, columns 5 to 7
        state = tables.advance(state, torch.tensor([token]))
    can = tables.allowed(state)[0].nonzero()[:, 0].tolist()
    assert can == [tables.eos, coord + 3, coord + 4, coord + 5]
    state = tables.advance(state, torch.tensor([coord + 3]))
    assert tables.allowed(state)[0].nonzero()[:, 0].tolist() == [coord + 8]


def test_forbidden_token_changes_nothing(tokenizer):
    tables = tokenizer.grammar.on("cpu")
    state = tables.start(1)
    for token in (tables.pad, tables.bos, tokenizer.vocab.size - 1):
        assert not tables.allowed(state)[0, token]
        assert torch.equal(tables.advance(state, torch.tensor([token])), state)


def test_only_padding_follows_the_end(tokenizer):
    tables = tokenizer.grammar.on("cpu")
    state = tables.advance(tables.start(2), torch.tensor([tables.eos, tables.eos]))
    for _ in range(2):
        assert tables.allowed(state).nonzero()[:, 1].tolist() == [tables.pad, tables.pad]
        state = tables.advance(state, torch.tensor([tables.pad, tables.pad]))


def test_rows_of_a_state_can_be_selected(make_tokenizer):
    tokenizer = make_tokenizer("lac")
    tables = tokenizer.grammar.on("cpu")
    state = tables.advance(tables.start(3), torch.tensor([tables.eos, 5, 7]))
    kept = tables.select(state, torch.tensor([1, 2]))
    assert torch.equal(tables.allowed(kept), tables.allowed(state)[1:])


def test_state_moves_on_without_being_looked_at(tokenizer):
    with FakeTensorMode():  # fake tensors have no values: whatever the host would wait for raises
        grammar = tokenizer.grammar
        tables = grammar.on("cpu")
        state = tables.start(2)
        state = tables.advance(state, torch.tensor([tables.eos, tables.eos]))
        assert tables.allowed(tables.select(state, torch.tensor([1]))).shape[0] == 1


def test_tables_are_small(make_tokenizer):
    grammar = make_tokenizer("lac", size=(80, 80), n_classes=2).grammar
    assert grammar.allowed.shape == (3, 6563)
    tables = grammar.on("cpu")
    assert tables.reach.element_size() == tables.starts.element_size() == 4
