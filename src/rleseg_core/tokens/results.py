"""What the tokenizer gives: counts, batches of sequences, masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


class Counts(NamedTuple):
    """What `Tokenizer.encode` writes of a mask without a budget."""

    n_runs: int
    n_blocks: int
    n_tokens: int
    """The eos included; with `per_field` heads those of one head."""


@dataclass(frozen=True, eq=False)
class TokenBatch:
    """The token sequences of B masks on their device.

    Parameters
    ----------
    tokens : (B, L) or (B, K, L) int64 tensor
        Token ids, each row ending in eos and filled up with pad; with `per_field` heads a row for
        each of the K fields.
    n_tokens : (B,) int64 tensor
        Tokens of each row, the eos included.
    n_dropped_runs : (B,) int64 tensor
        Runs of each mask that did not fit.
    """

    tokens: Tensor
    n_tokens: Tensor
    n_dropped_runs: Tensor


@dataclass(frozen=True, eq=False)
class Decoded:
    """A mask read from tokens.

    Parameters
    ----------
    classes : (N, S, S) unsigned integer
        Class ids, 0 = background; uint8 up to 255 classes.
    instances : (N, S, S) int32 or None
        Instance ids, from 1 in the order of the blocks, where the scheme writes instances.
    n_skipped : int
        Tokens that belong to no run.
    """

    classes: np.ndarray
    instances: np.ndarray | None
    n_skipped: int
