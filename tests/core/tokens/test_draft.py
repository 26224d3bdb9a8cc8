"""Drafts of objects keep in step with a sequence that leaves objects out, or adds some."""

import numpy as np
import pytest
import torch

from rleseg_core.spec import MaskSpec
from rleseg_core.tokens import Draft, Tokenizer, preset
from rleseg_core.tokens.object_order import by_first_pixel

SPEC = MaskSpec(size=(12, 12), class_names=("a", "b"))


def tokens_of(tokenizer: Tokenizer, ids: np.ndarray) -> list[int]:
    order = tokenizer.scheme.order
    ordered = by_first_pixel(torch.from_numpy(ids)[None], order)[0].numpy()
    classes = np.where(ids > 0, 1 + ids % 2, 0).astype(np.uint8)
    return [int(token) for token in tokenizer.encode(classes, ordered)]


def mask(*without: int) -> np.ndarray:
    ids = np.zeros((1, 12, 12), np.int32)
    ids[0, 0:3, 1:4], ids[0, 0:4, 4:7], ids[0, 5:9, 2:6], ids[0, 6:11, 7:11] = 4, 3, 2, 1
    return np.where(np.isin(ids, without), 0, ids)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("start", ["flat", "coords"])
@pytest.mark.parametrize("gone", [4, 3, 2, 1])
def test_an_object_that_is_not_written_shifts_nothing(start: str, order: str, gone: int) -> None:
    tokenizer = Tokenizer.build(preset("iw", start=start, order=order), SPEC)
    guess, true = tokens_of(tokenizer, mask()), tokens_of(tokenizer, mask(gone))
    draft = Draft(tokenizer, np.array(guess))
    n_wrong = 0
    for n in range(len(true)):
        proposed = draft.propose(true[:n], len(guess))
        rest = true[n:]
        n_wrong += list(proposed[: len(rest)]) != rest
    # before the object that is gone the guess holds it, and a row alone does not yet say which
    begun = tokens_of(tokenizer, np.where(by_order(mask(), order, gone), 0, mask()))
    assert n_wrong - len(begun) in ((0, 1) if start == "coords" else (0,))


def by_order(ids: np.ndarray, order: str, first: int) -> np.ndarray:
    """Where the object `first` is, and those that come after it."""
    ordered = by_first_pixel(torch.from_numpy(ids)[None], order)[0].numpy()
    return ordered >= ordered[ids == first].min()


def test_an_object_that_is_added_shifts_nothing() -> None:
    tokenizer = Tokenizer.build(preset("iw"), SPEC)
    guess, true = tokens_of(tokenizer, mask(3)), tokens_of(tokenizer, mask())
    draft = Draft(tokenizer, np.array(guess))
    k = tokenizer.tokens_per_run
    added = 3 * k + 1  # the object before it has three runs and a class
    inside = added + k
    assert draft.propose(true[:inside], 9) == []  # it knows nothing of this object
    after = added + 4 * k + 1
    assert draft.propose(true[:after], len(guess)) == true[after:]
