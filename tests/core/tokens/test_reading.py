import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rleseg_core.errors import DataError
from rleseg_core.tokens import MaskEnded, RunPainted


def painted(tokenizer, events):
    labels = np.zeros(tokenizer.spec.shape, np.uint8)
    for event in events:
        tokenizer.paint(labels, event)
    return labels


def test_events_equal_decode(tokenizer, named_masks):
    for name, mask in named_masks(tokenizer).items():
        tokens = tokenizer.encode(mask)
        *runs, end = tokenizer.events(tokens.tolist())
        np.testing.assert_array_equal(painted(tokenizer, runs), mask, err_msg=name)
        assert [run.index for run in runs] == list(range(len(runs)))
        assert [t for run in runs for t in run.tokens] == tokens[:-1].tolist()
        assert end == MaskEnded(len(runs), len(tokens), 0)


def test_run_pixels_are_the_pixels_of_the_run(tokenizer, named_masks):
    mask = named_masks(tokenizer)["noise"]
    for event in tokenizer.events(tokenizer.encode(mask)):
        if isinstance(event, RunPainted):
            pixels = tokenizer.run_pixels(event)
            assert all(len(axis) == event.length for axis in pixels)
            assert (mask[pixels] == event.label).all()


def test_events_take_no_more_tokens_than_they_need(tokenizer, named_masks):
    tokens = iter([*tokenizer.encode(named_masks(tokenizer)["noise"]).tolist(), 0, 0])
    taken = []
    events = tokenizer.events(token for token in tokens if not taken.append(token))
    first = next(events)
    assert isinstance(first, RunPainted)
    assert len(taken) == tokenizer.tokens_per_run
    *_, end = events
    assert taken[-1] == tokenizer.vocab.eos
    assert end.n_tokens == len(taken)


def test_events_can_be_pickled(make_tokenizer, named_masks):
    tokenizer = make_tokenizer("lac")
    events = list(tokenizer.events(tokenizer.encode(named_masks(tokenizer)["noise"])))
    assert pickle.loads(pickle.dumps(events)) == events


@given(
    st.sampled_from(["binary", "multiclass", "lac"]),
    st.sampled_from("CF"),
    st.sampled_from(["flat", "coords"]),
    st.integers(0, 10_000),
)
@settings(max_examples=150, deadline=None)
def test_noisy_tokens_read_the_same_at_once_and_one_by_one(
    make_tokenizer, name, order, start, seed
):
    tokenizer = make_tokenizer(name, order, start, size=(3, 5))
    rng = np.random.default_rng(seed)
    mask = rng.integers(0, tokenizer.spec.n_classes + 1, (1, 3, 5))
    tokens = tokenizer.encode(mask)
    hit = rng.random(tokens.size) < 0.2
    tokens[hit] = rng.integers(-1, tokenizer.vocab.size + 2, hit.sum())
    tokens = np.delete(tokens, np.flatnonzero(rng.random(tokens.size) < 0.1))
    decoded = tokenizer.decode(tokens)
    *runs, end = tokenizer.events(tokens)
    np.testing.assert_array_equal(decoded.classes, painted(tokenizer, runs))
    assert end.n_skipped == decoded.n_skipped
    body = list(itertools.takewhile(lambda token: token != tokenizer.vocab.eos, tokens.tolist()))
    if len(body) == tokens.size:
        while body and body[-1] == tokenizer.vocab.pad:
            body.pop()
    assert decoded.n_skipped + len(runs) * tokenizer.tokens_per_run == len(body)
    assert all(0 < run.length <= 15 - run.start for run in runs)
    assert all(1 <= run.label <= tokenizer.spec.n_classes for run in runs)


def lac(tokenizer, start, length, label):
    vocab = tokenizer.vocab
    lac = vocab.segment("lac").offset + (label - 1) * tokenizer.runs.max_length + length - 1
    return [vocab.segment("start").offset + start, lac]


def test_lenient_decode_skips_until_the_next_start(make_tokenizer):
    tokenizer = make_tokenizer("lac")  # 6 x 9
    first, second = lac(tokenizer, 3, 4, 1), lac(tokenizer, 20, 2, 2)
    cases = {
        "two starts": ([first[0], *first, *second, 2], 1),
        "two lengths": ([*first, first[1], *second, 2], 1),
        "lost start": ([*first, first[1], first[1], *second, 2], 2),
        "bos and padding inside": ([1, *first, 0, 0, *second, 2], 3),
        "unknown ids": ([*first, -5, 10_000, *second, 2], 2),
        "half a run at the end": ([*first, *second, first[0], 2], 1),
        "no end": ([*first, *second, 0, 0], 0),
        "more after the end": ([*first, *second, 2, 2, *lac(tokenizer, 0, 9, 3)], 0),
    }
    expected = tokenizer.decode(np.array([*first, *second, 2]), strict=True).classes
    assert np.unique(expected, return_counts=True)[1].tolist() == [48, 4, 2]
    for name, (tokens, n_skipped) in cases.items():
        decoded = tokenizer.decode(np.array(tokens))
        np.testing.assert_array_equal(decoded.classes, expected, err_msg=name)
        assert decoded.n_skipped == n_skipped, name


@pytest.mark.parametrize("tokens", [[], [2], [0, 0, 0], [5], [2, 2, 2]])
def test_lenient_decode_of_hardly_anything_is_empty(make_tokenizer, tokens):
    tokenizer = make_tokenizer("lac")
    decoded = tokenizer.decode(np.array(tokens, np.int64))
    assert not decoded.classes.any()
    assert decoded.n_skipped == (tokens == [5])
    *runs, end = tokenizer.events(tokens)
    assert not runs
    assert end.n_skipped == (tokens == [5])


def test_lenient_decode_cuts_at_the_last_pixel_and_paints_later_over_earlier(make_tokenizer):
    tokenizer = make_tokenizer("lac")
    tokens = [*lac(tokenizer, 50, 9, 1), *lac(tokenizer, 52, 1, 2), *lac(tokenizer, 0, 2, 3), 2]
    flat = tokenizer.decode(np.array(tokens)).classes.ravel()
    assert flat[:3].tolist() == [3, 3, 0]
    assert flat[49:].tolist() == [0, 1, 1, 2, 1]
    np.testing.assert_array_equal(painted(tokenizer, tokenizer.events(tokens)).ravel(), flat)


def test_row_outside_a_wide_mask_is_skipped(make_tokenizer):
    tokenizer = make_tokenizer("binary", start="coords", size=(3, 7))
    coord, length = (
        tokenizer.vocab.segment("coord").offset,
        tokenizer.vocab.segment("length").offset,
    )
    decoded = tokenizer.decode(np.array([coord + 5, coord + 5, length, 2]))
    assert decoded.n_skipped == 3
    assert not decoded.classes.any()


def test_strict_decode_names_the_position_and_what_was_expected(make_tokenizer):
    tokenizer = make_tokenizer("lac")
    a, b = lac(tokenizer, 3, 4, 1), lac(tokenizer, 20, 2, 2)
    cases = [
        ([*a, b[1], b[0], 2], r"position 2 is length 2 · class2, expected start"),
        ([*a, b[0], a[0], 2], r"position 3 is start 3 · row 0, col 3, expected length and class"),
        ([*a, b[0], 2], r"token 2 at position 3 is eos, expected length and class"),
        ([*a, *b], r"stop at position 4, expected start or eos"),
        ([*a, *b, 0], r"token 0 at position 4 is pad, expected start or eos"),
        ([*a, 0, *b, 2], r"position 2 is pad, expected start"),
        ([*a, 2, *b], r"position 3 is start 20 .*, expected pad"),
        ([1, *a, 2], r"position 0 is bos, expected start"),
        ([*a, 999, b[1], 2], r"token 999 at position 2 is outside the vocabulary"),
        ([*b, *lac(tokenizer, 50, 9, 1), 2], r"run at position 2 has 9 pixels from 50, .* most 4"),
        ([*b, *a, *lac(tokenizer, 5, 1, 2), 2], r"run at position 4 starts at 5, expected 7 or"),
        ([], r"stop at position 0, expected start or eos"),
    ]
    for tokens, message in cases:
        with pytest.raises(DataError, match=message):
            tokenizer.decode(np.array(tokens, np.int64), strict=True)


def test_tokens_that_are_not_a_row_of_integers_are_refused(make_tokenizer):
    tokenizer = make_tokenizer("lac")
    with pytest.raises(DataError, match=r"float64 \(2,\), expected integers"):
        tokenizer.decode(np.array([1.0, 2.0]))
    with pytest.raises(DataError, match=r"int64 \(1, 1\)"):
        tokenizer.decode(np.array([[2]]))


def test_trailing_padding_after_eos_is_fine_strictly(tokenizer, named_masks):
    mask = named_masks(tokenizer)["noise"]
    tokens = np.concatenate((tokenizer.encode(mask), [0, 0, 0]))
    np.testing.assert_array_equal(tokenizer.decode(tokens, strict=True).classes, mask)
