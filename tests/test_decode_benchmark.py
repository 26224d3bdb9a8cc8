import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest


@pytest.mark.benchmark
def test_speeds_of_decoding_are_printed_beside_the_peers(tmp_path: Path) -> None:
    found = tmp_path / "decode.json"
    sizes = ["--lengths", "16", "--batches", "1", "2", "--frames", "2", "--device", "cpu"]
    pace = ["--steps", "2", "--repeats", "1", "--threads", "1", "--json", str(found)]
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.decode", *sizes, *pace],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [line.split("|")[1:-1] for line in run.stdout.splitlines() if line.startswith("|")]
    assert [len(row) for row in rows] == [11] * 4 + [6] * 4 + [10] * 10
    result = json.loads(found.read_text())
    assert [(s["length"], s["batch"]) for s in result["speeds"]] == [(16, 1), (16, 2)]
    for speeds in result["speeds"]:
        assert min(speeds["ours"], speeds["uncached"], speeds["last_only"], speeds["floor"]) > 0
        assert (speeds["transformers"] is None) == (find_spec("transformers") is None)
    assert ("--group bench" in run.stdout) == (find_spec("transformers") is None)
    for draft in result["drafts"]:
        assert draft["passes"] <= draft["tokens"]
