"""Tokens that look at the image: a start reads the mask pixel it names, a length the run's end.

In the paper the vector of a start token is learned: with thousands of starts, each seen a few
times, training is long. Here

* `token_table` adds to it a code of the start's row and column, and of a length's value;
* `mask_features` brings the image to mask resolution, one feature vector for each mask pixel;
* `memory` is what pointers read of the windows, in batches or token by token;
* `logits` adds to a start's logit the product of the decoder's query and the key of its mask pixel,
  as in pointer networks (Vinyals et al. 2015), and feeds the pixel's features back to the decoder;
* `first_hit` reads these products as the odds that a run begins (or ends) at each mask pixel: a
  start is the first hit after the cursor, as in a discrete-time hazard model;
* `cursor` follows the tokens and knows the mask pixel they have reached;
* `symbols` reads the class of a run off its pixels, and where the class changes;
* `heads` does all this where each field of a run has a sequence of its own.
"""

from rleseg_core.model.pointer.cursor import CursorState, CursorTracker
from rleseg_core.model.pointer.heads import HeadPointer, HeadState, HeadTurns
from rleseg_core.model.pointer.logits import Pointer
from rleseg_core.model.pointer.mask_features import MaskFeatures
from rleseg_core.model.pointer.memory import PackedMemory, PointerMemory
from rleseg_core.model.pointer.token_table import TokenTable

__all__ = [
    "CursorState",
    "CursorTracker",
    "HeadPointer",
    "HeadState",
    "HeadTurns",
    "MaskFeatures",
    "PackedMemory",
    "Pointer",
    "PointerMemory",
    "TokenTable",
]
