import itertools

import pytest
import torch
from torch import Tensor

from rleseg_core.model import Pix2Seq
from rleseg_core.model.pointer.first_hit import edge_log_odds, first_end, first_start

from .conftest import FIRST_START
from .test_cursor import config_of


def test_first_hits_are_a_distribution() -> None:
    odds = torch.randn(2, 3, 10, generator=torch.Generator().manual_seed(5))
    cursor = torch.tensor([[0, 4, 10], [9, 3, 0]])
    first, none = first_start(odds, cursor)
    for b, k in itertools.product(range(2), range(3)):
        begin = int(cursor[b, k])
        p = torch.sigmoid(odds[b, k])
        left = 1.0
        for pixel in range(begin, 10):
            assert float(first[b, k, pixel].exp()) == pytest.approx(
                left * float(p[pixel]), rel=1e-4
            )
            left *= 1 - float(p[pixel])
        assert float(none[b, k, 0].exp()) == pytest.approx(left, rel=1e-4)
        assert (first[b, k, :begin] <= -20).all()


def test_a_run_ends_at_the_first_pixel_that_ends_it() -> None:
    odds = torch.tensor([[-20.0, -20.0, 20.0, 20.0], [20.0, -20.0, 20.0, -20.0]])
    inside = torch.tensor([[True] * 4, [True, True, False, False]])
    lengths = first_end(odds, inside)
    assert lengths.argmax(-1).tolist() == [2, 0]
    assert (lengths[1, 2:] < -5).all()  # beyond the mask


@pytest.mark.parametrize("order", ["C", "F"])
def test_rows_and_columns_are_as_probable_as_their_pixels(order: str) -> None:
    """2D starts are as probable as the 1D starts of the same pixels."""
    config = config_of("coords", order, starts="first_hit", ends="first_hit")
    torch.manual_seed(0)
    pointer = Pix2Seq(config).decoder.pointer
    assert pointer is not None
    grid = config.tokens.grid
    assert grid is not None
    odds = torch.randn(1, 2, 16, generator=torch.Generator().manual_seed(6))
    first, _ = first_start(odds, torch.zeros(1, 2, dtype=torch.int64))
    tokens = torch.tensor([[2, FIRST_START + 1]])  # an end, then row 1
    state = pointer.tracker.advance(tokens, pointer.tracker.initial(1))
    said = pointer.of_starts(first, state.row)
    pixels = first.exp().unflatten(-1, (4, 4))
    pixels = pixels.transpose(-1, -2) if order == "F" else pixels
    torch.testing.assert_close(said[0, 0].exp(), pixels[0, 0].sum(-1))
    torch.testing.assert_close(said[0, 1].exp(), pixels[0, 1, 1])


def test_the_dense_head_gives_the_class_of_each_mask_pixel(images: Tensor) -> None:
    torch.manual_seed(0)
    by_rows = Pix2Seq(config_of("flat", "C", starts="first_hit", dense_classes=3)).eval()
    by_cols = Pix2Seq(config_of("flat", "F", starts="first_hit", dense_classes=3)).eval()
    by_cols.load_state_dict(by_rows.state_dict())
    with torch.inference_mode():
        dense = by_rows.dense_logits(by_rows.encode(images))
        assert dense.shape == (3, 1, 3, 4, 4)
        torch.testing.assert_close(by_cols.dense_logits(by_cols.encode(images)), dense)


def test_edges_of_sure_classes_are_where_runs_begin_and_end() -> None:
    classes = torch.tensor([0, 1, 1, 2, 2, 0, 0, 1])
    sure = torch.nn.functional.one_hot(classes, 3).float()[None, :, None]
    edges = edge_log_odds(sure)[0]
    assert (edges[:, 0] > 0).nonzero().flatten().tolist() == [1, 3, 7]
    assert (edges[:, 1] > 0).nonzero().flatten().tolist() == [2, 4, 7]
    # of two frames, a run goes on while both stay as they are
    other = torch.nn.functional.one_hot(torch.tensor([0, 1, 0, 0, 0, 0, 1, 1]), 3).float()
    both = torch.stack((sure[0, :, 0], other), dim=1)[None]
    assert (edge_log_odds(both)[0, :, 0] > 0).nonzero().flatten().tolist() == [1, 2, 3, 6, 7]
    unsure = torch.full((1, 4, 1, 3), 1 / 3)
    begin = float(torch.sigmoid(edge_log_odds(unsure)[0, 2, 0]))
    assert begin == pytest.approx(2 / 3 * (1 - 1 / 3))


def test_untrained_pointers_follow_the_dense_head() -> None:
    config = config_of("flat", starts="first_hit", ends="first_hit", dense_classes=2)
    torch.manual_seed(0)
    pointer = Pix2Seq(config).decoder.pointer
    assert pointer is not None
    classes = torch.tensor([[0, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1]])
    dense = 20 * torch.nn.functional.one_hot(classes, 2).float()[:, :, None]
    with torch.inference_mode():
        dim = config.decoder.dim
        memory, nothing = pointer.remember(torch.zeros(1, 16, dim), dense), torch.zeros(1, 1, dim)
        assert memory.edges is not None
        begins = memory.edges[:, None, :, 0]
        for cursor, expected in ((0, 1), (3, 8), (9, 14)):
            first, none = first_start(begins, torch.tensor([[cursor]]))
            assert int(first.argmax()) == expected
            assert float(none) < -4
        assert float(first_start(begins, torch.tensor([[16]]))[1]) == 0
        for start, length in ((1, 2), (8, 1), (14, 2)):
            lengths = pointer.first_end_from(nothing, torch.tensor([[start]]), memory)
            assert int(lengths.argmax()) == length - 1
