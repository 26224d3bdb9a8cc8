"""One object, or a corrected frame, carried on through the frames of a stack."""

from rleseg_core.inference.follow.changes import ObjectChange
from rleseg_core.inference.follow.following import FollowsObjects
from rleseg_core.inference.follow.found import Followed, FollowedIds, FrameFollowed, ObjectMask
from rleseg_core.inference.follow.propagation import Corrected, FramePropagated

__all__ = [
    "Corrected",
    "Followed",
    "FollowedIds",
    "FollowsObjects",
    "FrameFollowed",
    "FramePropagated",
    "ObjectChange",
    "ObjectMask",
]
