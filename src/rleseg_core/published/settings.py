"""The authors' ``config.json``, and what follows from it for our model."""

import gzip
import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Self

from rleseg_core.errors import CheckpointError
from rleseg_core.normalisation import BY_TYPE
from rleseg_core.published.tokens import published_tokenizer
from rleseg_core.spec import WindowSpec
from rleseg_core.tokens import PublishedLayout, Tokenizer

STATIC_VIDEO_PROMPT = 24
_VIDEO_TASKS = ("video_segmentation", "static_video_segmentation")
_TASKS = ("semantic_segmentation", "mhd_semantic_segmentation", *_VIDEO_TASKS)
_FLAGS = (
    *("starts_2d", "length_as_class", "time_as_class", "bkg_as_class", "diff_mask"),
    *("class_wise", "instance_wise", "flat_order"),
)
_FREEZES_BACKBONE = ("freeze_backbone", "freeze_encoder", "freeze_encoder_decoder")


class Settings:
    """The values of a ``config.json``, by dotted names such as ``model.vocab_size``.

    Parameters
    ----------
    values : mapping
        The parsed file.
    path : Path
        The file, for messages; lists of class names are searched for beside it.
    """

    def __init__(self, values: Mapping[str, Any], path: Path) -> None:
        self._values, self.path = values, path

    @classmethod
    def read(cls, path: Path, changes: Mapping[str, object] | None = None) -> Self:
        """The settings in a file.

        Parameters
        ----------
        path : Path
            A ``config.json``.
        changes : mapping, optional
            Values by dotted name that override those in the file.

        Raises
        ------
        CheckpointError
            If the file is missing or not of that kind.
        """
        if not path.is_file():
            raise CheckpointError(
                f"there is no {path}, which says what the model is; give it with --config FILE"
            )
        try:
            values = json.loads(path.read_text())
        except (ValueError, RecursionError) as error:
            raise CheckpointError(f"{path} is not JSON ({error}); fetch it again") from error
        if not isinstance(values, dict) or not isinstance(values.get("model"), dict):
            raise CheckpointError(
                f"{path} is not the config.json of a Pix2Seq model (it has no 'model'); give that "
                "with --config FILE"
            )
        for name, value in (changes or {}).items():
            *groups, last = name.split(".")
            group = values
            for part in groups:
                group = group.setdefault(part, {})
                if not isinstance(group, dict):
                    raise CheckpointError(
                        f"{path} has a value for {part}, not a group of them, so {name} cannot be "
                        "set; give another name with --set"
                    )
            group[last] = value
        return cls(values, path)

    def get(self, *names: str) -> Any:
        """The first of these values that is present and not null; None if there is none."""
        for name in names:
            value: Any = self._values
            for part in name.split("."):
                value = value.get(part) if isinstance(value, Mapping) else None
            if value is not None:
                return value
        return None

    def number(self, *names: str, default: int | None = None) -> int:
        """The first of these values that is present, as a whole number.

        Raises
        ------
        CheckpointError
            If none is present and there is no default, or it is not a number.
        """
        value = self.get(*names)
        if value is None:
            if default is None:
                raise self.missing(names[0])
            return default
        try:
            return int(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise CheckpointError(
                f"{self.path} has {names[0]} = {value!r}, which is not a number; give it with "
                f"--set {names[0]}=NUMBER"
            ) from error

    def real(self, name: str, *, default: float) -> float:
        """A value as a floating-point number; the default if it is missing or null.

        Raises
        ------
        CheckpointError
            If it is not a finite number.
        """
        value = self.get(name)
        try:
            number = float(default if value is None else value)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            raise CheckpointError(
                f"{self.path} has {name} = {value!r}, which is not a number; give it with "
                f"--set {name}=NUMBER"
            )
        return number

    def missing(self, name: str) -> CheckpointError:
        """The error for a missing setting, with the option that gives it."""
        return CheckpointError(f"{self.path} does not say {name}; give it with --set {name}=VALUE")

    @property
    def task(self) -> str:
        """The authors' name of the task."""
        return str(self.get("task.name") or "")

    @property
    def segments(self) -> bool:
        """Whether the model segments; others detect objects."""
        return self.task in _TASKS

    @property
    def first_frame_only(self) -> bool:
        """Whether the model sees the first frame of a window and segments all of them."""
        return self.task == "static_video_segmentation"

    @property
    def n_frames(self) -> int:
        """N, the number of frames of a window."""
        return self.number("dataset.length") if self.task in _VIDEO_TASKS else 1

    @property
    def image_size(self) -> int:
        """The side of the network's input, in pixels."""
        value = self.get("model.image_size")
        sides = self._sides(value) if isinstance(value, list) else [self._side()]
        if len(set(sides)) != 1:
            raise CheckpointError(
                f"{self.path} has model.image_size = {sides}, and windows are square here; models "
                "of other shapes cannot be imported"
            )
        return sides[0]

    def _sides(self, value: list[object]) -> list[int]:
        try:
            return [int(str(side)) for side in value]
        except ValueError as error:
            raise CheckpointError(
                f"{self.path} has model.image_size = {value!r}, which is not two numbers"
            ) from error

    def _side(self) -> int:
        return self.number("model.image_size")

    @property
    def patch(self) -> int:
        """Side of the training patches in pixels, before they are resized for the network."""
        rows = self._dataset_number("patch_height")
        cols = self._dataset_number("patch_width") or rows
        if rows != cols:
            raise CheckpointError(
                f"{self.path} has patches of {rows} x {cols} pixels, and windows are square here; "
                "models of other shapes cannot be imported"
            )
        return rows or self.image_size

    def _dataset_number(self, name: str) -> int:
        return self.number(f"dataset.train.{name}", f"dataset.eval.{name}", default=0)

    def bn_eval(self) -> Literal["moving", "batch"]:
        """What batch normalisation uses in evaluation.

        The authors' code uses moving averages if the backbone was frozen, and otherwise the
        statistics of the batch. Google's code for detection uses moving averages.
        """
        frozen = any(self.number(f"train.{name}", default=0) for name in _FREEZES_BACKBONE)
        return "moving" if frozen or not self.segments else "batch"

    def class_names(self) -> tuple[str, ...]:
        """Names of the foreground classes.

        Raises
        ------
        CheckpointError
            If the settings give neither names nor their number.
        """
        named = self.get("dataset.class_names")
        if isinstance(named, list) and named:
            return tuple(str(name) for name in named)
        listing = PurePosixPath(str(self.get("dataset.category_names_path") or "")).name
        if listing and (path := self.path.with_name(listing)).is_file():
            return _category_names(path)
        if not (self.get("dataset.multi_class") or self.get("dataset.length_as_class")):
            return ("class1",)
        raise CheckpointError(
            f"{self.path} does not say how many classes there are; give their names, background "
            "left out, with --class-names a,b"
        )

    def window_spec(self) -> WindowSpec:
        """The windows of the model: patches of the size of the network's input."""
        side, patch, n_frames = self.image_size, self.patch, self.n_frames
        sides = [self._dataset_number(name) for name in ("resize", "resize_x", "resize_y")]
        resized = max(sides) * side // patch or None
        if side != patch and resized is None:
            raise CheckpointError(
                f"{self.path} has patches of {patch} pixels for a network that sees {side}, and "
                "does not say how large the whole images were; give their longer side with "
                "--set dataset.train.resize=PIXELS"
            )
        stride = self.number("dataset.eval.max_stride", default=0) * side // patch
        frame_stride = self.number("dataset.eval_stride", default=1)
        return WindowSpec(
            normalisation=BY_TYPE,
            patch=side,
            patch_stride=stride if 0 < stride <= side else side,
            image_size=resized,
            n_frames=n_frames,
            frame_stride=min(max(frame_stride, 1), n_frames),
        )

    def tokenizer(
        self, class_names: tuple[str, ...], *, vocab_size: int
    ) -> tuple[Tokenizer, PublishedLayout]:
        """The tokenizer of the model, and the layout of its ids; `vocab_size` is V of a head.

        Raises
        ------
        SchemeError
            If its choices do not go together.
        """
        subsample = self._dataset_number("subsample") or 1
        layout = PublishedLayout(
            starts_offset=self.number("model.coord_vocab_shift"),
            lengths_offset=self.number("model.len_vocab_shift"),
            class_offset=self.number("model.class_vocab_shift"),
            shared_coord=bool(self.get("dataset.shared_coord")),
            prompt=STATIC_VIDEO_PROMPT if self.first_frame_only else None,
            vocab_size=vocab_size,
        )
        params = {name: self.get(f"dataset.{name}") for name in _FLAGS} | asdict(layout)
        params |= {
            "class_names": class_names,
            "C": len(class_names),
            "S": self.patch // subsample,
            "vid_len": self.n_frames,
            "mhd": self.task.startswith("mhd"),
            "subsample": subsample,
            "max_length": self._dataset_number("max_length"),
            "flat_order": params["flat_order"] or "C",
        }
        plain = published_tokenizer(params)
        tokenizer = Tokenizer.build(
            plain.scheme, plain.spec, vocab_limit=plain.vocab.size, layout=layout
        )
        return tokenizer, layout


def _category_names(path: Path) -> tuple[str, ...]:
    """Names in a COCO-like list of categories, by id."""
    try:
        raw = path.read_bytes()
        values = json.loads(gzip.decompress(raw) if path.suffix == ".gz" else raw)
        categories = sorted(values["categories"], key=lambda category: int(category["id"]))
        return tuple(str(category["name"]) for category in categories)
    except (
        ValueError,
        KeyError,
        TypeError,
        OSError,
        EOFError,
        RecursionError,
        zlib.error,
    ) as error:
        raise CheckpointError(
            f"{path} has no list of categories ({error}); give the classes with --class-names a,b"
        ) from error
