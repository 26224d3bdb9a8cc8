"""A model ready to segment: the facade that a GUI, a script or the command line holds."""

import time
from collections.abc import Generator, Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Self, Unpack, cast

import numpy as np
import torch

from rleseg_core.checkpoints import (
    ModelInfo,
    build_model,
    build_tokenizer,
    find_model,
    load_checkpoint,
)
from rleseg_core.data import ImageStack, Window, WindowReader
from rleseg_core.decoding import GREEDY, DecodedSequence, Sampling, generate
from rleseg_core.devices import choose_device, is_out_of_memory
from rleseg_core.inference.arrays import choose_arrays, frames_that_end
from rleseg_core.inference.blank import decode_between_blanks, is_blank, windows_of
from rleseg_core.inference.class_outlines import class_outlines
from rleseg_core.inference.dense_objects import FrameObjects, encoder_of, frame_objects
from rleseg_core.inference.follow import FollowsObjects
from rleseg_core.inference.memories import KEPT_BYTES, Encode, WindowMemories
from rleseg_core.inference.memory import fitting_batch_size, smaller_batch_size
from rleseg_core.inference.objects import painter
from rleseg_core.inference.options import DEFAULTS, PredictKeywords, PredictOptions
from rleseg_core.inference.precision import NumberFormats, Precision
from rleseg_core.inference.results import Segmentation, WindowResult
from rleseg_core.inference.scale import Scale, ScaleFinder
from rleseg_core.inference.token_source import TokenSource
from rleseg_core.model import Pix2Seq
from rleseg_core.normalisation import Contrast
from rleseg_core.objects import ObjectTable
from rleseg_core.objects.scale import DiameterEstimate
from rleseg_core.spec import WindowSpec
from rleseg_core.tokens import Event


class Segmenter(FollowsObjects):
    """Segments stacks with one model on one device.

    Parameters
    ----------
    info : ModelInfo
        Header of the model.
    model : Pix2Seq
        The model with its weights. It is copied, and the copy is set to evaluation mode, moved to
        the device and converted; the caller's model stays as it is.
    device : str
        'auto', 'cpu', 'cuda', 'cuda:1', 'mps', …
    precision : {'auto', 'fp32', 'bf16'}
        Precision of the computation; auto: bf16 on GPUs that support it; on CPUs fp32, but for the
        encoder where the processor has units for bf16 (AMX). fp32: the same masks everywhere.
    copy : bool
        False: use `model` itself, which saves the memory of its weights once more; for models that
        nobody else holds.

    Raises
    ------
    RlesegError
        If this machine has no such device.
    """

    def __init__(
        self,
        info: ModelInfo,
        model: Pix2Seq,
        device: str = "auto",
        precision: Precision = "auto",
        *,
        copy: bool = True,
    ) -> None:
        self.info = info
        self.device = choose_device(device)
        formats = NumberFormats.of(precision, self.device)
        self.model = formats.prepare(deepcopy(model) if copy else model, self.device)
        self.tokenizer = build_tokenizer(info)
        self._tables = self.tokenizer.grammar.on(self.device)
        self._source = TokenSource(self.model, self.tokenizer, self._tables, formats)
        self._scales = ScaleFinder(info, self.model, self.tokenizer, self._source)

    @classmethod
    def from_checkpoint(
        cls, model: str | Path, device: str = "auto", precision: Precision = "auto"
    ) -> Self:
        """Segmenter with a model file, given by path or by the name of an installed model.

        Raises
        ------
        CheckpointError
            If there is no such file, or it is not a model.
        """
        checkpoint = load_checkpoint(find_model(model))
        weights = build_model(checkpoint.info, checkpoint.weights)
        return cls(checkpoint.info, weights, device, precision, copy=False)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the foreground classes; class id k is ``class_names[k - 1]``."""
        return self.info.mask_spec.class_names

    def predict(
        self,
        stack: ImageStack,
        options: PredictOptions = DEFAULTS,
        *,
        frames: Sequence[int] | None = None,
        out: np.ndarray | None = None,
        **changes: Unpack[PredictKeywords],
    ) -> Generator[WindowResult, None, np.ndarray]:
        """Segment a stack window by window.

        Parameters
        ----------
        stack : ImageStack
            Read lazily, one frame at a time.
        options : PredictOptions
            How the stack is segmented.
        frames : sequence of int, optional
            Frames to segment, in this order; all by default. Windows may include others too.
        out : (T, Y, X) integer array, optional
            Where the labels go (a numpy or zarr array); frames that are not segmented stay as they
            are. A new uint8 array by default.
        **changes
            Fields of `PredictOptions` that differ from `options`, such as ``stitch="vote"``.

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
        segmentation = yield from self._run(
            stack, replace(options, **changes), frames, out, None, wants_objects=False
        )
        return segmentation.classes

    def segment(
        self,
        stack: ImageStack,
        options: PredictOptions = DEFAULTS,
        *,
        frames: Sequence[int] | None = None,
        classes: np.ndarray | None = None,
        objects: np.ndarray | None = None,
        **changes: Unpack[PredictKeywords],
    ) -> Generator[WindowResult, None, Segmentation]:
        """Find the objects of a stack window by window.

        Models whose tokens tell objects apart give those, joined across windows, and classes follow
        from them. Of others the connected pieces of each class are the objects, in which objects
        that touch are one.

        Parameters
        ----------
        stack, options, frames, **changes
            As for `predict`.
        classes : (T, Y, X) integer array, optional
            Where class ids go (a numpy or zarr array), as `out` of `predict`.
        objects : (T, Y, X) uint32 array, optional
            Where ids of objects go, likewise. If it holds ids in frames that are not segmented,
            they stay, and new ones come after the highest of them.

        Yields
        ------
        WindowResult
            As for `predict`. If the generator is closed, objects are found in what there is of the
            frames that are not done.

        Returns
        -------
        Segmentation
            Classes, ids, and the table of the objects in the frames that were segmented.

        Raises
        ------
        DataError
            If a frame is out of range, `classes` or `objects` has another shape, or `objects` is
            not of 32 bits.
        BudgetError
            If memory does not suffice for a single window.
        SchemeError
            If the dense head is asked for and the model has none.
        """
        run = self._run(
            stack, replace(options, **changes), frames, classes, objects, wants_objects=True
        )
        return (yield from run)

    def _run(
        self,
        stack: ImageStack,
        options: PredictOptions,
        frames: Sequence[int] | None,
        classes: np.ndarray | None,
        objects: np.ndarray | None,
        *,
        wants_objects: bool,
    ) -> Generator[WindowResult, None, Segmentation]:
        shape = stack.shape[:3]
        outputs = choose_arrays(shape, frames, classes, objects, wants_objects=wants_objects)
        spec = self._spec_for(stack, options)
        windows = outputs.windows(windows_of(stack, spec))
        reader = WindowReader(stack, spec)
        memories = WindowMemories(self._source.encode, reader, 0 if options.preview else KEPT_BYTES)
        found = frame_objects(self.model, memories.look, reader, self.info)
        encode = encoder_of(memories, found)
        outlines = class_outlines(self.model, encode, self.tokenizer.scheme, options)
        encode = outlines.encode
        painting = painter(self.tokenizer, self.class_names, outputs, options, found, outlines)
        size = options.batch_size or fitting_batch_size(
            self.model.config, self.info.window_spec, self.device
        )
        last_of = frames_that_end(windows)
        tables: list[ObjectTable] = []
        n_done, started = 0, time.perf_counter()
        try:
            while n_done < len(windows):
                remaining = windows[n_done:]
                size = min(size, len(remaining))
                try:
                    if found is not None:
                        found.batch_size = size
                    sequences = self._decode(reader, remaining, size, options, encode, found)
                    for sequence in sequences:
                        window = windows[n_done]
                        painted = painting.add(reader, window, sequence)
                        tables.append(painting.close(last_of[n_done]))
                        n_done += 1
                        yield WindowResult(
                            window=window,
                            frames=tuple(f for f in range(*window.frames) if f in outputs.frames),
                            **painted._asdict(),
                            finished=tables[-1],
                            tokens=sequence.tokens.astype(np.int32),
                            logprobs=sequence.logprobs,
                            n_done=n_done,
                            n_windows=len(windows),
                            seconds=(time.perf_counter() - started) / n_done,
                            batch_size=size,
                        )
                except (RuntimeError, MemoryError) as error:
                    if not is_out_of_memory(error):
                        raise
                    memories.forget()
                    size = smaller_batch_size(size, self.info.window_spec, self.device, error)
        finally:
            tables.append(painting.close(outputs.frames))
        return outputs.segmentation(ObjectTable.concatenate(tables))

    def window_spec(
        self,
        image_size: int | None = None,
        invert: bool | None = None,
        contrast: Contrast | None = None,
    ) -> WindowSpec:
        """Windows of the model, with what is given in place of its own; see `PredictOptions`."""
        return self.info.window_spec.changed(image_size, invert, contrast)

    def _spec_for(self, stack: ImageStack, options: PredictOptions) -> WindowSpec:
        """Windows of a stack, at the scale at which it is seen."""
        size = self.scale(stack, options).image_size
        return options.in_time(self.window_spec(size, options.invert, options.contrast))

    def scale(
        self,
        stack: ImageStack,
        options: PredictOptions = DEFAULTS,
        **changes: Unpack[PredictKeywords],
    ) -> Scale:
        """The size at which `predict` sees the frames of a stack, which may have to be estimated.

        An estimate takes a few seconds, and is remembered for the stack. Options and errors are
        those of `predict`; a DataError also says that a diameter cannot be used.
        """
        options = replace(options, **changes)
        spec = self.window_spec(options.image_size, options.invert, options.contrast)
        return self._scales.scale(stack, options, spec)

    def estimate_diameter(
        self,
        stack: ImageStack,
        frames: Sequence[int] | None = None,
        *,
        invert: bool | None = None,
        contrast: Contrast | None = None,
    ) -> DiameterEstimate:
        """How wide the objects of a stack are; see `ScaleFinder.estimate`.

        `frames` are those that are looked at, by default up to three; grey values are as in
        `PredictOptions`.
        """
        return self._scales.estimate(stack, self.window_spec(None, invert, contrast), frames)

    def trace(
        self,
        stack: ImageStack,
        window: Window,
        sampling: Sampling = GREEDY,
        image_size: int | None = None,
        *,
        window_spec: WindowSpec | None = None,
    ) -> Iterator[Event]:
        """Events of one window, as its tokens are decoded: those that `segment` gives.

        Models that check drafts of objects decode the whole window first.

        Parameters
        ----------
        stack : ImageStack
            The images.
        window : Window
            One of `plan_windows` for ``window_spec(image_size)``.
        sampling : Sampling
            How tokens are chosen; greedy by default.
        image_size : int, optional
            I in pixels, as in `PredictOptions`.
        window_spec : WindowSpec, optional
            What `Segmenter.window_spec` gives for other grey values as well, in place of the size.
        """
        reader = WindowReader(stack, window_spec or self.window_spec(image_size))
        return self.tokenizer.events(self._live_tokens(reader, window, sampling))

    @torch.inference_mode()  # only while a step is computed: the caller's thread is not changed
    def _live_tokens(
        self, reader: WindowReader, window: Window, sampling: Sampling
    ) -> Iterator[int]:
        memories = WindowMemories(self._source.encode, reader)
        found = frame_objects(self.model, memories.look, reader, self.info)
        if found is not None and sampling.top_p is None:  # the tokens that `segment` gives
            draft, lenient = DEFAULTS.decoding(has_affinities=True)
            encode = encoder_of(memories, found)
            decoded = self._source.decode([[window]], encode, 1, lenient, draft, found.guess)
            for sequence in decoded:
                yield from sequence.tokens.tolist()
            return
        memory = memories.take([window])
        steps = generate(
            self.model,
            memory,
            self._tables,
            max_tokens=self.model.config.tokens.max_tokens,
            sampling=sampling,
        )
        for step in steps:
            yield cast(int, step.tokens[0].tolist())  # of several heads, a list of one of each

    def _decode(
        self,
        reader: WindowReader,
        windows: Sequence[Window],
        size: int,
        options: PredictOptions,
        encode: Encode,
        found: FrameObjects | None,
    ) -> Iterator[DecodedSequence]:
        """Token sequences of windows in their order; `size` of them at once."""

        def batches(seen: Iterator[Window]) -> Iterator[list[Window]]:
            while batch := list(islice(seen, size)):
                yield batch

        draft, sampling = options.decoding(has_affinities=found is not None)
        guess = None if found is None else found.guess

        def decode(seen: Iterator[Window]) -> Iterator[DecodedSequence]:
            if options.preview:
                return self._source.preview(batches(seen), encode, guess)
            return self._source.decode(batches(seen), encode, size, sampling, draft, guess)

        return decode_between_blanks(
            windows, partial(is_blank, reader), decode, self._source.nothing()
        )
