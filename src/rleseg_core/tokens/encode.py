"""One mask as tokens."""

from __future__ import annotations

import numpy as np

from rleseg_core.errors import DataError, SchemeError
from rleseg_core.tokens.blocks import FoundInBlocks
from rleseg_core.tokens.budget import Drop, fit
from rleseg_core.tokens.records import Runs
from rleseg_core.tokens.results import Counts
from rleseg_core.tokens.stages import Stages


def encode(
    stages: Stages,
    classes: np.ndarray,
    instances: np.ndarray | None,
    budget: int | None,
    drop: Drop,
    rng: np.random.Generator | None,
) -> np.ndarray:
    """The tokens of a mask; see `Tokenizer.encode`."""
    records, block, labels = _find_one(stages, classes, instances)
    check_order(stages, drop, rng)
    if budget is not None:
        records, kept = keep_to_budget(stages, records, block, np.zeros_like(block), budget, drop)
        block = block[kept]
    if rng is not None:
        order = rng.permutation(records.start.size)
        order = order[block[order].argsort(kind="stable")]
        records = Runs(*(column[order] for column in records))
    k, n_runs = stages.tokens_per_run, records.start.size
    n_ends = len(stages.vocab.prompts)
    tokens = np.empty(n_runs * k + n_ends, np.int64)
    tokens[-n_ends:] = stages.vocab.eos
    table = tokens[:-n_ends].reshape(n_runs, k)
    for column, (field, offset) in enumerate(stages.columns):
        np.add(field.write(records), offset, out=table[:, column])
    if stages.blocks is not None:
        last = np.flatnonzero(np.diff(block, append=-1))
        closing = labels[block[last]] + (stages.vocab.label_offset - 1)
        tokens = np.insert(tokens, (last + 1) * k, closing)
    if stages.vocab.per_field:
        return np.ascontiguousarray(tokens.reshape(n_runs + 1, k).T)
    return tokens


def count(stages: Stages, classes: np.ndarray, instances: np.ndarray | None) -> Counts:
    """How much `encode` writes of a mask without a budget."""
    records, block, _ = _find_one(stages, classes, instances)
    n_runs = records.start.size
    if stages.vocab.per_field:
        return Counts(n_runs, 0, n_runs + 1)
    n_blocks = np.unique(block).size if stages.blocks is not None else 0
    return Counts(n_runs, n_blocks, n_runs * stages.tokens_per_run + n_blocks + 1)


def find(stages: Stages, classes: np.ndarray, instances: np.ndarray | None) -> FoundInBlocks:
    """The records of masks (B, N, S, S), before they are fields; without blocks, masks are blocks.

    There are no labels without blocks.
    """
    if stages.blocks is None:
        records, row = stages.runs.find(stages.flattening.flatten(classes))
        return FoundInBlocks(records, row, row, row[:0])
    ids = stages.blocks.ids(classes, instances)
    return stages.runs.find_in_blocks(ids, classes, stages.flattening)


def keep_to_budget(
    stages: Stages,
    records: Runs[np.ndarray],
    block: np.ndarray,
    row: np.ndarray,
    budget: int,
    drop: Drop,
) -> tuple[Runs[np.ndarray], np.ndarray]:
    """The records (R',) that a budget for each mask has room for, and which they are.

    Raises
    ------
    BudgetError
        If there is no room for the eos.
    """
    return fit(
        records,
        block,
        row,
        stages.runs,
        room=stages.room(budget),
        cost_of_run=stages.cost_of_run,
        cost_of_block=int(stages.blocks is not None),
        drop=drop,
    )


def check_order(stages: Stages, drop: Drop, rng: np.random.Generator | None) -> None:
    """Raise `SchemeError` if runs that follow from others are to be dropped or shuffled."""
    if drop not in ("tail", "shortest"):
        raise SchemeError(f"there is no drop={drop!r}; use drop='tail' or drop='shortest'")
    if (drop == "shortest" or rng is not None) and not stages.runs.independent:
        what = "be shuffled" if rng is not None else "be dropped by length"
        raise SchemeError(
            f"runs={stages.scheme.runs!r} cannot {what}, as where they lie follows from those "
            "before; use drop='tail' and no rng, or runs='foreground'"
        )


def _find_one(
    stages: Stages, classes: np.ndarray, instances: np.ndarray | None
) -> tuple[Runs[np.ndarray], np.ndarray, np.ndarray]:
    """Records of a mask (N, S, S), the block of each, and the classes of blocks."""
    _check_mask(stages, classes)
    if stages.blocks is not None and instances is not None:
        _check_instances(instances)
    found = find(stages, classes[None], None if instances is None else instances[None])
    return found.runs, found.block, found.labels


def _check_instances(instances: np.ndarray) -> None:
    if instances.dtype.kind not in "iub":
        raise DataError(f"instance ids are {instances.dtype}, expected integers")
    if instances.dtype.kind == "i" and instances.min() < 0:
        raise DataError(f"instance ids go down to {instances.min()}, expected 0 (none) and higher")


def _check_mask(stages: Stages, classes: np.ndarray) -> None:
    spec = stages.spec
    if classes.shape != spec.shape:
        raise DataError(f"mask is {classes.shape}, the tokenizer is for {spec.shape}")
    if classes.dtype.kind not in "iub":
        raise DataError(f"mask is {classes.dtype}, expected integer class ids")
    highest = classes.max()
    lowest = 0 if classes.dtype.kind in "ub" else classes.min()
    if lowest < 0 or highest > spec.n_classes:
        raise DataError(
            f"mask has values from {lowest} to {highest}, expected class ids from 0 to "
            f"{spec.n_classes}"
        )
