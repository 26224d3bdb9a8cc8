"""Tokens of the published implementation, by its own id offsets (masks and ids are synthetic)."""

import json
from functools import cache

import numpy as np
import pytest

NAMES = {"BIN": "binary", "SEP": "multiclass", "LAC": "lac"}


@cache
def index(folder):
    cases = json.loads((folder / "index.json").read_text(encoding="utf-8"))["cases"]
    return [case for case in cases if case["group"] == "static"]


def published_ids(tokenizer, tokens, params):
    offsets = {
        "start": params["starts_offset"],
        "coord": params["starts_offset"],
        "length": params["lengths_offset"],
        "class": params["class_offset"],
        "lac": params["class_offset"],
    }
    segments = [tokenizer.vocab.segment_of(token) for token in tokens]
    return [
        offsets[segment.name] + 1 + token - segment.offset
        for segment, token in zip(segments, tokens, strict=True)
    ]


@pytest.mark.parametrize("scheme", NAMES)
@pytest.mark.parametrize("start", ["1D", "2D"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_tokens_equal_the_published_ones(make_tokenizer, shared_dir, scheme, start, order):
    folder = shared_dir / "golden" / "tokens"
    if not folder.is_dir():
        pytest.skip("the published token sequences are not among the reference data")
    cases = [
        case for case in index(folder) if case["scheme"].startswith(f"{scheme}-{start}-{order}")
    ]
    assert len(cases) >= 38
    for case in cases:
        params = case["params"]
        arrays = np.load(folder / case["file"])
        mask, expected = arrays[case["input_key"]], arrays[case["token_key"]]
        tokenizer = make_tokenizer(
            NAMES[scheme],
            order,
            "flat" if start == "1D" else "coords",
            mask.shape,
            params["max_length"],
            params["C"],
        )
        tokens = tokenizer.encode(mask[None])
        assert published_ids(tokenizer, tokens[:-1], params) == expected.tolist(), case["id"]
        np.testing.assert_array_equal(tokenizer.decode(tokens, strict=True).classes[0], mask)
