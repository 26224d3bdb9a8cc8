"""What holds of every scheme there is, for small masks of all kinds."""

import re
from collections import Counter
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rleseg_core.errors import SchemeError
from rleseg_core.spec import MaskSpec
from rleseg_core.tokens import RunPainted, Tokenizer
from rleseg_core.tokens.runs import RUN_KINDS

BUILT_IN = ("foreground", "tiling", "change")  # those that are counted; there may be others


def runs_in(tokenizer, tokens):
    events = tokenizer.events(tokens.T.tolist())
    return [event for event in events if isinstance(event, RunPainted)]


def drops(scheme):
    return ("tail", "shortest") if RUN_KINDS[scheme.runs].independent else ("tail",)


def follow(message, scheme, spec):
    """The scheme and the spec changed by the first remedy of a message."""
    name, value = re.search(r"; use (\w+)=('\w+'|\w+)", message).groups()
    value = {"None": None}.get(value, value.strip("'"))
    if name == "n_frames":
        return scheme, replace(spec, n_frames=int(value))
    return replace(scheme, **{name: value}), spec


@pytest.mark.parametrize(
    ("n_classes", "n_frames", "n_built"), [(1, 1, 92), (2, 1, 108), (1, 2, 216), (2, 2, 232)]
)
def test_every_combination_is_built_or_refused_with_a_remedy(
    every_scheme, n_classes, n_frames, n_built
):
    names = tuple(f"class{k}" for k in range(1, n_classes + 1))
    spec = MaskSpec(size=(3, 5), class_names=names, n_frames=n_frames)
    n = Counter()
    for scheme in every_scheme:
        try:
            Tokenizer.build(scheme, spec)
            n["built"] += scheme.runs in BUILT_IN
            continue
        except SchemeError as error:
            n["refused"] += scheme.runs in BUILT_IN
            message = str(error)
        said = [f"{name}={value!r}" for name, value in asdict(scheme).items()]
        assert any(choice in message.split("; use ")[0] for choice in said), message
        assert "; use " in message
        changed, changed_spec = scheme, spec
        for _ in range(6):  # whoever does as told gets there
            changed, changed_spec = follow(message, changed, changed_spec)
            try:
                Tokenizer.build(changed, changed_spec)
                break
            except SchemeError as error:
                message = str(error)
        else:
            pytest.fail(f"{scheme} has no end of remedies: {message}")
    assert n == {"built": n_built, "refused": 1296 - n_built}


@given(data=st.data())
@settings(max_examples=6, deadline=None)
def test_every_mask_comes_back(scheme, cases, painted, data):
    tokenizer, classes, instances = data.draw(cases(scheme))
    tokens = tokenizer.encode(classes, instances)
    assert tokens.dtype == np.int64
    assert (tokens[..., -1] == tokenizer.vocab.eos).all()
    assert 0 <= tokens.min() <= tokens.max() < tokenizer.vocab.size
    as_painted, ids, end = painted(tokenizer, tokenizer.events(tokens.T.tolist()))
    np.testing.assert_array_equal(as_painted, classes)
    for strict in (True, False):
        decoded = tokenizer.decode(tokens, strict=strict)
        np.testing.assert_array_equal(decoded.classes, classes)
        assert decoded.n_skipped == 0
        if scheme.blocks == "instance":
            numbers = np.unique(np.append(instances, 0), return_inverse=True)[1][:-1]
            np.testing.assert_array_equal(decoded.instances, numbers.reshape(instances.shape))
            np.testing.assert_array_equal(decoded.instances, ids)
        else:
            assert decoded.instances is None
    counts = tokenizer.count(classes, instances)
    assert counts.n_tokens == tokens.shape[-1]
    assert counts.n_runs == end.n_runs
    n_closed = np.unique(instances if scheme.blocks == "instance" else classes)
    assert counts.n_blocks == (n_closed > 0).sum() * (scheme.blocks is not None)
    assert (end.n_tokens, end.n_skipped, end.dropped) == (tokens.size, 0, ())


@given(data=st.data())
@settings(max_examples=5, deadline=None)
def test_no_run_is_cut_by_a_budget(scheme, cases, seen_pixels, data):
    tokenizer, classes, instances = data.draw(cases(scheme, most_frames=3))
    whole = tokenizer.encode(classes, instances)
    runs = runs_in(tokenizer, whole)
    most = whole.shape[-1]
    for drop in drops(scheme):
        budget = data.draw(st.integers(1, most + 3))
        cut = tokenizer.encode(classes, instances, budget=budget, drop=drop)
        assert cut.shape[-1] <= budget
        if budget >= most:
            np.testing.assert_array_equal(cut, whole)
        kept = tokenizer.decode(cut, strict=True).classes
        assert (kept[kept > 0] == classes[kept > 0]).all()
        for run in runs:
            seen = kept[seen_pixels(tokenizer, run)] > 0
            assert seen.all() or not seen.any()
        kept_runs = runs_in(tokenizer, cut)
        if len(kept_runs) == len(runs) or scheme.runs == "change":
            continue
        assert cut.shape[-1] + tokenizer.cost_of_run + (scheme.blocks is not None) > budget
        lengths, kept_lengths = ([run.length for run in some] for some in (runs, kept_runs))
        if drop == "shortest":
            assert sorted(kept_lengths) == sorted(lengths)[len(runs) - len(kept_runs) :]
        else:
            assert kept_lengths == lengths[: len(kept_runs)]
