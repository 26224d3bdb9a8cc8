"""Tokens of the published implementation, id for id (masks are synthetic)."""

import json
from collections import Counter
from functools import cache

import numpy as np
import pytest

from rleseg_core.data import subsample_labels
from rleseg_core.published import published_tokenizer, read_leniently
from rleseg_core.spec import MaskSpec
from rleseg_core.tokens import PublishedLayout, Tokenizer
from rleseg_core.tokens.flattening import TimeClass

ENCODED = {
    ("static", "BIN"): 266,
    ("static", "SEP"): 546,
    ("static", "LAC"): 546,
    ("static", "BAC"): 334,
    ("static", "BACLAC"): 182,
    ("static", "DM1"): 129,
    ("static", "DM2"): 258,
    ("video", "3D"): 274,
    ("video", "TAC"): 172,
    ("video", "LTAC"): 172,
    ("pipeline_static", "BIN"): 10,
    ("pipeline_static", "SEP"): 32,
    ("pipeline_static", "LAC2D"): 21,
    ("pipeline_static", "CW"): 85,
    ("pipeline_static", "CW2D"): 14,
    ("pipeline_video", "3D"): 42,
    ("pipeline_video_older_repo", "TAC"): 14,
    ("pipeline_video_older_repo", "LTAC"): 19,
    ("instance_wise", "IW"): 21,
    ("tf_graph", "BIN"): 24,
    ("tf_graph", "SEP"): 56,
    ("tf_graph", "LAC"): 56,
    ("tf_mhd", "MHD"): 14,
    ("tf_subsample", "BIN"): 3,
    ("tf_subsample", "LAC"): 1,
}
"""Cases of each group and kind of scheme whose tokens are ours too."""

NOISY = {"noisy_static": 218, "noisy_video": 165, "noisy_instance": 23}
"""Cases of each group whose noisy tokens are read as published."""

REASONS = {
    "tokens of classes over time that wrap at 256": 26,
    "a differential taken by column and written by row": 85,
    "its script stops before it has tokens; those of its older repository are compared": 33,
    "masks from logits, whose ranges leave out the last start and the longest length": 22,
    "no tokens; the data tests subsample them": 8,
    "no tokens; the tests of stitching have masks of their own": 18,
}
"""Cases that are not compared, and why."""


def reason_not_to(case):
    group, scheme = case["group"], case["scheme"]
    wraps, by_column, stops, logits, subsampled, stitched = REASONS
    if scheme.endswith("__asis_uint8"):
        return wraps
    if scheme == "DM2-1D-F":
        return by_column
    if group == "pipeline_video" and "TAC" in scheme:
        return stops
    return {"logits_static": logits, "subsample": subsampled, "stitch": stitched}.get(group)


@cache
def index(folder):
    return json.loads((folder / "index.json").read_text(encoding="utf-8"))["cases"]


@pytest.fixture
def golden(shared_dir):
    folder = shared_dir / "golden" / "tokens"
    if not folder.is_dir():
        pytest.skip("the published token sequences are not among the reference data")
    return folder


def kind(case):
    return case["group"], case["scheme"].split("-")[0]


def targets(folder, group, family=None):
    for case in index(folder):
        if kind(case) == (group, family or kind(case)[1]) and not reason_not_to(case):
            yield case, case["params"], np.load(folder / case["file"])


def subsampled(ids, size, group):
    """Ids in mask pixels, by the rule of the path that the case went through."""
    if ids.shape[-2:] == size:
        return ids
    rule = "max" if "video" in group else "centre" if "tf" in group else "corner"
    patch = ids.shape[-1]
    if patch % size[1]:  # 100 pixels in 12 cells, which ours refuse
        first = np.arange(size[1]) * patch // size[1]
        return ids[..., first[:, None], first]
    return subsample_labels(ids, size, rule)


def masks_and_tokens(case, params, arrays):
    """Each mask of a case with its instance ids, if any, in mask pixels, and its tokens."""
    size = published_tokenizer(params).spec.size
    masks, instances = (
        subsampled(arrays[key], size, case["group"]) if key in arrays else None
        for key in (case["input_key"], "instance")
    )
    if not case["group"].startswith("tf"):
        ids = None if instances is None else instances[None]
        return [(masks.reshape(-1, *size), ids, np.append(arrays[case["token_key"]], 0))]
    if "output_keys" in case:
        tokens = np.stack([arrays[key] for key in case["output_keys"]], axis=1)
    else:
        tokens = arrays[case["token_key"]]
    return [(mask[None], None, row) for mask, row in zip(masks, tokens, strict=True)]


def assert_same_tokens(tokens, padded, message):
    n = min(tokens.shape[-1], padded.shape[-1])
    np.testing.assert_array_equal(tokens[..., :n], padded[..., :n], err_msg=message)
    assert not tokens[..., n:].any()  # the published ones may leave out the end
    assert not padded[..., n:].any()


@pytest.mark.parametrize(("group", "family"), ENCODED)
def test_tokens_equal_the_published_ones(golden, painted, compared, group, family):
    cases = list(targets(golden, group, family))
    assert len(cases) == ENCODED[group, family]
    for case, params, arrays in cases:
        tokenizer = published_tokenizer(params)
        max_runs = params.get("max_runs")
        for mask, ids, expected in masks_and_tokens(case, params, arrays):
            compared[group] += 1
            if max_runs:
                budget = max_runs * tokenizer.cost_of_run + 1
                kept = tokenizer.encode(mask, budget=budget, drop="shortest")
                assert_same_tokens(kept, expected, case["id"])
                tokenizer.decode(kept, strict=True)
                continue
            tokens = tokenizer.encode(mask, ids)
            assert_same_tokens(tokens, expected, case["id"])
            decoded = tokenizer.decode(tokens, strict=True)
            np.testing.assert_array_equal(decoded.classes, mask, err_msg=case["id"])
            again = tokenizer.decode(tokens)
            np.testing.assert_array_equal(again.classes, mask, err_msg=case["id"])
            assert again.n_skipped == 0
            if "n_runs" in case:
                assert tokenizer.count(mask, ids).n_runs == case["n_runs"]
            if tokens.size < 500:  # the others take long
                classes, instances, end = painted(tokenizer, tokenizer.events(tokens.T.tolist()))
                np.testing.assert_array_equal(classes, mask, err_msg=case["id"])
                assert (end.n_tokens, end.n_skipped) == (tokens.size, 0)
                if ids is not None:
                    np.testing.assert_array_equal(decoded.instances, instances)


def test_every_case_is_compared_or_has_a_reason_not_to_be(golden):
    reasons = Counter(reason_not_to(case) for case in index(golden))
    n_compared = reasons.pop(None)
    assert reasons == REASONS
    assert n_compared == sum(ENCODED.values()) + sum(NOISY.values()) == 3697
    kinds = {kind(case) for case in index(golden) if not reason_not_to(case)}
    assert {(group, family) for group, family in kinds if group not in NOISY} == set(ENCODED)


@pytest.mark.parametrize("group", NOISY)
def test_noisy_tokens_are_read_as_published_if_wanted(golden, compared, group):
    cases = list(targets(golden, group))
    assert len(cases) == NOISY[group]
    for case, params, arrays in cases:
        tokenizer = published_tokenizer({**params, "instance_wise": group == "noisy_instance"})
        tokens = arrays[case["input_key"]]
        decoded = read_leniently(tokenizer, tokens)
        expected = arrays["decoded"].reshape(decoded.classes.shape)
        np.testing.assert_array_equal(decoded.classes, expected, err_msg=case["id"])
        if "decoded_instance" in arrays:
            np.testing.assert_array_equal(
                decoded.instances[0], arrays["decoded_instance"], err_msg=case["id"]
            )
        ours = tokenizer.decode(tokens)
        assert ours.classes.max() <= tokenizer.spec.n_classes
        compared[group] += 1


def test_our_reading_of_noisy_tokens_keeps_more_of_the_mask(golden):
    n_wrong = Counter()
    for case, params, arrays in targets(golden, "noisy_static"):
        if case["scheme"] not in ("delete", "insert") or params["flat_order"] == "F":
            continue
        tokenizer = published_tokenizer(params)
        tokens = arrays[case["input_key"]]
        readings = {"ours": Tokenizer.decode, "published": read_leniently}
        for rules, read in readings.items():
            decoded = read(tokenizer, tokens)
            n_wrong[rules] += int((decoded.classes[0] != arrays["mask"]).sum())
    assert 0 < n_wrong["ours"] < n_wrong["published"] / 2


def offsets_of(tokenizer):
    """Offsets of starts, lengths and classes that the ids of a tokenizer follow; None if unused."""
    offsets = {segment.name: segment.offset - 1 for segment in tokenizer.vocab.segments}

    def first(*names):
        return next((offsets[name] for name in names if name in offsets), None)

    return first("start", "coord"), first("length"), first("class", "lac", "tac", "ltac", "change")


def chosen(golden, grid):
    rows = json.loads((golden / "offsets.json").read_text(encoding="utf-8"))[grid]
    for row in rows:
        names = ("starts_offset", "lengths_offset", "class_offset")
        params = {key: value for key, value in row.items() if key not in names}
        yield params, tuple(row[name] for name in names)


@pytest.mark.parametrize(
    ("grid", "n_rows"), [("static_get_rle_offsets", 270), ("video_params_process", 528)]
)
def test_offsets_are_chosen_as_published(golden, compared, grid, n_rows):
    rows = list(chosen(golden, grid))
    assert len(rows) == n_rows
    for params, expected in rows:
        shared_coord = bool(params.get("shared_coord"))
        n_frames = params.get("N", 1)
        tokenizer = published_tokenizer({**params, "vid_len": n_frames, "starts_2d": shared_coord})
        layout = PublishedLayout(shared_coord=shared_coord)
        given = layout.offsets(tokenizer.vocab.fields, tokenizer.scheme, tokenizer.spec)
        assert given == expected, params
        for used, offset in zip(offsets_of(tokenizer), expected, strict=True):
            assert used in (None, offset), params
        compared["offsets"] += 1


def test_classes_over_time_are_numbered_and_named_as_published(golden):
    tables = json.loads((golden / "offsets.json").read_text(encoding="utf-8"))["tac_names"]
    assert len(tables) == 6
    for table in tables:
        names = tuple(f"c{k}" for k in range(1, table["C"] + 1))
        flattening = TimeClass(MaskSpec(size=(2, 2), class_names=names, n_frames=table["N"]), "C")
        for symbol, name in table["tac_id_to_name"].items():
            assert flattening.symbol_text(int(symbol)).replace("background", "bkg") == name
