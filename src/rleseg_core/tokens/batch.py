"""Batches of masks as token sequences: on the host in one go, or on a device without waiting."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rleseg_core.tokens.blocks_torch import find_in_blocks, first_changes
from rleseg_core.tokens.budget import Drop
from rleseg_core.tokens.runs import Change, Foreground, Runs
from rleseg_core.tokens.runs_torch import longest_first
from rleseg_core.tokens.tokenizer import TokenBatch, Tokenizer


def encode_batch(
    tokenizer: Tokenizer, classes: Tensor, instances: Tensor | None, budget: int, drop: Drop
) -> TokenBatch:
    """Tokens of masks (B, N, S, S), in the way that is fast where they are."""
    if not len(classes):
        heads = (tokenizer.tokens_per_run,) if tokenizer.vocab.per_field else ()
        none = torch.zeros(0, dtype=torch.int64, device=classes.device)
        return TokenBatch(none.new_zeros((0, *heads, budget)), none, none)
    if classes.device.type == "cpu" and type(classes) is Tensor:  # not a fake one, without values
        return encode_on_host(tokenizer, classes, instances, budget, drop)
    return encode_on_device(tokenizer, classes, instances, budget, drop)


def encode_on_host(
    tokenizer: Tokenizer, classes: Tensor, instances: Tensor | None, budget: int, drop: Drop
) -> TokenBatch:
    """Tokens of masks in host memory, all masks at once."""
    n_rows, k, vocab = len(classes), tokenizer.tokens_per_run, tokenizer.vocab
    runs, block, row, labels = tokenizer.find(
        classes.numpy(), None if instances is None else instances.numpy()
    )
    n_found = np.bincount(row, minlength=n_rows)
    cost_of_all = n_found * tokenizer.cost_of_run
    if tokenizer.blocks is not None:
        cost_of_all += np.bincount(row[np.diff(block, prepend=-1) != 0], minlength=n_rows)
    if (cost_of_all > tokenizer.room(budget)).any():
        runs, kept = tokenizer.fit(runs, block, row, budget, drop)
        block, row = block[kept], row[kept]
    n_kept = n_found if row.size == n_found.sum() else np.bincount(row, minlength=n_rows)
    rank = np.arange(row.size) - (n_kept.cumsum() - n_kept).repeat(n_kept)
    n_heads, per_run = (k, 1) if vocab.per_field else (1, k)
    tokens = np.full((n_rows, n_heads, budget), vocab.pad)
    n_tokens = n_kept * per_run
    place = rank * per_run
    flat = tokens.reshape(-1)
    base = row * (n_heads * budget)
    if tokenizer.blocks is not None and row.size:
        last = np.append(block[1:] != block[:-1], True)
        n_closed = last.cumsum() - last
        n_blocks = np.bincount(row[last], minlength=n_rows)
        place += n_closed - (n_blocks.cumsum() - n_blocks)[row]
        flat[(base + place)[last] + k] = labels[block[last]] + (vocab.label_offset - 1)
        n_tokens = n_tokens + n_blocks
    place += base
    for column, (field, offset) in enumerate(tokenizer.columns):
        flat[place + column * (budget if vocab.per_field else 1)] = field.write(runs) + offset
    tokens[np.arange(n_rows), :, n_tokens] = vocab.eos
    return TokenBatch(
        torch.from_numpy(tokens if vocab.per_field else tokens[:, 0]),
        torch.from_numpy(n_tokens + 1),
        torch.from_numpy(n_found - n_kept),
    )


def encode_on_device(
    tokenizer: Tokenizer, classes: Tensor, instances: Tensor | None, budget: int, drop: Drop
) -> TokenBatch:
    """Tokens of masks where they are; every scheme, and the host reads nothing."""
    classes = _of_plain_type(classes)
    instances = None if instances is None else _of_plain_type(instances)
    if tokenizer.blocks is None:
        runs, n_found = _find(tokenizer, classes, budget, drop)
        block = label = torch.zeros_like(runs.start)
    else:
        runs, block, label, n_found = _find_in_blocks(tokenizer, classes, instances, budget, drop)
    there = runs.length > 0
    n_rows, n_runs = there.shape
    k, vocab = tokenizer.tokens_per_run, tokenizer.vocab
    rank = torch.arange(n_runs, device=there.device).expand_as(there)
    n_kept = there.sum(1)
    n_heads, per_run = (k, 1) if vocab.per_field else (1, k)
    place = rank * per_run
    n_tokens = n_kept * per_run
    dump = n_heads * budget  # takes what is not there
    tokens = torch.full((n_rows, dump + 1), vocab.pad, device=there.device)
    if tokenizer.blocks is not None:
        last = there.clone()
        last[:, :-1] &= (block[:, 1:] != block[:, :-1]) | ~there[:, 1:]
        n_closed = last.cumsum(1)
        place = place + n_closed - last.long()
        n_tokens = n_tokens + n_closed[:, -1] if n_runs else n_tokens
        at = torch.where(last, place + k, dump)
        tokens.scatter_(1, at, label + (vocab.label_offset - 1))
    for column, (field, offset) in enumerate(tokenizer.columns):
        at = place + column * (budget if vocab.per_field else 1)
        tokens.scatter_(1, torch.where(there, at, dump), field.write(runs) + offset)
    for head in range(n_heads):
        tokens.scatter_(1, (n_tokens + head * budget)[:, None], vocab.eos)
    tokens = tokens[:, :dump]
    if vocab.per_field:
        tokens = tokens.reshape(n_rows, k, budget)
    return TokenBatch(tokens, n_tokens + 1, n_found - n_kept)


def _of_plain_type(ids: Tensor) -> Tensor:
    """The same numbers; devices cannot sort or gather all unsigned types."""
    wider = {torch.uint16: torch.int32, torch.uint32: torch.int64, torch.uint64: torch.int64}
    return ids.to(wider.get(ids.dtype, ids.dtype))


def _find(
    tokenizer: Tokenizer, classes: Tensor, budget: int, drop: Drop
) -> tuple[Runs[Tensor], Tensor]:
    n_runs = min(tokenizer.room(budget) // tokenizer.cost_of_run, tokenizer.canvas.n_cells)
    planes = tokenizer.canvas.flatten(classes)
    return tokenizer.runs.find_batch(planes, n_runs, drop == "shortest")


def _find_in_blocks(
    tokenizer: Tokenizer, classes: Tensor, instances: Tensor | None, budget: int, drop: Drop
) -> tuple[Runs[Tensor], Tensor, Tensor, Tensor]:
    """Runs, their blocks and the classes of those, (B, R) each, and how many there were (B,)."""
    assert tokenizer.blocks is not None
    room, canvas, kind = tokenizer.room(budget), tokenizer.canvas, tokenizer.runs
    ids = canvas.layers(tokenizer.blocks.ids(classes, instances))
    most = ids.shape[1] * ids.shape[2]  # runs of foreground, if each were one pixel
    n_runs = room // tokenizer.cost_of_run
    if isinstance(kind, Foreground):
        n_runs = min(n_runs, most)
    spans, n_found = find_in_blocks(
        ids, canvas.layers(classes), kind, most if drop == "shortest" else n_runs
    )
    runs = Runs(spans.start, spans.length, spans.symbol)
    order = longest_first(runs) if drop == "shortest" else None
    there, block = spans.length > 0, spans.block
    if order is not None:
        there, block = there.gather(1, order), block.gather(1, order)
    cost = (there * tokenizer.cost_of_run + _is_first(block, there)).cumsum(1)
    kept = there & (cost <= room)
    if order is not None:
        kept = torch.zeros_like(kept).scatter(1, order, kept)
        index = (~kept).long().argsort(dim=1, stable=True)[:, :n_runs]  # the kept ones to the left
        spans, kept = spans.take(index), kept.gather(1, index)
        runs = Runs(spans.start, spans.length * kept, spans.symbol)
    elif isinstance(kind, Change):
        runs = first_changes(spans, kind, kept[:, :n_runs].sum(1))
    else:
        runs = runs._replace(length=runs.length * kept)
    width = runs.start.shape[1]
    return runs, spans.block[:, :width], spans.label[:, :width], n_found


def _is_first(block: Tensor, there: Tensor) -> Tensor:
    """Which runs (B, R), in the order given, are the first of their blocks."""
    n_runs = block.shape[1]
    rank = torch.arange(n_runs, device=block.device).expand_as(block)
    earliest = torch.full_like(block, n_runs)
    earliest.scatter_reduce_(1, block, torch.where(there, rank, n_runs), "amin")
    return there & (earliest.gather(1, block) == rank)
