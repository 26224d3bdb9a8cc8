"""An animation of the tokens of one window: patch, mask filling in, token list (Figs. 4, 5)."""

import math
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from rleseg_core.drawing.palette import PALETTE, as_rgb, class_rgb, label_colour
from rleseg_core.drawing.style import FAINT, INK, PAPER, font
from rleseg_core.errors import DataError
from rleseg_core.outputs import Output, begins_with, new_output
from rleseg_core.tokens import Event, MaskEnded, RunPainted, Tokenizer, Vocabulary

PANEL = 384  # pixels of the longer side of the patch and of the mask
MARGIN, HEADER, LINE, INDENT, GAP = 16, 34, 19, 58, 14
HOLD_S = 1.5  # how long the finished mask stays on screen
HIGHLIGHT = (255, 0, 255)  # the run being written; no class has it


@dataclass(frozen=True)
class _Row:
    """A line of the token list, for one run."""

    index: str
    texts: tuple[str, ...]
    label: int


def frames(
    image: np.ndarray,
    tokenizer: Tokenizer,
    tokens: Iterable[int],
    *,
    runs_per_frame: int = 1,
) -> Iterator[np.ndarray]:
    """Animation frames of a mask being written, one every few runs; the first shows it empty.

    Parameters
    ----------
    image : (P, P), (P, P, 3), (N, P, P) or (N, P, P, 3)
        The window in patch pixels: uint8, or float from 0 to 1. N is the tokenizer's.
    tokenizer : Tokenizer
        What the tokens were written with.
    tokens : iterable of int, or array as `Tokenizer.encode` gives it
        Token ids; taken as the animation frames are, so a model may still be writing them.
    runs_per_frame : int
        Runs that each animation frame adds.

    Yields
    ------
    (H, W, 3) uint8
        The patch, the mask so far over the patch with the last run highlighted, the token list.
        H and W are even and the same for all animation frames.

    Raises
    ------
    DataError
        If the image does not have the tokenizer's N frames.
    """
    board = _Board(_as_rgb(image, tokenizer.spec.n_frames), tokenizer)
    yield board.draw([])
    fresh: list[RunPainted] = []
    for event in tokenizer.events(tokens):
        board.add(event)
        if isinstance(event, RunPainted):
            fresh.append(event)
        if len(fresh) >= runs_per_frame:
            yield board.draw(fresh)
            fresh = []
    if fresh:
        yield board.draw(fresh)
    yield board.draw([])


def render_animation(
    image: np.ndarray,
    tokenizer: Tokenizer,
    tokens: np.ndarray,
    path: str | Path,
    *,
    fps: int = 20,
    runs_per_frame: int | None = None,
    max_seconds: float | None = 20.0,
    overwrite: bool = False,
) -> Path:
    """Write an animation of a window's tokens as a GIF or an MP4, and return its path.

    Parameters
    ----------
    image : (P, P), (P, P, 3), (N, P, P) or (N, P, P, 3)
        The window; see `frames`.
    tokenizer : Tokenizer
        What the tokens were written with.
    tokens : (L,) integer, or (K, L) with a head for each field
        Token ids.
    path : str or Path
        File to write, ``.gif`` or ``.mp4``; it appears when it is complete.
    fps : int
        Animation frames per second, 1 to 100. A GIF counts in hundredths of a second, and viewers
        slow down above 50.
    runs_per_frame : int or None
        Runs that each animation frame adds; None: as few as `max_seconds` allows.
    max_seconds : float or None
        Longest duration in seconds; `runs_per_frame` is raised to keep to it. None: no limit.
    overwrite : bool
        Whether it may replace an older animation, which stays until the new one is whole.

    Raises
    ------
    DataError
        If the file is neither GIF nor MP4, or the image does not fit the tokenizer.
    OutputError
        If there is something of that name, and `overwrite` is not set or it is no animation.
    """
    for _ in write_animation(
        image,
        tokenizer,
        tokens,
        path,
        fps=fps,
        runs_per_frame=runs_per_frame,
        max_seconds=max_seconds,
        overwrite=overwrite,
    ):
        pass
    return Path(path)


def animation_output(path: str | Path) -> Output:
    """An animation as an output, which `check_outputs` compares with the inputs of a call.

    Raises
    ------
    DataError
        If the name is neither that of a GIF nor of an MP4.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind == ".gif":
        return Output(path, "a GIF", begins_with(b"GIF8"))
    if kind == ".mp4":
        return Output(path, "an MP4", begins_with(b"ftyp", at=4))
    raise DataError(f"an animation is written as .gif or .mp4, got {path.name}")


@dataclass(frozen=True)
class FrameWritten:
    """Report of `write_animation`.

    Parameters
    ----------
    n_done : int
        Animation frames that are written.
    n_frames : int
        Animation frames in all.
    """

    n_done: int
    n_frames: int


def write_animation(
    image: np.ndarray,
    tokenizer: Tokenizer,
    tokens: np.ndarray,
    path: str | Path,
    *,
    fps: int = 20,
    runs_per_frame: int | None = None,
    max_seconds: float | None = 20.0,
    overwrite: bool = False,
) -> Generator[FrameWritten, None, None]:
    """`render_animation` that reports each frame written; if closed early, no file is left."""
    output = animation_output(path)
    if not 1 <= fps <= 100:
        raise DataError(f"an animation has 1 to 100 frames per second, got {fps}")
    tokens = np.asarray(tokens)
    n_runs = sum(isinstance(event, RunPainted) for event in tokenizer.events(tokens))
    step = _runs_per_frame(n_runs, runs_per_frame, fps, max_seconds)
    rendered = frames(image, tokenizer, tokens, runs_per_frame=step)
    n_frames = math.ceil(n_runs / step) + 2
    with new_output(output, overwrite=overwrite) as temporary:
        writer = _write_gif if output.path.suffix.lower() == ".gif" else _write_mp4
        for n_done in writer(temporary, rendered, fps):
            yield FrameWritten(n_done, n_frames)


def _runs_per_frame(n_runs: int, wanted: int | None, fps: int, max_seconds: float | None) -> int:
    step = max(1, wanted or 1)
    if max_seconds is not None:
        n_frames = max(1, round((max_seconds - HOLD_S) * fps) - 2)
        step = max(step, math.ceil(n_runs / n_frames))
    return step


def _write_gif(path: Path, rendered: Iterator[np.ndarray], fps: int) -> Iterator[int]:
    # Pillow wants all frames at once; one palette for all, or colours would flicker
    first = next(rendered)
    palette = _palette(first)
    kept = []
    for frame in chain([first], rendered):
        kept.append(Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE))
        yield len(kept)
    times = [max(20, round(100 / fps) * 10)] * len(kept)
    times[-1] = round(HOLD_S * 1000)
    kept[0].save(path, save_all=True, append_images=kept[1:], duration=times, loop=0)


def _write_mp4(path: Path, rendered: Iterator[np.ndarray], fps: int) -> Iterator[int]:
    import av

    first = next(rendered)
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "20", "preset": "fast"})
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "yuv420p"
        frame = first
        for n_done, frame in enumerate(chain([first], rendered), 1):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            yield n_done
        for _ in range(round(HOLD_S * fps)):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


class _Board:
    """What animation frames are drawn from: patch, labels so far, rows of the token list."""

    def __init__(self, patch: np.ndarray, tokenizer: Tokenizer):
        n_frames = len(patch)
        side = PANEL if n_frames == 1 else max(128, 640 // n_frames)
        zoom = side / max(patch.shape[1:3])
        rows, cols = (round(length * zoom) for length in patch.shape[1:3])
        self._size = rows, cols
        self._tops = [HEADER + frame * (rows + MARGIN) for frame in range(n_frames)]
        height = max(HEADER + n_frames * (rows + MARGIN), HEADER + 8 * LINE)
        self._left = 2 * (cols + MARGIN) + MARGIN
        self._columns = _column_widths(tokenizer.vocab)
        self._shape = (_even(height), _even(self._left + INDENT + sum(self._columns) + MARGIN))
        self._tokenizer = tokenizer
        self._patch = [np.asarray(_resize(frame, self._size)) for frame in patch]
        self._labels = np.zeros(tokenizer.spec.shape, np.int64)
        self._rows: list[_Row] = []
        self._n_runs = self._n_tokens = 0
        self._background = self._draw_background()

    def add(self, event: Event) -> None:
        self._tokenizer.paint(self._labels, event)
        if isinstance(event, MaskEnded):
            self._n_tokens = event.n_tokens
            self._rows.append(_Row("", ("end", f"{event.n_runs} runs"), 0))
            return
        self._n_tokens += len(event.tokens)
        self._n_runs += isinstance(event, RunPainted)
        index = str(self._n_runs) if isinstance(event, RunPainted) else ""
        texts = self._tokenizer.texts(event)
        self._rows.append(_Row(index, texts, event.label))

    def draw(self, fresh: list[RunPainted]) -> np.ndarray:
        """The animation frame (H, W, 3) uint8, with the runs just painted highlighted."""
        spec, open_label = self._tokenizer.spec, self._tokenizer.open_label
        codes = [label_colour(label, spec.n_classes) for label in range(1, open_label + 1)]
        colors = np.array([PAPER, *map(as_rgb, codes)], np.float32)
        overlay = colors[self._labels]  # (N, S, S, 3)
        alpha = np.where(self._labels > 0, np.float32(0.62), np.float32(0))
        for event in fresh:
            where = self._tokenizer.run_pixels(event)
            overlay[where], alpha[where] = HIGHLIGHT, 1
        rows, cols = self._size
        drawn = self._background.copy()
        left = cols + 2 * MARGIN
        for frame, top in enumerate(self._tops):
            cover, share = (_enlarge(a[frame], self._size) for a in (overlay, alpha[..., None]))
            mixed = self._patch[frame] * (1 - share) + cover * share
            drawn[top : top + rows, left : left + cols] = mixed.round().astype(np.uint8)
        image = Image.fromarray(drawn)
        self._draw_list(ImageDraw.Draw(image), len(fresh))
        return np.asarray(image)

    def _draw_background(self) -> np.ndarray:
        rows, cols = self._size
        image = Image.new("RGB", self._shape[::-1], PAPER)
        pen = ImageDraw.Draw(image)
        mask_rows, mask_cols = self._tokenizer.spec.size
        pen.text((MARGIN, 10), "image patch", INK, font(15))
        pen.text((cols + 2 * MARGIN, 10), f"mask {mask_rows} × {mask_cols}", INK, font(15))
        drawn = np.array(image)
        for patch, top in zip(self._patch, self._tops, strict=True):
            drawn[top : top + rows, MARGIN : MARGIN + cols] = patch
        return drawn

    def _draw_list(self, pen: ImageDraw.ImageDraw, n_fresh: int) -> None:
        height, width = self._shape
        left, right = self._left, width - MARGIN
        pen.text((left, 10), "tokens", INK, font(15))
        count = f"{self._n_runs} runs, {self._n_tokens} tokens"
        pen.text((right - pen.textlength(count, font(13)), 12), count, FAINT, font(13))
        n_visible = (height - HEADER - MARGIN) // LINE
        first = max(0, len(self._rows) - n_visible)
        for line, row in enumerate(self._rows[first:]):
            top = HEADER + line * LINE
            current = first + line >= len(self._rows) - n_fresh
            if current:
                pen.rectangle((left, top, right, top + LINE - 2), HIGHLIGHT)
            if row.label:
                code = label_colour(row.label, self._tokenizer.spec.n_classes)
                pen.rectangle((left + 4, top + 4, left + 12, top + 12), as_rgb(code))
            ink = (255, 255, 255) if current else INK
            pen.text((left + INDENT - GAP, top + 1), row.index, ink, font(13), anchor="ra")
            x = left + INDENT
            for text, width in zip(row.texts, self._columns, strict=False):
                pen.text((x, top + 1), text, ink, font(13))
                x += width


def _column_widths(vocab: Vocabulary) -> list[int]:
    """Pixels that each token of a run takes in the list, from a sample of its texts."""
    widths = []
    for field in vocab.fields:
        segment = vocab.segment(field.segment)
        sample = np.linspace(segment.offset, segment.end - 1, min(segment.size, 64)).astype(int)
        texts = (vocab.text(token) for token in sample.tolist())
        widths.append(math.ceil(max(font(13).getlength(text) for text in texts)) + GAP)
    return widths


def _as_rgb(image: np.ndarray, n_frames: int) -> np.ndarray:
    """The window as (N, P, P, 3) uint8."""
    if image.ndim == 2 or (image.ndim == 3 and image.shape[-1] == 3 and n_frames == 1):
        image = image[None]
    if image.ndim == 3:
        image = np.repeat(image[..., None], 3, axis=-1)
    if image.ndim != 4 or len(image) != n_frames or image.shape[-1] != 3:
        raise DataError(
            f"the window's image is {image.shape}, expected ({n_frames}, P, P[, 3]) as the "
            "tokenizer has these frames"
        )
    if image.dtype == np.uint8:
        return image
    return (np.clip(image, 0, 1) * 255).round().astype(np.uint8)


def _resize(frame: np.ndarray, size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(frame).resize((size[1], size[0]), Image.Resampling.BICUBIC)


def _enlarge(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Mask pixels (S, S, K) as blocks of pixels (rows, cols, K)."""
    rows, cols = (np.arange(side) * n // side for side, n in zip(size, mask.shape[:2], strict=True))
    return mask[rows[:, None], cols]


def _palette(frame: np.ndarray) -> Image.Image:
    """256 colours: those of the patch, each class over greys, the highlight, and the text's."""
    patch = Image.fromarray(frame).quantize(96).getpalette() or []
    colours = [class_rgb(k + 1) for k in range(len(PALETTE))]
    tints = [np.linspace(0, 97, 18)[:, None] + 0.62 * np.array(colour) for colour in colours]
    fixed = np.array([PAPER, INK, FAINT, HIGHLIGHT, (255, 255, 255), *colours])
    colors = np.concatenate([fixed, *tints, np.reshape(patch, (-1, 3))]).astype(np.uint8)
    palette = Image.new("P", (1, 1))
    palette.putpalette(colors[:256].tobytes())
    return palette


def _even(length: int) -> int:
    return length + length % 2  # the video format wants even sides
