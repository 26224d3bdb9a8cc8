"""Objects over time: which of them are one cell, and which cells are its daughters."""

from rleseg_core.tracks.linking import FrameLinked, LinkOptions, link_objects
from rleseg_core.tracks.table import Links, Tracks

__all__ = ["FrameLinked", "LinkOptions", "Links", "Tracks", "link_objects"]
