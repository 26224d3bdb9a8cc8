"""Synthetic rods, yeast, nuclei and spread cells: exact instances, growth, division records."""

import hashlib
from typing import get_args

import numpy as np
import pytest
from scipy import ndimage

from rleseg_core.data.synthetic import (
    CultureConfig,
    Kind,
    Modality,
    SyntheticConfig,
    SyntheticSequence,
    frames,
    synthesize,
    varied_stack,
)
from rleseg_core.errors import DataError

KINDS = get_args(Kind)


@pytest.fixture(scope="module", params=KINDS)
def sequence(request) -> SyntheticSequence:
    """Long enough for births, of each kind."""
    n_frames, seed = {"rods": (16, 3), "yeast": (24, 2), "nuclei": (36, 3), "spread": (36, 0)}[
        request.param
    ]
    config = CultureConfig(
        kind=request.param, n_frames=n_frames, size=(128, 144), seed=seed, n_cells=10, cell_radius=7
    )
    return synthesize(config)


def test_cells_of_two_classes_are_those_they_were() -> None:
    made = synthesize(SyntheticConfig(n_frames=3, size=(64, 96), seed=3))
    digest = hashlib.sha256(made.instances.tobytes()).hexdigest()
    assert digest.startswith("10d29fb2bb5a65ca")
    assert made.images.astype(int).sum() == pytest.approx(1739389, rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_gives_the_same_and_a_shorter_one_is_its_beginning(kind: Kind) -> None:
    short = synthesize(CultureConfig(kind=kind, n_frames=3, size=(90, 80), seed=5))
    long = frames(CultureConfig(kind=kind, n_frames=9, size=(90, 80), seed=5))
    for index, frame in zip(range(3), long, strict=False):
        np.testing.assert_array_equal(frame.image, short.images[index])
        np.testing.assert_array_equal(frame.instances, short.instances[index])
    other = next(frames(CultureConfig(kind=kind, n_frames=3, size=(90, 80), seed=6)))
    assert (other.image != short.images[0]).any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n_frames", "size"), [(1, (97, 130)), (3, (16, 61))])
def test_any_size_and_length(kind: Kind, n_frames: int, size: tuple[int, int]) -> None:
    made = synthesize(CultureConfig(kind=kind, n_frames=n_frames, size=size))
    shape = (n_frames, *size)
    assert (made.images.shape, made.images.dtype) == (shape, np.uint8)
    assert (made.classes.shape, made.classes.dtype) == (shape, np.uint8)
    assert (made.instances.shape, made.instances.dtype) == (shape, np.int32)
    assert len(made.class_names) == 1


def test_every_cell_has_one_class_and_is_in_one_piece(sequence: SyntheticSequence) -> None:
    np.testing.assert_array_equal(sequence.classes, sequence.instances > 0)
    for instances in sequence.instances[::7]:
        ids = np.unique(instances[instances > 0])
        assert len(ids) >= 5
        for label in ids:
            assert ndimage.label(instances == label)[1] == 1


def test_cells_touch_and_do_not_fill_the_frame(sequence: SyntheticSequence) -> None:
    left, right = sequence.instances[..., :-1], sequence.instances[..., 1:]
    assert ((left > 0) & (right > 0) & (left != right)).any()
    cover = (sequence.instances > 0).mean(axis=(1, 2))
    assert cover.min() > 0.03
    assert cover.max() < 0.9


def test_cells_move_little_from_frame_to_frame(sequence: SyntheticSequence) -> None:
    overlaps = []
    for before, after in zip(sequence.instances[:-1], sequence.instances[1:], strict=True):
        for label in np.intersect1d(before[before > 0], after[after > 0]):
            one, two = before == label, after == label
            overlaps.append((one & two).sum() / (one | two).sum())
    assert np.median(overlaps) > 0.75
    assert np.quantile(overlaps, 0.03) > 0.2


def test_divisions_are_recorded(sequence: SyntheticSequence) -> None:
    assert sequence.parents
    assert isinstance(sequence.config, CultureConfig)
    seen = {
        int(label): np.flatnonzero((sequence.instances == label).any(axis=(1, 2)))
        for label in np.unique(sequence.instances)
    }
    mothers = list(sequence.parents.values())
    for daughter, mother in sequence.parents.items():
        assert daughter > mother
        if daughter not in seen or mother not in seen:
            continue
        if sequence.config.kind == "yeast":  # the mother lives on
            assert seen[mother].min() < seen[daughter].min()
        else:
            assert mothers.count(mother) == 2
            assert seen[mother].max() < seen[daughter].min()


def test_yeast_mother_keeps_her_id_beside_her_bud() -> None:
    config = CultureConfig(
        kind="yeast", n_frames=25, size=(128, 128), seed=5, n_cells=5, cell_radius=9
    )
    made = synthesize(config)
    last = set(np.unique(made.instances[-1]))
    buds = [bud for bud, mother in made.parents.items() if {bud, mother} <= last]
    assert buds
    first = np.flatnonzero((made.instances == buds[0]).any(axis=(1, 2)))[0]
    areas = [(made.instances[t] == buds[0]).sum() for t in (first, -1)]
    assert areas[1] > areas[0]  # buds grow


def test_rods_grow_by_the_frame() -> None:
    made = synthesize(CultureConfig(kind="rods", n_frames=16, size=(200, 200), seed=3, n_cells=4))
    counts = [len(np.unique(instances)) - 1 for instances in made.instances]
    assert counts[-1] > counts[0]
    assert made.instances.shape[0] == 16


def test_nuclei_are_dim_beside_bright() -> None:
    ratios = []
    for seed in range(6):
        frame = next(frames(CultureConfig(kind="nuclei", seed=seed, n_cells=15, size=(160, 160))))
        areas = np.bincount(frame.instances.ravel())[1:]
        ids = 1 + np.flatnonzero(areas > 60)
        ground = np.median(frame.image[frame.instances == 0])
        means = ndimage.mean(frame.image, frame.instances, ids) - ground
        assert (means > 0).all()
        ratios.append(np.quantile(means, 0.95) / np.quantile(means, 0.05))
    assert max(ratios) > 3


@pytest.mark.parametrize("modality", get_args(Modality))
@pytest.mark.parametrize("kind", ["rods", "yeast"])
def test_cells_can_be_seen(kind: Kind, modality: Modality) -> None:
    """Near outlines the image varies more than far from all cells."""
    for seed in (1, 2):
        config = CultureConfig(kind=kind, seed=seed, n_cells=12, size=(160, 160), modality=modality)
        frame = next(frames(config))
        image = ndimage.gaussian_filter(frame.image.astype(float), 1)
        slope = ndimage.gaussian_gradient_magnitude(image, 1)
        inside = frame.instances > 0
        edge = inside ^ ndimage.binary_erosion(inside)
        far = ~ndimage.binary_dilation(inside, iterations=12)
        assert slope[edge].mean() > 2 * np.median(slope[far])


def test_empty_dish_is_background() -> None:
    for kind in KINDS:
        made = synthesize(CultureConfig(kind=kind, n_frames=2, size=(64, 64), n_cells=0))
        assert not made.instances.any()
        assert made.images.std() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_varied_stack_has_the_classes_asked_for(kind: Kind) -> None:
    stack = varied_stack(4, n_frames=1, side=64, kind=kind, class_names=("cell",))
    assert stack.class_names == ("cell",)
    assert varied_stack(4, n_frames=1, side=64, kind=kind).class_names != ("ipsc", "dfc")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "amoebae"}, "kind must be"),
        ({"kind": "rods", "size": (10, 300)}, "cannot hold a cell"),
        ({"kind": "rods", "cell_radius": 1.0}, "cell_radius"),
        ({"kind": "rods", "n_cells": 5000}, "n_cells must lie between 0 and"),
        ({"kind": "nuclei", "modality": "x-ray"}, "modality"),
    ],
)
def test_impossible_culture_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        CultureConfig(**changes)
