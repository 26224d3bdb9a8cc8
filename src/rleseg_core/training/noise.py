"""Sequences made harder: runs in random order, and corrupted inputs."""

import torch
from torch import Tensor

from rleseg_core.errors import TrainingError
from rleseg_core.tokens import Tokenizer


def shuffle_runs(tokens: Tensor, n_tokens: Tensor, tokenizer: Tokenizer) -> Tensor:
    """Runs of each row in random order (Sec. VI).

    Parameters
    ----------
    tokens : (B, L) int64 tensor
        Sequences that end in eos.
    n_tokens : (B,) int64 tensor
        Their lengths, eos included.
    tokenizer : Tokenizer
        The tokenizer that wrote them. Its runs must name their start and belong to no block.

    Raises
    ------
    TrainingError
        If its runs depend on one another.
    """
    free = tokenizer.runs.independent and tokenizer.blocks is None
    if not free or tokenizer.vocab.per_field:
        raise TrainingError(
            "runs can be shuffled where each names its start, in one sequence without "
            "blocks, as in 'lac' or 'multiclass'; leave out shuffle_runs"
        )
    each = tokenizer.tokens_per_run
    n_most = tokens.shape[1] // each
    if n_most == 0:
        return tokens
    runs = tokens[:, : n_most * each].unflatten(1, (n_most, each))
    slot = torch.arange(n_most, device=tokens.device)
    is_run = slot < ((n_tokens - 1) // each)[:, None]
    keys = torch.rand(is_run.shape, device=tokens.device)
    order = torch.where(is_run, keys, 1.0 + slot).argsort(dim=1)  # the others stay behind
    shuffled = runs.gather(1, order[..., None].expand_as(runs)).flatten(1)
    return torch.cat((shuffled, tokens[:, n_most * each :]), dim=1)


def corrupt(inputs: Tensor, tokenizer: Tokenizer, share: float) -> Tensor:
    """Inputs (B, L) in which random tokens are replaced by others of the same segment.

    Each token except the first, special ones and labels is replaced with probability `share`. The
    targets stay, so that a model learns to continue after mistakes of its own.

    Raises
    ------
    TrainingError
        If each field has its own sequence.
    """
    vocab = tokenizer.vocab
    if vocab.per_field:
        raise TrainingError(
            "only inputs of one sequence can be corrupted, not of one for each field as in "
            "'multihead'; leave out corruption"
        )
    fields = {field.segment for field in vocab.fields}
    first, size = torch.zeros(2, vocab.size, dtype=torch.int64, device=inputs.device)
    for segment in vocab.segments:
        if segment.name in fields:
            first[segment.offset : segment.end] = segment.offset
            size[segment.offset : segment.end] = segment.size
    wrong = torch.rand(inputs.shape, device=inputs.device) < share
    wrong[:, 0] = False
    wrong &= size[inputs] > 0
    other = torch.rand(inputs.shape, device=inputs.device) * size[inputs]
    return torch.where(wrong, first[inputs] + other.long(), inputs)
