"""Run what needs a GPU: the tests that compare it with the CPU, and the benchmarks, in minutes.

    python scripts/check_gpu.py --out runs/gpu
    python scripts/check_gpu.py --out runs/gpu --data ../shared/data --only tests learn-step-64

Each part is a process with a time limit of its own, and one that fails stops no other; the most
telling comes first. A folder gets what they print (``log.txt``), a table of how they ended
(``summary.md``), and the figures of the benchmarks. Of the packages of the plugin none is needed.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Part:
    """A command of python, and the seconds that it may take."""

    name: str
    seconds: int
    words: tuple[str, ...]


def parts_for(device: str, data: Path | None, out: Path, workers: int) -> Iterator[Part]:
    """All parts, in their order."""

    def benchmark(name: str, seconds: int, *words: str, figures: bool = True) -> Part:
        written = ("--json", f"{out / name}.json") if figures else ()
        return Part(name, seconds, ("-m", *words, "--device", device, *written))

    tests = ("-m", "pytest", "-q", "-W", "default", "-p", "no:cacheprovider", "--durations=12")
    yield Part("tests", 110, (*tests, "-n", str(min(workers, 6)), "--tb=short", "tests/core/cuda"))
    source = ("usiigaci", "--data-dir", str(data)) if data else ("synthetic",)
    step = ("benchmarks.learn", "step", "--data", *source)
    for size in (8, 64, 128):
        yield benchmark(
            f"learn-step-{size}", 40, *step, "--batch-size", str(size), "--steps", "24",
            figures=size == 8,
        )  # fmt: skip
    yield benchmark(
        "tokens", 40, "benchmarks.tokens", "--sides", "80", "160", "320", "640", "--schemes",
        "--repeats", "3", "--seconds", "0.03",
    )  # fmt: skip
    yield benchmark("drafts", 40, "benchmarks.decode", "--lengths", "--frames", "16")
    yield benchmark(
        "starts", 40, "benchmarks.starts", "--mask-sizes", "32", "--batches", "1", "8", "64",
        figures=False,
    )  # fmt: skip
    decode = ("benchmarks.decode", "--lengths", "512", "--repeats", "1", "--frames", "0")
    yield benchmark("decode-1", 70, *decode, "--batches", "1")
    yield Part(
        "suite", 90,
        (
            *tests[:-1], "-m", "not gpu and not benchmark and not slow", "-n", str(workers),
            "--tb=line", "-v", "--continue-on-collection-errors", "tests/core",
        ),
    )  # fmt: skip
    yield benchmark("decode-32", 70, *decode, "--batches", "32")


def run(part: Part, log: IO[bytes], seconds: float) -> tuple[str, float]:
    """Run a part; how it ended, and after how many seconds."""
    log.write(f"\n===== {part.name}: python {' '.join(part.words)}\n".encode())
    log.flush()
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(
        (str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", ""))
    )
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, *part.words],
        cwd=ROOT,
        env=environment,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # so that what it has started can be ended with it
    )
    try:
        code = process.wait(min(part.seconds, seconds))
        ended = "passed" if code == 0 else f"failed ({code})"
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        ended = "took too long"
    return ended, time.monotonic() - began


def summary(results: Sequence[tuple[str, str, float]]) -> str:
    """A Markdown table of how the parts ended."""
    rows = ["| part | | seconds |", "| --- | --- | ---: |"]
    rows += [f"| {name} | {ended} | {seconds:.0f} |" for name, ended, seconds in results]
    return "\n".join(rows) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the log and the figures")
    parser.add_argument("--data", type=Path, help="folder of the real images, for the training")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--only", nargs="+", default=[], help="names of parts")
    parser.add_argument("--seconds", type=float, default=3600, help="that all may take together")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    ends = time.monotonic() + arguments.seconds
    results: list[tuple[str, str, float]] = []
    with (out / "log.txt").open("wb") as log:
        for part in parts_for(arguments.device, arguments.data, out, arguments.workers):
            if arguments.only and part.name not in arguments.only:
                continue
            left = ends - time.monotonic()
            ended, seconds = run(part, log, left) if left > 5 else ("no time left", 0.0)
            results.append((part.name, ended, seconds))
            print(f"{part.name}: {ended}, {seconds:.0f} s", flush=True)
            (out / "summary.md").write_text(summary(results))
    if any(ended != "passed" for _, ended, _ in results):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
