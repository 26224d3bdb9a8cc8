"""The script that measures a GPU: its parts end in time, and its page has what they printed."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TALKS = """
import time
print("| a |", "|---|", "| 1 |", "words", sep="\\n", flush=True)
try:
    time.sleep(60)
finally:
    print("| b |", "|---|", sep="\\n")
"""


@pytest.fixture(scope="module")
def script():
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        import measure_gpu

        yield measure_gpu
    finally:
        sys.path.remove(str(ROOT / "scripts"))


def test_a_part_that_takes_too_long_says_what_it_has(script, tmp_path: Path) -> None:
    part = script.Part("talks", 60, ("-c", TALKS), "What it shows.")
    result = script.run(part, tmp_path, 8)
    assert result.ended == "took too long"
    page = script.page([result], tmp_path, "A machine", "python measure_gpu.py")
    assert "| talks | took too long | " in page
    assert "| a |\n|---|\n| 1 |\n\n| b |\n|---|\n\n" in page
    assert "\nwords\n" not in page
    assert "so that lines are missing" in page


def test_a_part_that_fails_is_told(script, tmp_path: Path) -> None:
    part = script.Part("fails", 60, ("-c", "raise SystemExit('no GPU')"), "What it shows.")
    result = script.run(part, tmp_path, 60)
    assert result.ended == "failed (1)"
    assert (tmp_path / "fails.log").read_text().strip() == "no GPU"
    assert "No table." in script.page([result], tmp_path, "A machine", "python")


@pytest.mark.parametrize("quick", [False, True])
def test_all_parts_fit_in_their_time(script, tmp_path: Path, quick: bool) -> None:
    setting = script.Setting(device="cuda", data=None, out=tmp_path, workers=16, quick=quick)
    parts = list(setting.parts())
    names = [part.name for part in parts]
    assert names[:2] == ["tests", "segment"]
    assert len(set(names)) == len(names)
    assert sum(part.seconds for part in parts) < 400
    for part in parts[1:]:
        assert part.words[-2 - 2 * ("--json" in part.words) :][:2] == ("--device", "cuda")
