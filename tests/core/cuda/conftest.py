"""What runs on a GPU: every test here is marked `gpu`, and compares the device with the CPU.

With ``RLESEG_TEST_DEVICE=cpu`` the tests run on the CPU, to test the tests.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import pytest
import torch

_NAME = os.environ.get("RLESEG_TEST_DEVICE", "cuda")
_HERE = Path(__file__).parent

NoWaiting = Callable[[], AbstractContextManager[None]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = _NAME.startswith("cuda") and not torch.cuda.is_available()
    for item in items:
        if item.path.parent == _HERE:
            item.add_marker(pytest.mark.gpu)
            if missing:
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture
def device() -> torch.device:
    return torch.device(_NAME)


@pytest.fixture(autouse=True)
def exact() -> Iterator[None]:
    """Convolutions as exact as on the CPU, so that the two can be compared."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


@pytest.fixture
def no_waiting(device: torch.device) -> NoWaiting:
    """Within it, whatever makes the host wait for the device raises."""

    @contextmanager
    def forbidden() -> Iterator[None]:
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode("default")

    return forbidden if device.type == "cuda" else nullcontext
