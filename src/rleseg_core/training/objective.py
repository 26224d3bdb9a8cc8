"""What a step is to make small: the loss of the tokens, and that of the dense head beside."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from rleseg_core.affinities import pair_slices
from rleseg_core.errors import TrainingError
from rleseg_core.model import ModelConfig
from rleseg_core.model.outlines import NEIGHBOURS
from rleseg_core.parallel.collectives import mean_over_processes, n_processes
from rleseg_core.spec import IGNORED
from rleseg_core.tokens import Tokenizer
from rleseg_core.tokens.fields import LengthSymbol, Symbol
from rleseg_core.training.batch import TrainingBatch
from rleseg_core.training.config import TrainConfig
from rleseg_core.training.loss import heads_loss, token_loss, vocabulary_weights
from rleseg_core.training.sampling import PatchLabels


class Outputs(NamedTuple):
    """Output of a model for a batch.

    Parameters
    ----------
    logits : (B', L, V) tensor, or (B', K, L, V) of several heads, or None
        Logits of the next tokens of the first B' windows; None where only the dense heads learn.
    dense : (B, N, C + 1, S, S) tensor or None
        Logits of the classes of mask pixels, from the dense head.
    affinities : (B, K, S, S) tensor or None
        Log odds that mask pixels belong to the same object, from the head for them.
    pixels : (B, C + 1 + 2, P, P) tensor or None
        Logits of the pixels of the patches, from the head for outlines.
    """

    logits: Tensor | None
    dense: Tensor | None = None
    affinities: Tensor | None = None
    pixels: Tensor | None = None


class Objective:
    """The loss of a run.

    Parameters
    ----------
    tokenizer : Tokenizer
        Tokenizer of the model.
    model : ModelConfig
        Shape of the model.
    config : TrainConfig
        Losses and their weights.
    device : torch.device
        Device of the loss.
    """

    def __init__(
        self, tokenizer: Tokenizer, model: ModelConfig, config: TrainConfig, device: torch.device
    ) -> None:
        self.config = config
        self._offsets = model.pointer.affinities
        grid = model.tokens.grid
        side = model.image_size
        self._step = (1, 1) if grid is None else (side // grid.rows, side // grid.cols)
        self._head_sizes = [head.size for head in model.tokens.heads]
        self._of_each_token: dict[str, Any] = {
            "kind": config.loss,
            "label_smoothing": config.label_smoothing,
            "focal_gamma": config.focal_gamma,
        }
        if model.tokens.heads and (config.class_balancing or config.ordinal_label_smoothing):
            raise TrainingError(
                "class_balancing and ordinal_label_smoothing need one sequence, not one for each "
                "field; leave them out"
            )
        weights = vocabulary_weights(tokenizer.vocab, config.eos_weight, config.segment_weights)
        self._weights = weights.to(device)
        self._classes: Tensor | None = None
        if config.class_balancing:
            self._classes = token_classes(tokenizer).to(device)
        self._neighbours: Tensor | None = None
        if config.ordinal_label_smoothing:
            self._neighbours = token_neighbours(model).to(device)

    def __call__(self, outputs: Outputs, batch: TrainingBatch) -> Tensor:
        """The loss of a batch, () float32."""
        weight = self.config.dense_weight
        loss = torch.zeros((), device=batch.classes.device)
        if outputs.logits is not None:
            loss = self._of_tokens(outputs.logits, batch.first(len(outputs.logits)))
        if outputs.dense is not None and weight:
            loss = loss + weight * dense_loss(outputs.dense, batch.classes)
        if outputs.affinities is not None and batch.instances is not None and weight:
            loss = loss + weight * affinity_loss(
                outputs.affinities, batch.instances, batch.classes, self._offsets
            )
        if outputs.pixels is not None and batch.pixels is not None and weight:
            loss = loss + weight * self._of_pixels(outputs.pixels, batch.pixels)
        return loss

    def _of_pixels(self, logits: Tensor, wanted: PatchLabels) -> Tensor:
        n_classes = logits.shape[1] - (len(NEIGHBOURS) if self._offsets else 0)
        loss = dense_loss(logits[:, None, :n_classes], wanted.classes)
        if self._offsets and wanted.instances is not None:
            offsets = [(rows * self._step[0], cols * self._step[1]) for rows, cols in NEIGHBOURS]
            loss = loss + affinity_loss(
                logits[:, n_classes:], wanted.instances, wanted.classes, offsets
            )
        return loss

    def _of_tokens(self, logits: Tensor, batch: TrainingBatch) -> Tensor:
        config, known = self.config, batch.known
        if self._head_sizes:
            return heads_loss(
                logits,
                batch.targets,
                _of_heads(self._weights, batch),
                self._head_sizes,
                **self._of_each_token,
            )
        weights = self._weights
        if self._classes is not None:
            weights = weights * class_weights(self._classes, batch.targets, config.class_balancing)
        return token_loss(
            logits if known is None else known.logits(logits),
            batch.targets,
            weights if known is None else weights[batch.targets] * known.weights,
            **self._of_each_token,
            neighbours=self._neighbours,
            ordinal_label_smoothing=config.ordinal_label_smoothing,
        )


def _of_heads(weights: Tensor, batch: TrainingBatch) -> Tensor:
    """Weights (K, V) of token ids, or (B, K, L) of targets where some of these do not count."""
    if batch.known is None:
        return weights
    each = [weights[k][batch.targets[:, k]] for k in range(len(weights))]
    return torch.stack(each, dim=1) * batch.known.weights


def dense_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """Mean cross-entropy of pixels that count, 0 where none does.

    Parameters
    ----------
    logits : (B, N, C + 1, S, S) tensor
        Logits of the dense head.
    classes : (B, N, S, S) uint8 tensor
        Class ids, `IGNORED` where pixels do not count.
    """
    logits, wanted = logits.flatten(0, 1).float(), classes.flatten(0, 1).long()
    total = F.cross_entropy(logits, wanted, ignore_index=IGNORED, reduction="sum")
    counts = mean_over_processes((wanted != IGNORED).sum().float())  # as in `token_loss`
    return total / counts.clamp_min(1e-9)


def affinity_loss(
    logits: Tensor, instances: Tensor, classes: Tensor, offsets: Sequence[tuple[int, int]]
) -> Tensor:
    """How badly affinities say whether two mask pixels belong to the same object.

    The mean cross-entropy of all pairs, and one minus the Dice coefficient of the pairs that do not
    belong together, the mean over the offsets: there are few, and they are what parts objects.
    Pairs of background do not count. For each offset, pairs that do not belong together weigh more
    in the cross-entropy where they are rarer than the others, by the root of the share and at most
    √5.

    Parameters
    ----------
    logits : (B, K, S, S) tensor
        Log odds for each offset, at its first pixel.
    instances, classes : (B, 1, S, S) tensor
        Ids of objects, and class ids with `IGNORED` where pixels do not count.
    offsets : sequence of (int, int)
        Rows and columns from the first pixel of a pair to the second.
    """
    ids, known = instances[:, 0], classes[:, 0] != IGNORED
    sums = []
    for k, offset in enumerate(offsets):
        here, there = pair_slices(ids.shape[-2:], offset)
        first, second = ids[:, *here], ids[:, *there]
        same = (first == second).float()
        counts = (known[:, *here] & known[:, *there] & ((first > 0) | (second > 0))).float()
        joined, parted = same * counts, (1 - same) * counts
        own = logits[:, k, *here].float()
        losses = F.binary_cross_entropy_with_logits(own, same, reduction="none")
        said = torch.sigmoid(-own) * counts
        of_pairs = joined, parted, losses * joined, losses * parted, said, said * parted
        sums.append(torch.stack([part.sum() for part in of_pairs]))
    # over all processes, as they are no means of what each would find
    totals = n_processes() * mean_over_processes(torch.stack(sums))
    n_joined, n_parted, of_joined, of_parted, said, both = totals.unbind(1)
    share = (n_joined / n_parted.clamp_min(1)).clamp(0.2, 5).sqrt()
    total, weight = of_joined + share * of_parted, n_joined + share * n_parted
    apart = 1 - (2 * both + 1) / (n_parted + said + 1)
    return total.sum() / weight.sum().clamp_min(1) + apart.mean()


def token_classes(tokenizer: Tokenizer) -> Tensor:
    """The symbol of each token, (V,) int64 from 1; 0 for tokens without a symbol."""
    vocab = tokenizer.vocab
    symbols = torch.zeros(vocab.size, dtype=torch.int64)
    parts: list[tuple[int, int, int]] = []  # offset, size, ids of one symbol
    for field, offset in tokenizer.columns:
        if isinstance(field, LengthSymbol):
            parts.append((offset, field.n_values, field.max_length))
        elif isinstance(field, Symbol):
            parts.append((offset, field.n_values, 1))
    if vocab.label is not None:
        parts.append((vocab.label_offset, vocab.label.n_values, 1))
    for offset, size, each in parts:
        symbols[offset : offset + size] = 1 + torch.arange(size) // each
    return symbols


def class_weights(classes: Tensor, targets: Tensor, power: float) -> Tensor:
    """Weight of each token that balances symbols, however often they occur in a batch.

    Parameters
    ----------
    classes : (V,) int64 tensor
        The symbol of each token; tokens without one (0) weigh 1.
    targets : (B, L) int64 tensor
        Tokens of the batch.
    power : float
        0 to 1: with 0 each token weighs 1, with 1 all symbols that occur have equal total weights.

    Returns
    -------
    (V,) float32 tensor
    """
    symbols = classes[targets]
    n_symbols = int(classes.max()) + 1
    counts = torch.zeros(n_symbols, device=classes.device).index_add_(
        0, symbols.flatten(), torch.ones(symbols.numel(), device=classes.device)
    )
    counts = mean_over_processes(counts)
    occurs = counts > 0
    occurs[0] = False
    typical = counts[1:].sum() / occurs.sum().clamp_min(1)
    weights = torch.where(occurs, (typical / counts.clamp_min(1e-9)) ** power, 1.0)
    return weights[classes]


def token_neighbours(model: ModelConfig) -> Tensor:
    """Tokens that mean nearly the same as each token, (V, 4) int64; -1 where there are fewer.

    For a length one more and one less; for a start the mask pixels around it.
    """
    found = torch.full((model.tokens.vocab_size, 4), -1)
    for offset, size in model.tokens.ordinal_ranges:
        ids = torch.arange(offset, offset + size)
        found[ids[1:], 0], found[ids[:-1], 1] = ids[:-1], ids[1:]
    grid = model.tokens.grid
    if grid is not None and grid.start == "coords":
        ids = torch.arange(grid.offset, grid.offset + grid.n_ids)
        found[ids[1:], 0], found[ids[:-1], 1] = ids[:-1], ids[1:]
    if grid is not None and grid.start == "flat":
        shape = (grid.n_frames, grid.rows, grid.cols)
        ids = torch.arange(grid.offset, grid.offset + grid.size)
        in_order_f = grid.order == "F"  # of each frame, columns above one another
        ids = ids.view(shape[::-1]).permute(2, 0, 1) if in_order_f else ids.view(shape)
        found[ids[:, :, 1:], 0], found[ids[:, :, :-1], 1] = ids[:, :, :-1], ids[:, :, 1:]
        found[ids[:, 1:], 2], found[ids[:, :-1], 3] = ids[:, :-1], ids[:, 1:]
    return found
