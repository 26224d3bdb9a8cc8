import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.benchmark


def test_speeds_of_augmentation_are_printed():
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.augment", "--patches", "32", "--rounds", "1"],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [line.split("|")[1:-1] for line in run.stdout.splitlines() if line.startswith("|")][2:]
    assert [row[0].strip() for row in rows] == ["none", "standard", "strong"]
    for row in rows:
        draw, augment, together = map(float, row[2:])
        assert draw > 0
        assert augment > 0
        assert together == pytest.approx(draw + augment, abs=0.02)
