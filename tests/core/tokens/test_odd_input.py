"""Odd types and values are read for what they are, or refused in one sentence."""

import numpy as np
import pytest
import torch

from rleseg_core.errors import DataError, SchemeError
from rleseg_core.published import published_tokenizer, read_leniently
from rleseg_core.spec import MaskSpec
from rleseg_core.tokens import PublishedLayout, Tokenizer, preset
from rleseg_core.tokens.batch import encode_on_device

TWO = MaskSpec(size=(3, 4), class_names=("a", "b"))
CLASSES = np.array([[[0, 1, 1, 0], [2, 2, 0, 1], [0, 0, 0, 1]]], np.uint8)
IDS = np.array([[[0, 1, 1, 0], [7, 7, 0, 3], [0, 0, 0, 3]]])


@pytest.mark.parametrize("name", ["lac", "cw", "iw", "diff", "bac", "multihead"])
@pytest.mark.parametrize(
    "dtype", [np.uint8, np.int8, np.uint16, np.int32, np.uint32, np.int64, np.uint64]
)
def test_any_integers_give_the_same_tokens(name, dtype):
    tokenizer = Tokenizer.build(preset(name), TWO)
    expected = tokenizer.encode(CLASSES, IDS)
    np.testing.assert_array_equal(
        tokenizer.encode(CLASSES.astype(dtype), IDS.astype(dtype)), expected
    )
    classes = torch.from_numpy(CLASSES.astype(dtype))[None]
    ids = torch.from_numpy(IDS.astype(dtype))[None]
    for batch in (
        tokenizer.encode_batch(classes, ids, budget=40),
        encode_on_device(tokenizer, classes, ids, 40, "tail"),
    ):
        np.testing.assert_array_equal(batch.tokens[0, ..., : batch.n_tokens[0]], expected)


def test_ids_that_are_no_instances_are_refused_or_left_out():
    tokenizer = Tokenizer.build(preset("iw"), TWO)
    with pytest.raises(DataError, match="go down to -1, expected 0"):
        tokenizer.encode(CLASSES, IDS - 1)
    with pytest.raises(DataError, match="float64, expected integers"):
        tokenizer.encode(CLASSES, IDS * 1.0)
    with pytest.raises(DataError, match=r"torch\.float64, expected integer ids"):
        tokenizer.encode_batch(
            torch.from_numpy(CLASSES)[None], torch.ones(1, 1, 3, 4).double(), budget=9
        )
    expected = tokenizer.encode(CLASSES, np.where(IDS == 1, 0, IDS))
    classes, ids = torch.from_numpy(CLASSES)[None], torch.from_numpy(np.where(IDS == 1, -1, IDS))
    for batch in (
        tokenizer.encode_batch(classes, ids[None], budget=40),
        encode_on_device(tokenizer, classes, ids[None], 40, "tail"),
    ):
        np.testing.assert_array_equal(batch.tokens[0, : batch.n_tokens[0]], expected)


def test_huge_instance_ids_keep_their_order():
    tokenizer = Tokenizer.build(preset("iw"), TWO)
    far = np.where(IDS == 7, 2**60, IDS)
    expected = tokenizer.encode(CLASSES, IDS)
    np.testing.assert_array_equal(tokenizer.encode(CLASSES, far), expected)
    batch = encode_on_device(
        tokenizer, torch.from_numpy(CLASSES)[None], torch.from_numpy(far)[None], 40, "tail"
    )
    np.testing.assert_array_equal(batch.tokens[0, : batch.n_tokens[0]], expected)


@pytest.mark.parametrize("name", ["lac", "iw", "multihead"])
def test_batches_of_nothing(name):
    tokenizer = Tokenizer.build(preset(name), TWO)
    none = torch.zeros((0, 1, 3, 4), dtype=torch.uint8)
    batch = tokenizer.encode_batch(none, none, budget=9)
    assert batch.tokens.shape == ((0, 4, 9) if name == "multihead" else (0, 9))
    assert len(batch.n_tokens) == len(batch.n_dropped_runs) == 0
    assert tokenizer.decode_batch(batch.tokens.numpy()).shape == (0, 1, 3, 4)


def test_misspelt_choices_are_refused():
    tokenizer = Tokenizer.build(preset("lac"), TWO)
    with pytest.raises(SchemeError, match="no drop='longest'; use drop='tail'"):
        tokenizer.encode(CLASSES, drop="longest")
    for value in (2.5, True, "5"):
        with pytest.raises(SchemeError, match="must be a whole number"):
            Tokenizer.build(preset("lac", max_length=value), TWO)
    with pytest.raises(SchemeError, match=r"no order=\['C'\]"):
        Tokenizer.build(preset("lac", order=["C"]), TWO)


def test_symbols_beyond_counting_are_refused():
    spec = MaskSpec(size=(4, 4), class_names=("a", "b"), n_frames=4096)
    for name in ("tac", "ltac"):
        with pytest.raises(SchemeError, match=r"over 10.18 symbols .* use time='volume'"):
            Tokenizer.build(preset(name), spec, vocab_limit=10**30)


def test_published_parameters_may_be_text():
    text = {"n_classes": "3", "shape": ["5", "5"], "starts_2d": "0", "length_as_class": "1",
            "max_length": "10", "subsample": "2", "class_offset": "100"}  # fmt: skip
    number = {"n_classes": 3, "shape": (5, 5), "starts_2d": 0, "length_as_class": 1,
              "max_length": 10, "subsample": 2, "class_offset": 100}  # fmt: skip
    mask = np.array([[[0, 1, 1, 0, 2]] * 5])
    first, second = published_tokenizer(text), published_tokenizer(number)
    assert first.scheme == second.scheme
    assert first.encode(mask).tolist() == second.encode(mask).tolist()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": 80}, r"shape=80 must be \(rows, columns\)"),
        ({"shape": [80]}, r"shape=\[80\] must be"),
        ({"shape": [3, 4, 5, 6]}, "must be"),
        ({"shape": "80"}, "must be"),
        ({"shape": (4, 8, 8), "vid_len": 2}, "has 4 frames, vid_len is 2"),
        ({"max_length": "abc"}, "max_length='abc' must be a whole number"),
        ({"diff_mask": 3}, "diff_mask=3 is none of"),
        ({"class_names": "ab"}, "must be a list of names"),
        ({"length_as_class": 1, "class_wise": 1}, "goes with neither blocks"),
        ({"length_as_class": 1, "shared_coord": 1}, "nor shared_coord"),
        ({"starts_offset": -10}, "must not be negative, got -10 for starts"),
    ],
)
def test_published_parameters_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(SchemeError, match=message):
        published_tokenizer({"n_classes": 3, "shape": (8, 8)} | changes)


def test_instance_wise_can_be_switched_off():
    params = {"n_classes": 2, "shape": (8, 8), "instance_classes": [1], "instance_wise": 0}
    assert published_tokenizer(params).blocks is None


def test_published_reading_stops_at_the_end_of_compact_ids():
    tokenizer = Tokenizer.build(preset("lac"), TWO)
    tokens = np.concatenate((tokenizer.encode(CLASSES), [5, 5, 5]))
    decoded = read_leniently(tokenizer, tokens)
    np.testing.assert_array_equal(decoded.classes, CLASSES)
    assert decoded.n_skipped == 0
    layout = PublishedLayout()
    assert Tokenizer.build(preset("lac"), TWO, layout=layout).vocab.eos == 0
