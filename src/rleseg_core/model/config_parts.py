"""The parts of a model's config: each holds the settings of one idea and checks them."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from rleseg_core.checks import Index, Side, Within, check_fields
from rleseg_core.errors import SchemeError
from rleseg_core.spec import Frames, StartGrid, SymbolTokens

Starts = Literal["table", "codes", "pointer", "first_hit"]
Ends = Literal["table", "first_hit"]
HeadField = Literal["start", "row", "col", "length", "symbol"]
Fusion = Literal["middle", "late", "early", "first"]
BackboneKind = Literal["bottleneck", "basic", "vit", "swin"]
VocabSize = Annotated[int, Within(1, 2**24)]
MaxTokens = Annotated[int, Within(1, 2**20)]
Width = Annotated[int, Within(1, 2**14)]
Layers = Annotated[int, Within(0, 256)]
Offset = Annotated[int, Within(-4096, 4096)]

_N_STAGES = {"bottleneck": (3, 4), "basic": (3, 4), "vit": (0,), "swin": (1, 2, 3, 4)}


@dataclass(frozen=True, kw_only=True)
class Head:
    """The tokens of one head, as rows of a table that all heads share.

    Parameters
    ----------
    offset, size : int
        Token t of the head has row ``offset + t``, t from 0 to size - 1; heads may share rows.
    prompt : int
        The token that the head's sequence begins with.
    field : {'start', 'row', 'col', 'length', 'symbol'} or None
        What its tokens say of a run, for heads that look at the image.
    """

    offset: Index
    size: VocabSize
    prompt: Index
    field: HeadField | None = None

    def __post_init__(self) -> None:
        check_fields(self, SchemeError, "tokens.heads.")


@dataclass(frozen=True, kw_only=True)
class TokensConfig:
    """What a model knows of its tokens.

    Parameters
    ----------
    vocab_size : int
        V, the number of token ids, at least 1; with several heads the rows of all their tables.
    max_tokens : int
        L, the decoder's positions, at least 1, the first for bos; with several heads those of each.
    grid : StartGrid, optional
        Which ids are starts, and of which mask pixel; needed unless ``starts='table'``.
    ordinal_ranges : tuple of (int, int)
        Offset and size of ranges of ids whose values are ordered, such as lengths; each id gets a
        code of its value. Empty in the paper.
    heads : tuple of Head
        One for each field of a run, with a sequence of its own (Fig. 19); empty for one sequence.
        The ids of `grid` and `symbols` are those of each head.
    symbols : SymbolTokens, optional
        Which tokens say the class of a run, and where a run ends, if they are read off the image.

    Raises
    ------
    SchemeError
        If a number is below 1, or a range of ids lies outside the vocabulary.
    """

    vocab_size: VocabSize
    max_tokens: MaxTokens
    grid: StartGrid | None = None
    ordinal_ranges: tuple[tuple[Index, Index], ...] = ()
    heads: tuple[Head, ...] = ()
    symbols: SymbolTokens | None = None

    def __post_init__(self) -> None:
        check_fields(self, SchemeError, "tokens.")
        for name, offset, size in self._segments():
            if offset < 0 or size < 1 or offset + size > self.vocab_size:
                raise SchemeError(
                    f"the {name} takes the ids {offset} to {offset + size - 1}, outside the "
                    f"vocabulary of {self.vocab_size}"
                )

    def _segments(self) -> list[tuple[str, int, int]]:
        """Name, offset and size of every range of ids."""
        segments = [("ordinal range", *ids) for ids in self.ordinal_ranges]
        segments += [("head", head.offset, head.size) for head in self.heads]
        if self.grid is not None:
            segments += [("stop", *stop) for stop in self.grid.stops]
            if self.grid.n_ids:
                segments.append(("grid of starts", self.grid.offset, self.grid.n_ids))
        if self.symbols is not None and self.symbols.offset is not None:
            segments.append(("range of symbols", self.symbols.offset, self.symbols.n_ids))
        return segments


@dataclass(frozen=True, kw_only=True)
class FramesConfig:
    """How many frames a window has, and how the model joins them.

    Parameters
    ----------
    n_frames : int
        N, the frames of a window, at least 1.
    fusion : {'middle', 'late', 'early', 'first'} or None
        Where frames are joined. 'middle': after the last encoder layer the first frame attends to
        the others (the paper's); 'late': the encoder attends to all frames at once; 'early': in a
        VideoSwin backbone; 'first': nowhere, the first frame stands for all (static video). None:
        windows of one frame.
    patch_frames : int, optional
        Frames of one patch of a VideoSwin backbone, a divisor of N; all by default.
    dense_frames : int, optional
        Frames of a window that keep all their features in middle and late fusion, 1 to N, the first
        among them; all by default. See `rleseg_core.model.video.SparseDense`.
    sparse_pool : int
        Side of the squares of feature positions that are averaged in the other frames, at least 1.

    Raises
    ------
    SchemeError
        If these do not go together.
    """

    n_frames: Frames = 1
    fusion: Fusion | None = None
    patch_frames: Frames | None = None
    dense_frames: Frames | None = None
    sparse_pool: Annotated[int, Within(1, 4096)] = 2

    def __post_init__(self) -> None:
        check_fields(self, SchemeError, "frames.")
        if (self.n_frames > 1) != (self.fusion is not None):
            raise SchemeError(
                f"windows of n_frames={self.n_frames} do not go with fusion={self.fusion!r}; use "
                "None for one frame, and 'middle', 'late', 'early' or 'first' for more"
            )
        if self.patch_frames is not None and (
            self.fusion != "early" or self.n_frames % self.patch_frames
        ):
            raise SchemeError(
                f"patch_frames={self.patch_frames} must divide n_frames={self.n_frames}, and needs "
                f"fusion='early', got {self.fusion!r}"
            )
        if self.dense_frames is not None and (
            self.fusion not in ("middle", "late") or not 1 <= self.dense_frames <= self.n_frames
        ):
            raise SchemeError(
                f"dense_frames={self.dense_frames} must lie between 1 and n_frames={self.n_frames},"
                f" and needs fusion='middle' or 'late', got {self.fusion!r}"
            )

    @property
    def frames_per_patch(self) -> int:
        """Frames of one patch of a VideoSwin backbone."""
        return self.patch_frames or self.n_frames

    @property
    def n_maps(self) -> int:
        """F, the feature maps of a window that the decoder attends to."""
        if self.fusion == "late":
            return self.n_frames
        return self.n_frames // self.frames_per_patch if self.fusion == "early" else 1


@dataclass(frozen=True, kw_only=True)
class BackboneConfig:
    """The network that turns pixels into feature maps.

    Parameters
    ----------
    kind : {'bottleneck', 'basic', 'vit', 'swin'}
        ResNet v1.5 with blocks of three convolutions at stride 32 (16 with three stages); a light
        ResNet with blocks of two at stride 16; patches of 16 × 16 pixels; VideoSwin.
    widths, blocks : tuple of int
        Filters and blocks of each stage; empty for patches.
    norm : {'batch', 'group'}
        Normalisation of a ResNet; that of groups does not depend on the batch.
    stem : {'published', 'torchvision'}
        The first layers of a bottleneck ResNet. 'published': pixel values as they are, and a pool
        padded below and right; 'torchvision': ImageNet's mean and deviation are taken out, and the
        pool is padded on all sides (weights of torchvision, timm and transformers).
    bn_eval : {'moving', 'batch'}
        What batch normalisation uses in evaluation: its running averages, or the statistics of the
        batch, as the published models do that were trained with a free backbone; the output for a
        window then depends on the other windows of its batch.
    map_size : (int, int), optional
        Rows and columns of the last feature map, for models that learn a vector for each of its
        positions; that of a square image by default.

    Raises
    ------
    SchemeError
        If there is no such backbone.
    """

    kind: BackboneKind = "bottleneck"
    widths: tuple[Width, ...] = (64, 128, 256, 512)
    blocks: tuple[Annotated[int, Within(1, 256)], ...] = (3, 4, 6, 3)
    norm: Literal["batch", "group"] = "batch"
    stem: Literal["published", "torchvision"] = "published"
    bn_eval: Literal["moving", "batch"] = "moving"
    map_size: tuple[Side, Side] | None = None

    def __post_init__(self) -> None:
        check_fields(self, SchemeError, "backbone.")
        n_stages = _N_STAGES[self.kind]
        if not len(self.widths) == len(self.blocks) in n_stages:
            raise SchemeError(
                f"a {self.kind} backbone has {' or '.join(map(str, n_stages))} stages, got widths "
                f"{self.widths} and blocks {self.blocks}"
            )

    @property
    def strides(self) -> tuple[int, ...]:
        """Input pixels from one feature position to the next, of each stage's output."""
        if self.kind == "vit":
            return (16,)
        if self.kind == "swin":
            return (8 * 2 ** (len(self.widths) - 2),)
        first = 4 if self.kind == "bottleneck" else 2
        return tuple(first * 2**k for k in range(len(self.widths)))


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """The shape of a stack of transformer layers.

    Parameters
    ----------
    dim : int
        Width of the vectors, a multiple of 4 and of `n_heads`.
    n_layers, n_heads : int
        Layers, and attention heads of each.
    mlp_dim : int
        Hidden width of the MLPs.

    Raises
    ------
    SchemeError
        If the numbers are too small or do not fit together.
    """

    part: ClassVar[str]
    least_layers: ClassVar[int]

    dim: Width = 256
    n_layers: Layers = 6
    n_heads: Width = 8
    mlp_dim: Width = 1024

    def __post_init__(self) -> None:
        check_fields(self, SchemeError, f"{self.part}.")
        if self.n_layers < self.least_layers:
            raise SchemeError(
                f"{self.part}.n_layers must be at least {self.least_layers}, got {self.n_layers}"
            )
        if self.dim % self.n_heads or self.dim % 4:
            raise SchemeError(
                f"{self.part}.dim must be a multiple of 4 and of {self.part}.n_heads, got "
                f"{self.dim} and {self.n_heads}"
            )


@dataclass(frozen=True, kw_only=True)
class EncoderConfig(TransformerConfig):
    """The shape of the encoder; it may have no layers."""

    part = "encoder"
    least_layers = 0


@dataclass(frozen=True, kw_only=True)
class DecoderConfig(TransformerConfig):
    """The shape of the decoder."""

    part = "decoder"
    least_layers = 1


@dataclass(frozen=True, kw_only=True)
class PointerConfig:
    """What the tokens of starts and lengths know of the image; see `rleseg_core.model.pointer`.

    Parameters
    ----------
    starts : {'table', 'codes', 'pointer', 'first_hit'}
        What a start token is scored by: a learned row (the paper); the row and a code of its
        coordinates; also the image at its mask pixel; or the odds that its pixel is the first from
        the cursor on that begins a run, for runs in ascending order.
    ends : {'table', 'first_hit'}
        What a length is scored by: its row and code, or the odds that its last pixel is the first
        that ends the run. 'first_hit' needs starts that look at the image.
    dense_classes : int
        C + 1 for a head that gives the class of each mask pixel of each frame besides the tokens,
        0 for none. Needs starts that look at the image.
    mask_dim : int
        Width of the path that brings the image to mask resolution, at least 1.
    affinities : tuple of (int, int)
        For models of instances, offsets (rows, columns) in mask pixels from a mask pixel to others
        of which a head says whether they belong to the same object; at least its left and its
        upper neighbour, (0, -1) and (-1, 0). Empty for no such head; needs `dense_classes`.
    outline_dim : int
        Width of a head that corrects what the dense heads say between mask pixels, at the
        resolution of the patch; 0 for none. Needs `dense_classes` and single frames.
    object_starts : bool
        Whether the first run of a block is scored by odds of its own: that an object begins at its
        pixel, after the first pixel of the object before. For blocks in the order of their first
        pixels; needs ``starts='first_hit'``.
    stops_by_mass : bool
        Whether greedy decoding first weighs all tokens that end a block or the sequence against all
        that could follow, and then takes the likeliest of the heavier ones; only for first hits,
        whose starts share their probability with neighbouring pixels.

    Raises
    ------
    SchemeError
        If these do not go together.
    """

    starts: Starts = "table"
    ends: Ends = "table"
    dense_classes: Annotated[int, Within(0, 2**16)] = 0
    mask_dim: Width = 128
    affinities: tuple[tuple[Offset, Offset], ...] = ()
    outline_dim: Annotated[int, Within(0, 2**10)] = 0
    object_starts: bool = False
    stops_by_mass: bool = False

    def __post_init__(self) -> None:
        check_fields(self, SchemeError, "pointer.")
        if not self.reads_image and (self.ends != "table" or self.dense_classes):
            raise SchemeError(
                f"ends={self.ends!r} and dense_classes={self.dense_classes} need the image at mask "
                f"resolution, which starts={self.starts!r} do not; use 'pointer' or 'first_hit'"
            )
        if self.outline_dim and not self.dense_classes:
            raise SchemeError(
                f"outline_dim={self.outline_dim} corrects a dense class head, and there is none; "
                "leave it out, or set dense_classes"
            )
        if self.affinities and not (
            self.dense_classes and {(0, -1), (-1, 0)} <= set(self.affinities)
        ):
            raise SchemeError(
                f"affinities={self.affinities} need a dense class head, and the offsets (0, -1) "
                "and (-1, 0) among them"
            )
        if self.object_starts and self.starts != "first_hit":
            raise SchemeError(
                f"object_starts need starts='first_hit', got {self.starts!r}; leave them out"
            )

    @property
    def reads_image(self) -> bool:
        """Whether starts look at the image."""
        return self.starts in ("pointer", "first_hit")
