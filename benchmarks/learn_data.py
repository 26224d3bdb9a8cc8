"""What is learned from, and what is held out."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Literal, Self

import imageio.v3 as imageio
import numpy as np
from natsort import natsorted

from rleseg_core.data import (
    CLASS_NAMES,
    ImageStack,
    LabelledStack,
    SyntheticConfig,
    classes_from_instances,
    synthesize,
)

DataName = Literal["usiigaci", "dsb2018", "bacteria", "yeast", "synthetic"]
DATA: tuple[DataName, ...] = ("usiigaci", "dsb2018", "bacteria", "yeast", "synthetic")
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

    @cached_property
    def areas(self) -> np.ndarray:
        """Areas (n_objects,) int64 of the objects of the training masks, in source pixels."""
        areas: list[np.ndarray] = []
        for stack in self.train:
            for frame in stack.frames:
                ids = stack.instance_frame(frame)
                assert ids is not None
                areas.append(np.bincount(ids.ravel())[1:])
        every = np.concatenate(areas)
        return every[every > 0]

    @property
    def smallest(self) -> int:
        """Pixels of the smallest component that counts as an object, from the training masks."""
        return round(OBJECT_SHARE * float(np.median(self.areas)))

    @property
    def diameter(self) -> float:
        """Median diameter of objects, 2 · sqrt(area / π) of the training masks, source pixels."""
        return 2 * math.sqrt(float(np.median(self.areas)) / math.pi)

    def few(self, n_images: int) -> Self:
        """The same with that many training images, evenly chosen from the first stack."""
        stack = self.train[0]
        chosen = np.linspace(0, len(stack.frames) - 1, n_images + 2)[1:-1].round().astype(int)
        frames = tuple(stack.frames[index] for index in chosen)
        return replace(self, train=(replace(stack, frames=frames),))

    def image_size_for(self, diameter: float) -> int:
        """I, the longer side of frames in which the median diameter is that many pixels."""
        longer = max(self.train[0].images.shape[1:3])
        return max(1, round(longer * diameter / self.diameter))


Split = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Source:
    """Where images are, in the folder of all data, how they are split, and I."""

    images: str
    masks: str
    split: Callable[[Sequence[str]], Split]
    image_size: int | None


def load_fields(name: DataName, folder: Path) -> Fields:
    """The images of a source and its fixed split.

    Parameters
    ----------
    name : str
        Of the source.
    folder : Path
        Of all data as they come, or the smaller copies of ``train_cells_model.py --prepare``. What
        is called a source pixel is one of the copies then.

    Raises
    ------
    FileNotFoundError
        If its folder is not there.
    """
    if name == "synthetic":
        sizes = {"train": range(24), "validation": range(100, 104), "test": range(200, 204)}
        parts = {part: tuple(_synthetic(seed) for seed in seeds) for part, seeds in sizes.items()}
        return Fields(name=name, image_size=None, **parts)
    source = SOURCES[name]
    images, masks = (_files(folder / part) for part in (source.images, source.masks))
    pairs = {path.stem: (path, mask) for path, mask in zip(images, masks, strict=True)}
    split = source.split(list(pairs))
    parts = {
        part: (_read(name, [pairs[chosen] for chosen in split[part]]),)
        for part in ("train", "validation", "test")
    }
    return Fields(name=name, image_size=source.image_size, **parts)


def _files(folder: Path) -> list[Path]:
    """Pictures in the natural order of their names, which images and masks have in common."""
    found = (path for path in folder.iterdir() if path.suffix in (".png", ".tif"))
    return natsorted(found, key=lambda path: path.name)


def split_usiigaci(names: Sequence[str]) -> Split:
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


def split_dsb2018(names: Sequence[str]) -> Split:
    """Every fifth name to test, of every twenty the second to look at, the others to learn from."""
    ordered = sorted(names)
    test, validation = ordered[::5], ordered[1::20]
    return {
        "test": test,
        "validation": validation,
        "train": sorted(set(ordered) - {*test, *validation}),
    }


def split_bacteria(names: Sequence[str]) -> Split:
    """Of a movie the frames from 36 on to test, of those before every sixth to look at."""
    return {
        "test": names[36:],
        "validation": names[5:36:6],
        "train": [name for frame, name in enumerate(names[:36]) if frame % 6 != 5],
    }


def split_yeast(names: Sequence[str]) -> Split:
    """Of a movie the last two frames to test, the one before to look at."""
    return {"test": names[-2:], "validation": names[-3:-2], "train": names[:-3]}


SOURCES = {
    "usiigaci": Source("usiigaci_gt50/images", "usiigaci_gt50/masks", split_usiigaci, 512),
    "dsb2018": Source("dsb2018_fluo256/images", "dsb2018_fluo256/masks", split_dsb2018, None),
    "bacteria": Source(
        "bacteria_divisions/01", "bacteria_divisions/01_GT/TRA", split_bacteria, 1024
    ),
    "yeast": Source("yeast_phase/images", "yeast_phase/masks", split_yeast, 1024),
}


def _read(name: str, files: Sequence[tuple[Path, Path]]) -> LabelledStack:
    """Pictures of one size and the ids of their objects, in memory."""
    images = np.stack([imageio.imread(image) for image, _ in files])
    ids = np.stack([imageio.imread(mask) for _, mask in files]).astype(np.int32)
    return LabelledStack(
        images=ImageStack.from_array(images, name=name),
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
