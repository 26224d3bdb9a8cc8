"""Batches of masks as token sequences: on the host in one go, or on a device without waiting."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rleseg_core.tokens.budget import Drop
from rleseg_core.tokens.encode import find, keep_to_budget
from rleseg_core.tokens.records import Runs
from rleseg_core.tokens.results import TokenBatch
from rleseg_core.tokens.runs.planes_torch import longest_first
from rleseg_core.tokens.runs.spans_torch import find_spans
from rleseg_core.tokens.stages import Stages


def encode_batch(
    stages: Stages, classes: Tensor, instances: Tensor | None, budget: int, drop: Drop
) -> TokenBatch:
    """Tokens of masks (B, N, S, S), in the way that is fast where they are."""
    if not len(classes):
        heads = (stages.tokens_per_run,) if stages.vocab.per_field else ()
        none = torch.zeros(0, dtype=torch.int64, device=classes.device)
        return TokenBatch(none.new_zeros((0, *heads, budget)), none, none)
    if classes.device.type == "cpu" and type(classes) is Tensor:  # not a fake one, without values
        return encode_on_host(stages, classes, instances, budget, drop)
    return encode_on_device(stages, classes, instances, budget, drop)


def encode_on_host(
    stages: Stages, classes: Tensor, instances: Tensor | None, budget: int, drop: Drop
) -> TokenBatch:
    """Tokens of masks in host memory, all masks at once."""
    n_rows, k, vocab = len(classes), stages.tokens_per_run, stages.vocab
    runs, block, row_of_block, labels = find(
        stages, classes.numpy(), None if instances is None else instances.numpy()
    )
    row = row_of_block if stages.blocks is None else row_of_block[block]
    n_found = np.bincount(row, minlength=n_rows)
    cost_of_all = n_found * stages.cost_of_run
    if stages.blocks is not None:
        cost_of_all += np.bincount(row[np.diff(block, prepend=-1) != 0], minlength=n_rows)
    if (cost_of_all > stages.room(budget)).any():
        runs, kept = keep_to_budget(stages, runs, block, row, budget, drop)
        block, row = block[kept], row[kept]
    n_kept = n_found if row.size == n_found.sum() else np.bincount(row, minlength=n_rows)
    rank = np.arange(row.size) - (n_kept.cumsum() - n_kept).repeat(n_kept)
    n_heads, per_run = (k, 1) if vocab.per_field else (1, k)
    tokens = np.full((n_rows, n_heads, budget), vocab.pad)
    n_tokens = n_kept * per_run
    slot = rank * per_run
    flat = tokens.reshape(-1)
    base = row * (n_heads * budget)
    if stages.blocks is not None and row.size:
        last = np.append(block[1:] != block[:-1], True)
        n_closed = last.cumsum() - last
        n_blocks = np.bincount(row[last], minlength=n_rows)
        slot += n_closed - (n_blocks.cumsum() - n_blocks)[row]
        flat[(base + slot)[last] + k] = labels[block[last]] + (vocab.label_offset - 1)
        n_tokens = n_tokens + n_blocks
    slot += base
    for column, (field, offset) in enumerate(stages.columns):
        flat[slot + column * (budget if vocab.per_field else 1)] = field.write(runs) + offset
    tokens[np.arange(n_rows), :, n_tokens] = vocab.eos
    return TokenBatch(
        torch.from_numpy(tokens if vocab.per_field else tokens[:, 0]),
        torch.from_numpy(n_tokens + 1),
        torch.from_numpy(n_found - n_kept),
    )


def encode_on_device(
    stages: Stages, classes: Tensor, instances: Tensor | None, budget: int, drop: Drop
) -> TokenBatch:
    """Tokens of masks where they are; every scheme, and the host reads nothing."""
    classes = _of_plain_type(classes)
    instances = None if instances is None else _of_plain_type(instances)
    if stages.blocks is None:
        runs, n_found = _find(stages, classes, budget, drop)
        block = label = torch.zeros_like(runs.start)
    else:
        runs, block, label, n_found = _find_in_blocks(stages, classes, instances, budget, drop)
    there = runs.length > 0
    n_rows, n_runs = there.shape
    k, vocab = stages.tokens_per_run, stages.vocab
    rank = torch.arange(n_runs, device=there.device).expand_as(there)
    n_kept = there.sum(1)
    n_heads, per_run = (k, 1) if vocab.per_field else (1, k)
    slot = rank * per_run
    n_tokens = n_kept * per_run
    dump = n_heads * budget  # takes what is not there
    tokens = torch.full((n_rows, dump + 1), vocab.pad, device=there.device)
    if stages.blocks is not None:
        last = there.clone()
        last[:, :-1] &= (block[:, 1:] != block[:, :-1]) | ~there[:, 1:]
        n_closed = last.cumsum(1)
        slot = slot + n_closed - last.long()
        n_tokens = n_tokens + n_closed[:, -1] if n_runs else n_tokens
        at = torch.where(last, slot + k, dump)
        tokens.scatter_(1, at, label + (vocab.label_offset - 1))
    for column, (field, offset) in enumerate(stages.columns):
        at = slot + column * (budget if vocab.per_field else 1)
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


def _find(stages: Stages, classes: Tensor, budget: int, drop: Drop) -> tuple[Runs[Tensor], Tensor]:
    n_runs = min(stages.room(budget) // stages.cost_of_run, stages.flattening.n_pixels)
    planes = stages.flattening.flatten(classes)
    return stages.runs.find_batch(planes, n_runs, drop == "shortest")


def _find_in_blocks(
    stages: Stages, classes: Tensor, instances: Tensor | None, budget: int, drop: Drop
) -> tuple[Runs[Tensor], Tensor, Tensor, Tensor]:
    """Runs, their blocks and the classes of those, (B, R) each, and how many there were (B,)."""
    assert stages.blocks is not None
    room, flattening, kind = stages.room(budget), stages.flattening, stages.runs
    ids = flattening.layers(stages.blocks.ids(classes, instances))
    spans = find_spans(ids, flattening.layers(classes))
    n_runs = room // stages.cost_of_run
    most = spans.start.shape[1]  # independent runs, if each were one pixel
    spans, n_found = kind.find_batch_in_blocks(spans, most if drop == "shortest" else n_runs)
    order = None
    there, block = spans.length > 0, spans.block
    if drop == "shortest":
        order = longest_first(Runs(spans.start, spans.length, spans.symbol))
        there, block = there.gather(1, order), block.gather(1, order)
    cost = (there * stages.cost_of_run + _is_first(block, there)).cumsum(1)
    kept = there & (cost <= room)
    if order is not None:
        kept = torch.zeros_like(kept).scatter(1, order, kept)
        index = (~kept).long().argsort(dim=1, stable=True)[:, :n_runs]  # the kept ones to the left
        spans, kept = spans.take(index), kept.gather(1, index)
    runs = kind.keep_in_blocks(spans, kept)
    width = runs.start.shape[1]
    return runs, spans.block[:, :width], spans.label[:, :width], n_found


def _is_first(block: Tensor, there: Tensor) -> Tensor:
    """Which runs (B, R), in the order given, are the first of their blocks."""
    n_runs = block.shape[1]
    rank = torch.arange(n_runs, device=block.device).expand_as(block)
    earliest = torch.full_like(block, n_runs)
    earliest.scatter_reduce_(1, block, torch.where(there, rank, n_runs), "amin")
    return there & (earliest.gather(1, block) == rank)
