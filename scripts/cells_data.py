"""Real images for the bundled model of cells: what teaches, what is held out, and at which sizes.

Images and masks lie in a folder that is not part of the project. `prepare` writes smaller copies of
them, normalised as a model sees them, so that a training elsewhere needs little to be carried.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from natsort import natsorted
from PIL import Image

from rleseg_core.data import ImageStack, LabelledStack, classes_from_instances, varied_stack
from rleseg_core.data.windows import model_frame, model_labels
from rleseg_core.normalisation import ROBUST, Normalisation
from rleseg_core.spec import WindowSpec

CLASSES = ("cell",)
IMAGE_SIZE = 512  # at which cells of the fields and nuclei are about as large
_AS_IT_IS = Normalisation(contrast=(0, 255))
_PREPARED = "prepared.txt"
_LEVELS = (12, 48)  # grey levels of frames with few of them, as of a dim picture in 8 bits


@dataclass(frozen=True)
class Source:
    """Images of one kind.

    Parameters
    ----------
    images, masks : str
        Their folders, in the folder of all data.
    sizes : tuple of int
        Longer sides, pixels, at which frames teach; what is named more often teaches more often.
    validated_at : int
        That of held-out frames.
    licence : str
        Whose they are.
    held_out : str
        Which are never taught, in words.
    every : int
        One in so many of the other frames teaches: neighbours of a movie are alike.
        Prepared copies have all frames.
    largest : int
        Longer side of prepared copies, at most.
    """

    images: str
    masks: str
    sizes: tuple[int, ...]
    validated_at: int
    licence: str
    held_out: str
    every: int = 1
    largest: int = 1024


SOURCES = {
    "usiigaci": Source(
        "usiigaci_gt50/images",
        "usiigaci_gt50/masks",
        (512, 512, 512, 720),
        512,
        "Usiigaci phase-contrast fields (MIT; Tsai et al., SoftwareX 2019)",
        "set01, set06, set15, set26, set37",
        largest=720,
    ),
    "dsb2018": Source(
        "dsb2018_fluo256/images",
        "dsb2018_fluo256/masks",
        (512,),
        512,
        "Data Science Bowl 2018 fluorescence, stage 1 (CC0)",
        "of nuclei the sixth of every ten names",
    ),
    "bacteria": Source(
        "bacteria_divisions/01",
        "bacteria_divisions/01_GT/TRA",
        (1024, 512),
        1024,
        "bacteria in phase contrast, from divisualisation (MIT)",
        "of bacteria frames 34 to 44",
        every=3,
    ),
    "yeast": Source(
        "yeast_phase/images",
        "yeast_phase/masks",
        (1024, 1024, 768, 512),
        1024,
        "budding yeast in phase contrast, from yeastvision (BSD-like)",
        "of yeast frames 5 and 6",
    ),
}


def files(folder: Path) -> list[Path]:
    """The images of a folder in their natural order, which is that of the frames of its stack."""
    found = (path for path in folder.iterdir() if path.suffix in (".png", ".tif"))
    return natsorted(found, key=lambda path: path.name)


def held_out(source: str, names: Sequence[str]) -> list[str]:
    """Of the images of a source, in natural order, those that are never taught."""
    match source:
        case "usiigaci":
            kept = {"set01", "set06", "set15", "set26", "set37"}
            return [name for name in names if name in kept]
        case "bacteria":
            return [name for name in names if int(name[-3:]) >= 34]
        case "yeast":
            return [name for name in names if int(name[-3:]) >= 5]
    return [name for k, name in enumerate(names) if k % 10 == 5]


def forked(function: Callable[..., Any], values: Sequence[tuple[Any, ...]]) -> list[Any]:
    """What a function gives for each of some values, by forked processes, one for each core."""
    n = min(len(os.sched_getaffinity(0)), len(values))
    fork = get_context("fork")
    pipes = [fork.Pipe(duplex=False) for _ in range(n)]

    def work(k: int) -> None:
        for one in values[k::n]:
            pipes[k][1].send(function(*one))

    processes = [fork.Process(target=work, args=(k,), daemon=True) for k in range(n)]
    for process in processes:
        process.start()
    for _, theirs in pipes:
        theirs.close()
    return [pipes[k % n][0].recv() for k in range(len(values))]


def split(folder: Path, source: str) -> tuple[LabelledStack, list[int], list[int]]:
    """All frames of a source, those that teach, and those held out."""
    kind = SOURCES[source]
    whole = LabelledStack.from_paths(
        folder / kind.images, folder / kind.masks, CLASSES, instances=True
    )
    names = [path.stem for path in files(folder / kind.images)]
    never = set(held_out(source, names))
    taught = [frame for frame, name in enumerate(names) if name not in never]
    out = [frame for frame, name in enumerate(names) if name in never]
    return whole, taught[:: kind.every], out[:: kind.every]


def load(
    folder: Path, sources: Sequence[str]
) -> tuple[list[LabelledStack], dict[str, list[LabelledStack]]]:
    """Images that teach, at all magnifications, and those held out of each source, at one."""
    _OPEN["how"] = _AS_IT_IS if (folder / _PREPARED).exists() else ROBUST
    wanted: list[tuple[str, int, int]] = []
    parts: list[tuple[str, str, int, int]] = []
    for source in sources:
        kind = SOURCES[source]
        _OPEN[source], taught, out = split(folder, source)
        for role, frames, sizes in (
            ("taught", taught, dict.fromkeys(kind.sizes)),
            ("out", out, (kind.validated_at,)),
        ):
            for size in sizes:
                wanted += [(source, frame, size) for frame in frames]
                parts.append((source, role, size, len(frames)))
    frames_ready = iter(forked(_resized, wanted))
    at = {
        (source, role, size): _stack([next(frames_ready) for _ in range(n)], f"{source}, {size}")
        for source, role, size, n in parts
    }
    teaching = [at[source, "taught", size] for source in sources for size in SOURCES[source].sizes]
    held = {source: [at[source, "out", SOURCES[source].validated_at]] for source in sources}
    return teaching, held


_OPEN: dict[str, Any] = {}  # what processes of `load` share


def _resized(source: str, frame: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    return resized(_OPEN[source], frame, size, _OPEN["how"])


def resized(
    stack: LabelledStack, frame: int, size: int | None, how: Normalisation = ROBUST
) -> tuple[np.ndarray, np.ndarray]:
    """A frame (Y, X), normalised, uint8, and ids of its objects, uint16, with that longer side."""
    spec = WindowSpec(patch=96, patch_stride=72, image_size=size, normalisation=how)
    image = model_frame(stack.images, frame, spec).image
    ids = model_labels(_ids(stack, frame), spec)
    return np.rint(255 * image[..., 0]).astype(np.uint8), ids.astype(np.uint16)


def _stack(frames: Sequence[tuple[np.ndarray, np.ndarray]], name: str) -> LabelledStack:
    images, ids = (np.stack(values) for values in zip(*frames, strict=True))
    return LabelledStack(
        images=ImageStack.from_array(images, name=name),
        normalisation=_AS_IT_IS,
        classes=classes_from_instances(ids),
        class_names=CLASSES,
        instances=ids,
    )


def with_few_levels(stack: LabelledStack, seed: int) -> LabelledStack:
    """One frame in three with few grey levels, as a dim picture has them in 8 bits."""
    rng = np.random.default_rng(seed)
    assert stack.instances is not None
    images, chosen = [], range(0, stack.images.n_frames, 3)
    for frame in chosen:
        most = int(rng.integers(*_LEVELS)) - 1
        image = np.asarray(stack.images.frame(frame), np.float32)[..., 0] * (most / 255)
        images.append(np.rint(np.rint(image) * (255 / most)).astype(np.uint8))
    return LabelledStack(
        images=ImageStack.from_array(np.stack(images), name="few grey levels"),
        normalisation=_AS_IT_IS,
        classes=np.stack([stack.class_frame(frame) for frame in chosen]),
        class_names=CLASSES,
        instances=np.stack([_ids(stack, frame) for frame in chosen]),
    )


def _ids(stack: LabelledStack, frame: int) -> np.ndarray:
    """Ids of objects of a frame, (Y, X) int32."""
    ids = stack.instance_frame(frame)
    assert ids is not None
    return ids


KINDS = ("cells", "rods", "yeast", "nuclei", "spread")  # of synthetic cells


def synthetic(
    n_sequences: int, looks: dict[str, tuple[float, float]], kinds: Sequence[str] = KINDS
) -> list[LabelledStack]:
    """Sequences of synthetic cells, of the seeds from 0 on; the kinds take turns.

    Parameters
    ----------
    n_sequences : int
        Number of sequences, each of 4 frames of 256 x 256 pixels, in which objects are as large as
        a model sees them.
    looks : dict of str to (float, float)
        Lowest and highest values of the looks of the kind ``cells``.
    kinds : sequence of str
        Some of `KINDS`; one may be named more than once.
    """
    turns = [(seed, kinds[seed % len(kinds)], looks) for seed in range(n_sequences)]
    drawn = forked(_synthetic, turns)
    return [
        LabelledStack(
            images=ImageStack.from_array(images), classes=classes_from_instances(ids),
            class_names=CLASSES, instances=ids,
        )
        for images, ids in drawn
    ]  # fmt: skip


def _synthetic(
    seed: int, kind: Any, looks: dict[str, tuple[float, float]]
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    stack = varied_stack(seed, class_names=CLASSES, kind=kind, looks=looks)
    images = [stack.images.frame(frame)[..., 0] for frame in stack.frames]
    return np.stack(images), np.stack([_ids(stack, frame) for frame in stack.frames])


def prepare(folder: Path, out: Path) -> None:
    """Write all frames of all sources as PNG: small, normalised, with the ids of their objects.

    Parameters
    ----------
    folder : Path
        The data as they come.
    out : Path
        A new folder, in which they have the same names.
    """
    for source, kind in SOURCES.items():
        whole, _, _ = split(folder, source)
        names = [path.stem for path in files(folder / kind.images)]
        size = min(kind.largest, max(whole.images.shape[1:3]))
        for part in (kind.images, kind.masks):
            (out / part).mkdir(parents=True)
        for frame in range(whole.images.n_frames):
            parts = zip((kind.images, kind.masks), resized(whole, frame, size), strict=True)
            for part, values in parts:
                Image.fromarray(values).save(out / part / f"{names[frame]}.png", optimize=True)
    (out / _PREPARED).write_text("normalised, by scripts/cells_data.py\n")
