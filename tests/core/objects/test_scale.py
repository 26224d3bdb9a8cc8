import math

import numpy as np
import pytest
from skimage.draw import disk

from rleseg_core.errors import DataError
from rleseg_core.objects.scale import (
    Diameters,
    Rung,
    TrainedDiameters,
    diameter_of,
    image_size_for,
    ladder,
    split_touching,
)

TRAINED = TrainedDiameters(median=28, low=14, high=56)


def discs(shape, centres, radius):
    ids = np.zeros(shape, np.uint32)
    for name, centre in enumerate(centres, start=1):
        ids[disk(centre, radius + 0.5, shape=shape)] = name
    return ids


def rung(scale, diameter, n_objects=20, confidence=0.8):
    return Rung(
        scale=scale,
        diameter=diameter,
        n_objects=n_objects,
        foreground=0.2,
        confidence=confidence,
    )


def test_diameter_is_that_of_the_disc_of_the_same_area():
    ids = discs((100, 100), [(30, 30), (60, 70)], 12)
    found = Diameters.of_ids(ids * 7)  # ids need not follow one another
    assert len(found) == 2
    assert found.values == pytest.approx(2 * math.sqrt((ids == 1).sum() / math.pi))
    assert found.scaled(3).percentile(50) == pytest.approx(3 * found.values[0])


def test_objects_cut_by_the_border_and_specks_do_not_count():
    ids = discs((60, 60), [(30, 30), (2, 40)], 8)
    ids[50, 50] = 9
    assert len(Diameters.of_ids(ids)) == 1
    assert len(Diameters.of_ids(np.zeros((5, 5), int))) == 0
    assert len(Diameters.of_ids(np.ones((5, 5), int))) == 0


def test_large_objects_that_are_often_cut_count_for_those_that_were():
    """Half of the discs are large; in small windows fewer of them are whole."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(3000):
        radius = int(rng.choice((4, 15)))
        centre = rng.integers(0, 64, 2)
        found.append(Diameters.of_ids(discs((64, 64), [centre], radius)))
    joined = Diameters.joined(found)
    large = joined.values > 16
    assert large.sum() < 0.45 * len(joined)
    assert joined.weights[large].sum() / joined.weights.sum() == pytest.approx(0.5, abs=0.06)


def test_touching_discs_are_parted_and_single_ones_are_not():
    two = discs((60, 80), [(30, 25), (30, 48)], 12) > 0
    assert split_touching(two).max() == 2
    one = discs((60, 80), [(30, 25)], 12) > 0
    assert split_touching(one).max() == 1
    rod = np.zeros((60, 80), bool)
    rod[25:33, 10:70] = True
    assert split_touching(rod).max() == 1
    assert split_touching(np.zeros((9, 9), bool)).max() == 0


def test_classes_are_measured_one_by_one():
    classes = np.zeros((60, 80), np.uint8)
    classes[10:30, 10:30], classes[10:30, 30:50] = 1, 2  # they touch
    assert Diameters.of_classes(classes).values == pytest.approx([2 * math.sqrt(400 / math.pi)] * 2)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_image_size_follows_the_frame_and_the_diameter(factor):
    size = image_size_for((1, 500, 600), 20, 28, patch=96)
    assert size == 840
    # enlarged, the same cells are seen at the same size; more of them need a larger one
    assert image_size_for((1, 500 * factor, 600 * factor), 20 * factor, 28, patch=96) == size
    assert image_size_for((1, 500 * factor, 600 * factor), 20, 28, patch=96) == factor * size


def test_image_size_has_bounds():
    assert image_size_for((1, 100, 100), 90, 28, patch=96) == 96
    with pytest.raises(DataError, match=r"objects 0.5 pixels wide.*560,000.*larger diameter"):
        image_size_for((1, 10_000, 9_000), 0.5, 28, patch=96)


def test_ladder_goes_from_one_patch_to_enlarged_pixels():
    scales = ladder((1, 4096, 4000), 96, 512 / 4096)
    assert 96 / 4096 / 1.2 < scales[0] < 96 / 4096 * 1.2
    assert 4.2 < scales[-1] <= 6
    assert np.diff(np.log(scales)) == pytest.approx(math.log(2) / 2)
    assert 512 / 4096 in scales
    assert 10.0 in ladder((1, 50, 60), 96, 10.0)
    assert 0.01 in ladder((1, 1000, 600), 96, 0.01)


def test_scales_that_agree_decide():
    true = 40
    rungs = [rung(28 / true * factor, true * (1 + e)) for factor, e in ((0.5, 0.1), (1, 0), (2, 0))]
    noise = [rung(s, 9 / s, 60, 0.4) for s in (0.02, 0.04, 0.08, 2.8, 5.6)]
    assert diameter_of(rungs + noise, TRAINED) == pytest.approx(true, rel=0.1)


def test_clumps_taken_for_large_objects_do_not_decide():
    cells = [rung(s, 20, 30, 0.8) for s in (0.7, 1.0, 1.4, 2.0)]
    clumps = [rung(s, 200 + 900 * s, 4, 0.7) for s in (0.09, 0.13, 0.18)]
    assert diameter_of(clumps + cells, TRAINED) == pytest.approx(20, rel=0.1)


def test_nothing_fits_where_all_disagree():
    assert diameter_of([], TRAINED) is None
    assert diameter_of([rung(s, 0, 0, 0) for s in (0.5, 1, 2)], TRAINED) is None
    assert diameter_of([rung(s, 5 / s, 40, 0.3) for s in (0.5, 1, 2, 4)], TRAINED) is None


def test_scaling_the_image_scales_the_diameter():
    rungs = [rung(s, 30 + 10 * s, 10, 0.5 + s / 4) for s in (0.25, 0.5, 1.0, 1.4)]
    enlarged = [rung(r.scale / 3, 3 * r.diameter, r.n_objects, r.confidence) for r in rungs]
    once, thrice = diameter_of(rungs, TRAINED), diameter_of(enlarged, TRAINED)
    assert thrice == pytest.approx(3 * once)
