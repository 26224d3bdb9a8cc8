"""Where the tokens of windows come from: decoded, with or without drafts, or the dense head."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from rleseg_core.data import Window
from rleseg_core.decoding import DecodedSequence, GrammarTables, Sampling, decode_sequences
from rleseg_core.errors import SchemeError
from rleseg_core.inference.options import DraftSource
from rleseg_core.model import Memory, Pix2Seq
from rleseg_core.tokens import Draft, Tokenizer

Batch = tuple[Sequence[Window], Tensor]
"""Windows and their images, (B, N, 3, P, P)."""


class TokenSource:
    """Gives the token sequences of windows.

    Parameters
    ----------
    model : Pix2Seq
        In evaluation mode.
    tokenizer : Tokenizer
        Tokenizer of the model.
    tables : GrammarTables
        Its grammar on the model's device.
    dtype : torch.dtype
        Precision of the computation.
    """

    def __init__(
        self, model: Pix2Seq, tokenizer: Tokenizer, tables: GrammarTables, dtype: torch.dtype
    ) -> None:
        self._model, self._tokenizer, self._tables = model, tokenizer, tables
        self._dtype = dtype

    def encode(self, images: Tensor) -> Memory:
        """Memory of windows (B, N, 3, P, P), in the decoder's precision."""
        device = next(self._model.parameters()).device
        with torch.autocast(device.type, self._dtype, enabled=self._dtype != torch.float32):
            memory = self._model.encode(images.to(device))
        return memory.to(self._dtype)

    def dense_masks(self, memory: Memory) -> np.ndarray:
        """Masks of the dense head, (B, N, S, S) class ids.

        Raises
        ------
        SchemeError
            If the model has no such head, or its scheme has instances, which the head cannot tell
            apart.
        """
        if self._tokenizer.scheme.blocks == "instance":
            raise SchemeError(
                "the dense head sees classes, and this model segments instances; use neither a "
                "preview nor dense drafts"
            )
        logits = self._model.dense_logits(memory)
        return logits.argmax(dim=2).to(torch.uint8).cpu().numpy()

    def preview(self, batches: Iterable[Batch]) -> Iterator[DecodedSequence]:
        """Tokens of the dense head's masks, without a pass of the decoder.

        Log-probabilities are 0.
        """
        index = 0
        for _, images in batches:
            with torch.inference_mode():
                masks = self.dense_masks(self.encode(images))
            for mask in masks:
                tokens = self._encode_mask(mask)
                yield DecodedSequence(index, tokens, np.zeros(tokens.shape, np.float32), 0)
                index += 1

    def decode(
        self,
        batches: Iterable[Batch],
        n_slots: int,
        sampling: Sampling,
        draft: DraftSource,
    ) -> Iterator[DecodedSequence]:
        """Token sequences of windows in their order.

        Parameters
        ----------
        batches : iterable of (B windows, (B, N, 3, P, P) tensor)
            Windows and their images.
        n_slots : int
            How many are decoded at once.
        sampling : Sampling
            How tokens are chosen.
        draft : {'none', 'frame', 'dense'}
            Where drafts come from: nowhere, the frame before, or the dense head's mask.
        """
        decoded: dict[int, DecodedSequence] = {}
        dense: dict[int, np.ndarray] = {}  # masks by window
        before: list[int] = []  # for each window, the last earlier one of the same place, or -1
        latest: dict[tuple[tuple[int, int], tuple[int, int]], int] = {}

        def encoded() -> Iterator[Memory]:
            n_encoded = 0
            for windows, images in batches:
                for index, window in enumerate(windows, start=n_encoded):
                    before.append(latest.get((window.rows, window.cols), -1))
                    latest[window.rows, window.cols] = index
                memory = self.encode(images)
                if draft == "dense":
                    dense.update(enumerate(self.dense_masks(memory), start=n_encoded))
                n_encoded += len(images)
                yield memory

        def from_frame(index: int) -> Draft | None:
            earlier = decoded.get(before[index])
            return None if earlier is None else Draft(self._tokenizer, earlier.tokens)

        def from_dense(index: int) -> Draft | None:
            return Draft(self._tokenizer, self._encode_mask(dense[index]))

        drafts: dict[DraftSource, Callable[[int], Draft | None] | None]
        drafts = {"none": None, "frame": from_frame, "dense": from_dense}
        sequences = decode_sequences(
            self._model,
            encoded(),
            self._tables,
            max_tokens=self._model.config.tokens.max_tokens,
            sampling=sampling,
            n_slots=n_slots,
            drafts=drafts[draft],
        )
        n_returned = 0
        for sequence in sequences:
            decoded[sequence.index] = sequence
            dense.pop(sequence.index, None)
            while n_returned in decoded:
                yield decoded[n_returned]
                decoded.pop(before[n_returned], None)  # no later window needs it
                n_returned += 1

    def nothing(self) -> DecodedSequence:
        """The sequence of a window in which there is nothing."""
        spec = self._tokenizer.spec
        nothing = np.zeros((spec.n_frames, *spec.size), np.uint8)
        tokens = self._tokenizer.encode(nothing, nothing)  # neither classes nor instances
        return DecodedSequence(0, tokens, np.zeros(tokens.shape, np.float32), 0)

    def _encode_mask(self, mask: np.ndarray) -> np.ndarray:
        """Tokens of a mask (N, S, S), as many as the model could decode."""
        return self._tokenizer.encode(mask, budget=self._model.config.tokens.max_tokens)
