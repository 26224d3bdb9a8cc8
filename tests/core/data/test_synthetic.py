"""The synthetic time-lapse: its arrays agree with each other, and its cells behave."""

import numpy as np
import pytest
from scipy import ndimage

from rleseg_core.data.synthetic import (
    CLASS_NAMES,
    SyntheticConfig,
    SyntheticSequence,
    frames,
    synthesize,
)
from rleseg_core.errors import DataError


@pytest.fixture(scope="module")
def sequence() -> SyntheticSequence:
    """Long and lively enough for births and deaths."""
    return synthesize(
        SyntheticConfig(n_frames=60, size=(192, 224), seed=3, division_rate=0.03, death_rate=0.01)
    )


def test_same_seed_gives_identical_arrays() -> None:
    config = SyntheticConfig(n_frames=4, size=(128, 128), seed=7)
    one, two = synthesize(config), synthesize(config)
    np.testing.assert_array_equal(one.images, two.images)
    np.testing.assert_array_equal(one.instances, two.instances)
    np.testing.assert_array_equal(one.classes, two.classes)
    assert one.parents == two.parents


def test_other_seed_gives_other_images() -> None:
    one = synthesize(SyntheticConfig(n_frames=1, seed=1))
    two = synthesize(SyntheticConfig(n_frames=1, seed=2))
    assert (one.instances != two.instances).any()


def test_short_sequence_is_the_beginning_of_a_longer_one() -> None:
    short = synthesize(SyntheticConfig(n_frames=3, size=(96, 96), seed=5))
    long = frames(SyntheticConfig(n_frames=9, size=(96, 96), seed=5))
    for index, frame in zip(range(3), long, strict=False):
        np.testing.assert_array_equal(frame.image, short.images[index])
        np.testing.assert_array_equal(frame.instances, short.instances[index])


@pytest.mark.parametrize(("n_frames", "size"), [(1, (97, 130)), (3, (300, 61)), (2, (34, 34))])
def test_any_size_and_length(n_frames: int, size: tuple[int, int]) -> None:
    made = synthesize(SyntheticConfig(n_frames=n_frames, size=size))
    shape = (n_frames, *size)
    assert (made.images.shape, made.images.dtype) == (shape, np.uint8)
    assert (made.classes.shape, made.classes.dtype) == (shape, np.uint8)
    assert (made.instances.shape, made.instances.dtype) == (shape, np.int32)
    assert made.class_names == CLASS_NAMES == ("ipsc", "dfc")


def test_scene_without_cells_is_background() -> None:
    made = synthesize(SyntheticConfig(n_frames=2, size=(64, 64), n_cells=0))
    assert not made.instances.any()
    assert made.images.std() > 0


@pytest.mark.parametrize(("share", "absent"), [(0.0, 1), (1.0, 2)])
def test_share_decides_which_classes_appear(share: float, absent: int) -> None:
    made = synthesize(SyntheticConfig(n_frames=2, ipsc_share=share))
    assert set(np.unique(made.classes)) == {0, 3 - absent}


def test_both_classes_appear_and_do_not_fill_the_frame(sequence: SyntheticSequence) -> None:
    assert set(np.unique(sequence.classes)) == {0, 1, 2}
    cover = (sequence.classes > 0).mean(axis=(1, 2))
    assert cover.min() > 0.02
    assert cover.max() < 0.8


def test_pixel_has_a_class_where_it_has_an_instance(sequence: SyntheticSequence) -> None:
    np.testing.assert_array_equal(sequence.instances > 0, sequence.classes > 0)


def test_instance_keeps_one_class_in_all_frames(sequence: SyntheticSequence) -> None:
    pairs = np.unique(sequence.instances * 4 + sequence.classes)
    assert len(np.unique(pairs // 4)) == len(pairs)


def test_instance_is_in_one_piece(sequence: SyntheticSequence) -> None:
    for instances in sequence.instances[::10]:
        for label in np.unique(instances[instances > 0]):
            pieces, n_pieces = ndimage.label(instances == label, np.ones((3, 3)))
            sizes = np.bincount(pieces.ravel())[1:]
            assert n_pieces == 1 or sizes.max() > 0.97 * sizes.sum()


def test_cells_persist_and_move_little(sequence: SyntheticSequence) -> None:
    overlaps = []
    for before, after in zip(sequence.instances[:-1], sequence.instances[1:], strict=True):
        for label in np.intersect1d(before[before > 0], after[after > 0]):
            one, two = before == label, after == label
            overlaps.append((one & two).sum() / (one | two).sum())
    assert np.median(overlaps) > 0.75
    assert np.quantile(overlaps, 0.02) > 0.3


def test_mother_ends_where_two_daughters_of_her_class_begin(sequence: SyntheticSequence) -> None:
    assert sequence.parents
    seen = {
        int(label): np.flatnonzero((sequence.instances == label).any(axis=(1, 2)))
        for label in np.unique(sequence.instances)
    }
    pairs = np.unique(sequence.instances * 4 + sequence.classes)
    class_of = dict(zip(pairs // 4, pairs % 4, strict=True))
    mothers = list(sequence.parents.values())
    assert all(mothers.count(mother) == 2 for mother in mothers)
    for daughter, mother in sequence.parents.items():
        assert daughter > mother
        if daughter in seen and mother in seen:
            assert seen[mother].max() < seen[daughter].min()
            assert class_of[daughter] == class_of[mother]


def test_cells_die(sequence: SyntheticSequence) -> None:
    last = set(np.unique(sequence.instances[-1]))
    mothers = set(sequence.parents.values())
    ended = set(np.unique(sequence.instances)) - last - mothers
    assert ended


def test_cells_touch(sequence: SyntheticSequence) -> None:
    left, right = sequence.instances[..., :-1], sequence.instances[..., 1:]
    assert ((left > 0) & (right > 0) & (left != right)).any()


def test_without_events_ids_stay_the_same() -> None:
    made = synthesize(SyntheticConfig(n_frames=20, division_rate=0, death_rate=0, seed=4))
    assert not made.parents
    assert set(np.unique(made.instances)) <= set(range(made.config.n_first_cells + 1))


def test_mean_grey_alone_does_not_tell_the_classes() -> None:
    means: dict[int, list[float]] = {1: [], 2: []}
    for seed in range(6):
        made = synthesize(SyntheticConfig(n_frames=1, seed=seed))
        for label in np.unique(made.instances[made.instances > 0]):
            inside = made.instances == label
            means[int(made.classes[inside][0])].append(float(made.images[inside].mean()))
    ipsc, dfc = np.array(means[1]), np.array(means[2])
    cuts = np.linspace(60, 140, 161)
    right = [((ipsc > cut).sum() + (dfc <= cut).sum()) / (len(ipsc) + len(dfc)) for cut in cuts]
    assert max(right) < 0.92


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": (20, 300)}, "cannot hold a cell"),
        ({"size": (64,)}, "size must be 2 values"),
        ({"size": (0, 0)}, "size must be 2 values, each a whole number from 1"),
        ({"n_frames": 0}, "n_frames must be a whole number of 1 or more"),
        ({"seed": -1}, "seed"),
        ({"cell_radius": 1.0}, "cell_radius"),
        ({"n_cells": 1000}, "n_cells must lie between 0 and"),
        ({"ipsc_share": 1.5}, "ipsc_share"),
        ({"noise": -1.0}, "noise"),
    ],
)
def test_impossible_config_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        SyntheticConfig(**changes)
