import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# before torch is imported: threads that wait for one another cost ten times the CPU time of these
# small models, and a test runs on each core anyway
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("NAPARI_CONFIG", "")  # the settings of the user are neither read nor written

# a busy machine draws slowly; that is no fault of a test
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of reference data that may lie beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip("the reference data (a folder 'shared' beside the checkout) is not here")
    return SHARED
