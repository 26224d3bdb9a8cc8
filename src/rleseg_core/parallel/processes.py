"""The processes of a run: which of them this is, and its messages to the launcher; no torch."""

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from rleseg_core.checks import Count, Index, check_fields
from rleseg_core.errors import TrainingError

LAUNCHED_BY_US = "RLESEG_PROCESS"  # set in the processes that `rleseg train --devices` starts
PEER_IS_GONE = 75  # exit code of a process that ends because another one did
_GONE = ("Connection closed by peer", "Connection reset", "Broken pipe", "remote process exited")


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """The processes that train together.

    Parameters
    ----------
    n_devices : int
        Processes on each machine, one for each device, 1 or more.
    n_nodes : int
        Machines, 1 or more; the same command is given on each of them.
    node : int
        Rank of this machine, from 0.
    master : str
        HOST:PORT of machine 0, where the others find it; a single machine needs none.

    Raises
    ------
    TrainingError
        If a number is out of range, or several machines have no `master`.
    """

    n_devices: Count = 1
    n_nodes: Count = 1
    node: Index = 0
    master: str = ""

    def __post_init__(self) -> None:
        check_fields(self, TrainingError)
        if self.node >= self.n_nodes:
            raise TrainingError(
                f"nodes count from 0 to {self.n_nodes - 1}, got node {self.node} of {self.n_nodes}"
            )
        host, colon, port = self.master.rpartition(":")
        if (self.n_nodes > 1 or self.master) and not (host and colon and port.isdigit()):
            raise TrainingError(
                f"{self.n_nodes} nodes find each other at HOST:PORT of node 0, such as "
                f"node01:29500, got {self.master!r} for --master"
            )

    @property
    def n_processes(self) -> int:
        """Number of processes on all machines."""
        return self.n_devices * self.n_nodes


def process_rank() -> int:
    """Rank of this process in the run, from 0; the process of rank 0 writes the files."""
    return int(os.environ.get("RANK", "0"))


def is_one_of_several() -> bool:
    """Whether a launcher (ours, torchrun, a scheduler) started this process among others."""
    return "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def report_to_launcher(message: str) -> bool:
    """Write an error where the launcher looks for it; return whether the launcher is ours."""
    if path := os.environ.get("TORCHELASTIC_ERROR_FILE"):
        Path(path).write_text(json.dumps({"message": message, "timestamp": int(time.time())}))
    return LAUNCHED_BY_US in os.environ and "RANK" in os.environ


def is_peer_failure(error: BaseException) -> bool:
    """Whether an error only means that another process of the run has ended."""
    return is_one_of_several() and any(words in str(error) for words in _GONE)
