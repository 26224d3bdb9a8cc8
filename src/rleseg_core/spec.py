"""The numbers every layer shares: what a mask is, and what a window of a stack is."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Literal, Self

from rleseg_core.checks import Index, Side, Within, check_fields, from_mapping
from rleseg_core.errors import SchemeError
from rleseg_core.normalisation import ROBUST, Contrast, Normalisation

Frames = Annotated[int, Within(1, 4096)]
"""Frames of a window."""
ImageSide = Annotated[int, Within(8, 2**16)]
"""The longer side of a frame after resizing, in pixels; with less there is nothing to see."""


IGNORED = 255
"""Class id of pixels that do not count: unknown, neither background nor object."""


@dataclass(frozen=True, kw_only=True)
class MaskSpec:
    """Shape and classes of the masks a tokenizer encodes.

    Parameters
    ----------
    size : (int, int)
        Rows and columns of the mask in mask pixels (S, S in the paper).
    class_names : tuple of str
        Names of the C foreground classes; class id k is ``class_names[k - 1]``, id 0 is background.
    n_frames : int
        N, the frames of a temporal window; 1 for images.

    Raises
    ------
    SchemeError
        If a number is not positive, or a class name is empty or used twice.
    """

    size: tuple[Side, Side]
    class_names: tuple[str, ...]
    n_frames: Frames = 1

    def __post_init__(self) -> None:
        check_fields(self, SchemeError)
        if not self.class_names or "" in self.class_names:
            raise SchemeError(f"each foreground class needs a name, got {self.class_names}")
        if len(set(self.class_names)) != len(self.class_names):
            raise SchemeError(f"class names must differ, got {self.class_names}")

    @property
    def n_classes(self) -> int:
        """C, the number of foreground classes."""
        return len(self.class_names)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(N, rows, columns)."""
        return (self.n_frames, *self.size)

    @property
    def n_pixels(self) -> int:
        """Pixels of one frame."""
        return self.size[0] * self.size[1]

    def to_json(self) -> dict[str, object]:
        """Plain values for a JSON header."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, object]) -> Self:
        """The spec that `to_json` gave; anything else is a SchemeError."""
        return from_mapping(cls, values, SchemeError)


@dataclass(frozen=True, kw_only=True)
class WindowSpec:
    """How a stack is cut into the windows a model sees (Sec. III-B, IV).

    Parameters
    ----------
    patch : int
        P, the side of a square patch in resized-image pixels; the model's input side.
    patch_stride : int
        Step between neighbouring patches in resized-image pixels; P for no overlap. The last patch
        of a row or column is moved back so that it ends flush with the image.
    image_size : int or None
        I, the longer side of a frame after resizing, the aspect ratio kept; None: no resizing.
    n_frames : int
        N, consecutive frames of a window; 1 for images.
    frame_stride : int
        Step between the first frames of neighbouring windows; the last window ends flush.
    normalisation : Normalisation
        How grey values become the range 0 to 1.

    Raises
    ------
    SchemeError
        If a number is not positive, or a stride would leave pixels or frames out.
    """

    patch: Side
    patch_stride: Side
    image_size: ImageSide | None = None
    n_frames: Frames = 1
    frame_stride: Frames = 1
    normalisation: Normalisation = ROBUST

    def __post_init__(self) -> None:
        check_fields(self, SchemeError)
        if self.patch_stride > self.patch or self.frame_stride > self.n_frames:
            raise SchemeError(
                f"windows would leave gaps: patch_stride {self.patch_stride} must be at most patch "
                f"{self.patch}, and frame_stride {self.frame_stride} at most n_frames "
                f"{self.n_frames}"
            )

    def changed(
        self,
        image_size: int | None = None,
        invert: bool | None = None,
        contrast: Contrast | None = None,
    ) -> Self:
        """The same, with what is not None in place of its own; see `Normalisation.changed`."""
        how = self.normalisation.changed(invert, contrast)
        return replace(self, image_size=image_size or self.image_size, normalisation=how)

    def to_json(self) -> dict[str, object]:
        """Plain values for a JSON header."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, object]) -> Self:
        """The spec that `to_json` gave; anything else is a SchemeError."""
        return from_mapping(cls, values, SchemeError)


@dataclass(frozen=True, kw_only=True)
class StartGrid:
    """How tokens say at which pixel of the mask a run begins.

    Parameters
    ----------
    offset : int
        Id of the start token of mask pixel 0, or of row 0 and column 0; the others follow.
    rows, cols : int
        Size of the mask in mask pixels.
    order : {'C', 'F'}
        Pixel s is at row ``s // cols`` in C order, and at row ``s % rows`` in F order.
    start : {'flat', 'coords', 'implied'}
        By one token (1D), by a row and a column of the same ids (2D), or by none: runs tile the
        mask once, from its first pixel to its last.
    stops : tuple of (int, int)
        Offset and size of the ids that say that no further run comes: the end, and class tokens
        that close a block, after which runs begin at the first pixel again.
    n_frames : int
        Frames of a volume whose pixels share one sequence: in C order one frame after the other, in
        F order the frames of each pixel side by side. 1 for images, and where a run covers its
        pixels in all frames.
    """

    offset: Index
    rows: Side
    cols: Side
    order: Literal["C", "F"] = "C"
    start: Literal["flat", "coords", "implied"] = "flat"
    stops: tuple[tuple[Index, Index], ...] = ()
    n_frames: Frames = 1

    def __post_init__(self) -> None:
        check_fields(self, SchemeError, "tokens.grid.")
        if self.start == "coords" and self.n_frames > 1:
            raise SchemeError("a grid of several frames has no rows and columns; use start='flat'")

    @property
    def size(self) -> int:
        """G, the number of mask pixels, those of all frames."""
        return self.n_frames * self.rows * self.cols

    @property
    def n_ids(self) -> int:
        """Ids from `offset` on that are of starts."""
        return {"flat": self.size, "coords": max(self.rows, self.cols), "implied": 0}[self.start]


@dataclass(frozen=True, kw_only=True)
class SymbolTokens:
    """What runs say of the classes of mask pixels, for models that read it off the image.

    Parameters
    ----------
    runs : {'foreground', 'tiling', 'change'}
        Runs of equal pixels but for the background, runs of everything, or single pixels where the
        class changes.
    n_classes : int
        C; 1 in blocks, whose pixels are of an object or not.
    n_frames : int
        Frames whose classes one symbol says (TAC), the first as its lowest digit of base C + 1.
    offset : int or None
        Id of the token of the first symbol: the background where runs are of everything, else the
        one after it; of the largest increase where they are changes. The others follow. None: each
        symbol has lengths of its own, in this order.
    line : int
        Pixels after which runs are cut.
    """

    runs: Literal["foreground", "tiling", "change"]
    n_classes: Annotated[int, Within(1, 2**16)]
    n_frames: Frames = 1
    offset: Index | None = None
    line: Annotated[int, Within(1, 2**31 - 1)]

    def __post_init__(self) -> None:
        check_fields(self, SchemeError, "tokens.symbols.")

    @property
    def first(self) -> int:
        """The lowest symbol that has a token."""
        return 0 if self.runs == "tiling" else 1

    @property
    def n_symbols(self) -> int:
        """Symbols besides 0, the background in all frames."""
        return int((self.n_classes + 1) ** self.n_frames - 1)

    @property
    def n_ids(self) -> int:
        """Ids from `offset` on that are of symbols, or of changes."""
        return 2 * self.n_symbols if self.runs == "change" else self.n_symbols + 1 - self.first
