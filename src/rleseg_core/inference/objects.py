"""The objects of a stack while it is segmented: those that tokens say, or connected pieces."""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

import numpy as np

from rleseg_core.data import Window, WindowReader
from rleseg_core.data.labels import components
from rleseg_core.decoding import DecodedSequence
from rleseg_core.errors import DataError
from rleseg_core.inference.arrays import ResultArrays
from rleseg_core.inference.class_outlines import ClassOutlines
from rleseg_core.inference.confidence import object_confidences, pixel_weights
from rleseg_core.inference.dense_objects import FrameObjects
from rleseg_core.inference.frames import OpenFrames
from rleseg_core.inference.geometry import (
    foreground_in_source,
    ids_in_source,
    masks_in_source,
    weights_in_source,
)
from rleseg_core.inference.merging import StitchRule, TimeRule, depth_in_time
from rleseg_core.inference.options import PredictOptions
from rleseg_core.inference.owners import OwnedFrame
from rleseg_core.inference.stitch import Stitcher
from rleseg_core.objects import ObjectTable
from rleseg_core.objects.joining import ObjectParts, OwnerRule
from rleseg_core.objects.measuring import class_of_each, measure_frame
from rleseg_core.objects.refining import refined
from rleseg_core.tokens import Tokenizer
from rleseg_core.tokens.results import Decoded

_REACH = 1.0  # mask pixels from an outline within which the dense heads decide on it


class Painted(NamedTuple):
    """What a window looks like after it was added, in its frames that are wanted."""

    rows: slice
    cols: slice
    labels: np.ndarray
    """(n, h, w) uint8 class ids."""
    objects: np.ndarray
    """(n, h, w) uint32 ids of objects."""


class Painter(Protocol):
    """Puts windows together to frames, those of a frame in the order of `plan_windows`."""

    def add(self, reader: WindowReader, window: Window, sequence: DecodedSequence) -> Painted:
        """Add what the tokens of a window say."""

    def close(self, frames: Iterable[int]) -> ObjectTable:
        """Finish frames whose windows have all been added; returns their objects."""


def painter(
    tokenizer: Tokenizer,
    class_names: tuple[str, ...],
    outputs: ResultArrays,
    options: PredictOptions,
    found: FrameObjects | None = None,
    outlines: ClassOutlines | None = None,
) -> Painter:
    """The painter for a model with such a tokenizer; the others are as for the two of them."""
    rules = options.stitch, options.stitch_time
    if tokenizer.scheme.blocks == "instance":
        return InstancePainter(tokenizer, class_names, outputs, rules, found, refine=options.refine)
    return PiecePainter(tokenizer, class_names, outputs, rules, outlines)


class PiecePainter:
    """Paints masks of classes; objects are the connected pieces of each class.

    Parameters
    ----------
    tokenizer : Tokenizer
        Tokenizer of the model.
    class_names : tuple of str
        Names of the classes.
    outputs : ResultArrays
        Where masks and ids go.
    rules : (StitchRule, TimeRule)
        For patches and for temporal windows; see `Stitcher`.
    outlines : ClassOutlines or None
        What decides on outlines between mask pixels.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        class_names: tuple[str, ...],
        outputs: ResultArrays,
        rules: tuple[StitchRule, TimeRule],
        outlines: ClassOutlines | None = None,
    ) -> None:
        self._tokenizer, self._class_names, self._outputs = tokenizer, class_names, outputs
        self._outlines = outlines
        self._stitcher = Stitcher(outputs.classes, len(class_names), *rules)
        self._next_id = outputs.first_id

    def add(self, reader: WindowReader, window: Window, sequence: DecodedSequence) -> Painted:
        """Add what the tokens of a window say; ids are 0 as long as frames are not done."""
        masks = self._tokenizer.decode(sequence.tokens).classes[: window.n_frames]
        weights = None
        if self._stitcher.rule == "weighted":
            of_pixels = pixel_weights(self._tokenizer, sequence.tokens, sequence.logprobs)
            of_pixels = of_pixels[: window.n_frames]
            weights = weights_in_source(of_pixels, window, reader.shape, reader.spec)
        rows, cols, masks = masks_in_source(masks, window, reader.shape, reader.spec)
        if self._outlines is not None:
            masks = self._outlines.refine(masks, window, reader)
        masks = reader.clear(masks, range(*window.frames), rows, cols)
        wanted = self._outputs.frames
        labels = self._stitcher.add_window(window, rows, cols, masks, wanted, weights)
        return Painted(rows, cols, labels, np.zeros(labels.shape, np.uint32))

    def close(self, frames: Iterable[int]) -> ObjectTable:
        """Finish frames whose windows have all been added; returns their pieces."""
        frames = set(frames)
        tables = [ObjectTable.empty(self._class_names)]
        objects = self._outputs.objects
        if objects is not None:
            for done in self._stitcher.frames.open_among(frames):
                classes = self._stitcher.frames[done]
                ids = components(classes).astype(np.uint32)
                ids[ids > 0] += np.uint32(self._next_id - 1)
                objects[done] = ids
                tables.append(self._table(done, ids, classes))
                self._next_id += len(tables[-1])
        self._stitcher.close(frames)
        return ObjectTable.concatenate(tables)

    def _table(self, frame: int, ids: np.ndarray, classes: np.ndarray) -> ObjectTable:
        found = measure_frame(ids)
        class_ids = class_of_each(found, classes, len(self._class_names))
        unknown = np.full(len(class_ids), np.nan)
        return ObjectTable.of_frame(found, class_ids, self._class_names, unknown, frame, "pieces")


class InstancePainter:
    """Paints the objects that blocks of tokens say, joined across windows; classes follow.

    Parameters
    ----------
    tokenizer, class_names, outputs
        As for `PiecePainter`.
    rules : (StitchRule, TimeRule)
        Which patch a pixel belongs to, and which temporal window a frame: 'centre' or 'last'. There
        is no vote on objects: 'vote' is 'centre'.
    found : FrameObjects or None
        What the dense heads see, which decides on the outlines of objects between mask pixels.
    refine : bool
        Whether it does; otherwise outlines are those of the tokens.

    Raises
    ------
    DataError
        If a rule is one for pixels.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        class_names: tuple[str, ...],
        outputs: ResultArrays,
        rules: tuple[StitchRule, TimeRule],
        found: FrameObjects | None = None,
        *,
        refine: bool = True,
    ) -> None:
        self._tokenizer, self._class_names, self._outputs = tokenizer, class_names, outputs
        self._owners = _owner(rules[0]), _owner(rules[1])
        self._found, self._refine = found, refine
        self._classes = OpenFrames(outputs.classes)
        self._objects = None if outputs.objects is None else OpenFrames(outputs.objects)
        self._joiners: dict[int, OwnedFrame] = {}
        self._next_id = outputs.first_id

    def add(self, reader: WindowReader, window: Window, sequence: DecodedSequence) -> Painted:
        """Add what the tokens of a window say; ids may change until frames are done."""
        decoded = self._tokenizer.decode(sequence.tokens)
        assert decoded.instances is not None
        parts = self._parts(sequence, decoded)[: window.n_frames]
        if self._found is not None:
            self._found.release_above(window.frames[0], window.rows[0])
        local = decoded.instances[: window.n_frames]
        rows, cols, ids = ids_in_source(local, window, reader.shape, reader.spec)
        if self._found is not None and self._refine and ids.any():
            odds, scale = foreground_in_source(self._found.foreground(window), window, reader)
            ids = refined(ids[0], odds, _REACH * scale * max(self._found.step))[None]
        ids = reader.clear(ids, range(*window.frames), rows, cols)
        painted = [
            self._add(window, frame, (rows, cols), mask, of_frame)
            for frame, mask, of_frame in zip(range(*window.frames), ids, parts, strict=True)
            if frame in self._outputs.frames
        ]
        self._classes.show()
        if self._objects is not None:
            self._objects.show()
        labels, objects = (np.stack(part) for part in zip(*painted, strict=True))
        return Painted(rows, cols, labels, objects)

    def _add(
        self,
        window: Window,
        frame: int,
        box: tuple[slice, slice],
        ids: np.ndarray,
        parts: ObjectParts,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Class ids and ids of objects (h, w) in the window afterwards."""
        joiner = self._joiners.get(frame)
        if joiner is None:
            joiner = OwnedFrame(self._outputs.classes.shape[1:], *self._owners)
            self._joiners[frame] = joiner
            self._classes[frame][...] = 0  # of an earlier result
            if self._objects is not None:
                self._objects[frame][...] = 0
        depth = depth_in_time(frame, window.frames)
        joined = joiner.add(box, ids, parts, window.frames, depth)
        if joined is None:
            shown = self._classes[frame][box].astype(np.uint8)
            if self._objects is None:
                return shown, np.zeros(shown.shape, np.uint32)
            return shown, self._objects[frame][box].copy()
        labels, objects = joined
        objects[objects > 0] += np.uint32(self._next_id - 1)
        self._classes[frame][box] = labels
        if self._objects is not None:
            self._objects[frame][box] = objects
        return labels, objects

    def close(self, frames: Iterable[int]) -> ObjectTable:
        """Finish frames whose windows have all been added; returns their objects."""
        frames = set(frames)
        tables = [ObjectTable.empty(self._class_names)]
        for done in sorted(self._joiners.keys() & frames):
            joined = self._joiners[done].finish(self._next_id)
            del self._joiners[done]  # its arrays are as large as the frame
            self._classes[done][...] = joined.class_map()
            if self._objects is not None:
                self._objects[done][...] = joined.ids
                found = measure_frame(joined.ids)
                tables.append(
                    ObjectTable.of_frame(
                        found, joined.class_ids, self._class_names, joined.confidence, done
                    )
                )
            self._next_id += joined.n
        self._classes.close(frames)
        if self._objects is not None:
            self._objects.close(frames)
        if self._found is not None:
            self._found.release(frames)
        return ObjectTable.concatenate(tables)

    def _parts(self, sequence: DecodedSequence, decoded: Decoded) -> list[ObjectParts]:
        """What is known of the objects of a window, for each of its frames."""
        assert decoded.instances is not None
        confidence, n_tokens = object_confidences(
            self._tokenizer, sequence.tokens, sequence.logprobs, decoded.n_skipped
        )
        parts = []
        for mask, ids in zip(decoded.classes, decoded.instances, strict=True):
            class_ids = np.ones(confidence.size + 1, np.int64)
            class_ids[ids] = mask
            parts.append(
                ObjectParts(class_ids=class_ids[1:], confidence=confidence, n_tokens=n_tokens)
            )
        return parts


def _owner(rule: StitchRule | TimeRule) -> OwnerRule:
    """The rule for objects.

    Raises
    ------
    DataError
        If it is one for pixels.
    """
    if rule == "last":
        return "last"
    if rule in ("centre", "vote"):
        return "centre"
    raise DataError(
        f"{rule!r} merges pixels, and this model tells objects apart, which are joined whole; "
        "choose 'centre' or 'last'"
    )
