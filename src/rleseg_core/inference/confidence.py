"""Confidence of a model in its runs, objects and masks, from the probabilities of its tokens.

The model gives each token a probability among those that could have followed. The confidence of a
run, an object or a mask is the geometric mean over its tokens, so it does not fall with length.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from rleseg_core.errors import DataError
from rleseg_core.tokens import BlockClosed, RunPainted, Tokenizer


@dataclass(frozen=True)
class Confidences:
    """Confidences of the parts of a sequence, each from 0 to 1.

    Parameters
    ----------
    runs : (R,) float32 array
        Confidence of each run, in the order of the sequence.
    objects : (n_blocks,) float32 array
        Confidence of each block (a class or an instance), its closing token included; empty in
        schemes without blocks.
    mask : float
        Confidence of the whole sequence, its end included; 1 for an empty one.
    pixels : (N, S, S) float32 array
        Confidence of the last run that painted each mask pixel; 1 where none did.
    n_tokens : (n_blocks,) int64 array
        Tokens of each block.
    """

    runs: np.ndarray
    objects: np.ndarray
    mask: float
    pixels: np.ndarray
    n_tokens: np.ndarray


def confidences(tokenizer: Tokenizer, tokens: np.ndarray, logprobs: np.ndarray) -> Confidences:
    """Confidences of the runs, objects and pixels of a sequence.

    Parameters
    ----------
    tokenizer : Tokenizer
        Tokenizer of the model.
    tokens : (L,) integer, or (K, L) of several heads
        The decoded sequence.
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
    of_tokens = _TokenLogprobs(tokens, logprobs)
    pixels = np.ones(tokenizer.spec.shape, np.float32)
    runs: list[float] = []
    objects: list[float] = []
    lengths: list[int] = []  # of objects
    of_run: dict[int, float] = {}  # summed log-probabilities
    for event in tokenizer.events(tokens):
        if isinstance(event, RunPainted):
            of_run[event.index] = total = of_tokens.sum(event.tokens)
            runs.append(_mean(total, len(event.tokens)))
            pixels[tokenizer.run_pixels(event)] = runs[-1]
        elif isinstance(event, BlockClosed):
            total = of_tokens.sum(event.tokens) + sum(of_run[run.index] for run in event.runs)
            n_tokens = len(event.tokens) + sum(len(run.tokens) for run in event.runs)
            objects.append(_mean(total, n_tokens))
            lengths.append(n_tokens)
    return Confidences(
        np.array(runs, np.float32),
        np.array(objects, np.float32),
        _mean(float(logprobs.sum()), logprobs.size),
        pixels,
        np.array(lengths, np.int64),
    )


def pixel_weights(tokenizer: Tokenizer, tokens: np.ndarray, logprobs: np.ndarray) -> np.ndarray:
    """How sure a model is of the class of each pixel, as weights of votes.

    Parameters
    ----------
    tokenizer, tokens, logprobs
        As for `confidences`.

    Returns
    -------
    (N, S, S) float32
        Confidence of the last run that painted each mask pixel, from 0 to 1; of the whole mask
        where none did. 1 where it is not known.
    """
    found = confidences(tokenizer, tokens, logprobs)
    is_painted = np.zeros(found.pixels.shape, bool)
    for event in tokenizer.events(tokens):
        if isinstance(event, RunPainted):
            is_painted[tokenizer.run_pixels(event)] = True
    weights = np.where(is_painted, found.pixels, np.float32(found.mask))
    return np.nan_to_num(weights, nan=1.0)


def object_confidences(
    tokenizer: Tokenizer, tokens: np.ndarray, logprobs: np.ndarray, n_skipped: int
) -> tuple[np.ndarray, np.ndarray]:
    """Confidences and numbers of tokens of the blocks of a sequence, as `confidences` has them.

    Parameters
    ----------
    tokenizer, tokens, logprobs
        As for `confidences`.
    n_skipped : int
        Tokens that belong to no run: what `Tokenizer.decode` found.

    Returns
    -------
    confidence : (n_blocks,) float32
        0 to 1.
    n_tokens : (n_blocks,) int64
        The closing token included.
    """
    vocab = tokenizer.vocab
    first = vocab.label_offset
    last = first + (0 if vocab.label is None else vocab.label.n_values) - 1
    fields = [vocab.segment(field.segment) for field in vocab.fields]
    is_plain = all(field.end <= first or field.offset > last for field in fields)
    if n_skipped or tokens.ndim > 1 or vocab.label is None or not is_plain:
        found = confidences(tokenizer, tokens, logprobs)
        return found.objects, found.n_tokens
    ends = (tokens == vocab.eos).nonzero()[0]
    body = tokens[: ends[0]] if ends.size else tokens
    closes = ((body >= first) & (body <= last)).nonzero()[0]
    n_tokens = np.diff(closes, prepend=-1)
    totals = np.cumsum(logprobs[: body.size], dtype=np.float64)[closes]
    means = np.diff(totals, prepend=0) / n_tokens
    return np.exp(means).astype(np.float32), n_tokens


class _TokenLogprobs:
    """Sums of log-probabilities of the tokens of events, which come in the order of decoding."""

    def __init__(self, tokens: np.ndarray, logprobs: np.ndarray) -> None:
        self._tokens = tokens.T.reshape(-1).tolist()  # with several heads, step by step
        self._logprobs = logprobs.T.reshape(-1).tolist()
        self._at = 0

    def sum(self, tokens: Iterable[int]) -> float:
        """Sum over the next tokens that equal these; skipped tokens before them do not count."""
        wanted = list(tokens)
        last = len(self._tokens) - len(wanted)
        while self._at < last and self._tokens[self._at : self._at + len(wanted)] != wanted:
            self._at += 1
        first, self._at = self._at, self._at + len(wanted)
        return float(np.sum(self._logprobs[first : self._at]))


def _mean(total: float, n_tokens: int) -> float:
    return float(np.exp(total / n_tokens)) if n_tokens else 1.0
