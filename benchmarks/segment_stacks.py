"""Print what whole stacks cost, from files to files: time, peak memory, and the first mask.

    python -m benchmarks.segment_stacks --data-dir ../shared/data
    python -m benchmarks.segment_stacks --cases frames-50 frames-400

* **image**: one of 256 × 256 pixels, at its own size.
* **frames-50**, **frames-400**: frames of 512 × 512 pixels, seen at 96 (one window each), which
  shows whether memory grows with the number of frames.
* **movie**: 37 frames of 1022 × 1024 pixels, seen at 512: the time-lapse of T98G cells, or
  synthetic fields without `--data-dir`.
* **large**: one frame of 8192 × 8192 pixels, fields side by side, seen at 4096.

Each case is a process of its own that reads a TIFF and writes masks, ids and their table, as
``rleseg predict`` does. Times are CPU seconds of all threads, and wall seconds beside them; those
of the first mask count from when the stack is opened, with the model in memory, and *cold* from the
start of the process.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import tifffile

from benchmarks.report import machine, table, write_json
from benchmarks.segment_fields import SIDE, fields_of

ROOT = Path(__file__).parents[1]
MOVIE = "usiigaci_t98g_timelapse/01"


@dataclass(frozen=True, kw_only=True)
class Case:
    """A stack to segment.

    Parameters
    ----------
    n_frames, side : int
        T, and the longer side of frames.
    seen : int
        I, the size at which they are seen.
    """

    n_frames: int
    side: int
    seen: int


CASES = {
    "image": Case(n_frames=1, side=256, seen=256),
    "frames-50": Case(n_frames=50, side=512, seen=96),
    "frames-400": Case(n_frames=400, side=512, seen=96),
    "movie": Case(n_frames=37, side=2 * SIDE, seen=SIDE),
    "large": Case(n_frames=1, side=8192, seen=4096),
}


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a case took; seconds, bytes and counts.

    Parameters
    ----------
    cold_cpu, cold_wall : float
        From the start of the process to the first mask.
    first_cpu, first_wall : float
        From when the stack was opened to the first mask.
    cpu, wall : float
        From then to the files.
    memory : int
        Peak of the process.
    n_windows, n_objects : int
        What was computed and found.
    """

    cold_cpu: float
    cold_wall: float
    first_cpu: float
    first_wall: float
    cpu: float
    wall: float
    memory: int
    n_windows: int
    n_objects: int


def frames_for(case: Case, folder: Path | None) -> Iterator[np.ndarray]:
    """Frames (Y, X) of a case, one after another."""
    movie = None if folder is None else folder / MOVIE
    if case.n_frames == CASES["movie"].n_frames and movie is not None and movie.is_dir():
        for file in sorted(movie.glob("*.tif"))[: case.n_frames]:
            yield tifffile.imread(file)
        return
    few = fields_of(case.side, min(case.n_frames, 8), folder)
    for index in range(case.n_frames):
        yield few[index % len(few)]


def measured(source: Path, case: Case, model: str, preview: bool, started: float) -> Cost:
    """Segment a file; of a process that began at `started`, by `time.time`."""
    import torch

    from benchmarks.segment_job import peak_memory
    from rleseg_core.data import ImageStack
    from rleseg_core.inference import Segmenter, predict_to_file

    segmenter = Segmenter.from_checkpoint(model, "cpu")
    begun, begun_cpu = time.time(), time.process_time()
    stack = ImageStack.open(source)
    run = predict_to_file(
        segmenter, stack, source.with_name("masks.tif"), image_size=case.seen, preview=preview
    )
    next(run)
    first, first_cpu = time.time(), time.process_time()
    while True:
        try:
            next(run)
        except StopIteration as end:
            summary = end.value
            break
    return Cost(
        cold_cpu=first_cpu,
        cold_wall=first - started,
        first_cpu=first_cpu - begun_cpu,
        first_wall=first - begun,
        cpu=time.process_time() - begun_cpu,
        wall=time.time() - begun,
        memory=peak_memory(torch.device("cpu")),
        n_windows=summary.windows,
        n_objects=summary.n_objects,
    )


def asked(name: str, arguments: argparse.Namespace) -> Cost:
    """What a case takes in a process of its own."""
    case = CASES[name]
    with TemporaryDirectory() as folder:
        source = Path(folder) / "stack.tif"
        with tifffile.TiffWriter(source) as writer:
            for frame in frames_for(case, arguments.data_dir):
                writer.write(frame, contiguous=True)
        how = [arguments.model, *(["--preview"] if arguments.preview else [])]
        command = [sys.executable, "-m", __spec__.name, "--model", *how]
        run = subprocess.run(
            [*command, "--run", name, str(source), str(time.time())],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return Cost(**json.loads(run.stdout.splitlines()[-1]))


def cost_table(costs: dict[str, Cost]) -> str:
    """A line for each case."""
    head = (
        "stack", "frames", "seen at", "windows", "objects", "CPU s", "s", "first mask, CPU s", "s",
        "cold, CPU s", "s", "peak MB",
    )  # fmt: skip
    rows = []
    for name, cost in costs.items():
        case = CASES[name]
        frames = f"{case.n_frames} of {case.side}²"
        counts = (f"{case.seen}", f"{cost.n_windows:,}", f"{cost.n_objects:,}")
        seconds = (cost.cpu, cost.wall, cost.first_cpu, cost.first_wall, cost.cold_cpu)
        times = (*(f"{value:.1f}" for value in seconds), f"{cost.cold_wall:.1f}")
        rows.append((name, frames, *counts, *times, f"{cost.memory / 1e6:,.0f}"))
    return table(head, rows, ("frames",))


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--model", default="cells", help="name or file")
    parser.add_argument("--preview", action="store_true", help="the dense heads alone")
    parser.add_argument("--data-dir", type=Path, help="folder of the real images")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args(words)


def main() -> None:
    """Measure and print; one case, as JSON, in the process that is asked for it."""
    arguments = parse()
    if arguments.run:
        name, source, started = arguments.run
        cost = measured(
            Path(source), CASES[name], arguments.model, arguments.preview, float(started)
        )
        print(json.dumps(asdict(cost)), flush=True)
        return
    where = {**machine(), "load": f"{os.getloadavg()[0]:.1f}"}
    print(", ".join(f"{key} {value}" for key, value in where.items()), flush=True)
    costs: dict[str, Cost] = {}
    try:
        for name in arguments.cases:
            costs[name] = asked(name, arguments)
            print(f"{name}: {costs[name].cpu:.1f} CPU s", file=sys.stderr, flush=True)
    finally:  # interrupted, it says what it has
        print(f"\n{cost_table(costs)}", flush=True)
        if arguments.json:
            values = {name: asdict(cost) for name, cost in costs.items()}
            write_json(arguments.json, {"machine": where, "costs": values})


if __name__ == "__main__":
    main()
