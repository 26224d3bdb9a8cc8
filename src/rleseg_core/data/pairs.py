"""Images and masks of two folders, matched by the names of their files."""

import re
from pathlib import Path

from rleseg_core.data.formats.base import ReadOptions
from rleseg_core.data.formats.registry import frames_in, is_frame_folder, open_frames, open_source
from rleseg_core.data.stack import ImageStack, LabelStack, say
from rleseg_core.errors import DataError


def open_pair(
    images: str | Path,
    masks: str | Path,
    reading: ReadOptions = ReadOptions(),
    mask_reading: ReadOptions = ReadOptions(),
) -> tuple[ImageStack, LabelStack]:
    """Images and their masks; in two folders of images, matched by name.

    Parameters
    ----------
    images, masks : str or Path
        Files or folders.
    reading, mask_reading : ReadOptions
        Which part of the images and of the masks is read, and how.

    Raises
    ------
    DataError
        If something cannot be read, or an image has no counterpart.
    """
    images, masks = Path(images), Path(masks)
    sources = ((images, reading), (masks, mask_reading))
    if not (is_frame_folder(images) and is_frame_folder(masks)):
        opened = [open_source(path, options, masks=path is masks) for path, options in sources]
    else:
        frames = frames_in(images, reading)
        matched = match_masks(frames, frames_in(masks, mask_reading))
        opened = [
            open_frames(path, options, chosen, masks=path is masks)
            for (path, options), chosen in zip(sources, (frames, matched), strict=True)
        ]
    stacks = ImageStack.from_source(opened[0]), LabelStack.from_source(opened[1])
    for stack in stacks:
        say(stack.notes)
    return stacks


def match_masks(images: list[Path], masks: list[Path]) -> list[Path]:
    """Mask of each image: of the same stem, else, if none is, of the same number at the end.

    Raises
    ------
    DataError
        If an image or a mask is left over; the message names them.
    """
    for key in (_stem, _number):
        by_key = {key(path): path for path in masks}
        wanted = [key(path) for path in images]
        unique = len(by_key) == len(masks) and len(set(wanted)) == len(wanted)
        if unique and "" not in by_key and set(wanted) == set(by_key):
            return [by_key[name] for name in wanted]
    no_mask = [p.name for p in images if _stem(p) not in {_stem(mask) for mask in masks}]
    no_image = [p.name for p in masks if _stem(p) not in {_stem(image) for image in images}]
    parts = [
        f"{len(left)} of {len(paths)} {kind} ({_listed(left)}) have no {other}"
        for left, paths, kind, other in (
            (no_mask, images, "images", "mask"),
            (no_image, masks, "masks", "image"),
        )
        if left
    ]
    reason = " and ".join(parts) or "two files share a stem"
    raise DataError(
        f"images and masks do not match: {reason} of the same name, between "
        f"{images[0].parent} and {masks[0].parent}"
    )


def _stem(path: Path) -> str:
    return path.stem


def _number(path: Path) -> str:
    found = re.search(r"(\d+)\D*$", path.stem)
    return str(int(found[1])) if found else ""


def _listed(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
