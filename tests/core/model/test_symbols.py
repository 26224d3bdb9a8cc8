"""What a dense head says of the classes of runs, and of where these end."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from rleseg_core.errors import SchemeError
from rleseg_core.model import Pix2Seq
from rleseg_core.model.pointer import PointerMemory
from rleseg_core.model.pointer.symbols import SymbolReader
from rleseg_core.model.pointer.token_table import grid_codes
from rleseg_core.spec import MaskSpec, StartGrid, SymbolTokens
from rleseg_core.tokens import Tokenizer, preset

from .conftest import FIRST_LENGTH, FIRST_START, VOCAB, tiny_config

G, LINE = 12, 6


def reader_and_memory(
    runs: str, n_classes: int = 2, n_frames: int = 1, seed: int = 0
) -> tuple[SymbolReader, PointerMemory, Tensor]:
    """A reader, the memory of one window, and the probabilities of its classes (G, N, C + 1)."""
    symbols = SymbolTokens(
        runs=runs,  # type: ignore[arg-type]
        n_classes=n_classes,
        n_frames=n_frames,
        offset=3,
        line=LINE,
    )
    reader = SymbolReader(symbols)
    generator = torch.Generator().manual_seed(seed)
    dense = torch.randn(1, G, n_frames, n_classes + 1, generator=generator)
    log_classes = reader.log_classes(dense)
    memory = PointerMemory(torch.zeros(1, G, 4), classes=reader.summed(log_classes))
    return reader, memory, log_classes[0].exp()


def of_symbols(p: Tensor, n_classes: int) -> Tensor:
    """Probabilities (G, S) of symbols, each the classes of all frames."""
    digits = itertools.product(range(n_classes + 1), repeat=p.shape[1])
    columns = [
        torch.stack([p[:, k, d] for k, d in enumerate(each[::-1])]).prod(0) for each in digits
    ]
    return torch.stack(columns, dim=-1)


@pytest.mark.parametrize(
    ("runs", "n_frames"), [("tiling", 1), ("foreground", 1), ("foreground", 2)]
)
def test_a_run_ends_where_its_symbol_is_likely_another(runs: str, n_frames: int) -> None:
    reader, memory, p = reader_and_memory(runs, n_frames=n_frames)
    symbols = of_symbols(p, 2)[:, reader.tokens.first :]
    odds = reader.end_odds(memory, torch.tensor([[2]]), 4)
    assert odds is not None
    for length in range(1, 5):
        survives = symbols[2 : 2 + length].prod(0)
        follows = symbols[2 + length]
        ends = (survives * (1 - follows)).sum() / (survives * follows).sum()
        assert float(odds[0, 0, length - 1]) == pytest.approx(float(ends.log()), rel=1e-3, abs=1e-3)


def test_the_next_run_of_a_tiling_has_another_symbol() -> None:
    reader, memory, p = reader_and_memory("tiling")
    start, other = torch.tensor([[2]]), torch.tensor([[1]])
    odds, scores = (
        reader.end_odds(memory, start, 3, other),
        reader.scores(memory, start, start + 1, other),
    )
    assert odds is not None
    assert scores is not None
    rest = p[:, 0, [0, 2]]
    ends = (rest[2] * (1 - rest[3])).sum() / (rest[2] * rest[3]).sum()
    assert float(odds[0, 0, 0]) == pytest.approx(float(ends.log()), rel=1e-3, abs=1e-3)
    torch.testing.assert_close(scores[0, 0, [0, 2]].exp(), rest[2] / rest[2].sum())


def test_the_class_of_a_run_is_that_of_all_its_pixels() -> None:
    reader, memory, p = reader_and_memory("tiling")
    scores = reader.scores(memory, torch.tensor([[3, 7]]), torch.tensor([[6, 8]]))
    assert scores is not None
    means = torch.stack((p[3:6, 0].log().mean(0), p[7, 0].log()))
    torch.testing.assert_close(scores[0], means.log_softmax(-1))
    # runs of foreground have no token of the background
    reader, memory, p = reader_and_memory("foreground")
    scores = reader.scores(memory, torch.tensor([[3]]), torch.tensor([[6]]))
    assert scores is not None
    torch.testing.assert_close(scores[0, 0], p[3:6, 0, 1:].log().mean(0).log_softmax(-1))


def test_a_change_is_from_the_pixel_before() -> None:
    reader, memory, p = reader_and_memory("change")
    at = torch.tensor([[4, LINE]])
    scores = reader.scores(memory, at, at + 1)
    assert scores is not None
    deltas = (2, 1, -1, -2)
    nothing = torch.tensor([1.0, 0, 0])  # before a line
    for before, now, said in (
        (p[3, 0], p[4, 0], scores[0, 0]),
        (nothing, p[LINE, 0], scores[0, 1]),
    ):
        chances = torch.tensor(
            [sum(before[k] * now[k + d] for k in range(3) if 0 <= k + d < 3) for d in deltas]
        )
        torch.testing.assert_close(said.exp(), chances / chances.sum(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("runs", ["foreground", "change"])
def test_runs_begin_where_sure_classes_change(runs: str) -> None:
    reader, _, _ = reader_and_memory(runs)
    classes = torch.tensor([0, 1, 1, 2, 0, 1, 1, 1, 0, 0, 0, 2])
    dense = 20 * torch.nn.functional.one_hot(classes, 3).float()[None, :, None]
    begins = reader.edges(reader.log_classes(dense))[0, :, 0] > 0
    expected = [1, 3, 5, 6, 11] if runs == "foreground" else [1, 3, 4, 5, 6, 8, 11]
    assert begins.nonzero().flatten().tolist() == expected


def test_runs_are_cut_at_the_end_of_a_line_and_at_the_longest() -> None:
    reader, _, _ = reader_and_memory("tiling")
    start = torch.tensor([[3, 0]])
    at = start[..., None] + torch.arange(4)
    inside, must = reader.cut_runs(start, at)
    assert inside.tolist() == [[[True, True, True, False], [True] * 4]]
    assert must.tolist() == [[[False, False, True, True], [False, False, False, True]]]


def test_classes_in_blocks_are_object_or_not() -> None:
    symbols = SymbolTokens(runs="foreground", n_classes=1, n_frames=2, offset=3, line=LINE)
    classes = SymbolReader(symbols).log_classes(torch.randn(1, G, 2, 4))
    assert classes.shape == (1, G, 2, 2)
    torch.testing.assert_close(classes.exp().sum(-1), torch.ones(1, G, 2))


@pytest.mark.parametrize("fusion", ["middle", "late", "first"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_each_frame_of_a_volume_is_seen(order: str, fusion: str) -> None:
    grid = StartGrid(offset=FIRST_START, rows=4, cols=8, order=order, n_frames=2)  # type: ignore[arg-type]
    config = tiny_config(grid=grid, n_frames=2, fusion=fusion, dense_classes=3, image_size=32)
    torch.manual_seed(0)
    model = Pix2Seq(config).eval()
    images = torch.rand(1, 2, 3, 32, 32)
    with torch.inference_mode():
        memory = model.encode(images)
        assert memory.mask_features is not None
        assert memory.mask_features.shape == (1, 64, 16)
        dense = model.dense_logits(memory)
        assert dense.shape == (1, 2, 3, 4, 8)
        plane = Tokenizer.build(
            preset("3d-c", order=order),
            MaskSpec(size=(4, 8), class_names=("a", "b"), n_frames=2),
        ).flattening
        assert memory.dense is not None
        np.testing.assert_array_equal(
            plane.flatten(dense[:, :, 1].numpy()), memory.dense[:, :, 0, 1].numpy()
        )
        if fusion != "first":
            images[:, 1, :, :8, :8] = 0
            moved = (model.dense_logits(model.encode(images)) - dense).abs().amax(dim=(0, 2))
            assert moved[1].mean() > moved[0].mean()


def test_starts_of_a_volume_have_codes_of_their_own() -> None:
    flat, volume = (
        grid_codes(StartGrid(offset=3, rows=4, cols=4, order="F", n_frames=n)) for n in (1, 3)
    )
    assert volume.shape[0] == 48
    assert len(volume.unique(dim=0)) == 48
    torch.testing.assert_close(volume[::3, : flat.shape[1]], flat)


def test_symbols_outside_the_vocabulary_are_refused() -> None:
    symbols = SymbolTokens(runs="tiling", n_classes=4, offset=VOCAB - 4, line=64)
    with pytest.raises(SchemeError, match="range of symbols takes the ids"):
        tiny_config(symbols=symbols, ordinal_ranges=((FIRST_LENGTH, 2),))
