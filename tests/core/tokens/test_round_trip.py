import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses import FakeTensorMode

from rleseg_core.errors import BudgetError, DataError


@st.composite
def choices_and_masks(draw):
    name = draw(st.sampled_from(["binary", "multiclass", "lac"]))
    order, start = draw(st.sampled_from("CF")), draw(st.sampled_from(["flat", "coords"]))
    size = (draw(st.integers(1, 9)), draw(st.integers(1, 9)))
    n_pixels = size[0] * size[1]
    max_length = draw(st.one_of(st.none(), st.integers(1, n_pixels)))
    n_classes = 1 if name == "binary" else draw(st.integers(2, 4))
    cells = draw(st.lists(st.integers(0, n_classes), min_size=n_pixels, max_size=n_pixels))
    repeats = draw(st.integers(1, 6))
    classes = np.repeat(cells, repeats)[:n_pixels].reshape(1, *size).astype(np.uint8)
    return (name, order, start, size, max_length, n_classes), classes


@given(choices_and_masks(), st.integers(0, 99))
@settings(max_examples=150, deadline=None)
def test_any_mask_comes_back(make_tokenizer, drawn, seed):
    choices, classes = drawn
    tokenizer = make_tokenizer(*choices)
    tokens = tokenizer.encode(classes)
    assert tokens.dtype == np.int64
    assert tokens[-1] == tokenizer.vocab.eos
    np.testing.assert_array_equal(tokenizer.decode(tokens, strict=True).classes, classes)
    np.testing.assert_array_equal(tokenizer.decode(tokens).classes, classes)
    shuffled = tokenizer.encode(classes, rng=np.random.default_rng(seed))
    assert sorted(shuffled) == sorted(tokens)
    np.testing.assert_array_equal(tokenizer.decode(shuffled, strict=True).classes, classes)


@given(choices_and_masks(), st.integers(1, 60))
@settings(max_examples=100, deadline=None)
def test_torch_and_numpy_agree(make_tokenizer, drawn, budget):
    choices, classes = drawn
    tokenizer = make_tokenizer(*choices)
    masks = np.stack([classes, classes[:, ::-1, ::-1], classes * 0])
    batch = tokenizer.encode_batch(torch.as_tensor(masks.copy()), budget=budget)
    assert batch.tokens.shape == (3, budget)
    assert batch.tokens.dtype == torch.int64
    for row, mask in enumerate(masks):
        whole, cut = tokenizer.encode(mask), tokenizer.encode(mask, budget=budget)
        n_tokens = int(batch.n_tokens[row])
        assert batch.tokens[row, :n_tokens].tolist() == cut.tolist()
        assert not batch.tokens[row, n_tokens:].any()
        dropped = (len(whole) - len(cut)) // tokenizer.tokens_per_run
        assert int(batch.n_dropped_runs[row]) == dropped


def test_awkward_masks_come_back(tokenizer, named_masks):
    masks = named_masks(tokenizer)
    batch = tokenizer.encode_batch(
        torch.as_tensor(np.stack(list(masks.values()))), budget=6 * 9 * 4 + 1
    )
    decoded = tokenizer.decode_batch(batch.tokens.numpy())
    for row, (name, mask) in enumerate(masks.items()):
        np.testing.assert_array_equal(decoded[row], mask, err_msg=name)
        again = tokenizer.decode(tokenizer.encode(mask), strict=True)
        np.testing.assert_array_equal(again.classes, mask, err_msg=name)
        assert again.classes.dtype == np.uint8
        assert again.instances is None
    assert not batch.n_dropped_runs.any()


def test_batch_is_encoded_without_looking_at_it(tokenizer):
    # fake tensors have shapes but no values: whatever the host would wait for raises
    with FakeTensorMode():
        masks = torch.zeros((3, *tokenizer.spec.shape), dtype=torch.uint8)
        assert tokenizer.encode_batch(masks, budget=20).tokens.shape == (3, 20)


def test_empty_mask_is_eos_alone(tokenizer):
    tokens = tokenizer.encode(np.zeros(tokenizer.spec.shape, np.uint8))
    assert tokens.tolist() == [tokenizer.vocab.eos]


def test_worked_example(make_tokenizer):
    mask = np.array([[[0, 1, 1, 0, 2], [2, 0, 0, 1, 1]]])

    def runs(name, **choices):
        tokenizer = make_tokenizer(name, size=(2, 5), n_classes=2, **choices)
        events = list(tokenizer.events(tokenizer.encode(mask)))[:-1]
        return [(event.start, event.length, event.label) for event in events]

    assert runs("multiclass") == [(1, 2, 1), (4, 2, 2), (8, 2, 1)]  # the second goes on in row 1
    assert runs("lac", start="coords") == runs("multiclass")
    down = [(1, 2), (2, 1), (4, 1), (7, 1), (8, 2), (9, 1)]
    assert runs("multiclass", order="F") == [(start, 1, label) for start, label in down]


def test_run_longer_than_limit_is_split(make_tokenizer):
    tokenizer = make_tokenizer("lac", size=(4, 5), max_length=3)
    mask = np.zeros((1, 4, 5), np.uint8)
    mask.flat[2:13] = 2
    *painted, _ = tokenizer.events(tokenizer.encode(mask))
    assert [(run.start, run.length) for run in painted] == [(2, 3), (5, 3), (8, 3), (11, 2)]


def test_budget_drops_whole_runs_from_the_tail(tokenizer):
    mask = np.zeros(tokenizer.spec.shape, np.uint8)
    mask[0, ::2, ::2] = 1  # 15 runs of one pixel
    k = tokenizer.tokens_per_run
    whole = tokenizer.encode(mask)
    assert whole.size == 15 * k + 1
    for budget in (4 * k + 1, 5 * k):
        cut = tokenizer.encode(mask, budget=budget)
        assert cut.tolist() == [*whole[: 4 * k], tokenizer.vocab.eos]
        batch = tokenizer.encode_batch(torch.as_tensor(mask[None]), budget=budget)
        assert batch.n_dropped_runs.tolist() == [11]
        assert batch.n_tokens.tolist() == [4 * k + 1]
    shuffled = tokenizer.encode(mask, budget=4 * k + 1, rng=np.random.default_rng(0))
    assert sorted(shuffled) == sorted(tokenizer.encode(mask, budget=4 * k + 1))


def test_budget_without_room_for_eos_is_refused(make_tokenizer):
    tokenizer = make_tokenizer("binary")
    mask = np.zeros((1, 6, 9), np.uint8)
    with pytest.raises(BudgetError, match="budget of 0 tokens"):
        tokenizer.encode(mask, budget=0)
    with pytest.raises(BudgetError, match="budget of 0 tokens"):
        tokenizer.encode_batch(torch.as_tensor(mask[None]), budget=0)


def test_mask_that_does_not_fit_is_refused(make_tokenizer):
    tokenizer = make_tokenizer("lac")
    with pytest.raises(DataError, match=r"mask is \(6, 9\), the tokenizer is for \(1, 6, 9\)"):
        tokenizer.encode(np.zeros((6, 9), np.uint8))
    with pytest.raises(DataError, match="float64, expected integer"):
        tokenizer.encode(np.zeros((1, 6, 9)))
    with pytest.raises(DataError, match="values from 0 to 255, expected class ids from 0 to 3"):
        tokenizer.encode(np.eye(6, 9, dtype=np.uint8)[None] * 255)
    with pytest.raises(DataError, match="values from -1 to 0"):
        tokenizer.encode(-np.eye(6, 9, dtype=np.int64)[None])
    with pytest.raises(DataError, match=r"masks are \(2, 6, 9\)"):
        tokenizer.encode_batch(torch.zeros((2, 6, 9), dtype=torch.uint8), budget=9)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.int64, np.uint32])
def test_any_integer_mask_gives_the_same_tokens(tokenizer, named_masks, dtype):
    mask = named_masks(tokenizer)["noise"]
    assert tokenizer.encode(mask.astype(dtype)).tolist() == tokenizer.encode(mask).tolist()


def test_views_are_encoded_like_copies(tokenizer, named_masks):
    mask = named_masks(tokenizer)["noise"]
    view = np.asfortranarray(mask)[:, ::-1]
    assert tokenizer.encode(view).tolist() == tokenizer.encode(view.copy()).tolist()


def test_more_than_255_classes_are_decoded_wider(make_tokenizer):
    tokenizer = make_tokenizer("multiclass", n_classes=300)
    mask = np.arange(54, dtype=np.int64).reshape(1, 6, 9) + 240
    decoded = tokenizer.decode(tokenizer.encode(mask), strict=True).classes
    assert decoded.dtype == np.uint16
    np.testing.assert_array_equal(decoded, mask)


def test_tokenizer_can_be_pickled(tokenizer, named_masks):
    mask = named_masks(tokenizer)["noise"]
    copy = pickle.loads(pickle.dumps(tokenizer))
    assert copy.encode(mask).tolist() == tokenizer.encode(mask).tolist()
