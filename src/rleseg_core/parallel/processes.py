"""Which of several processes this is, and what it tells whoever started it; without torch."""

import json
import os
import time
from pathlib import Path

OURS = "RLESEG_PROCESS"  # set in the processes that `rleseg train --devices` starts
PEER_IS_GONE = 75  # exit code of a process that ends because another one did
_GONE = ("Connection closed by peer", "Connection reset", "Broken pipe", "remote process exited")


def process_rank() -> int:
    """Number of this process among those that train together, 0 for the one that writes files."""
    return int(os.environ.get("RANK", "0"))


def is_started_as_one_of_several() -> bool:
    """Whether a launcher (ours, torchrun, a scheduler's script) has told who is who."""
    return "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def tell_launcher(message: str) -> bool:
    """Leave word of an error with whoever started this process; whether that was us."""
    if path := os.environ.get("TORCHELASTIC_ERROR_FILE"):
        Path(path).write_text(json.dumps({"message": message, "timestamp": int(time.time())}))
    return OURS in os.environ and "RANK" in os.environ


def says_peer_is_gone(error: BaseException) -> bool:
    """Whether an error only tells that another process of the run has ended."""
    return is_started_as_one_of_several() and any(words in str(error) for words in _GONE)
