"""How sure a model was of what it wrote: of runs, of objects, of whole masks.

A model gives each token a probability, among those that could have followed. That of a run, an
object or a mask is the geometric mean over its tokens: long ones are not less sure for being long.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from rleseg_core.errors import DataError
from rleseg_core.tokens import BlockClosed, RunPainted, Tokenizer


@dataclass(frozen=True)
class Confidences:
    """Probabilities, from 0 to 1, of what a sequence says.

    Parameters
    ----------
    runs : (R,) float32 array
        Of each run, in the order of the sequence.
    objects : (n_blocks,) float32 array
        Of each class or instance that has a block of its own, its closing token included; empty in
        schemes without blocks.
    mask : float
        Of the whole sequence, its end included; 1 for an empty one.
    pixels : (N, S, S) float32 array
        Of the last run that painted each mask pixel; 1 where none did.
    """

    runs: np.ndarray
    objects: np.ndarray
    mask: float
    pixels: np.ndarray


def confidences(tokenizer: Tokenizer, tokens: np.ndarray, logprobs: np.ndarray) -> Confidences:
    """How sure a model was of a sequence.

    Parameters
    ----------
    tokenizer : Tokenizer
        Of the model.
    tokens : (L,) integer, or (K, L) of several heads
        What it wrote.
    logprobs : float array of the same shape
        Log-probability of each token.

    Raises
    ------
    DataError
        If the two differ in shape.
    """
    if tokens.shape != logprobs.shape:
        raise DataError(
            f"there are {tokens.shape} tokens and {logprobs.shape} log-probabilities; both must "
            "have the same shape"
        )
    said = _Said(tokens, logprobs)
    pixels = np.ones(tokenizer.spec.shape, np.float32)
    runs: list[float] = []
    objects: list[float] = []
    of_run: dict[int, float] = {}  # summed log-probabilities
    for event in tokenizer.events(tokens):
        if isinstance(event, RunPainted):
            of_run[event.index] = total = said.sum(event.tokens)
            runs.append(_mean(total, len(event.tokens)))
            pixels[tokenizer.run_pixels(event)] = runs[-1]
        elif isinstance(event, BlockClosed):
            total = said.sum(event.tokens) + sum(of_run[run.index] for run in event.runs)
            n_tokens = len(event.tokens) + sum(len(run.tokens) for run in event.runs)
            objects.append(_mean(total, n_tokens))
    return Confidences(
        np.array(runs, np.float32),
        np.array(objects, np.float32),
        _mean(float(logprobs.sum()), logprobs.size),
        pixels,
    )


class _Said:
    """The log-probabilities of tokens that events name in the order in which they were written."""

    def __init__(self, tokens: np.ndarray, logprobs: np.ndarray) -> None:
        self._tokens = tokens.T.reshape(-1).tolist()  # of several heads, step by step
        self._logprobs = logprobs.T.reshape(-1).tolist()
        self._at = 0

    def sum(self, tokens: Iterable[int]) -> float:
        """Of the next tokens that are these; those skipped before them do not count."""
        wanted = list(tokens)
        last = len(self._tokens) - len(wanted)
        while self._at < last and self._tokens[self._at : self._at + len(wanted)] != wanted:
            self._at += 1
        first, self._at = self._at, self._at + len(wanted)
        return float(np.sum(self._logprobs[first : self._at]))


def _mean(total: float, n_tokens: int) -> float:
    return float(np.exp(total / n_tokens)) if n_tokens else 1.0
