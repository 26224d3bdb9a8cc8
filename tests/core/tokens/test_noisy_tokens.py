"""Tokens that no mask gave, for every scheme: what is read of them, and that nothing breaks."""

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rleseg_core.errors import DataError, SchemeError
from rleseg_core.published import published_tokenizer, read_leniently
from rleseg_core.spec import MaskSpec
from rleseg_core.tokens import (
    PRESETS,
    BlockClosed,
    MaskEnded,
    RunPainted,
    Tokenizer,
    for_classes,
    preset,
)

NOISES = ("replace", "delete", "insert", "shuffle", "truncate", "random", "huge", "pad", "ends")
HUGE = np.array([-(2**63), -(2**31), -1, 2**31, 2**62, 2**63 - 1])
PUBLISHED = {
    "binary": {"C": 1},
    "binary-2d-F": {"C": 1, "starts_2d": 1, "flat_order": "F"},
    "separate": {"C": 3},
    "shared-coordinates": {"C": 3, "starts_2d": 1, "shared_coord": 1},
    "lac": {"C": 3, "length_as_class": 1},
    "lac-2d": {"C": 3, "length_as_class": 1, "starts_2d": 1},
    "bac": {"C": 2, "bkg_as_class": 1},
    "bac-lac": {"C": 2, "bkg_as_class": 1, "length_as_class": 1},
    "diff": {"C": 2, "diff_mask": 2},
    "diff-rows": {"C": 2, "diff_mask": 1},
    "class-wise": {"C": 2, "class_wise": 1},
    "instance-wise": {"C": 2, "instance_wise": 1},
    "multi-head": {"C": 2, "mhd": 1},
    "video": {"C": 2, "vid_len": 3},
    "video-F-lac": {"C": 2, "vid_len": 3, "flat_order": "F", "length_as_class": 1},
    "tac": {"C": 2, "vid_len": 3, "time_as_class": 1},
    "ltac": {"C": 1, "vid_len": 4, "time_as_class": 1, "length_as_class": 1},
}
"""Published parameters of masks of 4 x 5."""


def noisy(tokenizer, tokens, noise, rng):
    """Tokens (L,) or (K, L) with something wrong."""
    tokens = tokens.copy()
    n = tokens.shape[-1]
    low, high = -2, tokenizer.vocab.size + 2
    hit = rng.random(n) < 0.2
    if noise == "replace":
        hit = rng.random(tokens.shape) < 0.2
        tokens[hit] = rng.integers(low, high, hit.sum())
    elif noise == "delete":
        tokens = tokens[..., ~hit]
    elif noise == "insert":
        more = rng.integers(low, high, (*tokens.shape[:-1], hit.sum()))
        tokens = np.insert(tokens, np.flatnonzero(hit), more, axis=-1)
    elif noise == "shuffle":
        tokens = tokens[..., rng.permutation(n)]
    elif noise == "truncate":
        tokens = tokens[..., : rng.integers(0, n + 1)]
    elif noise == "random":
        tokens = rng.integers(low, high, (*tokens.shape[:-1], rng.integers(0, 60)))
    elif noise == "huge":
        hit = rng.random(tokens.shape) < 0.3
        tokens[hit] = rng.choice(HUGE, hit.sum())
    elif noise == "pad":
        tokens[..., hit] = tokenizer.vocab.pad
        tokens = np.concatenate((tokens, np.full_like(tokens, tokenizer.vocab.pad)), axis=-1)
    else:
        hit = rng.random(tokens.shape) < 0.1
        tokens[hit] = tokenizer.vocab.eos
    return tokens


def n_before_the_end(tokenizer, tokens):
    """Tokens up to the first step that ends, or to the padding at the end; and the eos of that."""
    steps = np.atleast_2d(tokens).T
    is_eos = steps == tokenizer.vocab.eos
    if is_eos.any():
        last = int(is_eos.any(axis=1).argmax())
        n_ends = int(is_eos[last].sum())
        return steps[: last + 1].size - n_ends, n_ends
    written = np.flatnonzero((steps != tokenizer.vocab.pad).any(axis=1))
    return steps[: written[-1] + 1].size if written.size else 0, 0


def check_reading(tokenizer, tokens, painted):
    """What holds of any tokens whatever."""
    spec, k = tokenizer.spec, tokenizer.tokens_per_run
    decoded = tokenizer.decode(tokens)
    assert decoded.classes.shape == spec.shape
    assert decoded.classes.dtype == np.uint8
    assert decoded.classes.max() <= spec.n_classes
    *events, end = tokenizer.events(tokens.T.tolist())
    classes, instances, _ = painted(tokenizer, [*events, end])
    np.testing.assert_array_equal(decoded.classes, classes)
    if decoded.instances is not None:
        np.testing.assert_array_equal(decoded.instances, instances)
    runs = [event for event in events if isinstance(event, RunPainted)]
    blocks = [event for event in events if isinstance(event, BlockClosed)]
    assert isinstance(end, MaskEnded)
    assert end.n_runs == len(runs) - len(end.dropped)
    assert end.n_skipped == decoded.n_skipped
    n_body, n_ends = n_before_the_end(tokenizer, tokens)
    assert end.n_tokens == n_body + n_ends
    assert decoded.n_skipped + k * end.n_runs + len(blocks) == n_body
    assert [run.index for run in runs] == list(range(len(runs)))
    n_pixels = tokenizer.flattening.n_pixels
    assert all(0 <= run.start < run.start + run.length <= n_pixels for run in runs)
    strict, error = attempt(DataError, tokenizer.decode, tokens, strict=True)
    if strict is not None:
        np.testing.assert_array_equal(strict.classes, decoded.classes)
        assert strict.n_skipped == decoded.n_skipped == 0
    else:
        assert "expected" in error
    published, error = attempt(SchemeError, read_leniently, tokenizer, tokens)
    if published is not None:
        assert published.classes.shape == spec.shape
        assert 0 <= published.n_skipped <= tokens.size
    else:
        assert "; use Tokenizer.decode" in error


def attempt(documented, read, *tokens, **how):
    """What is decoded, or else what the documented error says."""
    try:
        return read(*tokens, **how), None
    except documented as error:
        return None, str(error)


@given(data=st.data())
@settings(max_examples=8, deadline=None)
def test_noise_does_not_break_the_reading(scheme, cases, painted, data):
    tokenizer, *mask = data.draw(cases(scheme, most_classes=3, most_frames=3))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    noise = data.draw(st.sampled_from(NOISES))
    check_reading(tokenizer, noisy(tokenizer, tokenizer.encode(*mask), noise, rng), painted)


@pytest.mark.parametrize("name", PUBLISHED)
def test_noise_does_not_break_the_reading_of_published_tokens(name, masks_of, painted):
    tokenizer = published_tokenizer({"shape": (4, 5), "max_length_sub": 5, **PUBLISHED[name]})
    rng = np.random.default_rng(0)
    for mask, noise in itertools.product(zip(*masks_of(tokenizer.spec), strict=True), NOISES):
        check_reading(tokenizer, noisy(tokenizer, tokenizer.encode(*mask), noise, rng), painted)


def preset_tokenizer(name):
    n_frames = 3 if name.startswith("3d") or "tac" in name else 1
    spec = MaskSpec(size=(4, 5), class_names=("one", "two"), n_frames=n_frames)
    scheme = for_classes(PRESETS[name], 2)
    return Tokenizer.build(scheme, spec, vocab_limit=10**6)


@pytest.mark.parametrize("name", PRESETS)
def test_tokens_of_any_integers_are_read_alike(name, masks_of):
    tokenizer = preset_tokenizer(name)
    classes, instances = masks_of(tokenizer.spec)
    tokens = tokenizer.encode(classes[0], instances[0])
    for dtype in (np.int16, np.int32, np.uint16, np.uint64, ">i4"):
        decoded = tokenizer.decode(tokens.astype(dtype), strict=True)
        np.testing.assert_array_equal(decoded.classes, classes[0])
    np.testing.assert_array_equal(
        tokenizer.decode(np.flip(tokens, -1)[..., ::-1]).classes, classes[0]
    )
    top = np.full_like(tokens, -1).astype(np.uint64)
    assert tokenizer.decode(top).n_skipped == tokens.size


@pytest.mark.parametrize("name", PRESETS)
def test_tokens_that_are_not_integers_are_refused(name):
    tokenizer = preset_tokenizer(name)
    shape = (tokenizer.tokens_per_run, 2) if tokenizer.vocab.per_field else (2,)
    for dtype in (np.float32, np.bool_, np.complex64, object, "U1", "M8[s]"):
        with pytest.raises(DataError, match="expected integers"):
            tokenizer.decode(np.zeros(shape, np.int64).astype(dtype))
    for wrong in ((), (2, 2, 2), shape[1:] if len(shape) == 2 else (1, 2)):
        with pytest.raises(DataError, match="expected integers"):
            tokenizer.decode(np.zeros(wrong, np.int64))


def test_steps_of_other_heads_are_refused():
    tokenizer = preset_tokenizer("multihead")
    with pytest.raises(DataError, match="tokens of 3 heads, expected 4"):
        tokenizer.decode(np.zeros((3, 2), np.int64))
    with pytest.raises(DataError, match="a step has 3 tokens, expected one of 4 heads"):
        list(tokenizer.events([[3, 3, 3]]))


@pytest.mark.parametrize("name", PRESETS)
def test_ids_beyond_any_machine_integer_are_skipped_one_by_one(name):
    tokenizer = preset_tokenizer(name)
    k = tokenizer.tokens_per_run
    steps = [[2**70] * k, [-(2**70)] * k] if tokenizer.vocab.per_field else [2**70, -(2**70)]
    (end,) = tokenizer.events(steps)
    assert end.n_skipped == end.n_tokens == np.size(steps)


@pytest.mark.parametrize("name", ["binary", "bac", "diff", "iw", "multihead"])
def test_a_stream_of_nonsense_takes_no_memory(name):
    tokenizer = preset_tokenizer(name)
    vocab = tokenizer.vocab
    step = (vocab.bos,) * tokenizer.tokens_per_run if vocab.per_field else vocab.bos
    list(tokenizer.events([step] * 100))  # what is made once is there now
    tracemalloc.start()
    try:
        (end,) = tokenizer.events(itertools.repeat(step, 20_000))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert end.n_skipped == end.n_tokens
    assert peak < 100_000  # bytes; not even the references would fit


@pytest.mark.parametrize("blocks", [None, "class", "instance"])
@pytest.mark.parametrize("read", [Tokenizer.decode, read_leniently])
def test_memory_is_bounded(blocks, read):
    side, n_runs = 64, 2_000
    spec = MaskSpec(size=(side, side), class_names=("one",))
    tokenizer = Tokenizer.build(preset("binary", blocks=blocks, max_length=side**2), spec)
    start, length = (tokenizer.vocab.segment(name) for name in ("start", "length"))
    run = [start.offset, length.end - 1]  # all of the mask
    closing = [tokenizer.vocab.label_offset] * (blocks is not None)
    tokens = np.array([*run * n_runs, *closing, tokenizer.vocab.eos])
    tracemalloc.start()
    try:
        decoded = read(tokenizer, tokens)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert decoded.classes.all()
    assert peak < 1_000 * n_runs + 64 * side**2
