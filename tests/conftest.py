from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of reference data that may lie beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip("the reference data (a folder 'shared' beside the checkout) is not here")
    return SHARED
