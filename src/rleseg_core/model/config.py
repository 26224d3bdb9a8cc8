"""Everything a model's shape depends on, and the named sizes."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self

from rleseg_core.errors import SchemeError


@dataclass(frozen=True, kw_only=True)
class StartGrid:
    """Which token ids are flat starts, and the cell of the mask each one names.

    Parameters
    ----------
    offset : int
        Id of the start at cell 0.
    rows, cols : int
        Size of the mask in mask pixels; there are ``rows * cols`` start tokens.
    order : {'C', 'F'}
        Cell s is at row ``s // cols`` in C order, and at row ``s % rows`` in F order.
    """

    offset: int
    rows: int
    cols: int
    order: Literal["C", "F"] = "C"

    @property
    def size(self) -> int:
        """G, the number of start tokens."""
        return self.rows * self.cols


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Shape of a `Pix2Seq` model; the numbers of the paper's model are those of ``SIZES['paper']``.

    Parameters
    ----------
    vocab_size : int
        V, the token ids.
    max_tokens : int
        L, the decoder's positions; the first one is that of bos.
    image_size : int
        P, the input side in pixels that the model is meant for (others work with less accuracy).
    starts : {'table', 'pointer'}
        Whether a start token has only a learned row, or also looks at its cell of the image.
    grid : StartGrid, optional
        The start tokens; needed by pointers.
    ramps : tuple of (int, int)
        Offset and size of the segments whose ids are ordered, such as lengths; each id gets a code
        of its place. Empty in the paper.
    trunk : {'bottleneck', 'basic'}
        ResNet v1.5 with three-convolution blocks at stride 32, or a light one at stride 16.
    trunk_widths, trunk_blocks : tuple of int
        Filters and blocks of each stage.
    trunk_norm : {'batch', 'group'}
        Group normalisation does not depend on the batch.
    bn_eval : {'moving', 'batch'}
        What batch normalisation uses in evaluation: its running averages, or the statistics of the
        batch at hand, as the published models that were trained with a free trunk do; what comes
        out for a window then depends on its neighbours in the batch.
    encoder_dim, encoder_layers, encoder_heads, encoder_ff : int
        Width, depth, heads and hidden width of the encoder.
    decoder_dim, decoder_layers, decoder_heads, decoder_ff : int
        The same of the decoder.
    cell_dim : int
        Width of the path that brings the image to mask resolution for pointers.
    dropout, drop_path : float
        Rate inside the MLPs and after the trunk; rate of whole residual branches.

    Raises
    ------
    SchemeError
        If the numbers do not fit together.
    """

    vocab_size: int
    max_tokens: int
    image_size: int
    starts: Literal["table", "pointer"] = "table"
    grid: StartGrid | None = None
    ramps: tuple[tuple[int, int], ...] = ()
    trunk: Literal["bottleneck", "basic"] = "bottleneck"
    trunk_widths: tuple[int, ...] = (64, 128, 256, 512)
    trunk_blocks: tuple[int, ...] = (3, 4, 6, 3)
    trunk_norm: Literal["batch", "group"] = "batch"
    bn_eval: Literal["moving", "batch"] = "moving"
    encoder_dim: int = 256
    encoder_layers: int = 6
    encoder_heads: int = 8
    encoder_ff: int = 1024
    decoder_dim: int = 256
    decoder_layers: int = 6
    decoder_heads: int = 8
    decoder_ff: int = 1024
    cell_dim: int = 128
    dropout: float = 0.1
    drop_path: float = 0.1

    def __post_init__(self) -> None:
        for name in ("trunk_widths", "trunk_blocks"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "ramps", tuple((int(o), int(n)) for o, n in self.ramps))
        self._check_sizes()
        self._check_segments()

    def _check_sizes(self) -> None:
        if min(self.vocab_size, self.max_tokens, self.image_size) < 1:
            raise SchemeError(
                "vocab_size, max_tokens and image_size must be positive, got "
                f"{self.vocab_size}, {self.max_tokens} and {self.image_size}"
            )
        if self.bn_eval not in ("moving", "batch"):
            raise SchemeError(f"bn_eval must be 'moving' or 'batch', got {self.bn_eval!r}")
        if len(self.trunk_widths) != 4 or len(self.trunk_blocks) != 4:
            raise SchemeError(
                f"a trunk has four stages, got widths {self.trunk_widths} and blocks "
                f"{self.trunk_blocks}"
            )
        for part in ("encoder", "decoder"):
            dim, heads = getattr(self, f"{part}_dim"), getattr(self, f"{part}_heads")
            if dim % heads or dim % 4:
                raise SchemeError(
                    f"{part}_dim must be a multiple of 4 and of {part}_heads, got {dim} and {heads}"
                )

    def _check_segments(self) -> None:
        grid = self.grid
        if self.starts == "pointer" and grid is None:
            raise SchemeError(
                "pointer starts need the grid of flat (1D) start tokens, got none; use "
                "starts='table' for other schemes"
            )
        segments = [("ramp", *ramp) for ramp in self.ramps]
        if grid is not None:
            segments.append(("grid of starts", grid.offset, grid.size))
        for name, offset, size in segments:
            if offset < 0 or size < 1 or offset + size > self.vocab_size:
                raise SchemeError(
                    f"the {name} takes the ids {offset} to {offset + size - 1}, outside the "
                    f"vocabulary of {self.vocab_size}"
                )

    @property
    def trunk_strides(self) -> tuple[int, ...]:
        """Input pixels per cell of each trunk stage's output."""
        return (4, 8, 16, 32) if self.trunk == "bottleneck" else (2, 4, 8, 16)

    @property
    def bridge_ff(self) -> int:
        """Hidden width of the bridge: the encoder's MLP ratio times the decoder's width."""
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
            return cls(**values)
        except TypeError as error:
            raise SchemeError(
                f"these are not the settings of a model of this version ({error})"
            ) from error


_PAPER = ModelConfig(vocab_size=1, max_tokens=1, image_size=640)

_SMALL = replace(
    _PAPER,
    trunk="basic",
    trunk_widths=(48, 96, 192, 320),
    trunk_blocks=(1, 2, 2, 2),
    trunk_norm="group",
    encoder_layers=4,
    encoder_ff=768,
    decoder_layers=4,
    decoder_ff=768,
    image_size=256,
)

SIZES: dict[str, ModelConfig] = {
    "paper": _PAPER,
    "small": _SMALL,
    "nano": replace(
        _SMALL,
        trunk_widths=(32, 64, 128, 192),
        trunk_blocks=(1, 1, 1, 1),
        encoder_dim=192,
        encoder_layers=2,
        encoder_heads=6,
        encoder_ff=576,
        decoder_dim=192,
        decoder_layers=3,
        decoder_heads=6,
        decoder_ff=576,
        cell_dim=96,
        image_size=128,
        dropout=0.0,
        drop_path=0.0,
    ),
    "test": replace(
        _SMALL,
        trunk_widths=(8, 8, 16, 16),
        trunk_blocks=(1, 1, 1, 1),
        encoder_dim=16,
        encoder_layers=1,
        encoder_heads=2,
        encoder_ff=32,
        decoder_dim=16,
        decoder_layers=1,
        decoder_heads=2,
        decoder_ff=32,
        cell_dim=16,
        image_size=32,
        dropout=0.0,
        drop_path=0.0,
    ),
}


def model_config(
    size: str,
    *,
    vocab_size: int,
    max_tokens: int,
    image_size: int,
    grid: StartGrid | None = None,
    **changes: Any,
) -> ModelConfig:
    """Config of a named size for a vocabulary.

    Parameters
    ----------
    size : str
        One of `SIZES`: "paper" (the published model), "small" (a laptop's GPU), "nano" (a CPU),
        "test".
    vocab_size, max_tokens, image_size : int
        As in `ModelConfig`.
    grid : StartGrid, optional
        Where the scheme has flat starts; then starts are pointers, but in "paper".
    **changes : object
        Other fields of `ModelConfig`.

    Raises
    ------
    SchemeError
        If there is no such size or field, or the numbers do not fit together.
    """
    if size not in SIZES:
        raise SchemeError(f"there is no model size {size!r}, only {', '.join(SIZES)}")
    changes.setdefault("starts", "table" if size == "paper" or grid is None else "pointer")
    try:
        return replace(
            SIZES[size],
            vocab_size=vocab_size,
            max_tokens=max_tokens,
            image_size=image_size,
            grid=grid,
            **changes,
        )
    except TypeError as error:
        raise SchemeError(f"a model has no such setting: {error}") from error
