"""Print how fast this version is beside an earlier one, both timed in turns in one run.

    git worktree add ../before v0.1.0
    python -m benchmarks.compare ../before
    python -m benchmarks.compare ../before --rounds 5 --only tokens

Each version runs its own `benchmarks.tokens` and `benchmarks.decode` in a process of its own, with
the same options; the versions take turns, and of each figure the best round counts, so that a busy
machine slows none more than the other. A ratio above 1 says that this version is faster.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import geometric_mean
from tempfile import TemporaryDirectory

from benchmarks.report import machine, number, table

Speeds = dict[str, float]

OPTIONS = {
    "tokens": ["--sides", "80", "320", "--repeats", "5", "--seconds", "0.05"],
    "decode": [
        *("--lengths", "512", "--batches", "1", "8", "--steps", "8", "--repeats", "2"),
        *("--threads", "1", "--frames", "8"),
    ],
}


def run(checkout: Path, program: str, json_file: Path, options: list[str]) -> dict:
    """The numbers that a checkout's own benchmark writes."""
    path = os.pathsep.join([str(checkout / "src"), str(checkout)])
    subprocess.run(
        [sys.executable, "-m", f"benchmarks.{program}", *options, "--json", str(json_file)],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return json.loads(json_file.read_text())


def token_speeds(found: dict) -> Speeds:
    """Masks per second of our paths, by side and by scheme."""
    speeds = {
        f"{path['path']} {side['side']}": path["masks_per_s"]
        for side in found["sides"]
        for path in side["paths"]
        if "pycocotools" not in path["path"]
    }
    for scheme in found["schemes"]:
        for what in ("encode", "decode", "encode_batch"):
            speeds[f"{what} {scheme['scheme']}"] = scheme[what]
    return speeds


def decode_speeds(found: dict) -> Speeds:
    """Tokens per second of our decoding: plain, with a grammar, with drafts."""
    speeds = {f"decode L {s['length']} B {s['batch']}": s["ours"] for s in found["speeds"]}
    speeds |= {f"grammar L {c['length']} B {c['batch']}": c["grammar"] for c in found["grammar"]}
    for draft in found["drafts"]:
        name = f"{draft['movie']} B {draft['batch']}"
        speeds[f"no draft {name}"] = draft["plain"]
        speeds[f"draft {draft['draft']} {name}"] = draft["drafted"]
    return speeds


READERS = {"tokens": token_speeds, "decode": decode_speeds}


def faster(best: Speeds, found: Speeds) -> Speeds:
    """Of each figure the larger one."""
    return {name: max(speed, best.get(name, 0)) for name, speed in found.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("before", type=Path, help="a checkout of the earlier version")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each version")
    parser.add_argument("--only", choices=list(READERS), help="one of the two benchmarks")
    arguments = parser.parse_args()
    checkouts = {"before": arguments.before.resolve(), "now": Path(__file__).resolve().parents[1]}
    print(", ".join(f"{key} {value}" for key, value in machine().items()), end="\n\n")
    for program in [arguments.only] if arguments.only else READERS:
        best: dict[str, Speeds] = {name: {} for name in checkouts}
        with TemporaryDirectory() as folder:
            for turn in range(arguments.rounds):
                order = list(checkouts) if turn % 2 == 0 else list(checkouts)[::-1]
                for name in order:
                    file = Path(folder) / f"{name}.json"
                    found = run(checkouts[name], program, file, OPTIONS[program])
                    best[name] = faster(best[name], READERS[program](found))
        both = [name for name in best["before"] if name in best["now"]]
        ratios = [best["now"][name] / best["before"][name] for name in both]
        rows = [
            (name, number(best["before"][name]), number(best["now"][name]), f"{ratio:.2f}")
            for name, ratio in zip(both, ratios, strict=True)
        ]
        rows.append(("geometric mean", "", "", f"{geometric_mean(ratios):.2f}"))
        unit = "masks/s" if program == "tokens" else "tokens/s"
        print(f"benchmarks.{program}, {unit}\n")
        print(table(("", "before", "now", "now / before"), rows), end="\n\n")


if __name__ == "__main__":
    main()
