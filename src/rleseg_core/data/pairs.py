"""Images and masks of two folders, matched by the names of their files."""

import re
from pathlib import Path

from rleseg_core.data.arrays import reading
from rleseg_core.data.formats.folder import open_frames
from rleseg_core.data.formats.registry import as_frames, frames_in, is_frame_folder
from rleseg_core.data.stack import ImageStack, LabelStack
from rleseg_core.errors import DataError


def open_pair(images: str | Path, masks: str | Path) -> tuple[ImageStack, LabelStack]:
    """Images and their masks; in two folders of images, matched by name.

    Raises
    ------
    DataError
        If something cannot be read, or an image has no counterpart.
    """
    images, masks = Path(images), Path(masks)
    if not (is_frame_folder(images) and is_frame_folder(masks)):
        return ImageStack.open(images), LabelStack.open(masks)
    frames = frames_in(images)
    matched = match_masks(frames, frames_in(masks))
    with reading(images):
        data = open_frames(as_frames(frames), masks=False)
    stack = ImageStack(data, images.stem, images.resolve())
    with reading(masks):
        data = open_frames(as_frames(matched), masks=True)
        labels = LabelStack.from_data(data, masks.stem, masks.resolve())
    return stack, labels


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
