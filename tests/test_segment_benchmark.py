import json
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import tifffile
from benchmarks.segment_fields import fields_of, seen_at
from benchmarks.segment_stacks import Case, cost_table, frames_for, measured
from benchmarks.segment_table import dice

ROOT = Path(__file__).parents[1]


@pytest.mark.benchmark
def test_costs_of_a_field_are_printed_beside_those_of_another_version(tmp_path: Path) -> None:
    found = tmp_path / "segment.json"
    what = ["--models", "cells", "--sides", "96", "--hows", "default", "preview"]
    how = ["--before", str(ROOT), "--together", "--json", str(found)]
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.segment", *what, *how],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.split("|")[1:-1] for line in run.stdout.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line] for line in lines[2:]]
    expected = [[how, v] for how in ("default", "preview") for v in ("before", "now")]
    has_monai = find_spec("monai") is not None
    assert [row[1:3] for row in rows] == expected + [["U-Net", "now"]] * has_monai
    assert [row[-1] for row in rows[:4]] == ["", "1.0000"] * 2  # the same code, the same masks
    for row in json.loads(found.read_text())["rows"]:
        assert row["error"] is None
        assert row["found"]["cpu"] > 0
        assert row["found"]["first_cpu"] > 0
        assert (row["found"]["cold_cpu"] is None) == (row["job"]["how"] != "default")
        assert row["found"]["memory"] > 1e8


def test_larger_fields_are_many_side_by_side() -> None:
    whole = fields_of(1024, 1, None)
    assert whole.shape == (1, 1024, 1024)
    larger = fields_of(1100, 1, None)
    assert larger.shape == (1, 1100, 1100)
    assert np.array_equal(larger[0, :1024, :1024], whole[0])
    assert np.array_equal(larger[0, 1024:, :1024], whole[0, :76])
    assert [seen_at(side) for side in (96, 512, 1024, 4096)] == [96, 512, 512, 2048]


def test_dice_of_nothing_is_full() -> None:
    nothing, some = np.zeros(4, bool), np.array([True, True, False, False])
    assert dice(nothing, nothing) == 1
    assert dice(some, nothing) == 0
    assert dice(some, ~some | some) == pytest.approx(2 / 3)


@pytest.mark.filterwarnings("ignore:next to no objects")  # they are too small here
@pytest.mark.parametrize("preview", [False, True])
def test_a_stack_is_measured_from_file_to_files(tmp_path: Path, preview: bool) -> None:
    case = Case(n_frames=2, side=96, seen=96)
    source = tmp_path / "stack.tif"
    tifffile.imwrite(source, np.stack(list(frames_for(case, None))), metadata={"axes": "TYX"})
    started = time.time()
    cost = measured(source, case, "cells", preview, started)
    assert cost.n_windows == 2
    assert 0 < cost.first_cpu < cost.cpu
    assert cost.memory > 1e8
    line = cost_table({"image": cost}).splitlines()[-1]
    assert [cell.strip() for cell in line.split("|")[1:4]] == ["image", "1 of 256²", "256"]
    assert (tmp_path / "masks.tif").exists()
