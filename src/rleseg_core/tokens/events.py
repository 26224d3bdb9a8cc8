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
        Its cells, counted in the scheme's own order; `Tokenizer.run_pixels` gives the pixels.
    label : int
        Class id of its pixels.
    tokens : tuple of int
        The token ids that said so.
    """

    index: int
    start: int
    length: int
    label: int
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class BlockClosed:
    """All runs since the last block, or since the beginning, belong to one class or instance.

    Parameters
    ----------
    index : int
        Blocks before it.
    label : int
        Class id of the runs of the block.
    first_run, last_run : int
        `RunPainted.index` of the first run of the block, and one more than that of its last.
    tokens : tuple of int
        The token ids that said so.
    """

    index: int
    label: int
    first_run: int
    last_run: int
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class MaskEnded:
    """The sequence is over, by its eos token or because there are no more tokens.

    Parameters
    ----------
    n_runs : int
        Runs painted.
    n_tokens : int
        Tokens read, the eos included, padding after it not.
    n_skipped : int
        Tokens among them that belong to no run.
    """

    n_runs: int
    n_tokens: int
    n_skipped: int


Event = RunPainted | BlockClosed | MaskEnded
