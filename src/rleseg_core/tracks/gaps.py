"""Tracks without gaps, as files of the Cell Tracking Challenge have them, and back."""

from collections import Counter
from dataclasses import replace

import numpy as np

from rleseg_core.tracks.table import Tracks


def without_gaps(tracks: Tracks) -> Tracks:
    """The same tracks, each of which ends at a gap and goes on as its only daughter.

    Daughters get new ids above those of all tracks. `with_gaps` is the inverse.
    """
    track, parents = tracks.track.copy(), dict(tracks.parents)
    highest = int(track.max(initial=0))
    for before, row in tracks.gaps():
        highest += 1
        later = (tracks.track == tracks.track[row]) & (tracks.frame >= tracks.frame[row])
        parents[highest] = int(track[before])
        track[later] = highest
    begins = {int(tracks.track[row]): row for row in np.flatnonzero(tracks.before >= 0)[::-1]}
    for daughter in tracks.parents:
        parents[daughter] = int(track[tracks.before[begins[daughter]]])
    return replace(tracks, track=track, parents=parents)


def with_gaps(tracks: Tracks) -> Tracks:
    """The same tracks, but those that begin some frames after their only parent go on with it.

    They do if the parent has no other daughter, and there are frames between the two.
    """
    n_daughters = Counter(tracks.parents.values())
    spans = {int(track): (int(first), int(last)) for track, first, last, _ in tracks.spans()}
    same = {
        track: parent
        for track, parent in tracks.parents.items()
        if n_daughters[parent] == 1 and spans[track][0] > spans[parent][1] + 1
    }

    def name(track: int) -> int:
        while track in same:
            track = same[track]
        return track

    ids, index = np.unique(tracks.track, return_inverse=True)
    names = np.array([name(int(track)) for track in ids], np.int64)
    parents = {track: name(parent) for track, parent in tracks.parents.items() if track not in same}
    return replace(tracks, track=names[index], parents=parents)
