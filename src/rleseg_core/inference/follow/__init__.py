"""One object through the frames of a stack: how it is followed, forwards and backwards."""

from rleseg_core.inference.follow.following import FollowsObjects
from rleseg_core.inference.follow.found import Followed, FollowedIds, FrameFollowed, ObjectMask

__all__ = ["Followed", "FollowedIds", "FollowsObjects", "FrameFollowed", "ObjectMask"]
