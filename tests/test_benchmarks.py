import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.benchmark
pytest.importorskip("pycocotools", reason="the peer of the benchmarks is not installed")


def test_speeds_of_tokens_are_printed_for_each_side_and_scheme(tmp_path: Path) -> None:
    found = tmp_path / "tokens.json"
    sizes = ["--sides", "12", "80", "--scheme-side", "12", "--schemes", "lac", "tac"]
    pace = ["--repeats", "1", "--seconds", "0", "--device", "cpu", "--json", str(found)]
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.tokens", *sizes, *pace],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [line.split("|")[1:-1] for line in run.stdout.splitlines() if line.startswith("|")]
    names = [row[0].strip() for row in rows]
    assert names.count("numpy encode") == names.count("pycocotools decode") == 2
    assert [len(row) for row in rows] == [6] * 16 + [7] * 4
    assert names[-2:] == ["lac", "tac"]
    speeds = json.loads(found.read_text())
    assert [side["side"] for side in speeds["sides"]] == [12, 80]
    assert speeds["sides"][0]["paths"][0]["published"] is None
    assert speeds["sides"][1]["paths"][0]["published"] == 1295
    assert all(path["masks_per_s"] > 0 for side in speeds["sides"] for path in side["paths"])
    assert [(s["scheme"], s["n_frames"]) for s in speeds["schemes"]] == [("lac", 1), ("tac", 8)]
