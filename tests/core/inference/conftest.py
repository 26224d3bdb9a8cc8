"""What the tests of inference share: they compute the same on all processors."""

from collections.abc import Iterator

import pytest

from rleseg_core.inference import precision


@pytest.fixture(autouse=True, scope="module")
def float32() -> Iterator[None]:
    """A processor without units for bf16, on which batches of any size round alike."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precision, "multiplies_bf16", lambda device: False)
        yield
