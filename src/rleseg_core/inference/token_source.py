"""Where the tokens of windows come from: decoded, with or without drafts, or the dense head."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from rleseg_core.data import Window
from rleseg_core.decoding import (
    DecodedSequence,
    GrammarTables,
    Sampling,
    check_objects,
    decode_sequences,
)
from rleseg_core.inference.dense_objects import objects_of_windows
from rleseg_core.inference.memories import Encode
from rleseg_core.inference.options import DraftSource
from rleseg_core.inference.precision import NumberFormats
from rleseg_core.model import Memory, Pix2Seq
from rleseg_core.tokens import Draft, Tokenizer
from rleseg_core.tokens.object_order import by_first_pixel

Guess = Callable[[Window], tuple[np.ndarray, np.ndarray]]
"""Classes and ids, each (N, S, S), that a window may hold."""


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
    formats : NumberFormats
        In which the model computes.
    """

    def __init__(
        self, model: Pix2Seq, tokenizer: Tokenizer, tables: GrammarTables, formats: NumberFormats
    ) -> None:
        self._model, self._tokenizer, self._tables = model, tokenizer, tables
        self._formats = formats

    def encode(self, images: Tensor) -> Memory:
        """Memory of windows (B, N, 3, P, P), in the decoder's precision."""
        device, (encoder, decoder) = next(self._model.parameters()).device, self._formats
        with torch.autocast(device.type, encoder, enabled=encoder != torch.float32):
            memory = self._model.encode(images.to(device))
        return memory.to(decoder)

    def dense_tokens(
        self,
        windows: Sequence[Window],
        memory: Memory | None,
        guess: Guess | None,
        budget: int | None,
    ) -> list[np.ndarray]:
        """Tokens (L,) of what the dense heads see in windows.

        Parameters
        ----------
        windows : sequence of Window
            The windows.
        memory : Memory or None
            What is computed of them; not needed with `guess`.
        guess : callable or None
            Their objects in whole frames, for instance-wise models; None: each window by itself.
        budget : int or None
            Most tokens of a window; None: as many as there are.

        Raises
        ------
        SchemeError
            If the model has no such heads.
        """
        if self._tokenizer.scheme.blocks != "instance":
            assert memory is not None
            masks = self._model.dense_logits(memory).argmax(dim=2).to(torch.uint8).cpu().numpy()
            return [self._encode_mask(budget, mask) for mask in masks]
        if guess is not None:
            return [self._encode_mask(budget, *guess(window)) for window in windows]
        assert memory is not None
        found = objects_of_windows(self._model, memory)
        return [self._encode_mask(budget, *objects) for objects in found]

    def preview(
        self, batches: Iterable[Sequence[Window]], encode: Encode, guess: Guess | None = None
    ) -> Iterator[DecodedSequence]:
        """Tokens of what the dense heads see, without a pass of the decoder.

        Log-probabilities are not known, nan. `encode` is not called where there is a `guess`.
        """
        index = 0
        for windows in batches:
            with torch.inference_mode():
                memory = encode(windows) if guess is None else None
                drafted = self.dense_tokens(windows, memory, guess, None)
            for tokens in drafted:
                unknown = np.full(tokens.shape, np.nan, np.float32)
                yield DecodedSequence(index, tokens, unknown, 0)
                index += 1

    def decode(
        self,
        batches: Iterable[Sequence[Window]],
        encode: Encode,
        n_slots: int,
        sampling: Sampling,
        draft: DraftSource,
        guess: Guess | None = None,
    ) -> Iterator[DecodedSequence]:
        """Token sequences of windows in their order.

        Parameters
        ----------
        batches : iterable of sequence of Window
            Windows that are encoded together.
        encode : callable
            Their memory.
        n_slots : int
            How many are decoded at once.
        sampling : Sampling
            How tokens are chosen.
        draft : {'none', 'frame', 'dense'}
            Where drafts come from: nowhere, the frame before, or the dense heads.
        guess : callable, optional
            As for `dense_tokens`.

        With a leniency, drafts of objects are read as a whole: see `check_objects`.
        """
        if draft == "dense" and sampling.leniency and self._tokenizer.scheme.blocks == "instance":
            yield from self._checked(batches, encode, sampling.leniency, guess)
            return
        max_tokens = self._model.config.tokens.max_tokens
        decoded: dict[int, DecodedSequence] = {}
        dense: dict[int, np.ndarray] = {}  # tokens by window
        before: list[int] = []  # for each window, the last earlier one of the same place, or -1
        latest: dict[tuple[tuple[int, int], tuple[int, int]], int] = {}

        def encoded() -> Iterator[Memory]:
            n_encoded = 0
            for windows in batches:
                for index, window in enumerate(windows, start=n_encoded):
                    before.append(latest.get((window.rows, window.cols), -1))
                    latest[window.rows, window.cols] = index
                memory = encode(windows)
                if draft == "dense":
                    drafted = self.dense_tokens(windows, memory, guess, max_tokens)
                    dense.update(enumerate(drafted, start=n_encoded))
                n_encoded += len(windows)
                yield memory

        def from_frame(index: int) -> Draft | None:
            earlier = decoded.get(before[index])
            return None if earlier is None else Draft(self._tokenizer, earlier.tokens)

        def from_dense(index: int) -> Draft | None:
            return Draft(self._tokenizer, dense[index])

        drafts: dict[DraftSource, Callable[[int], Draft | None] | None]
        drafts = {"none": None, "frame": from_frame, "dense": from_dense}
        sequences = decode_sequences(
            self._model,
            encoded(),
            self._tables,
            max_tokens=max_tokens,
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

    def _checked(
        self,
        batches: Iterable[Sequence[Window]],
        encode: Encode,
        leniency: float,
        guess: Guess | None,
    ) -> Iterator[DecodedSequence]:
        """What the dense heads see, without the objects that the tokens do not see.

        Objects beyond the tokens that the model can read stay; their log-probabilities are nan.
        """
        max_tokens, vocab = self._model.config.tokens.max_tokens, self._tokenizer.vocab
        assert vocab.label is not None
        closing = range(vocab.label_offset, vocab.label_offset + vocab.label.n_values)
        unread: deque[np.ndarray] = deque()

        def drafts() -> Iterator[tuple[Memory, list[np.ndarray]]]:
            for windows in batches:
                memory, read = encode(windows), []
                for tokens in self.dense_tokens(windows, memory, guess, None):
                    end = _end_of_objects(tokens, closing, max_tokens - 1)
                    read.append(np.append(tokens[:end], vocab.eos))
                    unread.append(tokens[end:-1])
                yield memory, read

        for found in check_objects(
            self._model, drafts(), self._tables, closing=closing, leniency=leniency
        ):
            if not (rest := unread.popleft()).size:
                yield found
                continue
            unknown = np.full(rest.shape, np.nan, np.float32)
            tokens = np.concatenate((found.tokens[:-1], rest, found.tokens[-1:]))
            logprobs = np.concatenate((found.logprobs[:-1], unknown, found.logprobs[-1:]))
            yield replace(found, tokens=tokens, logprobs=logprobs)

    def nothing(self) -> DecodedSequence:
        """The sequence of a window in which there is nothing."""
        spec = self._tokenizer.spec
        nothing = np.zeros((spec.n_frames, *spec.size), np.uint8)
        tokens = self._tokenizer.encode(nothing, nothing)  # neither classes nor instances
        return DecodedSequence(0, tokens, np.zeros(tokens.shape, np.float32), 0)

    def _encode_mask(
        self, budget: int | None, mask: np.ndarray, ids: np.ndarray | None = None
    ) -> np.ndarray:
        """Tokens of a mask (N, S, S) and its objects, at most `budget` of them."""
        if ids is not None:
            order = self._tokenizer.scheme.order
            ids = by_first_pixel(torch.from_numpy(ids)[None], order)[0].numpy()
        return self._tokenizer.encode(mask, ids, budget=budget)


def _end_of_objects(tokens: np.ndarray, closing: range, most: int) -> int:
    """Where the last object ends that lies within so many tokens, of objects and then eos."""
    if len(tokens) - 1 <= most:
        return len(tokens) - 1
    closed = (tokens[:most] >= closing.start) & (tokens[:most] < closing.stop)
    return int(np.nonzero(closed)[0].max(initial=-1)) + 1
