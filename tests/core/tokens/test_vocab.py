import pytest

from rleseg_core.errors import SchemeError
from rleseg_core.spec import MaskSpec
from rleseg_core.tokens import Tokenizer, preset

SPECIAL = 3


@pytest.mark.parametrize("side", [40, 80, 128, 160])
@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("start", ["flat", "coords"])
def test_size_is_starts_plus_lengths_plus_classes(make_tokenizer, side, n_classes, start):
    def size(name):
        return make_tokenizer(name, "C", start, (side, side), None, n_classes).vocab.size - SPECIAL

    starts = side * side if start == "flat" else side
    assert size("binary") == starts + side
    assert size("multiclass") == starts + side + n_classes
    assert size("lac") == starts + side * n_classes


@pytest.mark.parametrize(("order", "longest"), [("C", 9), ("F", 6)])
def test_longest_run_is_a_row_or_a_column(make_tokenizer, order, longest):
    assert make_tokenizer("binary", order).vocab.segment("length").size == longest


def test_segments_cover_all_ids_without_gaps(tokenizer):
    vocab = tokenizer.vocab
    assert [vocab.segment_of(token).name for token in (vocab.pad, vocab.bos, vocab.eos)] == [
        "special"
    ] * 3
    covered = [t for segment in vocab.segments for t in range(segment.offset, segment.end)]
    assert covered == list(range(vocab.size))
    assert all(vocab.segment_of(t).offset <= t < vocab.segment_of(t).end for t in covered)
    assert len({vocab.text(token) for token in covered}) == vocab.size


def test_text_says_what_a_token_means(make_tokenizer):
    vocab = make_tokenizer("lac", size=(8, 8)).vocab
    assert [vocab.text(t) for t in (0, 1, 2)] == ["pad", "bos", "eos"]
    assert vocab.text(vocab.segment("start").offset + 13) == "start 13 · row 1, col 5"
    assert vocab.text(vocab.segment("lac").offset + 8 + 3) == "length 4 · class2"
    vocab = make_tokenizer("multiclass", "F", "coords", size=(8, 8)).vocab
    assert vocab.text(vocab.segment("coord").offset + 7) == "row or col 7"
    assert vocab.text(vocab.segment("length").offset) == "length 1"
    assert vocab.text(vocab.segment("class").offset + 2) == "class class3"
    vocab = make_tokenizer("binary", "F", size=(8, 8)).vocab
    assert vocab.text(vocab.segment("start").offset + 13) == "start 13 · row 5, col 1"


def test_token_or_segment_that_is_not_there_is_refused(make_tokenizer):
    vocab = make_tokenizer("lac", size=(8, 8)).vocab
    with pytest.raises(SchemeError, match="token 91 is outside the vocabulary, 0 to 90"):
        vocab.segment_of(91)
    with pytest.raises(SchemeError, match=r"no segment 'coord'.*special, start, lac"):
        vocab.segment("coord")


def test_describe_is_a_table_of_the_segments(make_tokenizer):
    lines = make_tokenizer("lac", size=(8, 8)).vocab.describe().splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["segment", "tokens"],
        ["special", "3"],
        ["start", "64"],
        ["lac", "24"],
        ["all", "91"],
    ]
    assert "length 8 · class3" in lines[3]


def test_start_grid_tells_where_the_starts_lie(make_tokenizer):
    grid = make_tokenizer("lac", "F", size=(6, 9)).start_grid
    assert (grid.offset, grid.rows, grid.cols, grid.order) == (3, 6, 9, "F")
    assert (grid.start, grid.stops) == ("flat", ((2, 1),))
    coords = make_tokenizer("lac", "C", "coords", size=(6, 9)).start_grid
    assert (coords.offset, coords.start) == (3, "coords")


@pytest.mark.parametrize("name", ["bac", "cw", "iw", "multihead", "text4seg", "tac", "3d-c"])
def test_start_grids_of_schemes(name):
    n_frames = 2 if name in ("tac", "3d-c") else 1
    spec = MaskSpec(size=(6, 6), class_names=("a", "b"), n_frames=n_frames)
    tokenizer = Tokenizer.build(preset(name), spec)
    grid = tokenizer.start_grid
    assert grid.size == tokenizer.flattening.n_pixels
    stops = [(tokenizer.vocab.eos, 1)]
    if name in ("cw", "iw"):
        label = tokenizer.vocab.segment("class")
        stops.append((label.offset, label.size))
    starts = {"bac": "implied", "text4seg": "implied", "multihead": "coords"}
    assert grid.start == starts.get(name, "flat")
    assert grid.stops == tuple(stops)
    symbols = tokenizer.symbol_tokens
    if name in ("cw", "iw"):
        assert symbols is None
        return
    assert symbols.runs == ("tiling" if name in ("bac", "text4seg") else "foreground")
    assert symbols.n_ids == tokenizer.vocab.segment(tokenizer.flattening.symbol_name).size
    assert symbols.line == (6 if name == "text4seg" else tokenizer.flattening.n_pixels)
