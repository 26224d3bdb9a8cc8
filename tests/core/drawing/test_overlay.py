import imageio.v3 as iio
import numpy as np

from rleseg_core.drawing.overlay import overlay, save_overlay
from rleseg_core.drawing.palette import class_rgb


def test_background_stays_as_it_is():
    image = np.arange(64, dtype=np.uint8).reshape(8, 8)
    labels = np.zeros((8, 8), np.uint8)
    labels[2:6, 2:6] = 2
    picture = overlay(image, labels)
    assert picture.shape == (8, 8, 3)
    assert np.array_equal(picture[labels == 0], np.repeat(image[..., None], 3, 2)[labels == 0])
    outline = np.array(class_rgb(2))
    assert np.abs(picture[2, 2].astype(int) - outline).max() <= 1


def test_empty_mask_is_the_image():
    image = np.full((4, 4), 9, np.uint8)
    assert (overlay(image, np.zeros((4, 4), int)) == 9).all()


def test_saved_picture_shows_frames_side_by_side(tmp_path):
    images = np.zeros((3, 8, 6), np.uint8)
    path = save_overlay(tmp_path / "a.png", images, np.ones((3, 8, 6), int), [0, 2])
    assert iio.imread(path).shape == (16, 12, 3)
