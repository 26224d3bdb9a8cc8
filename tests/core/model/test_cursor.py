import pytest
import torch
from torch import Tensor

from rleseg_core.model import ModelConfig, Pix2Seq
from rleseg_core.model.pointer import CursorTracker
from rleseg_core.model.rows import RowMoves
from rleseg_core.spec import StartGrid, SymbolTokens

from .conftest import FIRST_LENGTH, FIRST_START, MAX_LENGTH, VOCAB, tiny_config

KINDS = ("flat", "coords", "implied")
FIRST_SYMBOL = 30  # behind the starts of 4 x 4 mask pixels
STOPS = ((2, 1), (VOCAB - 2, 2))


def config_of(start: str, order: str = "C", **changes: object) -> ModelConfig:
    grid = StartGrid(offset=FIRST_START, rows=4, cols=4, order=order, start=start, stops=STOPS)  # type: ignore[arg-type]
    lengths = ((FIRST_LENGTH, MAX_LENGTH - 2),)
    return tiny_config(grid=grid, ordinal_ranges=lengths, **changes)


def symbols_of(start: str, runs: str = "foreground") -> SymbolTokens:
    """One class token, or two where the background has one or the class may fall."""
    runs = "tiling" if start == "implied" else runs
    return SymbolTokens(runs=runs, n_classes=1, offset=FIRST_SYMBOL, line=16)  # type: ignore[arg-type]


def by_hand(
    tokens: list[int],
    grid: StartGrid,
    lengths: dict[int, int],
    in_order: bool = False,
    symbols: SymbolTokens | None = None,
) -> list[tuple[int, ...]]:
    """What a state has after each token, one at a time."""
    start, cursor, row, block, other, length, found = -1, 0, -1, -1, -1, 0, []
    for token in tokens:
        value = token - grid.offset
        begun, above, length_before = start, row, length
        start = row = symbol_at = -1
        if grid.start == "implied":
            if token in lengths and cursor < grid.size:
                symbol_at = cursor
            cursor += lengths.get(token, 0)
            start = cursor if cursor < grid.size else -1
            if symbols is not None and symbol_at >= 0:
                start = -1
            length = lengths[token] if symbol_at >= 0 else 0
            if symbols is not None and 0 <= token - FIRST_SYMBOL < symbols.n_ids:
                is_cut = length_before >= max(lengths.values()) or cursor % symbols.line == 0
                other = -1 if is_cut else token - FIRST_SYMBOL
        elif 0 <= value < grid.n_ids:
            if grid.start == "flat":
                start = value
            elif above < 0:
                row = value
            else:
                by_rows = grid.order == "C"
                start = above * grid.cols + value if by_rows else above + value * grid.rows
            cursor = start + 1 if start >= 0 else cursor
            block = start if block < 0 else block
            if symbols is not None and symbols.runs == "change":
                symbol_at = start
        elif token in lengths and begun >= 0:
            cursor = begun + lengths[token]
            symbol_at = begun
        elif any(first <= token < first + n for first, n in grid.stops):
            cursor = block + 1 if in_order else 0
            if grid.stops[1][0] <= token:
                block = -1
        if symbols is None or (symbols.runs == "change" and token in lengths):
            symbol_at = -1
        found.append((start, cursor, row, block, symbol_at, other))
    return found


@pytest.mark.parametrize("what", ["runs", "objects", "classes", "changes"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("start", KINDS)
def test_states_are_those_found_token_by_token(start: str, order: str, what: str) -> None:
    in_order = what == "objects"
    if start == "implied" and what in ("objects", "changes"):
        pytest.skip("runs that tile a mask are in no blocks, and no changes")
    objects: dict[str, object] = {"starts": "first_hit", "object_starts": in_order}
    symbols = None
    if what in ("classes", "changes"):
        symbols = symbols_of(start, "change" if what == "changes" else "foreground")
    config = config_of(start, order, symbols=symbols, **objects)
    assert config.tokens.grid is not None
    tracker = CursorTracker(config.tokens.grid, config)
    generator = torch.Generator().manual_seed(3)
    tokens = torch.randint(0, VOCAB, (40, 17), generator=generator)
    lengths = {FIRST_LENGTH + n: n + 1 for n in range(MAX_LENGTH - 2)}
    states = tracker.advance(tokens, tracker.initial(40)).stacked()
    grid = config.tokens.grid
    expected = [by_hand(row.tolist(), grid, lengths, in_order, symbols) for row in tokens]
    assert states.tolist() == [list(map(list, row)) for row in expected]
    # in parts
    before, parts = tracker.initial(40), []
    for part in tokens.split([1, 3, 1, 12], dim=1):
        parts.append(tracker.advance(part, before).stacked())
        before = parts[-1][:, -1]
    assert torch.equal(torch.cat(parts, dim=1), states)


OBJECTS = {"object_starts": True, "affinities": ((0, -1), (-1, 0), (0, -2))}


@pytest.mark.parametrize("starts", ["pointer", "first_hit", "objects", "classes", "changes"])
@pytest.mark.parametrize("start", KINDS)
def test_steps_give_the_logits_of_the_whole(start: str, starts: str, images: Tensor) -> None:
    torch.manual_seed(0)
    changes: dict[str, object] = {"ends": "first_hit", "dense_classes": 2, "starts": "first_hit"}
    if starts == "pointer":
        changes |= {"starts": starts, "dense_classes": 0}
    elif starts == "objects":
        if start == "implied":
            pytest.skip("runs that tile a mask are in no blocks")
        changes |= OBJECTS
    elif starts != "first_hit":
        if (start, starts) == ("implied", "changes"):
            pytest.skip("runs that tile a mask are no changes")
        changes["symbols"] = symbols_of(start, "change" if starts == "changes" else "foreground")
    model = Pix2Seq(config_of(start, "F", **changes)).eval()
    tokens = torch.randint(2, VOCAB, (3, 20), generator=torch.Generator().manual_seed(4))
    with torch.inference_mode():
        memory = model.encode(images)
        whole = model(memory, tokens)
        cache = model.new_cache(memory, 24)
        parts = [model.extend(part, cache) for part in tokens.split([1] * 7 + [5, 8], dim=1)]
        torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=5e-5, rtol=1e-5)
        # some tokens were wrong
        cache.rollback(torch.tensor([6, 11, 2]), 11)
        again = model.extend(
            torch.stack([tokens[k, n : n + 2] for k, n in enumerate((6, 11, 2))]), cache
        )
        there = torch.stack([whole[k, n : n + 2] for k, n in enumerate((6, 11, 2))])
        torch.testing.assert_close(again, there, atol=5e-5, rtol=1e-5)
        # different numbers of tokens at once, then without the sequence in the middle
        cache, begun = model.new_cache(memory, 24), [0, 0, 0]
        for n_new in ([3, 0, 9], [1, 8, 1], [6, 1, 0]):
            ahead = torch.stack([tokens[k, n : n + 9] for k, n in enumerate(begun)])
            there = [whole[k, begun[k] : begun[k] + n_new[k]] for k in range(3)]
            found = model.extend_packed(ahead, n_new, cache)
            torch.testing.assert_close(found, torch.cat(there), atol=5e-5, rtol=1e-5)
            begun = cache.positions.tolist()
        kept = cache.keep(RowMoves([0, 2], torch.device("cpu")))
        found = kept.positions.tolist(), model.extend_packed(tokens[::2, 10:], [4, 6], kept)
        there = torch.cat((whole[0, 10:14], whole[2, 10:16]))
        assert found[0] == [10, 10]
        torch.testing.assert_close(found[1], there, atol=5e-5, rtol=1e-5)
