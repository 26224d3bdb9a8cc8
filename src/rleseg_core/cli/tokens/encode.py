"""``rleseg tokens encode``: the tokens of a mask."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from cyclopts import Parameter

from rleseg_core.cli.console import print_json, print_line, print_plain
from rleseg_core.cli.masks import WINDOWS, GivenWriting, MaskOptions, SchemeName, SubsampleRule
from rleseg_core.cli.options import FLAT, NOT_NEGATIVE, POSITIVE, ImageSize, Reporting
from rleseg_core.cli.tokens.tokenizers import VocabLimit, build_tokenizer, some_usable_schemes
from rleseg_core.data.formats.base import ReadOptions
from rleseg_core.data.formats.registry import input_kinds
from rleseg_core.errors import DataError
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import BlockClosed, MaskEnded, Tokenizer

if TYPE_CHECKING:
    from rleseg_core.data import MaskStack


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class EncodeOptions:
    """What is encoded, and how.

    Parameters
    ----------
    mask_size : int or None
        S: the mask is first subsampled to S x S mask pixels.
    frame : int
        Number of the frame in a stack, counted from 0; the first one of a window.
    frames : int
        N, the number of frames of a window.
    """

    masks: MaskOptions = MaskOptions()
    scheme: SchemeName = "lac"
    writing: Annotated[GivenWriting, FLAT] = field(default_factory=dict)
    vocab_limit: VocabLimit = None
    mask_size: Annotated[
        int | None, POSITIVE, Parameter(group=WINDOWS, show_default="as it is")
    ] = None
    subsample_rule: SubsampleRule = "centre"
    image_size: Annotated[ImageSize, Parameter(group=WINDOWS)] = None
    frame: Annotated[int, NOT_NEGATIVE, Parameter(group=WINDOWS)] = 0
    frames: Annotated[int, POSITIVE, Parameter(group=WINDOWS)] = 1


def encode(
    mask: Annotated[Path, Parameter(help=f"A mask: {input_kinds()}.")],
    /,
    options: EncodeOptions = EncodeOptions(),
    reporting: Reporting = Reporting(),
) -> None:
    """Encode a mask and show its tokens.

    Parameters
    ----------
    mask : Path
        A mask, or a stack of masks.
    options : EncodeOptions
        What is encoded, and how.
    reporting : Reporting
        What is printed.
    """
    from rleseg_core.data.labels import without_ignored

    stack = _open(mask, options, reporting.quiet)
    labels, ids = _window(mask, stack, options)
    if options.mask_size is not None:
        labels, ids = _subsampled(labels, ids, options)
    labels = without_ignored(labels)  # nothing is written where nothing is known
    spec = MaskSpec(size=labels.shape[1:], class_names=stack.class_names, n_frames=options.frames)
    usable, _ = some_usable_schemes([options.scheme], spec, options.writing)
    tokenizer = build_tokenizer(usable[options.scheme], spec, options.vocab_limit)
    tokens, counts = tokenizer.encode(labels, ids), tokenizer.count(labels, ids)
    if reporting.as_json:
        print_json(
            {
                "scheme": options.scheme,
                "mask": list(labels.shape[1:]),
                "frames": options.frames,
                "n_runs": counts.n_runs,
                "n_blocks": counts.n_blocks,
                "n_tokens": counts.n_tokens,
                "vocabulary": tokenizer.vocab.size,
                "tokens": tokens.tolist(),
            }
        )
    elif not reporting.quiet:
        _print_tokens(tokenizer, tokens)
        blocks = f", {counts.n_blocks} blocks" if tokenizer.blocks is not None else ""
        each = f" in each of {len(tokens)} heads" if tokens.ndim == 2 else ""
        print_line(
            f"{counts.n_tokens} tokens{each}, {counts.n_runs} runs{blocks}, "
            f"vocabulary {tokenizer.vocab.size}"
        )


def _open(path: Path, options: EncodeOptions, quiet: bool) -> "MaskStack":
    """Masks whose classes are named, noted, or numbered as high as their ids go."""
    from rleseg_core.data import LabelStack
    from rleseg_core.data.ids import IdReader, IdRules, number_of_classes
    from rleseg_core.data.writers import recorded_class_names

    masks = options.masks
    if masks.classes is not None or masks.instances or recorded_class_names(path):
        return masks.open_as(path, masks.class_names(path), quiet)
    labels = LabelStack.open(path, **ReadOptions(**masks.reading).keywords())
    counts = IdReader(labels, IdRules(class_names=("class1",)), str(path)).counts
    highest = number_of_classes(counts, masks.ids.options())
    return masks.open_as(path, [f"class{k}" for k in range(1, highest + 1)], quiet)


def _window(
    path: Path, stack: "MaskStack", options: EncodeOptions
) -> tuple[np.ndarray, np.ndarray | None]:
    """Class and instance ids (N, Y, X) of some frames, as they are or as a model would see them."""
    from rleseg_core.data import Window

    first, stop = options.frame, options.frame + options.frames
    if stop > stack.n_frames:
        missing = f"is no frame {first}"
        if options.frames > 1:
            missing = f"are no {options.frames} frames from frame {first} on"
        raise DataError(f"{path} has {stack.n_frames} frames, there {missing}")
    side = options.image_size
    if side is None:
        frames = range(first, stop)
        ids = [stack.instance_frame(t) for t in frames]
        known = [labels for labels in ids if labels is not None]
        return np.stack([stack.class_frame(t) for t in frames]), np.stack(known) if known else None
    spec = WindowSpec(patch=side, patch_stride=side, image_size=side, n_frames=options.frames)
    return next(stack.windows(spec, [Window((first, stop), (0, side), (0, side))]))


def _subsampled(
    labels: np.ndarray, ids: np.ndarray | None, options: EncodeOptions
) -> tuple[np.ndarray, np.ndarray | None]:
    """Class and instance ids (N, S, S)."""
    from rleseg_core.data import subsample_labels

    side, rule = options.mask_size or 1, options.subsample_rule
    rows, cols = labels.shape[1:]
    if rows % side or cols % side:
        nearest = max(1, round(max(rows, cols) / side)) * side
        raise DataError(
            f"a mask of {side} x {side} does not divide a frame of {rows} x {cols}; let the frame "
            f"be resized and filled up first, with --image-size {nearest}"
        )
    size = (side, side)
    small_ids = None if ids is None else subsample_labels(ids, size, rule)
    return subsample_labels(labels, size, rule), small_ids


def _print_tokens(tokenizer: Tokenizer, tokens: np.ndarray) -> None:
    """A line for each run, each end of a block, and the end."""
    for event in tokenizer.events(tokens.T.tolist()):
        if isinstance(event, MaskEnded):
            print_plain(f"{'':5}  {tokenizer.vocab.eos:6d}  eos")
            return
        name = "block" if isinstance(event, BlockClosed) else str(event.index)
        ids = " ".join(f"{token:6d}" for token in event.tokens)
        print_plain(f"{name:>5}  {ids}  {', '.join(tokenizer.texts(event))}")
