"""Several heads: each field of a run has a sequence of its own (Fig. 19).

Heads share the decoder with its positions and differ only in their tokens. So they are rows of one
batch: token t of a head is row ``head.offset + t`` of a common table, and each head reads its part
of the logits.
"""

import torch
from torch import Tensor

from rleseg_core.model.config_parts import Head


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


def rows_of(windows: Tensor, n_heads: int) -> Tensor:
    """Rows (B' * K,) of all heads of some windows (B',)."""
    heads = torch.arange(n_heads, device=windows.device)
    return (windows[:, None] * n_heads + heads).flatten()
