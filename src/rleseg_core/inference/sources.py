"""Where the tokens of windows come from: written, with drafts to help, or read off at once."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from rleseg_core.data import Window
from rleseg_core.decoding import DecodedSequence, GrammarTables, Sampling, decode_sequences
from rleseg_core.errors import SchemeError
from rleseg_core.model import Memory, Pix2Seq
from rleseg_core.tokens import Draft, Tokenizer

DraftSource = Literal["none", "frame", "dense"]


class TokenSource:
    """Gives the token sequences of windows.

    Parameters
    ----------
    model : Pix2Seq
        In evaluation mode.
    tokenizer : Tokenizer
        Of the model.
    tables : GrammarTables
        Its grammar on the model's device.
    dtype : torch.dtype
        In which the model computes.
    """

    def __init__(
        self, model: Pix2Seq, tokenizer: Tokenizer, tables: GrammarTables, dtype: torch.dtype
    ) -> None:
        self._model, self._tokenizer, self._tables = model, tokenizer, tables
        self._dtype = dtype

    def encode(self, images: Tensor) -> Memory:
        """What the decoder needs of windows (B, N, 3, P, P), in the decoder's precision."""
        device = next(self._model.parameters()).device
        with torch.autocast(device.type, self._dtype, enabled=self._dtype != torch.float32):
            memory = self._model.encode(images.to(device))
        return memory.to(self._dtype)

    def dense_masks(self, memory: Memory) -> np.ndarray:
        """What the dense head takes for the masks, (B, N, S, S) class ids.

        Raises
        ------
        SchemeError
            If the model has no such head, or its scheme writes instances, of which it knows none.
        """
        if self._tokenizer.scheme.blocks == "instance":
            raise SchemeError(
                "the dense head tells classes, not instances, which this model writes; write its "
                "tokens instead"
            )
        logits = self._model.dense_logits(memory)
        return logits.argmax(dim=2).to(torch.uint8).cpu().numpy()

    def read_off(self, batches: Iterable[Tensor]) -> Iterator[DecodedSequence]:
        """The tokens of the dense head's masks: a preview that takes no step of the decoder.

        Log-probabilities are 0.
        """
        index = 0
        for images in batches:
            with torch.inference_mode():
                masks = self.dense_masks(self.encode(images))
            for mask in masks:
                tokens = self._tokenizer.encode(mask, budget=self._model.config.max_tokens)
                yield DecodedSequence(index, tokens, np.zeros(len(tokens), np.float32), 0)
                index += 1

    def write(
        self,
        batches: Iterable[Tensor],
        windows: Sequence[Window],
        n_slots: int,
        sampling: Sampling,
        draft: DraftSource,
    ) -> Iterator[DecodedSequence]:
        """Token sequences of windows in their order.

        Parameters
        ----------
        batches : iterable of (B, N, 3, P, P) tensor
            The windows' images.
        windows : sequence of Window
            Where they lie.
        n_slots : int
            How many are written at once.
        sampling : Sampling
            How tokens are chosen.
        draft : {'none', 'frame', 'dense'}
            What is a guess of a window's tokens: those of the frame before, or those of the dense
            head's mask.
        """
        written: dict[int, DecodedSequence] = {}
        seen: dict[int, np.ndarray] = {}  # by the dense head
        before = _window_before(windows)

        def encoded() -> Iterator[Memory]:
            n_seen = 0
            for images in batches:
                memory = self.encode(images)
                if draft == "dense":
                    seen.update(enumerate(self.dense_masks(memory), start=n_seen))
                n_seen += len(images)
                yield memory

        def of_frame(index: int) -> Draft | None:
            earlier = written.get(before[index])
            return None if earlier is None else Draft(self._tokenizer, earlier.tokens)

        def of_dense(index: int) -> Draft | None:
            tokens = self._tokenizer.encode(seen[index], budget=self._model.config.max_tokens)
            return Draft(self._tokenizer, tokens)

        sequences = decode_sequences(
            self._model,
            encoded(),
            self._tables,
            max_tokens=self._model.config.max_tokens,
            sampling=sampling,
            n_slots=n_slots,
            drafts={"none": None, "frame": of_frame, "dense": of_dense}[draft],
        )
        n_given = 0
        for one in sequences:
            written[one.index] = one
            seen.pop(one.index, None)
            while n_given in written:
                yield written[n_given]
                written.pop(before[n_given], None)  # no later window asks for it
                n_given += 1


def _window_before(windows: Sequence[Window]) -> list[int]:
    """For each window the last one before at the same place; -1 for none."""
    latest: dict[tuple[tuple[int, int], tuple[int, int]], int] = {}
    before = []
    for index, window in enumerate(windows):
        before.append(latest.get((window.rows, window.cols), -1))
        latest[window.rows, window.cols] = index
    return before
