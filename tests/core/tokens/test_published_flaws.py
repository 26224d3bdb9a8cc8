"""What the published implementation gets wrong is right here."""

import numpy as np
import pytest
import torch

from rleseg_core.errors import SchemeError
from rleseg_core.published import published_tokenizer, read_leniently
from rleseg_core.spec import MaskSpec
from rleseg_core.tokens import PRESETS, PublishedLayout, Tokenizer, for_classes, preset


def spec_of(size=(4, 6), n_classes=2, n_frames=1):
    names = tuple(f"class{k}" for k in range(1, n_classes + 1))
    return MaskSpec(size=size, class_names=names, n_frames=n_frames)


def spec_for(name, size=(4, 6), n_classes=2):
    n_frames = 3 if name.startswith("3d") or "tac" in name else 1
    return spec_of(size, n_classes, n_frames)


def build(name, spec, **changes):
    scheme = for_classes(preset(name, **changes), spec.n_classes)
    return Tokenizer.build(scheme, spec, vocab_limit=10**7)


def some_mask(spec, seed=0):
    """Class and instance ids (N, S, S), an instance for each class."""
    rng = np.random.default_rng(seed)
    classes = np.repeat(rng.integers(0, spec.n_classes + 1, spec.n_pixels), 2)[: spec.n_pixels]
    classes = np.stack([np.roll(classes, frame) for frame in range(spec.n_frames)])
    return classes.reshape(spec.shape), classes.reshape(spec.shape)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("size", [(4, 6), (5, 5)])
def test_column_order_decodes(name, size):
    spec = spec_for(name, size)
    tokenizer = build(name, spec, order="F")
    classes, instances = some_mask(spec)
    tokens = tokenizer.encode(classes, instances)
    by_row = build(name, spec, order="C").encode(classes, instances)
    assert tokens.tolist() != by_row.tolist()
    np.testing.assert_array_equal(tokenizer.decode(tokens, strict=True).classes, classes)


def test_column_order_of_published_ids_is_read_transposed_by_the_published_rules_only():
    tokenizer = published_tokenizer({"C": 2, "S": 5, "flat_order": "F"})
    classes, _ = some_mask(tokenizer.spec)
    tokens = tokenizer.encode(classes)
    np.testing.assert_array_equal(tokenizer.decode(tokens).classes, classes)
    transposed = read_leniently(tokenizer, tokens).classes
    np.testing.assert_array_equal(transposed, classes.swapaxes(1, 2))


@pytest.mark.parametrize("name", PRESETS)
def test_empty_masks_encode(name):
    spec = spec_for(name)
    tokenizer = build(name, spec)
    empty = np.zeros(spec.shape, np.uint8)
    tokens = tokenizer.encode(empty, empty)
    if tokenizer.scheme.runs != "tiling":
        assert (tokens == tokenizer.vocab.eos).all()
        assert tokens.shape[-1] == 1
    assert not tokenizer.decode(tokens, strict=True).classes.any()
    batch = torch.as_tensor(empty[None])
    made = tokenizer.encode_batch(batch, batch, budget=tokens.shape[-1])
    np.testing.assert_array_equal(made.tokens[0].numpy(), tokens)


def test_instance_that_vanishes_leaves_no_block():
    tokenizer = build("iw", spec_of())
    classes = np.zeros((1, 4, 6), np.uint8)
    classes[0, 1, 2:4] = 2
    instances = classes * 9 + (classes == 0) * 4  # 4 lies on the background alone
    decoded = tokenizer.decode(tokenizer.encode(classes, instances), strict=True)
    np.testing.assert_array_equal(decoded.instances, classes > 0)
    np.testing.assert_array_equal(decoded.classes, classes)


@pytest.mark.parametrize("layout", [None, PublishedLayout()])
@pytest.mark.parametrize(("n_classes", "n_frames"), [(1, 8), (3, 4), (2, 5)])
def test_classes_over_time_above_155_do_not_wrap(layout, n_classes, n_frames):
    highest = (n_classes + 1) ** n_frames - 1
    assert highest + 100 > 255
    spec = spec_of((18, 18), n_classes, n_frames)
    tokenizer = Tokenizer.build(preset("tac"), spec, layout=layout)
    symbols = np.arange(18 * 18).reshape(18, 18) % (highest + 1)
    base = n_classes + 1
    classes = np.stack([symbols // base**frame % base for frame in range(n_frames)])
    for mask in (classes, classes.astype(np.uint8)):
        tokens = tokenizer.encode(mask)
        segment = tokenizer.vocab.segment("tac")
        said = set(tokens[2:-1:3].tolist())
        assert said == set(range(segment.offset, segment.end))
        assert len(said) == highest
        np.testing.assert_array_equal(tokenizer.decode(tokens, strict=True).classes, classes)
    if layout is not None:
        assert max(said) == 100 + highest
    batch = tokenizer.encode_batch(torch.as_tensor(classes[None]), budget=tokens.size)
    np.testing.assert_array_equal(batch.tokens[0].numpy(), tokens)


def ends_of(name, start, order):
    """A tokenizer, and a mask with a run on the last pixel alone and the longest one before."""
    spec = spec_of((4, 6), n_classes=1 if name == "binary" else 2)
    tokenizer = build(name, spec, start=start, order=order)
    plane = np.zeros(24, np.uint8)
    plane[-1] = 1
    plane[2 : 2 + tokenizer.max_length] = spec.n_classes
    return tokenizer, plane.reshape(4, 6, order=order)[None]


@pytest.mark.parametrize("name", ["binary", "multiclass", "lac"])
@pytest.mark.parametrize("start", ["flat", "coords"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_last_start_and_longest_length_are_reachable(name, start, order):
    tokenizer, mask = ends_of(name, start, order)
    tokens = tokenizer.encode(mask)
    np.testing.assert_array_equal(tokenizer.decode(tokens, strict=True).classes, mask)
    for field, offset in tokenizer.columns:
        ids = set(tokens[:-1].tolist())
        if field.segment in ("start", "length", "lac"):
            assert offset + field.n_values - 1 in ids
    tables = tokenizer.grammar.on("cpu")
    state = tables.start(1)
    for token in tokens.tolist():
        assert tables.allowed(state)[0, token]
        state = tables.advance(state, torch.tensor([token]))


@pytest.mark.parametrize("name", ["iw", "iw-tac"])
def test_more_than_255_instances(name):
    spec = spec_of((20, 40), n_frames=3 if "tac" in name else 1)
    tokenizer = build(name, spec)
    instances = np.tile(np.arange(800).reshape(20, 40) // 2, (spec.n_frames, 1, 1))
    classes = (instances > 0) + (instances % 3 == 1)
    tokens = tokenizer.encode(classes, instances)
    for decoded in (tokenizer.decode(tokens, strict=True), tokenizer.decode(tokens)):
        np.testing.assert_array_equal(decoded.instances, instances)
        np.testing.assert_array_equal(decoded.classes, classes)
    assert decoded.instances.max() == 399
    batch = [torch.as_tensor(ids[None]) for ids in (classes, instances)]
    made = tokenizer.encode_batch(*batch, budget=tokens.size)
    np.testing.assert_array_equal(made.tokens[0].numpy(), tokens)


def test_background_ids_of_tilings_are_positive():
    for name in ("bac", "bac-lac"):
        tokenizer = build(name, spec_of((160, 160)))
        classes, _ = some_mask(tokenizer.spec)
        tokens = tokenizer.encode(classes)
        assert tokens.min() == tokenizer.vocab.eos
        assert tokens[:-1].min() > tokenizer.vocab.eos
    params = {"C": 2, "S": 160, "bkg_as_class": 1, "length_as_class": 1}
    with pytest.raises(SchemeError, match=r"ids from -59 on.*; use class_offset=160 or more"):
        published_tokenizer({**params, "class_offset": 100})
    tokenizer = published_tokenizer({**params, "class_offset": 160})
    tokens = tokenizer.encode(classes)
    assert tokens[:-1].min() > tokenizer.vocab.pad
    np.testing.assert_array_equal(tokenizer.decode(tokens, strict=True).classes, classes)


@pytest.mark.parametrize("name", ["diff", "diff-rows"])
@pytest.mark.parametrize("start", ["flat", "coords"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_differential_masks_come_back_in_every_order_and_start(name, start, order):
    tokenizer = build(name, spec_of(n_classes=3), start=start, order=order)
    classes, _ = some_mask(tokenizer.spec)
    tokens = tokenizer.encode(classes)
    np.testing.assert_array_equal(tokenizer.decode(tokens, strict=True).classes, classes)
    np.testing.assert_array_equal(tokenizer.decode(tokens).classes, classes)


@pytest.mark.parametrize("name", ["cw", "iw", "cw-tac", "iw-tac"])
def test_stray_class_does_not_swallow_the_next_block(name):
    spec = spec_for(name)
    tokenizer = build(name, spec)
    classes, instances = some_mask(spec)
    tokens = tokenizer.encode(classes, instances)
    stray = np.insert(tokens, 0, tokenizer.vocab.label_offset)
    decoded = tokenizer.decode(stray)
    np.testing.assert_array_equal(decoded.classes, classes)
    assert decoded.n_skipped == 1


def test_no_limit_of_lengths_is_refused_with_what_to_give():
    with pytest.raises(SchemeError, match=r"max_length=0 must lie between 1 and the 24 .*use"):
        build("lac", spec_of(), max_length=0)
