"""Everything a model's shape depends on; the named sizes are in `rleseg_core.model.sizes`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from rleseg_core.errors import SchemeError
from rleseg_core.spec import StartGrid

_NUMBERS = (
    *("encoder_dim", "encoder_heads", "encoder_ff", "mask_dim"),
    *("decoder_dim", "decoder_heads", "decoder_ff", "decoder_layers"),
)


@dataclass(frozen=True, kw_only=True)
class Head:
    """The tokens of one head among those of all heads.

    Parameters
    ----------
    offset, size : int
        Its token t has the row ``offset + t`` of the table; heads may share rows.
    prompt : int
        What it is given to begin with.
    """

    offset: int
    size: int
    prompt: int


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Shape of a `Pix2Seq` model; the numbers of the paper's model are those of ``SIZES['paper']``.

    Parameters
    ----------
    vocab_size : int
        V, the token ids; with several heads the rows of all their tables together.
    max_tokens : int
        L, the decoder's positions, the first one that of bos; with several heads those of each.
    image_size : int
        P, the input side in pixels that the model is meant for (others work with less accuracy).
    starts : {'table', 'codes', 'pointer', 'first_hit'}
        What start tokens know: a learned row (the paper); also a code of their place; also the
        image at their cell; or which cell is the first one from the last run on that begins one,
        for runs in ascending order. See `rleseg_core.model.pointer`.
    ends : {'table', 'first_hit'}
        Whether a length has only its row and code, or is read off the image: up to the first cell
        that ends a run. Needs starts that look at the image.
    grid : StartGrid, optional
        The start tokens; needed by all but tables.
    dense_classes : int
        C + 1 for a head that tells the class of each cell of each frame besides, 0 for none. Needs
        starts that look at the image.
    ordinal_ranges : tuple of (int, int)
        Offset and size of the segments whose ids are ordered, such as lengths; each id gets a code
        of its place. Empty in the paper.
    heads : tuple of Head
        One for each field of a run, with sequences of their own (Fig. 19); empty: one sequence.
    n_frames : int
        N, the frames of a window.
    fusion : {'middle', 'late', 'early', 'first'} or None
        How a window's frames are joined. 'middle': the first looks at the others after the last
        encoder layer (the paper's); 'late': the encoder sees the cells of all at once; 'early': in
        a VideoSwin backbone; 'first': only the first is looked at (static video). None: one frame.
    patch_frames : int, optional
        Frames of one patch of a VideoSwin backbone, all by default.
    dense_frames : int, optional
        Frames of a window that keep all their cells in middle and late fusion, the first among
        them; all by default. See `rleseg_core.model.video.SparseDense`.
    sparse_pool : int
        Side of the squares of cells that are averaged in the other frames.
    map_size : (int, int), optional
        Rows and columns of the backbone's last feature map, for models that learn a vector for each
        of its cells; that of a square image by default.
    backbone : {'bottleneck', 'basic', 'vit', 'swin'}
        ResNet v1.5 with three-convolution blocks at stride 32 (16 with three stages), or a light
        one at stride 16; patches of 16 pixels; VideoSwin.
    backbone_widths, backbone_blocks : tuple of int
        Filters and blocks of each stage; none of patches.
    backbone_norm : {'batch', 'group'}
        Group normalisation does not depend on the batch.
    stem : {'published', 'torchvision'}
        How a bottleneck backbone begins: with values as they come and a pool padded below and right
        (the paper's weights), or with ImageNet's mean and deviation taken out and a pool padded all
        around (weights of torchvision, timm and transformers).
    bn_eval : {'moving', 'batch'}
        What batch normalisation uses in evaluation: its running averages, or the statistics of the
        batch at hand, as the published models that were trained with a free backbone do; what comes
        out for a window then depends on its neighbours in the batch.
    encoder_dim, encoder_layers, encoder_heads, encoder_ff : int
        Width, depth, heads and hidden width of the encoder.
    decoder_dim, decoder_layers, decoder_heads, decoder_ff : int
        The same of the decoder.
    mask_dim : int
        Width of the path that brings the image to mask resolution for pointers.
    dropout, drop_path : float
        Rate inside the MLPs and after the backbone; rate of whole residual branches.

    Raises
    ------
    SchemeError
        If the numbers do not fit together.
    """

    vocab_size: int
    max_tokens: int
    image_size: int
    starts: Literal["table", "codes", "pointer", "first_hit"] = "table"
    ends: Literal["table", "first_hit"] = "table"
    grid: StartGrid | None = None
    dense_classes: int = 0
    ordinal_ranges: tuple[tuple[int, int], ...] = ()
    heads: tuple[Head, ...] = ()
    n_frames: int = 1
    fusion: Literal["middle", "late", "early", "first"] | None = None
    patch_frames: int | None = None
    dense_frames: int | None = None
    sparse_pool: int = 2
    map_size: tuple[int, int] | None = None
    backbone: Literal["bottleneck", "basic", "vit", "swin"] = "bottleneck"
    backbone_widths: tuple[int, ...] = (64, 128, 256, 512)
    backbone_blocks: tuple[int, ...] = (3, 4, 6, 3)
    backbone_norm: Literal["batch", "group"] = "batch"
    stem: Literal["published", "torchvision"] = "published"
    bn_eval: Literal["moving", "batch"] = "moving"
    encoder_dim: int = 256
    encoder_layers: int = 6
    encoder_heads: int = 8
    encoder_ff: int = 1024
    decoder_dim: int = 256
    decoder_layers: int = 6
    decoder_heads: int = 8
    decoder_ff: int = 1024
    mask_dim: int = 128
    dropout: float = 0.1
    drop_path: float = 0.1

    def __post_init__(self) -> None:
        for name in ("backbone_widths", "backbone_blocks"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(
            self, "ordinal_ranges", tuple((int(o), int(n)) for o, n in self.ordinal_ranges)
        )
        object.__setattr__(self, "heads", tuple(self.heads))
        if self.map_size is not None:
            object.__setattr__(self, "map_size", tuple(self.map_size))
        self._check_sizes()
        self._check_frames()
        self._check_segments()

    def _check_sizes(self) -> None:
        if min(self.vocab_size, self.max_tokens, self.image_size) < 1:
            raise SchemeError(
                "vocab_size, max_tokens and image_size must be positive, got "
                f"{self.vocab_size}, {self.max_tokens} and {self.image_size}"
            )
        if self.bn_eval not in ("moving", "batch"):
            raise SchemeError(f"bn_eval must be 'moving' or 'batch', got {self.bn_eval!r}")
        if self.stem not in ("published", "torchvision"):
            raise SchemeError(f"stem must be 'published' or 'torchvision', got {self.stem!r}")
        n_stages = {"vit": (0,), "swin": (1, 2, 3, 4)}.get(self.backbone, (3, 4))
        if not len(self.backbone_widths) == len(self.backbone_blocks) in n_stages:
            raise SchemeError(
                f"a {self.backbone} backbone has {' or '.join(map(str, n_stages))} stages, got "
                f"widths {self.backbone_widths} and blocks {self.backbone_blocks}"
            )
        for name in ("backbone_widths", "backbone_blocks", *_NUMBERS):
            numbers = getattr(self, name)
            if min(numbers if isinstance(numbers, tuple) else (numbers,), default=1) < 1:
                raise SchemeError(f"{name} must be positive, got {numbers}")
        for name in ("dropout", "drop_path"):
            if not 0 <= getattr(self, name) < 1:
                raise SchemeError(f"{name} must be from 0 to below 1, got {getattr(self, name)}")
        for part in ("encoder", "decoder"):
            dim, heads = getattr(self, f"{part}_dim"), getattr(self, f"{part}_heads")
            if dim % heads or dim % 4:
                raise SchemeError(
                    f"{part}_dim must be a multiple of 4 and of {part}_heads, got {dim} and {heads}"
                )

    def _check_frames(self) -> None:
        if self.fusion not in (None, "middle", "late", "early", "first"):
            raise SchemeError(
                f"there is no fusion {self.fusion!r}; use 'middle', 'late', 'early' or 'first'"
            )
        if (self.n_frames > 1) != (self.fusion is not None) or self.n_frames < 1:
            raise SchemeError(
                f"windows of n_frames={self.n_frames} do not go with fusion={self.fusion!r}; use "
                "None for one frame, and 'middle', 'late', 'early' or 'first' for more"
            )
        if (self.fusion == "early") != (self.backbone == "swin"):
            raise SchemeError(
                f"fusion={self.fusion!r} does not go with backbone={self.backbone!r}: frames are "
                "joined early in a 'swin' backbone (sizes swin-t, swin-s, swin-b), and there alone"
            )
        if self.patch_frames is not None and (
            self.fusion != "early" or self.patch_frames < 1 or self.n_frames % self.patch_frames
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
        if self.sparse_pool < 1:
            raise SchemeError(f"sparse_pool must be at least 1, got {self.sparse_pool}")

    def _check_segments(self) -> None:
        grid = self.grid
        if self.starts not in ("table", "codes", "pointer", "first_hit"):
            raise SchemeError(
                f"there are no starts={self.starts!r}; use 'table', 'codes', "
                "'pointer' or 'first_hit'"
            )
        if self.heads and self.starts != "table":
            raise SchemeError(f"several heads have no starts={self.starts!r}; use 'table'")
        if self.starts != "table" and grid is None:
            raise SchemeError(
                f"starts={self.starts!r} need a grid that says where the tokens of runs are, got "
                "none; use starts='table' for such schemes"
            )
        if not self.points and (self.ends != "table" or self.dense_classes):
            raise SchemeError(
                f"ends={self.ends!r} and dense_classes={self.dense_classes} need the image at mask "
                f"resolution, which starts={self.starts!r} do not; use 'pointer' or 'first_hit'"
            )
        segments = [("ordinal range", *ids) for ids in self.ordinal_ranges]
        segments += [("head", head.offset, head.size) for head in self.heads]
        if grid is not None:
            segments += [("stop", *stop) for stop in grid.stops]
            if grid.n_ids:
                segments.append(("grid of starts", grid.offset, grid.n_ids))
        for name, offset, size in segments:
            if offset < 0 or size < 1 or offset + size > self.vocab_size:
                raise SchemeError(
                    f"the {name} takes the ids {offset} to {offset + size - 1}, outside the "
                    f"vocabulary of {self.vocab_size}"
                )

    @property
    def points(self) -> bool:
        """Whether starts look at the image."""
        return self.starts in ("pointer", "first_hit")

    @property
    def backbone_strides(self) -> tuple[int, ...]:
        """Input pixels per cell of each backbone stage's output."""
        if self.backbone in ("vit", "swin"):
            return (16 if self.backbone == "vit" else 8 * 2 ** (len(self.backbone_widths) - 2),)
        first = 4 if self.backbone == "bottleneck" else 2
        return tuple(first * 2**k for k in range(len(self.backbone_widths)))

    @property
    def frames_of_patch(self) -> int:
        """Frames of one patch of a VideoSwin backbone."""
        return self.patch_frames or self.n_frames

    @property
    def n_maps(self) -> int:
        """F, the feature maps of a window whose cells the decoder gets to see."""
        if self.fusion == "late":
            return self.n_frames
        return self.n_frames // self.frames_of_patch if self.fusion == "early" else 1

    @property
    def feature_grid(self) -> tuple[int, int]:
        """Rows and columns of the backbone's last feature map."""
        if self.map_size is not None:
            return self.map_size
        side = self.image_size // self.backbone_strides[-1]
        if self.backbone != "vit":
            side = -(-self.image_size // self.backbone_strides[-1])
        return side, side

    @property
    def projection_ff(self) -> int:
        """Hidden width of the projection: the encoder's MLP ratio times the decoder's width."""
        return self.encoder_ff // self.encoder_dim * self.decoder_dim

    def to_json(self) -> dict[str, object]:
        """Plain values for a JSON header."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The config that `to_json` gave.

        Raises
        ------
        SchemeError
            If the values are not those of a model of this version.
        """
        values = dict(values)
        try:
            if values.get("grid") is not None:
                values["grid"] = StartGrid(**values["grid"])
            values["heads"] = tuple(Head(**head) for head in values.get("heads", ()))
            return cls(**values)
        except TypeError as error:
            raise SchemeError(
                f"these are not the settings of a model of this version ({error})"
            ) from error
