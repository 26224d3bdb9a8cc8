import numpy as np
import pytest
import torch

from rleseg_core.errors import SchemeError
from rleseg_core.spec import MaskSpec
from rleseg_core.tokens import Tokenizer, preset
from rleseg_core.tokens.known import UNKNOWN, BlockState, KnownBlock

SCHEMES = {
    "iw-tac": {},
    "iw-tac ": {"order": "F", "max_length": 3},
    "iw-tac  ": {"start": "coords"},
    "iw-tac   ": {"symbol": "length"},
    "iw": {},
    "iw ": {"order": "F", "max_length": 4},
    "iw  ": {"start": "coords"},
    "iw   ": {"lines": "separate"},
}


def tokenizer_of(name, n_frames=3, size=8):
    scheme = preset(name.strip(), **SCHEMES[name])
    return Tokenizer.build(
        scheme, MaskSpec(size=(size, size), class_names=("a", "b"), n_frames=n_frames)
    )


def written_at_random(tokenizer, known, rng, begins=None):
    """A sequence that obeys the grammar and what is known, drawn token by token."""
    block, tables = KnownBlock(tokenizer, known, begins), tokenizer.grammar.on("cpu")
    state, start, tokens = tables.start(1), 0, []
    while not tokens or tokens[-1] != tables.eos:
        expects, cursor, reached, _, label = state[0].tolist()
        may = tables.allowed(state)[0].numpy() & block.allowed(
            BlockState(expects, cursor, reached, start, label)
        )
        assert may.any(), (tokens, state)
        tokens.append(int(rng.choice(np.flatnonzero(may))))
        says_start = block.says_start(expects)
        state = tables.advance(state, torch.tensor([tokens[-1]]))
        start = int(state[0, 2]) if says_start else start
    return np.array(tokens)


@pytest.mark.parametrize("name", SCHEMES)
@pytest.mark.parametrize("frames", [(0,), (2,), (0, 1), ()])
def test_block_has_the_known_pixels_in_the_known_frames(name, frames):
    tokenizer, rng = tokenizer_of(name), np.random.default_rng(0)
    for _ in range(2):
        known = np.full((3, 8, 8), UNKNOWN, np.int8)
        for frame in frames:
            known[frame] = 0
            known[frame, 2 : rng.integers(3, 7), 3 : rng.integers(4, 8)] = 1
            known[frame, 4, 4] = 0
        tokens = written_at_random(tokenizer, known, rng)
        decoded = tokenizer.decode(tokens, strict=True)
        assert set(np.unique(decoded.instances)) == {0, 1}
        for frame in frames:
            np.testing.assert_array_equal(decoded.instances[frame], known[frame])


@pytest.mark.parametrize("name", SCHEMES)
def test_every_true_block_is_allowed(name):
    tokenizer, rng = tokenizer_of(name), np.random.default_rng(1)
    for _ in range(2):
        mask = (rng.random((3, 8, 8)) < 0.4).astype(np.uint8)
        known = mask.astype(np.int8)
        known[1:] = UNKNOWN
        tokens = tokenizer.encode(mask, mask.astype(np.int32))
        block, tables = KnownBlock(tokenizer, known), tokenizer.grammar.on("cpu")
        state, start = tables.start(1), 0
        for token in tokens.tolist():
            expects, cursor, reached, _, label = state[0].tolist()
            assert block.allowed(BlockState(expects, cursor, reached, start, label))[token]
            says_start = block.says_start(expects)
            state = tables.advance(state, torch.tensor([token]))
            start = int(state[0, 2]) if says_start else start


@pytest.mark.parametrize("name", ["iw-tac", "iw-tac  ", "iw"])
def test_first_run_begins_where_it_may_or_at_the_first_known_pixel(name):
    tokenizer, rng = tokenizer_of(name), np.random.default_rng(2)
    known = np.full((3, 8, 8), UNKNOWN, np.int8)
    known[2] = 0
    known[2, 5:7, 2:6] = 1
    begins = np.zeros((3, 8, 8), bool)
    begins[:, 4:6, 1:7] = True
    for _ in range(4):
        tokens = written_at_random(tokenizer, known, rng, begins)
        ids = tokenizer.flattening.layers(tokenizer.decode(tokens).instances).any(axis=0)
        first = np.argmax(ids)
        where = tokenizer.flattening.layers(begins | (known == 1)).any(axis=0)
        assert where[first]


def test_other_schemes_are_refused():
    known = np.zeros((1, 8, 8), np.int8)
    spec = MaskSpec(size=(8, 8), class_names=("a", "b"))
    for name in ("lac", "cw", "multihead"):
        with pytest.raises(SchemeError, match="blocks='instance'"):
            KnownBlock(Tokenizer.build(preset(name), spec), known)
