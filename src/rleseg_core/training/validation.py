"""Validation on held-out windows: masks are decoded and scored."""

from collections.abc import Sequence

import numpy as np
import torch

from rleseg_core.data import SampleBatch
from rleseg_core.decoding import generate_tokens
from rleseg_core.evaluation.scores import Scores, confusion_matrix, score
from rleseg_core.model import Pix2Seq
from rleseg_core.tokens import Tokenizer
from rleseg_core.training.batch import images_on


def validate(
    model: Pix2Seq, tokenizer: Tokenizer, batches: Sequence[SampleBatch], device: torch.device
) -> Scores:
    """Scores of the masks that a model decodes greedily for held-out windows.

    The published validation feeds the model the truth and keeps dropout on; this one decodes as
    inference does. Scores are at mask resolution.

    Parameters
    ----------
    model : Pix2Seq
        The model; it keeps its mode.
    tokenizer : Tokenizer
        Tokenizer of the model.
    batches : sequence of SampleBatch
        Windows and their true masks.
    device : torch.device
        Device of the model.

    Returns
    -------
    Scores
        Pooled over all pixels of all windows.
    """
    n_classes = tokenizer.spec.n_classes
    confusion = np.zeros((n_classes + 1, n_classes + 1), np.int64)
    tables = tokenizer.grammar.on(device)
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            for batch in batches:
                memory = model.encode(images_on(batch.images, device))
                sequences = generate_tokens(
                    model, memory, tables, max_tokens=model.config.tokens.max_tokens
                )
                for truth, tokens in zip(batch.classes, sequences, strict=True):
                    predicted = tokenizer.decode(tokens).classes
                    confusion += confusion_matrix(truth, predicted, n_classes)
    finally:
        model.train(was_training)
    return score(confusion, tokenizer.spec.class_names)
