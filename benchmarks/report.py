"""What the benchmarks print: a Markdown table, the machine, and the numbers as JSON."""

import json
import platform
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

from rleseg_core.files import whole_file


def table(head: Sequence[str], rows: Sequence[Sequence[str]], texts: Sequence[str] = ()) -> str:
    """A Markdown table; the first column and the `texts` to the left, numbers to the right."""
    left = [k == 0 or name in texts for k, name in enumerate(head)]
    widths = [max(3, *(len(line[k]) for line in (head, *rows))) for k in range(len(head))]
    rule = ["-" * w if at else "-" * (w - 1) + ":" for w, at in zip(widths, left, strict=True)]
    lines = [
        [
            cell.ljust(width) if at else cell.rjust(width)
            for cell, width, at in zip(line, widths, left, strict=True)
        ]
        for line in (head, *rows)
    ]
    lines.insert(1, rule)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float) -> str:
    """Three digits or so."""
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def machine() -> dict[str, str]:
    """Date, processor and Python version."""
    cpus = Path("/proc/cpuinfo")
    models = cpus.read_text().splitlines() if cpus.exists() else []
    names = [line.split(":")[1].strip() for line in models if line.startswith("model name")]
    return {
        "date": date.today().isoformat(),
        "processor": names[0] if names else platform.processor(),
        "python": platform.python_version(),
    }


def write_json(path: str | Path, values: Mapping[str, object]) -> None:
    """Write numbers to a file, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(values, indent=1))
