import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.draw import polygon2mask

from rleseg_core.objects.outlines import outlines, signed_area


def painted(shape, polygons):
    """Pixels whose centres lie inside of polygons: an odd number of rings around them."""
    inside = np.zeros(shape, bool)
    for polygon in polygons:
        for ring in polygon.rings:
            # corners are at whole numbers, and polygon2mask has centres there: (row, col)
            inside ^= polygon2mask(shape, ring[:, ::-1] - 0.5)
    return inside


def check(ids):
    found = outlines(ids)
    assert list(found) == [int(i) for i in np.unique(ids) if i]
    for identity, polygons in found.items():
        mask = ids == identity
        np.testing.assert_array_equal(painted(ids.shape, polygons), mask)
        assert sum(signed_area(r) for p in polygons for r in p.rings) == mask.sum()
        for polygon in polygons:
            assert signed_area(polygon.outer) > 0
            assert all(signed_area(hole) < 0 for hole in polygon.holes)
            for ring in polygon.rings:
                assert len({tuple(corner) for corner in ring.tolist()}) == len(ring)  # simple
                steps = np.roll(ring, -1, axis=0) - ring
                assert ((steps == 0).sum(axis=1) == 1).all()  # along edges
                assert (steps[:, 0] * np.roll(steps, -1, axis=0)[:, 0] == 0).all()  # all turn


@settings(max_examples=150, deadline=None)
@given(
    arrays(
        np.uint32,
        st.tuples(st.integers(1, 9), st.integers(1, 9)),
        elements=st.sampled_from([0, 1, 1, 7, 70_000]),
    )
)
def test_painting_outlines_gives_the_masks_back(ids):
    check(ids)


@pytest.mark.parametrize(
    ("rows", "n_polygons", "n_holes"),
    [
        (["#"], 1, 0),
        (["###", "#.#", "###"], 1, 1),
        (["#.", ".#"], 2, 0),  # touch at a corner
        (["####", "#.##", "##.#", "####"], 1, 2),  # holes that touch at a corner
        (["###.", "#.##", "###."], 1, 1),
        (["##.", "#.#", "###"], 1, 1),  # a hole that touches the outside at a corner
        (["#####", "#...#", "#.#.#", "#...#", "#####"], 2, 1),  # a piece in a hole
        (["#" * 6] * 4, 1, 0),
    ],
)
def test_pieces_and_holes_are_counted(rows, n_polygons, n_holes):
    ids = np.array([[3 * (cell == "#") for cell in row] for row in rows], np.uint32)
    check(ids)
    (polygons,) = outlines(ids).values()
    assert len(polygons) == n_polygons
    assert sum(len(polygon.holes) for polygon in polygons) == n_holes


def test_corners_are_those_of_the_square():
    ids = np.zeros((5, 6), np.uint16)
    ids[1:3, 2:6] = 9
    assert sorted(outlines(ids)[9][0].outer.tolist()) == [[2, 1], [2, 3], [6, 1], [6, 3]]


def test_empty_frame_has_no_outlines():
    assert outlines(np.zeros((4, 4), np.uint32)) == {}


def test_noise_comes_back():
    rng = np.random.default_rng(0)
    check(rng.integers(0, 4, (60, 50), np.uint32))
