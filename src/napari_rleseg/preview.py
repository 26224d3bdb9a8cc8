"""The two layers that show a window during an animation: its mask so far, and its outline."""

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Labels, Layer, Shapes
from napari.utils.colormaps import DirectLabelColormap

from napari_rleseg.calibration import NOTES
from napari_rleseg.layers import notes
from napari_rleseg.player import HIGHLIGHT, HIGHLIGHT_COLOUR
from rleseg_core.drawing.palette import OPEN_COLOUR, class_colour
from rleseg_core.spec import MaskSpec

if TYPE_CHECKING:
    from napari.viewer import Viewer

MASK, OUTLINE = "tokens", "window"
OURS = {"preview": True}  # layer boxes do not offer it


class WindowPreview:
    """Shows a window on its image, and hides it again.

    The layers are made once and then hidden and moved, never removed: napari 0.9.2 can crash (a
    segmentation fault in OpenGL, seen with software drawing) when a layer is added some time after
    others were removed.

    Parameters
    ----------
    viewer : Viewer
        The viewer to show them in.
    """

    def __init__(self, viewer: "Viewer"):
        self._viewer = viewer
        self._mask: Labels | None = None
        self._outline: Shapes | None = None
        self._shown = False

    @property
    def mask(self) -> Labels | None:
        """The layer (N, S, S) uint8 of the window that is shown; None while none is."""
        return self._mask if self._shown else None

    def owns(self, layer: Layer) -> bool:
        """Whether a layer is one of the two."""
        return layer is self._mask or layer is self._outline

    def show(self, spec: MaskSpec, transform: dict[str, tuple]) -> Labels:
        """Show an empty mask with its outline.

        Parameters
        ----------
        spec : MaskSpec
            Size and classes of the mask.
        transform : dict
            'scale', 'translate' and 'units' of its mask pixels.
        """
        mask = self._show_mask(spec, transform)
        self._show_outline(spec, transform)
        self._shown = True
        return mask

    def hide(self) -> None:
        """Hide both layers."""
        self._shown = False
        for layer in (self._mask, self._outline):
            if layer is not None and layer in self._viewer.layers:
                layer.visible = False

    def forget(self, layer: Layer) -> None:
        """Drop a layer that was removed from the viewer."""
        if layer is self._mask:
            self._mask = None
            self.hide()
        elif layer is self._outline:
            self._outline = None

    def _show_mask(self, spec: MaskSpec, transform: dict[str, tuple]) -> Labels:
        colours: dict[int | None, str] = {None: "#000000", 0: "transparent"}
        colours |= {label: class_colour(label) for label in range(1, spec.n_classes + 1)}
        colours[spec.n_classes + 1] = OPEN_COLOUR
        colours[HIGHLIGHT] = HIGHLIGHT_COLOUR
        colormap = DirectLabelColormap(color_dict=colours)
        data = np.zeros(spec.shape, np.uint8)
        if self._mask is None:
            self._mask = self._viewer.add_labels(
                data,
                name=MASK,
                colormap=colormap,
                opacity=0.75,
                metadata={NOTES: dict(OURS)},
                **transform,
            )
        else:
            self._mask.data = data
            if notes(self._mask).get("class_names") != spec.class_names:
                self._mask.colormap = colormap
            self._reveal(self._mask, transform)
        notes(self._mask)["class_names"] = spec.class_names
        self._mask.editable = False
        return self._mask

    def _show_outline(self, spec: MaskSpec, transform: dict[str, tuple]) -> None:
        rows, cols = spec.size
        corners = np.array([[0, 0], [0, cols], [rows, cols], [rows, 0]]) - 0.5
        data = [np.insert(corners, 0, frame, axis=1) for frame in range(spec.n_frames)]
        if self._outline is None:
            self._outline = self._viewer.add_shapes(
                data,
                shape_type="polygon",
                name=OUTLINE,
                edge_color=HIGHLIGHT_COLOUR,
                edge_width=0.4,
                face_color="transparent",
                **transform,
            )
        else:
            self._outline.data = data
            self._reveal(self._outline, transform)
        self._outline.editable = False

    def _reveal(self, layer: Layer, transform: dict[str, tuple]) -> None:
        """Show a hidden layer at its new position, above all others."""
        layer.scale, layer.translate = transform["scale"], transform["translate"]
        layer.units = transform["units"]
        layers = self._viewer.layers
        layers.move(layers.index(layer), len(layers))
        layer.visible = True
