"""Tracks as GEFF, the graph exchange file format that track editors open."""

import json
import os
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rleseg_core.data.metadata import UNKNOWN, StackMetadata
from rleseg_core.errors import DataError
from rleseg_core.outputs import Output, new_output
from rleseg_core.tracks.table import Tracks, tracks_of_links

if TYPE_CHECKING:
    from geff import GeffMetadata

_NODE = {"t": "frame", "y": "row", "x": "col", "seg_id": "object", "area": "area"}
_TRACK, _SCORE = "track", "score"


def geff_output(path: str | Path) -> Output:
    """A GEFF store as an output, which `check_outputs` compares with what is read.

    Raises
    ------
    DataError
        If its name does not end in ``.geff``.
    """
    path = Path(path)
    if path.suffix.lower() != ".geff":
        raise DataError(f"cannot write tracks to {path}: the name must end in .geff")
    return Output(path, "a GEFF store of tracks", _is_geff, is_folder=True)


def write_geff(
    tracks: Tracks,
    path: str | Path,
    metadata: StackMetadata = UNKNOWN,
    *,
    labels: Path | None = None,
    overwrite: bool = False,
) -> Path:
    """Write tracks as GEFF, whole or not at all.

    A node is an object, with its frame ``t``, centroid ``y`` and ``x`` in pixels, area, label in
    the masks ``seg_id``, ``track`` (an id that outlasts gaps), ``tracklet`` and ``lineage``. An
    edge leads to a later object and has a ``score``.

    Parameters
    ----------
    tracks : Tracks
        The tracks; `read_geff` gives them back without a difference.
    path : str or Path
        The store, ``.geff``.
    metadata : StackMetadata
        Of the stack: the pixel size, with which coordinates are scaled.
    labels : Path, optional
        The masks that `Tracks.object` numbers, to which the store refers.
    overwrite : bool
        Whether it may replace an older store.

    Raises
    ------
    OutputError
        If there is something of that name, and `overwrite` is not set or it is no such store.
    """
    from geff.core_io import write_arrays

    path, links = Path(path), tracks.links()
    columns = {name: getattr(tracks, column) for name, column in _NODE.items()}
    columns |= {
        _TRACK: tracks.track,
        "tracklet": _tracklets(tracks),
        "lineage": tracks.lineage(),
    }
    with new_output(geff_output(path), overwrite=overwrite) as temporary:
        write_arrays(
            temporary,
            np.arange(len(tracks), dtype=np.uint64),
            {name: {"values": values, "missing": None} for name, values in columns.items()},
            np.column_stack([links.source, links.target]).astype(np.uint64),
            {_SCORE: {"values": links.score, "missing": None}},
            _description(metadata, path, labels),
            zarr_format=3,
        )
    return path


def read_geff(path: str | Path) -> Tracks:
    """Tracks of a GEFF store, of `write_geff` or of another program.

    Edges are read forward in time, whichever way they lead in the store. Without ``track``, or
    where it is something else than a track, tracks end where an object divides and begin where one
    has no parent. Without ``seg_id``, objects are numbered from 1 on.

    Raises
    ------
    DataError
        If it cannot be read, has no frames ``t`` or centroids ``y`` and ``x``, lacks a value of a
        node, an edge joins objects of one frame or one that is not there, or objects merge.
    """
    nodes, edge_score, edges = _read(Path(path))
    n = nodes["t"].size
    frame = nodes["t"]
    source, target = edges.T
    forward = frame[source] <= frame[target]
    source, target = np.where(forward, source, target), np.where(forward, target, source)
    if (same := frame[source] == frame[target]).any():
        raise DataError(
            f"{path} has an edge between two objects of frame {frame[source[same]][0]}; edges lead "
            "from a frame to a later one"
        )
    if np.unique(target).size < target.size:
        raise DataError(f"{path} has objects with two parents; tracks that merge cannot be read")
    before, score = np.full(n, -1, np.int64), np.full(n, np.nan, np.float32)
    before[target], score[target] = source, edge_score
    track = nodes.get(_TRACK)
    if track is None or not _are_tracks(track, before):
        track = tracks_of_links(before, frame)
    begins = np.flatnonzero((before >= 0) & (track != track[before]))
    parents = zip(track[begins].tolist(), track[before[begins]].tolist(), strict=True)
    try:
        return Tracks(
            frame=frame,
            object=nodes.get("seg_id", np.arange(1, n + 1)),
            track=track,
            row=nodes["y"],
            col=nodes["x"],
            area=np.rint(np.nan_to_num(nodes.get("area", np.zeros(n)))),
            score=score,
            parents=dict(parents),
        )
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _read(path: Path) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Properties of nodes (n,), scores of edges (e,), and the rows (e, 2) of the edges' nodes."""
    from geff import GeffReader

    with _reading(path):
        reader = GeffReader(str(path), validate=False)
        reader.read_node_props(
            [name for name in (*_NODE, _TRACK) if name in reader.node_prop_names]
        )
        reader.read_edge_props([name for name in (_SCORE,) if name in reader.edge_prop_names])
        graph = reader.build()
        ids, edges = np.asarray(graph["node_ids"]), np.asarray(graph["edge_ids"]).reshape(-1, 2)
    if absent := [name for name in ("t", "y", "x") if name not in graph["node_props"]]:
        raise DataError(
            f"{path} has no property {absent[0]!r} of its nodes; frames are read from 't', "
            "centroids from 'y' and 'x'"
        )
    nodes = {}
    for name, values in graph["node_props"].items():
        nodes[name] = values["values"]
        if nodes[name].dtype.kind not in "iuf":
            raise DataError(f"{path} has {name!r} of type {nodes[name].dtype}; it must be numbers")
        if values["missing"] is not None and values["missing"].any():
            lacking = ids[values["missing"].argmax()]
            raise DataError(f"{path} has no {name!r} of node {lacking}; all nodes must have it")
    order = np.argsort(ids)
    if (np.diff(ids[order]) == 0).any():
        raise DataError(f"{path} has two nodes of one id; each node must have an id of its own")
    if unknown := sorted(set(edges.ravel().tolist()).difference(ids.tolist())):
        raise DataError(f"{path} has an edge of node {unknown[0]}, which is not there")
    score = np.full(len(edges), np.nan)
    if _SCORE in graph["edge_props"]:
        found = graph["edge_props"][_SCORE]
        known = np.ones(len(edges), bool) if found["missing"] is None else ~found["missing"]
        score[known] = found["values"][known]
    return nodes, score, order[np.searchsorted(ids[order], edges)]


def _are_tracks(track: np.ndarray, before: np.ndarray) -> bool:
    """Whether a property numbers tracks from 1 on: chains that end where they have daughters."""
    begins = (before < 0) | (track != track[before])
    inside = before[~begins]
    is_chain = np.unique(inside).size == inside.size and begins.sum() == np.unique(track).size
    ends = not np.isin(before[begins & (before >= 0)], inside).any()
    return bool(is_chain and ends and track.min(initial=1) >= 1)


def _description(metadata: StackMetadata, path: Path, labels: Path | None) -> "GeffMetadata":
    """What the store says of itself: axes, ids of tracks, and the masks that belong to it."""
    from geff import GeffMetadata

    size, unit = metadata.pixel_size or (None, None), metadata.unit or None
    axes: list[dict[str, object]] = [{"name": "t", "type": "time"}]
    if metadata.frame_interval is not None:
        axes[0] |= {"scale": metadata.frame_interval, "scaled_unit": "second"}
    for name, scale in zip("yx", size, strict=True):
        known = {} if scale is None or unit is None else {"scale": scale, "scaled_unit": unit}
        axes.append({"name": name, "type": "space", **known})
    related = None
    if labels is not None:
        where = Path(os.path.relpath(labels.absolute(), path.absolute())).as_posix()
        related = [{"type": "labels", "path": where, "label_prop": "seg_id"}]
    return GeffMetadata.model_validate(
        {
            "directed": True,
            "axes": axes,
            "node_props_metadata": {},
            "edge_props_metadata": {},
            "track_node_props": {"tracklet": "tracklet", "lineage": "lineage"},
            "related_objects": related,
        }
    )


def _tracklets(tracks: Tracks) -> np.ndarray:
    """The longest simple path that each object is in, (n,) int64: a track, with only daughters."""
    n_daughters = Counter(tracks.parents.values())
    only = {track: of for track, of in tracks.parents.items() if n_daughters[of] == 1}

    def first(track: int) -> int:
        while track in only:
            track = only[track]
        return track

    return np.array([first(track) for track in tracks.track.tolist()], np.int64)


def _is_geff(path: Path) -> bool:
    metadata = json.loads((path / "zarr.json").read_text(encoding="utf-8"))
    return "geff" in metadata["attributes"]


@contextmanager
def _reading(path: str | Path) -> Generator[None, None, None]:
    try:
        yield
    except Exception as error:  # zarr, pydantic and geff have errors of their own
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(f"cannot read {path} as GEFF: {reason}") from error
