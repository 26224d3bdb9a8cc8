import itertools

import pytest
import torch
from torch import Tensor

from rleseg_core.model import ModelConfig, Pix2Seq
from rleseg_core.model.places import Places
from rleseg_core.model.pointer import _edges, _first_end, _first_from
from rleseg_core.spec import StartGrid

from .conftest import FIRST_LENGTH, FIRST_START, MAX_LENGTH, VOCAB, tiny_config

KINDS = ("flat", "coords", "implied")
STOPS = ((2, 1), (VOCAB - 2, 2))


def config_of(start: str, order: str = "C", **changes: object) -> ModelConfig:
    grid = StartGrid(offset=FIRST_START, rows=4, cols=4, order=order, start=start, stops=STOPS)  # type: ignore[arg-type]
    lengths = ((FIRST_LENGTH, MAX_LENGTH - 2),)
    return tiny_config(grid=grid, ramps=lengths, **changes)


def by_hand(tokens: list[int], grid: StartGrid, lengths: dict[int, int]) -> list[tuple[int, ...]]:
    """Cell, cursor and row after each token, one at a time."""
    cell, cursor, row, found = -1, 0, -1, []
    for token in tokens:
        value = token - grid.offset
        begun, above = cell, row
        cell = row = -1
        if grid.start == "implied":
            cursor += lengths.get(token, 0)
            cell = cursor if cursor < grid.size else -1
        elif 0 <= value < grid.n_ids:
            if grid.start == "flat":
                cell = value
            elif above < 0:
                row = value
            else:
                cell = above * grid.cols + value if grid.order == "C" else above + value * grid.rows
            cursor = cell + 1 if cell >= 0 else cursor
        elif token in lengths and begun >= 0:
            cursor = begun + lengths[token]
        elif any(first <= token < first + n for first, n in grid.stops):
            cursor = 0
        found.append((cell, cursor, row))
    return found


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("start", KINDS)
def test_sequences_are_followed(start: str, order: str) -> None:
    config = config_of(start, order)
    assert config.grid is not None
    places = Places(config.grid, config)
    generator = torch.Generator().manual_seed(3)
    tokens = torch.randint(0, VOCAB, (40, 17), generator=generator)
    lengths = {FIRST_LENGTH + n: n + 1 for n in range(MAX_LENGTH - 2)}
    trail = places.follow(tokens, places.beginning(40)).stacked()
    expected = [by_hand(row.tolist(), config.grid, lengths) for row in tokens]
    assert trail.tolist() == [list(map(list, row)) for row in expected]
    # bit by bit
    before, parts = places.beginning(40), []
    for part in tokens.split([1, 3, 1, 12], dim=1):
        parts.append(places.follow(part, before).stacked())
        before = parts[-1][:, -1]
    assert torch.equal(torch.cat(parts, dim=1), trail)


@pytest.mark.parametrize("starts", ["pointer", "scan"])
@pytest.mark.parametrize("start", KINDS)
def test_steps_give_the_logits_of_the_whole(start: str, starts: str, images: Tensor) -> None:
    torch.manual_seed(0)
    dense = 2 if starts == "scan" else 0
    changes = {"starts": starts, "ends": "scan", "dense_classes": dense}
    model = Pix2Seq(config_of(start, "F", **changes)).eval()
    tokens = torch.randint(2, VOCAB, (3, 20), generator=torch.Generator().manual_seed(4))
    with torch.inference_mode():
        memory = model.encode(images)
        whole = model(memory, tokens)
        cache = model.new_cache(memory, 24)
        parts = [model.extend(part, cache) for part in tokens.split([1] * 7 + [5, 8], dim=1)]
        torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=5e-5, rtol=1e-5)
        # other tokens were wrong, and are taken back
        cache.take_back(torch.tensor([6, 11, 2]), 11)
        again = model.extend(
            torch.stack([tokens[k, n : n + 2] for k, n in enumerate((6, 11, 2))]), cache
        )
        there = torch.stack([whole[k, n : n + 2] for k, n in enumerate((6, 11, 2))])
        torch.testing.assert_close(again, there, atol=5e-5, rtol=1e-5)


def test_a_scan_is_a_distribution() -> None:
    odds = torch.randn(2, 3, 10, generator=torch.Generator().manual_seed(5))
    cursor = torch.tensor([[0, 4, 10], [9, 3, 0]])
    first, none = _first_from(odds, cursor)
    for b, k in itertools.product(range(2), range(3)):
        begin = int(cursor[b, k])
        p = torch.sigmoid(odds[b, k])
        left = 1.0
        for cell in range(begin, 10):
            assert float(first[b, k, cell].exp()) == pytest.approx(left * float(p[cell]), rel=1e-4)
            left *= 1 - float(p[cell])
        assert float(none[b, k, 0].exp()) == pytest.approx(left, rel=1e-4)
        assert (first[b, k, :begin] <= -20).all()


def test_a_run_ends_at_the_first_cell_that_ends_it() -> None:
    odds = torch.tensor([[-20.0, -20.0, 20.0, 20.0], [20.0, -20.0, 20.0, -20.0]])
    there = torch.tensor([[True] * 4, [True, True, False, False]])
    lengths = _first_end(odds, there)
    assert lengths.argmax(-1).tolist() == [2, 0]
    assert (lengths[1, 2:] < -5).all()  # beyond the mask


@pytest.mark.parametrize("order", ["C", "F"])
def test_rows_and_columns_say_what_cells_do(order: str) -> None:
    """2D starts are as probable as the 1D starts of the same scan."""
    config = config_of("coords", order, starts="scan", ends="scan")
    torch.manual_seed(0)
    pointer = Pix2Seq(config).decoder.pointer
    assert pointer is not None
    grid = config.grid
    assert grid is not None
    likeness = torch.randn(1, 2, 16, generator=torch.Generator().manual_seed(6))
    first, _ = _first_from(likeness, torch.zeros(1, 2, dtype=torch.int64))
    tokens = torch.tensor([[2, FIRST_START + 1]])  # an end, then row 1
    trail = pointer.places.follow(tokens, pointer.places.beginning(1))
    said = pointer._of_starts(first, trail.row)
    cells = first.exp().unflatten(-1, (4, 4))
    cells = cells.transpose(-1, -2) if order == "F" else cells
    torch.testing.assert_close(said[0, 0].exp(), cells[0, 0].sum(-1))
    torch.testing.assert_close(said[0, 1].exp(), cells[0, 1, 1])


def test_the_dense_head_says_the_class_of_each_cell(images: Tensor) -> None:
    torch.manual_seed(0)
    by_rows = Pix2Seq(config_of("flat", "C", starts="scan", dense_classes=3)).eval()
    by_cols = Pix2Seq(config_of("flat", "F", starts="scan", dense_classes=3)).eval()
    by_cols.load_state_dict(by_rows.state_dict())
    with torch.inference_mode():
        dense = by_rows.dense_logits(by_rows.encode(images))
        assert dense.shape == (3, 1, 3, 4, 4)
        torch.testing.assert_close(by_cols.dense_logits(by_cols.encode(images)), dense)


def test_edges_of_sure_classes_are_where_runs_begin_and_end() -> None:
    classes = torch.tensor([0, 1, 1, 2, 2, 0, 0, 1])
    sure = torch.nn.functional.one_hot(classes, 3).float()[None, :, None]
    edges = _edges(sure)[0]
    assert (edges[:, 0] > 0).nonzero().flatten().tolist() == [1, 3, 7]
    assert (edges[:, 1] > 0).nonzero().flatten().tolist() == [2, 4, 7]
    # of two frames, a run goes on while both stay as they are
    other = torch.nn.functional.one_hot(torch.tensor([0, 1, 0, 0, 0, 0, 1, 1]), 3).float()
    both = torch.stack((sure[0, :, 0], other), dim=1)[None]
    assert (_edges(both)[0, :, 0] > 0).nonzero().flatten().tolist() == [1, 2, 3, 6, 7]
    unsure = torch.full((1, 4, 1, 3), 1 / 3)
    begin = float(torch.sigmoid(_edges(unsure)[0, 2, 0]))
    assert begin == pytest.approx(2 / 3 * (1 - 1 / 3))


def test_scans_start_out_from_what_the_dense_head_says() -> None:
    config = config_of("flat", starts="scan", ends="scan", dense_classes=2)
    torch.manual_seed(0)
    pointer = Pix2Seq(config).decoder.pointer
    assert pointer is not None
    classes = torch.tensor([[0, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1]])
    dense = 20 * torch.nn.functional.one_hot(classes, 2).float()[:, :, None]
    with torch.inference_mode():
        dim = config.decoder_dim
        memory, nothing = pointer.remember(torch.zeros(1, 16, dim), dense), torch.zeros(1, 1, dim)
        assert memory.seen is not None
        begins = memory.seen[:, None, :, 0]
        for cursor, expected in ((0, 1), (3, 8), (9, 14)):
            first, none = _first_from(begins, torch.tensor([[cursor]]))
            assert int(first.argmax()) == expected
            assert float(none) < -4
        assert float(_first_from(begins, torch.tensor([[16]]))[1]) == 0
        for cell, length in ((1, 2), (8, 1), (14, 2)):
            lengths = pointer._first_end(nothing, torch.tensor([[cell]]), memory)
            assert int(lengths.argmax()) == length - 1
