"""The parts of a pre-norm transformer, shared by encoder and decoder."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NORM_EPS = 1e-6

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]
"""What queries find among keys and values, as `attend` does."""


def attend(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    *,
    mask: Tensor | None = None,
    causal: bool = False,
) -> Tensor:
    """What queries (B, H, L, D) find among keys and values (B, H, M, D): (B, H, L, D).

    Parameters
    ----------
    queries, keys, values : (B, H, L or M, D) tensor
        Of each head.
    mask : tensor, optional
        As `torch.nn.functional.scaled_dot_product_attention` takes it.
    causal : bool
        Whether position l sees the first l + 1 keys only.

    Notes
    -----
    On a GPU, by all kernels of torch but cuDNN's, which torch prefers on Hopper: that one prepares
    a plan for each new length, which takes much longer than a step of a small model, and the
    sequences of nearly every batch have a new length.
    """
    with without_cudnn_attention() if queries.is_cuda else nullcontext():
        return F.scaled_dot_product_attention(
            queries, keys, values, attn_mask=mask, is_causal=causal
        )


@contextmanager
def without_cudnn_attention() -> Iterator[None]:
    """Leave cuDNN out of the kernels that torch may choose for attention."""
    was = torch.backends.cuda.cudnn_sdp_enabled()
    torch.backends.cuda.enable_cudnn_sdp(False)
    try:
        yield
    finally:
        torch.backends.cuda.enable_cudnn_sdp(was)


class DropPath(nn.Module):
    """Drops a residual branch for whole samples, in training only."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """`x` (B, …), in training with some samples set to 0 and the others scaled up."""
        if not self.training or self.rate == 0:
            return x
        keep = x.new_empty((len(x),) + (1,) * (x.ndim - 1)).bernoulli_(1 - self.rate)
        return x * keep / (1 - self.rate)


class Mlp(nn.Module):
    """Residual pre-norm MLP with exact GELU: (B, L, D) to the same."""

    def __init__(self, dim: int, hidden: int, dropout: float, drop_path: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.up = nn.Linear(dim, hidden)
        self.dropout = nn.Dropout(dropout)
        self.down = nn.Linear(hidden, dim)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) to the same: `x` plus the MLP's output."""
        hidden = self.dropout(F.gelu(self.up(self.norm(x))))
        return x + self.drop_path(self.down(hidden))


class SelfAttention(nn.Module):
    """Multi-head attention of a sequence to itself."""

    def __init__(self, dim: int, n_heads: int, *, causal: bool) -> None:
        super().__init__()
        self.n_heads, self.causal = n_heads, causal
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values (B, H, L, D / H) each."""
        b, n, d = x.shape
        qkv = self.qkv(x).view(b, n, 3, self.n_heads, d // self.n_heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, H, L, D)
        return q, k, v

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) to the same; each position attends to all, or up to itself if causal."""
        q, k, v = self.project(x)
        mixed = attend(q, k, v, causal=self.causal)
        return self.out(mixed.transpose(1, 2).flatten(2))


class CrossAttention(nn.Module):
    """Multi-head attention of a sequence to a context."""

    def __init__(self, dim: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.out = nn.Linear(dim, dim)

    def context(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, H, M, D) of a context (B, M, D): the same for all positions."""
        b, m, d = context.shape
        both = self.key_value(context).view(b, m, 2, self.n_heads, d // self.n_heads)
        k, v = both.permute(2, 0, 3, 1, 4)
        return k, v

    def forward(
        self, x: Tensor, keys: Tensor, values: Tensor, attend_with: Attention = attend
    ) -> Tensor:
        """(B, L, D) to the same; `keys` and `values` come from `context`."""
        b, n, d = x.shape
        q = self.query(x).view(b, n, self.n_heads, d // self.n_heads).transpose(1, 2)
        mixed = attend_with(q, keys, values)
        return self.out(mixed.transpose(1, 2).flatten(2))


def initialise(module: nn.Module) -> None:
    """Fresh weights for the linear layers of `module`: Glorot uniform, bias 0."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def embedding(*shape: int) -> nn.Parameter:
    """A learned table, initialised by a truncated normal distribution of deviation 0.02."""
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(shape), std=0.02, a=-0.04, b=0.04))
