"""Tracks against the true ones: the measures of the Cell Tracking Challenge, edges, divisions."""

import math
from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Self

import numpy as np

from rleseg_core.data.arrays import ArrayLike, frame_of
from rleseg_core.errors import DataError


@dataclass(frozen=True, kw_only=True)
class TrackScores:
    """How well tracks agree with the true ones; nan where there is nothing to score.

    Attributes
    ----------
    seg, det, tra, lnk : float
        Measures of the Cell Tracking Challenge, 0 to 1: segmentation, detection, tracking, linking.
    edge_precision, edge_recall, edge_f1 : float
        Of the links between objects of two frames, divisions among them.
    division_f1, division_f1_near : float
        F1 of divisions, in the very frame, or one frame earlier or later.
    hota : float
        Higher order tracking accuracy, with the matches of the challenge alone.
    n_id_switches : int
        How often a true track goes on with another id than before.
    n_true_divisions, n_true, n_predicted : int
        True divisions; true and predicted objects in all frames.
    """

    seg: float
    det: float
    tra: float
    lnk: float
    edge_precision: float
    edge_recall: float
    edge_f1: float
    division_f1: float
    division_f1_near: float
    hota: float
    n_id_switches: int
    n_true_divisions: int
    n_true: int
    n_predicted: int

    def to_json(self) -> Mapping[str, float | None]:
        """Plain values; None where a score is nan."""
        return {name: None if math.isnan(one) else one for name, one in asdict(self).items()}


def score_tracks(
    truth: ArrayLike, true_tracks: np.ndarray, predicted: ArrayLike, tracks: np.ndarray
) -> Generator[int, None, TrackScores]:
    """Score tracks against the true ones, by the functions of py-ctcmetrics.

    Parameters
    ----------
    truth, predicted : (T, Y, X) integer array
        Labels of tracks, 0 = background; frames are read one after another.
    true_tracks, tracks : (k, 4) int64
        Label, first frame, last frame and parent (0 = none) of each track, as the Cell Tracking
        Challenge has them: a track is there in each of its frames.

    Yields
    ------
    int
        Each frame, once it is compared.

    Returns
    -------
    TrackScores

    Raises
    ------
    DataError
        If the shapes differ, the truth has no objects, or labels and tracks do not fit each other.

    Notes
    -----
    A predicted object is that true one of which it covers more than half. SEG is measured on the
    truth that is given: the challenge has masks of its own for it.
    """
    if tuple(truth.shape) != tuple(predicted.shape):
        raise DataError(
            f"the tracks are {tuple(predicted.shape)}, the true ones {tuple(truth.shape)}; both "
            "must be the same (T, Y, X)"
        )
    matches = _Matches()
    for frame in range(truth.shape[0]):
        matches.add(frame_of(truth, frame), frame_of(predicted, frame))
        yield frame
    _check_labels(matches.true, true_tracks, "the true tracks")
    _check_labels(matches.given, tracks, "the tracks")
    if not matches.n_true:
        raise DataError("the truth has no objects; there is nothing to score")
    return _scores(
        matches.renumbered(true_tracks, tracks), *map(_renumbered, (true_tracks, tracks))
    )


class _Matches:
    """Labels of each frame, and which true objects are found, as py-ctcmetrics takes them."""

    def __init__(self) -> None:
        self.true: list[list[int]] = []
        self.given: list[list[int]] = []
        self.matched_true: list[list[int]] = []
        self.matched_given: list[list[int]] = []
        self.overlaps: list[list[float]] = []  # their intersection over union

    def add(self, truth: np.ndarray, given: np.ndarray) -> None:
        """Compare the objects of a frame."""
        true_ids, true_index = _numbered(truth)
        given_ids, given_index = _numbered(given)
        keys = true_index.ravel() * given_ids.size + given_index.ravel()
        counts = np.bincount(keys, minlength=true_ids.size * given_ids.size)
        shared = counts.reshape(true_ids.size, given_ids.size)
        areas, others = shared.sum(axis=1, keepdims=True), shared.sum(axis=0, keepdims=True)
        is_match = (2 * shared > areas) & (true_ids > 0)[:, None] & (given_ids > 0)
        rows, cols = is_match.nonzero()
        iou = shared[rows, cols] / (areas + others - shared)[rows, cols]
        self.true.append(true_ids[true_ids > 0].tolist())
        self.given.append(given_ids[given_ids > 0].tolist())
        self.matched_true.append(true_ids[rows].tolist())
        self.matched_given.append(given_ids[cols].tolist())
        self.overlaps.append(iou.tolist())

    def renumbered(self, true_tracks: np.ndarray, tracks: np.ndarray) -> Self:
        """The same with labels from 1 on: py-ctcmetrics makes tables up to the highest one."""
        others = type(self)()
        true, given = (
            {label: k for k, label in enumerate(np.sort(table[:, 0]).tolist(), start=1)}
            for table in (true_tracks, tracks)
        )
        others.overlaps = self.overlaps
        for name in ("true", "matched_true"):
            setattr(others, name, [[true[one] for one in of] for of in getattr(self, name)])
        for name in ("given", "matched_given"):
            setattr(others, name, [[given[one] for one in of] for of in getattr(self, name)])
        return others

    @property
    def n_true(self) -> int:
        return sum(map(len, self.true))

    @property
    def n_given(self) -> int:
        return sum(map(len, self.given))


def _renumbered(tracks: np.ndarray) -> np.ndarray:
    """Tracks with labels from 1 on, in their order."""
    ids = np.append(0, np.sort(tracks[:, 0]))
    label, parent = (np.searchsorted(ids, tracks[:, column]) for column in (0, 3))
    return np.column_stack([label, tracks[:, 1:3], parent])


def _numbered(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels that occur, and which of them each pixel has, as `numpy.unique`; faster if small."""
    highest = int(labels.max(initial=0))
    if highest > 4 * labels.size + 2**16:
        return np.unique(labels, return_inverse=True)
    occurs = np.zeros(highest + 1, bool)
    occurs[labels.ravel()] = True
    return np.flatnonzero(occurs), (np.cumsum(occurs) - 1)[labels]


def _scores(matches: _Matches, true_tracks: np.ndarray, tracks: np.ndarray) -> TrackScores:
    from ctc_metrics.metrics import bc, det, hota, lnk, mota, raw_division_metrics, seg, tra
    from ctc_metrics.utils.representations import (
        count_acyclic_graph_correction_operations,
        merge_tracks,
    )

    _, n_daughters = np.unique(true_tracks[true_tracks[:, 3] > 0, 3], return_counts=True)
    counted = {
        "n_true_divisions": int((n_daughters > 1).sum()),
        "n_true": matches.n_true,
        "n_predicted": matches.n_given,
    }
    if not matches.n_given:
        return _nothing_found(matches, true_tracks, counted)
    if len(matches.true) == 1:  # py-ctcmetrics wants two frames
        matches.add(np.zeros(1, np.int64), np.zeros(1, np.int64))
    matched = matches.matched_true, matches.matched_given
    operations = count_acyclic_graph_correction_operations(
        true_tracks, tracks, matches.true, matches.given, *matched
    )
    n_links = int(operations["num_edges"])
    n_found, n_given = n_links - int(operations["EA"]), _n_links(matches.given, tracks)
    divisions = [
        bc(*raw_division_metrics(tracks, true_tracks, *matched, i=tolerance))
        for tolerance in (0, 1)
    ]
    _, true_labels, matched_true = merge_tracks(true_tracks, matches.true, matched[0])
    _, labels, matched_given = merge_tracks(tracks, matches.given, matched[1])
    whole = [
        [np.array(of, np.int64) for of in frames]  # lists of nothing would become floats there
        for frames in (true_labels, labels, matched_true, matched_given)
    ]
    return TrackScores(
        seg=seg(matches.true, matches.overlaps),
        det=det(**operations),
        tra=tra(**operations)[0],
        lnk=lnk(**operations) if n_links else math.nan,
        edge_precision=n_found / n_given if n_given else math.nan,
        edge_recall=n_found / n_links if n_links else math.nan,
        edge_f1=2 * n_found / (n_given + n_links) if n_given + n_links else math.nan,
        division_f1=math.nan if divisions[0] is None else float(divisions[0]),
        division_f1_near=math.nan if divisions[1] is None else float(divisions[1]),
        hota=float(hota(*whole)["HOTA"]),
        n_id_switches=int(mota(*whole)["IDSW"]),
        **counted,
    )


def _nothing_found(
    matches: _Matches, true_tracks: np.ndarray, counted: dict[str, int]
) -> TrackScores:
    linked = 0.0 if _n_links(matches.true, true_tracks) else math.nan
    division = 0.0 if counted["n_true_divisions"] else math.nan
    return TrackScores(
        seg=0.0,
        det=0.0,
        tra=0.0,
        lnk=linked,
        edge_precision=math.nan,
        edge_recall=linked,
        edge_f1=linked,
        division_f1=division,
        division_f1_near=division,
        hota=0.0,
        n_id_switches=0,
        **counted,
    )


def _n_links(labels: list[list[int]], tracks: np.ndarray) -> int:
    """How many links tracks have: in each two frames, and from parents to daughters."""
    within = sum(len({*one} & {*other}) for one, other in pairwise(labels))
    return within + int((tracks[:, 3] > 0).sum())


def _check_labels(labels: list[list[int]], tracks: np.ndarray, what: str) -> None:
    """Raise an error unless each track begins and ends where its label does."""
    spans: dict[int, list[int]] = {}
    for frame, of in enumerate(labels):
        for label in of:
            spans.setdefault(label, [frame, frame])[1] = frame
    table = {track: [first, last] for track, first, last, _ in tracks.tolist()}
    if unknown := sorted({*tracks[:, 3].tolist()} - table.keys() - {0}):
        raise DataError(f"{what} have the parent {unknown[0]}, which is none of them")
    for label in sorted(spans.keys() | table.keys()):
        if spans.get(label) != table.get(label):
            there, said = spans.get(label), table.get(label)
            raise DataError(
                f"label {label} of {what} is in {_frames(there)} of the masks, and in "
                f"{_frames(said)} of the table; both must agree"
            )


def _frames(span: list[int] | None) -> str:
    return "no frame" if span is None else f"frames {span[0]} to {span[1]}"
