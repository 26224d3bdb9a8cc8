import numpy as np
import pytest

from rleseg_core.spec import MaskSpec
from rleseg_core.tokens import Tokenizer, preset

PLAIN = ("binary", "multiclass", "lac")  # the schemes that any start and order goes with

CHOICES = [
    (name, order, start) for name in PLAIN for order in ("C", "F") for start in ("flat", "coords")
]


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
        for name, cell in {"first": 0, "last": -1, "middle": 20}.items():
            named[name] = np.zeros(shape, np.uint8)
            named[name].flat[cell] = 1
        return named

    return masks
