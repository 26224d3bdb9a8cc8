"""Several processes that train together, and which of them this is; without torch."""

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from rleseg_core.errors import TrainingError

OURS = "RLESEG_PROCESS"  # set in the processes that `rleseg train --devices` starts
PEER_IS_GONE = 75  # exit code of a process that ends because another one did
_GONE = ("Connection closed by peer", "Connection reset", "Broken pipe", "remote process exited")


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Processes that train together.

    Parameters
    ----------
    n_devices : int
        Processes on each machine, one for each device, 1 or more.
    n_nodes : int
        Machines, 1 or more; the same command is given on each of them.
    node : int
        Which of the machines this is, counted from 0.
    master : str
        HOST:PORT of machine 0, where the others find it; a single machine needs none.

    Raises
    ------
    TrainingError
        If these do not go together.
    """

    n_devices: int = 1
    n_nodes: int = 1
    node: int = 0
    master: str = ""

    def __post_init__(self) -> None:
        if min(self.n_devices, self.n_nodes) < 1 or not 0 <= self.node < self.n_nodes:
            raise TrainingError(
                "there must be at least one device and one node, and nodes count from 0, got "
                f"{self.n_devices} devices and node {self.node} of {self.n_nodes}"
            )
        host, colon, port = self.master.rpartition(":")
        if (self.n_nodes > 1 or self.master) and not (host and colon and port.isdigit()):
            raise TrainingError(
                f"{self.n_nodes} nodes find each other at HOST:PORT of node 0, such as "
                f"node01:29500, got {self.master!r} for --master"
            )

    @property
    def n_processes(self) -> int:
        """Of all machines."""
        return self.n_devices * self.n_nodes


def process_rank() -> int:
    """Number of this process among those that train together, 0 for the one that writes files."""
    return int(os.environ.get("RANK", "0"))


def is_started_as_one_of_several() -> bool:
    """Whether a launcher (ours, torchrun, a scheduler's script) has told who is who."""
    return "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def tell_launcher(message: str) -> bool:
    """Leave word of an error with whoever started this process; whether that was us."""
    if path := os.environ.get("TORCHELASTIC_ERROR_FILE"):
        Path(path).write_text(json.dumps({"message": message, "timestamp": int(time.time())}))
    return OURS in os.environ and "RANK" in os.environ


def says_peer_is_gone(error: BaseException) -> bool:
    """Whether an error only tells that another process of the run has ended."""
    return is_started_as_one_of_several() and any(words in str(error) for words in _GONE)
