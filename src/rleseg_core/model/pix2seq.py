"""Pix2Seq: an image goes in, a sequence of tokens comes out."""

from collections.abc import Callable

from torch import Tensor, nn

from rleseg_core.errors import SchemeError
from rleseg_core.model.cache import Cache
from rleseg_core.model.config import ModelConfig
from rleseg_core.model.decoder import Decoder, Memory
from rleseg_core.model.encoder import Bridge, Encoder
from rleseg_core.model.layers import initialise
from rleseg_core.model.pointer import CellPath
from rleseg_core.model.resnet import ResNet
from rleseg_core.model.swin import VideoSwin
from rleseg_core.model.vit import PatchTrunk

_TRUNKS: dict[str, Callable[[ModelConfig], ResNet | PatchTrunk | VideoSwin]] = {
    "bottleneck": ResNet,
    "basic": ResNet,
    "vit": PatchTrunk,
    "swin": VideoSwin,
}


class Pix2Seq(nn.Module):
    """Trunk, encoder, bridge and decoder.

    Parameters
    ----------
    config : ModelConfig
        Its shape.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk = _TRUNKS[config.trunk](config)
        self.encoder = Encoder(config, self.trunk.channels[-1])
        self.bridge = Bridge(config)
        self.cells = (
            CellPath(config, config.grid, self.trunk.channels)
            if config.starts == "pointer" and config.grid is not None
            else None
        )
        self.decoder = Decoder(config)
        for part in (self.encoder, self.bridge, self.decoder.layers, self.decoder.pointer):
            if part is not None:
                initialise(part)

    @property
    def n_parameters(self) -> int:
        """Number of trainable values."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    def encode(self, images: Tensor) -> Memory:
        """Read windows.

        Parameters
        ----------
        images : (B, N, 3, P, P) float tensor
            Patches in [0, 1].

        Returns
        -------
        Memory
            What decoding needs of them.

        Raises
        ------
        SchemeError
            If the windows have another number of frames than the model reads.
        """
        if images.ndim != 5 or images.shape[2] != 3:
            raise SchemeError(f"images must be (B, N, 3, P, P), got {tuple(images.shape)}")
        n_frames = self.config.n_frames
        if images.shape[1] != n_frames:
            reads = "one frame at a time" if n_frames == 1 else f"windows of {n_frames} frames"
            raise SchemeError(
                f"this model reads {reads}, got windows of {images.shape[1]}; use a scheme and "
                f"windows with n_frames {n_frames}"
            )
        features = self._features(images)
        encoded = self.encoder(features[-1])
        height, width = features[-1].shape[-2:]
        cells = None if self.cells is None else self.cells(features, encoded)
        return Memory(self.bridge(encoded, (height, width)), cells)

    def _features(self, images: Tensor) -> list[Tensor]:
        """The trunk's maps, (B, C, h, w), or (B, F, C, h, w) where several frames are joined."""
        if self.config.fusion == "early":
            return self.trunk(images)
        if self.config.fusion in (None, "first"):
            return self.trunk(images[:, 0])
        folded = self.trunk(images.flatten(0, 1))
        return [maps.unflatten(0, images.shape[:2]) for maps in folded]

    def forward(self, memory: Memory, tokens: Tensor) -> Tensor:
        """Logits of the next token after each of a known sequence.

        Parameters
        ----------
        memory : Memory
            Of B windows.
        tokens : (B, L) int64 tensor
            bos and then the sequence without its last token; padding at the end is harmless.

        Returns
        -------
        (B, L, V) tensor
            Logits.

        Raises
        ------
        SchemeError
            If the sequence is longer than the model's positions.
        """
        self._check_room(tokens.shape[1])
        return self.decoder(memory, tokens)

    def new_cache(self, memory: Memory, max_tokens: int) -> Cache:
        """Room for sequences of up to `max_tokens` tokens, bos included, over B windows.

        Raises
        ------
        SchemeError
            If that is more than the model's positions.
        """
        self._check_room(max_tokens)
        return self.decoder.new_cache(memory, max_tokens)

    def extend(self, tokens: Tensor, cache: Cache, fixed: int | None = None) -> Tensor:
        """Logits (B, T, V) after each of T more tokens (B, T) of every sequence.

        Those of `forward`; the cache moves on by T, and `Cache.take_back` returns from tokens that
        turned out wrong.

        Parameters
        ----------
        tokens : (B, T) int64 tensor
            What comes next in each sequence, bos at the beginning.
        cache : Cache
            What they have behind them.
        fixed : int, optional
            Positions to look at, for shapes that stay the same; at least those there will be.
        """
        return self.decoder.extend(tokens, cache, fixed)

    def step(self, tokens: Tensor, cache: Cache) -> Tensor:
        """Logits (B, V) after one more token (B,) of each sequence; the cache moves on.

        The first token is bos. The logits are those of `forward`.
        """
        return self.decoder.step(tokens, cache)

    def _check_room(self, n_tokens: int) -> None:
        if n_tokens > self.config.max_tokens:
            raise SchemeError(
                f"{n_tokens} tokens do not fit this model, which has {self.config.max_tokens} "
                "positions; use a smaller token budget, or a model made with a larger one"
            )
