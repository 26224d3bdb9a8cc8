"""The panel that opens images, masks and earlier sessions."""

from contextlib import suppress
from functools import partial
from itertools import pairwise
from pathlib import Path

from napari.layers import Labels, Layer
from napari.types import LayerData
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QFileDialog,
    QGridLayout,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_rleseg.jobs import show_failure
from napari_rleseg.layers import notes, provenance_of, show_image, show_labels, stack_shape
from napari_rleseg.masks import OpenedMasks, UnclearMasks
from napari_rleseg.object_files import KnownObjects
from napari_rleseg.objects import objects_layer, prepare
from napari_rleseg.session import Session, sessions_folder
from napari_rleseg.shown import shown, without_options
from napari_rleseg.widgets.controls import form_layout, text_label
from napari_rleseg.widgets.parts import PartsForm
from napari_rleseg.widgets.which_ids import ask_ids
from rleseg_core.checkpoints import find_model, read_info
from rleseg_core.data import CLASS_NAMES, ImageStack
from rleseg_core.data.formats.base import ReadOptions
from rleseg_core.data.formats.description import FileDescription
from rleseg_core.data.formats.registry import dialog_filter
from rleseg_core.data.ids import IdChoice
from rleseg_core.errors import CheckpointError
from rleseg_core.normalisation import GreyChoice
from rleseg_core.objects import ObjectTable
from rleseg_core.text import printable


class LoadWidget(QWidget):
    """Opens stacks lazily, and shows their size and data type.

    Parameters
    ----------
    session : Session
        The opened image becomes its image.
    parent : QWidget or None
        Owner.
    """

    loaded = Signal(object)  # Layer

    def __init__(self, session: Session, parent: QWidget | None = None):
        super().__init__(parent)
        self._session = session
        self._asked: Path | None = None
        self._call: tuple[str, str | Path | None, tuple] = ("", None, ())  # the last job
        self.image_file = QPushButton("Image file…")
        self.image_folder = QPushButton("Folder of frames…")
        self.masks_file = QPushButton("Masks…")
        self.masks_folder = QPushButton("Folder of masks…")
        self.sample = QPushButton("Sample time-lapse")
        self.earlier = QPushButton("Earlier session…")
        self.pixel_size = QDoubleSpinBox(minimum=0.0, maximum=1e6, value=0.0, decimals=4)
        self.pixel_size.setSpecialValueText("as in the file")
        self.pixel_size.setSuffix(" µm")
        self.pixel_size.setToolTip("Side of a pixel, instead of what the file says")
        self.class_names = QLineEdit()
        self.class_names.setPlaceholderText("of masks, e.g. ipsc, dfc")
        self.parts = PartsForm()
        self.busy = QProgressBar(minimum=0, maximum=0)
        self.busy.hide()
        self.info = text_label("Open a time-lapse or the sample.")
        self._lay_out()
        self.parts.chosen.connect(self._open_parts)
        self.image_file.clicked.connect(self._ask_image_file)
        self.image_folder.clicked.connect(self._ask_image_folder)
        self.masks_file.clicked.connect(self._ask_masks_file)
        self.masks_folder.clicked.connect(self._ask_masks_folder)
        self.sample.clicked.connect(self.open_sample)
        self.earlier.clicked.connect(self._ask_session)
        reading = session.reading
        reading.started.connect(self._show_busy)
        reading.stopped.connect(self._show_busy)
        reading.finished.connect(self._show)
        reading.failed.connect(self._fail)

    def open_images(self, path: str | Path) -> None:
        """Open a file or folder of images and show it."""
        self._open("napari_rleseg.reading:open_images", path)

    def open_masks(self, path: str | Path) -> None:
        """Open a file or folder of masks and show it."""
        self._open("napari_rleseg.masks:open_masks", path, _names(self.class_names.text()))

    def open_sample(self) -> None:
        """Show the simulated time-lapse, and its truth, hidden."""
        self._open("napari_rleseg.reading:sample", None)

    def _open(
        self, job: str, path: str | Path | None, *arguments: object, **chosen: object
    ) -> None:
        if self._session.reading.busy:
            self.info.setText("Another file is being read; wait for it.")
            return
        self.parts.hide()
        self._asked, self._call = Path(path) if path else Path(), (job, path, arguments)
        given = arguments if path is None else (self._asked, *arguments)
        self._session.reading.start(job, *given, **chosen)

    def _open_parts(self, options: ReadOptions) -> None:
        job, path, arguments = self._call
        self._open(job, path, *arguments, options=options, is_last=self.parts.is_last)

    def _show(self, product: object) -> None:
        if self._asked is None:  # not our job
            return
        asked, self._asked = self._asked, None
        match product:
            case FileDescription() as found:
                self.parts.offer(found, masks="masks" in self._call[0])
                self.info.setText("Choose what is opened.")
            case (ImageStack() as stack, (tuple() | None) as limits):
                size = self.pixel_size.value() or None
                layer = show_image(self._session.viewer, stack, limits, size)
                self._show_first(layer)
                what = "\n".join([str(stack.dtype), *stack.notes])
                self._report(layer, stack.shape, what, str(stack.path or ""))
            case OpenedMasks():
                self._show_masks(product)
            case UnclearMasks():
                self.info.setText(without_options(product.sentence))
                ask_ids(product, partial(self._choose_ids, product), self)
            case list(layers) if asked == Path():
                image, *_ = self._add(layers)
                _choose_sample_model(self._session)
                self._report(image, image.data.shape, str(image.dtype), "simulated")
            case list(layers):
                image, *masks = self._add(layers)
                _show_objects(self._session, masks)
                if masks and self._session.path_of(masks[0]) is not None:
                    self._session.result = masks[0]
                    _take_size(self._session, provenance_of(masks[0]))
                    self._session.greys = GreyChoice.from_record(provenance_of(masks[0]))
                self._report(image, image.data.shape, str(image.dtype), str(asked))

    def _add(self, layers: list[LayerData]) -> list[Layer]:
        added = [Layer.create(*data) for data in layers]
        self._session.viewer.layers.extend(added)
        self._show_first(added[0])
        return added

    def _show_first(self, image: Layer) -> None:
        self._session.image = image
        if self._session.viewer.dims.ndim > 2:
            self._session.viewer.dims.set_current_step(0, 0)

    def _choose_ids(self, masks: UnclearMasks, choice: IdChoice) -> None:
        job = "napari_rleseg.masks:open_masks"
        self._open(job, masks.path, (), choice.rules, options=masks.options)

    def _show_masks(self, masks: OpenedMasks) -> None:
        stack = masks.stack
        layer = show_labels(
            self._session.viewer,
            masks.data,
            masks.class_names,
            name=stack.name or "masks",
            image=self._session.image,
            path=stack.path if masks.is_plain else None,
            provenance=stack.metadata.provenance,
            metadata=stack.metadata,
        )
        notes(layer)["ignores"] = masks.ignores
        _show_known(self._session, layer, masks.objects)
        what = "\n".join([printable(masks.told), *stack.notes])
        self._report(layer, stack.shape, what, str(stack.path or ""))

    def _report(self, layer: Layer, shape: tuple[int, ...], what: str, source: str) -> None:
        frames = f"{shape[0]} frame" + ("s" if shape[0] != 1 else "")
        kind = "masks" if isinstance(layer, Labels) else "images"
        told = f"{frames} of {shape[1]} × {shape[2]}, {without_options(what)}"
        self.info.setText(f"{printable(layer.name)} ({kind})\n{told}")
        self.info.setToolTip(shown(source))
        self.loaded.emit(layer)

    def _fail(self, sentence: str, details: str) -> None:
        if self._asked is not None:
            self._asked = None
            self.info.setText(without_options(sentence))
            show_failure(sentence, details)

    def _show_busy(self) -> None:
        self.busy.setVisible(self._session.reading.busy)

    def _ask_image_file(self) -> None:
        if name := QFileDialog.getOpenFileName(self, "Open images", "", dialog_filter())[0]:
            self.open_images(name)

    def _ask_image_folder(self) -> None:
        if name := QFileDialog.getExistingDirectory(self, "Open a folder of frames, or a zarr"):
            self.open_images(name)

    def _ask_masks_file(self) -> None:
        if name := QFileDialog.getOpenFileName(self, "Open masks", "", dialog_filter())[0]:
            self.open_masks(name)

    def _ask_masks_folder(self) -> None:
        if name := QFileDialog.getExistingDirectory(self, "Open a folder of masks, or a zarr"):
            self.open_masks(name)

    def _ask_session(self) -> None:
        start = str(sessions_folder())
        if name := QFileDialog.getExistingDirectory(self, "Open an earlier session", start):
            self.open_session(name)

    def open_session(self, path: str | Path) -> None:
        """Show the image and the newest masks of an earlier session, and continue in its folder."""
        self._open("napari_rleseg.reading:open_session", path)

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        grid = QGridLayout()
        images = (self.image_file, self.image_folder)
        masks, others = (self.masks_file, self.masks_folder), (self.sample, self.earlier)
        for row, pair in enumerate((images, masks, others)):
            for column, button in enumerate(pair):
                grid.addWidget(button, row, column)
        layout.addLayout(grid)
        form = form_layout()
        form.addRow("Pixel size", self.pixel_size)
        form.addRow("Classes", self.class_names)
        layout.addLayout(form)
        layout.addWidget(self.parts)
        layout.addWidget(self.busy)
        layout.addWidget(self.info)
        layout.addStretch()


def _show_known(session: Session, masks: Labels, found: KnownObjects | None) -> None:
    """Show the objects that were written beside masks, if they fit."""
    if found is not None and tuple(found.ids.shape) == stack_shape(masks):
        layer = objects_layer(found.ids, masks, found.path)
        session.objects.show(layer, masks, found.table)


def _take_size(session: Session, made: dict[str, object]) -> None:
    """Set the diameter, or the image size, that masks were made with."""
    size, diameter = made.get("image_size"), made.get("diameter")
    session.image_size = size if isinstance(size, int) else None
    session.diameter = diameter if isinstance(diameter, float) else session.diameter


def _show_objects(session: Session, layers: list[Layer]) -> None:
    """Show the objects of masks, which come after these in a session; none if there are none."""
    session.objects.clear()
    for masks, ids in pairwise(layers):
        table = notes(ids).pop("table", None)
        if isinstance(table, ObjectTable):
            prepare(ids)
            session.objects.show(ids, masks, table)


def _choose_sample_model(session: Session) -> None:
    """Choose the model that was made for the sample, if the chosen one has other classes."""
    model = session.model
    if model is None or model.mask_spec.class_names != CLASS_NAMES:
        with suppress(CheckpointError):  # it is not installed
            session.model = read_info(find_model("demo-objects"))


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
