"""What the encoder computes of windows: kept from the first use to the second, while it fits."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from rleseg_core.data import Window, WindowReader
from rleseg_core.model import Memory

Encode = Callable[[Sequence[Window]], Memory]
"""What is computed of some windows."""
KEPT_BYTES = 256 << 20
"""Memory for windows that were encoded for the heads of their frame and wait for the decoder."""


class WindowMemories:
    """Encodes windows, once where a frame's heads look at them before the decoder does.

    Parameters
    ----------
    encode : callable
        The memory of the images of windows (B, N, 3, P, P).
    reader : WindowReader
        Reads the images.
    capacity : int
        Bytes for what is kept; windows beyond are encoded again.
    """

    def __init__(
        self, encode: Callable[[Tensor], Memory], reader: WindowReader, capacity: int = KEPT_BYTES
    ) -> None:
        self.reader, self._encode, self._free = reader, encode, capacity
        self._kept: dict[Window, Memory] = {}

    def look(self, windows: Sequence[Window]) -> Memory:
        """The memory of windows, which is kept for `take`."""
        memory = self._encoded(windows)
        n_bytes = _size(memory) // len(windows)
        for index, window in enumerate(windows):
            if window in self._kept:
                continue
            if n_bytes > self._free:
                break
            self._free -= n_bytes
            # a copy: a view would keep all windows of the batch, as long as one is not taken
            self._kept[window] = memory.select(torch.tensor([index]))
        return memory

    def take(self, windows: Sequence[Window]) -> Memory:
        """The memory of windows for the decoder, which is kept no longer."""
        if not any(window in self._kept for window in windows):
            return self._encoded(windows)
        missing = [window for window in windows if window not in self._kept]
        encoded = self._encoded(missing) if missing else None
        parts = []
        for window in windows:
            kept = self._kept.pop(window, None)
            if kept is not None:
                self._free += _size(kept)
                parts.append(kept)
            elif encoded is not None:
                index = missing.index(window)
                parts.append(encoded.select(slice(index, index + 1)))
        return Memory.joined(parts)

    def forget(self) -> None:
        """Free what is kept, and keep nothing any more: memory has run out."""
        self._kept.clear()
        self._free = 0

    def _encoded(self, windows: Iterable[Window]) -> Memory:
        images = np.stack([self.reader.read(window) for window in windows])
        return self._encode(torch.from_numpy(images))


def _size(memory: Memory) -> int:
    """Bytes of the tensors of a memory."""
    return sum(tensor.nbytes for tensor in vars(memory).values() if tensor is not None)
