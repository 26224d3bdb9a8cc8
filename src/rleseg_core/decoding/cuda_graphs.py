"""A decoding step of static shapes, captured as a CUDA graph and replayed without host overhead."""

from __future__ import annotations

from collections.abc import Callable

import torch

_WARM_UP = 3  # ordinary runs before a step is captured


class CudaGraphStep:
    """Runs a step that works in place; from the fourth run on it replays a CUDA graph.

    A graph is valid for the tensors and shapes that it was captured with: `reset` when they change.
    Without CUDA, and during the first runs, the step simply runs.

    Parameters
    ----------
    device : torch.device
        Where the step runs.
    """

    def __init__(self, device: torch.device) -> None:
        self._captures = device.type == "cuda"
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        self._n_runs: dict[int, int] = {}

    def run(self, step: Callable[[], None], key: int) -> None:
        """Run the step once; steps of different shapes have different keys."""
        graph = self._graphs.get(key)
        if graph is not None:
            graph.replay()
            return
        self._n_runs[key] = self._n_runs.get(key, 0) + 1
        if not self._captures or self._n_runs[key] <= _WARM_UP:
            step()
            return
        pool = next((other.pool() for other in self._graphs.values()), None)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool):  # a captured step is not executed
            step()
        self._graphs[key] = graph
        graph.replay()

    def reset(self) -> None:
        """Drop all graphs, because tensors have changed."""
        self._graphs.clear()
        self._n_runs.clear()
