"""Print how well objects are linked into tracks, and how long and large that is.

    python -m benchmarks.track --folder DATA
    python -m benchmarks.track --folder DATA --sets "bacteria 36-44" --masks PREDICTED.tif
    python -m benchmarks.track --memory 50 500

DATA is the folder of the data sets of docs/tracking.md. Masks are the true ones, so that linking
alone is scored, or with --masks those that a model has written for the frames of one set. The ids
of T98G are those of another tool. Beside ours: the largest overlap with
the frame before, the simplest rule, and laptrack with distances of centroids, if it is installed
(`--group bench`), at the cutoff that is best for it on frames 0 to 35 of the bacteria.
"""

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import tifffile

from benchmarks.report import table
from rleseg_core.evaluation.tracking import TrackScores, score_tracks
from rleseg_core.objects.opening import open_objects
from rleseg_core.objects.stack import ObjectStack
from rleseg_core.reports import product_of
from rleseg_core.tracks import Tracks, link_objects
from rleseg_core.tracks.files.ctc import read_table
from rleseg_core.tracks.gaps import without_gaps
from rleseg_core.tracks.relabelled import TrackIds
from rleseg_core.tracks.table import tracks_of_links

Linker = Callable[[ObjectStack], Tracks]

SETS = {  # masks, table of parents if there is one, frames
    "bacteria 0-35": ("bacteria_divisions/01_GT/TRA", "man_track.txt", slice(0, 36)),
    "bacteria 36-44": ("bacteria_divisions/01_GT/TRA", "man_track.txt", slice(36, 45)),
    "yeast": ("yeast_phase/masks", None, slice(None)),
    "T98G": ("usiigaci_t98g_timelapse/01_RES", None, slice(None)),
}
CUTOFFS = (1.0, 2.0, 3.0, 4.0)  # square roots of the median area
OF_MODEL = (
    "data",
    "linker",
    "SEG",
    "DET",
    "TRA",
    "LNK",
    "edges F",
    "division F1",
    "±1",
    "id switches",
)
HEADINGS = ("data", "linker", "edges P", "R", "F", "TRA", "LNK", "division F1", "±1", "id switches")


def read_set(folder: Path, name: str) -> tuple[np.ndarray, dict[int, int]]:
    """True ids (T, Y, X) of a data set, and the parents of those that are there."""
    where, file, frames = SETS[name]
    paths = sorted((folder / where).glob("*.tif"))[frames]
    ids = np.stack([tifffile.imread(path) for path in paths])
    there = set(np.unique(ids).tolist())
    table_of = read_table(folder / where / file).tolist() if file else []
    parents = {track: parent for track, _, _, parent in table_of if {track, parent} <= there}
    parents.pop(0, None)
    return ids, {track: parent for track, parent in parents.items() if parent}


def ours(stack: ObjectStack) -> Tracks:
    """Tracks by `link_objects`."""
    return product_of(link_objects(stack))


def largest_overlap(stack: ObjectStack) -> Tracks:
    """Each object is what the object of the frame before was that it overlaps most."""
    frames = [stack.objects(frame) for frame in range(stack.n_frames)]
    links = []
    for t, (one, other) in enumerate(pairwise(frames)):
        n, m = len(one.table), len(other.table)
        keys = one.index.ravel() * (m + 1) + other.index.ravel()
        shared = np.bincount(keys, minlength=(n + 1) * (m + 1)).reshape(n + 1, m + 1)[1:, 1:]
        best = shared.argmax(axis=0) if n else np.empty(0, np.int64)
        links += [((t, best[k]), (t + 1, k)) for k in range(m) if n and shared[best[k], k]]
    return _tracks(stack, links)


def laptrack(stack: ObjectStack, *, cutoff: float) -> Tracks:
    """Tracks by squared distances of centroids, below a cutoff in square roots of the area."""
    from laptrack import LapTrack

    tables = [found.table for found in stack.each()]
    area = float(np.median(np.concatenate([table.area for table in tables])))
    most = cutoff**2 * area
    linker = LapTrack(cutoff=most, gap_closing_cutoff=most, splitting_cutoff=most)
    tree = linker.predict([np.column_stack([table.row, table.col]) for table in tables])
    return _tracks(stack, list(tree.edges()))


def _tracks(stack: ObjectStack, links: list) -> Tracks:
    """Tracks of objects by links from (frame, index) to (frame, index)."""
    plain = [found.table for found in stack.each()]
    first = np.cumsum([0, *(len(one) for one in plain)])
    columns = {
        name: np.concatenate([getattr(one, name) for one in plain])
        for name in ("id", "frame", "row", "col", "area")
    }
    before = np.full(first[-1], -1, np.int64)
    for one, other in links:
        (t, source), (u, target) = sorted((one, other))
        before[first[u] + target] = first[t] + source
    track = tracks_of_links(before, columns["frame"])
    begins = np.flatnonzero((before >= 0) & (track != track[before]))
    return Tracks(
        object=columns.pop("id"),
        track=track,
        score=np.full(track.size, np.nan),
        parents=dict(zip(track[begins].tolist(), track[before[begins]].tolist(), strict=True)),
        **columns,
    )


def _edges(tracks: Tracks) -> set[tuple[int, int, int]]:
    """Frame of the earlier object of each link, and the ids of both."""
    links = tracks.links()
    frame, earlier = tracks.frame[links.source], tracks.object[links.source]
    return {
        *zip(frame.tolist(), earlier.tolist(), tracks.object[links.target].tolist(), strict=True)
    }


def score(ids: np.ndarray, parents: Mapping[int, int], tracks: Tracks) -> TrackScores:
    """Scores of tracks of objects whose true tracks are their ids."""
    stack = ObjectStack.of(ids)
    true, given = Tracks.of_frames(stack.each(), parents), without_gaps(tracks)
    whole = without_gaps(true)
    run = score_tracks(TrackIds(stack, whole), whole.spans(), TrackIds(stack, given), given.spans())
    return product_of(run)


def of_model(folder: Path, name: str, masks: Path) -> None:
    """Print the scores of tracks of masks that a model has written, by each linker."""
    ids, parents = read_set(folder, name)
    stack = ObjectStack.of(ids)
    true = without_gaps(Tracks.of_frames(stack.each(), parents))
    rows = []
    linkers: dict[str, Linker] = {"ours": ours, "largest overlap": largest_overlap}
    for linker, link in linkers.items():
        given = open_objects(masks)
        tracks = without_gaps(link(given))
        run = score_tracks(
            TrackIds(stack, true), true.spans(), TrackIds(given, tracks), tracks.spans()
        )
        found = product_of(run)
        shares = (found.seg, found.det, found.tra, found.lnk, found.edge_f1)
        divisions = (found.division_f1, found.division_f1_near)
        shown = ("–" if value != value else f"{value:.4f}" for value in (*shares, *divisions))
        rows.append((name, linker, *shown, str(found.n_id_switches)))
    print(table(OF_MODEL, rows))


def accuracy(folder: Path, names: list[str]) -> None:
    """Print the scores of each linker on each data set, and its CPU seconds for a frame."""
    linkers: dict[str, Linker] = {"ours": ours, "largest overlap": largest_overlap}
    if find_spec("laptrack"):
        ids, parents = read_set(folder, "bacteria 0-35")
        stack = ObjectStack.of(ids)
        true = _edges(Tracks.of_frames(stack.each(), parents))
        tried = {}
        for cutoff in CUTOFFS:
            found = _edges(laptrack(stack, cutoff=cutoff))
            tried[cutoff] = round(2 * len(true & found) / (len(true) + len(found)), 4)
        print(f"laptrack, edges F on bacteria 0-35 by cutoff: {tried}")
        best = max(tried, key=lambda cutoff: tried[cutoff])
        linkers[f"laptrack, distances below {best:g} √area"] = partial(laptrack, cutoff=best)
    rows = []
    for name in names:
        ids, parents = read_set(folder, name)
        for linker, link in linkers.items():
            began = time.process_time()
            tracks = link(ObjectStack.of(ids))
            seconds = (time.process_time() - began) / len(ids)
            found = score(ids, parents, tracks)
            shares = (found.edge_precision, found.edge_recall, found.edge_f1, found.tra, found.lnk)
            divisions = (found.division_f1, found.division_f1_near)
            shown = ("–" if value != value else f"{value:.4f}" for value in (*shares, *divisions))
            rows.append((name, linker, *shown, str(found.n_id_switches), f"{seconds:.3f}"))
    print(table((*HEADINGS, "CPU s/frame"), rows))


class Crowd:
    """Disks that swing about the places of a grid, (T, Y, X), computed as they are read.

    Parameters
    ----------
    n_frames, side, n_across : int
        T, Y = X, and cells along each side.
    """

    dtype = np.dtype(np.uint16)

    def __init__(self, n_frames: int, side: int, n_across: int) -> None:
        self.shape = (n_frames, side, side)
        self._pitch = side // n_across
        at = np.arange(side) // self._pitch
        self._cell = np.minimum(at, n_across - 1)[:, None] * n_across + np.minimum(at, n_across - 1)
        self._rest = np.arange(side) - np.minimum(at, n_across - 1) * self._pitch - self._pitch / 2
        self._phase = np.random.default_rng(0).uniform(0, 2 * np.pi, n_across**2)

    def __getitem__(self, frame: int) -> np.ndarray:
        """Ids of a frame, (Y, X) uint16."""
        swing = 0.12 * self._pitch
        rows = self._rest[:, None] - swing * np.sin(0.3 * frame + self._phase)[self._cell]
        cols = self._rest - swing * np.cos(0.2 * frame + self._phase)[self._cell]
        inside = np.hypot(rows, cols) < 0.36 * self._pitch
        return np.where(inside, self._cell + 1, 0).astype(self.dtype)


def memory(lengths: list[int], side: int, n_across: int) -> None:
    """Print the peak memory of linking stacks of several lengths, each in a process of its own."""
    rows = []
    for length in lengths:
        code = f"from benchmarks.track import job; job({length}, {side}, {n_across})"
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        rows.append((f"{length}", f"{side}²", f"{n_across**2}", *run.stdout.split()))
        if run.returncode:
            sys.exit(run.stderr)
    headings = ("frames", "pixels", "cells", "tracks", "MiB", "MiB before", "CPU s/frame")
    print(table(headings, rows))


def job(length: int, side: int, n_across: int) -> None:
    """Link a stack, and print its tracks, peak memory (MiB) at the end and at first, and speed."""
    peak = [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]
    began = time.process_time()
    tracks = ours(ObjectStack.of(Crowd(length, side, n_across)))
    seconds = (time.process_time() - began) / length
    peak.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    print(tracks.n_tracks, f"{peak[1]:.1f} {peak[0]:.1f} {seconds:.3f}")


def main() -> None:
    """Print the tables that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="of the data sets")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--masks", type=Path, help="that a model has written for the first set")
    parser.add_argument("--memory", nargs="+", type=int, metavar="FRAMES", default=[])
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--across", type=int, default=14, help="cells along each side")
    arguments = parser.parse_args()
    if arguments.masks is not None:
        of_model(arguments.folder, arguments.sets[0], arguments.masks)
    elif arguments.folder is not None:
        accuracy(arguments.folder, arguments.sets)
    if arguments.memory:
        memory(arguments.memory, arguments.side, arguments.across)


if __name__ == "__main__":
    main()
