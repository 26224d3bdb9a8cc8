import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from benchmarks.track import Crowd, laptrack, largest_overlap, ours, score

from rleseg_core.objects.stack import ObjectStack

ROOT = Path(__file__).parents[1]


@pytest.mark.benchmark
def test_memory_of_stacks_is_printed() -> None:
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.track",
            "--memory",
            "2",
            "4",
            "--side",
            "64",
            "--across",
            "3",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in run.stdout.splitlines()]
    assert [row[:4] for row in rows[2:]] == [["2", "64²", "9", "9"], ["4", "64²", "9", "9"]]


@pytest.mark.benchmark
def test_all_linkers_follow_a_crowd_that_swings() -> None:
    crowd = Crowd(4, 96, 4)
    ids = np.stack([crowd[frame] for frame in range(4)])
    linkers = [ours, largest_overlap]
    if find_spec("laptrack"):
        linkers.append(lambda stack: laptrack(stack, cutoff=1.0))
    for linker in linkers:
        found = score(ids, {}, linker(ObjectStack.of(ids)))
        assert (found.tra, found.edge_f1, found.n_id_switches) == (1, 1, 0)
