"""Everything a model's shape depends on; the named sizes are in `rleseg_core.model.sizes`."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Self

from rleseg_core.checks import Rate, Side, check_fields, from_mapping
from rleseg_core.errors import SchemeError
from rleseg_core.model.config_parts import (
    BackboneConfig,
    DecoderConfig,
    EncoderConfig,
    FramesConfig,
    PointerConfig,
    TokensConfig,
)

_PARTS = {
    "tokens": TokensConfig,
    "frames": FramesConfig,
    "backbone": BackboneConfig,
    "encoder": EncoderConfig,
    "decoder": DecoderConfig,
    "pointer": PointerConfig,
}


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Shape of a `Pix2Seq` model; the defaults are those of the paper's model.

    Parameters
    ----------
    image_size : int
        P, the input side in pixels that the model is meant for (others work with less accuracy).
    tokens : TokensConfig
        The vocabulary, and what is known of it.
    frames : FramesConfig
        The frames of a window.
    backbone : BackboneConfig
        From pixels to feature maps.
    encoder : EncoderConfig
        The transformer over the feature positions.
    decoder : DecoderConfig
        The transformer over the tokens.
    pointer : PointerConfig
        What the tokens of starts and lengths know of the image.
    dropout, drop_path : float
        Rate inside the MLPs and after the backbone, and rate of whole residual branches; each from
        0 to below 1.

    Raises
    ------
    SchemeError
        If the parts do not fit together.
    """

    image_size: Side
    tokens: TokensConfig
    frames: FramesConfig = field(default_factory=FramesConfig)
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    pointer: PointerConfig = field(default_factory=PointerConfig)
    dropout: Rate = 0.1
    drop_path: Rate = 0.1

    def __post_init__(self) -> None:
        check_fields(self, SchemeError)
        if (self.frames.fusion == "early") != (self.backbone.kind == "swin"):
            raise SchemeError(
                f"fusion={self.frames.fusion!r} does not go with backbone={self.backbone.kind!r}: "
                "frames are joined early in a 'swin' backbone (sizes swin-t, swin-s, swin-b), and "
                "there alone"
            )
        if self.encoder.mlp_dim < self.encoder.dim:
            raise SchemeError(
                f"encoder.mlp_dim must be at least encoder.dim, got {self.encoder.mlp_dim} and "
                f"{self.encoder.dim}"
            )
        of_one_frame = self.pointer.affinities or self.pointer.outline_dim
        if of_one_frame and self.frames.n_frames > 1:
            raise SchemeError(
                "affinities and outline_dim are for windows of one frame, not of "
                f"{self.frames.n_frames}; leave them out"
            )
        starts = self.pointer.starts
        if self.tokens.heads and starts not in ("table", "first_hit"):
            raise SchemeError(
                f"several heads have no starts={starts!r}; use 'table' or 'first_hit'"
            )
        if starts == "first_hit" and any(head.field is None for head in self.tokens.heads):
            raise SchemeError(
                "heads with starts='first_hit' need a field each, which says what their tokens "
                "are; use starts='table' without"
            )
        if starts != "table" and self.tokens.grid is None:
            raise SchemeError(
                f"starts={starts!r} need a grid that says where the tokens of runs are, got none; "
                "use starts='table' for such schemes"
            )

    @property
    def feature_grid(self) -> tuple[int, int]:
        """Rows and columns of the backbone's last feature map."""
        if self.backbone.map_size is not None:
            return self.backbone.map_size
        stride = self.backbone.strides[-1]
        side = self.image_size // stride
        if self.backbone.kind != "vit":
            side = -(-self.image_size // stride)
        return side, side

    @property
    def projection_mlp_dim(self) -> int:
        """Hidden width of the projection: the encoder's MLP ratio times the decoder's width."""
        return self.encoder.mlp_dim // self.encoder.dim * self.decoder.dim

    def with_changes(self, **changes: Any) -> Self:
        """The config with other values of some settings, checked when all are in.

        Parameters
        ----------
        **changes : object
            By the names of `setting_name`.

        Raises
        ------
        SchemeError
            If there is no such setting, or the numbers do not fit together.
        """
        own: dict[str, Any] = {}
        of_parts: dict[str, dict[str, Any]] = {}
        for name, value in changes.items():
            part, _, setting = setting_name(name).rpartition(".")
            if part:
                of_parts.setdefault(part, {})[setting] = value
            else:
                own[setting] = value
        for part, values in of_parts.items():
            own[part] = replace(getattr(self, part), **values)
        return replace(self, **own)

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
        return from_mapping(cls, values, SchemeError)


def setting_name(name: str) -> str:
    """The dotted name of a setting of `ModelConfig`, such as 'encoder.dim'.

    Parameters
    ----------
    name : str
        That name; the same with an underscore, as keyword arguments have it ('encoder_dim'); or its
        last part where only one setting ends so ('n_frames').

    Raises
    ------
    SchemeError
        If there is no such setting, or several.
    """
    if name in _NAMES:
        return _NAMES[name]
    ending = [dotted for dotted in _DOTTED if dotted.endswith(f".{name}")]
    if ending:
        raise SchemeError(f"several settings of a model are called {name!r}: {', '.join(ending)}")
    raise SchemeError(
        f"a model has no such setting: {name}; there are {', '.join(sorted(_DOTTED))}"
    )


_DOTTED = [f"{part}.{each.name}" for part, config in _PARTS.items() for each in fields(config)]
_DOTTED += [each.name for each in fields(ModelConfig) if each.name not in _PARTS]
_ENDINGS = Counter(dotted.rpartition(".")[2] for dotted in _DOTTED)
_NAMES = {
    **{end: name for name in _DOTTED if _ENDINGS[end := name.rpartition(".")[2]] == 1},
    **{name.replace(".", "_"): name for name in _DOTTED},
    **{name: name for name in _DOTTED},
}
