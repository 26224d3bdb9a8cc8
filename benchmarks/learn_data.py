"""What is learned from, and what is held out."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import imageio.v3 as imageio
import numpy as np

from rleseg_core.data import (
    CLASS_NAMES,
    ImageStack,
    LabelledStack,
    SyntheticConfig,
    classes_from_instances,
    synthesize,
)

DataName = Literal["usiigaci", "dsb2018", "synthetic"]
DATA: tuple[DataName, ...] = ("usiigaci", "dsb2018", "synthetic")
FOLDERS = {"usiigaci": "usiigaci_gt50", "dsb2018": "dsb2018_fluo256"}
ALIKE = ("set23", "set40")  # two looks at one field
SPLIT_SEED = 0  # another seed of the training must not change what is tested
N_TEST, N_VALIDATION = 10, 4
OBJECT_SHARE = 0.1  # of the median area of true objects: smaller components are no objects


@dataclass(frozen=True, kw_only=True)
class Fields:
    """Images of one source: those that teach, those that are looked at meanwhile, and the test.

    Parameters
    ----------
    name : str
        Of the source.
    train, validation, test : tuple of LabelledStack
        With ids of objects.
    image_size : int or None
        I, to which frames are resized; masks are scored in source pixels all the same.
    """

    name: str
    train: tuple[LabelledStack, ...]
    validation: tuple[LabelledStack, ...]
    test: tuple[LabelledStack, ...]
    image_size: int | None

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the foreground classes."""
        return self.train[0].class_names

    @property
    def n_channels(self) -> int:
        """C of the images."""
        return self.train[0].images.shape[3]

    @property
    def smallest(self) -> int:
        """Pixels of the smallest component that counts as an object, from the training masks."""
        areas: list[np.ndarray] = []
        for stack in self.train:
            for frame in stack.frames:
                ids = stack.instance_frame(frame)
                assert ids is not None
                areas.append(np.bincount(ids.ravel())[1:])
        every = np.concatenate(areas)
        return round(OBJECT_SHARE * float(np.median(every[every > 0])))


def load_fields(name: DataName, folder: Path) -> Fields:
    """The images of a source and its fixed split.

    Raises
    ------
    FileNotFoundError
        If its folder is not there.
    """
    if name == "synthetic":
        sizes = {"train": range(24), "validation": range(100, 104), "test": range(200, 204)}
        parts = {part: tuple(_synthetic(seed) for seed in seeds) for part, seeds in sizes.items()}
        return Fields(name=name, image_size=None, **parts)
    source = folder / FOLDERS[name]
    names = sorted(path.stem for path in (source / "images").iterdir())
    split = split_usiigaci(names) if name == "usiigaci" else split_dsb2018(names)
    parts = {part: (_read(source, chosen),) for part, chosen in split.items()}
    return Fields(name=name, image_size=512 if name == "usiigaci" else None, **parts)


def split_usiigaci(names: Sequence[str]) -> dict[str, list[str]]:
    """30 fields to learn from, 4 to look at and 10 to test, set23 and set40 together; no set01."""
    units = [(name,) for name in names if name != "set01" and name not in ALIKE] + [ALIKE]
    rng = np.random.default_rng(SPLIT_SEED)
    split: dict[str, list[str]] = {"test": [], "validation": [], "train": []}
    for index in rng.permutation(len(units)):
        unit = units[int(index)]
        room = {"test": N_TEST, "validation": N_VALIDATION, "train": len(names)}
        part = next(part for part in split if len(split[part]) + len(unit) <= room[part])
        split[part] += unit
    return {part: sorted(chosen) for part, chosen in split.items()}


def split_dsb2018(names: Sequence[str]) -> dict[str, list[str]]:
    """Every fifth name to test, of every twenty the second to look at, the others to learn from."""
    ordered = sorted(names)
    test, validation = ordered[::5], ordered[1::20]
    return {
        "test": test,
        "validation": validation,
        "train": sorted(set(ordered) - {*test, *validation}),
    }


def _read(source: Path, names: Sequence[str]) -> LabelledStack:
    """Pictures of one size and the ids of their objects, in memory."""
    masks = {path.stem: path for path in (source / "masks").iterdir()}
    images = np.stack([imageio.imread(source / "images" / f"{name}.png") for name in names])
    ids = np.stack([imageio.imread(masks[name]) for name in names]).astype(np.int32)
    return LabelledStack(
        images=ImageStack.from_array(images, name=source.name),
        classes=classes_from_instances(ids),
        class_names=("cell",),
        instances=ids,
    )


@cache
def _synthetic(seed: int) -> LabelledStack:
    """A short time-lapse of two classes."""
    movie = synthesize(SyntheticConfig(n_frames=4, size=(192, 192), seed=3_000_000 + seed))
    return LabelledStack(
        images=ImageStack.from_array(movie.images, name=f"synthetic {seed}"),
        classes=movie.classes,
        class_names=CLASS_NAMES,
        instances=movie.instances,
    )
