"""Windows that overlap in space and in time: what they say together, and that nothing is lost."""

from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rleseg_core.data import ImageStack, LabelReader, WindowReader, plan_windows
from rleseg_core.decoding import DecodedSequence
from rleseg_core.errors import DataError
from rleseg_core.inference import PredictOptions, Stitcher
from rleseg_core.inference.arrays import choose_arrays, frames_that_end
from rleseg_core.inference.confidence import pixel_weights
from rleseg_core.inference.frames import OpenFrames
from rleseg_core.inference.merging import depth_in_time
from rleseg_core.inference.objects import painter
from rleseg_core.objects import ObjectTable
from rleseg_core.objects.joining import depth_in_window
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import Tokenizer, preset

NAMES = ("round", "long")
TIME_RULES = ("centre", "last", "vote", "or", "and", "min", "max")
RULES = (*TIME_RULES, "weighted")


@st.composite
def plans(draw, patch=6):
    """The shape of a small movie, windows of it, and its breaks."""
    n_frames = draw(st.integers(1, 4))
    shape = draw(st.integers(1, 6)), draw(st.integers(3, 11)), draw(st.integers(3, 11))
    spec = WindowSpec(
        patch=patch,
        patch_stride=draw(st.integers(2, patch - 1)),
        n_frames=n_frames,
        frame_stride=draw(st.integers(1, n_frames)),
    )
    frames = st.sets(st.integers(1, max(1, shape[0] - 1)))
    breaks = [frame for frame in sorted(draw(frames)) if frame < shape[0]]
    return shape, spec, breaks


def decided(rule, answers):
    """The class of a pixel from answers (class, weight, depth), by the words of `Stitcher`."""
    classes = [label for label, _, _ in answers]
    if rule == "centre":
        return max(answers, key=lambda answer: answer[2])[0]  # the first of the deepest
    if rule == "last":
        return classes[-1]
    if rule in ("min", "max"):
        return min(classes) if rule == "min" else max(classes)
    if rule == "and" and 0 in classes:
        return 0
    if rule == "or":
        answers = [answer for answer in answers if answer[0]] or answers
    weights = dict.fromkeys(sorted({answer[0] for answer in answers}), 0.0)
    for label, weight, _ in answers:
        weights[label] += weight if rule == "weighted" else 1
    return max(weights, key=weights.__getitem__)


@settings(max_examples=15)
@given(plans(), st.sampled_from(RULES), st.sampled_from(TIME_RULES), st.integers(0, 99))
def test_every_pixel_is_what_the_rules_say(plan, rule, time_rule, seed):
    shape, spec, breaks = plan
    rng = np.random.default_rng(seed)
    labels = np.full(shape, 9, np.uint8)
    stitcher = Stitcher(labels, 2, rule, time_rule)
    answers = [[[[] for _ in range(shape[2])] for _ in range(shape[1])] for _ in range(shape[0])]
    for frames, windows in groupby(plan_windows(shape, spec, breaks), lambda one: one.frames):
        of_patches = {}
        for window in windows:
            rows, cols = slice(window.rows[0], shape[1]), slice(window.cols[0], shape[2])
            rows, cols = (slice(s.start, min(s.start + spec.patch, s.stop)) for s in (rows, cols))
            size = window.n_frames, rows.stop - rows.start, cols.stop - cols.start
            masks = rng.integers(0, 3, size).astype(np.uint8)
            weights = rng.integers(1, 8, size).astype(np.float32)  # their sums are exact
            stitcher.add_window(window, rows, cols, masks, set(range(shape[0])), weights)
            depths = depth_in_window(rows, cols, shape[1:])
            for t, y, x in np.ndindex(*size):
                pixel = frames[0] + t, rows.start + y, cols.start + x
                answer = int(masks[t, y, x]), float(weights[t, y, x]), int(depths[y, x])
                of_patches.setdefault(pixel, []).append(answer)
        for (t, y, x), given_ in of_patches.items():
            answers[t][y][x].append((decided(rule, given_), 1.0, depth_in_time(t, frames)))
    for t, y, x in np.ndindex(*shape):
        assert labels[t, y, x] == decided(time_rule, answers[t][y][x])


def movie(shape, seed):
    """Ids (T, Y, X) of rectangles that move, touch, come and go, and the class of each id."""
    rng = np.random.default_rng(seed)
    ids = np.zeros(shape, np.int32)
    for number in range(1, 7):
        side, place = rng.integers(1, 7, 2), rng.integers(0, shape[1:])
        first, stop = np.sort(rng.integers(0, shape[0] + 1, 2))
        for frame in range(first, stop):
            corner = place + rng.integers(-1, 2, 2) * (frame > first)
            box = tuple(
                slice(max(0, at), max(0, at) + n) for at, n in zip(corner, side, strict=True)
            )
            if not ids[frame][box].any():  # whole rectangles
                ids[frame][box] = number
    return ids, np.where(ids > 0, 1 + ids % 2, 0).astype(np.uint8)


def through_everything(scheme, plan, ids, classes, options):
    """Truth through windows, tokens, patches and merging: classes, ids and table."""
    shape, spec, breaks = plan
    mask = MaskSpec(size=(spec.patch,) * 2, class_names=NAMES, n_frames=spec.n_frames)
    tokenizer = Tokenizer.build(preset(scheme), mask)
    outputs = choose_arrays(shape, None, None, None, wants_objects=True)
    painting = painter(tokenizer, NAMES, outputs, options)
    noise = np.random.default_rng(0).integers(1, 255, shape, dtype=np.uint8)
    reader = WindowReader(ImageStack.from_array(noise, "TYX"), spec)
    truth = [LabelReader(array, spec) for array in (classes, ids)]
    windows = plan_windows(shape, spec, breaks)
    tables = []
    for window, done in zip(windows, frames_that_end(windows), strict=True):
        tokens = tokenizer.encode(*(labels.read(window) for labels in truth))
        logprobs = np.full(tokens.shape, np.log(0.5), np.float32)
        painting.add(reader, window, DecodedSequence(0, tokens, logprobs, 0))
        tables.append(painting.close(done))
    return outputs.segmentation(ObjectTable.concatenate(tables))


@settings(max_examples=25)
@given(
    plans(),
    st.sampled_from(["3d-c", "3d-f", "tac", "ltac", "cw-tac"]),
    st.sampled_from(RULES),
    st.sampled_from(TIME_RULES),
    st.integers(0, 99),
)
def test_true_classes_come_back(plan, scheme, rule, time_rule, seed):
    if plan[1].n_frames == 1:
        scheme = {"cw-tac": "cw"}.get(scheme, "lac")
    ids, classes = movie(plan[0], seed)
    options = PredictOptions(stitch=rule, stitch_time=time_rule)
    found = through_everything(scheme, plan, ids, classes, options)
    np.testing.assert_array_equal(found.classes, classes)


@settings(max_examples=25)
@given(
    plans(),
    st.sampled_from(["centre", "last"]),
    st.sampled_from(["centre", "last"]),
    st.integers(0, 99),
)
def test_true_objects_come_back(plan, rule, time_rule, seed):
    ids, classes = movie(plan[0], seed)
    options = PredictOptions(stitch=rule, stitch_time=time_rule)
    scheme = "iw" if plan[1].n_frames == 1 else "iw-tac"
    found = through_everything(scheme, plan, ids, classes, options)
    np.testing.assert_array_equal(found.classes, classes)
    for frame, truth in zip(found.objects, ids, strict=True):
        pairs = np.unique(np.stack([frame.ravel(), truth.ravel()]).astype(int), axis=1)
        assert all(np.unique(side).size == pairs.shape[1] for side in pairs)
    n_objects = sum(np.unique(frame[frame > 0]).size for frame in ids)
    assert found.table.id.tolist() == list(range(1, n_objects + 1))


@pytest.mark.parametrize("scheme", ["tac", "iw-tac"])
def test_few_frames_are_open_however_long_the_movie(scheme, monkeypatch):
    shape, spec = (40, 12, 12), WindowSpec(patch=6, patch_stride=4, n_frames=4)
    n_open, opened = [], OpenFrames.__getitem__

    def counted(self, frame):
        whole = opened(self, frame)
        n_open.append(len(self._frames))
        return whole

    monkeypatch.setattr(OpenFrames, "__getitem__", counted)
    ids, classes = movie(shape, 0)
    found = through_everything(scheme, (shape, spec, []), ids, classes, PredictOptions())
    np.testing.assert_array_equal(found.classes, classes)
    assert max(n_open) == 4


@pytest.mark.parametrize("options", [{"stitch": "or"}, {"stitch_time": "min"}])
def test_objects_are_not_merged_pixel_by_pixel(options):
    plan = (2, 6, 6), WindowSpec(patch=6, patch_stride=4, n_frames=2), []
    ids, classes = movie(plan[0], 0)
    with pytest.raises(DataError, match=r"merges pixels, and this model .* 'centre' or 'last'"):
        through_everything("iw-tac", plan, ids, classes, PredictOptions(**options))


def test_frame_stride_is_at_most_the_frames_of_a_window():
    spec = WindowSpec(patch=6, patch_stride=4, n_frames=4, frame_stride=4)
    assert PredictOptions(frame_stride=2).in_time(spec).frame_stride == 2
    assert PredictOptions().in_time(spec) is spec
    with pytest.raises(DataError, match="at most the 4 frames that the model sees"):
        PredictOptions(frame_stride=5).in_time(spec)


def test_votes_weigh_as_much_as_the_model_is_sure():
    tokenizer = Tokenizer.build(preset("lac"), MaskSpec(size=(4, 4), class_names=NAMES))
    mask = np.zeros((1, 4, 4), np.uint8)
    mask[0, 1, :2] = 2
    tokens = tokenizer.encode(mask)
    logprobs = np.log([0.25, 1.0, 0.4]).astype(np.float32)  # of start, length and eos
    weights = pixel_weights(tokenizer, tokens, logprobs)
    np.testing.assert_allclose(weights[mask > 0], 0.5, rtol=1e-5)
    np.testing.assert_allclose(weights[mask == 0], 0.1 ** (1 / 3), rtol=1e-5)
    unknown = pixel_weights(tokenizer, tokens, np.full(3, np.nan, np.float32))
    np.testing.assert_array_equal(unknown, 1)
