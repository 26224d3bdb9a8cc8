import json
from itertools import pairwise, product

import numpy as np
import pytest

from rleseg_core import product_of
from rleseg_core.analysis.lengths import (
    ANY_VOCABULARY,
    WindowCounted,
    bin_edges,
    count_tokens,
    schemes_for,
    whole_frame,
)
from rleseg_core.data import LabelStack, MaskStack, subsample_labels
from rleseg_core.errors import DataError, SchemeError
from rleseg_core.evaluation.scores import confusion_matrix, score
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import PRESETS, Scheme, Tokenizer, preset


def masks_of(classes: np.ndarray, n_classes: int = 2, instances=None) -> MaskStack:
    names = tuple(f"class{k}" for k in range(1, n_classes + 1))
    ids = None if instances is None else LabelStack.from_array(instances)
    return MaskStack(class_names=names, classes=LabelStack.from_array(classes), instances=ids)


@pytest.fixture
def random_masks() -> np.ndarray:
    """Blobs of two classes, (5, 24, 32) uint8."""
    rng = np.random.default_rng(4)
    coarse = rng.integers(0, 3, (5, 6, 8)).astype(np.uint8)
    classes = np.kron(coarse, np.ones((1, 4, 4), np.uint8))
    classes[rng.random(classes.shape) < 0.1] = 0
    classes[3, :16, :16] = 0
    return classes


def n_runs(cells: list[int], longest: int) -> int:
    """Runs of a sequence of symbols, cell by cell."""
    runs = length = previous = 0
    for cell in cells:
        length = length + 1 if cell == previous else 1
        runs += cell != 0 and length % longest == 1 % longest
        previous = cell
    return runs


def brute_force(window: np.ndarray, scheme: str) -> int:
    """Tokens of a window (N, S, S), the eos included."""
    n_frames, side, _ = window.shape
    if scheme == "lac":
        return 2 * n_runs(window.ravel().tolist(), side) + 1
    if scheme == "multiclass":
        return 3 * n_runs(window.ravel().tolist(), side) + 1
    if scheme == "3d-f":
        return 3 * n_runs(window.ravel(order="F").tolist(), n_frames * side) + 1
    together = sum(window[t].astype(int) * 3**t for t in range(n_frames)).ravel().tolist()
    return {"tac": 3, "ltac": 2}[scheme] * n_runs(together, side) + 1


@pytest.mark.parametrize(
    ("n_frames", "stride", "names"),
    [(1, 1, ("lac", "multiclass")), (2, 1, ("lac", "3d-f", "tac", "ltac")), (3, 3, ("tac", "lac"))],
)
def test_counts_are_those_of_a_brute_force_count(random_masks, n_frames, stride, names):
    window = WindowSpec(patch=16, patch_stride=16, n_frames=n_frames, frame_stride=stride)
    schemes = {name: preset(name) for name in names}
    columns = product_of(count_tokens([masks_of(random_masks)], window, schemes, [16, 4]))
    assert [(c.mask_size, c.name) for c in columns] == list(product((16, 4), names))
    firsts = sorted({*range(0, 5 - n_frames, stride), 5 - n_frames})
    places = list(product(firsts, (0, 8), (0, 16)))  # the lower patches end flush with the frame
    for column in columns:
        side = (column.mask_size, column.mask_size)
        cut = [random_masks[t : t + n_frames, y : y + 16, x : x + 16] for t, y, x in places]
        small = [subsample_labels(part, side) for part in cut]
        expected = [brute_force(part, column.name) for part in small]
        assert column.n_sequences == len(expected)
        np.testing.assert_allclose(column.mean, np.mean(expected))
        assert column.longest == max(expected)
        assert column.n_empty == sum(not part.any() for part in small)
        for n in (1, 20, 50, 100):
            assert column.share_above(n) == pytest.approx(np.mean(np.array(expected) > n))
        for percent in (1, 50, 90, 98, 100):
            method = "inverted_cdf"
            assert column.percentile(percent) == np.percentile(expected, percent, method=method)
        edges = bin_edges(columns)
        np.testing.assert_array_equal(column.histogram(edges), np.histogram(expected, edges)[0])


def test_dice_is_that_of_subsampling_and_back(random_masks):
    window = WindowSpec(patch=8, patch_stride=8)
    columns = product_of(
        count_tokens([masks_of(random_masks)], window, {"lac": preset("lac")}, [8, 4], rule="max")
    )
    assert columns[0].dice == 1
    blocks = random_masks.reshape(5, 12, 2, 16, 2).max(axis=(2, 4))
    restored = np.kron(blocks, np.ones((1, 2, 2), np.uint8))
    expected = score(confusion_matrix(random_masks, restored, 2), ("a", "b")).mean_dice
    assert columns[1].dice == pytest.approx(expected)


def test_frames_are_resized_as_models_see_them(random_masks):
    window = WindowSpec(patch=16, patch_stride=16, image_size=16)
    (column,) = product_of(
        count_tokens([masks_of(random_masks)], window, {"lac": preset("lac")}, [16])
    )
    assert column.n_sequences == 5
    small = random_masks[:, 1::2, 1::2]  # the pixel below and right of the centre
    filled = np.concatenate([small, np.repeat(small[:, -1:], 4, axis=1)], axis=1)
    assert column.longest == max(brute_force(part[None], "lac") for part in filled)


@pytest.mark.parametrize("name", PRESETS)
def test_every_scheme_counts_what_it_encodes(random_masks, name):
    n_frames = 2 if preset(name).time == "class" else 1
    instances = random_masks.astype(np.int32) * 5
    spec = MaskSpec(size=(8, 8), class_names=("class1", "class2"), n_frames=n_frames)
    usable, left_out = schemes_for([name], spec, instances=True)
    if name == "binary":
        assert "tell 2 classes apart" in left_out["binary"]
        return
    window = WindowSpec(patch=8, patch_stride=8, n_frames=n_frames)
    masks = masks_of(random_masks, instances=instances)
    (column,) = product_of(count_tokens([masks], window, usable, [8]))
    tokenizer = Tokenizer.build(usable[name], spec, vocab_limit=ANY_VOCABULARY)
    lengths = [tokenizer.encode(*pair).shape[-1] for pair in masks.windows(window)]
    assert column.mean == pytest.approx(np.mean(lengths))
    assert column.longest == max(lengths)
    assert column.n_vocab == tokenizer.vocab.size


def test_several_stacks_of_other_sizes_are_counted_together(random_masks):
    small = random_masks[:2, :16, :20]
    window = WindowSpec(patch=16, patch_stride=16)
    parts = [
        product_of(count_tokens([masks_of(part)], window, {"lac": preset("lac")}, [16]))[0]
        for part in (random_masks, small)
    ]
    stacks = [masks_of(random_masks), masks_of(small)]
    (both,) = product_of(count_tokens(stacks, window, {"lac": preset("lac")}, [16]))
    assert both.n_sequences == sum(part.n_sequences for part in parts) == 20 + 4
    assert both.longest == max(part.longest for part in parts)


def test_reports_come_window_by_window_and_nothing_else_is_read_when_stopped(random_masks):
    stack = masks_of(random_masks)
    read = []
    original = MaskStack.class_frame

    class Watched(MaskStack):
        def class_frame(self, frame):
            read.append(frame)
            return original(self, frame)

    watched = Watched(class_names=stack.class_names, classes=stack.classes)
    window = WindowSpec(patch=16, patch_stride=16)
    run = count_tokens([watched], window, {"lac": preset("lac")}, [16])
    assert next(run) == WindowCounted(1, 20)
    run.close()
    assert read == [0]


def test_windows_are_thinned_out_evenly(random_masks):
    window = WindowSpec(patch=16, patch_stride=16)
    run = count_tokens(
        [masks_of(random_masks)], window, {"lac": preset("lac")}, [16], max_windows=3
    )
    assert list(run) == [WindowCounted(k, 3) for k in (1, 2, 3)]


def test_budget_is_the_smallest_threshold_that_two_in_a_hundred_exceed():
    masks = np.zeros((100, 8, 8), np.uint8)
    masks[:, ::2, 0] = 1  # 4 runs, 9 tokens
    masks[:2, ::2, ::2] = 1  # 16 runs, 33 tokens
    window = WindowSpec(patch=8, patch_stride=8)
    binary = {"binary": preset("binary")}
    (column,) = product_of(count_tokens([masks_of(masks, 1)], window, binary, [8]))
    assert column.budget((8, 9, 20, 40)) == 9
    masks[2, ::2, ::2] = 1
    (column,) = product_of(count_tokens([masks_of(masks, 1)], window, binary, [8]))
    assert column.budget((8, 9, 20, 40)) == 40
    assert column.budget((8, 9, 20)) is None
    assert column.share_above(9) == 0.03


def test_empty_masks_are_counted():
    window = WindowSpec(patch=8, patch_stride=8)
    masks = masks_of(np.zeros((2, 8, 8), np.uint8), 1)
    (column,) = product_of(count_tokens([masks], window, {"binary": preset("binary")}, [8]))
    assert (column.mean, column.longest, column.empty_share) == (1, 1, 1)
    assert json.loads(json.dumps(column.to_json()))["dice"] is None


def test_json_holds_plain_values(random_masks):
    window = WindowSpec(patch=16, patch_stride=16)
    (column,) = product_of(
        count_tokens([masks_of(random_masks)], window, {"lac": Scheme(symbol="length")}, [16])
    )
    values = json.loads(json.dumps(column.to_json((64, 128)), allow_nan=False))
    assert values["above"] == {"64": column.share_above(64), "128": column.share_above(128)}
    assert values["vocabulary"] == 3 + 256 + 32
    assert values["segments"] == {"special": 3, "start": 256, "lac": 32}
    assert Scheme.from_json(values["scheme"]) == Scheme(symbol="length")


def test_edges_are_round_and_hold_the_longest(random_masks):
    window = WindowSpec(patch=16, patch_stride=16)
    columns = product_of(
        count_tokens([masks_of(random_masks)], window, {"lac": preset("lac")}, [16])
    )
    for n_bins in (1, 3, 60):
        edges = bin_edges(columns, n_bins)
        (width,) = {high - low for low, high in pairwise(edges)}
        assert int(str(width).rstrip("0")) in (1, 2, 5)
        assert edges[0] == 0
        assert edges[-1] > columns[0].longest
        assert len(edges) <= n_bins + 2
        assert sum(columns[0].histogram(edges)) == columns[0].n_sequences


def test_schemes_that_do_not_go_with_the_masks_are_named():
    one = MaskSpec(size=(8, 8), class_names=("cell",))
    usable, left_out = schemes_for(PRESETS, one, instances=False)
    assert usable["binary"] == Scheme()
    assert "binary" in left_out["lac"]
    assert "n_frames=2" in left_out["tac"]
    assert "objects" in left_out["iw"]
    usable, left_out = schemes_for(
        PRESETS, MaskSpec(size=(8, 8), class_names=("cell",), n_frames=2), instances=True
    )
    assert {"tac", "ltac", "iw", "3d-c", "3d-f"} <= set(usable)
    assert left_out["binary"] == "the same as 3d-c for masks of one class"
    with pytest.raises(SchemeError, match="morse"):
        schemes_for(["morse"], one, instances=False)


def test_starts_are_changed_only_where_there_are_any():
    spec = MaskSpec(size=(8, 8), class_names=("a", "b"))
    usable, _ = schemes_for(["lac", "bac"], spec, instances=False, order="F", start="coords")
    assert usable["lac"] == preset("lac", order="F", start="coords")
    assert usable["bac"] == preset("bac", order="F")


def test_whole_frames_are_rounded_up_to_what_can_be_subsampled(random_masks):
    masks = [masks_of(random_masks)]
    assert whole_frame(masks, None, [1, 2]) == 32
    assert whole_frame(masks, None, [1, 5]) == 35
    assert whole_frame(masks, 48, [32]) == 64


def test_what_cannot_be_counted(random_masks):
    masks, window = masks_of(random_masks), WindowSpec(patch=16, patch_stride=16)
    lac = {"lac": preset("lac")}
    with pytest.raises(DataError, match="divide"):
        next(count_tokens([masks], window, lac, [5]))
    with pytest.raises(DataError, match="6 frames"):
        next(count_tokens([masks], WindowSpec(patch=16, patch_stride=16, n_frames=6), lac, [8]))
    with pytest.raises(DataError, match="0 schemes"):
        next(count_tokens([masks], window, {}, [8]))
    with pytest.raises(SchemeError, match="n_frames=2"):
        next(count_tokens([masks], window, {"tac": preset("tac")}, [8]))


def test_dice_of_many_classes():
    rng = np.random.default_rng(1)
    masks = rng.integers(0, 41, (2, 8, 8)).astype(np.uint8)
    window = WindowSpec(patch=8, patch_stride=8)
    (column,) = product_of(count_tokens([masks_of(masks, 40)], window, {"lac": preset("lac")}, [4]))
    restored = np.kron(masks[:, 1::2, 1::2], np.ones((1, 2, 2), np.uint8))
    expected = score(confusion_matrix(masks, restored, 40), tuple(map(str, range(40)))).mean_dice
    assert column.dice == pytest.approx(expected)


def test_figures_of_the_documentation(shared_dir):
    fields = shared_dir / "data" / "usiigaci_gt50" / "masks"
    masks = MaskStack.open(fields, ("cell",), instances=True)
    window = WindowSpec(patch=640, patch_stride=640, image_size=2560)
    (column,) = product_of(count_tokens([masks], window, {"binary": Scheme()}, [80]))
    assert (column.n_sequences, column.longest, column.budget()) == (720, 605, 512)
    assert round(column.mean, 1) == 195.5
    assert round(column.share_above(512), 4) == 0.0139
    assert round(column.dice, 3) == 0.961
