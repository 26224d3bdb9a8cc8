import time

import numpy as np
import pytest
from napari.layers import Labels

from napari_rleseg.player import FETCH_S, HIGHLIGHT, MAX_STEPS, TokenPlayer
from napari_rleseg.widgets.token_list import EventRows
from rleseg_core.spec import MaskSpec
from rleseg_core.tokens import MaskEnded, RunPainted, Tokenizer, preset

pytestmark = pytest.mark.gui

SIDE = 24


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.build(preset("lac"), MaskSpec(size=(SIDE, SIDE), class_names=("a", "b")))


@pytest.fixture(scope="module")
def mask():
    return np.random.default_rng(0).integers(0, 3, (1, SIDE, SIDE)).astype(np.uint8)


@pytest.fixture(scope="module")
def events(tokenizer, mask):
    return list(tokenizer.events(tokenizer.encode(mask).tolist()))


@pytest.fixture
def layer():
    return Labels(np.ones((1, SIDE, SIDE), np.uint8))


@pytest.fixture
def player(qtbot):
    player = TokenPlayer()
    yield player
    player.clear()


def painted(tokenizer, events):
    """What the layer shows after these events."""
    labels = np.zeros((1, SIDE, SIDE), np.uint8)
    for event in events:
        tokenizer.paint(labels, event)
    if events and isinstance(events[-1], RunPainted):
        labels[tokenizer.run_pixels(events[-1])] = HIGHLIGHT
    return labels


def test_loaded_player_shows_the_empty_mask_and_reads_ahead(
    qtbot, player, tokenizer, layer, events
):
    player.load(tokenizer, layer, events)
    assert not layer.data.any()
    qtbot.waitUntil(lambda: player.complete)
    assert (player.n_events, player.position, player.playing) == (len(events), 0, False)


def test_steps_forward_and_back_are_exact(player, tokenizer, layer, events):
    player.load(tokenizer, layer, events)
    for n in range(1, len(events) + 1):
        player.step()
        np.testing.assert_array_equal(layer.data, painted(tokenizer, events[:n]))
    for n in reversed(range(len(events))):
        player.step(-1)
        np.testing.assert_array_equal(layer.data, painted(tokenizer, events[:n]))
    player.step(-1)
    assert player.position == 0


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0, 0.5, 0.1])
def test_seek_shows_the_same_as_playing(qtbot, player, tokenizer, layer, events, share):
    player.load(tokenizer, layer, events)
    qtbot.waitUntil(lambda: player.complete)
    player.seek(len(events))
    player.seek(round(share * len(events)))
    assert player.position == round(share * len(events))
    np.testing.assert_array_equal(layer.data, painted(tokenizer, events[: player.position]))


class SlowClock:
    """A clock that goes on by a quarter of a slice of reading ahead each time it is asked."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += FETCH_S / 4
        return self.now


def overlapping_runs(n):
    return [RunPainted(k, k % 500, 9, (1 + k % 2,), (3, 4)) for k in range(n)]


def test_seek_beyond_what_one_turn_can_fetch_goes_on_until_it_is_there(qtbot, tokenizer, layer):
    runs = overlapping_runs(300)
    player = TokenPlayer(clock=SlowClock())
    player.load(tokenizer, layer, iter(runs))
    player.seek(250)
    assert 0 < player.position < 10  # one slice: the event loop goes on
    qtbot.waitUntil(lambda: player.position == 250)
    np.testing.assert_array_equal(layer.data, painted(tokenizer, runs[:250]))
    assert not player.playing
    player.clear()


def test_seek_through_known_events_takes_several_turns(qtbot, player, tokenizer, layer):
    n = 2 * MAX_STEPS + 100
    player.load(tokenizer, layer, overlapping_runs(n))
    qtbot.waitUntil(lambda: player.complete)
    for target in (n, 0):
        positions = []
        player.moved.connect(positions.append)
        player.seek(target)
        qtbot.waitUntil(lambda target=target: player.position == target)
        assert np.abs(np.diff([n - target, *positions])).max() <= MAX_STEPS
        player.moved.disconnect(positions.append)
    assert not layer.data.any()


def test_seek_past_the_end_stops_at_the_end(qtbot, player, tokenizer, layer, events):
    player.load(tokenizer, layer, events)
    player.seek(len(events) + 1000)
    qtbot.waitUntil(lambda: player.position == len(events))
    assert player.complete


def test_pause_gives_up_a_seek(qtbot, tokenizer, layer):
    player = TokenPlayer(clock=SlowClock())
    player.load(tokenizer, layer, overlapping_runs(300))
    player.seek(250)
    reached = player.position
    player.pause()
    qtbot.waitUntil(lambda: player.complete)
    assert player.position == reached
    player.clear()


def test_everything_fed_is_fetched_while_it_is_paused(qtbot, tokenizer, layer):
    player = TokenPlayer(clock=SlowClock())
    player.load(tokenizer, layer, live=True)
    player.feed(overlapping_runs(300))
    qtbot.waitUntil(lambda: player.n_events == 300)
    player.clear()


def test_runs_that_overlap_are_taken_back_exactly(qtbot, player, tokenizer, layer):
    runs = [RunPainted(n, 3 * n, 9, (1 + n % 2,), (3, 4)) for n in range(20)]
    player.load(tokenizer, layer, runs)
    qtbot.waitUntil(lambda: player.complete)
    player.seek(20)
    for n in reversed(range(20)):
        player.step(-1)
        np.testing.assert_array_equal(layer.data, painted(tokenizer, runs[:n]))


def test_runs_of_an_open_block_take_its_colour_when_it_is_closed(qtbot, player, layer, mask):
    spec = MaskSpec(size=(SIDE, SIDE), class_names=("a", "b"))
    tokenizer = Tokenizer.build(preset("cw"), spec)
    events = list(tokenizer.events(tokenizer.encode(mask)))
    player.load(tokenizer, layer, events)
    qtbot.waitUntil(lambda: player.complete)
    player.seek(len(events))
    np.testing.assert_array_equal(layer.data, mask)
    for n in reversed(range(len(events))):
        player.step(-1)
        np.testing.assert_array_equal(layer.data, painted(tokenizer, events[:n]))
    first_close = next(n for n, event in enumerate(events) if not isinstance(event, RunPainted))
    player.seek(first_close - 1)
    assert (layer.data == tokenizer.open_label).any()
    assert not (layer.data == 1).any()
    player.seek(first_close + 1)
    assert not (layer.data == tokenizer.open_label).any()
    assert (layer.data == 1).any()


def test_plays_to_the_end_and_then_from_the_beginning(
    qtbot, player, tokenizer, layer, events, mask
):
    player.speed = 2000
    player.load(tokenizer, layer, events)
    player.play()
    with qtbot.waitSignal(player.playing_changed, check_params_cb=lambda on: not on):
        pass
    assert player.position == len(events)
    np.testing.assert_array_equal(layer.data, mask)
    player.play()
    assert player.playing
    assert player.position == 0


def test_speed_is_kept(qtbot, tokenizer, layer, events):
    now = [0.0]
    player = TokenPlayer(clock=lambda: now[0])
    player.load(tokenizer, layer, events)
    qtbot.waitUntil(lambda: player.complete)
    player.speed = 100
    player.play()
    for seconds, expected in ((0.5, 50), (0.004, 50), (0.006, 51), (1.0, 151)):
        now[0] += seconds
        player._tick()
        assert player.position == expected
    player.clear()


def test_fed_events_are_shown_as_they_come(qtbot, player, tokenizer, layer, events, mask):
    player.speed = 5000
    player.load(tokenizer, layer, live=True)
    player.play()
    for first in range(0, len(events), 40):
        player.feed(events[first : first + 40])
        known = min(first + 40, len(events))
        qtbot.waitUntil(lambda known=known: player.position == known)
        assert player.playing
    player.finish()
    qtbot.waitUntil(lambda: not player.playing)
    assert player.complete
    np.testing.assert_array_equal(layer.data, mask)


def test_iterator_is_taken_a_few_at_a_time(qtbot, player, tokenizer, layer, events):
    taken = []

    def slow():
        for event in events:
            time.sleep(0.002)
            taken.append(event)
            yield event

    player.load(tokenizer, layer, slow())
    assert not taken
    player.step()
    assert 1 <= len(taken) <= 2
    qtbot.waitUntil(lambda: player.complete)


def test_slow_drawing_makes_updates_rarer(qtbot, tokenizer, layer, events):
    now = [0.0]
    player = TokenPlayer(frame_rate=50, share=0.4, clock=lambda: now[0])
    player.load(tokenizer, layer, events)
    qtbot.waitUntil(lambda: player.complete)
    player.play()
    for drawing_ms, wait_ms in ((1, 19), (50, 75)):
        player._tick()
        now[0] += drawing_ms / 1000
        player._rest()
        assert player._timer.interval() == wait_ms
    player.clear()


def test_list_has_a_row_an_event(qtbot, player, tokenizer, layer, events):
    rows = EventRows(player, 15)
    player.load(tokenizer, layer, events)
    qtbot.waitUntil(lambda: player.complete)
    assert rows.rowCount() == len(events)
    first = rows.data(rows.index(0))
    assert first.splitlines()[0].startswith("   1   start ")
    assert first.splitlines()[1].strip().startswith("length ")
    assert isinstance(events[-1], MaskEnded)
    assert rows.data(rows.index(len(events) - 1)).startswith(f"end · {len(events) - 1} runs")
    player.clear()
    assert rows.rowCount() == 0


def test_tokens_are_those_that_were_played(qtbot, player, tokenizer, layer, events, mask):
    player.load(tokenizer, layer, events)
    qtbot.waitUntil(lambda: player.complete)
    player.seek(len(events))
    assert player.tokens() == tokenizer.encode(mask).tolist()[:-1]
