"""State of one viewer: image, model, result, corrections, and the runners of its jobs."""

import weakref
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import zarr
from napari.layers import Image, Labels
from platformdirs import user_data_path
from psygnal import Signal

from napari_rleseg.calibration import NOTES, layer_metadata
from napari_rleseg.io import write_record
from napari_rleseg.jobs import InProcessRunner, ProcessRunner, Runner
from napari_rleseg.kept import file_notes, file_of
from napari_rleseg.layers import labels_layer, notes, stack_shape
from napari_rleseg.object_files import MASKS
from napari_rleseg.objects import ObjectView
from napari_rleseg.preferences import preference
from napari_rleseg.tracks import TrackView
from rleseg_core.checkpoints import ModelInfo
from rleseg_core.data.formats.zarr_writing import create_stack
from rleseg_core.errors import DataError
from rleseg_core.normalisation import GreyChoice
from rleseg_core.objects.scale import image_size_for
from rleseg_core.spec import WindowSpec

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_rleseg.recorder import CorrectionRecorder
    from rleseg_core.corrections import CorrectionLog

_SESSIONS: "weakref.WeakKeyDictionary[Viewer, Session]" = weakref.WeakKeyDictionary()


class Session:
    """State that the widgets of one viewer share; each viewer has its own, see `Session.of`.

    Parameters
    ----------
    viewer : Viewer
        Kept weakly.

    Attributes
    ----------
    image : Image or None
        The current time-lapse.
    result : Labels or None
        Its masks, as the model writes them and the user corrects them.
    model : ModelInfo or None
        The model to segment with.
    image_size : int or None
        Longer side of a frame after resizing, in pixels; None for that of the model.
    diameter : float or None
        Diameter of the objects in pixels of the image, which decides on the size instead; None to
        let the model estimate it where it has to.
    seen_size : int or None
        The size that an estimate gave for this image and this model.
    greys : GreyChoice
        Whether the model sees the images inverted, and at which contrast.
    objects : ObjectView
        The objects of `result`, and the layer that shows them.
    tracks : TrackView
        Their tracks.
    corrections : CorrectionLog or None
        Log of the corrections of `result`.
    recorder : CorrectionRecorder or None
        Records the corrections; None while `result` is not being corrected.
    inference, training, reading : Runner
        Runners of the jobs: a process that keeps its model, a process per training, a thread.
    """

    image_changed = Signal(object)
    result_changed = Signal(object)
    model_changed = Signal(object)
    window_spec_changed = Signal(object)
    corrections_changed = Signal()
    models_changed = Signal()  # the set of installed models
    shown = Signal()  # the panels are visible

    def __init__(self, viewer: "Viewer"):
        self._viewer = weakref.ref(viewer)
        self._image: Image | None = None
        self._result: Labels | None = None
        self._model: ModelInfo | None = None
        self._image_size: int | None = None
        self._diameter: float | None = None
        self._seen_size: int | None = None
        self._greys = GreyChoice()
        self._corrections: CorrectionLog | None = None
        self.recorder: CorrectionRecorder | None = None
        self._folder: Path | None = None
        self.objects = ObjectView(viewer)
        self.tracks = TrackView(viewer, self.objects)
        threads = int(str(preference("inference", "threads"))) or None
        self.reading: Runner = InProcessRunner("RLE Seg: reading images")
        self.inference: Runner
        self.training: Runner
        if preference("inference", "separate_process"):
            self.inference = ProcessRunner("RLE Seg: segmenting", threads=threads)
            self.training = ProcessRunner("RLE Seg: training", threads=threads, keep=False)
        else:
            self.inference = InProcessRunner("RLE Seg: segmenting")
            self.training = InProcessRunner("RLE Seg: training")
        viewer.layers.events.removed.connect(self._forget_layer)

    @classmethod
    def of(cls, viewer: "Viewer") -> "Session":
        """The session of a viewer, begun when first asked for."""
        viewer = getattr(viewer, "__wrapped__", viewer)  # napari hands out a proxy
        if viewer not in _SESSIONS:
            _SESSIONS[viewer] = cls(viewer)
        return _SESSIONS[viewer]

    @property
    def viewer(self) -> "Viewer":
        """The viewer.

        Raises
        ------
        ReferenceError
            If it is gone.
        """
        viewer = self._viewer()
        if viewer is None:
            raise ReferenceError("the viewer of this session is closed")
        return viewer

    @property
    def image(self) -> Image | None:
        """The current time-lapse."""
        return self._image

    @image.setter
    def image(self, layer: Image | None) -> None:
        if layer is not self._image:
            self._image = layer
            self._diameter = self._seen_size = None  # of the other image
            # a layer made from another by napari has its notes; its results do not belong there
            known = None if layer is None or file_of(layer) is None else notes(layer).get("session")
            self._folder = Path(str(known)) if known else None
            self.image_changed.emit(layer)

    @property
    def result(self) -> Labels | None:
        """Masks of `image`."""
        return self._result

    @result.setter
    def result(self, layer: Labels | None) -> None:
        if layer is not self._result:
            self._result = layer
            self.result_changed.emit(layer)

    @property
    def model(self) -> ModelInfo | None:
        """The model to segment with."""
        return self._model

    @model.setter
    def model(self, info: ModelInfo | None) -> None:
        if info is not self._model:
            self._model, self._seen_size = info, None
            self._greys = GreyChoice()
            self.model_changed.emit(info)
            self.window_spec_changed.emit(self.window_spec)

    @property
    def image_size(self) -> int | None:
        """Longer side of a frame after resizing, in pixels; None for that of the model."""
        return self._image_size

    @image_size.setter
    def image_size(self, size: int | None) -> None:
        if size != self._image_size:
            self._image_size, self._diameter, self._seen_size = size, None, None
            self.window_spec_changed.emit(self.window_spec)

    @property
    def diameter(self) -> float | None:
        """Diameter of the objects in pixels of the image; None if it is estimated."""
        return self._diameter

    @diameter.setter
    def diameter(self, diameter: float | None) -> None:
        if diameter != self._diameter:
            self._diameter, self._image_size, self._seen_size = diameter, None, None
            self.window_spec_changed.emit(self.window_spec)

    @property
    def seen_size(self) -> int | None:
        """Longer side of a frame that an estimate gave, in pixels."""
        return self._seen_size

    @seen_size.setter
    def seen_size(self, size: int | None) -> None:
        if size != self._seen_size:
            self._seen_size = size
            self.window_spec_changed.emit(self.window_spec)

    @property
    def greys(self) -> GreyChoice:
        """How the model sees grey values, as far as it differs from its training."""
        return self._greys

    @greys.setter
    def greys(self, choice: GreyChoice) -> None:
        if choice != self._greys:
            self._greys = choice
            self.window_spec_changed.emit(self.window_spec)

    @property
    def window_spec(self) -> WindowSpec | None:
        """Windows of `model` at the scale of the objects: what is segmented and animated."""
        model, greys = self._model, self._greys
        if model is None:
            return None
        size = self._image_size or self._seen_size
        trained = model.object_diameter
        if self._diameter is not None and trained is not None and self._image is not None:
            with suppress(DataError):  # the job says it: frames would be too large
                shape, patch = stack_shape(self._image), model.window_spec.patch
                size = image_size_for(shape, self._diameter, trained, patch=patch)
        return model.window_spec.changed(size, greys.invert, greys.contrast)

    @property
    def corrections(self) -> "CorrectionLog | None":
        """Log of the corrections of `result`; None if there are none."""
        return self._corrections

    @corrections.setter
    def corrections(self, log: "CorrectionLog | None") -> None:
        self._corrections = log
        self.corrections_changed.emit()

    @property
    def runners(self) -> tuple[Runner, ...]:
        """All runners of the session."""
        return (self.reading, self.inference, self.training)

    @property
    def folder(self) -> Path:
        """Folder of the results for `image`; a new one for each image of each session."""
        if self._folder is None:
            name = "".join(c if c.isalnum() or c in "-_" else "-" for c in self._name())
            stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
            self._folder = sessions_folder() / f"{name}-{stamp}.rleseg"
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder

    @folder.setter
    def folder(self, path: Path) -> None:
        self._folder = Path(path)

    def needed_image(self) -> Image:
        """The image; a DataError if there is none."""
        if self.image is None:
            raise DataError("there is no image; open one in the Load tab")
        return self.image

    def check_idle(self, *, busy: bool = False) -> None:
        """Raise a DataError if `busy`, or if a job reads the image or computes with the model."""
        if busy or self.inference.busy or self.reading.busy:
            raise DataError("another job is running; cancel it or wait for it")

    def new_path(self, name: str) -> Path:
        """A new path in the session's folder: ``name``, or ``name-2`` and so on if it is taken."""
        stem, suffix = Path(name).stem, Path(name).suffix
        path, number = self.folder / name, 1
        while path.exists():
            number += 1
            path = self.folder / f"{stem}-{number}{suffix}"
        return path

    def new_result(self, class_names: tuple[str, ...], provenance: dict[str, object]) -> Labels:
        """An empty result for `image`, on disk, one chunk a frame; not in the viewer yet."""
        if self.image is None:
            raise ValueError("there is no image to segment")
        shape = stack_shape(self.image)
        path = self.new_path(f"{MASKS}.zarr")
        dtype = np.dtype(np.uint8 if len(class_names) < 256 else np.uint16)
        metadata = layer_metadata(self.image).for_masks(class_names, provenance)
        data = create_stack(path, shape, dtype, metadata.to_json())
        return labels_layer(
            data,
            class_names,
            name=f"{self.image.name} masks",
            image=self.image,
            path=path,
            provenance=provenance,
        )

    def path_of(self, layer: Image | Labels) -> Path | None:
        """File or folder that holds a layer as it is, for another process to read; None if none."""
        if isinstance(layer, Image):
            return file_of(layer)
        path = notes(layer).get("path")
        if not isinstance(layer.data, zarr.Array):
            return None  # it may have been painted on
        return Path(str(path)) if path and Path(str(path)).exists() else None

    def when_on_disk(self, layer: Image | Labels, then: Callable[[Path], None]) -> None:
        """Call `then` with the path of a layer, after writing it into the session if it has none.

        The writing is a job of `reading`, which can be cancelled; its signals report failures.
        """

        def go(path: Path) -> None:
            if layer is self.image:
                self._record(layer, path)
            then(path)

        def keep(product: object) -> None:
            if isinstance(layer, Image):
                # a new entry: napari hands the same one on to layers that it makes of this one
                noted = {**notes(layer), **file_notes(data, str(product))}
                layer.metadata = {**layer.metadata, NOTES: noted}
            kept.append(Path(str(product)))

        def forget() -> None:
            self.reading.finished.disconnect(keep)
            self.reading.stopped.disconnect(forget)
            for path in kept:
                go(path)

        kept: list[Path] = []
        path, data = self.path_of(layer), layer.data
        if path is not None:
            go(path)
            return
        self.reading.finished.connect(keep)
        self.reading.stopped.connect(forget)
        name = "images.zarr" if isinstance(layer, Image) else "truth.zarr"
        self.reading.start(
            "napari_rleseg.reading:save_stack", data, stack_shape(layer), self.new_path(name)
        )

    def _record(self, image: Image | Labels, path: Path) -> None:
        metadata = layer_metadata(image).to_json()
        write_record(self.folder, {"image": str(path), "name": image.name, "metadata": metadata})

    def close(self) -> None:
        """Stop all jobs and end their processes."""
        for runner in self.runners:
            runner.close()
        self.tracks.close()
        if self._corrections is not None:
            self._corrections.close()

    def _forget_layer(self, event: object) -> None:
        layer = getattr(event, "value", None)
        if layer is self._image:
            self.image = None
        if layer is self._result:
            self.result = None

    def _name(self) -> str:
        return self._image.name if self._image is not None else "session"


def sessions_folder() -> Path:
    """Folder of this user's sessions."""
    return user_data_path("rleseg") / "sessions"
