"""Training in several processes: how they start, share a batch, and end.

Each process takes its share of the windows of every step, and the loss is normalised over all of
them, so the same number of steps gives the same model, whatever the number of processes.
"""

import logging
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

import numpy as np
import torch
import torch.distributed as dist

from rleseg_core.errors import TrainingError
from rleseg_core.files import work_folder
from rleseg_core.parallel.collectives import n_processes
from rleseg_core.parallel.processes import LAUNCHED_BY_US, PEER_IS_GONE, Cluster

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

_TIMEOUT = timedelta(minutes=30)  # the others wait while one process validates and saves
Product = TypeVar("Product")


def launch(
    arguments: Sequence[str], cluster: Cluster, *, entry_point: str, device: str = "auto"
) -> None:
    """Run a program in several processes, and wait until all have ended without an error.

    Parameters
    ----------
    arguments : sequence of str
        Command-line arguments of each process, such as ``["train", "images.tif", …]``.
    cluster : Cluster
        How many processes, and where.
    entry_point : str
        The program, as ``module:function``.
    device : str
        'auto', 'cpu' or 'cuda'.

    Raises
    ------
    TrainingError
        If a process fails; the others are stopped. Its own message is used if it left one.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException, Std
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    _check_devices(cluster.n_devices, device)
    for name in logging.root.manager.loggerDict:
        if name.startswith("torch.distributed.elastic"):  # each sets its own level
            logging.getLogger(name).setLevel(logging.CRITICAL)  # the error below says it
    os.environ[LAUNCHED_BY_US] = "1"
    module, _, function = entry_point.partition(":")
    child = f"from {module} import {function}; {function}()"
    n_threads = max(1, _cores() // cluster.n_devices)
    os.environ.setdefault("OMP_NUM_THREADS", str(n_threads))
    one = cluster.n_nodes == 1
    with work_folder(Path(tempfile.gettempdir())) as work:
        config = LaunchConfig(
            min_nodes=cluster.n_nodes,
            max_nodes=cluster.n_nodes,
            nproc_per_node=cluster.n_devices,
            run_id=uuid4().hex if one else cluster.master,
            rdzv_backend="c10d" if one else "static",
            rdzv_endpoint="localhost:0" if one else cluster.master,
            rdzv_configs={"timeout": 900} if one else {"timeout": 900, "rank": cluster.node},
            local_addr="localhost" if one else None,
            max_restarts=0,
            # the first process of a machine writes to the terminal, the others to log files
            logs_specs=DefaultLogsSpecs(
                log_dir=str(work.new), redirects=dict.fromkeys(range(1, cluster.n_devices), Std.ALL)
            ),
        )
        try:
            elastic_launch(config, sys.executable)("-c", child, *arguments)
        except ChildFailedError as error:
            raise TrainingError(_failure_message(error, cluster, work.new)) from error
        except SignalException as error:
            raise KeyboardInterrupt from error


def _cores() -> int:
    """Number of CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _check_devices(n_devices: int, device: str) -> None:
    n_cuda = torch.cuda.device_count()
    if device == "cpu" or (device == "auto" and not n_cuda):
        return
    if device not in ("auto", "cuda"):
        raise TrainingError(
            f"with several processes each takes its own device, got --device {device}; use cpu or "
            "cuda"
        )
    if n_devices > n_cuda:
        raise TrainingError(f"this machine has {n_cuda} CUDA devices, got --devices {n_devices}")


def _failure_message(error: "ChildFailedError", cluster: Cluster, folder: Path) -> str:
    """One sentence that says why the processes ended."""
    failures = sorted(error.failures.items(), key=lambda item: item[1].timestamp)
    first = next((f for f in failures if f[1].exitcode != PEER_IS_GONE), failures[0])
    rank, failure = first
    if failure.exitcode == PEER_IS_GONE:
        return (
            "a process on another machine has ended, and those of this one with it; see its "
            "message there; the last checkpoint is complete: continue with --resume"
        )
    if Path(failure.error_file).is_file():
        return failure.message
    if failure.exitcode < 0:
        why = signal.Signals(-failure.exitcode).name
        why += ", as when memory is full" if why == "SIGKILL" else ""
    else:
        logs = sorted(folder.glob(f"**/{failure.local_rank}/stderr.log"))
        lines = logs[-1].read_text(errors="replace").split("\n") if logs else []
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        why = last or f"exit code {failure.exitcode}"
    return (
        f"process {rank} of {cluster.n_processes} has ended ({why}), and the others with it; the "
        "last checkpoint is complete: continue with --resume"
    )


def join(mixed_precision: str, device: torch.device) -> "Accelerator":
    """The accelerator of this process, connected to the others if there are any.

    A process that is alone computes on `device`; of several, each takes a GPU of its own, or all
    the CPU.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState
    from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs

    handlers = [
        InitProcessGroupKwargs(timeout=_TIMEOUT),
        DistributedDataParallelKwargs(static_graph=True),  # some parameters may go unused
    ]
    if n_processes() == 1:
        # else accelerate refuses another precision or device than those of an earlier run
        AcceleratorState._reset_state(reset_partial_state=True)
        if device.type == "cuda" and device.index is not None:  # else it takes the first
            torch.cuda.set_device(device)
    cpu = device.type == "cpu"
    return Accelerator(mixed_precision=mixed_precision, cpu=cpu, kwargs_handlers=handlers)


def leave() -> None:
    """Leave the process group, when all work is done."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def share_of_batch(batch_size: int, accelerator: "Accelerator") -> slice:
    """Rows of a step's batch that this process computes: every n-th of n processes.

    So the first of each are, together, the first of the batch, of which alone tokens may be
    learned (`TrainConfig.token_share`).

    Raises
    ------
    TrainingError
        If the number of processes does not divide the batch.
    """
    n, rank = accelerator.num_processes, accelerator.process_index
    if batch_size % n:
        raise TrainingError(
            f"{n} processes cannot share the {batch_size} windows of a step evenly; choose a "
            "number of processes that divides them, or another --batch-size"
        )
    return slice(rank, batch_size, n)


def check_same_step(step: int, accelerator: "Accelerator") -> None:
    """Check that all processes resume from the same step.

    Raises
    ------
    TrainingError
        If they do not; the message lists the steps.
    """
    if accelerator.num_processes > 1:
        steps: list[int] = [0] * accelerator.num_processes
        dist.all_gather_object(steps, step)
        if len(set(steps)) > 1:
            raise TrainingError(
                f"the processes would resume from different steps ({', '.join(map(str, steps))}); "
                "the run folder must be one that all of them see, such as a shared disk"
            )


def begin_random_step(seed: int, step: int, accelerator: "Accelerator") -> None:
    """Seed the random numbers of a step, differently in each process; a single one is left alone.

    A resumed run of several processes thus repeats its losses without the saved state of each.
    """
    if accelerator.num_processes > 1:
        mixed = np.random.SeedSequence((seed, step, accelerator.process_index))
        torch.manual_seed(int(mixed.generate_state(1, np.uint64)[0]))


def from_first(product: Callable[[], Product], accelerator: "Accelerator") -> Product:
    """The product of the first process, sent to all of them."""
    if accelerator.num_processes == 1:
        return product()
    made = [product() if accelerator.is_main_process else None]
    dist.broadcast_object_list(made, device=accelerator.device)
    return made[0]  # type: ignore[return-value]
