import numpy as np
import pytest
from PIL import Image

from rleseg_core.drawing.charts import (
    AXIS,
    MARGIN,
    PANEL,
    TITLE,
    WIDTH,
    Curve,
    Histogram,
    save_curves,
    save_histograms,
)
from rleseg_core.drawing.palette import class_rgb
from rleseg_core.errors import DataError


def test_bars_are_as_high_as_their_counts(tmp_path):
    histograms = [Histogram("a", "", [10, 0, 5]), Histogram("b", "", [0, 1, 1000])]
    path = save_histograms(
        tmp_path / "h.png", histograms, [0, 10, 20, 30], title="lengths", marks=[15, 99]
    )
    picture = np.asarray(Image.open(path).convert("RGB"))
    assert picture.shape == (TITLE + 2 * PANEL + AXIS, WIDTH, 3)
    centres = [MARGIN + round((WIDTH - 2 * MARGIN) * (k + 0.5) / 3) for k in range(3)]
    for row, heights in enumerate([(1.0, 0.0, 0.5), (0.0, 0.001, 1.0)]):
        panel = picture[TITLE + row * PANEL : TITLE + (row + 1) * PANEL, centres]
        n_pixels = (panel == class_rgb(row + 1)).all(axis=2).sum(axis=0)
        full = PANEL - 16
        for found, height in zip(n_pixels, heights, strict=True):
            assert found == pytest.approx(full * height, abs=1)
            assert bool(found) == bool(height)


def test_name_of_a_picture(tmp_path):
    with pytest.raises(DataError, match=r"\.png"):
        save_histograms(tmp_path / "h.jpg", [Histogram("a", "", [1])], [0, 1], title="")
    assert not list(tmp_path.iterdir())


def test_picture_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        save_histograms(tmp_path / "h.png", [Histogram("a", "", [1])], [0, 1], title="")
    assert not list(tmp_path.iterdir())


def test_letters_can_be_on_either_side(tmp_path):
    found = []
    for side in ("left", "right"):
        path = save_histograms(
            tmp_path / f"{side}.png", [Histogram("a", "b", [0])], [0, 1], title="", letters=side
        )
        panel = np.asarray(Image.open(path).convert("L"))[TITLE + 4 : TITLE + PANEL - 10]
        columns = np.flatnonzero((panel[:, MARGIN + 2 : -MARGIN - 2] < 150).any(axis=0))
        found.append(columns.mean() < WIDTH / 2)
    assert found == [True, False]


def test_curve_goes_through_the_means(tmp_path):
    curve = Curve("thing", {"1": [0.2, 0.4], "4": [0.9]})
    path = save_curves(tmp_path / "c.png", [curve], ["0", "1", "4"], title="t", across="frames")
    picture = np.asarray(Image.open(path).convert("RGB")).astype(int)
    near = np.abs(picture - class_rgb(1)).sum(axis=2) < 30
    rows, cols = np.nonzero(near[:, :880])
    left, right = cols.min(), cols.max()
    height = picture.shape[0]
    assert left > 880 // 3  # nothing is known at the first place
    assert rows[cols <= left + 4].mean() > rows[cols >= right - 4].mean()  # it rises
    assert rows.max() < height - 40


def test_curve_must_be_a_png(tmp_path):
    with pytest.raises(DataError, match=r"\.png"):
        save_curves(tmp_path / "c.svg", [], ["0"], title="t", across="x")
