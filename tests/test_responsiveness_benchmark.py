import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.benchmark


def test_gaps_of_each_task_are_printed(tmp_path: Path) -> None:
    found = tmp_path / "gaps.json"
    sizes = ["--side", "128", "--frames", "2", "--steps", "2", "--repeats", "1"]
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.responsiveness", *sizes, "--json", str(found)],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [line.split("|")[1:-1] for line in run.stdout.splitlines() if line.startswith("|")]
    assert [len(row) for row in rows] == [4] * 6
    gaps = json.loads(found.read_text())["gaps"]
    assert len(gaps) == 4
    assert all(0 < task["usual"] <= task["longest"] for task in gaps)
    assert all(task["n_ticks"] > 0 for task in gaps)  # a busy machine has few
