"""Sequences to train and test on when no annotated data is at hand."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from rleseg_core.data.synthetic.adherent import Adherent
from rleseg_core.data.synthetic.cells import Population
from rleseg_core.data.synthetic.config import CultureConfig, Kind, SyntheticConfig
from rleseg_core.data.synthetic.culture import Culture
from rleseg_core.data.synthetic.exposure import Exposure
from rleseg_core.data.synthetic.nuclei import Nuclei
from rleseg_core.data.synthetic.optics import Microscope
from rleseg_core.data.synthetic.rods import Rods
from rleseg_core.data.synthetic.yeast import Yeast
from rleseg_core.memory import check_room

CLASS_NAMES: tuple[str, str] = ("ipsc", "dfc")

_CULTURES: dict[Kind, tuple[type[Culture[Any]], str]] = {
    "rods": (Rods, "bacterium"),
    "yeast": (Yeast, "yeast"),
    "nuclei": (Nuclei, "nucleus"),
    "spread": (Adherent, "cell"),
}


@dataclass(frozen=True, eq=False)
class SyntheticFrame:
    """One frame of a synthetic time-lapse.

    Parameters
    ----------
    image : (Y, X) uint8
        Grey values.
    classes : (Y, X) uint8
        0 background, 1 ipsc, 2 dfc; 1 for all cells of a culture.
    instances : (Y, X) int32
        Cell ids, 0 = background; an id names the same cell in all frames.
    parents : dict of int to int
        Mother's id of each cell born in this frame.
    """

    image: np.ndarray
    classes: np.ndarray
    instances: np.ndarray
    parents: dict[int, int]


@dataclass(frozen=True, eq=False)
class SyntheticSequence:
    """A synthetic time-lapse with its ground truth.

    Parameters
    ----------
    images : (T, Y, X) uint8
        Grey values.
    classes : (T, Y, X) uint8
        0 background, 1 ipsc, 2 dfc; 1 for all cells of a culture.
    instances : (T, Y, X) int32
        Cell ids, 0 = background; an id names the same cell in all frames.
    parents : dict of int to int
        Mother's id of each cell that was born by division. The mother's id ends, but for yeast:
        there the bud is born, and the mother lives on.
    class_names : tuple of str
        Name of class k at ``class_names[k - 1]``.
    config : SyntheticConfig or CultureConfig
        What it was made from.
    """

    images: np.ndarray
    classes: np.ndarray
    instances: np.ndarray
    parents: dict[int, int]
    class_names: tuple[str, ...]
    config: SyntheticConfig | CultureConfig


def frames(config: SyntheticConfig | CultureConfig) -> Iterator[SyntheticFrame]:
    """The frames of a synthetic time-lapse, one by one.

    Parameters
    ----------
    config : SyntheticConfig or CultureConfig
        What to show.

    Yields
    ------
    SyntheticFrame
        ``config.n_frames`` of them.
    """
    life, optics = (
        np.random.default_rng(seed) for seed in np.random.SeedSequence(config.seed).spawn(2)
    )
    if isinstance(config, CultureConfig):
        yield from _culture_frames(config, life, optics)
        return
    population = Population(config, life)
    microscope = Microscope(config, optics)
    for index in range(config.n_frames):
        n_known = len(population.parents)
        if index:
            microscope.drift(population.step())
        image, instances = microscope.expose(population.cells)
        kinds = np.zeros(max((cell.id for cell in population.cells), default=0) + 1, np.uint8)
        for cell in population.cells:
            kinds[cell.id] = cell.kind
        born = dict(list(population.parents.items())[n_known:])
        yield SyntheticFrame(image, kinds[instances], instances, born)


def _culture_frames(
    config: CultureConfig, life: np.random.Generator, optics: np.random.Generator
) -> Iterator[SyntheticFrame]:
    culture = _CULTURES[config.kind][0](config, life)
    exposure = Exposure(config, culture.radius, optics)
    for index in range(config.n_frames):
        born = culture.step() if index else {}
        if index:
            exposure.drift()
        image, instances = exposure.expose(culture)
        yield SyntheticFrame(image, (instances > 0).astype(np.uint8), instances, born)


def synthesize(config: SyntheticConfig | CultureConfig | None = None) -> SyntheticSequence:
    """A synthetic time-lapse with its ground truth.

    By default it shows ipsc and dfc cells in phase contrast. Cells of both classes crawl in a
    persistent random walk, deform, touch, divide (the mother's id ends and two new ids of her class
    begin) and die (they round up, fade and vanish). An ipsc cell is round and thick, with a bright
    halo, and keeps to others; a dfc cell is flat, long and has protrusions. Their mean grey values
    overlap.

    Parameters
    ----------
    config : SyntheticConfig, CultureConfig or None
        What to show; None is ``SyntheticConfig()``. A culture is of one class: bacteria, yeast,
        nuclei or adherent cells.

    Returns
    -------
    SyntheticSequence
        Images, classes and instances (T, Y, X), and the parents.

    Raises
    ------
    BudgetError
        If they do not fit into memory.
    """
    config = config or SyntheticConfig()
    shape = (config.n_frames, *config.size)
    check_room(
        8 * math.prod(shape) + 64 * math.prod(config.size),  # of all frames, and to draw one
        f"{shape[0]:,} frames of {shape[1]:,} x {shape[2]:,} pixels",
        "choose fewer or smaller ones",
    )
    images, classes = np.empty(shape, np.uint8), np.empty(shape, np.uint8)
    instances = np.empty(shape, np.int32)
    parents: dict[int, int] = {}
    for index, frame in enumerate(frames(config)):
        images[index], classes[index] = frame.image, frame.classes
        instances[index] = frame.instances
        parents.update(frame.parents)
    names: tuple[str, ...] = CLASS_NAMES
    if isinstance(config, CultureConfig):
        names = (_CULTURES[config.kind][1],)
    return SyntheticSequence(images, classes, instances, parents, names, config)
