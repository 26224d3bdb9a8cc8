"""What decoding asks of a grammar: which token may follow, on the model's device."""

from typing import Protocol

from torch import Tensor


class GrammarTables(Protocol):
    """Which token may follow, on a device; `rleseg_core.tokens.Grammar.on` makes one.

    A state is one (B, …) tensor. No method makes the host wait for the device.
    """

    @property
    def bos(self) -> int:
        """Id of the token that begins a sequence."""

    @property
    def eos(self) -> int:
        """Id of the token that ends a sequence."""

    @property
    def pad(self) -> int:
        """Id that fills a sequence after its end."""

    def start(self, batch: int) -> Tensor:
        """State (B, …) of sequences without a token."""

    def allowed(self, state: Tensor) -> Tensor:
        """Which tokens may follow, (B, V) bool."""

    def advance(self, state: Tensor, tokens: Tensor) -> Tensor:
        """State after one more token (B,) of each sequence."""

    def select(self, state: Tensor, rows: Tensor) -> Tensor:
        """State of some sequences, `rows` (B',) integers."""
