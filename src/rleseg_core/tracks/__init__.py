"""Objects over time: which of them are one cell, and which cells are its daughters."""

from rleseg_core.tracks.editing import TrackEditor
from rleseg_core.tracks.edits import EditLog, Node, TrackEdit
from rleseg_core.tracks.linking import FrameLinked, KnownLinks, LinkOptions, link_objects
from rleseg_core.tracks.table import Links, Tracks

__all__ = [
    "EditLog",
    "FrameLinked",
    "KnownLinks",
    "LinkOptions",
    "Links",
    "Node",
    "TrackEdit",
    "TrackEditor",
    "Tracks",
    "link_objects",
]
