"""Pix2Seq: an image goes in, a sequence of tokens comes out."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import assert_never

import torch
from torch import Tensor, nn

from rleseg_core.errors import SchemeError
from rleseg_core.model.backbones.resnet import ResNet
from rleseg_core.model.backbones.swin import VideoSwin
from rleseg_core.model.backbones.vit import PatchBackbone
from rleseg_core.model.cache import Cache
from rleseg_core.model.config import ModelConfig
from rleseg_core.model.decoder import Decoder, Memory
from rleseg_core.model.encoder import Encoder, Projection
from rleseg_core.model.heads import PointedTurns, Turns, to_heads, to_rows
from rleseg_core.model.layers import initialise
from rleseg_core.model.outlines import OutlineHead
from rleseg_core.model.pointer import HeadPointer, MaskFeatures
from rleseg_core.spec import StartGrid

_BACKGROUND = 2.0  # logit


def _new_backbone(config: ModelConfig) -> ResNet | PatchBackbone | VideoSwin:
    match config.backbone.kind:
        case "bottleneck" | "basic":
            return ResNet(config.backbone)
        case "vit":
            return PatchBackbone(config)
        case "swin":
            return VideoSwin(config)
        case kind:
            assert_never(kind)


def _in_bf16(device: torch.device, wanted: bool) -> torch.autocast | nullcontext[None]:
    return torch.autocast(device.type, torch.bfloat16) if wanted else nullcontext()


def _on_grid(maps: Tensor, grid: StartGrid) -> Tensor:
    """Maps (…, G) in the order of the starts as maps (…, S, S), or (…, N, S, S) of a volume."""
    if grid.n_frames > 1:
        shape = (grid.n_frames, grid.rows, grid.cols)
        if grid.order == "F":
            return maps.unflatten(-1, shape[::-1]).transpose(-1, -3)
        return maps.unflatten(-1, shape)
    if grid.order == "F":
        return maps.unflatten(-1, (grid.cols, grid.rows)).transpose(-1, -2)
    return maps.unflatten(-1, (grid.rows, grid.cols))


class Pix2Seq(nn.Module):
    """Backbone, encoder, projection and decoder.

    Parameters
    ----------
    config : ModelConfig
        Shape of the model.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = _new_backbone(config)
        self.encoder = Encoder(config, self.backbone.channels[-1])
        self.projection = Projection(config)
        self.mask_features = (
            MaskFeatures(config, config.tokens.grid, self.backbone.channels)
            if config.pointer.reads_image and config.tokens.grid is not None
            else None
        )
        self.dense = (
            nn.Linear(config.decoder.dim, self.frames_of_pixel * config.pointer.dense_classes)
            if config.pointer.dense_classes
            else None
        )
        self.affinity = (
            nn.Linear(config.decoder.dim, len(config.pointer.affinities))
            if config.pointer.affinities
            else None
        )
        self.outline = OutlineHead(config) if config.pointer.outline_dim else None
        self.decoder = Decoder(config)
        for part in (
            self.encoder,
            self.projection,
            self.dense,
            self.affinity,
            self.decoder.layers,
            self.decoder.pointer,
        ):
            if part is not None:
                initialise(part)
        if self.dense is not None:  # nearly everything is background, before all learning
            nn.init.constant_(self.dense.bias.view(self.frames_of_pixel, -1)[:, 0], _BACKGROUND)

    @property
    def frames_of_pixel(self) -> int:
        """Frames in which a mask pixel of the starts has a class: 1 in volumes, else N."""
        grid = self.config.tokens.grid
        return 1 if grid is not None and grid.n_frames > 1 else self.config.frames.n_frames

    @property
    def stops(self) -> Tensor | None:
        """Tokens (S,) that end a block or the sequence, if they are weighed by their mass."""
        pointer = self.decoder.pointer
        by_mass = self.config.pointer.stops_by_mass and pointer is not None and pointer.first_hit
        return pointer.tracker.stop_ids if by_mass and pointer is not None else None

    @property
    def n_parameters(self) -> int:
        """Number of trainable values."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    def encode(self, images: Tensor, *, bf16_convolutions: bool = False) -> Memory:
        """Encode windows, once for all their tokens.

        Parameters
        ----------
        images : (B, N, 3, P, P) float tensor
            Patches, values in [0, 1].
        bf16_convolutions : bool
            Whether the backbone and the mask features compute in bfloat16, where the rest does not.

        Returns
        -------
        Memory
            Everything that decoding needs of the windows.

        Raises
        ------
        SchemeError
            If the windows have another number of frames than the model reads.
        """
        if images.ndim != 5 or images.shape[2] != 3:
            raise SchemeError(f"images must be (B, N, 3, P, P), got {tuple(images.shape)}")
        n_frames = self.config.frames.n_frames
        if images.shape[1] != n_frames:
            reads = "one frame at a time" if n_frames == 1 else f"windows of {n_frames} frames"
            raise SchemeError(
                f"this model reads {reads}, got windows of {images.shape[1]}; use a scheme and "
                f"windows with n_frames {n_frames}"
            )
        with _in_bf16(images.device, bf16_convolutions):
            features = self._features(images)
        top = features[-1].contiguous()
        encoded = self.encoder(top.float() if bf16_convolutions else top)
        height, width = top.shape[-2:]
        at_mask = None
        if self.mask_features is not None:
            with _in_bf16(images.device, bf16_convolutions):
                at_mask = self.mask_features(features, encoded)
            at_mask = at_mask.float() if bf16_convolutions else at_mask
        dense = None
        if self.dense is not None and at_mask is not None:
            dense = self.dense(at_mask).unflatten(-1, (self.frames_of_pixel, -1)).float()
        affinities = None
        if self.affinity is not None and at_mask is not None:
            affinities = self.affinity(at_mask).float()
        context = self.projection(encoded, (height, width))
        memory = Memory(context, at_mask, dense, affinities)
        if self.outline is None or at_mask is None:
            return memory
        with _in_bf16(images.device, bf16_convolutions):
            return replace(memory, pixels=self._pixels(images, memory, at_mask))

    def dense_logits(self, memory: Memory) -> Tensor:
        """Class logits of the dense head, which writes no token.

        Returns
        -------
        (B, N, C + 1, S, S) tensor
            Logits of the classes of each mask pixel, background first.

        Raises
        ------
        SchemeError
            If the model has no such head.
        """
        grid = self.config.tokens.grid
        if grid is None or memory.dense is None:
            raise SchemeError(
                "this model has no dense class head, which previews and dense drafts need; the "
                "bundled model cells has one, and so has what is fine-tuned from it"
            )
        maps = _on_grid(memory.dense.movedim(1, -1), grid)  # of (B, N, C + 1, G)
        return maps[:, 0].movedim(1, 2) if grid.n_frames > 1 else maps

    def affinity_logits(self, memory: Memory) -> Tensor:
        """Log odds that each mask pixel and those beside it belong to the same object.

        Returns
        -------
        (B, K, S, S) tensor
            One map for each offset of ``config.pointer.affinities``.

        Raises
        ------
        SchemeError
            If the model has no such head.
        """
        grid = self.config.tokens.grid
        if grid is None or memory.affinities is None:
            raise SchemeError(
                "this model has no head of affinities, which previews and dense drafts of objects "
                "need; new instance-wise models of single frames (scheme 'iw') have one"
            )
        return _on_grid(memory.affinities.transpose(1, 2), grid)

    def pixel_logits(self, memory: Memory) -> Tensor | None:
        """What the head for outlines says of the pixels of patches, None without one.

        Returns
        -------
        (B, C + 1 + 2, P, P) tensor or None
            See `OutlineHead`.
        """
        return memory.pixels

    def _pixels(self, images: Tensor, memory: Memory, at_mask: Tensor) -> Tensor:
        """What the head for outlines says of the pixels of patches."""
        assert self.outline is not None
        assert self.config.tokens.grid is not None
        features = _on_grid(at_mask.transpose(1, 2), self.config.tokens.grid)
        affinities = None if memory.affinities is None else self.affinity_logits(memory)
        classes = self.dense_logits(memory)[:, 0]
        pixels: Tensor = self.outline(images[:, 0], features, classes, affinities)
        return pixels

    def _features(self, images: Tensor) -> list[Tensor]:
        """The backbone's maps, (B, C, h, w), or (B, F, C, h, w) where several frames are joined."""
        if self.config.frames.fusion == "early":
            return self.backbone(images)
        if self.config.frames.fusion in (None, "first"):
            return self.backbone(images[:, 0])
        folded = self.backbone(images.flatten(0, 1))
        return [maps.unflatten(0, images.shape[:2]) for maps in folded]

    def forward(self, memory: Memory, tokens: Tensor) -> Tensor:
        """Logits of the next token after each of a known sequence.

        Parameters
        ----------
        memory : Memory
            The encoded B windows.
        tokens : (B, L) int64 tensor, or (B, K, L) of several heads
            bos and then the sequence without its last token; padding at the end is harmless.

        Returns
        -------
        (B, L, V) tensor, or (B, K, L, V) of several heads
            Logits; minus infinity for ids that a head does not have. Where heads look at the image,
            those of a head are given the next tokens of the heads before it; nothing is known of
            what comes after the last tokens, as if it were the end.

        Raises
        ------
        SchemeError
            If the sequence is longer than the model's positions.
        """
        self._check_capacity(tokens.shape[-1])
        heads = self.config.tokens.heads
        if not heads:
            return self.decoder(memory, tokens)
        return to_heads(self.decoder(self._for_heads(memory), to_rows(tokens, heads)), heads)

    def new_cache(self, memory: Memory, max_tokens: int) -> Cache:
        """An empty cache for sequences of up to `max_tokens` tokens, bos included, of B windows.

        Raises
        ------
        SchemeError
            If that is more than the model's positions.
        """
        self._check_capacity(max_tokens)
        if not self.config.tokens.heads:
            return self.decoder.new_cache(memory, max_tokens)
        cache = self.decoder.new_cache(self._for_heads(memory), max_tokens)
        return replace(cache, n_heads=len(self.config.tokens.heads))

    def _for_heads(self, memory: Memory) -> Memory:
        """The same context for each head of a window; pointers read that of the window."""
        context = memory.context.repeat_interleave(len(self.config.tokens.heads), dim=0)
        return replace(memory, context=context)

    def first_tokens(self, bos: int, n_windows: int, device: torch.device) -> Tensor:
        """The first token of each sequence: (B,) bos, or (B, K) the prompts of several heads."""
        if not self.config.tokens.heads:
            return torch.full((n_windows,), bos, device=device)
        prompts = torch.tensor([head.prompt for head in self.config.tokens.heads], device=device)
        return prompts.repeat(n_windows, 1)

    def extend(self, tokens: Tensor, cache: Cache, static_keys: int | None = None) -> Tensor:
        """Logits (B, T, V) after each of T more tokens (B, T) of every sequence.

        They equal those of `forward`. The cache grows by T; `Cache.rollback` drops tokens that
        turned out wrong.

        Parameters
        ----------
        tokens : (B, T) int64 tensor, or (B, K, T) of several heads
            The next tokens of each sequence, which begins with bos.
        cache : Cache
            Everything computed for the tokens before.
        static_keys : int, optional
            Keys to attend to, for shapes that stay the same from step to step; at least as many as
            the longest sequence has with the new tokens.
        """
        heads = self.config.tokens.heads
        if not heads:
            return self.decoder.extend(tokens, cache, static_keys)
        return to_heads(self.decoder.extend(to_rows(tokens, heads), cache, static_keys), heads)

    def extend_packed(self, tokens: Tensor, n_new: Sequence[int], cache: Cache) -> Tensor:
        """Logits after a different number of more tokens of every sequence, without padding.

        They equal those of `forward`. The model has one head.

        Parameters
        ----------
        tokens : (B, T) int64 tensor
            The next tokens of each sequence, with any id behind its last one.
        n_new : (B,) ints
            How many of them to compute, 0 to T; at least one of one sequence.
        cache : Cache
            Everything computed for the tokens before; it grows by `n_new`.

        Returns
        -------
        (N, V) tensor
            After all tokens of the first sequence, then of the second, and so on.
        """
        return self.decoder.extend_packed(tokens, n_new, cache)

    def step(self, tokens: Tensor, cache: Cache) -> Tensor:
        """Logits (B, V) after one more token (B,) of each sequence; the cache grows by one.

        The first token is bos. The logits equal those of `forward`. With several heads tokens are
        (B, K) and logits (B, K, V).
        """
        return self.extend(tokens[..., None], cache)[..., 0, :]

    def turns(self, tokens: Tensor, cache: Cache) -> Turns:
        """Logits after one more token of each sequence, as in `step`, head after head.

        With several heads that look at the image, what a head says depends on what the heads before
        it say of the same run.
        """
        heads = self.config.tokens.heads
        if not isinstance(self.decoder.pointer, HeadPointer):
            return Turns(self.step(tokens, cache))
        logits, pointed = self.decoder.turns(to_rows(tokens[..., None], heads), cache)
        return PointedTurns(to_heads(logits, heads)[..., 0, :], pointed)

    def _check_capacity(self, n_tokens: int) -> None:
        capacity = self.config.tokens.max_tokens
        if n_tokens > capacity:
            raise SchemeError(
                f"{n_tokens} tokens do not fit this model, which has {capacity} positions; use a "
                "smaller token budget, or a model made with a larger one"
            )
