import numpy as np
import pytest

from rleseg_core.errors import DataError
from rleseg_core.inference import confidences
from rleseg_core.inference.confidence import object_confidences
from rleseg_core.spec import MaskSpec
from rleseg_core.tokens import Tokenizer, preset

SPEC = MaskSpec(size=(3, 4), class_names=("a", "b"))
MASK = np.array([[[0, 1, 1, 0], [2, 2, 0, 1], [0, 0, 0, 1]]], np.uint8)


def test_runs_are_as_sure_as_their_tokens():
    tokenizer = Tokenizer.build(preset("lac"), SPEC)
    tokens = tokenizer.encode(MASK)
    logprobs = np.log(np.linspace(0.2, 0.9, tokens.size)).astype(np.float32)
    sure = confidences(tokenizer, tokens, logprobs)
    expected = np.exp(logprobs[:-1].reshape(-1, 2).mean(1))
    np.testing.assert_allclose(sure.runs, expected, rtol=1e-5)
    assert sure.objects.size == 0
    assert sure.mask == pytest.approx(np.exp(logprobs.mean()))
    assert (sure.pixels[MASK == 0] == 1).all()
    np.testing.assert_allclose(sure.pixels[0, 0, 1:3], expected[0], rtol=1e-5)


def test_objects_are_as_sure_as_their_blocks():
    tokenizer = Tokenizer.build(preset("cw"), SPEC)
    tokens = tokenizer.encode(MASK)  # three runs and a, one run and b
    logprobs = np.log(np.linspace(0.2, 0.9, tokens.size))
    sure = confidences(tokenizer, tokens, logprobs)
    first, second = np.split(logprobs[:-1], [7])
    np.testing.assert_allclose(sure.objects, np.exp([first.mean(), second.mean()]), rtol=1e-5)


@pytest.mark.parametrize("name", ["multihead", "diff", "bac", "iw"])
def test_every_scheme_has_confidences(name):
    tokenizer = Tokenizer.build(preset(name), SPEC)
    tokens = tokenizer.encode(MASK, MASK)
    sure = confidences(tokenizer, tokens, np.full(tokens.shape, np.log(0.5)))
    np.testing.assert_allclose(sure.runs, 0.5)
    assert sure.mask == pytest.approx(0.5)


def test_skipped_tokens_do_not_shift_the_others():
    tokenizer = Tokenizer.build(preset("lac"), SPEC)
    whole = tokenizer.encode(MASK)
    tokens = np.insert(whole, 2, [1, 1])
    logprobs = np.zeros(tokens.size)
    logprobs[2:4] = -9
    np.testing.assert_allclose(confidences(tokenizer, tokens, logprobs).runs, 1)


def test_nothing_is_sure():
    tokenizer = Tokenizer.build(preset("lac"), SPEC)
    sure = confidences(tokenizer, np.array([], np.int64), np.array([]))
    assert sure.mask == 1
    assert sure.runs.size == 0
    with pytest.raises(DataError, match="same shape"):
        confidences(tokenizer, np.array([2]), np.array([]))


@pytest.mark.parametrize("n_kept", [None, 5, 9, 0])
@pytest.mark.parametrize("name", ["iw", "iw-tac", "cw"])
def test_confidences_of_objects_are_those_of_events(name, n_kept):
    spec = MaskSpec(size=(6, 6), class_names=("a", "b"), n_frames=2)
    tokenizer = Tokenizer.build(preset(name), spec)
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 5, spec.shape)
    tokens = tokenizer.encode((ids > 0) + (ids > 3), ids)[:n_kept]  # with and without an end
    logprobs = np.log(rng.uniform(0.1, 1, tokens.shape)).astype(np.float32)
    expected = confidences(tokenizer, tokens, logprobs)
    skipped = tokenizer.decode(tokens).n_skipped
    for n_skipped in {skipped, 1}:
        confidence, n_tokens = object_confidences(tokenizer, tokens, logprobs, n_skipped)
        np.testing.assert_allclose(confidence, expected.objects, rtol=1e-5)
        np.testing.assert_array_equal(n_tokens, expected.n_tokens)
