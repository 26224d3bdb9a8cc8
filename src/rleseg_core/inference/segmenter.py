"""A model ready to segment: the façade a GUI, a script or the command line holds."""

import logging
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self, cast

import numpy as np
import torch

from rleseg_core.checkpoints.build import build_model, build_tokenizer
from rleseg_core.checkpoints.file import ModelInfo, find_model, load_checkpoint
from rleseg_core.data import ImageStack, Window, WindowReader, plan_windows, upsample_labels
from rleseg_core.data.windows import resized_shape
from rleseg_core.decoding import DecodedSequence, Sampling, generate
from rleseg_core.devices import choose_device, free_memory, is_out_of_memory, release_memory
from rleseg_core.errors import BudgetError, DataError
from rleseg_core.inference.sources import DraftSource, TokenSource
from rleseg_core.inference.stitch import Stitcher, StitchRule
from rleseg_core.model import Pix2Seq
from rleseg_core.spec import WindowSpec
from rleseg_core.tokens import Event

logger = logging.getLogger(__name__)
GREEDY = Sampling()


@dataclass(frozen=True, kw_only=True)
class WindowResult:
    """What came out of one window.

    Parameters
    ----------
    window : Window
        Where it was read, in resized pixels.
    frames : tuple of int
        Those of its frames in the stack that are to be segmented.
    rows, cols : slice
        Its part of the frame, in source pixels.
    labels : (n, h, w) uint8
        Stitched class ids there, one for each of `frames`, after this window; 0 = background.
    tokens : (L,) int32
        The sequence the model wrote, ending in eos unless it ran out of room.
    logprobs : (L,) float32
        Log-probability of each token among those that could follow; `confidences` makes those of
        runs, objects and pixels of them.
    n_done, n_windows : int
        Windows done so far, and in all.
    seconds : float
        Time that a window took so far, on average.
    batch_size : int
        Windows that were written together (smaller after memory ran out).
    """

    window: Window
    frames: tuple[int, ...]
    rows: slice
    cols: slice
    labels: np.ndarray
    tokens: np.ndarray
    logprobs: np.ndarray
    n_done: int
    n_windows: int
    seconds: float
    batch_size: int


class Segmenter:
    """Segments stacks with one model on one device.

    Parameters
    ----------
    info : ModelInfo
        Header of the model.
    model : Pix2Seq
        With its weights.
    device : str
        'auto', 'cpu', 'cuda', 'cuda:1', 'mps', …
    precision : {'auto', 'fp32', 'bf16'}
        Of the numbers it computes with; auto: bf16 on GPUs that have it.
    """

    def __init__(
        self,
        info: ModelInfo,
        model: Pix2Seq,
        device: str = "auto",
        precision: Literal["auto", "fp32", "bf16"] = "auto",
    ) -> None:
        self.info = info
        self.device = choose_device(device)
        self.model = model.to(self.device).eval()
        if precision == "auto":
            has_bf16 = self.device.type == "cuda" and torch.cuda.is_bf16_supported()
            precision = "bf16" if has_bf16 else "fp32"
        self._dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self.model.decoder.to(self._dtype)
        self.tokenizer = build_tokenizer(info)
        self._tables = self.tokenizer.grammar.on(self.device)
        self._source = TokenSource(self.model, self.tokenizer, self._tables, self._dtype)

    @classmethod
    def from_checkpoint(
        cls,
        model: str | Path,
        device: str = "auto",
        precision: Literal["auto", "fp32", "bf16"] = "auto",
    ) -> Self:
        """Segmenter with a model file, given by path or by the name of an installed model.

        Raises
        ------
        CheckpointError
            If there is no such file, or it is not a model.
        """
        checkpoint = load_checkpoint(find_model(model))
        weights = build_model(checkpoint.info, checkpoint.weights)
        return cls(checkpoint.info, weights, device, precision)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the foreground classes; class id k is ``class_names[k - 1]``."""
        return self.info.mask_spec.class_names

    def predict(
        self,
        stack: ImageStack,
        *,
        frames: Sequence[int] | None = None,
        stitch: StitchRule = "centre",
        sampling: Sampling = GREEDY,
        batch_size: int | None = None,
        image_size: int | None = None,
        draft: DraftSource = "none",
        preview: bool = False,
        out: np.ndarray | None = None,
    ) -> Generator[WindowResult, None, np.ndarray]:
        """Segment a stack window by window.

        Parameters
        ----------
        stack : ImageStack
            Read lazily, one frame at a time.
        frames : sequence of int, optional
            Frames to segment, all by default; windows may look at others too.
        stitch : {'centre', 'last', 'vote'}
            What counts where windows overlap; see `Stitcher`.
        sampling : Sampling
            Greedy by default.
        batch_size : int, optional
            Windows at once; by default as many as fit into a part of the free memory.
        image_size : int, optional
            I, the longer side of a frame after resizing, instead of the model's own: for images in
            which objects are larger or smaller than in those it was trained on.
        draft : {'none', 'frame', 'dense'}
            What is a guess of a window's tokens: those of the frame before, or what the dense head
            sees. It is checked many tokens at a pass of the decoder. The masks are the same (in
            bf16 but for its rounding); where the guess is good there are far fewer passes, which
            pays for large models and single windows.
        preview : bool
            Take what the dense head sees for the masks, and write no tokens: much faster, and a
            little worse.
        out : (T, Y, X) integer array, optional
            Where the labels go (a numpy or zarr array); frames that are not segmented stay as they
            are. A new uint8 array by default.

        Yields
        ------
        WindowResult
            As soon as it and those before it are done; closing the generator cancels.

        Returns
        -------
        (T, Y, X) array
            Class ids in source pixels.

        Raises
        ------
        DataError
            If a frame is out of range, or `out` has another shape.
        BudgetError
            If memory does not suffice for a single window.
        SchemeError
            If the dense head is asked for and the model has none.
        """
        n_stack, height, width = stack.shape[:3]
        chosen = self._check_frames(frames, n_stack)
        labels = np.zeros((n_stack, height, width), np.uint8) if out is None else out
        if labels.shape != (n_stack, height, width):
            raise DataError(
                f"the labels are {labels.shape}, the stack is {(n_stack, height, width)}; "
                "both must be (T, Y, X)"
            )
        spec = self.window_spec(image_size)
        windows = [
            window
            for window in plan_windows(stack.shape, spec)
            if not chosen.isdisjoint(range(*window.frames))
        ]
        reader = WindowReader(stack, spec)
        stitcher = Stitcher(labels, len(self.class_names), stitch)
        size = batch_size or self._fitting_batch()
        n_done, started = 0, time.perf_counter()
        while n_done < len(windows):
            rest = windows[n_done:]
            try:
                for written in self._written(reader, rest, size, sampling, draft, preview):
                    window = windows[n_done]
                    n_done += 1
                    rows, cols, merged = self._stitch(
                        stitcher, window, written.tokens, stack.shape, spec, chosen
                    )
                    yield WindowResult(
                        window=window,
                        frames=tuple(f for f in range(*window.frames) if f in chosen),
                        rows=rows,
                        cols=cols,
                        labels=merged,
                        tokens=written.tokens.astype(np.int32),
                        logprobs=written.logprobs,
                        n_done=n_done,
                        n_windows=len(windows),
                        seconds=(time.perf_counter() - started) / n_done,
                        batch_size=min(size, len(rest)),
                    )
                    if n_done < len(windows):
                        stitcher.close_before(windows[n_done].frames[0])
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                size = self._smaller_batch(min(size, len(rest)), error)
        return labels

    def window_spec(self, image_size: int | None = None) -> WindowSpec:
        """The model's windows, with another image size I if one is given."""
        spec = self.info.window_spec
        return spec if image_size is None else replace(spec, image_size=image_size)

    def trace(
        self,
        stack: ImageStack,
        window: Window,
        sampling: Sampling = GREEDY,
        image_size: int | None = None,
    ) -> Iterator[Event]:
        """Events of one window, each as soon as the model has written its tokens.

        Parameters
        ----------
        stack : ImageStack
            The images.
        window : Window
            One of `plan_windows` for ``window_spec(image_size)``.
        sampling : Sampling
            Greedy by default.
        image_size : int, optional
            As of `predict`.
        """
        reader = WindowReader(stack, self.window_spec(image_size))
        return self.tokenizer.events(self._live_tokens(reader, window, sampling))

    @torch.inference_mode()  # around each step only: the caller's thread goes on as it was
    def _live_tokens(
        self, reader: WindowReader, window: Window, sampling: Sampling
    ) -> Iterator[int]:
        images = reader.read(window)
        memory = self._source.encode(torch.from_numpy(images)[None])
        steps = generate(
            self.model,
            memory,
            self._tables,
            max_tokens=self.model.config.max_tokens,
            sampling=sampling,
        )
        for step in steps:
            yield cast(int, step.tokens[0].tolist())  # of several heads, a list of one of each

    def _written(
        self,
        reader: WindowReader,
        windows: Sequence[Window],
        size: int,
        sampling: Sampling,
        draft: DraftSource,
        preview: bool,
    ) -> Iterator[DecodedSequence]:
        """Token sequences of windows in their order; `size` of them at once."""

        def batches() -> Iterator[torch.Tensor]:
            for first in range(0, len(windows), size):
                batch = windows[first : first + size]
                yield torch.from_numpy(np.stack([reader.read(window) for window in batch]))

        if preview:
            return self._source.read_off(batches())
        n_slots = min(size, len(windows))
        return self._source.write(batches(), windows, n_slots, sampling, draft)

    def _stitch(
        self,
        stitcher: Stitcher,
        window: Window,
        tokens: np.ndarray,
        shape: tuple[int, ...],
        spec: WindowSpec,
        chosen: set[int],
    ) -> tuple[slice, slice, np.ndarray]:
        """Decode a window, bring its mask to source pixels, and stitch it."""
        rows, cols, covered = source_rectangle(window, shape, spec)
        patch = spec.patch
        masks = upsample_labels(
            self.tokenizer.decode(tokens).classes, (patch, patch), rule="smooth"
        )
        masks = masks[:, : covered[0], : covered[1]]
        size = (rows.stop - rows.start, cols.stop - cols.start)
        if masks.shape[1:] != size:
            masks = upsample_labels(masks, size, rule="nearest")
        merged = [
            stitcher.add(frame, rows, cols, mask)
            for frame, mask in zip(range(*window.frames), masks, strict=True)
            if frame in chosen
        ]
        return rows, cols, np.stack(merged)

    def _fitting_batch(self) -> int:
        """Windows whose decoding fits into a tenth (GPU: half) of the free memory."""
        config, spec = self.model.config, self.info.window_spec
        elements = (
            64 * 3 * spec.patch**2 * spec.n_frames
        )  # activations of the backbone, at their widest
        elements += 4 * config.max_tokens * config.vocab_size // 64
        elements += 4 * config.max_tokens * config.decoder_dim * config.decoder_layers
        share, most = (0.5, 128) if self.device.type == "cuda" else (0.1, 8)
        return int(np.clip(share * free_memory(self.device) / (4 * elements), 1, most))

    def _smaller_batch(self, size: int, error: BaseException) -> int:
        release_memory(self.device)
        if size == 1:
            raise BudgetError(
                f"the memory of {self.device} does not suffice for a single window of "
                f"{self.info.window_spec.patch} pixels; close other programs that use it, or "
                "choose another device or a smaller model"
            ) from error
        logger.warning("out of memory with %d windows at once, going on with %d", size, size // 2)
        return size // 2

    def _check_frames(self, frames: Sequence[int] | None, n_stack: int) -> set[int]:
        chosen = set(range(n_stack)) if frames is None else {int(frame) for frame in frames}
        if not chosen or min(chosen) < 0 or max(chosen) >= n_stack:
            raise DataError(
                f"frames must be from 0 to {n_stack - 1} and at least one, got {sorted(chosen)}"
            )
        return chosen


def source_rectangle(
    window: Window, shape: tuple[int, ...], spec: WindowSpec
) -> tuple[slice, slice, tuple[int, int]]:
    """Part of the source frame that a window covers.

    Parameters
    ----------
    window : Window
        In resized pixels; it may reach beyond a frame smaller than the patch.
    shape : (T, Y, X[, C])
        Of the source stack.
    spec : WindowSpec
        How frames are resized.

    Returns
    -------
    rows, cols : slice
        In source pixels. Neighbouring windows meet without gap or overlap where they do so resized.
    covered : (int, int)
        Rows and columns of the patch that lie inside the frame, in resized pixels.
    """
    sides = resized_shape(shape, spec)
    slices, covered = [], []
    for (start, stop), resized, source in zip(
        (window.rows, window.cols), sides, shape[1:3], strict=True
    ):
        end = min(stop, resized)
        slices.append(slice(round(start * source / resized), round(end * source / resized)))
        covered.append(end - start)
    return slices[0], slices[1], (covered[0], covered[1])
