"""Links between objects of frames that the blocks of instance-wise models of several frames say."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from itertools import pairwise

import numpy as np
from scipy.optimize import linear_sum_assignment

from rleseg_core.data import Window
from rleseg_core.data.arrays import ArrayLike, frame_of
from rleseg_core.inference.geometry import ids_in_source
from rleseg_core.inference.results import WindowResult
from rleseg_core.spec import WindowSpec
from rleseg_core.tokens import Tokenizer
from rleseg_core.tracks import KnownLinks

_MOST_OF = 0.5  # share of a block's pixels in a frame that must lie on an object for it to be that


class BlockLinks:
    """Collects which objects of consecutive frames are one block in some window.

    A block follows its object through the frames of a window. In each frame it votes for the object
    on which most of its pixels lie; two objects of consecutive frames have as many votes as pixels
    of the blocks that say both, in all windows that show them. So windows that share frames or
    overlap in space agree on links, or outvote one another. Of two frames, the links are the
    assignment with most votes.

    Parameters
    ----------
    tokenizer : Tokenizer
        Of blocks of instances, in windows of several frames; others say no links.
    shape : (T, Y, X[, C])
        Of the stack, in source pixels.
    spec : WindowSpec
        The windows.
    """

    def __init__(self, tokenizer: Tokenizer, shape: tuple[int, ...], spec: WindowSpec) -> None:
        self._tokenizer, self._shape, self._spec = tokenizer, shape, spec
        self._windows: list[tuple[Window, np.ndarray]] = []

    def add(self, result: WindowResult) -> None:
        """Take note of the tokens of a window, if they say anything of several frames."""
        if result.tokens.size > 1 and writes_through_frames(self._tokenizer):
            self._windows.append((result.window, result.tokens))

    def links(self, objects: ArrayLike) -> KnownLinks:
        """The links to each frame; their scores are the share of the votes on either object.

        Parameters
        ----------
        objects : (T, Y, X) integer array
            Ids of the objects, once all frames are done.
        """
        frames = lru_cache(maxsize=self._spec.n_frames + 1)(partial(frame_of, objects))
        votes: dict[int, dict[tuple[int, int], int]] = defaultdict(lambda: defaultdict(int))
        for window, tokens in sorted(self._windows, key=lambda each: each[0].frames):
            for frame, pair, n_pixels in self._votes(window, tokens, frames):
                votes[frame][pair] += n_pixels
        return {frame: _assigned(of) for frame, of in votes.items()}

    def _votes(
        self, window: Window, tokens: np.ndarray, frames: Callable[[int], np.ndarray]
    ) -> Iterator[tuple[int, tuple[int, int], int]]:
        """Frames, the object of the frame before and that there, and on how many pixels."""
        local = self._tokenizer.decode(tokens).instances
        assert local is not None
        rows, cols, fine = ids_in_source(local, window, self._shape, self._spec)
        n, shown = int(local.max()) + 1, range(*window.frames)
        said = [
            _most_of(ids, frames(frame)[rows, cols], n)
            for frame, ids in zip(shown, fine, strict=False)
        ]
        for frame, ((before, n_before), (after, n_after)) in zip(
            shown[1:], pairwise(said), strict=True
        ):
            for block in np.flatnonzero((before > 0) & (after > 0)).tolist():
                pair = int(before[block]), int(after[block])
                yield frame, pair, int(min(n_before[block], n_after[block]))


def writes_through_frames(tokenizer: Tokenizer) -> bool:
    """Whether a model writes one block for an object through several frames."""
    return tokenizer.scheme.blocks == "instance" and tokenizer.spec.n_frames > 1


def _most_of(blocks: np.ndarray, objects: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The object (n,) on which most of each block lies, or 0, and on how many pixels (n,)."""
    ids, index = np.unique(objects, return_inverse=True)
    counts = np.bincount(
        blocks.ravel().astype(np.int64) * ids.size + index.ravel(), minlength=n * ids.size
    ).reshape(n, ids.size)
    total = counts.sum(axis=1)
    counts[:, ids == 0] = 0
    counts[0] = 0
    best = counts.argmax(axis=1)
    most = counts[np.arange(n), best]
    return np.where(most > _MOST_OF * total, ids[best], 0).astype(np.int64), most


def _assigned(votes: Mapping[tuple[int, int], int]) -> np.ndarray:
    """Links (k, 3) with most votes together: the two objects, and the score."""
    pairs = np.array([*votes], np.int64)
    before, at = np.unique(pairs[:, 0], return_inverse=True)
    after, to = np.unique(pairs[:, 1], return_inverse=True)
    table = np.zeros((before.size, after.size))
    table[at, to] = [*votes.values()]
    rows, cols = linear_sum_assignment(table, maximize=True)
    voted = table[rows, cols] > 0
    rows, cols = rows[voted], cols[voted]
    own = table[rows, cols]
    score = own / (table.sum(axis=1)[rows] + table.sum(axis=0)[cols] - own)
    return np.column_stack([before[rows], after[cols], score])
