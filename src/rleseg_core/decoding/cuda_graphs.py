"""A step of fixed shapes, recorded once on a GPU and replayed without the host's overhead."""

from __future__ import annotations

from collections.abc import Callable

import torch

_WARM_UP = 3


class RecordedStep:
    """Runs a step that works in place, and from the fourth time on replays it as a CUDA graph.

    A recording is for the tensors and shapes it was made with: `forget` it when they change.
    Without CUDA, and while it is warming up, the step simply runs.

    Parameters
    ----------
    device : torch.device
        Where the step runs.
    """

    def __init__(self, device: torch.device) -> None:
        self._records = device.type == "cuda"
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        self._n_runs: dict[int, int] = {}

    def run(self, step: Callable[[], None], key: int) -> None:
        """Do the step once; `key` tells steps of different shapes apart."""
        graph = self._graphs.get(key)
        if graph is not None:
            graph.replay()
            return
        self._n_runs[key] = self._n_runs.get(key, 0) + 1
        if not self._records or self._n_runs[key] <= _WARM_UP:
            step()
            return
        pool = next((other.pool() for other in self._graphs.values()), None)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool):  # what is recorded is not run
            step()
        self._graphs[key] = graph
        graph.replay()

    def forget(self) -> None:
        """Tensors have changed: begin again."""
        self._graphs.clear()
        self._n_runs.clear()
