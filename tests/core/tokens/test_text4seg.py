import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rleseg_core.errors import DataError
from rleseg_core.spec import MaskSpec
from rleseg_core.tokens import Tokenizer, preset
from rleseg_core.tokens.text4seg import read_text, write_text

SPEC = MaskSpec(size=(2, 8), class_names=("cell", "dead cell"))
MASK = np.array([[[0, 0, 0, 0, 0, 1, 1, 1], [1, 2, 2, 0, 0, 0, 0, 0]]])
TEXT = "others *5, cell *3 | cell *1, dead cell *2, others *5"


def test_rows_are_written_as_names_and_counts():
    assert write_text(MASK, SPEC) == TEXT
    np.testing.assert_array_equal(read_text(TEXT, SPEC, strict=True).classes, MASK)


@given(st.integers(1, 5), st.integers(1, 9), st.integers(1, 3), st.integers(1, 4), st.data())
@settings(max_examples=80, deadline=None)
def test_any_mask_comes_back(n_rows, n_cols, n_frames, n_classes, data):
    names = tuple(f"class {k}" for k in range(n_classes))
    spec = MaskSpec(size=(n_rows, n_cols), class_names=names, n_frames=n_frames)
    n_pixels = n_frames * n_rows * n_cols
    cells = data.draw(st.lists(st.integers(0, n_classes), min_size=n_pixels, max_size=n_pixels))
    mask = np.array(cells).reshape(spec.shape)
    text = write_text(mask, spec)
    for strict in (True, False):
        decoded = read_text(text, spec, strict=strict)
        np.testing.assert_array_equal(decoded.classes, mask)
        assert decoded.n_skipped == 0
    tokens = Tokenizer.build(preset("text4seg"), spec).encode(mask)
    assert (tokens.size - 1) // 2 == text.count("*")  # the same runs


def test_lenient_reading_keeps_what_makes_sense():
    cases = {
        "CELL*8|others*8": ([1] * 8, 0),
        "cell *3, dog *2, dead cell *99": ([1] * 3 + [2] * 5, 1),
        "cell *2, , what, cell *0, cell *-1, * 4 | ": ([1, 1] + [0] * 6, 4),
        "cell *8, cell *1 | others *8 | cell *8, cell *2": ([1] * 8, 3),
        "": ([0] * 8, 0),
    }
    for text, (row, n_skipped) in cases.items():
        decoded = read_text(text, SPEC)
        assert decoded.classes[0, 0].tolist() == row, text
        assert not decoded.classes[0, 1].any()
        assert decoded.n_skipped == n_skipped, text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("others *8", r"1 rows, expected 2"),
        ("others *8 | dog *8", r"item 0 of row 1 is 'dog \*8', expected a name of others, cell"),
        ("others *9 | cell *8", r"item 0 of row 0 is 'others \*9', .*at most 8 pixels"),
        ("others *8 | cell *7", r"row 1 has 7 pixels, expected 8"),
    ],
)
def test_strict_reading_names_row_and_item(text, message):
    with pytest.raises(DataError, match=message):
        read_text(text, SPEC, strict=True)


def test_names_that_text_cannot_hold_are_refused():
    with pytest.raises(DataError, match=r"'a\|b' cannot be written"):
        write_text(MASK, MaskSpec(size=(2, 8), class_names=("a|b", "c")))
    with pytest.raises(DataError, match="'Others' is used twice"):
        write_text(MASK, MaskSpec(size=(2, 8), class_names=("Others", "c")))


def test_mask_that_does_not_fit_is_refused():
    with pytest.raises(DataError, match=r"mask is \(2, 8\), the grid is \(1, 2, 8\)"):
        write_text(MASK[0], SPEC)
    with pytest.raises(DataError, match="values from 1 to 3"):
        write_text(MASK + 1, SPEC)


@given(st.text(alphabet="cel dho*,|0123456789-\n", max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_text_is_read(text):
    assert read_text(text, SPEC).classes.shape == SPEC.shape
