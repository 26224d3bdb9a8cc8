"""Damage what the program reads, kill it where it writes, and print what becomes of that.

    python -m benchmarks.robustness --minutes 5
    python -m benchmarks.robustness --trials 20 --kinds TIFF trainings --seed 7

Damaged files must be read or refused with a sentence (`RlesegError`, or an `OSError` that names the
file); after SIGKILL nothing that was complete may be lost, and the next run must come to the result
of one that nobody killed, without left-overs. The same seed gives the same trials; what goes wrong
is printed below the table with the seed that repeats it. The exit code is 1 if anything does.
"""

import argparse
import contextlib
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.report import machine, table, write_json

PATIENCE_S = 60  # of a single trial
_LEAST = 5  # trials of each kind, where the time is not enough for more
_MEMORY = 4 << 30  # bytes that a reader may take
_PRELOADED = ("benchmarks.robustness_damage", "benchmarks.robustness_kills")
_TOKENS = "token streams"


@dataclass
class Tally:
    """What became of the trials of one kind.

    Parameters
    ----------
    counts : Counter
        Trials by outcome: 'fine', 'refused', 'undocumented', 'lost', 'left over'.
    examples : list of str
        What went wrong, each once, with the seed that repeats it.
    """

    counts: Counter = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def note(self, outcome: str, what: str = "", seed: int = 0) -> None:
        """Count a trial."""
        self.counts[outcome] += 1
        if what and all(not each.startswith(what) for each in self.examples):
            self.examples.append(f"{what} (seed {seed})")


def outcome_of(read: Callable[[], None]) -> tuple[str, str]:
    """What becomes of a reader: 'fine', 'refused' or 'undocumented', and the error."""
    from rleseg_core.errors import RlesegError

    with contextlib.suppress(ValueError):  # not in the main thread, where nobody can wait
        signal.signal(signal.SIGALRM, _too_long)
        signal.alarm(PATIENCE_S)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read()
    except RlesegError as error:
        one_line = "\n" not in str(error) and str(error)
        return ("refused", "") if one_line else ("undocumented", f"no sentence: {error!r}")
    except OSError as error:
        if error.filename is not None:
            return "refused", ""
        return "undocumented", _described(error)
    except Exception as error:  # noqa: BLE001 - the very thing that is looked for
        return "undocumented", _described(error)
    finally:
        signal.alarm(0)
    return "fine", ""


def _too_long(*_: object) -> None:
    raise TimeoutError(f"a reader took over {PATIENCE_S} s")


def _described(error: BaseException) -> str:
    """An error with the line of ours that it came through last."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "rleseg_core" in f.filename or "benchmarks" in f.filename]
    where = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "elsewhere"
    text = str(error).strip().partition("\n")[0][:100]
    return f"{type(error).__name__} at {where}: {text}"


def damage_trials(connection: Connection, kind: str, first_seed: int, folder: str) -> None:
    """Try one seed after the other, until the other side says stop; reports what became of each."""
    from benchmarks.robustness_damage import FILES, read_token_stream

    _limit_memory()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libraries of codecs speak to stderr
    root = Path(folder)
    if kind != _TOKENS:
        (root / "whole").mkdir(parents=True)
        FILES[kind].make(root / "whole")
        before = outcome_of(lambda: FILES[kind].read(_copied(root)))
        if before[0] != "fine":
            connection.send((first_seed, "undocumented", f"a whole input fails: {before[1]}"))
            return
    seed = first_seed
    while connection.recv():
        rng = random.Random(f"{kind} {seed}")
        if kind == _TOKENS:
            outcome = outcome_of(lambda rng=rng: read_token_stream(rng))
        else:
            damaged = _copied(root)
            FILES[kind].damage(damaged, rng)
            outcome = outcome_of(lambda damaged=damaged: FILES[kind].read(damaged))
        connection.send((seed, *outcome))
        seed += 1


def _copied(root: Path) -> Path:
    damaged = root / "damaged"
    shutil.rmtree(damaged, ignore_errors=True)
    shutil.copytree(root / "whole", damaged)
    return damaged


def _limit_memory() -> None:
    """A reader that asks for very much memory shall get an error, not the machine."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + _MEMORY, resource.RLIM_INFINITY))


class Processes:
    """Starts processes that have imported everything already, where the system can do that."""

    def __init__(self) -> None:
        forks = "forkserver" in multiprocessing.get_all_start_methods()
        self._context = multiprocessing.get_context("forkserver" if forks else "spawn")
        if forks:
            self._context.set_forkserver_preload(list(_PRELOADED))

    def run(self, target: Callable[..., None], *arguments: object) -> int:
        """Run a function in a process of its own; its exit code, negative for a signal."""
        process = self._context.Process(target=target, args=arguments)
        process.start()
        process.join()
        return process.exitcode or 0

    @contextlib.contextmanager
    def talking(self, target: Callable[..., None], *arguments: object) -> Iterator[Connection]:
        """A process and the connection to it, which is its first argument."""
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=target, args=(theirs, *arguments), daemon=True)
        process.start()
        theirs.close()
        try:
            yield ours
        finally:
            ours.close()
            process.join(PATIENCE_S)
            process.kill()


def damage(kind: str, seed: int, goes_on: Callable[[int], bool], folder: Path) -> Tally:
    """Damage inputs of a kind while `goes_on` says so of the number of trials."""
    tally, processes, n = Tally(), Processes(), 0
    while goes_on(n):
        place = folder / f"from {seed + n}"
        with processes.talking(damage_trials, kind, seed + n, str(place)) as connection:
            try:
                while goes_on(n):
                    connection.send(True)
                    its_seed, outcome, what = connection.recv()
                    tally.note(outcome, what, its_seed)
                    n += 1
                    if what.startswith("a whole input"):
                        return tally
                connection.send(False)
            except (EOFError, OSError):  # it crashed: the next one goes on after this seed
                tally.note("undocumented", "the process crashed", seed + n)
                n += 1
    return tally


def kill(kind: str, seed: int, goes_on: Callable[[int], bool], folder: Path) -> Tally:
    """Kill work of a kind at one write after the other, in random order."""
    from benchmarks.robustness_kills import WORKS, Killer

    tally, n = Tally(), 0
    killer = Killer(WORKS[kind], folder, Processes().run)
    order = list(range(1, killer.n_writes + 1))
    random.Random(f"{kind} {seed}").shuffle(order)
    while goes_on(n):
        at = order[n % len(order)]
        lost, left, odd = killer.kill(at)
        if odd:
            tally.note("undocumented", odd, at)
        elif lost:
            tally.note("lost", lost[0], at)
        elif left:
            tally.note("left over", f"left over: {', '.join(left[:3])}", at)
        else:
            tally.note("fine")
        n += 1
    return tally


def kinds() -> dict[str, Callable[..., Tally]]:
    """What damages or kills each kind."""
    from benchmarks.robustness_damage import FILES
    from benchmarks.robustness_kills import WORKS

    return {
        **dict.fromkeys((*FILES, _TOKENS), damage),
        **dict.fromkeys(WORKS if hasattr(signal, "SIGKILL") else (), kill),
    }


def printed(tallies: dict[str, Tally]) -> str:
    """The table, and what went wrong."""
    head = ["what", "tried", "fine", "refused clearly", "undocumented", "lost", "left over"]
    keys = ("fine", "refused", "undocumented", "lost", "left over")
    rows = [
        [name, f"{tally.counts.total():,}", *(f"{tally.counts[key]:,}" for key in keys)]
        for name, tally in tallies.items()
    ]
    wrong = [f"- {name}: {what}" for name, tally in tallies.items() for what in tally.examples]
    return "\n".join([table(head, rows), "", *wrong])


def _until(n_trials: int | None, seconds: float) -> Callable[[int], bool]:
    """Whether to go on after so many trials; each kind gets `_LEAST`, however slowly it starts."""
    until = time.monotonic() + seconds

    def goes_on(n: int) -> bool:
        if n_trials is not None:
            return n < n_trials
        return n < _LEAST or time.monotonic() < until

    return goes_on


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trials, and print the table; 1 if anything went wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=5.0, help="time for all kinds together")
    parser.add_argument("--trials", type=int, help="trials of each kind, instead of a time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", metavar="KIND", help="those of the table; all")
    parser.add_argument("--json", metavar="FILE", help="write the numbers to this file")
    options = parser.parse_args(arguments)
    known = kinds()
    chosen = options.kinds or list(known)
    if unknown := set(chosen) - set(known):
        parser.error(f"there is no kind {min(unknown)}; there are {', '.join(known)}")
    end = time.monotonic() + 60 * options.minutes
    tallies = {}
    with tempfile.TemporaryDirectory() as folder:
        for position, kind in enumerate(chosen):
            share = (end - time.monotonic()) / (len(chosen) - position)  # its start included
            goes_on = _until(options.trials, share)
            place = Path(folder) / kind.replace(",", "").replace(" ", "-")
            tallies[kind] = known[kind](kind, options.seed, goes_on, place)
    print(printed(tallies))
    if options.json:
        numbers = {name: dict(tally.counts) for name, tally in tallies.items()}
        write_json(options.json, {**machine(), "seed": options.seed, "kinds": numbers})
    good = all(set(tally.counts) <= {"fine", "refused"} for tally in tallies.values())
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
