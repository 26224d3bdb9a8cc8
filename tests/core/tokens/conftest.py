import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import strategies as st

from rleseg_core.errors import SchemeError
from rleseg_core.spec import MaskSpec
from rleseg_core.tokens import BlockClosed, PublishedLayout, Scheme, Tokenizer, check, preset
from rleseg_core.tokens.runs import RUN_KINDS

PLAIN = ("binary", "multiclass", "lac")  # the schemes that any start and order goes with

CHOICES = [
    (name, order, start) for name in PLAIN for order in ("C", "F") for start in ("flat", "coords")
]

STAGES = {
    "order": ("C", "F"),
    "time": ("volume", "class"),
    "runs": tuple(RUN_KINDS),
    "lines": ("joined", "separate"),
    "start": ("flat", "coords", None),
    "symbol": (None, "token", "length"),
    "blocks": (None, "class", "instance"),
    "heads": ("one", "per_field"),
}
EVERY_SCHEME = [
    Scheme(**dict(zip(STAGES, choices, strict=True)))
    for choices in itertools.product(*STAGES.values())
]
PATTERNS = ("noise", "runs", "touching", "objects", "full", "empty")
ANY_SIZE = 10**12  # of a vocabulary
COMPARED = pytest.StashKey[Counter]()


def _spec(size, n_classes, n_frames):
    names = tuple(f"class{k}" for k in range(1, n_classes + 1))
    return MaskSpec(size=size, class_names=names, n_frames=n_frames)


def _goes_with(scheme, n_classes, n_frames):
    try:
        check(scheme, _spec((2, 3), n_classes, n_frames))
    except SchemeError:
        return False
    return True


def _numbers(scheme, most_classes=2, most_frames=2):
    """Numbers of classes and frames of masks that a scheme can write, the least first."""
    numbers = itertools.product(range(1, most_classes + 1), range(1, most_frames + 1))
    return [pair for pair in numbers if _goes_with(scheme, *pair)]


LEGAL = [scheme for scheme in EVERY_SCHEME if _numbers(scheme)]


def _name(scheme):
    return "-".join(str(getattr(scheme, stage)) for stage in STAGES)


def _tokenizer(name, order="C", start="flat", size=(6, 9), max_length=None, n_classes=3):
    n_classes = 1 if name == "binary" else n_classes
    spec = MaskSpec(size=size, class_names=tuple(f"class{k}" for k in range(1, n_classes + 1)))
    scheme = preset(name, order=order, start=start, max_length=max_length)
    return Tokenizer.build(scheme, spec, vocab_limit=10**6)


@pytest.fixture(scope="session")
def make_tokenizer():
    """Builds a tokenizer of a named scheme for masks of some size."""
    return _tokenizer


@pytest.fixture(params=CHOICES, ids=lambda choice: "-".join(choice))
def tokenizer(request):
    """One of every legal combination of class, order and start, for masks of 6 x 9."""
    return _tokenizer(*request.param)


@pytest.fixture(scope="session")
def named_masks():
    """Masks of a tokenizer's shape by name, among them the awkward ones."""

    def masks(tokenizer):
        rng = np.random.default_rng(0)
        shape, n_classes = tokenizer.spec.shape, tokenizer.spec.n_classes
        named = {
            "empty": np.zeros(shape, np.uint8),
            "full": np.full(shape, n_classes, np.uint8),
            "noise": rng.integers(0, n_classes + 1, shape).astype(np.uint8),
            "touching": np.arange(np.prod(shape)).reshape(shape).astype(np.uint8) // 4 % n_classes
            + np.uint8(1),
        }
        for name, pixel in {"first": 0, "last": -1, "middle": 20}.items():
            named[name] = np.zeros(shape, np.uint8)
            named[name].flat[pixel] = 1
        return named

    return masks


@pytest.fixture(scope="session")
def every_scheme():
    """Every combination of the choices of a scheme, those that do not work included."""
    return EVERY_SCHEME


@pytest.fixture(scope="module", params=LEGAL, ids=_name)
def scheme(request):
    """One of the schemes that masks of some number of classes and frames go with."""
    return request.param


def _mask(spec, pattern, rng):
    """Class and instance ids (N, S, S) of a mask; every instance has one class."""
    n_pixels, n_classes = int(np.prod(spec.shape)), spec.n_classes
    ids = rng.integers(0, 4, n_pixels)
    if pattern == "runs":
        ids = np.repeat(ids, 4)[:n_pixels]
    elif pattern == "touching":
        ids = np.repeat(rng.integers(1, 4, n_pixels), 3)[:n_pixels]
    elif pattern == "objects":
        ids = np.repeat(np.arange(n_pixels) % 7, 5)[:n_pixels]
    elif pattern == "full":
        ids = np.ones(n_pixels, np.int64)
    elif pattern == "empty":
        ids = np.zeros(n_pixels, np.int64)
    labels = rng.integers(1, n_classes + 1, 8)
    numbers = rng.permutation(400)[:8] + 1  # what instances are called is up to who calls them
    labels[0] = numbers[0] = 0
    shape = spec.shape if rng.random() < 0.5 else spec.shape[::-1]
    classes, instances = (values[ids].reshape(shape) for values in (labels, numbers))
    if shape != spec.shape:  # the same along the columns
        classes, instances = classes.T, instances.T
    return classes.astype(np.uint8), instances.astype(np.int32)


@pytest.fixture(scope="session")
def masks_of():
    """Some masks of a spec, one of each pattern: class and instance ids (B, N, S, S)."""

    def make(spec, seed=0):
        rng = np.random.default_rng(seed)
        pairs = [_mask(spec, pattern, rng) for pattern in PATTERNS]
        return tuple(np.stack(ids) for ids in zip(*pairs, strict=True))

    return make


@st.composite
def _cases(draw, scheme, most_classes=5, most_frames=8):
    numbers = draw(st.sampled_from(_numbers(scheme, most_classes, most_frames)))
    sizes = st.sampled_from([(1, 1), (1, 7), (6, 1), (2, 3), (5, 3), (4, 4), (3, 7)])
    spec = _spec(draw(sizes), *numbers)
    tokenizer = Tokenizer.build(scheme, spec, vocab_limit=ANY_SIZE)
    layout = None
    if tokenizer.max_length is not None:
        longest = st.one_of(st.none(), st.integers(1, tokenizer.runs.line))
        scheme = replace(scheme, max_length=draw(longest))
    if draw(st.booleans()):
        layout = PublishedLayout()
    try:
        tokenizer = Tokenizer.build(scheme, spec, vocab_limit=ANY_SIZE, layout=layout)
    except SchemeError:  # not everything has published ids
        tokenizer = Tokenizer.build(scheme, spec, vocab_limit=ANY_SIZE)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return tokenizer, *_mask(spec, draw(st.sampled_from(PATTERNS)), rng)


@pytest.fixture(scope="session")
def cases():
    """Strategy for a tokenizer of a scheme and a mask of it: class and instance ids (N, S, S)."""
    return _cases


@pytest.fixture(scope="session")
def seen_pixels():
    """The pixels that a run shows: frames, rows and columns (n,) of those not background."""

    def pixels(tokenizer, run):
        frames, rows, cols = tokenizer.run_pixels(run)
        labels = np.array(run.labels)
        seen = labels[frames if labels.size > 1 else frames * 0] > 0
        return frames[seen], rows[seen], cols[seen]

    return pixels


@pytest.fixture(scope="session")
def painted(seen_pixels):
    """Class and instance ids (N, S, S) that events paint, and what the last of them says."""

    def paint(tokenizer, events):
        classes = np.zeros(tokenizer.spec.shape, np.uint8)
        instances = np.zeros(tokenizer.spec.shape, np.int32)
        for event in events:
            tokenizer.paint(classes, event)
            if isinstance(event, BlockClosed):
                for run in event.runs:
                    instances[seen_pixels(tokenizer, run)] = event.index + 1
        return classes, instances, event

    return paint


@pytest.fixture(scope="session")
def compared(request):
    """How many published sequences were compared, by kind; told when all tests are over."""
    return request.config.stash.setdefault(COMPARED, Counter())


def pytest_terminal_summary(terminalreporter, config):
    compared = config.stash.get(COMPARED, Counter())
    if compared:
        kinds = ", ".join(f"{kind} {n:,}" for kind, n in sorted(compared.items()))
        terminalreporter.write_line(
            f"compared {compared.total():,} sequences with the published ones: {kinds}"
        )
