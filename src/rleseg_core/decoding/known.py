"""Objects that are known in some frames of a window: a model writes the rest of their blocks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rleseg_core.decoding.grammar import GrammarTables
from rleseg_core.decoding.loop import generate
from rleseg_core.model.decoder import Memory
from rleseg_core.model.pix2seq import Pix2Seq
from rleseg_core.tokens.known import BlockState, KnownBlock

_CANDIDATES = 4  # first tokens that are tried


class WrittenBlock(NamedTuple):
    """The block of one object.

    Attributes
    ----------
    tokens : (L,) int64
        The block and eos.
    logprobs : (L,) float32
        Log-probability of each token among those that the grammar allows, known or not.
    """

    tokens: np.ndarray
    logprobs: np.ndarray


@torch.inference_mode()
def write_block(
    model: Pix2Seq,
    memory: Memory,
    grammar: GrammarTables,
    known: KnownBlock,
    *,
    max_tokens: int,
) -> WrittenBlock:
    """The block of an object of which a part is known, as the model would most likely write it.

    An object may begin before its first known pixel, where it is in another frame, and other
    objects begin there too. So blocks are written from the likeliest first tokens and from that of
    the first known pixel, and the one counts that is likeliest as a whole: the block of another
    object would have to take in the known pixels, which is unlikely.

    Parameters
    ----------
    model : Pix2Seq
        In evaluation mode, with one head.
    memory : Memory
        One window.
    grammar : GrammarTables
        Of the model's tokenizer.
    known : KnownBlock
        What is known.
    max_tokens : int
        L, the longest sequence.
    """
    first = _first_tokens(model, memory, grammar, known)
    rows = torch.zeros(len(first), dtype=torch.int64, device=memory.context.device)
    memory = memory.select(rows)
    rules = _KnownGrammar(grammar, known, first)
    written: list[list[int]] = [[] for _ in first]
    for step in generate(model, memory, rules, max_tokens=max_tokens):
        for row, token in zip(step.rows.tolist(), step.tokens.tolist(), strict=True):
            written[row].append(token)
    sequences = [tokens[: _length(tokens, grammar.eos)] for tokens in written]
    logprobs = _logprobs(model, memory, grammar, sequences)
    best = int(np.argmax([of.sum() for of in logprobs]))
    return WrittenBlock(np.array(sequences[best], np.int64), logprobs[best])


def _length(tokens: Sequence[int], eos: int) -> int:
    return tokens.index(eos) + 1 if eos in tokens else len(tokens)


def _first_tokens(
    model: Pix2Seq, memory: Memory, grammar: GrammarTables, known: KnownBlock
) -> list[int]:
    """The likeliest tokens with which the block may begin, and that of the first known pixel."""
    device = memory.context.device
    state = grammar.start(1)
    cache = model.new_cache(memory, 1)
    logits = model.step(model.first_tokens(grammar.bos, 1, device), cache)[0]
    fresh = BlockState(int(state[0, 0]), 0, 0, 0, 0)
    may = torch.from_numpy(known.allowed(fresh)).to(device) & grammar.allowed(state)[0]
    found = logits.where(may, -torch.inf).topk(min(_CANDIDATES, int(may.sum()))).indices.tolist()
    sure = known.first_token
    return found if sure is None or sure in found else [*found, sure]


def _logprobs(
    model: Pix2Seq, memory: Memory, grammar: GrammarTables, sequences: Sequence[Sequence[int]]
) -> list[np.ndarray]:
    """Log-probabilities of all tokens of sequences, as the grammar alone allows them."""
    device, longest = memory.context.device, max(map(len, sequences))
    tokens = torch.full((len(sequences), longest), grammar.pad, device=device)
    for row, sequence in enumerate(sequences):
        tokens[row, : len(sequence)] = torch.tensor(sequence, device=device)
    bos = model.first_tokens(grammar.bos, len(sequences), device)[:, None]
    logits = model(memory, torch.cat((bos, tokens[:, :-1]), dim=1)).float()
    state, allowed = grammar.start(len(sequences)), []
    for at in range(longest):
        allowed.append(grammar.allowed(state))
        state = grammar.advance(state, tokens[:, at])
    sure = logits.where(torch.stack(allowed, dim=1), -torch.inf).log_softmax(dim=-1)
    sure = sure.gather(2, tokens[:, :, None])[:, :, 0].cpu().numpy()
    return [row[: len(sequence)] for row, sequence in zip(sure, sequences, strict=True)]


@dataclass(frozen=True, eq=False)
class _KnownGrammar:
    """A grammar with the rules of a known block; each row begins with a token of its own.

    To the state of the grammar come the start of the current run and the row. What may follow is
    looked up on the host, which waits for the device at each token.
    """

    grammar: GrammarTables
    known: KnownBlock
    first: Sequence[int]

    @property
    def bos(self) -> int:
        """That of the grammar, like the two below."""
        return self.grammar.bos

    @property
    def eos(self) -> int:
        return self.grammar.eos

    @property
    def pad(self) -> int:
        return self.grammar.pad

    def start(self, batch: int) -> Tensor:
        """State (B, 7)."""
        state = self.grammar.start(batch)
        row = torch.arange(batch, device=state.device)[:, None]
        return torch.cat((state, torch.zeros_like(row), row), dim=1)

    def allowed(self, state: Tensor) -> Tensor:
        """Which tokens may follow, (B, V) bool."""
        found = []
        for expects, cursor, reached, _, label, start, row in state.tolist():
            may = self.known.allowed(BlockState(expects, cursor, reached, start, label))
            if self._is_fresh(expects) and not label:
                may = np.arange(may.size) == self.first[row]
            found.append(may)
        rules = torch.from_numpy(np.stack(found)).to(state.device)
        return self.grammar.allowed(state[:, :5]) & rules

    def advance(self, state: Tensor, tokens: Tensor) -> Tensor:
        """State after one more token (B,) of each sequence."""
        after = self.grammar.advance(state[:, :5], tokens)
        says = [self.known.says_start(expects) for expects in state[:, 0].tolist()]
        says_start = torch.tensor(says, device=state.device)
        start = after[:, 2].where(says_start, state[:, 5])
        return torch.cat((after, start[:, None], state[:, 6:]), dim=1)

    def select(self, state: Tensor, rows: Tensor) -> Tensor:
        """State of some sequences, `rows` (B',) integers."""
        return state[rows]

    def _is_fresh(self, expects: int) -> bool:
        return expects == int(self.grammar.start(1)[0, 0])
