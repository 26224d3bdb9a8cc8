import av
import numpy as np
import pytest
from PIL import Image

from rleseg_core.drawing.animation import HIGHLIGHT, frames, render_animation, write_animation
from rleseg_core.errors import DataError
from rleseg_core.spec import MaskSpec
from rleseg_core.tokens import Tokenizer, preset


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.build(preset("lac"), MaskSpec(size=(16, 16), class_names=("ipsc", "dfc")))


@pytest.fixture(scope="module")
def mask():
    mask = np.zeros((1, 16, 16), np.uint8)
    mask[0, 3:9, 2:7], mask[0, 6:12, 9:15] = 1, 2
    return mask


@pytest.fixture(scope="module")
def tokens(tokenizer, mask):
    return tokenizer.encode(mask)  # 12 runs


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(90, 160, (32, 32)).astype(np.uint8)


def n_bright(picture):
    return int((picture == HIGHLIGHT).all(-1).sum())


def test_one_picture_a_run_with_first_and_last(image, tokenizer, tokens):
    pictures = list(frames(image, tokenizer, tokens))
    assert len(pictures) == 12 + 2
    assert {picture.shape for picture in pictures} == {pictures[0].shape}
    assert pictures[0].shape[0] % 2 == pictures[0].shape[1] % 2 == 0
    assert n_bright(pictures[0]) == n_bright(pictures[-1]) == 0
    assert all(n_bright(picture) for picture in pictures[1:-1])


def test_last_picture_shows_the_mask(image, tokenizer, tokens):
    first, *_, last = frames(image, tokenizer, tokens)
    changed = (first != last).any(-1)[34 : 34 + 384, 16 + 384 + 16 : 16 + 384 + 16 + 384]
    mask = np.zeros((16, 16), bool)
    mask[3:9, 2:7] = mask[6:12, 9:15] = True
    np.testing.assert_array_equal(changed, np.kron(mask, np.ones((24, 24), bool)))


@pytest.mark.parametrize("name", ["cw", "iw", "bac", "diff-rows", "multihead", "text4seg"])
def test_other_schemes_end_with_the_same_picture(image, tokenizer, mask, tokens, name):
    *_, expected = frames(image, tokenizer, tokens)
    other = Tokenizer.build(preset(name), tokenizer.spec)
    first, *_, last = frames(image, other, other.encode(mask, mask))
    left = 16 + 384
    np.testing.assert_array_equal(
        last[34:418, left : left + 400], expected[34:418, left : left + 400]
    )
    assert (first != last).any()


def test_animation_of_heads_is_written(image, mask, tmp_path):
    tokenizer = Tokenizer.build(
        preset("multihead"), MaskSpec(size=(16, 16), class_names=("a", "b"))
    )
    reports = list(write_animation(image, tokenizer, tokenizer.encode(mask), tmp_path / "a.gif"))
    assert reports[-1].n_done == reports[-1].n_frames == 12 + 2


def test_films_of_several_frames_show_them_below_each_other(mask):
    spec = MaskSpec(size=(16, 16), class_names=("ipsc", "dfc"), n_frames=2)
    tokenizer = Tokenizer.build(preset("tac"), spec)
    window = np.full((2, 32, 32), 100, np.uint8)
    first, *_, last = frames(window, tokenizer, tokenizer.encode(np.concatenate([mask, mask * 0])))
    changed = np.flatnonzero((first != last).any((1, 2)))
    assert changed.size
    assert first.shape == last.shape


def test_pictures_come_while_tokens_are_written(image, tokenizer, tokens):
    taken = []

    def live():
        for token in tokens.tolist():
            taken.append(token)
            yield token

    pictures = frames(image, tokenizer, live())
    next(pictures)
    next(pictures)
    assert len(taken) <= 3


@pytest.mark.parametrize("kind", ["rgb", "float", "empty"])
def test_other_images_and_the_empty_mask(image, tokenizer, tokens, kind):
    if kind == "rgb":
        image = np.stack([image] * 3, -1)
    elif kind == "float":
        image = (image / 255).astype(np.float32)
    else:
        tokens = tokenizer.encode(np.zeros((1, 16, 16), np.uint8))
    assert len(list(frames(image, tokenizer, tokens))) == (2 if kind == "empty" else 14)


def test_gif_has_every_picture_and_its_colours(image, tokenizer, tokens, tmp_path):
    path = render_animation(image, tokenizer, tokens, tmp_path / "a.gif", fps=20)
    with Image.open(path) as film:
        assert film.n_frames == 14
        assert film.info["duration"] == 50
        film.seek(5)
        assert n_bright(np.asarray(film.convert("RGB")))
    assert [child.name for child in tmp_path.iterdir()] == ["a.gif"]


def test_mp4_can_be_played(image, tokenizer, tokens, tmp_path):
    path = render_animation(image, tokenizer, tokens, tmp_path / "a.mp4", fps=20, runs_per_frame=3)
    with av.open(str(path)) as film:
        pictures = list(film.decode(video=0))
    assert len(pictures) == 4 + 2 + 30  # the last stays 1.5 s
    expected = list(frames(image, tokenizer, tokens, runs_per_frame=3))[-1]
    found = pictures[-1].to_ndarray(format="rgb24").astype(int)
    assert np.abs(found - expected).mean() < 6


def test_long_film_is_cut_short_by_more_runs_a_picture(image, tokenizer, tokens, tmp_path):
    reports = list(
        write_animation(image, tokenizer, tokens, tmp_path / "a.gif", fps=10, max_seconds=2.1)
    )
    assert reports[-1].n_done == reports[-1].n_frames == 4 + 2


def test_film_that_is_given_up_leaves_no_file(image, tokenizer, tokens, tmp_path):
    job = write_animation(image, tokenizer, tokens, tmp_path / "a.mp4")
    next(job)
    job.close()
    assert list(tmp_path.iterdir()) == []


def test_other_formats_and_images_are_refused(image, tokenizer, tokens, tmp_path):
    with pytest.raises(DataError, match=r"\.gif or \.mp4, got a\.avi"):
        render_animation(image, tokenizer, tokens, tmp_path / "a.avi")
    with pytest.raises(DataError, match=r"expected \(1, P, P"):
        render_animation(np.stack([image, image]), tokenizer, tokens, tmp_path / "a.gif")
