"""Several heads: each field of a run has a sequence of its own (Fig. 19).

Heads share the decoder with its positions and differ only in their tokens. So they are rows of one
batch: token t of a head is row ``head.offset + t`` of a common table, and each head reads its part
of the logits.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from rleseg_core.model.config_parts import Head
from rleseg_core.model.pointer import HeadTurns


def to_rows(tokens: Tensor, heads: tuple[Head, ...]) -> Tensor:
    """Tokens (B, K, L) of each head's ids as rows (B * K, L) of ids of the common table."""
    offsets = torch.tensor([head.offset for head in heads], device=tokens.device)
    return (tokens + offsets[:, None]).flatten(0, 1)


def to_heads(logits: Tensor, heads: tuple[Head, ...]) -> Tensor:
    """Logits (B, K, L, V) of each head's ids, from those of the common table (B * K, L, V_table).

    V is that of the largest head; ids that a head does not have get minus infinity.
    """
    most = max(head.size for head in heads)
    by_head = logits.unflatten(0, (-1, len(heads)))
    out = logits.new_full((*by_head.shape[:3], most), float("-inf"))
    for k, head in enumerate(heads):
        out[:, k, :, : head.size] = by_head[:, k, :, head.offset : head.offset + head.size]
    return out


class Turns:
    """Logits of the next token of each head, one head after the other.

    Parameters
    ----------
    logits : (B, V) tensor, or (B, K, V) of several heads
        Logits that do not depend on what other heads say.
    """

    def __init__(self, logits: Tensor) -> None:
        self.several = logits.ndim == 3
        self._logits = logits if self.several else logits[:, None]

    @property
    def n_heads(self) -> int:
        """K."""
        return self._logits.shape[1]

    def logits(self, k: int, chosen: Sequence[Tensor]) -> Tensor:
        """Logits (B, V) of the k-th head, given the tokens (B,) of the k heads before it."""
        return self._logits[:, k]


class PointedTurns(Turns):
    """The same where heads look at the image at the run that heads before them begin.

    Parameters
    ----------
    logits : (B, K, V) tensor
        Logits without the pointers.
    pointed : HeadTurns
        Those of the pointers, of one position.
    """

    def __init__(self, logits: Tensor, pointed: HeadTurns) -> None:
        super().__init__(logits)
        self._pointed = pointed

    def logits(self, k: int, chosen: Sequence[Tensor]) -> Tensor:
        """Logits (B, V) of the k-th head, given the tokens (B,) of the k heads before it."""
        state, logits = self._pointed.state, self._logits[:, k]
        if k:
            said = self._pointed.pointer.read([tokens[:, None] for tokens in chosen])
            state = state.given(said)
        added = self._pointed.of_head(k, state)[:, 0].to(logits.dtype)
        return logits + F.pad(added, (0, logits.shape[1] - added.shape[1]))


def rows_of(windows: Tensor, n_heads: int) -> Tensor:
    """Rows (B' * K,) of all heads of some windows (B',)."""
    heads = torch.arange(n_heads, device=windows.device)
    return (windows[:, None] * n_heads + heads).flatten()
