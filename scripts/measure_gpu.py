"""Measure what a GPU makes of it, in five minutes: its tests, and the benchmarks.

    python scripts/measure_gpu.py --out runs/gpu
    python scripts/measure_gpu.py --out runs/gpu --data ../shared/data --only tests segment
    python scripts/measure_gpu.py --out /tmp/gpu --device cpu --quick

Each part is a process with a time limit of its own (with --quick there is only that of all), and
one that fails stops no other; the most telling comes first. One that takes too long is interrupted,
and prints what it has. The folder gets ``gpu.md``, the page of `docs/`, after each part anew, what
the parts print (``NAME.txt``, ``NAME.log`` for warnings and errors) and their figures
(``NAME.json``). Of the packages of the plugin none is needed; the U-Net needs MONAI.
"""

import argparse
import os
import platform
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).parents[1]
GRACE = 6  # seconds for what was interrupted to print what it has
PACKAGES = ("napari-rleseg", "torch", "monai", "transformers")


@dataclass(frozen=True)
class Part:
    """A command of python.

    Parameters
    ----------
    name : str
        What it is called.
    seconds : int
        That it may take.
    words : tuple of str
        The command.
    says : str
        What its tables show.
    environment : dict of str to str
        Variables that it needs.
    """

    name: str
    seconds: int
    words: tuple[str, ...]
    says: str
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """How a part ended, and after how many seconds."""

    part: Part
    ended: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where and on what the parts run; quick: as little as shows that they do."""

    device: str
    data: Path | None
    out: Path
    workers: int
    quick: bool

    def parts(self) -> Iterator[Part]:
        """All parts, the most telling first."""
        yield self._tests()
        yield self._segment()
        quick = self.quick
        decode = ("benchmarks.decode", "--repeats", "1", *(("--threads", "1") if quick else ()))
        one_pass = "--lengths 16 --batches 1 --steps 2" if quick else "--lengths 512 --batches 1 32"
        yield self._benchmark(
            "decode", 60, (*decode, "--alone", *one_pass.split(), "--frames", "0"),
            "Tokens per second of a decoder of the size `paper`, beside reading the prefix anew "
            "for each, and as a share of the floor, which is what the memory could give; then "
            "with a grammar. In bf16, each step a CUDA graph.",
        )  # fmt: skip
        yield self._benchmark(
            "drafts", 40, (*decode, "--lengths", "--frames", "2" if quick else "16"),
            "Time-lapses with the frame before, or the truth, as drafts of the tokens.",
        )  # fmt: skip
        for size in (8, 64):
            yield self._learning_step(size)
        sizes = ("8",) if quick else ("1", "8", "64")
        short = ("--tokens", "12", "--repeats", "1") if quick else ()
        yield self._benchmark(
            "starts", 40, ("benchmarks.starts", "--mask-sizes", "32", "--batches", *sizes, *short),
            "Tokens per second of a decoder of the size `nano`, by how starts are found.",
            figures=False,
        )  # fmt: skip

    def _tests(self) -> Part:
        chosen = ("-k", "is_recognised") if self.quick else ("-n", str(min(self.workers, 6)))
        tests = ("-m", "pytest", "-q", "-W", "default", "-p", "no:cacheprovider", "--tb=short")
        return Part(
            "tests", 90, (*tests, "--durations=8", *chosen, "tests/core/cuda"),
            "What the device gives is compared with what the CPU gives.",
            {"RLESEG_TEST_DEVICE": self.device},
        )  # fmt: skip

    def _segment(self) -> Part:
        sides, fields = ("1024", "512", "4096"), "8"
        if self.quick:
            sides, fields = ("128",), "1"
        words = ["benchmarks.segment", "--models", "cells", "--sides", *sides, "--fields", fields]
        words += ["--repeats", "1" if self.quick else "2"]
        words += ["--data-dir", str(self.data)] if self.data else []
        return self._benchmark(
            "segment", 75, words,
            "Fields from end to end: read, seen at the scale of the model, written as tokens, "
            f"joined to objects. {'Real' if self.data else 'Synthetic'} fields; the U-Net gives "
            "classes alone. Waits are those of the host for the device of which torch tells.",
        )  # fmt: skip

    def _learning_step(self, size: int) -> Part:
        source = ("usiigaci", "--data-dir", str(self.data)) if self.data else ("synthetic",)
        words = ["benchmarks.learn", "step", "--objects", "--data", *source]
        words += ["--batch-size", str(size), "--steps", "2" if self.quick else "24"]
        if self.quick:
            words += ["--size", "test", "--patch", "32", "--mask-size", "8"]
        return self._benchmark(
            f"learn-step-{size}", 40, words,
            f"Where the time of a training step goes, {size} windows, models of objects.",
        )  # fmt: skip

    def _benchmark(
        self, name: str, seconds: int, words: Sequence[str], says: str, *, figures: bool = True
    ) -> Part:
        written = ("--json", f"{self.out / name}.json") if figures else ()
        return Part(name, seconds, ("-m", *words, "--device", self.device, *written), says)


def run(part: Part, out: Path, seconds: float) -> Result:
    """Run a part, at most for so many seconds."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **part.environment}
    environment["PYTHONPATH"] = os.pathsep.join(
        (str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", ""))
    )
    began = time.monotonic()
    with (
        (out / f"{part.name}.txt").open("wb") as printed,
        (out / f"{part.name}.log").open("wb") as warned,
    ):
        process = subprocess.Popen(
            [sys.executable, *part.words],
            cwd=ROOT,
            env=environment,
            stdout=printed,
            stderr=warned,
            start_new_session=True,  # so that what it has started can be ended with it
            preexec_fn=_hears_interrupts,
        )
        try:
            code = process.wait(seconds)
            ended = "passed" if code == 0 else f"failed ({code})"
        except subprocess.TimeoutExpired:
            ended = "took too long"
            process.send_signal(signal.SIGINT)
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    return Result(part, ended, time.monotonic() - began)


def _hears_interrupts() -> None:
    """In a process that is about to start: its parent may ignore interrupts, as behind nohup."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def machine(device: str) -> str:
    """Date, device, and versions."""
    found = [date.today().isoformat(), f"{len(os.sched_getaffinity(0))} cores"]
    if device != "cpu":
        asked = (
            "nvidia-smi",
            "--query-gpu=name,memory.total,driver_version",
            "--format=csv,noheader",
        )
        try:
            answer = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True)
            found[1:1] = [f"{answer.stdout.splitlines()[0]} (driver)"]
        except (OSError, subprocess.SubprocessError, IndexError):
            found[1:1] = [device]
    found.append(f"Python {platform.python_version()}")
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def page(results: Sequence[Result], out: Path, where: str, command: str) -> str:
    """The page: the machine, how the parts ended, and the tables that they printed."""
    lines = ["# On a GPU", "", f"`{command}`", "", f"{where}.", ""]
    lines += ["| part | | seconds |", "|---|---|---:|"]
    lines += [f"| {one.part.name} | {one.ended} | {one.seconds:.0f} |" for one in results]
    lines.append("")
    for one in results:
        told = out / f"{one.part.name}.txt"
        printed = told.read_text(errors="replace") if told.exists() else ""
        words = shlex.join(("python", *one.part.words)).replace(f"{out}{os.sep}", "")
        lines += [f"## {one.part.name}", "", one.part.says, "", f"`{words}`", ""]
        lines += tables_of(printed) or ["No table.", ""]
        if one.part.name == "tests" and printed.strip():
            lines[-2:] = [printed.strip().splitlines()[-1].strip("= "), ""]
        elif one.ended != "passed":
            lines += [f"**It {one.ended}**, so that lines are missing.", ""]
    return "\n".join(lines).rstrip() + "\n"


def tables_of(printed: str) -> list[str]:
    """The lines of the Markdown tables, an empty one after each."""
    found: list[str] = []
    for line in printed.splitlines():
        if line.startswith("|"):
            found.append(line)
        elif found and found[-1]:
            found.append("")
    return [*found, ""] if found and found[-1] else found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the page")
    parser.add_argument("--data", type=Path, help="folder of the real images")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--only", nargs="+", default=[], help="names of parts")
    parser.add_argument("--seconds", type=float, default=290, help="that all may take together")
    parser.add_argument("--quick", action="store_true", help="as little as shows that it runs")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    setting = Setting(
        device=arguments.device,
        data=arguments.data.resolve() if arguments.data else None,
        out=out,
        workers=arguments.workers,
        quick=arguments.quick,
    )
    ends = time.monotonic() + arguments.seconds
    where, command = (
        machine(arguments.device),
        shlex.join(("python", "scripts/measure_gpu.py", *sys.argv[1:])),
    )
    results: list[Result] = []
    for part in setting.parts():
        if arguments.only and part.name not in arguments.only:
            continue
        left = ends - time.monotonic() - GRACE
        limit = left if arguments.quick else min(part.seconds, left)
        result = run(part, out, limit) if left > 5 else Result(part, "had no time left", 0.0)
        results.append(result)
        print(f"{part.name}: {result.ended}, {result.seconds:.0f} s", flush=True)
        (out / "gpu.md").write_text(page(results, out, where, command))
    if any(result.ended != "passed" for result in results):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
