"""Several heads: the fields of runs in sequences of their own (Fig. 19).

Heads share the decoder, positions included, and differ in their tokens alone. So they are rows of
one batch: a token of head h is the token ``offset of h + id`` of one table, and of the logits each
head has its own part.
"""

import torch
from torch import Tensor

from rleseg_core.model.config_parts import Head


def to_rows(tokens: Tensor, heads: tuple[Head, ...]) -> Tensor:
    """Tokens of heads (B, K, L), by the ids of each, as rows (B * K, L) of the common table."""
    offsets = torch.tensor([head.offset for head in heads], device=tokens.device)
    return (tokens + offsets[:, None]).flatten(0, 1)


def to_heads(logits: Tensor, heads: tuple[Head, ...]) -> Tensor:
    """Logits of rows (B * K, L, V of the table) by the ids of each head, (B, K, L, V).

    V is that of the largest head; ids that a head does not have are at minus infinity.
    """
    most = max(head.size for head in heads)
    by_head = logits.unflatten(0, (-1, len(heads)))
    out = logits.new_full((*by_head.shape[:3], most), float("-inf"))
    for k, head in enumerate(heads):
        out[:, k, :, : head.size] = by_head[:, k, :, head.offset : head.offset + head.size]
    return out


def rows_of(windows: Tensor, n_heads: int) -> Tensor:
    """Rows (B' * K,) of the heads of some windows (B',)."""
    own = torch.arange(n_heads, device=windows.device)
    return (windows[:, None] * n_heads + own).flatten()
