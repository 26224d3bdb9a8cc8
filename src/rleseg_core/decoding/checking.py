"""Drafts of objects, read as a whole: which of them the model sees as well.

Speculative decoding lets a model write on its own where it departs from a draft, token by token,
and a single odd object of a window then takes dozens of passes. Here a model reads each draft once
and only decides which objects stay.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from rleseg_core.decoding.grammar import GrammarTables
from rleseg_core.decoding.sampling import choose_or_keep
from rleseg_core.decoding.slots import DecodedSequence
from rleseg_core.decoding.verification import MOST_INPUTS, MOST_LOGITS, Proposals, pads
from rleseg_core.model.decoder import Memory
from rleseg_core.model.pix2seq import Pix2Seq


@torch.inference_mode()
def check_objects(
    model: Pix2Seq,
    drafts: Iterable[tuple[Memory, Sequence[np.ndarray]]],
    grammar: GrammarTables,
    *,
    closing: range,
    leniency: float,
) -> Iterator[DecodedSequence]:
    """Drafts without the objects that the model does not see, in the order of their windows.

    An object is left out if at its first token the model would rather end, or go on with a later
    pixel, and this is more than e^leniency times as probable (`sampling.choose_or_keep`). Of 2D
    starts the column decides if the model agrees on the row, or if pixels go column by column.
    Nothing is added, and the runs of objects stay as they are.

    Parameters
    ----------
    model : Pix2Seq
        In evaluation mode, with one head.
    drafts : iterable of (Memory, sequence of (L,) int64 array)
        Encoded windows, in batches of any size, and the draft of each: blocks of objects, then eos.
    grammar : GrammarTables
        The tokens that may follow.
    closing : range
        Tokens that close a block.
    leniency : float
        See `Sampling`.

    Yields
    ------
    DecodedSequence
        Log-probabilities are those of the tokens after the whole draft up to them.
    """
    first = 0
    checker = _Checker(model, grammar, closing, leniency)
    for memory, drafted in drafts:
        if not drafted:
            continue
        proposed = [tokens.tolist() for tokens in drafted]
        proposals = Proposals.of(proposed, [grammar.bos] * len(memory), memory.context.device)
        states = proposals.states(grammar.start(len(memory)), grammar)
        for rows in _groups(proposals, model.config.tokens.vocab_size):
            part = proposals.select(rows)
            read = checker.read(memory.select(rows), part, states[rows, : part.inputs.shape[1]])
            for index, (tokens, logprobs) in enumerate(read, start=first + rows.start):
                yield DecodedSequence(index, tokens, logprobs, 1)
        first += len(memory)


class _Checker:
    """Reads drafts with a model."""

    def __init__(
        self, model: Pix2Seq, grammar: GrammarTables, closing: range, leniency: float
    ) -> None:
        self._model, self._grammar = model, grammar
        self._closing, self._leniency = closing, leniency

    def read(
        self, memory: Memory, proposals: Proposals, states: Tensor
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Tokens of each draft that stay, and their log-probabilities."""
        before, counts = proposals.inputs, proposals.counts
        cache = self._model.new_cache(memory, before.shape[1])
        there = torch.arange(before.shape[1]) < torch.tensor(counts)[:, None]
        there = there.to(before.device)
        if pads(before.device):
            logits = self._model.extend(before, cache)[there]
        else:
            logits = self._model.extend_packed(before, counts, cache)
        logits = logits.float().where(self._grammar.allowed(states[there]), -torch.inf)
        drafted, begins = proposals.drafted[there], self._begins(before[there])
        logprobs = logits.gather(-1, drafted[:, None])[:, 0] - logits.logsumexp(dim=-1)
        leaves = torch.zeros_like(begins)
        leaves[begins] = self._leaves(logits, drafted, begins.nonzero()[:, 0])
        parts = (part.cpu().split(counts) for part in (drafted, logprobs, begins, leaves))
        for tokens, sure, first, left in zip(*parts, strict=True):
            stays = ~left[first][first.cumsum(0) - 1]
            yield tokens[stays].numpy(), sure[stays].numpy()

    def _begins(self, before: Tensor) -> Tensor:
        """Whether an object, or the end, comes after each token (N,)."""
        closed = (before >= self._closing.start) & (before < self._closing.stop)
        return closed | (before == self._grammar.bos)

    def _leaves(self, logits: Tensor, drafted: Tensor, first: Tensor) -> Tensor:
        """Whether the model would leave out the objects with these first tokens; (N,) bool."""
        grid, eos = self._model.config.tokens.grid, self._grammar.eos
        last = 1 if grid is not None and grid.start == "coords" else 0
        leaves = torch.zeros_like(first, dtype=torch.bool)
        which = (drafted[first] != eos).nonzero()[:, 0]
        for k in range(last + 1):
            at = first[which] + k
            own = drafted[at]
            chosen, _ = choose_or_keep(logits[at], own, self._leniency, self._model.stops)
            decides = k == last or (grid is not None and grid.order == "C")
            leaves[which] = (chosen == eos) | (chosen > own) if decides else chosen == eos
            which = which[chosen == own]
        return leaves


def _groups(proposals: Proposals, vocab_size: int) -> Iterator[slice]:
    """Rows that a pass computes together."""
    first, longest, total = 0, 0, 0
    for row, n in enumerate(proposals.counts):
        longest, total = max(longest, n), total + n
        if pads(proposals.inputs.device):
            full = (row + 1 - first) * longest * vocab_size > MOST_LOGITS
        else:
            full = total > MOST_INPUTS
        if full and row > first:
            yield slice(first, row)
            first, longest, total = row, n, n
    yield slice(first, len(proposals.counts))
