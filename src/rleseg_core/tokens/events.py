"""What happens while tokens are read one by one; every scheme comes down to these."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RunPainted:
    """A run is complete.

    Parameters
    ----------
    index : int
        Runs before it.
    start, length : int
        Its pixels, counted in the scheme's own order; `Tokenizer.run_pixels` gives their
        coordinates.
    labels : tuple of int
        Class id of its pixels; with time as class, one for each frame. Runs of background have 0,
        which only schemes that write it give. In a scheme with blocks, a run whose block is still
        open has `Tokenizer.open_label` wherever its object is.
    tokens : tuple of int
        The token ids that said so.
    """

    index: int
    start: int
    length: int
    labels: tuple[int, ...]
    tokens: tuple[int, ...]

    @property
    def label(self) -> int:
        """The first class id that is not background, 0 if there is none."""
        return next((label for label in self.labels if label), 0)


@dataclass(frozen=True, slots=True)
class BlockClosed:
    """All runs since the last block, or since the beginning, belong to one class or instance.

    Parameters
    ----------
    index : int
        Blocks before it; its instance id is one more.
    label : int
        Class id of the runs of the block.
    runs : tuple of RunPainted
        The runs of the block.
    tokens : tuple of int
        The token ids that said so.
    """

    index: int
    label: int
    runs: tuple[RunPainted, ...]
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class MaskEnded:
    """The sequence is over, by its eos token or because there are no more tokens.

    Parameters
    ----------
    n_runs : int
        Runs that count: those of a block that was never closed do not.
    n_tokens : int
        Tokens read, the eos included, padding after it not.
    n_skipped : int
        Tokens among them that belong to no run.
    dropped : tuple of RunPainted
        The runs of a block that was never closed.
    """

    n_runs: int
    n_tokens: int
    n_skipped: int
    dropped: tuple[RunPainted, ...] = ()


Event = RunPainted | BlockClosed | MaskEnded
