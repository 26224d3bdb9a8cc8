"""The decoder of transformers that is timed beside ours."""

from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from time import perf_counter

import torch
from torch import Tensor

from benchmarks.decode_setup import V, synchronize
from rleseg_core.model import Memory, ModelConfig

HOW_TO_INSTALL = "transformers is not installed: uv pip install -c constraints.txt --group bench"


class Clock:
    """Takes the time of each token that `generate` puts out."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.times: list[float] = []

    def put(self, _tokens: Tensor) -> None:
        """A token, or first the prompt."""
        synchronize(self._device)
        self.times.append(perf_counter())

    def end(self) -> None:
        """Nothing."""


class Peer:
    """BART's decoder in transformers, of the same width, layers, heads, hidden width, V and L.

    It adds and normalises in another order; its arithmetic is the same to a percent. It is given
    the encoder's product, so that it keeps the keys and values of the image like ours.
    """

    caches = ("dynamic", "static")

    def __init__(self, config: ModelConfig, like: Tensor) -> None:
        from transformers import BartConfig, BartForConditionalGeneration

        torch.manual_seed(0)
        model = BartForConditionalGeneration(
            BartConfig(
                vocab_size=config.tokens.vocab_size,
                max_position_embeddings=config.tokens.max_tokens + 2,
                d_model=config.decoder.dim,
                encoder_layers=1,
                encoder_attention_heads=config.decoder.n_heads,
                encoder_ffn_dim=1,
                decoder_layers=config.decoder.n_layers,
                decoder_attention_heads=config.decoder.n_heads,
                decoder_ffn_dim=config.decoder.mlp_dim,
                pad_token_id=0,
                bos_token_id=1,
                decoder_start_token_id=1,
                eos_token_id=None,
                forced_eos_token_id=None,
            )
        )
        self._model = model.to(like).eval()

    @torch.inference_mode()
    def time(self, memory: Memory, begun: int, n_steps: int, cache: str) -> float:
        """Seconds of a step behind a prompt of `begun` tokens, whose reading is not counted."""
        from transformers import GenerationConfig
        from transformers.modeling_outputs import BaseModelOutput

        settings = GenerationConfig(
            do_sample=False,
            use_cache=True,
            cache_implementation=cache,
            max_new_tokens=n_steps + (begun > 0),
            eos_token_id=None,
            pad_token_id=0,
            bos_token_id=1,
            decoder_start_token_id=1,
        )
        device = memory.context.device
        prompt = torch.randint(3, V, (len(memory), max(begun, 1)), device=device)
        clock = Clock(device)
        self._model.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=memory.context),
            decoder_input_ids=prompt,
            generation_config=settings,
            streamer=clock,
        )
        times = clock.times[1:] if begun else clock.times
        assert len(times) == n_steps + 1
        return (times[-1] - times[0]) / n_steps


def has_transformers() -> bool:
    """Whether there is something to compare with."""
    with suppress(PackageNotFoundError):
        return bool(version("transformers"))
    return False
